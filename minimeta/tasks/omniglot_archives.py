"""The official archives of Omniglot: their address, and the checksums that show that they are
whole.

Only ``minimeta data omniglot`` downloads them.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

from minimeta.errors import DataError, MissingDataError, MissingExtraError


class Archive(NamedTuple):
    """One half of Omniglot.

    Attributes
    ----------
    stem
        Its name without ``.zip``.
    first, characters
        The official number of its first character, and the number of characters.
    size, sha256
        The archive's number of bytes and its checksum.
    """

    stem: str
    first: int
    characters: int
    size: int
    sha256: str

    @property
    def name(self) -> str:
        """The name of the file."""
        return f"{self.stem}.zip"


class Edition(NamedTuple):
    """Omniglot, down to the byte.

    Attributes
    ----------
    archives
        Its parts.
    address
        The address of the downloads.
    ink_sha256
        The checksum of all drawings at 28 x 28, as :func:`minimeta.tasks.omniglot.load` returns
        them.
    """

    archives: tuple[Archive, ...]
    address: str
    ink_sha256: str

    @property
    def characters(self) -> int:
        """The number of characters."""
        return sum(archive.characters for archive in self.archives)


# The checksums are those in torchvision's prototype data sets. Its released class lists MD5:
# 68d2efa1b9178cc56df9314c21c6e718 and 6b91aef0f799c5bb55b94e3f2daec811.
OFFICIAL = Edition(
    archives=(
        Archive(
            stem="images_background",
            first=1,
            characters=964,
            size=9_464_212,
            sha256="ad41ab679c8b5d90b271ef46be6987cc81211774a695c29dcc5367b2b26ee640",
        ),
        Archive(
            stem="images_evaluation",
            first=965,
            characters=659,
            size=6_462_886,
            sha256="1f61a8f3366785b057fc117d9228e78a16e3d976c8953b2a10fcc74cf0609cee",
        ),
    ),
    address="https://raw.githubusercontent.com/brendenlake/omniglot/master/python",
    ink_sha256="90fd13d13be792b8c4b10ba0f49fc8eefea0053b017d977afda14a9be1fced1d",
)


def download(folder: str | os.PathLike[str], edition: Edition = OFFICIAL) -> list[Path]:
    """Download the archives that are not in the folder yet.

    Parameters
    ----------
    folder
        The folder, which is made if it is missing. A file gets its name only when it is whole.
    edition
        What to download.

    Returns
    -------
    list of Path
        The archives.

    Raises
    ------
    MissingExtraError
        If the extra ``data`` is not installed.
    MissingDataError
        If a download fails.
    DataError
        If a download is something else; the message has the file and both checksums.
    """
    try:
        import pooch  # noqa: PLC0415 (needs the data extra)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "downloading needs pooch, which is not installed: pip install 'minimeta[data]'"
        ) from error
    paths = []
    for archive in edition.archives:
        address = f"{edition.address}/{archive.name}"
        try:
            paths.append(Path(pooch.retrieve(address, f"sha256:{archive.sha256}", archive.name, folder)))
        except ValueError as error:
            raise DataError(f"{address}: {error}") from error
        except OSError as error:  # includes all errors of requests, with which pooch downloads
            raise MissingDataError(
                f"{address} could not be downloaded to {folder} ({error}). Try again, or get the archives in another "
                "way and name their folder: minimeta data omniglot --from FOLDER"
            ) from error
    return paths


def verify(path: Path, archive: Archive) -> None:
    """Refuse a file that is not the archive.

    Raises
    ------
    DataError
        With the file, the expected size or checksum, and the one found.
    """
    size = path.stat().st_size
    if size < archive.size:
        raise DataError(f"{path} is truncated: it has {size} of {archive.size} bytes")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != archive.sha256:
        raise DataError(
            f"{path} is not the official archive, or is damaged: expected SHA-256 {archive.sha256}, found {found}"
        )
