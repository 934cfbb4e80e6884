"""Standard output and standard error that never end a run.

A training of hours ends with a few lines of output, and an error in these must not lose it. So a
stream here never raises: it writes characters that its encoding lacks as plain ones, and falls
silent once it is closed or full. The exit code then says so.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast

_PLAIN = {"±": "+-", "–": "-", "…": "..."} | dict.fromkeys("─━", "-") | dict.fromkeys("│┃", "|")
_CORNERS = range(0x250C, 0x2580)
"""Characters that draw boxes, except horizontal and vertical lines."""


def _plain(error: UnicodeError) -> tuple[str, int]:
    """Return an ASCII replacement for characters that cannot be encoded."""
    assert isinstance(error, UnicodeEncodeError)
    characters = error.object[error.start : error.end]
    return "".join(_PLAIN.get(each, "+" if ord(each) in _CORNERS else "?") for each in characters), error.end


codecs.register_error("minimeta.plain", _plain)


class Lasting:
    """A text stream that does not raise.

    Parameters
    ----------
    stream
        The stream to write to; None, Python's value for a stream that was closed from the
        beginning, is a failure as soon as something is written.

    Attributes
    ----------
    failure
        The reason for its silence; None if there is none.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self.failure: OSError | ValueError | None = None
        self._absent = stream is None
        # The null device also occupies the free descriptor, which must not go to a file of the run.
        self._stream = stream or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 (closed by `close`)

    def write(self, text: str) -> int:
        """Write as much as possible."""
        if self._absent and text:
            self.failure = OSError(errno.EBADF, os.strerror(errno.EBADF))
        if self.failure is None:
            encoding = self._stream.encoding or "utf-8"
            try:
                self._stream.write(text.encode(encoding, "minimeta.plain").decode(encoding))
            except (OSError, ValueError) as error:
                self._fail(error)
        return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        if self.failure is None:
            try:
                self._stream.flush()
            except (OSError, ValueError) as error:
                self._fail(error)

    def close(self) -> None:
        """Flush the stream, and close the null device if this opened it."""
        self.flush()
        if self._absent:
            self._stream.close()

    def _fail(self, error: OSError | ValueError) -> None:
        self.failure = error
        # Flushing the rest of the buffer would fail again when Python exits, so send it to the null
        # device.
        with contextlib.suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def lasting_streams() -> Iterator[Lasting]:
    """Keep both standard streams from raising, and return standard output."""
    before = sys.stdout, sys.stderr
    output, errors = Lasting(sys.stdout), Lasting(sys.stderr)
    sys.stdout, sys.stderr = cast(TextIO, output), cast(TextIO, errors)
    try:
        yield output
    finally:
        output.close()
        errors.close()
        sys.stdout, sys.stderr = before
