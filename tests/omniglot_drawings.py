"""Drawings in the format of Omniglot's files."""

import hashlib
import io
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from minimeta.tasks.omniglot_archives import Archive, Edition


class SmallOmniglot(NamedTuple):
    """Two archives in the layout of the official ones."""

    folder: Path
    edition: Edition
    paper: NDArray[np.bool_]
    """(characters, 20, 105, 105), True for paper."""


def area_average(paper: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The definition: cut each pixel in 4 x 4, count the inked pieces in squares of 15 x 15."""
    pieces = np.repeat(np.repeat(~paper, 4, axis=-2), 4, axis=-1)
    return np.asarray(pieces.reshape(*paper.shape[:-2], 28, 15, 28, 15).sum(axis=(-3, -1)))


def write_archive(path: Path, first: int, paper: NDArray[np.bool_]) -> Archive:
    """Write drawings as the official archives hold them: 1-bit images, folders, and the files that a Mac adds."""
    stem = path.stem
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{stem}/", "")
        archive.writestr(f"{stem}/.DS_Store", "not a drawing")
        for index in reversed(range(len(paper))):  # the order in the archive is not that of the numbers
            for drawer in range(20):
                content = io.BytesIO()
                Image.fromarray(paper[index, drawer]).save(content, "PNG")
                name = f"{first + index:04}_{drawer + 1:02}.png"
                archive.writestr(f"{stem}/Futurama/character{index + 1:02}/{name}", content.getvalue())
                archive.writestr(f"__MACOSX/{stem}/Futurama/character{index + 1:02}/._{name}", "not a drawing")
    content_bytes = path.read_bytes()
    return Archive(stem, first, len(paper), len(content_bytes), hashlib.sha256(content_bytes).hexdigest())


def make_edition(folder: Path, paper: NDArray[np.bool_], background: int, address: str = "") -> Edition:
    """Write drawings to two archives, the first of that many characters, and describe them."""
    archives = (
        write_archive(folder / "images_background.zip", 1, paper[:background]),
        write_archive(folder / "images_evaluation.zip", background + 1, paper[background:]),
    )
    ink = area_average(paper).astype(np.uint8)
    return Edition(archives, address, hashlib.sha256(ink.tobytes()).hexdigest())


def stand_in_character(number: int) -> NDArray[np.bool_]:
    """One character of the stand-in, as 20 people draw it: coarse random strokes, never quite in the same place."""
    rng = np.random.default_rng([1623, number])
    strokes = np.pad((rng.random((7, 7)) < 0.3).repeat(15, axis=0).repeat(15, axis=1), 5)
    return ~np.stack([strokes[y : y + 105, x : x + 105] for y, x in rng.integers(0, 11, (20, 2))])
