"""Images of one's own, grouped by class: a folder of class folders, or an ``.npz``.

    a folder    of class folders of image files, as in ``n01532829/n0153282900000005.jpg``; they may be in a folder
                ``images`` of it
    an .npz     with ``images``, uint8, (images, height, width) or (images, height, width, channels), ``labels``,
                integers from 0, (images,), and, where classes have names, ``names``, (classes,)

Each image becomes a square of bytes from 0 to 255, in one step whatever its shape, by the Lanczos filter unless another
is named: so the code released with Finn et al. 2017 reads miniImageNet, at 84 x 84. The classes are split by
:mod:`minimeta.tasks.image_lists`, and tasks are made of them by

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

from minimeta.archives import read_arrays
from minimeta.errors import ConfigurationError, DataError, MissingDataError, MissingExtraError
from minimeta.files import DAMAGE

ImageClasses = dict[str, NDArray[np.uint8]]
"""Images (images, height, width, channels) by the name of their class."""

Filter = Literal["nearest", "box", "bilinear", "bicubic", "lanczos"]

_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}


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
        Which of Pillow's filters resizes.

    Raises
    ------
    ConfigurationError
        If a value is none of these.
    """

    size: int | None = 84
    channels: Literal[1, 3] = 3
    filter: Filter = "lanczos"

    def __post_init__(self) -> None:
        if self.size is not None and self.size < 1:
            raise ConfigurationError(f"Reading: size must be at least 1, not {self.size}")
        for name, kinds in (("channels", (1, 3)), ("filter", get_args(Filter))):
            if getattr(self, name) not in kinds:
                raise ConfigurationError(f"Reading: {name} must be one of {kinds}, not {getattr(self, name)!r}")

    def __call__(self, image: Any) -> NDArray[np.uint8]:
        """Turn a Pillow image into an array (height, width, channels)."""
        image = image.convert("L" if self.channels == 1 else "RGB")
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
        For each class, by name, its images, uint8, shape ``(images, height, width, channels)``, in the order of their
        names (in an ``.npz``, in their order there).

    Raises
    ------
    MissingDataError
        If there is no such folder or file, no class folder in it, or no image in one.
    DataError
        If a file is no image or damaged (it is named), images that are not resized differ in shape, or labels are out
        of range.
    MissingExtraError
        If images must be read or resized, and the extra ``data`` is not installed.
    """
    source = Path(source)
    if source.suffix == ".npz":
        return _read_arrays(source, reading)
    root = image_root(source)
    folders = sorted(path for path in root.iterdir() if path.is_dir())
    if not folders:
        raise MissingDataError(f"there are no class folders in {root}")
    classes = {
        folder.name: sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES) for folder in folders
    }
    if empty := [name for name, paths in classes.items() if not paths]:
        raise MissingDataError(f"there are no images in the class folder {root / empty[0]}")
    return read_files(classes, reading)


def image_root(source: Path) -> Path:
    """Return the folder of the class folders.

    Raises
    ------
    MissingDataError
        If there is no such folder.
    """
    if not source.is_dir():
        raise MissingDataError(f"there is no folder {source}")
    return source / "images" if (source / "images").is_dir() else source


def read_files(classes: Mapping[str, Iterable[Path]], reading: Reading) -> ImageClasses:
    """Read the image files of each class, as :func:`load` does."""
    image = pillow()

    def read(path: Path) -> NDArray[np.uint8]:
        try:
            with image.open(path) as opened:
                return reading(opened)
        except (*DAMAGE, SyntaxError) as error:  # the latter is what Pillow makes of some broken files
            raise DataError(f"{path} is not an image, or is damaged: {error}") from error

    with ThreadPoolExecutor() as threads:
        return {name: _stack(f"class {name}", threads.map(read, paths)) for name, paths in classes.items()}


def pillow() -> Any:
    """Return ``PIL.Image``.

    Raises
    ------
    MissingExtraError
        If the extra ``data`` is not installed.
    """
    try:
        from PIL import Image  # noqa: PLC0415 (needs the data extra)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "reading images needs Pillow, which is not installed: pip install 'minimeta[data]'"
        ) from error
    return Image


def _stack(what: str, images: Iterable[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    images = list(images)
    if len(shapes := {image.shape for image in images}) > 1:
        raise DataError(f"the images of {what} have the shapes {sorted(shapes)}; name a size to resize them to")
    return np.stack(images)


def _read_arrays(path: Path, reading: Reading) -> ImageClasses:
    arrays = read_arrays(path)
    if missing := {"images", "labels"} - arrays.keys():
        raise DataError(f"{path} should hold the arrays images and labels, but lacks {' and '.join(sorted(missing))}")
    images, labels = arrays["images"], arrays["labels"]
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or images.shape[3:] not in ((), (1,), (3,)):
        raise DataError(
            f"{path}: images should be uint8 of shape (images, height, width) or (images, height, width, 1 or 3), "
            f"not {images.dtype} of shape {images.shape}"
        )
    if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
        raise DataError(
            f"{path}: labels should be integers of shape {images.shape[:1]}, not {labels.dtype} of shape {labels.shape}"
        )
    names = [str(name) for name in arrays.get("names", np.arange(labels.max(initial=-1) + 1))]
    if (wrong := np.flatnonzero((labels < 0) | (labels >= len(names)))).size:
        raise DataError(
            f"{path}: labels[{wrong[0]}] is {labels[wrong[0]]}, but the labels of {len(names)} classes are 0 to "
            f"{len(names) - 1}"
        )
    if empty := sorted(set(range(len(names))) - set(labels.tolist())):
        raise DataError(f"{path}: there are no images of class {names[empty[0]]}")
    return {name: _as_read(images[labels == label], reading) for label, name in enumerate(names)}


def _as_read(images: NDArray[np.uint8], reading: Reading) -> NDArray[np.uint8]:
    """Give images (images, height, width[, channels]) the size and the channels they should have."""
    images = images.reshape(*images.shape[:3], -1)
    height, width, channels = images.shape[1:]
    if reading.size in (None, height) and reading.size in (None, width) and reading.channels == channels:
        return images
    image = pillow()
    as_pillow_has_it = images[..., 0] if channels == 1 else images
    return np.stack([reading(image.fromarray(pixels)) for pixels in as_pillow_has_it])
