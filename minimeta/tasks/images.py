"""N-way K-shot classification: tasks made of any collection of labelled examples.

A task draws N classes, which may be new to the learner, and from each class K support images to
learn from and Q query images to judge the learner by (Vinyals et al. 2016):

    support = {(x_ni, n) : n < N, i < K},    query = {(x'_nj, n) : n < N, j < Q}

Labels 0, ..., N - 1 name the classes in the random order of their draw, so a label means nothing
outside of its task. Support and query never share an example.

Examples are images grouped by class, ``FewShot(images)``, or any arrays with their labels,
``FewShot(X, y)``. Bytes and 16-bit integers are images of a scale that ``full_scale`` names; all
other numbers stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from minimeta.counts import check_counts
from minimeta.errors import ConfigurationError
from minimeta.tasks.area import FULL_INK
from minimeta.tasks.task import Examples, Task

Classes = TypeVar("Classes")

Images: TypeAlias = NDArray[Any] | Sequence[NDArray[Any]] | Mapping[str, NDArray[Any]]
"""Examples grouped by class, as :class:`FewShot` takes them."""

_STORED = (np.uint8, np.uint16)
"""The dtypes of images that have a scale."""


class Split(NamedTuple, Generic[Classes]):
    """Classes for meta-training, for validation and for testing; no class is in two of them."""

    training: Classes
    validation: Classes
    testing: Classes


@dataclass(frozen=True, eq=False)
class FewShot:
    """N-way K-shot tasks from examples and their labels, or from images grouped by class.

    Attributes
    ----------
    images
        With `labels`, any examples: shape ``(examples, ...)``, such as features or sequences; a
        memory map is read where a task needs it. Without, one array for each class, in a sequence
        or by name: shape ``(images, height, width)`` for grey, ``(images, height, width,
        channels)`` for colour. Classes may have different numbers of examples. An array of shape
        ``(classes, images, height, width)`` is such a sequence, and the fastest.
    labels
        The label of each example, shape ``(examples,)``, texts or numbers; :attr:`names` has each
        once.
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
        task. This needs square images. By default bytes are turned, and nothing else.
    flat
        Whether an input is a vector, as it is for bytes by default, or has its own shape; that of
        an image is ``(height, width, channels)``.
    dtype
        The dtype of the inputs.
    full_scale
        The value of bytes and 16-bit integers that becomes 1: 225 for the ink of Omniglot and of
        strokes (:mod:`minimeta.tasks.area`), 255 for ordinary images, 65535 for those of 16 bits.
        Other numbers are not scaled.

    Raises
    ------
    ConfigurationError
        If there are too few classes or examples of a class, a count is below 1, examples are not
        all of one shape or hold more than `full_scale`, there are not as many labels, or
        `rotations` meets images that are not square.

    Examples
    --------
    >>> X, y = np.arange(24.0).reshape(8, 3), ["cat", "dog", "eel", "cat", "dog", "eel", "cat", "dog"]
    >>> tasks = FewShot(X, y, ways=2)
    >>> tasks.names
    ['cat', 'dog', 'eel']
    >>> tasks.sample(np.random.default_rng(0), 10).support.inputs.shape
    (10, 2, 3)
    """

    images: Images
    labels: ArrayLike | None = None
    ways: int = 5
    shots: int = 1
    queries: int = 1
    rotations: bool | None = None
    flat: bool | None = None
    dtype: DTypeLike = np.float32
    full_scale: int = FULL_INK

    def __post_init__(self) -> None:
        check_counts(self, "ways shots queries")
        if self.full_scale < 1:
            raise ConfigurationError(f"FewShot: full_scale must be at least 1, not {self.full_scale}")
        if self.ways > len(self.names):
            raise ConfigurationError(
                f"FewShot: {self.ways} ways need {self.ways} classes, but there are {len(self.names)}"
            )
        if self.labels is None:
            for name, images in zip(self.names, self._classes, strict=True):
                self._check_class(name, images)
        else:
            self._check(f"X of shape {self._all.shape}", self._all)
        for name, count in zip(self.names, self._counts, strict=True):
            if self.shots + self.queries > count:
                raise ConfigurationError(
                    f"FewShot: shots={self.shots} and queries={self.queries} need {self.shots + self.queries} "
                    f"different {'images' if self._stored else 'examples'} of each class, but class {name} has "
                    f"{count}; ask for fewer"
                )
        shape = self._all.shape[1:] if self.labels is not None else self._classes[0].shape[1:]
        if self._turns and (len(shape) not in (2, 3) or shape[0] != shape[1]):
            raise ConfigurationError(f"FewShot: rotations need square images, not {' x '.join(map(str, shape[:2]))}")

    def _check_class(self, name: str, images: NDArray[Any]) -> None:
        first = self._classes[0]
        if images.shape[1:] != first.shape[1:] or images.dtype != first.dtype:
            raise ConfigurationError(
                f"FewShot: all images must have one shape, but class {name} has {images.shape[1:]} "
                f"where the first class has {first.shape[1:]}"
                + (f", and {images.dtype} where it has {first.dtype}" if images.dtype != first.dtype else "")
            )
        self._check(f"class {name}", images)

    def _check(self, what: str, examples: NDArray[Any]) -> None:
        if examples.dtype.kind not in "biuf" or examples.ndim < 2:
            raise ConfigurationError(
                f"FewShot: {what} must be numbers of shape (examples, ...), not {examples.dtype} of shape "
                f"{examples.shape}"
            )
        if not self._stored:
            return
        if self.labels is None and examples.ndim not in (3, 4):
            raise ConfigurationError(
                f"FewShot: the images of {what} must be {examples.dtype} of shape (images, height, width) or "
                f"(images, height, width, channels), not {examples.dtype} of shape {examples.shape}"
            )
        if (most := examples.max(initial=0)) > self.full_scale:
            raise ConfigurationError(
                f"FewShot: {what} holds the value {most}, which is more than full_scale {self.full_scale}; ordinary "
                "images need full_scale=255, and those of 16 bits full_scale=65535"
            )

    @cached_property
    def names(self) -> list[str]:
        """The names of the classes."""
        if self.labels is not None:
            return [str(label) for label in self._grouped[0]]
        return list(self.images) if isinstance(self.images, Mapping) else [str(n) for n in range(len(self.images))]

    @cached_property
    def _all(self) -> NDArray[Any]:
        """The examples that have labels, in one array."""
        try:
            return _in_one_array(self.images)
        except ValueError as error:
            raise ConfigurationError(f"FewShot: X should be numbers, in examples of one shape ({error})") from error

    @cached_property
    def _grouped(self) -> tuple[NDArray[Any], NDArray[np.intp], NDArray[np.intp]]:
        """The labels, the places of the examples sorted by label, and how many have each."""
        labels = np.asarray(self.labels)
        if labels.shape != self._all.shape[:1]:
            raise ConfigurationError(
                f"FewShot: there should be a label for each example; X has shape {self._all.shape}, y {labels.shape}"
            )
        if labels.dtype.kind == "f" and np.isnan(labels).any():
            raise ConfigurationError("FewShot: some labels are nan, which is no class; leave these examples out")
        try:
            found, numbers, counts = np.unique(labels, return_inverse=True, return_counts=True)
        except TypeError as error:
            raise ConfigurationError(f"FewShot: labels should be of one kind, such as texts ({error})") from error
        return found, np.argsort(numbers, kind="stable"), counts

    @cached_property
    def _classes(self) -> Sequence[NDArray[Any]]:
        return list(self.images.values() if isinstance(self.images, Mapping) else self.images)

    @cached_property
    def _counts(self) -> NDArray[np.intp]:
        if self.labels is not None:
            return self._grouped[2]
        return np.array([len(images) for images in self._classes])

    @cached_property
    def _stored(self) -> bool:
        """Whether the examples are images with a scale."""
        return (self._all if self.labels is not None else self._classes[0]).dtype in _STORED

    @property
    def _turns(self) -> bool:
        return self._is_bytes if self.rotations is None else self.rotations

    @property
    def _is_bytes(self) -> bool:
        return self.labels is None and self._classes[0].dtype == np.uint8

    @property
    def image_shape(self) -> tuple[int, ...]:
        """The shape of an input that is not `flat`: height, width and channels for images."""
        shape = self._all.shape[1:] if self.labels is not None else self._classes[0].shape[1:]
        return (*shape, 1) if self._stored and len(shape) == 2 else shape

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
            Support inputs ``(count, ways * shots, *image_shape)``, or vectors if `flat`; images from
            0 to 1; int64 labels ``(count, ways * shots)``, each class's examples together; the
            query likewise with ``ways * queries``.
        """
        drawn = _without_replacement(rng, np.full(count, len(self._counts)), self.ways)
        chosen = _without_replacement(rng, self._counts[drawn], self.shots + self.queries)
        images = self._gather(drawn, chosen)
        if self._turns:
            turns = rng.integers(4, size=(count, self.ways))
            for quarter in (1, 2, 3):
                turned = turns == quarter
                images[turned] = np.rot90(images[turned], quarter, axes=(2, 3))
        return Task(self._examples(images[:, :, : self.shots]), self._examples(images[:, :, self.shots :]))

    def _gather(self, drawn: NDArray[np.intp], chosen: NDArray[np.intp]) -> NDArray[Any]:
        """Return the chosen examples (count, ways, each, ...) of the classes drawn."""
        if self.labels is not None:
            _, places, counts = self._grouped
            first = np.cumsum(counts) - counts
            return np.asarray(self._all[places[first[drawn][..., np.newaxis] + chosen]])
        if isinstance(self.images, np.ndarray):
            return self.images[drawn[..., np.newaxis], chosen]
        pairs = zip(drawn.ravel(), chosen.reshape(drawn.size, -1), strict=True)
        images = np.stack([self._classes[int(kind)][numbers] for kind, numbers in pairs])
        return images.reshape(*chosen.shape, *images.shape[2:])

    def _examples(self, images: NDArray[Any]) -> Examples:
        """Turn examples (count, ways, each, ...) into labelled inputs."""
        count, ways, each = images.shape[:3]
        shape = (-1,) if (self._is_bytes if self.flat is None else self.flat) else self.image_shape
        scaled = np.divide(images, self.full_scale, dtype=self.dtype) if self._stored else images.astype(self.dtype)
        inputs = scaled.reshape(count, ways * each, *shape)
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


def _in_one_array(examples: Any) -> NDArray[Any]:
    """Return an array of numbers for an array, or for a column of a table: of numbers, of arrays, of lists of them."""
    array: NDArray[Any] = np.asanyarray(examples)
    if array.dtype != object:
        return array
    if isinstance(examples, Mapping) and "bytes" in examples:
        raise ValueError(
            "each is a file of an image; the library datasets reads them: "
            'load_dataset("parquet", data_files=...)["train"].with_format("numpy")["image"], with full_scale=255'
        )
    return np.stack([_in_one_array(each) for each in array]) if array.ndim else array


def _without_replacement(rng: np.random.Generator, among: NDArray[np.intp], chosen: int) -> NDArray[np.intp]:
    """Return, for each number in among, `chosen` different numbers below it, uniform in value and in order."""
    most = among.max()
    order = rng.permuted(np.broadcast_to(np.arange(most), (*among.shape, most)), axis=-1)
    if among.min() < most:  # the allowed numbers of a random order are in random order, too
        allowed_first = np.argsort(order >= among[..., np.newaxis], axis=-1, kind="stable")
        order = np.take_along_axis(order, allowed_first, axis=-1)
    return order[..., :chosen]
