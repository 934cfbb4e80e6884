"""Few-shot classification of images: the settings that Omniglot, strokes and images of one's own share."""

from __future__ import annotations

import math
import os
from abc import abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import numpy as np

from minimeta.errors import ConfigurationError
from minimeta.nn import Model, accuracy, conv4, cross_entropy, mlp
from minimeta.tasks import FewShot, Split, with_rotations
from minimeta.tasks.area import FULL_INK
from minimeta.tasks.images import Images
from minimeta.training.configuration import require, setting
from minimeta.training.presets.experiment import EvaluationSettings, Preset, Problem


@dataclass(frozen=True)
class ImageEvaluationSettings(EvaluationSettings):
    """How the result is measured on images.

    Raises
    ------
    ConfigurationError
        If a value is out of range.
    """

    rotations: bool = setting(True, code="MAML: test classes are turned too; Reptile: they are not")
    """Whether test classes are turned by random multiples of 90 degrees."""


@dataclass(frozen=True)
class ImageSettings(Preset):
    """Tasks of images, and the network of either kind that learns them."""

    evaluation: ImageEvaluationSettings
    """How the result is measured."""
    ways: int = setting(5, paper="5", code="5")
    """Classes per task."""
    shots: int = setting(1, paper="1", code="1")
    """Support images per class of a training task."""
    queries: int = setting(1, code="as many as shots")
    """Query images per class of a training task."""
    rotations: bool = setting(True, paper="multiples of 90 degrees", code="drawn per class and task")
    """Whether training classes are turned by multiples of 90 degrees."""
    fixed_turns: bool = setting(False, code="False")
    """Whether a turn makes a class of its own, once and for all, or is drawn anew for each class of each task."""
    network: Literal["mlp", "conv4"] = setting("mlp", paper="both", code="conv4; mlp with --conv=False")
    """Dense layers on pixels, or four convolutions of stride 2."""
    hidden: tuple[int, ...] = setting((256, 128, 64, 64), paper="256 128 64 64", code="256 128 64 64")
    """Widths of the hidden layers of mlp, each followed by batch normalisation on current statistics and ReLU."""
    filters: int = setting(64, paper="64", code="64")
    """Filters of each convolution of conv4, followed by the same."""
    downsampling: Literal["stride", "max_pool"] = setting("stride", paper="stride", code="stride")
    """What halves the image in each block of conv4: the convolution, or a maximum over 2 x 2."""
    pool_padding: Literal["SAME", "VALID"] = setting("VALID", code="there is no pooling")
    """Whether max_pool rounds an odd side up, or down."""
    readout: Literal["mean", "flatten"] = setting("mean", code="mean")
    """What the last layer of conv4 sees of the pixels left: their mean, or all of them."""
    scale: bool = setting(False, code="False")
    """Whether batch normalisation in conv4 has a factor beside the offset."""
    initialiser: Literal["released", "he", "glorot", "truncated_normal"] = setting(
        "released", code="mlp: truncated normal, standard deviation 0.01; conv4: Glorot, normal in the last layer"
    )
    """Distribution of the initial weights; `released` is truncated_normal for mlp and glorot for conv4."""
    reduction: Literal["mean", "per_shot"] = setting("mean", code="MAML: per_shot, `ways` times the mean; others: mean")
    """How losses of examples make one: it scales the inner step."""

    full_scale: ClassVar[int] = FULL_INK
    """The value of a pixel that becomes 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, names="ways", at_least=2)
        require(self, names="shots queries hidden filters", at_least=1)

    @property
    def run_name(self) -> str:
        """Names the default run folder."""
        return self.task if self.network == "mlp" else f"{self.task}-{self.network}"

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return 28, 28, 1

    def model(self) -> Model:
        """Build the network."""
        drawn: dict[str, str] = {"mlp": "truncated_normal", "conv4": "glorot"}
        initialiser = drawn[self.network] if self.initialiser == "released" else self.initialiser
        if self.network == "mlp":
            return mlp((math.prod(self.image_shape), *self.hidden, self.ways), initialiser=initialiser, batch_norm=True)
        return conv4(
            self.image_shape,
            self.ways,
            filters=self.filters,
            downsampling=self.downsampling,
            pool_padding=self.pool_padding,
            readout=self.readout,
            scale=self.scale,
            initialiser=initialiser,
        )

    @abstractmethod
    def images(self, data: str | os.PathLike[str] | None) -> Split[Images]:
        """Read or draw them."""

    def problem(self, data: str | os.PathLike[str] | None) -> Problem:
        """Build tasks of the images, and the network."""
        training, validation, testing = self.images(data)
        if self.rotations and self.fixed_turns:
            if not isinstance(training, np.ndarray):
                raise ConfigurationError("fixed_turns needs classes in one array, as Omniglot and strokes have them")
            training = with_rotations(training)
        turned = self.rotations and not self.fixed_turns
        flat, measured = self.network == "mlp", self.evaluation
        tasks = partial(FewShot, ways=self.ways, flat=flat, full_scale=self.full_scale)
        judged = partial(tasks, shots=measured.shots, queries=measured.queries, rotations=measured.rotations)
        return Problem(
            self.model(),
            last_layer=str(len(self.hidden)) if flat else "4",
            loss=partial(cross_entropy, reduction=self.reduction),
            metrics={"accuracy": accuracy},
            training_tasks=tasks(training, shots=self.shots, queries=self.queries, rotations=turned),
            evaluation_tasks=judged(testing),
            metric=accuracy,
            metric_name="accuracy",
            ways=self.ways,
            validation_tasks=judged(validation) if len(validation) else None,
            batch_statistics=True,
        )
