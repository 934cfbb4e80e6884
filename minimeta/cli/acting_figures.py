"""What an agent does in the first test tasks, before adaptation and after some steps of it.

In navigation the panel of a task shows the paths of a few episodes, and the goal (figure 4 of Finn et
al. 2017). For other environments, one panel shows the mean return of each task against steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minimeta.rl.environments import Informed, Navigation
from minimeta.training.presets import Experiment
from minimeta.training.randomness import evaluation_generator, evaluation_phase_generator

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EPISODES = 4
"""Paths that a panel shows for each number of steps."""


def draw_acting(
    figure: Figure, count: int, experiment: Experiment, meta_parameters: Any, steps: int, seed: int
) -> None:
    """Draw what happens in the first `count` test tasks into a figure."""
    learner: Any = experiment.learner
    tasks: Any = experiment.evaluation_tasks
    environments = [tasks(evaluation_generator(seed, i)) if callable(tasks) else tasks[i] for i in range(count)]
    batch = learner.collector()(
        meta_parameters, environments, steps, lambda task, phase: evaluation_phase_generator(seed, task, phase)
    )
    phases = [*batch.support.sets, batch.query]
    inside: list[Any] = [each.environment if isinstance(each, Informed) else each for each in environments]
    if all(isinstance(each, Navigation) for each in inside):
        _draw_paths(figure, [each.goal for each in inside], phases)
        return
    axes = figure.add_subplot(1, 1, 1)
    returns = np.array([each.targets.mean_return for each in phases])
    for task in range(count):
        axes.plot(range(steps + 1), returns[:, task], "o-", label=f"test task {task}")
    axes.set(xlabel="adaptation steps", ylabel="mean return", xticks=range(steps + 1))
    axes.legend(frameon=False, fontsize="small")


def _draw_paths(figure: Figure, goals: list[tuple[float, float]], phases: list[Any]) -> None:
    last = len(phases) - 1
    for task, goal in enumerate(goals):
        axes = figure.add_subplot(1, len(goals), task + 1, xlim=(-0.8, 0.8), ylim=(-0.8, 0.8), aspect="equal")
        for step, style in zip(sorted({0, min(1, last), last}), (":", "--", "-"), strict=False):
            label = "before adaptation" if step == 0 else f"after {step} step{'s' if step > 1 else ''}"
            examples = phases[step]
            for episode in range(min(EPISODES, examples.inputs.shape[1])):
                found = examples.targets[task]
                taken = (found.mask[episode] > 0) & (found.begin[episode] == 0)
                path = examples.inputs[task, episode][taken]
                axes.plot(*path.T[:2], style, color=f"C{step}", linewidth=0.8, label=label if episode == 0 else None)
        axes.plot(*goal, "*", color="C3", markersize=12, label="goal", zorder=3)
        axes.set(xlabel="x", title=f"test task {task}")
    figure.axes[0].set_ylabel("y")
    figure.axes[0].legend(frameon=False, fontsize="x-small")
