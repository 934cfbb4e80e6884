"""``minimeta compare RUN...``: one table over finished runs, as the README has it."""

from __future__ import annotations

import json
from typing import Any

from minimeta import cli
from minimeta.cli.arguments import CompareOptions
from minimeta.cli.beside import published
from minimeta.cli.results import markdown, way_of_predicting
from minimeta.cli.run_folder import RunFolder
from minimeta.errors import ConfigurationError
from minimeta.training import CELLS

STEPS = (0, 1, 3, 5, 10)
"""The numbers of adaptation steps that papers report; the last one of a run is shown, too."""


def compare(options: CompareOptions) -> int:
    """Print the results of runs and return the exit code.

    Raises
    ------
    ConfigurationError
        There are no runs, or one of them is not finished.
    """
    if not options.runs:
        raise ConfigurationError("compare needs the folders of runs, as in: minimeta compare runs/*")
    results = [RunFolder(path).read_results() for path in options.runs]
    if options.json:
        print(json.dumps({"status": "complete", "runs": results}))
    else:
        head = ["run", "iterations", "training", "before adaptation; after n steps", "published"]
        print(markdown(head, [_row(each) for each in results]), end="")
    return cli.DONE


def _row(results: dict[str, Any]) -> list[str]:
    steps = [step for step in results["steps"] if step in (*STEPS, results["steps"][-1])]
    means, halves = (dict(zip(results["steps"], results[name], strict=True)) for name in ("mean", "interval"))
    scale, unit, digits = (100, " %", 1) if results["metric"] == "accuracy" else (1, "", 3)

    def number(value: float | None) -> str:
        return "not finite" if value is None else f"{scale * value:.{digits}f}"

    reached = [f"{step}: {number(means[step])} ± {number(halves[step])}{unit}" for step in steps]
    if other := results["other"]:
        last = f"{steps[-1]}: {number(other['mean'][-1])} ± {number(other['interval'][-1])}{unit}"
        reached.append(f"{way_of_predicting(other['transductive'])}: {last}")
    if results["diverged"]:
        reached.append(f"{results['diverged']} of {results['evaluation']['tasks']} tasks diverged")
    seconds, cell = results.get("seconds"), CELLS[results["cell"]] if results["cell"] else None
    return [
        f"`{results['learner']} {results['task']}`, seed {results['seed']}, {results['evaluation']['shots']}-shot",
        f"{results['step']:,}",
        "" if seconds is None else f"{seconds:.0f} s",
        "; ".join(reached),
        "; ".join(f"{each.steps}: {published(results['metric'], each)}" for each in cell.published) if cell else "",
    ]
