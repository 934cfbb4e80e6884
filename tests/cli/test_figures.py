from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from minimeta.cli.figures import adaptation_figure
from minimeta.nn import accuracy
from minimeta.tasks import FewShot
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
    experiment = Experiment(learner, learner, tasks, tasks, accuracy, "accuracy")

    adaptation_figure(tmp_path / "figure.png", experiment, None, steps=1, seed=0)

    assert np.ptp(imread(tmp_path / "figure.png")) == 1  # black and white are both there
