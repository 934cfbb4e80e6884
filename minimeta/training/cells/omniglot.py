"""Few-shot Omniglot: table 1 of Finn et al. 2017, table 2 of Nichol et al. 2018."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from minimeta.training.cells.cell import FINN, NICHOL, Cell, percent, replaced
from minimeta.training.cells.lstm import lstm
from minimeta.training.presets import LearnerName, Preset

# (ways, shots): accuracy and interval in percent.
_MAML = {(5, 1): (98.7, 0.4), (5, 5): (99.9, 0.1), (20, 1): (95.8, 0.3), (20, 5): (98.9, 0.2)}
_FOMAML = {(5, 1): (98.3, 0.5), (5, 5): (99.2, 0.2), (20, 1): (89.4, 0.5), (20, 5): (97.9, 0.1)}
_DENSE = {(5, 1): (89.7, 1.1), (5, 5): (97.5, 0.6)}
_REPTILE = {(5, 1): (95.39, 0.09), (5, 5): (98.90, 0.10), (20, 1): (88.14, 0.15), (20, 5): (96.65, 0.33)}
_REPTILE_TOGETHER = {(5, 1): (97.68, 0.04), (5, 5): (99.48, 0.06), (20, 1): (89.43, 0.14), (20, 5): (97.12, 0.32)}

_FALLING: dict[str, Any] = {"learning_rate": 0.003, "final_step": 0.0}
_RATE = "the outer rate is three times as large and falls to 0"


def _variations(ways: int, network: str) -> Iterator[tuple[str, dict[str, Any], str]]:
    """What reaches an accuracy sooner than the paper's schedule: a suffix, settings and a note."""
    if network == "conv4" and ways == 5:
        quarter = {"meta_batch": 8, "iterations": 40_000, "validate_every": 1000}
        yield "-fast", _FALLING | quarter, f"a quarter of the tasks a step; {_RATE}"
    else:
        yield "-fast", _FALLING | {"iterations": 10_000, "validate_every": 250}, _RATE
    if network == "mlp":
        thirds = {"inner_steps": 3, "step_weights": (1 / 3, 1 / 3, 1 / 3)}
        note = f"the loss is the mean of those after one, two and three steps; a quarter of the tasks a step; {_RATE}"
        yield "-steps", _FALLING | thirds | {"meta_batch": 8, "iterations": 20_000, "validate_every": 1000}, note


def _maml(learner: LearnerName, ways: int, shots: int, validate_every: int = 500, **settings: Any) -> Preset:
    """MAML as released: 5 ways by 1 step of 0.4 on 32 tasks, 20 ways by 5 steps of 0.1 on 16."""
    few = ways == 5
    return replaced(
        learner,
        "omniglot",
        {
            "shots": shots,
            "queries": shots,
            "steps": 3 if few else 5,
            "validate_every": validate_every,
            # With 20 ways, predicting each query alone would take longer than training.
            "side_by_side": few,
        },
        **{
            "ways": ways,
            "shots": shots,
            "queries": shots,
            "split": "maml",
            "network": "conv4",
            "adapts": "all_but_offsets",
            "reduction": "per_shot",
            "inner_learning_rate": 0.4 if few else 0.1,
            "inner_steps": 1 if few else 5,
            "meta_batch": 32 if few else 16,
            "iterations": 60_000,
        }
        | settings,
    )


def _reptile(ways: int, shots: int) -> Preset:
    """Reptile by the released options: 20 ways take twice the steps and mini-batches at half the rate."""
    few = ways == 5
    return replaced(
        "reptile",
        "omniglot",
        {"shots": shots, "queries": 1, "steps": 50, "transductive": False},
        ways=ways,
        inner_learning_rate=0.001 if few else 0.0005,
        inner_steps=5 if few else 10,
        inner_batch=10 if few else 20,
        evaluation_batch=5 if few else 10,
        iterations=100_000 if few else 200_000,
    )


def _gradient_cells(ways: int, shots: int) -> Iterator[Cell]:
    """MAML's cells of one column, each by the paper's schedule and by the fast one."""
    key, name = (ways, shots), f"omniglot-{ways}w{shots}s"
    trained: list[tuple[str, LearnerName, dict[str, Any], tuple[float, float], str]] = [
        ("maml", "maml", {}, _MAML[key], f"{FINN}, table 1"),
        ("fomaml", "fomaml", {}, _FOMAML[key], f"{NICHOL}, table 2"),
    ]
    if key in _DENSE:
        trained.append(
            ("maml-dense", "maml", {"network": "mlp"}, _DENSE[key], f"{FINN}, table 1, without convolutions")
        )
    for cell, learner, settings, accuracy, source in trained:
        for suffix, schedule, note in [("", {}, ""), *_variations(ways, settings.get("network", "conv4"))]:
            preset = _maml(learner, ways, shots, **settings, **schedule)
            yield Cell(
                f"{name}-{cell}{suffix}", learner, preset, (percent(preset.evaluation.steps, *accuracy),), source, note
            )


def omniglot() -> Iterator[Cell]:
    """All cells of Omniglot."""
    for ways, shots in _MAML:
        key = (ways, shots)
        yield from _gradient_cells(ways, shots)
        yield Cell(
            f"omniglot-{ways}w{shots}s-reptile",
            "reptile",
            _reptile(ways, shots),
            (percent(50, *_REPTILE[key], transductive=False), percent(50, *_REPTILE_TOGETHER[key])),
            f"{NICHOL}, table 2",
        )
    for shots in (1, 5):
        name, judged = f"omniglot-5w{shots}s", {"shots": shots, "queries": 15}
        beside = f"nobody prints a number; beside {name}-finetuning and {name}-nearest"
        yield Cell(f"{name}-lstm", "lstm", lstm("omniglot", shots), note=beside)
        settings = {"shots": shots, "queries": 15}
        # As many trainings as queries would take longer than all else.
        alone = {"side_by_side": False}
        tuned = replaced("finetuning", "omniglot", judged | alone, **settings, network="conv4")
        yield Cell(f"{name}-finetuning", "finetuning", tuned)
        yield Cell(f"{name}-nearest", "nearest", replaced("nearest", "omniglot", judged, **settings))
