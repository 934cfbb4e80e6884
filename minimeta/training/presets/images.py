"""Few-shot classification of images: Omniglot, strokes, and the user's own images, by networks of three kinds."""

from __future__ import annotations

import math
import os
from abc import abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np

from minimeta.errors import ConfigurationError, MissingDataError
from minimeta.nn import Model, accuracy, conv4, cross_entropy, mlp, resnet12
from minimeta.tasks import FewShot, Split, load_split, omniglot, strokes, with_rotations
from minimeta.tasks.area import FULL_INK
from minimeta.tasks.image_files import Reading
from minimeta.tasks.images import Images
from minimeta.tasks.inputs import Inputs
from minimeta.training.configuration import require
from minimeta.training.presets.parts import BenchmarkSettings, Distributions, EvaluationSettings, Problem


@dataclass(frozen=True)
class ImageSettings(BenchmarkSettings):
    """Tasks of images, and the network that learns them.

    Raises
    ------
    ConfigurationError
        If a value is out of range.
    """

    ways: int = 5
    """Classes per task."""
    shots: int = 1
    """Support images per class of a training task; for Reptile, the pool that mini-batches come from."""
    queries: int = 1
    """Query images per class of a training task; Reptile uses them for the reported loss alone."""
    rotations: bool = True
    """Whether training classes are turned by multiples of 90 degrees."""
    fixed_turns: bool = False
    """Whether each turn makes a class of its own, or every task draws a turn for each of its classes."""
    network: Literal["mlp", "conv4", "resnet12"] = "mlp"
    """Dense layers on pixels, four convolutions, or four residual blocks of three."""
    hidden: tuple[int, ...] = (256, 128, 64, 64)
    """Widths of the hidden layers of mlp, each followed by batch normalisation on current statistics and ReLU."""
    filters: int = 64
    """Filters of each convolution of conv4, each followed by the same; of the first block of
    resnet12.

    The later blocks have 2.5, 5 and 10 times as many: 64, 160, 320 and 640 in the papers.
    """
    downsampling: Literal["stride", "max_pool"] = "stride"
    """What halves the image in each block of conv4: the stride of the convolution, or a maximum over 2 x 2."""
    pool_padding: Literal["SAME", "VALID"] = "VALID"
    """Whether max_pool rounds an odd side up (SAME) or down (VALID)."""
    readout: Literal["mean", "flatten"] = "mean"
    """What the last layer of conv4 or resnet12 sees of the remaining pixels: their mean, or all of them."""
    scale: bool = False
    """Whether batch normalisation in conv4 has a factor as well as an offset."""
    initialiser: Literal["released", "he", "glorot", "truncated_normal"] = "released"
    """Distribution of the initial weights; `released`: truncated_normal for mlp, glorot for conv4, he for resnet12."""
    reduction: Literal["mean", "per_shot"] = "mean"
    """How the losses of examples become one, which scales the inner step; per_shot is `ways` times the mean."""

    full_scale: ClassVar[int] = FULL_INK
    """The value of a pixel that becomes 1."""

    def __post_init__(self) -> None:
        require(self, names="ways", at_least=2)
        require(self, names="shots queries hidden filters", at_least=1)

    @property
    def run_name(self) -> str:
        """The name, and the network if it is not mlp."""
        return self.name if self.network == "mlp" else f"{self.name}-{self.network}"

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return 28, 28, 1

    @abstractmethod
    def images(self, data: str | os.PathLike[str] | None) -> Split[Images]:
        """Read or draw the images."""

    def model(self) -> Model:
        """Build the network."""
        drawn: dict[str, str] = {"mlp": "truncated_normal", "conv4": "glorot", "resnet12": "he"}
        initialiser = drawn[self.network] if self.initialiser == "released" else self.initialiser
        if self.network == "mlp":
            return mlp((math.prod(self.image_shape), *self.hidden, self.ways), initialiser=initialiser, batch_norm=True)
        if self.network == "resnet12":
            widths = tuple(self.filters * factor // 2 for factor in (2, 5, 10, 20))
            return resnet12(self.image_shape, self.ways, widths=widths, readout=self.readout, initialiser=initialiser)
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

    def problem(self) -> Problem:
        """Build the network."""
        flat = self.network == "mlp"
        return Problem(
            self.model(),
            last_layer=str(len(self.hidden)) if flat else "4",
            loss=partial(cross_entropy, reduction=self.reduction),
            metrics={"accuracy": accuracy},
            metric=accuracy,
            metric_name="accuracy",
            ways=self.ways,
            batch_statistics=True,
            inputs=Inputs(self.image_shape, self.full_scale, flat, ink=self.full_scale == FULL_INK),
        )

    def tasks(self, evaluation: EvaluationSettings, data: str | os.PathLike[str] | None) -> Distributions:
        """Build tasks of the images."""
        training, validation, testing = self.images(data)
        if self.rotations and self.fixed_turns:
            if not isinstance(training, np.ndarray):
                raise ConfigurationError("fixed_turns needs classes in one array, as Omniglot and strokes have them")
            training = with_rotations(training)
        turned, flat = self.rotations and not self.fixed_turns, self.network == "mlp"
        tasks = partial(FewShot, ways=self.ways, flat=flat, full_scale=self.full_scale)
        judged = partial(tasks, shots=evaluation.shots, queries=evaluation.queries, rotations=evaluation.rotations)
        return Distributions(
            tasks(training, shots=self.shots, queries=self.queries, rotations=turned),
            judged(testing),
            judged(validation) if len(validation) else None,
        )


@dataclass(frozen=True)
class OmniglotSettings(ImageSettings):
    """Few-shot Omniglot."""

    split: Literal["reptile", "maml", "background"] = "reptile"
    """Characters for training, validation and testing: 1200, 0, 423; 1100, 100, 423; or by alphabet 964, 0, 659."""

    name: ClassVar[str] = "omniglot"

    def images(self, data: str | os.PathLike[str] | None) -> Split[Images]:
        """Read Omniglot."""
        return Split(*omniglot.split(omniglot.load(data), self.split))


class StrokesSettings(ImageSettings):
    """Few-shot strokes (:mod:`minimeta.tasks.strokes`), which are drawn."""

    name: ClassVar[str] = "strokes"

    def images(self, data: str | os.PathLike[str] | None) -> Split[Images]:
        """Draw the characters; `data` is not used."""
        return Split(*strokes.split(strokes.draw()))


@dataclass(frozen=True)
class OwnImagesSettings(ImageSettings):
    """The user's own images.

    `data` is a folder of images, or an ``.npz``, next to the lists of Ravi and Larochelle 2017
    (:mod:`minimeta.tasks.image_lists`) or lists that ``minimeta data split`` writes.
    """

    size: int = 84
    """Height and width that images are resized to."""
    channels: Literal[1, 3] = 3
    """1 for grey, 3 for colour."""

    name: ClassVar[str] = "images"
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
