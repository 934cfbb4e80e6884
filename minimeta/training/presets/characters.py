"""What each learner does with small images of characters: the settings that the papers have for Omniglot.

Finn et al. 2017, section 5.2; Nichol et al. 2018, section 6; Ravi and Larochelle 2017, who have miniImageNet alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from minimeta.training.configuration import setting
from minimeta.training.presets.baselines import FineTuningSettings, NearestSettings
from minimeta.training.presets.images import ImageEvaluationSettings, ImageSettings
from minimeta.training.presets.learners import LSTMSettings, MAMLSettings, ReptileSettings


@dataclass(frozen=True)
class MAMLCharacters(MAMLSettings, ImageSettings):
    """Finn et al. 2017, section 5.2, with the network of either kind."""

    inner_learning_rate: float = setting(
        0.4, paper="0.4 (20-way: 0.1)", code="0.4 (20-way: 0.1), of a loss that is per_shot"
    )
    """Step size of adaptation."""
    inner_steps: int = setting(1, paper="1; 5 for 20 ways", code="1; 5 for 20 ways")
    """Adaptation steps in training."""
    learning_rate: float = setting(0.001, code="Adam, 0.001")
    """Step size of Adam on the meta-parameters."""
    meta_batch: int = setting(32, paper="32; 16 for 20 ways", code="32; 16 for 20 ways")
    """Tasks per training step."""
    iterations: int = setting(1_000, paper="60,000", code="60,000")
    """Training steps."""
    evaluation: ImageEvaluationSettings = ImageEvaluationSettings(shots=1, queries=1, steps=3)
    """The paper adapts by 3 steps in testing."""


@dataclass(frozen=True)
class ReptileCharacters(ReptileSettings, ImageSettings):
    """Nichol et al. 2018, section 6: 5-way 1-shot by the options of its released code."""

    shots: int = setting(10, code="10 (train-shots)")
    """Support images per class of a training task: the pool that mini-batches come from."""
    queries: int = setting(1, code="none: training reports no loss")
    """Query images per class of a training task, for the reported loss alone."""
    rotations: bool = setting(True, code="training classes alone")
    """Whether training classes are turned by multiples of 90 degrees."""
    fixed_turns: bool = setting(True, code="True: 4,800 classes for training")
    """Whether a turn makes a class of its own, once and for all, or is drawn anew for each class of each task."""
    network: Literal["mlp", "conv4"] = setting("conv4", paper="conv4", code="conv4")
    """Dense layers on pixels, or four convolutions of stride 2."""
    readout: Literal["mean", "flatten"] = setting("flatten", code="flatten")
    """What the last layer of conv4 sees of the pixels left: their mean, or all of them."""
    scale: bool = setting(True, code="True, adapted like the rest")
    """Whether batch normalisation in conv4 has a factor beside the offset."""
    initialiser: Literal["released", "he", "glorot", "truncated_normal"] = setting(
        "released", code="Glorot, the default of its framework"
    )
    """Distribution of the initial weights; `released` is truncated_normal for mlp and glorot for conv4."""
    inner_optimiser: Literal["sgd", "adam"] = setting("adam", paper="Adam, beta1 = 0", code="Adam, beta1 = 0")
    """What takes the steps of adaptation; `adam` is without momentum (beta1 = 0)."""
    inner_learning_rate: float = setting(0.001, paper="0.001", code="0.001; 0.0005 for 20 ways")
    """Its step size."""
    inner_steps: int = setting(5, paper="5", code="5; 10 for 20 ways")
    """Adaptation steps in training."""
    inner_batch: int = setting(10, paper="10", code="10; 20 for 20 ways")
    """Examples of a mini-batch in training."""
    evaluation_batch: int = setting(5, paper="5", code="5; 10 for 20 ways")
    """Examples of a mini-batch in evaluation."""
    outer_step_size: float = setting(1.0, paper="1", code="1")
    """How far the parameters move towards what the tasks make of them, in the beginning."""
    final_step: float = setting(0.0, paper="0", code="0")
    """What the outer step falls to, on a straight line over all iterations, as a fraction of what it begins with."""
    meta_batch: int = setting(5, paper="5", code="5, one after another")
    """Tasks per training step."""
    iterations: int = setting(2_000, paper="100,000", code="100,000; 200,000 for 20 ways")
    """Training steps."""
    evaluation: ImageEvaluationSettings = ImageEvaluationSettings(
        shots=1, queries=1, steps=50, every=10, rotations=False
    )
    """50 steps, on characters that are not turned; the released code has 10,000 tasks."""


@dataclass(frozen=True)
class LSTMCharacters(LSTMSettings, ImageSettings):
    """The LSTM meta-learner by the settings of Ravi and Larochelle 2017, who have them for miniImageNet."""

    queries: int = setting(15, paper="15", code="15")
    """Query images per class of a training task."""
    network: Literal["mlp", "conv4"] = setting("conv4", paper="conv4", code="conv4")
    """Dense layers on pixels, or four convolutions of stride 2."""
    filters: int = setting(32, paper="32", code="32")
    """Filters of each convolution of conv4, followed by batch normalisation and ReLU."""
    readout: Literal["mean", "flatten"] = setting("flatten", code="flatten")
    """What the last layer of conv4 sees of the pixels left: their mean, or all of them."""
    scale: bool = setting(True, code="True; factor and offset are cell state too")
    """Whether batch normalisation in conv4 has a factor beside the offset."""
    inner_steps: int = setting(8, paper="12 (1-shot), 5 (5-shot)", code="12 (1-shot), 8 (5-shot)")
    """Adaptation steps in training, each on the whole support set."""
    meta_batch: int = setting(1, paper="1", code="1")
    """Tasks per training step."""
    iterations: int = setting(1_000, code="75,000 (1-shot), 50,000 (5-shot)")
    """Training steps."""
    evaluation: ImageEvaluationSettings = ImageEvaluationSettings(shots=1, queries=15, steps=8, side_by_side=False)
    """As many steps as in training, and the paper's 15 queries a class; running statistics are of the support set."""


@dataclass(frozen=True)
class FineTuningCharacters(FineTuningSettings, ImageSettings):
    """Each task learned from random parameters at the best fixed rate."""

    meta_batch: int = 10
    """Tasks per training step."""
    iterations: int = 100
    """Training steps: they measure rates and leave the network alone."""
    evaluation: ImageEvaluationSettings = ImageEvaluationSettings(shots=1, queries=1, steps=10)
    """As many steps as rates are compared after."""


@dataclass(frozen=True)
class NearestCharacters(NearestSettings, ImageSettings):
    """Each character taken for the one whose pixels are nearest."""

    meta_batch: int = 1
    """Tasks per training step."""
    iterations: int = 1
    """Training steps; there is nothing to train."""
    evaluation: ImageEvaluationSettings = ImageEvaluationSettings(shots=1, queries=1, steps=0, side_by_side=False)
    """As for the other learners; it has no steps."""
