"""minimeta reproduce, presets and report: from the name of a cell to a page of our numbers next to the papers'."""

import contextlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from mutations import bounded, mutations

from minimeta.cli import main
from minimeta.cli.arguments import parse_reproduction
from minimeta.cli.comparison import comparison, times
from minimeta.cli.page import page
from minimeta.errors import CheckpointError
from minimeta.storage.sealed import read_sealed, sealed
from minimeta.training import CELLS, PRESETS
from minimeta.training.configuration import nested

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    data = ["--data", str(folder.parent)]
    assert main(["reproduce", "sinusoid-maml", "--iterations", "3", "--seed", "5", "--out", str(folder), *data]) == 0
    return folder


def test_our_number_is_next_to_the_papers(reproduced: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Where the run is there, it goes on; here there is nothing left to do but to measure.
    assert main(["reproduce", "sinusoid-maml", "--out", str(reproduced)]) == 0

    printed = capsys.readouterr().out
    found = json.loads((reproduced / "results.json").read_text())
    assert "sinusoid-maml: seed 5, 3 iterations in " in printed
    for steps, theirs in ((1, "0.67"), (5, "0.38"), (10, "0.35")):
        row = next(line for line in printed.splitlines() if f" {theirs} " in line)
        assert f"{found['mean'][steps]:.4f} ± {found['interval'][steps]:.4f}" in row
        assert f"short run: still {found['mean'][steps] - float(theirs):.4f}" in row
    assert "table 2" in printed and found["cell"] == "sinusoid-maml" and found["settings"]["seed"] == 5


def test_a_number_is_next_to_the_one_that_was_predicted_in_the_same_way() -> None:
    cell = CELLS["omniglot-5w1s-reptile"]
    other = {"mean": [0.2, 0.98], "interval": [0.01, 0.01]}
    report: dict[str, Any] = {
        "metric": "accuracy",
        "iterations": 100_000,
        "steps": [0, 50],
        "mean": [0.2, 0.95],
        "interval": [0.01, 0.004],
        "evaluation": {"transductive": False, "side_by_side": True},
        "other": other,
    }
    alone, together = comparison(cell, report)
    assert alone == ["50", "each query alone", "95.39 ± 0.09", "95.00 ± 0.40", "within the intervals"]
    assert together == ["50", "all queries at once", "97.68 ± 0.04", "98.00 ± 1.00", "as good or better"]
    report |= {"other": None, "evaluation": {"transductive": False, "side_by_side": False}}
    assert [row[3] for row in comparison(cell, report)] == ["95.00 ± 0.40", "not measured"]
    assert comparison(cell, report | {"mean": [0.2, 0.9]})[0][4] == "short by 5.39"
    short_run = report | {"mean": [0.2, 0.9], "iterations": 40_000}
    assert comparison(cell, short_run)[0][4] == "short run: still 5.39 short"


def test_the_time_to_an_accuracy_is_told() -> None:
    history = [
        {"step": 10 * n, "seconds": 2.0 * n, "mean": mean, "interval": 0.01} for n, mean in ((1, 0.9), (2, 0.96))
    ]
    said = times({"metric": "accuracy", "validation": history})
    assert said == "validation accuracy: 90 % in 2 s, step 10; 95 % in 4 s, step 20; 98 % not reached"
    assert times({"metric": "squared error", "validation": history}) == ""


def test_a_run_goes_on_further(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["reproduce", "sinusoid-maml", "--json", "--out"]
    for iterations in ("2", "4"):
        assert main([*words, str(tmp_path / "twice"), "--iterations", iterations]) == 0
    assert main([*words, str(tmp_path / "once"), "--iterations", "4"]) == 0
    for file in ("metrics.jsonl", "checkpoint.npz", "configuration.toml"):
        assert (tmp_path / "once" / file).read_bytes() == (tmp_path / "twice" / file).read_bytes()
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["step"] == 4


def test_a_run_that_is_there_keeps_its_settings(reproduced: Path) -> None:
    training = parse_reproduction(CELLS["sinusoid-maml"], ["--out", str(reproduced)])
    assert (training.preset.run.seed, training.preset.run.iterations) == (5, 3) and training.options.resume


@pytest.mark.parametrize("cell", ["sinusoid-fomaml", "sinusoid-maml-steps"])
def test_a_run_of_another_cell_is_left_alone(cell: str, reproduced: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in reproduced.iterdir()}
    assert main(["reproduce", cell, "--out", str(reproduced)]) == 2
    assert f"holds another run than {cell}; choose another with --out" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in reproduced.iterdir()} == before


def test_presets_lists_all_presets_and_all_cells(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets"]) == 0
    printed = capsys.readouterr().out
    words = [line.split() for line in printed.splitlines()]
    assert all([learner, task] in [line[:2] for line in words] for learner, task in PRESETS)
    assert all([name] in [line[:1] for line in words] for name in CELLS)
    assert max(map(len, printed.splitlines())) <= 80
    assert printed.count("protocol only") == sum(cell.protocol_only for cell in CELLS.values())
    for number in ("0.67", "98.7 ± 0.4", "89.7 ± 1.1", "95.39 ± 0.09", "97.68 ± 0.04", "43.44 ± 0.77"):
        assert number in printed
    assert main(["presets", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [(preset["learner"], preset["task"]) for preset in report["presets"]] == list(PRESETS)
    assert [cell["name"] for cell in report["cells"]] == list(CELLS)
    assert report["cells"][0]["preset"]["evaluation"]["shots"] == 5


def test_presets_are_found_by_name_and_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("minimeta.cli.presets.seconds_per_step", lambda preset, experiment: 0.006)
    assert main(["presets", "maml", "sinusoid", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["learner"] for each in found["presets"]] == ["maml"]  # fomaml is another
    assert [each["name"] for each in found["cells"]] == [f"sinusoid-maml{more}" for more in ("", "-steps", "-released")]
    assert all(each["minutes"] == pytest.approx(7) for kind in ("presets", "cells") for each in found[kind])

    assert main(["presets", "sinusoid-reptile"]) == 0
    assert "sinusoid-reptile  30,000      3.0" in capsys.readouterr().out
    monkeypatch.setenv("MINIMETA_DATA", str(tmp_path))
    assert main(["presets", "omniglot", "nearest"]) == 0
    printed = capsys.readouterr().out
    assert "nearest  omniglot  1           ?" in printed and "Omniglot is missing" in printed
    assert main(["presets", "omniglot"]) == 0  # too many
    assert "minutes of those it names" in " ".join(capsys.readouterr().out.split())
    assert main(["presets", "maml", "chess"]) == 2
    assert "no preset or cell has the name chess" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["sinusoid-reptile", "omniglot-5w1s-lstm"], ["sinusoid-reptile", "omniglot-5w1s-lstm"]),
        (["sinusoid-maml", "sinusoid-maml-steps"], [f"sinusoid-maml{more}" for more in ("", "-steps", "-released")]),
        (["omniglot-5w1s-nearest", "sinusoid-fomaml"], ["sinusoid-fomaml", "omniglot-5w1s-nearest"]),
        (["navigation", "sinusoid-fomaml"], ["sinusoid-fomaml", *(name for name in CELLS if "navigation" in name)]),
    ],
)
def test_several_names_find_what_each_finds(
    names: list[str], found: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("minimeta.cli.presets.seconds_per_step", lambda preset, experiment: 0.006)
    assert main(["presets", *names, "--json"]) == 0
    cells = [each["name"] for each in json.loads(capsys.readouterr().out)["cells"]]
    assert set(found) <= set(cells) and all(any(name in cell for name in names) for cell in cells)


def test_runs_are_drawn_together(reproduced: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figure = tmp_path / "curves.svg"
    drawn = [figure, *[reproduced / "adaptation.svg"] * 2]
    assert main(["report", str(reproduced), str(reproduced), "--figure", str(figure)]) == 0
    assert capsys.readouterr().out.splitlines()[-3:] == [f"written: {path}" for path in drawn]
    assert all(path.read_bytes().startswith(b"<?xml") for path in drawn)


def test_results_are_kept_and_the_page_follows_from_them(
    reproduced: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "results"
    assert main(["report", str(reproduced), "--keep", str(folder)]) == 0
    kept = json.loads((folder / "sinusoid-maml-3-seed5.json").read_text())
    assert str(reproduced.parent) not in json.dumps(kept) and "command" not in kept["environment"]

    text = (tmp_path / "results.md").read_text()
    assert text == page(folder)
    command, time = "`minimeta reproduce sinusoid-maml --iterations 3 --seed 5`", f"{kept['seconds']:.0f} s"
    assert f"| {command} | 3 of 70,000 in {time}, A | 1 |  | 0.67 | " in text
    assert f"{kept['mean'][10]:.4f} ± {kept['interval'][10]:.4f}" in text and "Machine A: " in text
    capsys.readouterr()
    assert main(["report", "--keep", str(folder), "--json"]) == 0
    answer = {"status": "complete", "runs": [], "figures": [], "page": str(tmp_path / "results.md")}
    assert json.loads(capsys.readouterr().out) == answer
    assert (tmp_path / "results.md").read_text() == text

    (folder / "notes.md").write_text("Too short by far.\n", encoding="utf-8")
    before, after = page(folder).split("\nToo short by far.\n")
    assert before + after == text

    # Steps that nobody publishes are named where they are clearly better.
    kept |= {"mean": [1.0] * 11, "interval": [0.1] * 11}
    for third, said in ((0.5, True), (0.85, False)):
        kept["mean"][3] = third
        (folder / "sinusoid-maml-3-seed5.json").write_text(json.dumps(kept))
        assert ("**sinusoid-maml, seed 5**: best after 3 steps: 0.5000 ± 0.1000" in page(folder)) == said

    # Three seeds, mean 0.6, standard deviation 0.1; Student's quantile is 4.303 in any printed table.
    for seed, first in enumerate((0.5, 0.6, 0.7)):
        kept["mean"] = [9.0, first, *[1.0] * 9]
        (folder / f"sinusoid-maml-3-seed{seed}.json").write_text(json.dumps({**kept, "seed": seed}))
    (folder / "sinusoid-maml-3-seed5.json").unlink()
    over_seeds = page(folder).partition("## Over seeds")[2]
    row = "| 0, 1, 2 | 1 |  | 0.67 | 0.6000 ± 0.2484 | 0.5000 to 0.7000 | as good or better |"
    assert f"| sinusoid-maml, 3 iterations {row}" in over_seeds
    assert "| 1.0000 ± 0.0000 | 1.0000 to 1.0000 | short run: still 0.6200 short |" in over_seeds
    kept["mean"][1] = None  # one of three diverged
    (folder / "sinusoid-maml-3-seed0.json").write_text(json.dumps({**kept, "seed": 0}))
    assert "| 0.67 | not measured |  |  |" in page(folder).partition("## Over seeds")[2]

    results = read_sealed(reproduced / "results.json", "")
    (reproduced / "results.json").write_text(sealed({**results, "cell": None}))
    assert main(["report", str(reproduced), "--keep", str(folder)]) == 2
    assert "is of no cell" in capsys.readouterr().err


def test_results_made_by_nobody_are_refused_by_name(tmp_path: Path) -> None:
    kept = ROOT / "docs" / "results" / "omniglot-5w1s-maml-20000-seed0.json"
    if not kept.exists():
        kept = sorted((ROOT / "docs" / "results").glob("*.json"))[0]
    path = tmp_path / kept.name
    for content in [
        *mutations(kept.read_bytes(), 300), b"[]", b"{}", b"3", b"null", b"[" * 100_000, b"\xff",
        json.dumps({**json.loads(kept.read_text()), "steps": {}, "mean": 1}).encode(),
        json.dumps({**json.loads(kept.read_text()), "seed": "a"}).encode(),
    ]:  # fmt: skip
        path.write_bytes(content)
        with bounded(1 << 24), contextlib.suppress(CheckpointError):
            page(tmp_path)
    with pytest.raises(CheckpointError, match=re.escape(str(path))):
        page(tmp_path)


def test_the_page_of_the_documents_is_that_of_its_files() -> None:
    assert (ROOT / "docs" / "results.md").read_text(encoding="utf-8") == page(ROOT / "docs" / "results")


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "results").glob("*.json")), ids=lambda path: path.stem)
def test_kept_results_are_of_the_settings_of_their_cells(path: Path) -> None:
    kept = json.loads(path.read_text(encoding="utf-8"))
    settings = json.loads(json.dumps(nested(CELLS[kept["cell"]].preset.settings)))
    free = ("evaluation", "iterations", "seed")
    assert {name: kept["settings"][name] for name in settings if name not in free} == {
        name: value for name, value in settings.items() if name not in free
    }
