"""``minimeta predict RUN``: adapt what a run has learned to a few examples, and predict others."""

from __future__ import annotations

import csv
import importlib
import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from minimeta.cli.figures import require_format
from minimeta.cli.options import JsonOption, Switch
from minimeta.cli.prediction_figure import prediction_figure
from minimeta.cli.tables import show_table
from minimeta.errors import ConfigurationError
from minimeta.files import write_atomically
from minimeta.prediction import TrainedLearner, load
from minimeta.prediction.sets import NamedSet, read_set


@dataclass(frozen=True)
class PredictOptions(JsonOption):
    """Adapt what a run has learned to a few examples of new classes, and predict the classes of others.

    A support example matters by how much the log-probability of the predicted class would fall, to first order, if
    it faded to the mean of the support set: <d log p / d x_i, x_i - mean of x>. In regression it is d f / d y_i.
    """

    run: Annotated[Path, tyro.conf.Positional]
    """The run folder."""
    support: Path
    """The examples to adapt to: a folder with a folder of images for each class, an .npz (X, y), or a .csv."""
    query: Path
    """What to predict: a folder of images or of class folders, one image, an .npz (X), or a .csv."""
    steps: Annotated[int | None, tyro.conf.arg(name="evaluation.steps")] = None
    """Adaptation steps (default: the run's)."""
    transductive: Annotated[Switch, tyro.conf.arg(name="evaluation.transductive")] = False
    """Predict all queries as one batch; otherwise, whatever the run did, each alone with the support set."""
    matter: int = 1
    """How many of the support examples that matter most to name; 0 for none, which is faster."""
    out: Path | None = None
    """Write the predictions to this .csv as well, with the probability of each class."""
    plot: Path | None = None
    """Draw the queries with their predictions into this .png, .pdf or .svg."""
    learner: str | None = None
    """For a run of your own learner: where it is made, as in my_module:my_learner."""


def predict(options: PredictOptions) -> int:
    """Adapt, predict, print and write, and return the exit code.

    Raises
    ------
    MinimetaError
        If there is no such run, or it, the support set and the queries do not fit each other.
    """
    if options.matter < 0:
        raise ConfigurationError(f"--matter must not be negative: {options.matter}")
    if options.plot:
        require_format(options.plot)
    if options.out and options.out.suffix != ".csv":
        raise ConfigurationError(f"--out {options.out} should end in .csv")
    trained = load(options.run, _made(options.learner) if options.learner else None)
    support = read_set(options.support, trained.inputs, support=True)
    query = read_set(options.query, trained.inputs, support=False, columns=support.columns)
    known = trained.adapt(support.inputs, support.targets, options.steps)
    report = _report(options, known, support, query)
    if options.out:
        write_atomically(options.out, _table(report["predictions"]))
    if options.plot:
        prediction_figure(options.plot, known, support, query, report["predictions"])
    return options.answer(report, lambda: _show(report))


def _made(place: str) -> Any:
    """Return an object by the module that makes it and its name."""
    module, _, name = place.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(f"--learner {place} should be a module and a name in it: {error}") from error
    finally:
        sys.path.pop(0)


def _report(options: PredictOptions, known: TrainedLearner, support: NamedSet, query: NamedSet) -> dict[str, Any]:
    """Return all predictions, representable in JSON."""
    rows: list[dict[str, Any]] = [{"query": name} for name in query.names]
    labels = None if known.classes is None else [str(label) for label in known.classes]
    if labels is None:
        for row, values in zip(rows, known.predict(query.inputs, options.transductive), strict=True):
            row["prediction"] = values.tolist() if len(values) > 1 else float(values[0])
    else:
        for row, shares in zip(rows, known.predict_proba(query.inputs, options.transductive), strict=True):
            best = int(shares.argmax())
            row |= {"class": labels[best], "probability": float(shares[best])}
            row["probabilities"] = dict(zip(labels, shares.tolist(), strict=True))
    score = None
    if query.targets is not None:
        if labels is not None and (unknown := {str(target) for target in query.targets} - set(labels)):
            raise ConfigurationError(
                f"{options.query} has the class {min(unknown)}, of which the support set has no example"
            )
        score = known.score(query.inputs, query.targets, options.transductive)
        for row, target in zip(rows, query.targets.tolist(), strict=True):
            row["truth"] = target if labels is None else str(target)
    if options.matter:
        for row, values in zip(rows, known.influence(query.inputs), strict=True):
            most = np.argsort(-np.abs(values), kind="stable")[: options.matter]
            row["matters"] = [{"example": support.names[i], "influence": float(values[i])} for i in most]
    return {
        "run": str(options.run),
        "steps": known.steps,
        "support": len(support.names),
        "classes": labels,
        ("r2" if labels is None else "accuracy"): score,
        "predictions": rows,
    }


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """Return a prediction as the cells of a table."""
    cells = {key: value for key, value in row.items() if key not in ("probabilities", "matters")}
    for place, each in enumerate(row.get("matters", ()), start=1):
        number = f" {place}" if len(row["matters"]) > 1 else ""
        cells |= {f"matters{number}": each["example"], f"influence{number}": each["influence"]}
    return cells


def _table(rows: list[dict[str, Any]]) -> str:
    """Return the predictions as CSV, with the probability of every class."""
    text = io.StringIO()
    lines = [{**_flat(row), **{f"p({c})": p for c, p in row.get("probabilities", {}).items()}} for row in rows]
    writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _show(report: dict[str, Any]) -> None:
    """Print the predictions as a table."""
    rows = [_flat(row) for row in report["predictions"]]
    of = f" of {len(report['classes'])} classes" if report["classes"] else ""
    said = {"accuracy": "{:.1%} of the queries are right", "r2": "R^2 is {:.3f}"}
    show_table(
        f"{report['run']}: {report['steps']} steps on {report['support']} examples{of}",
        list(rows[0]),
        [[f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row.values()] for row in rows],
        [text.format(report[name]) for name, text in said.items() if report.get(name) is not None],
    )
