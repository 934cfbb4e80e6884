"""Figures: adaptation on a few test tasks, the learning curve of a run, and several runs in one figure.

Regression shows the wave, its known points, and the prediction before and after adaptation (figure
2 of Finn et al. 2017). Classification shows the probability that the learner gives each query image
(rows) for each class (columns, by its support image), before adaptation and after each step:
learning is a diagonal that appears. Agents have figures of their own (``acting_figures``).
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff.operations import softmax
from minimeta.cli.acting_figures import draw_acting
from minimeta.errors import ConfigurationError, MinimetaError, MissingExtraError
from minimeta.files import write_atomically
from minimeta.learners import MetaLearner
from minimeta.tasks import FewShot, Shuffled, Sinusoid, Task, TaskDistribution
from minimeta.tasks.area import FULL_INK
from minimeta.training import CELLS
from minimeta.training.collection import collects
from minimeta.training.metrics import LARGER_IS_BETTER
from minimeta.training.presets import Experiment
from minimeta.training.randomness import evaluation_generator

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".png", ".pdf", ".svg")
TASKS = 3
"""Number of test tasks in the adaptation figure."""
PANELS = 6
"""The largest number of panels per task of images."""
PARTS = 100
"""The largest number of points of a learning curve."""


@contextlib.contextmanager
def drawing() -> Iterator[None]:
    """Draw with matplotlib's default settings instead of a user's file, and turn its errors into one sentence."""
    # Matplotlib fails to import if this names an unknown backend, and we use none.
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib  # noqa: PLC0415 (needs the plot extra)

        settings: Any = {name: value for name, value in matplotlib.rcParamsDefault.items() if name != "backend"}
        with matplotlib.rc_context({**settings, "svg.hashsalt": "minimeta"}):
            yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "figures need matplotlib, which is not installed: pip install 'minimeta[plot]'"
        ) from error
    except (MinimetaError, OSError, MemoryError):
        raise
    except Exception as error:
        said = " ".join(str(error).split())
        raise MinimetaError(f"a figure could not be drawn by matplotlib ({type(error).__name__}: {said})") from error
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend


@drawing()
def adaptation_figure(path: Path, experiment: Experiment, meta_parameters: Any, steps: int, seed: int) -> None:
    """Draw `steps` steps of adaptation on the first test tasks.

    Raises
    ------
    MissingExtraError
        If the plot extra is not installed.
    MinimetaError
        If matplotlib fails.
    """
    if collects(experiment.learner):
        figure = new_figure(5 * TASKS, 5)
        draw_acting(figure, TASKS, experiment, meta_parameters, steps, seed)
        save_figure(path, figure)
        return
    draw = _draw_waves if isinstance(_ordered(experiment.evaluation_tasks), Sinusoid) else _draw_images
    save_figure(path, draw(experiment, meta_parameters, steps, seed))


@drawing()
def learning_figure(path: Path, metrics: Sequence[dict[str, float]]) -> None:
    """Draw loss and metrics: their means over parts of the training, and a band that has most single steps.

    Raises
    ------
    MissingExtraError
        If the plot extra is not installed.
    MinimetaError
        If matplotlib fails.
    """
    names = [name for name in metrics[0] if name != "step"]
    figure = new_figure(6 * len(names), 4)
    parts = _parts(np.array([line["loss"] for line in metrics]))
    sizes = [len(part) for part in parts]
    size = f"{min(sizes)} to {max(sizes)}" if min(sizes) < max(sizes) else f"{max(sizes)}"
    steps = [1 + part.mean() for part in parts]
    for column, name in enumerate(names, start=1):
        axes = figure.add_subplot(1, len(names), column, xlabel="training step", ylabel=f"{name} after adaptation")
        values = np.array([line[name] for line in metrics])
        means = np.array([values[part].mean() for part in parts])
        if max(sizes) == 1:
            axes.plot(steps, means, ".-", color="C0", label="each step")
        else:
            low, high = np.transpose([np.quantile(values[part], (0.1, 0.9)) for part in parts])
            axes.fill_between(steps, low, high, color="C0", alpha=0.25, linewidth=0, label="80 % of the steps")
            axes.plot(steps, means, color="C0", label=f"mean of {size} steps")
        if name == "accuracy":
            axes.set_ylim(0, 1)
        elif values.min() > 0 and means.max() > 5 * means.min():
            axes.set_yscale("log")
        if max(sizes) > 2 * min(sizes):
            axes.set_xscale("log")
        axes.legend(frameon=False)
    save_figure(path, figure)


def _parts(losses: NDArray[np.float64]) -> list[NDArray[np.intp]]:
    """Divide a training into parts, of which a learning curve has the means.

    The parts of a short training are its steps. Those of a long one are equal, unless the loss falls
    half of its way in the first twentieth: then they grow as the steps do.
    """
    count = len(losses)
    every = np.arange(count)
    equal = np.array_split(every, count if count < 200 else min(PARTS, count // 10))
    means = np.array([losses[part].mean() for part in equal])
    way = abs(means - means[-1])
    if count < 200 or way[len(way) // 20 :].max() > way[0] / 2:
        return equal
    ends = np.unique(np.geomspace(max(1, count // 1000), count, PARTS).astype(int))
    return np.split(every, ends[:-1])


@drawing()
def curves_figure(path: Path, results: Sequence[Mapping[str, Any]]) -> None:
    """Draw runs together: their learning curves, and their metric against adaptation steps.

    The curve of a run shows its validations, or its training tasks if it has none. Published
    numbers of cells are crosses.

    Raises
    ------
    MissingExtraError
        If the plot extra is not installed.
    MinimetaError
        If matplotlib fails.
    """
    figure = new_figure(12, 4)
    learning, adapting = figure.subplots(1, 2)
    for number, found in enumerate(results):
        name, colour = f"{found['cell'] or found['learner'] + ' ' + found['task']}, seed {found['seed']}", f"C{number}"
        validated = [(each["step"], each["mean"], each["interval"]) for each in found["validation"]]
        steps, values, *halves = np.transpose(np.array(validated or found["curve"] or [(0, np.nan)], np.float64))
        for half in halves:
            learning.fill_between(steps, values - half, values + half, color=colour, alpha=0.2, linewidth=0)
        learning.plot(steps, values, color=colour, label=f"{name}: {'validation' if validated else 'training'}")
        # The file has null for values that are not finite.
        mean, half = (np.array(found[key], np.float64) for key in ("mean", "interval"))
        adapting.errorbar(found["steps"], mean, half, color=colour, capsize=2, label=name)
        printed = CELLS[found["cell"]].published if found["cell"] else ()
        adapting.plot([each.steps for each in printed], [each.value for each in printed], "kx", zorder=3)
    learning.set(xlabel="training step", ylabel=f"{results[0]['metric']} after adaptation")
    adapting.set(xlabel="adaptation steps", ylabel=results[0]["metric"])
    for axes in (learning, adapting):
        axes.legend(frameon=False, fontsize="small")
        if all(found["metric"] not in LARGER_IS_BETTER for found in results):
            axes.set_yscale("log")
    save_figure(path, figure)


def _draw_waves(experiment: Experiment, meta_parameters: Any, steps: int, seed: int) -> Figure:
    """Draw one panel per task; many query points, in order, are the wave itself."""
    figure = new_figure(5 * TASKS, 4)
    tasks = _ordered(experiment.evaluation_tasks)
    assert isinstance(tasks, Sinusoid)
    tasks = dataclasses.replace(tasks, queries=500)
    limit = 1.3 * tasks.amplitude[1]
    for index in range(TASKS):
        task = tasks.sample(evaluation_generator(seed, index), 1)[0]
        order = np.argsort(task.query.inputs[:, 0])
        inputs, targets = task.query.inputs[order], task.query.targets[order]
        predictions = _trajectory(experiment.learner, meta_parameters, task, inputs, steps)
        axes = figure.add_subplot(1, TASKS, index + 1, ylim=(-limit, limit))
        axes.plot(inputs, targets, color="C3", label="truth")
        for shown, style in zip(sorted({0, min(1, steps), steps}), (":", "--", "-"), strict=False):
            label = "before adaptation" if shown == 0 else f"after {shown} step{'s' if shown > 1 else ''}"
            axes.plot(inputs, predictions[shown], style, color="C2", label=label)
        axes.plot(task.support.inputs, task.support.targets, "^", color="C4", label="known points", zorder=3)
        axes.set(xlabel="x", title=f"test task {index}, {len(task.support.inputs)} points")
    figure.axes[0].set_ylabel("y")
    figure.axes[0].legend(frameon=False, fontsize="small", ncols=2)
    return figure


def _draw_images(experiment: Experiment, meta_parameters: Any, steps: int, seed: int) -> Figure:
    """Draw one row of panels per task, one panel per number of steps; a panel is one picture made of tiles."""
    tasks = _ordered(experiment.evaluation_tasks)
    assert isinstance(tasks, FewShot)
    height, width, channels = tasks.image_shape
    shown = sorted({round(step) for step in np.linspace(0, steps, PANELS)})
    figure = new_figure(2.6 * len(shown), 2.9 * TASKS)
    for index in range(TASKS):
        task = experiment.evaluation_tasks.sample(evaluation_generator(seed, index), 1)[0]
        outputs = _trajectory(experiment.learner, meta_parameters, task, task.query.inputs, steps)
        # Draw colour as grey, and the first image of a class for the class.
        by_class = np.argsort(task.support.targets, kind="stable")
        support = task.support.inputs[by_class].reshape(tasks.ways, tasks.shots, height, width, channels)
        query = task.query.inputs.reshape(tasks.ways, tasks.queries, height, width, channels)
        support, query = (images[:, 0].mean(axis=-1) for images in (support, query))
        if tasks.full_scale != FULL_INK:
            support, query = 1 - support, 1 - query  # 1 is drawn dark, as ink and high probabilities are
        for panel, step in enumerate(shown, start=1):
            logits = outputs[step]
            probability = softmax(logits.reshape(tasks.ways, tasks.queries, tasks.ways)[:, 0], -1)
            picture = np.zeros((tasks.ways + 1, tasks.ways + 1, height, width))
            picture[0, 1:], picture[1:, 0] = support, query
            picture[1:, 1:] = probability[:, :, np.newaxis, np.newaxis]
            accuracy = float(np.mean(logits.argmax(-1) == task.query.targets))
            axes = figure.add_subplot(TASKS, len(shown), index * len(shown) + panel)
            axes.imshow(picture.swapaxes(1, 2).reshape(picture.shape[0] * height, -1), cmap="Greys", vmin=0, vmax=1)
            for line in (height - 0.5, width - 0.5):
                axes.axhline(line, color="C0", linewidth=0.8)
                axes.axvline(line, color="C0", linewidth=0.8)
            axes.set(xticks=[], yticks=[], title=f"step {step}: {100 * accuracy:.0f} %")
            axes.set_xlabel("class" if index == TASKS - 1 else "")
            axes.set_ylabel(f"task {index}: queries" if step == 0 else "")
    return figure


def _ordered(tasks: TaskDistribution) -> TaskDistribution:
    """Return the distribution itself, if another shuffles it."""
    return tasks.tasks if isinstance(tasks, Shuffled) else tasks


def _trajectory(
    learner: MetaLearner, meta_parameters: Any, task: Task, inputs: NDArray[Any], steps: int
) -> list[NDArray[Any]]:
    """Return the outputs for the inputs after 0, 1, ..., `steps` steps."""
    # The evaluation counts tasks that diverge, so numpy need not warn about them.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return [learner.predict(adapted, inputs) for adapted in learner.adapt(meta_parameters, task.support, steps)]


def require_format(path: Path) -> None:
    """Refuse a file whose suffix names no format of figures, or whose folder does not exist.

    Raises
    ------
    ConfigurationError
        If it is one of these.
    """
    if path.suffix.lower() not in FORMATS:
        raise ConfigurationError(f"{path} should end in {', '.join(FORMATS)}: the suffix says how a figure is written")
    if not path.parent.is_dir():
        raise ConfigurationError(f"there is no folder {path.parent} to write {path.name} to")


def new_figure(width: float, height: float) -> Figure:
    """Return a figure of that many inches, without a window or global state."""
    from matplotlib.figure import Figure  # noqa: PLC0415 (needs the plot extra)

    return Figure(figsize=(width, height), layout="constrained")


def save_figure(path: Path, figure: Figure) -> None:
    """Write a figure in the format of the file's suffix; the same figure has the same bytes at any hour."""
    content, kind = io.BytesIO(), path.suffix[1:].lower()
    undated: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    figure.savefig(content, format=kind, dpi=120, metadata=undated.get(kind))
    write_atomically(path, content.getvalue())
