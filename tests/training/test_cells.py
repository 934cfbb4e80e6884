"""The papers' tables: the cells are what papers and codes say, and each one runs."""

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minimeta.cli.arguments import Training, TrainOptions
from minimeta.cli.comparison import comparison
from minimeta.cli.train import train
from minimeta.storage.run_folder import RunFolder
from minimeta.tasks import omniglot
from minimeta.training import CELLS, Cell, cell_of
from minimeta.training.presets.images import ImageSettings

ROOT = Path(__file__).parents[2]
SMALL: dict[str, Any] = {
    "iterations": 2,
    "meta_batch": 1,
    "filters": 2,
    "hidden": (6,),
    "size": 16,
    "lstm_hidden": 2,
    "rates": (0.1, 0.01),
    "episodes": 3,
    "horizon": 5,
}
"""What makes a run of any cell take a second."""


@pytest.fixture(scope="module")
def ink() -> Any:
    """As many characters as Omniglot has, each a square with noise of its own."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 226, (1623, 1, 28, 28), np.uint8).repeat(20, axis=1)


@pytest.fixture(scope="module")
def own_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ``.npz`` of 18 classes and lists that split them."""
    folder = tmp_path_factory.mktemp("images")
    labels = np.repeat(np.arange(18), 31)
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 16, 16, 3), np.uint8)
    np.savez(folder / "images.npz", images=images, labels=labels)
    for part, name in enumerate(("train", "val", "test")):
        with (folder / f"{name}.csv").open("w", newline="") as file:
            rows = [("filename", "label"), *((f"{label}.png", label) for label in range(6 * part, 6 * part + 6))]
            csv.writer(file).writerows(rows)
    return folder / "images.npz"


def small(cell: Cell) -> Cell:
    """The cell with few and small steps, validated if it is."""
    measured = cell.preset.evaluation
    steps = min(measured.steps, 1)
    old = cell.preset.settings
    settings = {name: value for name, value in SMALL.items() if name in old}
    if "inner_steps" in old and not old.get("step_weights"):
        settings["inner_steps"] = min(old["inner_steps"], 1)
    settings |= {
        "evaluation.steps": steps,
        "evaluation.every": 1,
        "evaluation.tasks": 2,
        "evaluation.validation_tasks": 2,
        "evaluation.validate_every": min(measured.validate_every, 1),
        "evaluation.queries": min(measured.queries, 2),
        "evaluation.shots": measured.shots if measured.shots < 20 else 3,
    }
    return dataclasses.replace(
        cell,
        preset=cell.preset.replace(settings),
        published=tuple(each._replace(steps=min(each.steps, steps)) for each in cell.published),
    )


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_runs(
    name: str, ink: Any, own_images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    if "cheetah" in name:
        pytest.importorskip("mujoco", reason="the cheetah is MuJoCo's")
    monkeypatch.setattr(omniglot, "load", lambda data: ink)
    monkeypatch.setattr("minimeta.cli.train.adaptation_figure", lambda *_: None)
    monkeypatch.setattr("minimeta.cli.train.learning_figure", lambda *_: None)
    cell, folder = small(CELLS[name]), RunFolder(tmp_path / "run")
    data = own_images if cell.preset.benchmark.name == "images" else None

    assert train(Training(cell.preset, folder, TrainOptions(data=data))) == 0

    printed = capsys.readouterr().out
    for row in comparison(cell, folder.read_results()):
        assert row[3] != "not measured" and row[3].split()[0] in printed
    assert folder.best.exists() == bool(cell.preset.evaluation.validate_every)


def test_a_training_is_of_the_cell_whose_settings_it_has() -> None:
    assert [cell_of(cell.preset) for cell in CELLS.values()] == list(CELLS.values())
    cell = CELLS["sinusoid-maml"]
    assert cell_of(cell.preset.replace({"seed": 3, "iterations": 7, "evaluation.tasks": 9})) is cell
    for name, value in (("meta_batch", 7), ("inner_learning_rate", 0.5), ("hidden", (3,)), ("evaluation.shots", 10)):
        assert cell_of(cell.preset.replace({name: value})) is None
    assert cell_of(dataclasses.replace(cell.preset, learner=CELLS["sinusoid-fomaml"].preset.learner)) is not cell


def test_the_names_are_the_tables() -> None:
    for paper, baselines in (("omniglot", ["finetuning", "nearest"]), ("miniimagenet", [])):
        for learner in ("maml", "fomaml", "reptile", "lstm", *baselines):
            assert {f"{paper}-5w{shots}s-{learner}" for shots in (1, 5)} <= set(CELLS)
    assert all(name == cell.name and (cell.published or cell.note or "finetuning" in name or "nearest" in name)
               for name, cell in CELLS.items())  # fmt: skip
    assert all(bool(cell.published) == bool(cell.source) for cell in CELLS.values())


def test_a_cell_is_a_protocol_or_has_a_run() -> None:
    kept = {json.loads(path.read_text("utf-8"))["cell"] for path in (ROOT / "docs" / "results").glob("*.json")}
    assert {name for name, cell in CELLS.items() if not cell.protocol_only} == kept
    assert all(cell.published for cell in CELLS.values() if cell.protocol_only)


@pytest.mark.parametrize(("ways", "rate", "steps", "tasks"), [(5, 0.4, 1, 32), (20, 0.1, 5, 16)])
@pytest.mark.parametrize("shots", [1, 5])
def test_maml_on_omniglot_is_the_released_code(ways: int, rate: float, steps: int, tasks: int, shots: int) -> None:
    for learner in ("maml", "fomaml"):
        found = CELLS[f"omniglot-{ways}w{shots}s-{learner}"].preset.settings
        assert found | {
            "ways": ways, "shots": shots, "queries": shots, "evaluation.shots": shots, "evaluation.queries": shots,
            "inner_learning_rate": rate, "inner_steps": steps, "meta_batch": tasks, "iterations": 60_000,
            "adapts": "all_but_offsets", "reduction": "per_shot",
        } == found  # fmt: skip


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("omniglot-5w1s-reptile", (10, 10, 5, 1e-3, 5, 100_000, 5)),
        ("omniglot-20w5s-reptile", (10, 20, 10, 5e-4, 5, 200_000, 10)),
        ("miniimagenet-5w1s-reptile", (15, 10, 8, 1e-3, 5, 100_000, 5)),
        ("miniimagenet-5w5s-reptile", (15, 10, 8, 1e-3, 5, 100_000, 15)),
    ],
)
def test_reptile_has_the_released_options(cell: str, expected: tuple[Any, ...]) -> None:
    found = CELLS[cell].preset.settings
    names = "shots inner_batch inner_steps inner_learning_rate meta_batch iterations evaluation_batch"
    assert tuple(found[name] for name in names.split()) == expected
    assert (found["outer_step_size"], found["final_step"], found["evaluation.steps"]) == (1.0, 0.0, 50)


# As counted in the released codes; that of the LSTM has biases before the normalisations, which cancel them.
@pytest.mark.parametrize(("learner", "parameters"), [("maml", 32_645), ("lstm", 32_901 - 4 * 32)])
def test_networks_on_mini_imagenet_have_the_released_sizes(learner: str, parameters: int) -> None:
    benchmark = CELLS[f"miniimagenet-5w1s-{learner}"].preset.benchmark
    assert isinstance(benchmark, ImageSettings)
    drawn = benchmark.model().init(np.random.default_rng(0))
    assert sum(leaf.size for layer in drawn for leaf in layer.values()) == parameters
