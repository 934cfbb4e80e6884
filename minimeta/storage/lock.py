"""A folder that one process at a time writes.

The lock is the operating system's (``flock``): it ends with the process, however that ends. A file
system without locks, such as some network file systems, keeps nobody out.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from minimeta.errors import StorageError


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from writing a folder inside the ``with`` statement.

    Raises
    ------
    StorageError
        If another process is writing it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".lock"
    with _lock(path) as file:
        file.truncate(0)
        with contextlib.suppress(OSError):  # on a full disk the lock does not name its owner
            os.write(file.fileno(), f"process {os.getpid()} on {platform.node()}".encode())
        for left in folder.glob(".*.npz.*"):  # by a process that was killed while it wrote
            left.unlink(missing_ok=True)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _lock(path: Path) -> TextIO:
    """Return the file that is locked."""
    file = path.open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        owner = file.read() or "another process"
        file.close()
        raise StorageError(f"{owner} is writing the run in {path.parent}: wait for it, or end it") from error
    except OSError:  # the file system has no locks
        return file
    if path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno())):
        return file
    file.close()  # Its owner has just ended, and removed it.
    return _lock(path)
