"""Every Python block of the README and of docs/ runs as written, values and prints; every link leads somewhere."""

import ast
import doctest
import importlib
import pkgutil
import re
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

import minimeta
from minimeta.autodiff.protocols import ANSWERS

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def _blocks(document: Path) -> list[tuple[str, str]]:
    """The Python blocks, each with the text block that follows it, if one does."""
    text = document.read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```$(?:\n\n```text\n(.*?)^```$)?", text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("document", [d for d in DOCUMENTS if _blocks(d)], ids=lambda d: d.name)
def test_blocks_run_and_results_are_as_written(document: Path, capsys: pytest.CaptureFixture[str]) -> None:
    namespace: dict[str, Any] = {}
    stated = 0
    for block, text in _blocks(document):
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
            assert capsys.readouterr().out == text
    assert stated > 0, f"{document.name} states no result"


def test_the_commands_of_the_readme_are_there() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^python3 -m venv .*$", text, re.MULTILINE)
    assert len(commands) == 2
    assert commands[0].endswith("minimeta train maml sinusoid")
    assert "-m pytest" in commands[1]


@pytest.mark.parametrize("document", [*DOCUMENTS, ROOT / "CONTRIBUTING.md"], ids=lambda d: d.name)
def test_links_between_pages_lead_somewhere(document: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^):#]*)#?([^):]*)\)", document.read_text(encoding="utf-8")):
        page = document.parent / target if target else document
        assert page.exists(), f"{document.name}: {target}"
        if anchor:
            heads = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}, anchor


def test_the_readme_is_one_page() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 600


# Not the extensions: one of a level that this processor lacks cannot even be imported.
MODULES = [
    name
    for _, name, _ in pkgutil.walk_packages(minimeta.__path__, "minimeta.")
    if not name.endswith("__main__") and "._native" not in name
]


@pytest.mark.parametrize("module", ["minimeta", *MODULES])
def test_examples_in_docstrings(module: str) -> None:
    names = {name: getattr(minimeta, name) for name in minimeta.__all__} | {"np": np}
    page = importlib.import_module(module)
    with patch.dict(ANSWERS):  # What examples define does not outlive them.
        results = doctest.testmod(page, extraglobs=names)
    assert results.failed == 0
