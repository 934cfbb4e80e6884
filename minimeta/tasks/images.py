"""N-way K-shot classification: tasks made of any collection of labelled images.

A task draws N classes, which may be new to the learner, and from each class K support images to
learn from and Q query images to judge the learner by (Vinyals et al. 2016):

    support = {(x_ni, n) : n < N, i < K},    query = {(x'_nj, n) : n < N, j < Q}

Labels 0, ..., N - 1 name the classes in the random order of their draw, so a label means nothing
outside of its task. Support and query never share an image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from minimeta.errors import ConfigurationError
from minimeta.tasks.area import FULL_INK
from minimeta.tasks.task import Examples, Task

Classes = TypeVar("Classes")

Images: TypeAlias = NDArray[np.uint8] | Sequence[NDArray[np.uint8]] | Mapping[str, NDArray[np.uint8]]
"""Images grouped by class, as :class:`FewShot` takes them."""


class Split(NamedTuple, Generic[Classes]):
    """Classes for meta-training, for validation and for testing; no class is in two of them."""

    training: Classes
    validation: Classes
    testing: Classes


@dataclass(frozen=True, eq=False)
class FewShot:
    """N-way K-shot tasks from images grouped by class.

    Attributes
    ----------
    images
        One array for each class, in a sequence or by name: shape ``(images, height, width)`` for
        grey, ``(images, height, width, channels)`` for colour, uint8. Classes may have different
        numbers of images. An array of shape ``(classes, images, height, width)`` is such a
        sequence, and the fastest.
    ways
        Classes per task, N.
    shots
        Support images per class, K.
    queries
        Query images per class.
    rotations
        Whether to turn each class of a task by its own random multiple of 90 degrees, which makes
        four classes of every character (Santoro et al. 2016). As in the code released with Finn et
        al. 2017, a turn is drawn per class and task, and two turns of one character never meet in a
        task. This needs square images.
    flat
        Whether an input is a vector ``(height * width * channels,)`` or an image
        ``(height, width, channels)``.
    dtype
        The floating dtype of the inputs.
    full_scale
        The value that becomes 1: 225 for the ink of Omniglot and of strokes
        (:mod:`minimeta.tasks.area`), 255 for ordinary images.

    Raises
    ------
    ConfigurationError
        If there are too few classes or images of a class, a count is below 1, images are not all of
        one shape or hold more than `full_scale`, or `rotations` meets images that are not square.
    """

    images: Images
    ways: int = 5
    shots: int = 1
    queries: int = 1
    rotations: bool = True
    flat: bool = True
    dtype: DTypeLike = np.float32
    full_scale: int = FULL_INK

    def __post_init__(self) -> None:
        for setting in ("ways", "shots", "queries", "full_scale"):
            if getattr(self, setting) < 1:
                raise ConfigurationError(f"FewShot: {setting} must be at least 1, not {getattr(self, setting)}")
        if self.ways > len(self.images):
            raise ConfigurationError(
                f"FewShot: {self.ways} ways need {self.ways} classes, but there are {len(self.images)}"
            )
        names = self.images if isinstance(self.images, Mapping) else map(str, range(len(self.images)))
        for name, images in zip(names, self._classes, strict=True):
            self._check_class(name, images)
        height, width, _ = self.image_shape
        if self.rotations and height != width:
            raise ConfigurationError(f"FewShot: rotations need square images, not {height} x {width}")

    def _check_class(self, name: str, images: NDArray[np.uint8]) -> None:
        if images.dtype != np.uint8 or images.ndim not in (3, 4):
            raise ConfigurationError(
                f"FewShot: the images of class {name} must be uint8 of shape (images, height, width) or "
                f"(images, height, width, channels), not {images.dtype} of shape {images.shape}"
            )
        first = self._classes[0]
        if images.shape[1:] != first.shape[1:]:
            raise ConfigurationError(
                f"FewShot: all images must have one shape, but class {name} has {images.shape[1:]} "
                f"where the first class has {first.shape[1:]}"
            )
        if self.shots + self.queries > len(images):
            raise ConfigurationError(
                f"FewShot: shots={self.shots} and queries={self.queries} need {self.shots + self.queries} different "
                f"images of each class, but class {name} has {len(images)}; ask for fewer"
            )
        if images.max() > self.full_scale:
            raise ConfigurationError(
                f"FewShot: class {name} holds the value {images.max()}, which is more than full_scale "
                f"{self.full_scale}; ordinary images need full_scale=255"
            )

    @cached_property
    def _classes(self) -> Sequence[NDArray[np.uint8]]:
        return list(self.images.values() if isinstance(self.images, Mapping) else self.images)

    @cached_property
    def _counts(self) -> NDArray[np.intp]:
        return np.array([len(images) for images in self._classes])

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an input that is not `flat`."""
        height, width, *channels = self._classes[0].shape[1:]
        return height, width, channels[0] if channels else 1

    def sample(self, rng: np.random.Generator, count: int) -> Task:
        """Draw `count` tasks.

        Parameters
        ----------
        rng
            Source of randomness.
        count
            Number of tasks.

        Returns
        -------
        Task
            Support inputs ``(count, ways * shots, height * width * channels)``, or
            ``(count, ways * shots, height, width, channels)`` if not `flat`, from 0 to 1; int64
            labels ``(count, ways * shots)``, each class's examples together; the query likewise
            with ``ways * queries``.
        """
        drawn = _without_replacement(rng, np.full(count, len(self._counts)), self.ways)
        chosen = _without_replacement(rng, self._counts[drawn], self.shots + self.queries)
        images = self._gather(drawn, chosen)
        if self.rotations:
            turns = rng.integers(4, size=(count, self.ways))
            for quarter in (1, 2, 3):
                turned = turns == quarter
                images[turned] = np.rot90(images[turned], quarter, axes=(2, 3))
        return Task(self._examples(images[:, :, : self.shots]), self._examples(images[:, :, self.shots :]))

    def _gather(self, drawn: NDArray[np.intp], chosen: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Return the chosen images (count, ways, each, height, width[, channels]) of the classes drawn."""
        if isinstance(self.images, np.ndarray):
            return self.images[drawn[..., np.newaxis], chosen]
        pairs = zip(drawn.ravel(), chosen.reshape(drawn.size, -1), strict=True)
        images = np.stack([self._classes[int(kind)][numbers] for kind, numbers in pairs])
        return images.reshape(*chosen.shape, *images.shape[2:])

    def _examples(self, images: NDArray[np.uint8]) -> Examples:
        """Turn images (count, ways, each, height, width[, channels]) into labelled inputs."""
        count, ways, each = images.shape[:3]
        shape = (-1,) if self.flat else self.image_shape
        inputs = np.divide(images, self.full_scale, dtype=self.dtype).reshape(count, ways * each, *shape)
        labels = np.repeat(np.arange(ways, dtype=np.int64), each)
        return Examples(inputs, np.tile(labels, (count, 1)))


def with_rotations(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return four classes for each: the class itself and its turns by 90, 180 and 270 degrees.

    The code released with Nichol et al. 2018 does this to its training classes (1200 become 4800).
    Unlike with :attr:`FewShot.rotations`, two turns of one character may meet in a task.

    Parameters
    ----------
    images
        Shape ``(classes, images, side, side)``.

    Returns
    -------
    ndarray
        Shape ``(4 * classes, images, side, side)``: all classes upright, then all of them turned
        once, and so on.
    """
    return np.concatenate([np.rot90(images, quarter, axes=(2, 3)) for quarter in range(4)])


def _without_replacement(rng: np.random.Generator, among: NDArray[np.intp], chosen: int) -> NDArray[np.intp]:
    """Return, for each number in among, `chosen` different numbers below it, uniform in value and in order."""
    most = among.max()
    order = rng.permuted(np.broadcast_to(np.arange(most), (*among.shape, most)), axis=-1)
    if among.min() < most:  # the allowed numbers of a random order are in random order, too
        allowed_first = np.argsort(order >= among[..., np.newaxis], axis=-1, kind="stable")
        order = np.take_along_axis(order, allowed_first, axis=-1)
    return order[..., :chosen]
