"""``minimeta data``: get a data set, or split a user's own, once and for all. Nothing else downloads anything."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from minimeta.cli.options import JsonOption
from minimeta.tasks import image_splits, omniglot
from minimeta.tasks.image_lists import LISTS
from minimeta.tasks.image_splits import MINI_IMAGENET
from minimeta.tasks.omniglot_archives import OFFICIAL


@dataclass(frozen=True)
class DataOptions(JsonOption):
    """Get Omniglot, 16 MB, from where it is published or from files at hand, and keep it at 28 x 28."""

    source: Annotated[tuple[Path, ...], tyro.conf.arg(name="from")] = ()
    """A folder with images_background and images_evaluation (.zip, as published, or .npz), or these two files."""
    data: Path | None = None
    """Folder to keep it in (default: $MINIMETA_DATA, or the user's cache)."""


@dataclass(frozen=True)
class SplitOptions(JsonOption):
    """Split a user's images by class, and write train.csv, val.csv and test.csv next to them."""

    source: Annotated[Path, tyro.conf.Positional]
    """A folder of class folders, or an .npz."""
    fractions: tuple[float, float, float] = MINI_IMAGENET
    """Shares, or numbers, of classes for training, validation and testing: 64 16 20."""
    seed: int = 0
    """Decides which classes they are."""
    ways: int = 5
    """The classes of a task: each part must have as many, or none (validation)."""


def data_omniglot(options: DataOptions) -> int:
    """Get Omniglot unless it is there, print where it is, and return the exit code.

    Raises
    ------
    MinimetaError
        Files are missing or not what they should be, a download fails, the extra ``data`` is not
        installed.
    """
    path = omniglot.fetch(options.data, options.source)
    text = f"Omniglot, {OFFICIAL.characters} characters by 20 people, 28 x 28, is in {path}"
    return options.answer({"omniglot": str(path)}, lambda: text)


def data_split(options: SplitOptions) -> int:
    """Write lists that split a user's images, print what they hold, and return the exit code.

    Raises
    ------
    MinimetaError
        There are no images, too few classes, or other lists.
    """
    folder, classes, copies = image_splits.write_lists(
        options.source, options.fractions, seed=options.seed, ways=options.ways
    )
    counts = ", ".join(f"{len(names)} for {part}" for part, names in classes._asdict().items())
    text = f"{sum(map(len, classes))} classes: {counts}, in {', '.join(LISTS)} in {folder}"
    if copies:
        text += f"\nleft off, since they are copies of other files of their class: {', '.join(map(str, copies))}"
    report = {"folder": str(folder), **classes._asdict(), "copies": list(map(str, copies))}
    return options.answer(report, lambda: text)
