"""A figure of predictions: each query image above the support image that matters most, or a curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minimeta.cli.figures import drawing, new_figure, save_figure
from minimeta.errors import ConfigurationError
from minimeta.prediction import TrainedLearner
from minimeta.prediction.sets import NamedSet
from minimeta.tasks.inputs import Inputs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST, COLUMNS = 48, 8
"""The largest number of queries in a figure, and in a row of it."""


@drawing()
def prediction_figure(
    path: Path, known: TrainedLearner, support: NamedSet, query: NamedSet, rows: Sequence[dict[str, Any]]
) -> None:
    """Draw predictions.

    Raises
    ------
    ConfigurationError
        If the examples are neither images nor single numbers.
    MissingExtraError
        If the plot extra is not installed.
    """
    if known.inputs is not None and known.inputs.full_scale is not None:
        save_figure(path, _images(known.inputs, support, query, rows))
    elif known.classes is None and query.inputs[0].size == 1:
        save_figure(path, _curve(support, query, rows))
    else:
        raise ConfigurationError("--plot draws images, and functions of one number; these examples are neither")


def _images(form: Inputs, support: NamedSet, query: NamedSet, rows: Sequence[dict[str, Any]]) -> Figure:
    count = min(MOST, len(rows))
    columns = min(COLUMNS, count)
    figure = new_figure(1.5 * columns, 3.4 * math.ceil(count / columns))
    asked, learned = (_as_seen(form, x) for x in (query.inputs[:count], support.inputs))
    for number, (row, image) in enumerate(zip(rows, asked, strict=False)):
        axes = figure.add_subplot(math.ceil(count / columns), columns, number + 1)
        because = [learned[support.names.index(each["example"])] for each in row.get("matters", ())[:1]]
        axes.imshow(np.concatenate([image, *because]), cmap="gray", vmin=0, vmax=1)
        axes.axhline(len(image) - 0.5, color="C0", linewidth=2)
        right = row.get("truth", row["class"]) == row["class"]
        axes.set_title(f"{row['class']}\n{100 * row['probability']:.0f} %", fontsize=8, color="k" if right else "C3")
        axes.set(xticks=[], yticks=[])
    return figure


def _as_seen(form: Inputs, inputs: NDArray[Any]) -> NDArray[Any]:
    """Return images as they look, from 0 (black) to 1."""
    values = form("images", inputs).reshape(len(inputs), *form.shape)
    values = 1 - values if form.ink else values
    return values[..., 0] if values.shape[-1] == 1 else values


def _curve(support: NamedSet, query: NamedSet, rows: Sequence[dict[str, Any]]) -> Figure:
    figure = new_figure(6, 4)
    axes, x = figure.add_subplot(), query.inputs.reshape(-1)
    order = np.argsort(x)
    axes.plot(x[order], np.array([row["prediction"] for row in rows])[order], color="C2", label="prediction")
    if query.targets is not None:
        axes.plot(x, query.targets.reshape(-1), ".", color="C3", label="truth")
    assert support.targets is not None
    axes.plot(support.inputs.reshape(-1), support.targets.reshape(-1), "^", color="C4", label="known points")
    axes.set(xlabel="x", ylabel="y")
    axes.legend(frameon=False)
    return figure
