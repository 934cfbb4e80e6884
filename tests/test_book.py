"""The book keeps its promises: all of it runs, every exercise has a solution, every figure is drawn by its code."""

import importlib
import re
from pathlib import Path

import pytest
from documents import blocks, run_blocks

BOOK = Path(__file__).parent.parent / "docs" / "book"
CHAPTERS = sorted(BOOK.glob("[01][0-9]-*.md"))
SOLUTIONS = sorted((BOOK / "solutions").glob("*.md"))
FIGURES = sorted((BOOK / "figures").glob("[01][0-9]_*.py"))
EXERCISE = re.compile(r"^### (Exercise \d+\.\d+)", re.MULTILINE)
CONTENTS = (BOOK / "README.md").read_text(encoding="utf-8")


def name(page: Path) -> str:
    return f"{page.parent.name}-{page.stem}"


@pytest.mark.parametrize("page", [p for p in sorted(BOOK.rglob("*.md")) if blocks(p.read_text("utf-8"))], ids=name)
def test_blocks_run_and_results_are_as_written(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_blocks(page, capsys) > 0 or page in SOLUTIONS


@pytest.mark.parametrize("chapter", CHAPTERS, ids=name)
def test_a_chapter_has_its_parts(chapter: Path) -> None:
    text = chapter.read_text(encoding="utf-8")
    assert f"({chapter.name})" in CONTENTS
    assert f"(solutions/{chapter.name})" in text
    assert re.search(r"!\[[^]]+\]\(figures/\w+\.svg\)", text)
    assert re.findall(r"^## (Exercises|Where it lives)$", text, re.MULTILINE) == ["Exercises", "Where it lives"]
    assert max(len(block.splitlines()) for block, _ in blocks(text)) <= 30


@pytest.mark.parametrize("chapter", CHAPTERS, ids=name)
def test_every_exercise_has_a_solution_that_runs(chapter: Path) -> None:
    exercises = EXERCISE.findall(chapter.read_text(encoding="utf-8"))
    assert exercises == [f"Exercise {int(chapter.name[:2])}.{i + 1}" for i in range(len(exercises))]
    assert len(exercises) >= 4  # Twelve chapters make 48.
    _, *solutions = EXERCISE.split((BOOK / "solutions" / chapter.name).read_text(encoding="utf-8"))
    assert solutions[::2] == exercises
    for solution in solutions[1::2]:
        code = "".join(block for block, _ in blocks(solution))
        assert re.search(r"^ *assert |# (array\(.*\)|True|False|-?\d+(\.\d+)?)$", code, re.MULTILINE), solution


@pytest.mark.parametrize("figure", FIGURES, ids=lambda f: f.stem)
def test_figures_are_drawn(figure: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    style = importlib.import_module("style")
    drawn = style.drawing(figure)
    style.save(drawn, tmp_path / "figure.svg")
    committed = figure.with_suffix(".svg")
    for written in (tmp_path / "figure.svg", committed):
        assert written.stat().st_size < 60_000
    assert any(f"(figures/{committed.name})" in page.read_text(encoding="utf-8") for page in BOOK.glob("*.md"))
