"""N-way K-shot classification: tasks made of any collection of labelled images.

A task draws N classes, perhaps never seen before, and of each K support images to learn from and Q query images to be
judged by (Vinyals et al. 2016):

    support = {(x_ni, n) : n < N, i < K},    query = {(x'_nj, n) : n < N, j < Q}

Labels 0, ..., N - 1 name the classes in the random order they were drawn in, so a label means nothing beyond its task.
The images of one class are told apart by their *drawer*: support and query never share one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from minimeta.errors import ConfigurationError
from minimeta.tasks.task import Examples, Task

FULL_INK = 225
"""The value of a wholly inked pixel: 15 x 15 quarter pixels, see :mod:`minimeta.tasks.omniglot`."""


@dataclass(frozen=True, eq=False)
class FewShot:
    """N-way K-shot tasks from images grouped by class.

    Attributes
    ----------
    images
        Shape ``(classes, drawers, height, width)``, uint8, 0 for paper to 225 for ink.
    ways
        Classes per task, N.
    shots
        Support images per class, K.
    queries
        Query images per class.
    rotations
        Whether each class of a task is turned by its own random multiple of 90 degrees, which makes four classes of
        every character (Santoro et al. 2016). As in the code released with Finn et al. 2017 the turn is drawn per class
        and task, for training and testing alike, and two turns of one character never meet in a task. It needs square
        images.
    flat
        Whether an input is a vector ``(height * width,)`` or an image ``(height, width, 1)``.
    dtype
        The floating dtype of the inputs.

    Raises
    ------
    ConfigurationError
        If there are too few classes or drawers, a count is below 1, or `rotations` meets images that are not square.
    """

    images: NDArray[np.uint8]
    ways: int = 5
    shots: int = 1
    queries: int = 1
    rotations: bool = True
    flat: bool = True
    dtype: DTypeLike = np.float32

    def __post_init__(self) -> None:
        for name in ("ways", "shots", "queries"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"FewShot: {name} must be at least 1, not {getattr(self, name)}")
        if self.images.ndim != 4 or self.images.dtype != np.uint8:
            raise ConfigurationError(
                "FewShot: images must be uint8 of shape (classes, drawers, height, width), "
                f"not {self.images.dtype} of shape {self.images.shape}"
            )
        classes, drawers, height, width = self.images.shape
        if self.ways > classes:
            raise ConfigurationError(f"FewShot: {self.ways} ways need {self.ways} classes, but there are {classes}")
        if self.shots + self.queries > drawers:
            raise ConfigurationError(
                f"FewShot: {self.shots} shots and {self.queries} queries need {self.shots + self.queries} different "
                f"drawers of each class, but there are {drawers}"
            )
        if self.rotations and height != width:
            raise ConfigurationError(f"FewShot: rotations need square images, not {height} x {width}")

    def sample(self, rng: np.random.Generator, count: int) -> Task:
        """Draw `count` tasks.

        Parameters
        ----------
        rng
            Source of randomness.
        count
            How many tasks.

        Returns
        -------
        Task
            Support inputs ``(count, ways * shots, height * width)``, or ``(count, ways * shots, height, width, 1)`` if
            not `flat`, scaled so that paper is 0 and ink 1; int64 labels ``(count, ways * shots)``, each class's
            examples together; the query likewise with ``ways * queries``.
        """
        classes, drawers = self.images.shape[:2]
        drawn = _without_replacement(rng, (count,), classes, self.ways)
        hands = _without_replacement(rng, (count, self.ways), drawers, self.shots + self.queries)
        images = self.images[drawn[..., np.newaxis], hands]
        if self.rotations:
            turns = rng.integers(4, size=(count, self.ways))
            for quarter in (1, 2, 3):
                turned = turns == quarter
                images[turned] = np.rot90(images[turned], quarter, axes=(-2, -1))
        return Task(self._examples(images[:, :, : self.shots]), self._examples(images[:, :, self.shots :]))

    def _examples(self, images: NDArray[np.uint8]) -> Examples:
        """Turn images (count, ways, each, height, width) into labelled inputs."""
        count, ways, each, height, width = images.shape
        shape = (count, ways * each, height * width) if self.flat else (count, ways * each, height, width, 1)
        inputs = images.astype(self.dtype).reshape(shape)
        inputs /= FULL_INK
        labels: NDArray[Any] = np.repeat(np.arange(ways, dtype=np.int64), each)
        return Examples(inputs, np.tile(labels, (count, 1)))


def _without_replacement(rng: np.random.Generator, shape: tuple[int, ...], among: int, chosen: int) -> NDArray[np.intp]:
    """Return, for each index of shape, `chosen` different numbers below `among`, uniform in value and in order."""
    return rng.permuted(np.broadcast_to(np.arange(among), (*shape, among)), axis=-1)[..., :chosen]
