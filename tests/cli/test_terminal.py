"""What a person sees: the command in a real pseudo-terminal, wide, narrow and without colours."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from pathlib import Path

import pytest
from background import MINIMETA

pytest_plugins = ["trained_runs"]


def seen(words: list[str], columns: int, **environment: str) -> str:
    """Run the command in a terminal of so many columns, and return all that it prints."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    whole = {**os.environ, "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8", **environment}
    for name in ("COLUMNS", "LINES", *({"NO_COLOR"} - environment.keys())):
        whole.pop(name, None)
    process = subprocess.Popen([*MINIMETA, *words], stdin=theirs, stdout=theirs, stderr=theirs, env=whole)
    os.close(theirs)
    printed = b""
    try:
        while some := os.read(ours, 1 << 16):
            printed += some
    except OSError:  # the end, on Linux
        pass
    os.close(ours)
    assert process.wait() == 0, printed
    return printed.decode()


def lines_of(printed: str) -> list[str]:
    return re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", printed))


@pytest.mark.parametrize(("columns", "colours"), [(80, True), (40, False)])
def test_a_run_is_evaluated_on_a_terminal(columns: int, colours: bool, trained: Path) -> None:
    environment = {} if colours else {"NO_COLOR": "1"}
    printed = seen(["evaluate", str(trained)], columns, **environment)
    lines = lines_of(printed)
    assert max(map(len, lines)) <= columns
    assert bool(re.search(r"\x1b\[3[0-9]m", printed)) == colours
    assert any(line.startswith("evaluation ") and "4/4" in line for line in lines)  # the bar
    assert any(line.startswith("┃ adaptation") for line in lines)


def test_help_has_boxes_on_a_terminal() -> None:
    printed = seen(["train", "maml", "sinusoid", "--help"], 80, NO_COLOR="1")
    assert "╭─ outer step options ─" in printed and "\x1b" not in printed
    assert max(map(len, lines_of(printed))) <= 80
