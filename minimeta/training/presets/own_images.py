"""Images of one's own, by the papers' settings for miniImageNet, which everybody has to bring.

``--data`` is a folder of images, or an ``.npz``, with the lists of Ravi and Larochelle 2017 beside it
(:mod:`minimeta.tasks.image_lists`), or such as ``minimeta data split`` writes.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from minimeta.errors import MissingDataError
from minimeta.tasks import Split, load_split
from minimeta.tasks.image_files import Reading
from minimeta.tasks.images import Images
from minimeta.training.configuration import require, setting
from minimeta.training.presets.baselines import FineTuningSettings, NearestSettings
from minimeta.training.presets.images import ImageEvaluationSettings, ImageSettings
from minimeta.training.presets.learners import LSTMSettings, MAMLSettings, ReptileSettings


@dataclass(frozen=True)
class OwnImages(ImageSettings):
    """Where the images come from, and the network that all three papers have for miniImageNet."""

    size: int = setting(84, paper="84", code="84")
    """Height and width that images are brought to."""
    channels: Literal[1, 3] = setting(3, paper="3", code="3")
    """1 for grey, 3 for colour."""
    rotations: bool = setting(False, code="False")
    """Whether training classes are turned by multiples of 90 degrees."""
    network: Literal["mlp", "conv4"] = setting("conv4", paper="conv4", code="conv4")
    """Dense layers on pixels, or four convolutions."""
    filters: int = setting(32, paper="32", code="32")
    """Filters of each convolution of conv4, followed by batch normalisation and ReLU."""
    downsampling: Literal["stride", "max_pool"] = setting("max_pool", paper="max_pool", code="max_pool")
    """What halves the image in each block of conv4: the convolution, or a maximum over 2 x 2."""
    pool_padding: Literal["SAME", "VALID"] = setting("VALID", code="MAML, LSTM: VALID; Reptile: SAME")
    """Whether max_pool rounds an odd side up, or down."""
    readout: Literal["mean", "flatten"] = setting("flatten", code="flatten")
    """What the last layer of conv4 sees of the pixels left: their mean, or all of them."""

    task: ClassVar[str] = "images"
    full_scale: ClassVar[int] = 255

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, names="size", at_least=16)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return self.size, self.size, self.channels

    def images(self, data: str | os.PathLike[str] | None) -> Split[Images]:
        """Read the images on the lists."""
        if data is None:
            raise MissingDataError(
                "images are read from --data: a folder of them, or an .npz, with train.csv, val.csv and test.csv, "
                "which minimeta data split writes"
            )
        split: Split[Any] = load_split(data, reading=Reading(self.size, self.channels))
        return split


@dataclass(frozen=True)
class ImagesPreset(MAMLSettings, OwnImages):
    """N-way K-shot images, Finn et al. 2017, section 5.2: 5-way 1-shot miniImageNet."""

    queries: int = setting(15, code="15")
    """Query images per class of a training task."""
    inner_learning_rate: float = setting(0.01, paper="0.01", code="0.01, of a loss that is per_shot")
    """Step size of adaptation."""
    inner_steps: int = setting(5, paper="5", code="5")
    """Adaptation steps in training."""
    meta_batch: int = setting(4, paper="4 (1-shot), 2 (5-shot)", code="4")
    """Tasks per training step."""
    iterations: int = setting(60_000, paper="60,000", code="60,000")
    """Training steps."""
    evaluation: ImageEvaluationSettings = ImageEvaluationSettings(shots=1, queries=1, steps=10, rotations=False)
    """The paper adapts by 10 steps in testing, and has as many queries as shots."""


@dataclass(frozen=True)
class ReptileImagesPreset(ReptileSettings, OwnImages):
    """N-way K-shot images, Nichol et al. 2018, section 6: 5-way 1-shot miniImageNet by the options of its code."""

    shots: int = setting(15, code="15 (train-shots)")
    """Support images per class of a training task: the pool that mini-batches come from."""
    pool_padding: Literal["SAME", "VALID"] = setting("SAME", code="SAME")
    """Whether max_pool rounds an odd side up, or down."""
    scale: bool = setting(True, code="True, adapted like the rest")
    """Whether batch normalisation in conv4 has a factor beside the offset."""
    inner_steps: int = setting(8, paper="8", code="8")
    """Adaptation steps in training."""
    evaluation_batch: int = setting(5, paper="5 (1-shot), 15 (5-shot)", code="5 (1-shot), 15 (5-shot)")
    """Examples of a mini-batch in evaluation."""
    meta_batch: int = setting(5, paper="5", code="5, one after another")
    """Tasks per training step."""
    iterations: int = setting(100_000, paper="100,000", code="100,000")
    """Training steps."""
    evaluation: ImageEvaluationSettings = ImageEvaluationSettings(
        shots=1, queries=1, steps=50, every=10, transductive=False, rotations=False
    )
    """50 steps; the released code has 10,000 tasks."""


@dataclass(frozen=True)
class LSTMImagesPreset(LSTMSettings, OwnImages):
    """N-way K-shot images with the LSTM meta-learner, Ravi and Larochelle 2017: 5-way 1-shot miniImageNet."""

    queries: int = setting(15, paper="15", code="15")
    """Query images per class of a training task."""
    scale: bool = setting(True, code="True; factor and offset are cell state too")
    """Whether batch normalisation in conv4 has a factor beside the offset."""
    inner_steps: int = setting(12, paper="12 (1-shot), 5 (5-shot)", code="12 (1-shot), 8 (5-shot)")
    """Adaptation steps in training, each on the whole support set."""
    meta_batch: int = setting(1, paper="1", code="1")
    """Tasks per training step."""
    iterations: int = setting(75_000, code="75,000 (1-shot), 50,000 (5-shot)")
    """Training steps."""
    evaluation: ImageEvaluationSettings = ImageEvaluationSettings(
        shots=1, queries=15, steps=12, rotations=False, side_by_side=False
    )
    """As many steps as in training; running statistics are of the support set."""


@dataclass(frozen=True)
class FineTuningImagesPreset(FineTuningSettings, OwnImages):
    """N-way K-shot images, each task learned from random parameters at the best fixed rate."""

    meta_batch: int = 10
    """Tasks per training step."""
    iterations: int = 100
    """Training steps: they measure rates and leave the network alone."""
    evaluation: ImageEvaluationSettings = ImageEvaluationSettings(shots=1, queries=15, steps=10, rotations=False)
    """As many steps as rates are compared after."""


@dataclass(frozen=True)
class NearestImagesPreset(NearestSettings, OwnImages):
    """N-way K-shot images, each taken for the one whose pixels are nearest."""

    meta_batch: int = 1
    """Tasks per training step."""
    iterations: int = 1
    """Training steps; there is nothing to train."""
    evaluation: ImageEvaluationSettings = ImageEvaluationSettings(
        shots=1, queries=15, steps=0, rotations=False, side_by_side=False
    )
    """As for the other learners; it has no steps."""
