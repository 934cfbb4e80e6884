"""``minimeta compare RUN...``: finished runs that differ in settings, over their seeds.

Runs that differ in nothing but their seeds are one row of the table. It has a column for each setting in
which the rows differ, then the numbers of :mod:`minimeta.cli.summary`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from minimeta.cli.options import JsonOption
from minimeta.cli.summary import best_first, explained, summary_table
from minimeta.cli.tables import show_table
from minimeta.errors import CheckpointError, ConfigurationError
from minimeta.storage.run_folder import RunFolder
from minimeta.storage.sealed import read_json
from minimeta.training.configuration import flattened


@dataclass(frozen=True)
class CompareOptions(JsonOption):
    """Compare finished runs over their seeds, with a column for each setting in which they differ."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Run folders, folders of several runs (--seeds, --grid), or kept results: files of docs/results."""


def compare(options: CompareOptions) -> int:
    """Print runs over their seeds, and return the exit code.

    Raises
    ------
    ConfigurationError
        If there are no runs, one is not finished, two have the same settings and seed, or their metrics differ.
    CheckpointError
        If results are damaged.
    """
    if not options.runs:
        raise ConfigurationError("compare needs the folders of runs, as in: minimeta compare runs/*")
    results = {path: each for given in options.runs for path, each in _read(given)}
    _require_one_metric(results)
    settings = {path: _settings(each) for path, each in results.items()}
    _require_other_seeds(results, settings)
    columns = _differing(list(settings.values()))
    variants = {path: json.dumps([each.get(name) for name in columns]) for path, each in settings.items()}
    summary = best_first((variants[path], each) for path, each in results.items())
    for row in summary:
        row["settings"] = dict(zip(columns, json.loads(row.pop("variant")), strict=True))
    return options.answer({"settings": columns, "variants": summary}, lambda: _show(columns, summary))


def _read(given: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the results of a run, of all runs in a folder, or of a kept file."""
    if given.is_file():
        found = read_json(given, "Give a file that minimeta report --keep has written")
        if not isinstance(found, dict) or not {"learner", "metric", "settings", "mean"} <= found.keys():
            raise CheckpointError(f"{given} is not a result that was kept: give a run, or a file of docs/results")
        yield given.resolve(), found
        return
    inside = sorted(path.parent for path in given.rglob("configuration.toml"))
    for path in inside or [given]:
        yield path.resolve(), RunFolder(path).read_results()


def _settings(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides a run but for its seed, by name."""
    settings = {"learner": results["learner"], "task": results["task"], **flattened(results["settings"])}
    settings.pop("seed", None)
    return settings


def _require_one_metric(results: Mapping[Path, Mapping[str, Any]]) -> None:
    metrics = {each["metric"]: path for path, each in results.items()}
    if len(metrics) > 1:
        (one, path), (other, at) = list(metrics.items())[:2]
        raise ConfigurationError(f"{path} has the metric {one} and {at} has {other}: compare them apart")


def _require_other_seeds(results: Mapping[Path, Mapping[str, Any]], settings: Mapping[Path, Mapping[str, Any]]) -> None:
    seen: dict[str, Path] = {}
    for path, each in results.items():
        first = seen.setdefault(json.dumps([settings[path], each["seed"]], sort_keys=True), path)
        if first != path:
            raise ConfigurationError(f"{first} and {path} have the same settings and seed: leave one out")


def _differing(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of settings that are not the same in all, in the order of the first that has them."""
    names = list(dict.fromkeys(name for each in settings for name in each))
    return [name for name in names if len({json.dumps(each.get(name)) for each in settings}) > 1]


def _show(columns: list[str], summary: list[dict[str, Any]]) -> None:
    head, rows = summary_table([{**each, "variant": ""} for each in summary])
    settings = [[_said(each["settings"][name]) for name in columns] for each in summary]
    body = [[*own, *row[1:]] for own, row in zip(settings, rows, strict=True)]
    count = sum(len(each["seeds"]) for each in summary)
    show_table(f"{count} run{'s' * (count > 1)}", [*columns, *head[1:]], body, explained(summary))


def _said(value: Any) -> str:
    if value is None or value == []:
        return "none"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
