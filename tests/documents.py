"""The Python blocks of a Markdown page, and a run of them in one namespace that holds the page to what it says."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest


def blocks(text: str) -> list[tuple[str, str]]:
    """Return the Python blocks, each with the text block that follows it, or an empty text."""
    return re.findall(r"^```python\n(.*?)^```$(?:\n\n```text\n(.*?)^```$)?", text, re.MULTILINE | re.DOTALL)


def run_blocks(document: Path, capsys: pytest.CaptureFixture[str]) -> int:
    """Run all blocks, compare values and printed text with what is written, and return how many
    were stated.
    """
    namespace: dict[str, Any] = {}
    stated = 0
    for block, text in blocks(document.read_text(encoding="utf-8")):
        lines = block.splitlines()
        capsys.readouterr()
        for statement in ast.parse(block).body:
            code = compile(ast.Module([statement], []), document.name, "exec")
            if not isinstance(statement, ast.Expr):
                exec(code, namespace)
                continue
            assert statement.end_lineno is not None
            value = eval(compile(ast.Expression(statement.value), document.name, "eval"), namespace)
            _, _, comment = lines[statement.end_lineno - 1].rpartition("# ")
            if (said := re.search(r"(array\(.*\)|True|False|-?\d+(\.\d+)?)$", comment)) and comment:
                stated += 1
                assert repr(value) == said.group(1), f"{document.name}: {lines[statement.end_lineno - 1]}"
        if text:
            stated += 1
            assert capsys.readouterr().out == text
    return stated
