"""The cells of the papers' tables: a learner, its settings, and the number it should come to.

Each is one training under a name, ``minimeta reproduce NAME``. What several cells share is the preset of their learner
and benchmark (:mod:`minimeta.training.presets`), whose every setting says what paper and released code have; a cell
says which of the two it follows where they differ. Where the paper is silent or the number is known to hang on it, that
is the code:

    MAML on images    batch-norm offsets are meta-learned and do not adapt; losses are ``per_shot``, ``ways`` times the
                      mean; 100 classes choose the model
    Reptile           factor and offset of batch norm adapt; the state of the inner Adam is shared; nothing is chosen
    LSTM              the gates are given their values before the sigmoid; running statistics begin anew with each task

A cell whose name has a word more is a variation: other settings, named in its note, beside the paper's own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from minimeta.training.presets import PRESETS, LearnerName, Preset

FINN = "Finn et al. 2017"
NICHOL = "Nichol et al. 2018"
RAVI = "Ravi and Larochelle 2017"


class Published(NamedTuple):
    """A number that somebody reports.

    Attributes
    ----------
    steps
        After how many steps of adaptation.
    value
        An error, or an accuracy from 0 to 1.
    interval
        Half-width of its 95 % interval, as they print it; 0 where they print none.
    transductive
        Whether all queries of a task are predicted at once.
    """

    steps: int
    value: float
    interval: float = 0.0
    transductive: bool = True


@dataclass(frozen=True)
class Cell:
    """One training, and what is published of it.

    Attributes
    ----------
    name
        What it is called.
    learner, preset
        What is run.
    published
        The numbers; empty where nobody prints one.
    source
        Where they are printed.
    note
        In what it is not the paper's own, or why there is no number.
    """

    name: str
    learner: LearnerName
    preset: Preset
    published: tuple[Published, ...] = ()
    source: str = ""
    note: str = ""


def _of(learner: LearnerName, task: str, measured: Mapping[str, Any] | None = None, /, **settings: Any) -> Preset:
    """The preset of a learner and a benchmark, some of its settings replaced."""
    preset = PRESETS[learner, task]
    return dataclasses.replace(
        preset, **settings, evaluation=dataclasses.replace(preset.evaluation, **(measured or {}))
    )


def _percent(steps: int, percent: float, interval: float, transductive: bool = True) -> Published:
    return Published(steps, percent / 100, interval / 100, transductive)


def _sinusoid() -> list[Cell]:
    table = (Published(1, 0.67), Published(5, 0.38), Published(10, 0.35))
    pretrained = (Published(1, 2.41), Published(5, 2.23), Published(10, 2.19))
    return [
        Cell("sinusoid-maml", "maml", _of("maml", "sinusoid"), table, f"{FINN}, table 2"),
        Cell(
            "sinusoid-maml-steps",
            "maml",
            _of("maml", "sinusoid", inner_steps=5, step_weights=(0.5, 0.0, 0.0, 0.0, 0.5), final_step=0.0),
            table,
            f"{FINN}, table 2",
            "trained for what is tested: half the loss is that after one step, half that after five; the outer rate "
            "falls to 0",
        ),
        Cell(
            "sinusoid-maml-released",
            "maml",
            _of("maml", "sinusoid", initialiser="truncated_normal", inner_learning_rate=0.001),
            table,
            f"{FINN}, table 2",
            "inner rate and initial weights of the released code's documented command",
        ),
        Cell(
            "sinusoid-fomaml",
            "fomaml",
            _of("fomaml", "sinusoid"),
            (Published(1, 0.763, 0.139),),
            "a third party (Zigolox/Meta-Learning-OptML-Project), which trains with 5 shots and 4 tasks a step",
        ),
        Cell(
            "sinusoid-reptile",
            "reptile",
            _of("reptile", "sinusoid"),
            note="third parties print 0.04 to 0.06, of one single task",
        ),
        *(
            Cell(
                f"sinusoid-lstm{name}",
                "lstm",
                _of("lstm", "sinusoid", order=order),
                note="to be compared with sinusoid-finetuning, and with 3.01 without adaptation",
            )
            for name, order in (("", 1), ("-order2", 2))
        ),
        Cell(
            "sinusoid-pretraining", "pretraining", _of("pretraining", "sinusoid"), pretrained, f"{FINN}, table 2"
        ),
        Cell("sinusoid-finetuning", "finetuning", _of("finetuning", "sinusoid", {"shots": 10})),
    ]  # fmt: skip


# (ways, shots): accuracy and interval in percent.
_MAML = {(5, 1): (98.7, 0.4), (5, 5): (99.9, 0.1), (20, 1): (95.8, 0.3), (20, 5): (98.9, 0.2)}
_FOMAML = {(5, 1): (98.3, 0.5), (5, 5): (99.2, 0.2), (20, 1): (89.4, 0.5), (20, 5): (97.9, 0.1)}
_DENSE = {(5, 1): (89.7, 1.1), (5, 5): (97.5, 0.6)}
_REPTILE = {(5, 1): (95.39, 0.09), (5, 5): (98.90, 0.10), (20, 1): (88.14, 0.15), (20, 5): (96.65, 0.33)}
_REPTILE_TOGETHER = {(5, 1): (97.68, 0.04), (5, 5): (99.48, 0.06), (20, 1): (89.43, 0.14), (20, 5): (97.12, 0.32)}


def _omniglot_maml(learner: LearnerName, ways: int, shots: int, **settings: Any) -> Preset:
    """MAML as released: 5 ways by 1 step of 0.4 on 32 tasks, 20 ways by 5 steps of 0.1 on 16."""
    few = ways == 5
    return _of(
        learner,
        "omniglot",
        # With 20 ways, predicting each query alone would take longer than training.
        {"shots": shots, "queries": shots, "steps": 3 if few else 5, "validate_every": 1000, "side_by_side": few},
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


def _omniglot_reptile(ways: int, shots: int) -> Preset:
    """Reptile by the released options: 20 ways take twice the steps and mini-batches at half the rate."""
    few = ways == 5
    return _of(
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


def _lstm(task: str, shots: int) -> Preset:
    """The LSTM meta-learner by the released options: 12 updates of 5 images, or 8 of 25."""
    steps = 12 if shots == 1 else 8
    return _of(
        "lstm",
        task,
        {"shots": shots, "steps": steps},
        shots=shots,
        inner_steps=steps,
        statistics_weight=0.9 if shots == 1 else 0.95,
        iterations=75_000 if shots == 1 else 50_000,
    )


def _omniglot() -> list[Cell]:
    cells = []
    printed: dict[LearnerName, tuple[dict[tuple[int, int], tuple[float, float]], str]] = {
        "maml": (_MAML, f"{FINN}, table 1"),
        "fomaml": (_FOMAML, f"{NICHOL}, table 2"),
    }
    for ways, shots in _MAML:
        name = f"omniglot-{ways}w{shots}s"
        for learner, (table, source) in printed.items():
            preset = _omniglot_maml(learner, ways, shots)
            published = (_percent(preset.evaluation.steps, *table[ways, shots]),)
            cells.append(Cell(f"{name}-{learner}", learner, preset, published, source))
        if (ways, shots) in _DENSE:
            cells.append(
                Cell(
                    f"{name}-maml-dense",
                    "maml",
                    _omniglot_maml("maml", ways, shots, network="mlp"),
                    (_percent(3, *_DENSE[ways, shots]),),
                    f"{FINN}, table 1, without convolutions",
                )
            )
        cells.append(
            Cell(
                f"{name}-reptile",
                "reptile",
                _omniglot_reptile(ways, shots),
                (
                    _percent(50, *_REPTILE[ways, shots], transductive=False),
                    _percent(50, *_REPTILE_TOGETHER[ways, shots]),
                ),
                f"{NICHOL}, table 2",
            )
        )
    for shots in (1, 5):
        name = f"omniglot-5w{shots}s"
        judged = {"shots": shots, "queries": 15}
        beside = f"nobody prints a number; beside {name}-finetuning and {name}-nearest"
        cells += [
            Cell(f"{name}-lstm", "lstm", _lstm("omniglot", shots), note=beside),
            Cell(
                f"{name}-finetuning",
                "finetuning",
                _of("finetuning", "omniglot", judged, shots=shots, queries=15, network="conv4"),
            ),
            Cell(f"{name}-nearest", "nearest", _of("nearest", "omniglot", judged, shots=shots, queries=15)),
        ]
    return cells


_MINI: dict[str, dict[int, tuple[float, float]]] = {
    "maml": {1: (48.70, 1.84), 5: (63.11, 0.92)},
    "fomaml": {1: (48.07, 1.75), 5: (63.15, 0.91)},
    "reptile": {1: (47.07, 0.26), 5: (62.74, 0.37)},
    "reptile, transductive": {1: (49.97, 0.32), 5: (65.99, 0.58)},
    "lstm": {1: (43.44, 0.77), 5: (60.60, 0.71)},
    "nearest": {1: (41.08, 0.70), 5: (51.04, 0.65)},
}


def _mini_imagenet() -> list[Cell]:
    bring = "needs miniImageNet: --data FOLDER, with train.csv, val.csv and test.csv"
    cells = []
    optimised: tuple[LearnerName, ...] = ("maml", "fomaml")
    for shots in (1, 5):
        name = f"miniimagenet-5w{shots}s"
        for learner in optimised:
            preset = _of(
                learner,
                "images",
                {"shots": shots, "queries": shots, "validate_every": 1000},
                shots=shots,
                adapts="all_but_offsets",
                reduction="per_shot",
                # The code cuts at 10 the gradient of a loss summed over 75 queries and divided by shots.
                largest_element=10 * shots / 15,
            )
            published = (_percent(10, *_MINI[learner][shots]),)
            cells.append(Cell(f"{name}-{learner}", learner, preset, published, f"{FINN}, table 1", bring))
        reptile = _of("reptile", "images", {"shots": shots}, evaluation_batch=5 if shots == 1 else 15)
        both = (
            _percent(50, *_MINI["reptile"][shots], transductive=False),
            _percent(50, *_MINI["reptile, transductive"][shots]),
        )
        cells.append(Cell(f"{name}-reptile", "reptile", reptile, both, f"{NICHOL}, table 1", bring))
        lstm = _lstm("images", shots)
        published = (_percent(lstm.evaluation.steps, *_MINI["lstm"][shots]),)
        cells.append(Cell(f"{name}-lstm", "lstm", lstm, published, f"{RAVI}, table 1", bring))
        nearest = _of("nearest", "images", {"shots": shots}, shots=shots)
        published = (_percent(0, *_MINI["nearest"][shots]),)
        note = f"{bring}; the paper's neighbours are of learned features, these of pixels"
        cells.append(Cell(f"{name}-nearest", "nearest", nearest, published, f"{RAVI}, table 1", note))
    return cells


CELLS: dict[str, Cell] = {cell.name: cell for cell in [*_sinusoid(), *_omniglot(), *_mini_imagenet()]}
"""All cells, by name."""


def cell_of(learner: LearnerName, preset: Preset) -> Cell | None:
    """Return the cell that a training is of, whatever its length, its seed and how it is measured; None if of none."""
    for cell in CELLS.values():
        free = {name: getattr(preset, name) for name in ("iterations", "seed", "evaluation")}
        if (
            learner == cell.learner
            and type(preset) is type(cell.preset)
            and preset == dataclasses.replace(cell.preset, **free)
            and preset.evaluation.shots == cell.preset.evaluation.shots
        ):
            return cell
    return None
