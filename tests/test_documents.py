"""Every Python block of the README and of docs/ runs as written, values and prints; every link leads somewhere."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from documents import blocks, run_blocks

import minimeta
from minimeta.autodiff.protocols import ANSWERS

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BOOK = sorted((ROOT / "docs" / "book").rglob("*.md"))


@pytest.mark.parametrize("document", [d for d in DOCUMENTS if blocks(d.read_text("utf-8"))], ids=lambda d: d.name)
def test_blocks_run_and_results_are_as_written(document: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_blocks(document, capsys) > 0, f"{document.name} states no result"


def test_the_commands_of_the_readme_are_there() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^python3 -m venv .*$", text, re.MULTILINE)
    assert len(commands) == 2
    assert commands[0].endswith("minimeta train maml sinusoid")
    assert "-m pytest" in commands[1]


@pytest.mark.parametrize("document", [*DOCUMENTS, *BOOK, ROOT / "CONTRIBUTING.md"], ids=lambda d: d.name)
def test_links_between_pages_lead_somewhere(document: Path) -> None:
    prose = re.sub(r"^```.*?^```$", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target, anchor in re.findall(r"\]\(([^):#]*)#?([^):]*)\)", prose):
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
