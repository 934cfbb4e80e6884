"""The results of several runs over their seeds.

For runs of n seeds whose means over test tasks are m_1, ..., m_n, the summary has

    mean = (m_1 + ... + m_n) / n,    t s / sqrt(n),    s^2 = ((m_1 - mean)^2 + ... + (m_n - mean)^2) / (n - 1)

This interval is over trainings, of which there are few; that of a single run is over its test tasks. So
t is the quantile of Student's distribution with n - 1 degrees of freedom. It is 12.7 for two seeds, for
which 1.96 would be an interval of 70 %.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from minimeta.cli.results import number
from minimeta.storage.run_folder import RunFolder
from minimeta.training.metrics import LARGER_IS_BETTER

STEPS = (0, 1, 3, 5, 10)
"""The numbers of adaptation steps that papers report; tables also have the last one of a run."""

_QUANTILES = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281)


def quantile(freedom: int) -> float:
    """Return Student's 97.5 % quantile, to within 0.003: from a table, then by the series in 1 / freedom."""
    if freedom <= len(_QUANTILES):
        return _QUANTILES[freedom - 1]
    return 1.95996 + 2.3722 / freedom + 2.8225 / freedom**2


def summarised(runs: Iterable[tuple[str, RunFolder]]) -> list[dict[str, Any]]:
    """Return the results of each variant over its seeds, as :func:`best_first` does; unfinished runs are left out."""
    return best_first((variant, folder.read_results()) for variant, folder in runs if folder.results.is_file())


def best_first(runs: Iterable[tuple[str, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Return the results of each variant over its seeds, the best variant first.

    The best is judged on validation tasks, by the best validation of each run, or, if the runs have
    none, by the test tasks after the last step; ``chosen_by`` says which.

    Parameters
    ----------
    runs
        The variant of each and its ``results.json``.
    """
    found: dict[str, list[Mapping[str, Any]]] = {}
    for variant, results in runs:
        found.setdefault(variant, []).append(results)
    summaries = [_summary(variant, results) for variant, results in found.items()]
    sign = -1 if summaries and summaries[0]["metric"] in LARGER_IS_BETTER else 1
    return sorted(summaries, key=lambda each: (each["judged"] is None, sign * (each["judged"] or 0.0)))


def _summary(variant: str, results: list[Mapping[str, Any]]) -> dict[str, Any]:
    by_step = list(zip(*(each["mean"] for each in results), strict=True))
    over_seeds = [mean_and_interval(values) for values in by_step]
    best = max if results[0]["metric"] in LARGER_IS_BETTER else min
    validated = [
        best(validation["mean"] for validation in each["validation"]) for each in results if each["validation"]
    ]
    by_validation = len(validated) == len(results)
    return {
        "variant": variant,
        "metric": results[0]["metric"],
        "seeds": [each["seed"] for each in results],
        "steps": results[0]["steps"],
        "mean": [mean for mean, _ in over_seeds],
        "interval": [half for _, half in over_seeds],
        "least": [None if None in values else min(values) for values in by_step],
        "most": [None if None in values else max(values) for values in by_step],
        "chosen_by": "validation" if by_validation else "test",
        "judged": mean_and_interval(validated)[0] if by_validation else over_seeds[-1][0],
    }


def mean_and_interval(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    """Return mean and half-width of its 95 % interval; None if a value is missing, or there is but one."""
    numbers = [value for value in values if value is not None]
    if len(numbers) < len(values) or not numbers:
        return None, None
    mean = math.fsum(numbers) / len(numbers)
    if len(numbers) == 1:
        return mean, None
    variance = math.fsum((value - mean) ** 2 for value in numbers) / (len(numbers) - 1)
    return mean, quantile(len(numbers) - 1) * math.sqrt(variance / len(numbers))


def summary_table(summary: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Return head and rows: a row for each variant, a column for some numbers of steps."""
    if not summary:
        return ["settings", "seeds"], []
    last = {each["steps"][-1] for each in summary}
    shown = sorted({step for each in summary for step in each["steps"] if step in {*STEPS, *last}})
    head = ["settings", "seeds", *(f"after {step}" for step in shown), "spread", f"by {summary[0]['chosen_by']}"]
    rows = []
    for each in summary:

        def said(values: str, step: int, each: Mapping[str, Any] = each) -> str:
            value = each[values][each["steps"].index(step)]
            return "" if value is None else number(each["metric"], value)

        cells = [
            f"{said('mean', step) or 'not finite'} ± {said('interval', step) or '?'}" if step in each["steps"] else ""
            for step in shown
        ]
        spread = f"{said('least', each['steps'][-1])} to {said('most', each['steps'][-1])}"
        judged = "" if each["judged"] is None else number(each["metric"], each["judged"])
        rows.append([each["variant"] or "as given", str(len(each["seeds"])), *cells, spread, judged])
    return head, rows


def explained(summary: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what the numbers of a summary's table are, a line each."""
    by = {
        "validation": "by validation: the mean of each run's best validation; the best row comes first",
        "test": "by test: the mean over test tasks after the last step of adaptation; the best row comes first",
    }
    return ["mean over seeds ± 95 % interval of that mean", *(by[each["chosen_by"]] for each in summary[:1])]
