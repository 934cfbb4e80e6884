"""Messages between two processes of one machine: arrays through shared memory, the rest through a pipe.

Pickle takes a message apart (PEP 574): a short stream, and the buffers of its arrays, uncopied. The
buffers are written side by side into a segment of memory that both processes map, the stream goes
through the pipe, and the receiver copies the buffers out:

    sender      buffers -> segment,  stream -> pipe
    receiver    pipe -> stream,  segment -> buffers of its own

The two take turns. So a message has been copied out before its answer is written, and one segment
serves both directions. It belongs to the process that asks, which makes it as large as the largest
message so far, and removes it; the process that answers only maps it. What does not fit goes
through the pipe: an answer that is the largest so far, and everything where the machine has no room
for a segment.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import warnings
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

#: Where Linux keeps segments.
_MOUNTED = Path("/dev/shm")


class Channel:
    """One end of a pipe, and the segment beside it.

    Parameters
    ----------
    connection
        The end of the pipe.
    owns
        Whether the segment belongs to this end, which then speaks first.
    """

    def __init__(self, connection: Connection, owns: bool) -> None:
        self._connection, self._owns = connection, owns
        self._segment: SharedMemory | None = None
        self._largest, self._has_room = 0, True
        # Each step takes and frees memory of the size of a message. The C library of Linux gives it
        # back to the system every time, page by page, until it has seen a larger block come and go.
        bytes(31 * 2**20)

    @property
    def size(self) -> int:
        """Bytes of the segment."""
        return self._segment.size if self._segment else 0

    def send(self, message: Any) -> None:
        """Send a message.

        Raises
        ------
        OSError
            If the other process has ended.
        """
        buffers: list[pickle.PickleBuffer] = []
        stream = pickle.dumps(message, 5, buffer_callback=buffers.append)
        views = [each.raw() for each in buffers]
        sizes = [len(view) for view in views]
        self._largest = max(self._largest, sum(sizes))
        if self._owns and self._has_room and self._largest > self.size:
            self._grow()
        if self._segment is None or sum(sizes) > self._segment.size:
            self._connection.send((None, sizes, stream))
            for view in views:
                self._connection.send_bytes(view)
            return
        memory, start = _memory(self._segment), 0
        for view in views:
            memory[start : start + len(view)] = view
            start += len(view)
        self._connection.send((self._segment.name, sizes, stream))

    def receive(self) -> Any:
        """Wait for a message and return it; nothing else holds the memory of its arrays.

        Raises
        ------
        EOFError, OSError
            If the other process has ended.
        """
        name, sizes, stream = self._connection.recv()
        self._largest = max(self._largest, sum(sizes))
        if name is None:
            return pickle.loads(stream, buffers=[bytearray(self._connection.recv_bytes()) for _ in sizes])
        if self._segment is None or self._segment.name != name:
            self._remove()
            self._segment = SharedMemory(name)
        memory, buffers, start = _memory(self._segment), [], 0
        for size in sizes:
            buffers.append(bytearray(memory[start : start + size]))
            start += size
        return pickle.loads(stream, buffers=buffers)

    def close(self) -> None:
        """Close the pipe, and remove the segment if it belongs to this end."""
        self._connection.close()
        self._remove()

    def _remove(self) -> None:
        if self._segment is None:
            return
        self._segment.close()
        if self._owns:
            with contextlib.suppress(FileNotFoundError):
                self._segment.unlink()
        self._segment = None

    def _grow(self) -> None:
        """Make a segment for the largest message so far; where there is no room, do without from now on."""
        self._remove()
        try:
            self._segment = SharedMemory(create=True, size=self._largest)
            _take(self._segment)
        except OSError as error:
            self._remove()
            self._has_room = False
            warnings.warn(
                f"workers: {self._largest / 1e6:.1f} MB of shared memory were refused ({error}), so arrays go through "
                "pipes, which are slower. A larger /dev/shm is the remedy: `docker run --shm-size=1g`, or "
                "`mount -o remount,size=1g /dev/shm`",
                RuntimeWarning,
                stacklevel=2,
            )


def _memory(segment: SharedMemory) -> memoryview:
    assert segment.buf is not None  # It is not closed.
    return segment.buf


def _take(segment: SharedMemory) -> None:
    """Take all memory of a segment now: if it is missing later, the signal SIGBUS ends who writes to it."""
    if not _MOUNTED.is_dir():
        return
    descriptor = os.open(_MOUNTED / segment.name, os.O_RDWR)
    try:
        os.posix_fallocate(descriptor, 0, segment.size)
    finally:
        os.close(descriptor)
