"""The papers' tables: the cells are what papers and codes say, and each one runs."""

import csv
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minimeta.cli.arguments import Training, TrainOptions
from minimeta.cli.beside import beside
from minimeta.cli.run_folder import RunFolder
from minimeta.cli.train import train
from minimeta.tasks import omniglot
from minimeta.training import CELLS, Cell, cell_of
from minimeta.training.presets.images import ImageSettings
from minimeta.training.presets.learners import MAMLSettings, ReptileSettings

SMALL: dict[str, Any] = {
    "iterations": 2,
    "meta_batch": 1,
    "filters": 2,
    "hidden": (6,),
    "size": 16,
    "lstm_hidden": 2,
    "rates": (0.1, 0.01),
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
    preset = cell.preset
    names = {field.name for field in dataclasses.fields(preset)}
    steps = min(preset.evaluation.steps, 2)
    evaluation = dataclasses.replace(
        preset.evaluation,
        steps=steps,
        every=1,
        tasks=2,
        validation_tasks=2,
        validate_every=min(preset.evaluation.validate_every, 1),
        queries=min(preset.evaluation.queries, 2),
    )
    settings = {name: value for name, value in SMALL.items() if name in names}
    return dataclasses.replace(
        cell,
        preset=dataclasses.replace(preset, **settings, evaluation=evaluation),
        published=tuple(each._replace(steps=min(each.steps, steps)) for each in cell.published),
    )


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_runs(
    name: str, ink: Any, own_images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(omniglot, "load", lambda data: ink)
    monkeypatch.setattr("minimeta.cli.train.adaptation_figure", lambda *_: None)
    monkeypatch.setattr("minimeta.cli.train.learning_figure", lambda *_: None)
    cell, folder = small(CELLS[name]), RunFolder(tmp_path / "run")
    data = own_images if cell.preset.task == "images" else None

    assert train(Training(cell.learner, cell.preset, folder, TrainOptions(data=data))) == 0

    printed = capsys.readouterr().out
    for row in beside(cell, folder.read_results()):
        assert row[3] != "not measured" and row[3].split()[0] in printed
    assert folder.best.exists() == bool(cell.preset.evaluation.validate_every)


def test_a_training_is_of_the_cell_whose_settings_it_has() -> None:
    assert [cell_of(cell.learner, cell.preset) for cell in CELLS.values()] == list(CELLS.values())
    cell = CELLS["sinusoid-maml"]
    assert cell_of("maml", dataclasses.replace(cell.preset, seed=3, iterations=7)) is cell
    assert cell_of("maml", dataclasses.replace(cell.preset, meta_batch=7)) is None
    ten = dataclasses.replace(cell.preset.evaluation, shots=10)
    assert cell_of("maml", dataclasses.replace(cell.preset, evaluation=ten)) is None


def test_the_names_are_the_tables() -> None:
    for paper, shots in (("omniglot", (1, 5)), ("miniimagenet", (1, 5))):
        for learner in ("maml", "fomaml", "reptile", "lstm", "finetuning", "nearest"):
            assert {f"{paper}-5w{k}s-{learner}" for k in shots} <= set(CELLS)
    assert all(name == cell.name and (cell.published or cell.note or "finetuning" in name or "nearest" in name)
               for name, cell in CELLS.items())  # fmt: skip
    assert all(bool(cell.published) == bool(cell.source) for cell in CELLS.values())


@pytest.mark.parametrize(("ways", "rate", "steps", "tasks"), [(5, 0.4, 1, 32), (20, 0.1, 5, 16)])
@pytest.mark.parametrize("shots", [1, 5])
def test_maml_on_omniglot_is_the_released_code(ways: int, rate: float, steps: int, tasks: int, shots: int) -> None:
    for learner in ("maml", "fomaml"):
        preset = CELLS[f"omniglot-{ways}w{shots}s-{learner}"].preset
        assert isinstance(preset, MAMLSettings) and isinstance(preset, ImageSettings)
        assert (preset.ways, preset.shots, preset.queries) == (ways, shots, shots)
        assert (preset.inner_learning_rate, preset.inner_steps, preset.meta_batch) == (rate, steps, tasks)
        assert (preset.iterations, preset.adapts, preset.reduction) == (60_000, "all_but_offsets", "per_shot")
        assert (preset.evaluation.shots, preset.evaluation.queries) == (shots, shots)


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
    preset = CELLS[cell].preset
    assert isinstance(preset, ReptileSettings) and isinstance(preset, ImageSettings)
    found = (
        preset.shots,
        preset.inner_batch,
        preset.inner_steps,
        preset.inner_learning_rate,
        preset.meta_batch,
        preset.iterations,
        preset.evaluation_batch,
    )
    assert found == expected
    assert (preset.outer_step_size, preset.final_step, preset.evaluation.steps) == (1.0, 0.0, 50)


# As counted in the released codes; that of the LSTM has biases before the normalisations, which cancel them.
@pytest.mark.parametrize(("learner", "parameters"), [("maml", 32_645), ("lstm", 32_901 - 4 * 32)])
def test_networks_on_mini_imagenet_have_the_released_sizes(learner: str, parameters: int) -> None:
    preset = CELLS[f"miniimagenet-5w1s-{learner}"].preset
    assert isinstance(preset, ImageSettings)
    assert sum(leaf.size for layer in preset.model().init(np.random.default_rng(0)) for leaf in layer.values()) == (
        parameters
    )
