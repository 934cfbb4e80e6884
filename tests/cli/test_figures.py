import json
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from minimeta.cli import figures, main
from minimeta.cli.figures import adaptation_figure
from minimeta.nn import accuracy, cross_entropy, mean_squared_error
from minimeta.tasks import FewShot, Shuffled, Sinusoid
from minimeta.training.presets import Experiment


class Undecided:
    """A learner that finds all classes equally likely, whatever it sees."""

    def adapt(self, meta_parameters: Any, support: Any, steps: int) -> list[None]:
        return [None] * (steps + 1)

    def predict(self, adapted: None, inputs: Any) -> Any:
        return np.zeros((len(inputs), 3))


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("shape", [(5, 4, 6, 6), (5, 4, 6, 8, 3)], ids=["grey", "colour"])
def test_images_of_any_kind_are_drawn(tmp_path: Path, shape: tuple[int, ...], flat: bool) -> None:
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    tasks = FewShot(images, ways=3, queries=2, rotations=False, flat=flat, full_scale=255)
    learner: Any = Undecided()
    experiment = Experiment(learner, learner, tasks, tasks, cross_entropy, accuracy, "accuracy")

    adaptation_figure(tmp_path / "figure.png", experiment, None, steps=1, seed=0)

    assert np.ptp(imread(tmp_path / "figure.png")) == 1  # black and white are both there


def test_a_task_that_diverges_is_drawn_in_silence(tmp_path: Path) -> None:
    class Diverging(Undecided):
        def predict(self, adapted: None, inputs: Any) -> Any:
            return np.exp(1e6 * inputs) - np.exp(1e6 * inputs)  # infinity minus infinity

    learner: Any = Diverging()
    experiment = Experiment(learner, learner, Sinusoid(), Sinusoid(), mean_squared_error, mean_squared_error, "loss")
    adaptation_figure(tmp_path / "figure.png", experiment, None, steps=1, seed=0)
    assert np.ptp(imread(tmp_path / "figure.png")) > 0


def test_white_images_are_white_and_ink_is_dark(tmp_path: Path) -> None:
    light = []
    for full_scale in (255, 225):
        images = np.full((3, 2, 6, 6), full_scale, np.uint8)
        tasks = FewShot(images, ways=3, rotations=False, full_scale=full_scale)
        learner: Any = Undecided()
        experiment = Experiment(learner, learner, tasks, tasks, cross_entropy, accuracy, "accuracy")
        adaptation_figure(tmp_path / "figure.png", experiment, None, steps=0, seed=0)
        light.append(imread(tmp_path / "figure.png")[..., :3].mean())
    assert light[0] > light[1] + 0.1


def test_a_learning_curve_shows_where_the_loss_falls() -> None:
    falls_early = np.exp(-np.arange(40_000) / 300) + 0.1
    for losses, first, last in (
        (falls_early, 40, 2_000),
        (np.linspace(2, 1, 40_000), 400, 400),
        (falls_early[:30], 1, 1),
    ):
        parts = figures._parts(losses)
        assert np.concatenate(parts).tolist() == list(range(len(losses))) and len(parts) <= 100
        assert len(parts[0]) == first and last <= len(parts[-1]) < 1.5 * last
    # Half of the points, at least, are where the loss changes.
    middles = [part.mean() for part in figures._parts(falls_early)]
    assert np.median(middles) < 2_000


@pytest.mark.parametrize(("suffix", "magic"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".PDF", b"%PDF")])
def test_the_suffix_is_the_format_and_the_hour_makes_no_difference(suffix: str, magic: bytes, tmp_path: Path) -> None:
    metrics = [{"step": step, "loss": 1.0 / (step + 1), "accuracy": 0.5} for step in range(250)]
    paths = [tmp_path / f"{name}{suffix}" for name in "ab"]
    for path in paths:
        figures.require_format(path)
        figures.learning_figure(path, metrics)
    assert paths[0].read_bytes().startswith(magic) and paths[0].read_bytes() == paths[1].read_bytes()


def test_a_users_settings_of_matplotlib_change_nothing(tmp_path: Path) -> None:
    metrics = [{"step": step, "loss": 1.0 / (step + 1)} for step in range(30)]
    figures.learning_figure(tmp_path / "plain.png", metrics)
    theirs: Any = {"text.usetex": True, "savefig.bbox": "tight", "axes.facecolor": "red", "lines.linewidth": 9.0}
    with matplotlib.rc_context(theirs):  # as a matplotlibrc says; without TeX the first alone ends in a traceback
        figures.learning_figure(tmp_path / "theirs.png", metrics)
        assert all(matplotlib.rcParams[name] == value for name, value in theirs.items())  # they are put back
    assert (tmp_path / "theirs.png").read_bytes() == (tmp_path / "plain.png").read_bytes()


def test_what_cannot_be_drawn_costs_no_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("Failed to process string\nbecause of a font")

    monkeypatch.setattr(Figure, "savefig", fails)
    folder = tmp_path / "run"
    flags = ["--iterations=2", "--meta-batch=2", "--hidden=4", "--evaluation.tasks=2", "--evaluation.steps=1", "--json"]
    sentence = "a figure could not be drawn by matplotlib (RuntimeError: Failed to process string because of a font)"

    assert main(["train", "maml", "sinusoid", "--out", str(folder), *flags]) == 0
    printed, errors = capsys.readouterr()
    assert json.loads(printed)["status"] == "complete" and (folder / "results.json").exists()
    assert sentence in errors.splitlines()

    assert main(["report", str(folder), "--figure", str(tmp_path / "curves.png")]) == 1
    assert capsys.readouterr().err == f"minimeta: {sentence}\n"


def test_many_steps_are_drawn_in_few_panels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "TASKS", 1)
    images = np.repeat(np.arange(5, dtype=np.uint8)[:, None, None, None] * 40, 4, 1).repeat(6, 2).repeat(6, 3)
    plain = FewShot(images, ways=3, shots=2, rotations=False, full_scale=255)
    learner: Any = Undecided()
    sides = []
    for steps, tasks in ((2, plain), (5, plain), (60, Shuffled(plain))):
        experiment = Experiment(learner, learner, plain, tasks, cross_entropy, accuracy, "accuracy")
        adaptation_figure(tmp_path / "figure.png", experiment, None, steps, 0)
        sides.append(imread(tmp_path / "figure.png").shape[:2])
    assert sides[0] < sides[1] == sides[2]
