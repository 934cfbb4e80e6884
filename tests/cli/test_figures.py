from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from minimeta.cli import figures
from minimeta.cli.figures import adaptation_figure
from minimeta.nn import accuracy, cross_entropy
from minimeta.tasks import FewShot, Shuffled
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
