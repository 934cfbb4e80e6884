"""Files that are whole or not there.

A reader never sees half of a file, and an interruption at any moment leaves either the old one or the new one: the
content goes to a temporary file in the same folder, reaches the disk (``fsync``), and takes the name in one step
(``os.replace``, atomic within a file system).
"""

import os
from pathlib import Path


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
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    # The new name itself reaches the disk with its folder.
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
