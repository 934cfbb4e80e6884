"""Omniglot: 1623 handwritten characters of 50 alphabets, each drawn by the same 20 people (Lake et
al. 2015).

Few-shot learners see the drawings at 28 x 28, here by an exact area average
(:mod:`minimeta.tasks.area`). The files have one of three forms
(:mod:`minimeta.tasks.omniglot_files`), which give the same bits; ``minimeta data omniglot`` gets
them.

**The splits**, by name; the first two ignore alphabets:

    ============  ========  ==========  =======  ==============================================
    name          training  validation  testing  used by
    ============  ========  ==========  =======  ==============================================
    reptile       1200      0           423      Finn et al. 2017 and Nichol et al. 2018
    maml          1100      100         423      the code released with Finn et al. 2017
    background    964       0           659      Lake et al. 2015: 30 alphabets and 20 others
    ============  ========  ==========  =======  ==============================================

The papers do not say which characters are in a part, and their codes shuffle the order in which a
disk lists them. Here :data:`SPLIT_SEED` draws them once and for all; "maml" and "reptile" test on
the same 423.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from minimeta.errors import ConfigurationError, DataError, MissingDataError
from minimeta.files import data_folder, write_npz
from minimeta.tasks.images import Split
from minimeta.tasks.omniglot_archives import OFFICIAL, Edition, download
from minimeta.tasks.omniglot_files import PACKED, Ink, read

FORMS = ((PACKED,), *(tuple(f"{archive.stem}.{kind}" for archive in OFFICIAL.archives) for kind in ("npz", "zip")))
"""The names of the files of each form."""

SPLITS = {"reptile": (1200, 0, 423), "maml": (1100, 100, 423), "background": (964, 0, 659)}
"""The number of characters for training, validation and testing."""

SPLIT_SEED = 2017
"""Decides which characters are for training. Changing it changes every result."""


def load(data: str | os.PathLike[str] | None = None, edition: Edition = OFFICIAL) -> Ink:
    """Read all of Omniglot at 28 x 28.

    Parameters
    ----------
    data
        The folder with the files, or with a folder ``omniglot`` of them;
        :func:`minimeta.files.data_folder` says where else to look.
    edition
        The edition to expect. There is one; tests make smaller ones.

    Returns
    -------
    ndarray
        Ink from 0 (paper) to 225 (ink), uint8, shape ``(1623, 20, 28, 28)``, in the order of the
        official numbers.

    Raises
    ------
    MissingDataError
        If there are no files; the message says where they were looked for and how to get them.
    DataError
        If a file is truncated or holds something else; the message names it.
    MissingExtraError
        If there are only the archives, and the extra ``data`` is not installed.
    """
    return read(find(data), edition)


def find(data: str | os.PathLike[str] | None = None) -> list[Path]:
    """Return the files of the first form that is there, background first.

    Parameters
    ----------
    data
        As for :func:`load`.

    Raises
    ------
    MissingDataError
        If there is none.
    """
    places = [data_folder(data), data_folder(data) / "omniglot"]
    for names in FORMS:
        for place in places:
            if all((place / name).is_file() for name in names):
                return [place / name for name in names]
    alone = [place / name for place in places for names in FORMS for name in names if (place / name).is_file()]
    raise MissingDataError(
        "Omniglot is missing. Looked in\n"
        + "".join(f"  {place}\n" for place in places)
        + f"for {', or '.join(' and '.join(names) for names in FORMS)}.\n"
        + "".join(f"{path} alone is not enough.\n" for path in alone)
        + "Get it by: minimeta data omniglot (a download of 16 MB from https://github.com/brendenlake/omniglot, MIT "
        "licence, or --from FOLDER). Another folder is named by --data (or the argument data), or by the environment "
        "variable MINIMETA_DATA."
    )


def fetch(data: str | os.PathLike[str] | None = None, source: Sequence[Path] = (), edition: Edition = OFFICIAL) -> Path:
    """Make the packed file from other files, or by downloading the archives.

    Parameters
    ----------
    data
        The folder of the data, as for :func:`load`; the files go to a folder ``omniglot`` in it.
    source
        A folder with the files of one form, or the files; by default those in the folder of the
        data, or else a download.
    edition
        The edition to get.

    Returns
    -------
    Path
        The packed file.

    Raises
    ------
    MissingDataError
        If the source lacks a file, or a download fails.
    DataError
        If a file is not what it should be; the message names it, and what was expected and found.
    MissingExtraError
        If the extra ``data`` is needed and not installed.
    """
    folder = data_folder(data) / "omniglot"
    try:
        paths = _chosen(source) if source else find(data)
    except MissingDataError:
        if source:
            raise
        paths = download(folder, edition)
    ink = read(paths, edition)
    found = hashlib.sha256(ink.tobytes()).hexdigest()
    if found != edition.ink_sha256:
        raise DataError(
            f"{' and '.join(map(str, paths))}: these are other drawings than Omniglot's: at 28 x 28, expected SHA-256 "
            f"{edition.ink_sha256}, found {found}"
        )
    if not source and paths[0].name == PACKED:
        return paths[0]
    folder.mkdir(parents=True, exist_ok=True)
    write_npz(folder / PACKED, ink=ink)
    return folder / PACKED


def split(ink: Ink, name: Literal["reptile", "maml", "background"] = "reptile") -> Split[Ink]:
    """Split the characters into those for meta-training, for validation and for testing.

    Parameters
    ----------
    ink
        All 1623 characters as :func:`load` returns them.
    name
        The split, see above.

    Raises
    ------
    DataError
        If there are not 1623 characters, because the split would be another one.
    ConfigurationError
        If there is no split of that name.
    """
    if len(ink) != OFFICIAL.characters:
        raise DataError(f"the split of Omniglot is of {OFFICIAL.characters} characters, but there are {len(ink)}")
    if name not in SPLITS:
        raise ConfigurationError(f"Omniglot has no split {name!r}; there are {', '.join(SPLITS)}")
    training, validation, _ = SPLITS[name]
    order = np.arange(len(ink)) if name == "background" else np.random.default_rng(SPLIT_SEED).permutation(len(ink))
    return Split(*(ink[part] for part in np.split(order, [training, training + validation])))


def _chosen(source: Sequence[Path]) -> list[Path]:
    """Return the given files, or those in the given folder, in order."""
    if len(source) == 1 and source[0].is_dir():
        return find(source[0])
    by_name = {path.name: path for path in source}
    for names in FORMS:
        if sorted(names) == sorted(by_name):
            return [by_name[name] for name in names]
    raise MissingDataError(
        f"Omniglot cannot be made of {', '.join(map(str, source))}; it takes a folder, or "
        + ", or ".join(" and ".join(names) for names in FORMS)
    )
