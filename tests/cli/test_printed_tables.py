"""Tables fit what they are printed on: lines on a terminal, plain text elsewhere, records where it is narrow."""

import io
import re
import sys

import pytest

from minimeta.cli.tables import show_table

HEAD = ["run", "", "metric", "remark"]
BODY = [
    ["maml", "", "3.0872 ± 0.2418", "short run: still 0.3524 short\nof what is published"],
    ["[b] :x:", "", "1", ""],
]


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, columns: int = 80, kind: str = "xterm") -> list[str]:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", kind)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", stream)
    show_table("title", HEAD, BODY, ["", "a note"])
    lines = re.sub(r"\x1b\[[01]m", "", stream.getvalue()).splitlines()  # headings are bold
    assert max(map(len, lines)) <= columns
    return lines


def test_plain_text_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(io.StringIO(), monkeypatch) == [
        "title",
        "run      metric           remark",
        "maml     3.0872 ± 0.2418  short run: still 0.3524 short",
        "                          of what is published",
        "[b] :x:  1",
        "a note",
    ]


def test_a_path_is_not_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", stream := io.StringIO())
    path = "folder-of-runs/" * 9
    show_table(f"{path}: {'word ' * 20}", ["a"], [["1"]])
    lines = stream.getvalue().splitlines()
    assert lines[0] == f"{path}:" and len(lines[1]) <= 80 and lines[3:] == ["a", "1"]


def test_lines_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(Terminal(), monkeypatch)
    assert lines[1][0] + lines[1][-1] == "┏┓" and "│ maml    │ 3.0872 ± 0.2418 │ short run: still" in lines[4]


@pytest.mark.parametrize("kind", ["xterm", "dumb"])
def test_records_on_a_narrow_terminal(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(Terminal(), monkeypatch, 24, kind) == [
        "title",
        "run: maml",
        "metric: 3.0872 ± 0.2418",
        "remark: short run: still",
        "    0.3524 short",
        "       of what is",
        "    published",
        "",
        "run: [b] :x:",
        "metric: 1",
        "a note",
    ]
