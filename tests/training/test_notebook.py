"""What a notebook shows, run by nbclient: a progress bar, and tables of programs, models and results."""

from typing import Any

import pytest

nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed: pip install 'minimeta[notebook]'")
nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed: pip install 'minimeta[notebook]'")

CELLS = [
    """
import numpy as np
import minimeta as mm
from minimeta import nn, optim
from minimeta.learners import MAML
from minimeta.prediction import TrainedLearner
from minimeta.program import trace
from minimeta.tasks import Sinusoid
from minimeta.training import NotebookProgress, evaluate, fit
model = nn.mlp((1, 4, 1), activation="tanh")
learner = MAML(model, nn.mean_squared_error, 0.01)
tasks = Sinusoid()
state = fit(learner, tasks, optim.adam(), iterations=3, meta_batch=2, seed=0, callbacks=[NotebookProgress(3)])
""",
    "model",
    "trace(lambda x: x * 2.0 < 1.0, np.ones(2))",
    "evaluate(learner, state.meta_parameters, tasks, metric=nn.mean_squared_error, steps=1, count=2)",
    "TrainedLearner(learner, state.meta_parameters, kind='regression')",
]


@pytest.mark.filterwarnings("ignore")  # of the notebook's machinery
def test_what_a_notebook_shows() -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()

    def shown(cell: int) -> str:
        (output,) = [each for each in notebook.cells[cell].outputs if "data" in each]
        data: Any = output["data"]
        assert data["text/plain"]
        return str(data["text/html"])

    assert '<progress value="3" max="3">' in shown(0) and "loss" in shown(0) and "0 s left" in shown(0)
    assert "<code>mlp((1, 4, 1), activation=&#x27;tanh&#x27;)</code>" in shown(1)
    assert "<pre>program" in shown(2) and "less(" in shown(2)
    assert shown(3).count("<tr>") == 3 and "steps" in shown(3)
    assert "MAML" in shown(4) and "regression" in shown(4)
