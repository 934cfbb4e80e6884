"""What drawing a meta-batch of images costs, compared with the meta-step that learns from it.

    python benchmarks/sampling.py [--seconds 2]

The characters are made up, with Omniglot's number and size (their drawings do not matter here). The two take turns, so
that both see the machine in the same state. The target: sampling takes less than a tenth of a meta-step.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from minimeta.tasks import omniglot
from minimeta.training import CELLS, Cell, initial_state, make_step
from minimeta.training.randomness import training_generator

NAMES = ("omniglot-5w1s-maml", "omniglot-5w5s-maml", "omniglot-5w1s-maml-dense", "omniglot-5w1s-fomaml",
         "omniglot-20w1s-maml", "omniglot-5w1s-reptile", "omniglot-5w1s-lstm")  # fmt: skip
GOAL = 0.1


def measure(cell: Cell, seconds: float) -> tuple[float, float]:
    """Median seconds of drawing a meta-batch, and of a step on it."""
    preset = cell.preset.replace({"evaluation.validate_every": 0})
    experiment = preset.experiment()
    step = make_step(experiment.learner, experiment.optimiser)
    state = initial_state(experiment.learner, experiment.optimiser, 0)
    batch = experiment.training_tasks.sample(training_generator(0, 0), preset.run.meta_batch)
    step(state.meta_parameters, state.optimiser_state, batch)  # compiles

    def draw(number: int) -> None:
        experiment.training_tasks.sample(training_generator(0, number), preset.run.meta_batch)

    def learn(number: int) -> None:
        step(state.meta_parameters, state.optimiser_state, batch)

    times: dict[Callable[[int], None], list[float]] = {draw: [], learn: []}
    end = time.perf_counter() + seconds
    number = 0
    while time.perf_counter() < end or number < 3:
        number += 1
        for action, found in times.items():
            began = time.perf_counter()
            action(number)
            found.append(time.perf_counter() - began)
    return statistics.median(times[draw]), statistics.median(times[learn])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="for each cell")
    options = parser.parse_args()
    ink: Any = np.random.default_rng(0).integers(0, 226, (1623, 20, 28, 28), np.uint8)
    omniglot.load = lambda *_: ink
    print(f"{'':26}{'drawing ms':>12}{'step ms':>12}{'ratio':>8}")
    for name in NAMES:
        drawing, step = measure(CELLS[name], options.seconds)
        said = "" if drawing <= GOAL * step else f"  above {GOAL:.0%}"
        print(f"{name:26}{1e3 * drawing:12.2f}{1e3 * step:12.2f}{drawing / step:8.1%}{said}", flush=True)


if __name__ == "__main__":
    main()
