"""Files that are whole or not there, and the folder of the data.

A reader never sees half of a file, and an interruption at any moment leaves either the old one or the new one: the
content goes to a temporary file in the same folder, reaches the disk (``fsync``), and takes the name in one step
(``os.replace``, atomic within a file system).
"""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def data_folder(data: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder that data are read from and written to.

    Parameters
    ----------
    data
        The folder, if it is given. Otherwise the environment variable ``MINIMETA_DATA`` names it, and without that it
        is ``minimeta`` in the user's cache (``$XDG_CACHE_HOME``, by default ``~/.cache``).
    """
    given = data or os.environ.get("MINIMETA_DATA")
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(given) if given else Path(cache) / "minimeta"


def write_npz(path: str | os.PathLike[str], **arrays: NDArray[Any]) -> None:
    """Write arrays to a compressed ``.npz`` file, whole, as :func:`write_atomically` does."""
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **arrays)
    write_atomically(path, content.getvalue())


def write_atomically(path: str | os.PathLike[str], content: bytes | str) -> None:
    """Write a file whole, replacing what was there.

    Parameters
    ----------
    path
        The file; its folder must exist.
    content
        Bytes, or text to be encoded as UTF-8.

    Raises
    ------
    OSError
        If the folder is missing or cannot be written to, or the disk is full; the old file is then still there.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):  # whose file is the user's, and not one that is gone
            error.filename = str(target)
        raise
    # The new name itself reaches the disk with its folder.
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
