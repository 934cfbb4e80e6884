"""Standard output and standard error that a run outlives.

A training of hours ends with a few lines of print, and these must not end it. A stream here never raises: what its
encoding does not have is written as plainly as it can be, and a stream that is closed or full is silent from then on.
That it was is remembered, for the exit code.
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
"""Where boxes are drawn, all that are neither horizontal nor vertical."""


def _plain(error: UnicodeError) -> tuple[str, int]:
    """Write what cannot be encoded in ASCII."""
    assert isinstance(error, UnicodeEncodeError)
    characters = error.object[error.start : error.end]
    return "".join(_PLAIN.get(each, "+" if ord(each) in _CORNERS else "?") for each in characters), error.end


codecs.register_error("minimeta.plain", _plain)


class Lasting:
    """A text stream that does not raise.

    Parameters
    ----------
    stream
        Where the text goes; None, as Python has it for a stream that was closed from the beginning, is a failure as
        soon as something is written.

    Attributes
    ----------
    failure
        Why it is silent; None if it is not.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self.failure: OSError | ValueError | None = None
        self._absent = stream is None
        # The device also takes the free descriptor, which no file of the run should have.
        self._stream = stream or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 (closed by `close`)

    def write(self, text: str) -> int:
        """Write, as far as possible."""
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
        """Hand over what was written."""
        if self.failure is None:
            try:
                self._stream.flush()
            except (OSError, ValueError) as error:
                self._fail(error)

    def close(self) -> None:
        """Hand over what was written, and give back what was opened here."""
        self.flush()
        if self._absent:
            self._stream.close()

    def _fail(self, error: OSError | ValueError) -> None:
        self.failure = error
        # What is left in the buffer would fail once more when Python ends.
        with contextlib.suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def lasting_streams() -> Iterator[Lasting]:
    """Make both standard streams last, and return standard output."""
    before = sys.stdout, sys.stderr
    output, errors = Lasting(sys.stdout), Lasting(sys.stderr)
    sys.stdout, sys.stderr = cast(TextIO, output), cast(TextIO, errors)
    try:
        yield output
    finally:
        output.close()
        errors.close()
        sys.stdout, sys.stderr = before
