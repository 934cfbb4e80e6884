"""Files that are either complete or absent, and the folder for data.

No reader ever sees half of a file, and an interruption leaves either the old file or the new one.
The content is written to a temporary file in the same folder, flushed to disk (``fsync``), and
renamed in one step (``os.replace``, which is atomic within a file system).
"""

import errno
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def data_folder(data: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder that data is read from and written to.

    Parameters
    ----------
    data
        The folder. If it is not given, the environment variable ``MINIMETA_DATA`` names it; if that
        is not set either, it is ``minimeta`` in the user's cache (``$XDG_CACHE_HOME``, by default
        ``~/.cache``).
    """
    given = data or os.environ.get("MINIMETA_DATA")
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(given) if given else Path(cache) / "minimeta"


def write_npz(path: str | os.PathLike[str], **arrays: NDArray[Any]) -> None:
    """Write arrays to a compressed ``.npz`` file, atomically, as :func:`write_atomically` does."""
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **arrays)
    write_atomically(path, content.getvalue())


def write_atomically(path: str | os.PathLike[str], content: bytes | str) -> None:
    """Write a whole file or nothing, replacing the old one.

    Parameters
    ----------
    path
        The file; its folder must exist.
    content
        Bytes, or text to be encoded as UTF-8.

    Raises
    ------
    OSError
        If the folder is missing or cannot be written to, the disk is full, or the path is a folder.
        The old file is left as it was.
    """
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):  # name the user's file: the temporary one is gone
            error.filename = str(target)
        raise
    # Flush the folder too: the new name is part of it.
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
