"""Print the hash of each learner's meta-parameters after 50 steps: equal on every processor (see arm64.sh)."""

import hashlib
from typing import Any

import numpy as np

from minimeta import nn, optim, tree
from minimeta.learners import MAML, MetaLSTM, Reptile
from minimeta.tasks import Sinusoid
from minimeta.training import fit

LEARNERS: dict[str, Any] = {
    "maml": MAML(nn.mlp((1, 40, 40, 1)), nn.mean_squared_error, 0.01),
    "first-order maml": MAML(nn.mlp((1, 40, 40, 1)), nn.mean_squared_error, 0.01, order=1),
    "reptile": Reptile(nn.mlp((1, 64, 64, 1), activation="tanh"), nn.mean_squared_error, optim.sgd(0.02), 8),
    "lstm": MetaLSTM(nn.mlp((1, 20, 1)), nn.mean_squared_error, 5),
}

for name, learner in LEARNERS.items():
    state = fit(learner, Sinusoid(), optim.adam(), iterations=50, meta_batch=25, seed=0)
    leaves = tree.flatten(state.meta_parameters)[0]
    print(name, hashlib.sha256(b"".join(np.ascontiguousarray(leaf).tobytes() for leaf in leaves)).hexdigest())
