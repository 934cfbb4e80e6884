"""Omniglot's files, in three forms that give the same bits at 28 x 28.

    omniglot-28x28.npz                              packed: the array ``ink``, uint8, (characters, 20, 28, 28), as it is
    images_background.npz, images_evaluation.npz    arrays ``images``, bool, (characters, 20, 105, 105), True for paper
    images_background.zip, images_evaluation.zip    the official archives

The background set holds the 964 characters of 30 alphabets and the evaluation set the 659 of 20
others, in the order of their official numbers, 1 to 964 and 965 to 1623. In the archives a drawing
is a black and white image whose name has the numbers of its character and of its drawer:
``images_background/Alphabet_of_the_Magi/character01/0709_01.png``.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minimeta.archives import open_arrays
from minimeta.errors import DataError
from minimeta.tasks.area import DRAWN_SIDE, SIDE, area_average
from minimeta.tasks.omniglot_archives import Archive, Edition, verify
from minimeta.tasks.pixels import pillow

Ink = NDArray[np.uint8]

PACKED = "omniglot-28x28.npz"
DRAWERS = 20

_CHARACTERS_AT_ONCE = 8  # 1.8 MB of pixels stay in the second-level cache between inflating and counting


def read(paths: Sequence[Path], edition: Edition) -> Ink:
    """Read the files of one form.

    Parameters
    ----------
    paths
        The packed file, or one file for each of the edition's archives, in order.
    edition
        What the files should hold.

    Returns
    -------
    ndarray
        Ink from 0 (paper) to 225 (ink), uint8, shape ``(characters, 20, 28, 28)``.

    Raises
    ------
    DataError
        If a file is truncated or holds something else; the message names it.
    MissingExtraError
        If the files are archives, and the extra ``data`` is not installed.
    """
    shape = (edition.characters, DRAWERS, SIDE, SIDE)
    if paths[0].name == PACKED:
        with open_arrays(paths[0]) as packed:
            if "ink" not in packed or packed["ink"].shape != shape or packed["ink"].dtype != np.uint8:
                raise DataError(
                    f"{paths[0]} should hold an array ink, uint8 of shape {shape}; delete it and make it again"
                )
            return packed["ink"].read()
    ink = np.empty(shape, np.uint8)
    done = 0
    for path, archive in zip(paths, edition.archives, strict=True):
        for paper in _archive(path, archive) if path.suffix == ".zip" else _arrays(path, archive):
            ink[done : done + len(paper)] = area_average(~paper)
            done += len(paper)
    return ink


def _archive(path: Path, archive: Archive) -> Iterator[NDArray[np.bool_]]:
    """Read an official archive, one character at a time."""
    image = pillow()
    verify(path, archive)
    pattern = re.compile(rf"{archive.stem}/[^/]+/[^/]+/(\d{{4}}_\d{{2}})\.png")
    name = ""
    try:
        with zipfile.ZipFile(path) as file:
            drawings = {found[1]: found[0] for found in map(pattern.fullmatch, file.namelist()) if found}
            for number in range(archive.first, archive.first + archive.characters):
                paper = np.empty((1, DRAWERS, DRAWN_SIDE, DRAWN_SIDE), np.bool_)
                for drawer in range(DRAWERS):
                    name = f"{number:04}_{drawer + 1:02}"
                    with file.open(drawings[name]) as content, image.open(content, formats=["PNG"]) as drawing:
                        if drawing.size != (DRAWN_SIDE, DRAWN_SIDE):
                            raise ValueError(f"it has {drawing.width} x {drawing.height} pixels")
                        paper[0, drawer] = np.asarray(drawing.convert("L")) >= 128
                yield paper
    except Exception as error:  # zipfile and Pillow raise almost anything for damaged bytes
        raise DataError(f"{path}: drawing {name} is missing or damaged ({type(error).__name__}: {error})") from error


def _arrays(path: Path, archive: Archive) -> Iterator[NDArray[np.bool_]]:
    """Inflate the array `images` a few characters at a time, which takes half the time and a tenth of the memory."""
    expected = (archive.characters, DRAWERS, DRAWN_SIDE, DRAWN_SIDE)
    with open_arrays(path) as arrays:
        if "images" not in arrays:
            raise DataError(f"{path} should hold an array images, and holds {', '.join(arrays) or 'none'}")
        images = arrays["images"]
        if images.shape != expected or images.dtype != np.bool_:
            found = f"{images.dtype} of shape {images.shape}"
            raise DataError(f"{path}: images should be bool of shape {expected}, but is {found}")
        yield from images.blocks(_CHARACTERS_AT_ONCE)
