"""A user's images, grouped by class: a folder of class folders, or an ``.npz``.

    a folder    of class folders of image files, as in ``n01532829/n0153282900000005.jpg``, or with such
                class folders in a folder ``images``
    an .npz     with ``images``, uint8, (images, height, width) or (images, height, width, channels),
                ``labels``, integers from 0, (images,), and, if classes have names, ``names``,
                (classes,)

Hidden files and folders, and those of operating systems (``__MACOSX``, ``Thumbs.db``), are ignored.
Each image becomes a square of bytes from 0 to 255 (:mod:`minimeta.tasks.pixels`) in one step,
whatever its shape, by the Lanczos filter unless another is named, as the code released with Finn et
al. 2017 reads miniImageNet at 84 x 84. :mod:`minimeta.tasks.image_lists` splits the classes, and
tasks are made of them by

    FewShot(classes, queries=15, rotations=False, flat=False, full_scale=255)
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from minimeta.archives import StoredArray, open_arrays
from minimeta.counts import whole_number
from minimeta.errors import ConfigurationError, DataError, MissingDataError
from minimeta.tasks.pixels import SUFFIXES, pillow, read_image, to_bytes

ImageClasses = dict[str, NDArray[np.uint8]]
"""Images (images, height, width, channels) by the name of their class."""

Filter = Literal["nearest", "box", "bilinear", "bicubic", "lanczos"]

_LEFT_BEHIND = {"__MACOSX", "__pycache__", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"}


@dataclass(frozen=True)
class Reading:
    """How an image becomes an array.

    Attributes
    ----------
    size
        Height and width; with None an image keeps its own, and all must have the same.
    channels
        1 for grey, 3 for colour.
    filter
        The filter of Pillow that resizes.

    Raises
    ------
    ConfigurationError
        If a value is not one of these.
    """

    size: int | None = 84
    channels: Literal[1, 3] = 3
    filter: Filter = "lanczos"

    def __post_init__(self) -> None:
        if self.size is not None:
            whole_number("Reading", "size", self.size, 1)
        for name, kinds in (("channels", (1, 3)), ("filter", get_args(Filter))):
            if getattr(self, name) not in kinds:
                raise ConfigurationError(f"Reading: {name} must be one of {kinds}, not {getattr(self, name)!r}")

    @property
    def mode(self) -> str:
        """Pillow's name of the channels."""
        return "L" if self.channels == 1 else "RGB"

    def __call__(self, image: Any) -> NDArray[np.uint8]:
        """Turn a Pillow image into an array (height, width, channels)."""
        image = to_bytes(image, self.mode)
        if self.size is not None and image.size != (self.size, self.size):
            image = image.resize((self.size, self.size), pillow().Resampling[self.filter.upper()])
        return np.asarray(image).reshape(image.height, image.width, self.channels)


AS_FINN = Reading()
"""miniImageNet as the code released with Finn et al. 2017 reads it."""


def load(source: str | os.PathLike[str], reading: Reading = AS_FINN) -> ImageClasses:
    """Read all images of a collection.

    Parameters
    ----------
    source
        A folder of class folders, or an ``.npz``.
    reading
        Size, channels and filter.

    Returns
    -------
    dict
        The images of each class by its name, uint8, shape ``(images, height, width, channels)``, in
        the order of their names (from an ``.npz``, in their order there).

    Raises
    ------
    MissingDataError
        If there is no such folder or file, no class folder in it, or no image in one.
    DataError
        If a file is not an image, is damaged, or has numbers of no known range (the message names
        it), images that are not resized differ in shape, or labels are out of range.
    MissingExtraError
        If images must be read or resized, and the extra ``data`` is not installed.
    """
    source = Path(source)
    if source.suffix == ".npz":
        return _read_arrays(source, reading)
    return read_files(class_files(source), reading)


def class_files(source: Path) -> dict[str, list[Path]]:
    """Return the image files of each class folder, in the order of their names.

    Raises
    ------
    MissingDataError
        If there is no such folder, no class folder in it, or no image in one.
    DataError
        If there are class folders both in the folder and in a folder ``images`` of it.
    """
    inner, outer = (_images_by_folder(root) for root in image_roots(source))
    within = any(inner.values())
    if within and any(files for name, files in outer.items() if name != "images"):
        raise DataError(
            f"there are class folders both in {source} and in {source / 'images'}: name one that holds them all"
        )
    root, classes = (source / "images", inner) if within else (source, outer)
    if not classes:
        raise MissingDataError(f"there are no class folders in {root}")
    if empty := [name for name, paths in classes.items() if not paths]:
        raise MissingDataError(
            f"there are no images in the class folder {root / empty[0]}; images are {', '.join(sorted(SUFFIXES))}"
        )
    return classes


def image_roots(source: Path) -> tuple[Path, Path]:
    """Return the folders that may hold class folders: a folder ``images``, which may be missing,
    and the given one.

    Raises
    ------
    MissingDataError
        If there is no such folder.
    """
    if not source.is_dir():
        raise MissingDataError(f"there is no folder {source}")
    return source / "images", source


def _images_by_folder(root: Path) -> dict[str, list[Path]]:
    """Return the image files in each folder of a folder, by its name."""
    folders = (
        sorted(path for path in root.iterdir() if path.is_dir() and not _left_behind(path)) if root.is_dir() else []
    )
    return {
        folder.name: sorted(
            path
            for path in folder.iterdir()
            if path.suffix.lower() in SUFFIXES and path.is_file() and not _left_behind(path)
        )
        for folder in folders
    }


def _left_behind(path: Path) -> bool:
    """Return whether a system or a program left the file, instead of the collector of the images."""
    return path.name.startswith(".") or path.name in _LEFT_BEHIND


def read_files(classes: Mapping[str, Iterable[Path]], reading: Reading) -> ImageClasses:
    """Read the image files of each class, as :func:`load` does."""
    pillow()

    def read(path: Path) -> NDArray[np.uint8]:
        return reading(read_image(path, reading.mode))

    with ThreadPoolExecutor() as threads:
        return {name: _stack(f"class {name}", threads.map(read, paths)) for name, paths in classes.items()}


def _stack(what: str, images: Iterable[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    images = list(images)
    if len(shapes := {image.shape for image in images}) > 1:
        raise DataError(f"the images of {what} have the shapes {sorted(shapes)}; name a size to resize them to")
    return np.stack(images)


def _read_arrays(path: Path, reading: Reading) -> ImageClasses:
    with open_arrays(path) as arrays:
        labels, names = _labels_and_names(path, arrays)
        images = arrays["images"].read()
    return {name: _as_read(images[labels == label], reading) for label, name in enumerate(names)}


def class_names(path: Path) -> list[str]:
    """Return the names of the classes in an ``.npz`` of images, without reading the images.

    Raises
    ------
    MissingDataError
        If there is no such file.
    DataError
        If it is damaged or holds other arrays.
    """
    with open_arrays(path) as arrays:
        return _labels_and_names(path, arrays)[1]


def _labels_and_names(path: Path, arrays: Mapping[str, StoredArray]) -> tuple[NDArray[Any], list[str]]:
    """Check shapes and dtypes, and return the labels of the images and the names of their classes."""
    if missing := {"images", "labels"} - arrays.keys():
        raise DataError(f"{path} should hold the arrays images and labels, but lacks {' and '.join(sorted(missing))}")
    images, labels = arrays["images"], arrays["labels"]
    if images.dtype != np.uint8 or len(images.shape) not in (3, 4) or images.shape[3:] not in ((), (1,), (3,)):
        raise DataError(
            f"{path}: images should be uint8 of shape (images, height, width) or (images, height, width, 1 or 3), "
            f"not {images.dtype} of shape {images.shape}"
        )
    if 0 in images.shape:
        raise DataError(f"{path}: images of shape {images.shape} hold no pixels")
    if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
        raise DataError(
            f"{path}: labels should be integers of shape {images.shape[:1]}, not {labels.dtype} of shape {labels.shape}"
        )
    numbers = labels.read()
    names = _names(path, arrays["names"]) if "names" in arrays else list(map(str, range(_classes(path, numbers))))
    if (wrong := np.flatnonzero((numbers < 0) | (numbers >= len(names)))).size:
        raise DataError(
            f"{path}: labels[{wrong[0]}] is {numbers[wrong[0]]}, but the labels of {len(names)} classes are 0 to "
            f"{len(names) - 1}"
        )
    if empty := sorted(set(range(len(names))) - set(numbers.tolist())):
        raise DataError(f"{path}: there are no images of class {names[empty[0]]}")
    return numbers, names


def _names(path: Path, stored: StoredArray) -> list[str]:
    """Return the names of the classes."""
    if len(stored.shape) != 1 or stored.dtype.kind not in "USiu":
        raise DataError(
            f"{path}: names should be texts of shape (classes,), not {stored.dtype} of shape {stored.shape}"
        )
    try:
        names = [name.decode() if isinstance(name, bytes) else str(name) for name in stored.read().tolist()]
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: names are bytes that are not UTF-8 ({error}); save them as texts") from error
    if twice := [name for place, name in enumerate(names) if name in names[:place]]:
        raise DataError(f"{path}: two classes have the name {twice[0]}")
    return names


def _classes(path: Path, labels: NDArray[Any]) -> int:
    """Count classes without names; each must have images."""
    found = set(labels.tolist())
    first_without = next(label for label in range(len(found) + 1) if label not in found)
    if first_without <= max(found):
        raise DataError(f"{path}: there are no images of class {first_without}")
    return first_without


def _as_read(images: NDArray[np.uint8], reading: Reading) -> NDArray[np.uint8]:
    """Resize and convert images (images, height, width[, channels]) as the reading says."""
    images = images.reshape(*images.shape[:3], -1)
    height, width, channels = images.shape[1:]
    if reading.size in (None, height) and reading.size in (None, width) and reading.channels == channels:
        return images
    image = pillow()
    as_pillow_has_it = images[..., 0] if channels == 1 else images
    return np.stack([reading(image.fromarray(pixels)) for pixels in as_pillow_has_it])
