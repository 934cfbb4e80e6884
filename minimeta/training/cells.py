"""The cells of the papers' tables: a preset under a name, and the number that is published for it.

``minimeta reproduce NAME`` trains a cell. Where the paper is silent, or its number is known to
depend on a detail of the released code, the cell follows the code:

    MAML on images    batch-norm offsets are meta-learned and do not adapt; losses are ``per_shot``,
                      ``ways`` times the mean; 100 classes choose the model
    Reptile           factor and offset of batch norm adapt; the state of the inner Adam is shared;
                      nothing is chosen
    LSTM              the gates see their previous values from before the sigmoid; running
                      statistics are reset for each task

A name with one more word, such as ``-fast`` or ``-steps``, is a variation with other settings,
which its note names. A cell that nobody has run here is a *protocol*: the paper's settings and
number, but no result of ours. docs/results.md has the results of all others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from minimeta.training.presets import PRESETS, Preset

FINN = "Finn et al. 2017"
NICHOL = "Nichol et al. 2018"
RAVI = "Ravi and Larochelle 2017"

Settings = Mapping[str, Any]


class Published(NamedTuple):
    """A number that somebody reports.

    Attributes
    ----------
    steps
        The number of adaptation steps.
    value
        An error, or an accuracy from 0 to 1.
    interval
        The printed half-width of its 95 % interval; 0 if none is printed.
    transductive
        Whether all queries of a task are predicted at once.
    """

    steps: int
    value: float
    interval: float = 0.0
    transductive: bool = True


@dataclass(frozen=True)
class Cell:
    """One training, and what is published about it.

    Attributes
    ----------
    name
        What to call it.
    preset
        What to run.
    published
        The numbers; empty if nobody prints one.
    source
        Where they are printed.
    note
        How it differs from the paper, or why there is no number.
    protocol_only
        Whether nobody has run it here.
    """

    name: str
    preset: Preset
    published: tuple[Published, ...] = ()
    source: str = ""
    note: str = ""
    protocol_only: bool = False


def cell_of(preset: Preset) -> Cell | None:
    """Return the cell that a training belongs to, whatever its length, seed and measurement; None if there is none."""
    return next((cell for cell in CELLS.values() if _essence(preset) == _essence(cell.preset)), None)


def _essence(preset: Preset) -> tuple[object, ...]:
    return preset.learner, preset.benchmark, preset.run.meta_batch, preset.evaluation.shots


def _percent(steps: int, printed: tuple[float, float], transductive: bool = True) -> Published:
    """Return an accuracy and its interval that are printed in percent."""
    value, interval = printed
    return Published(steps, value / 100, interval / 100, transductive)


# ---- sinusoid regression: table 2 of Finn et al. 2017, and learners that have no table


def _sinusoid() -> Iterator[Cell]:
    def cell(
        name: str, learner: str, settings: Settings, *published: Published, source: str = "", note: str = ""
    ) -> Cell:
        return Cell(f"sinusoid-{name}", PRESETS[learner, "sinusoid"].replace(settings), published, source, note)

    one_step: Settings = {"inner_steps": 1, "step_weights": ()}
    released: Settings = {**one_step, "initialiser": "truncated_normal", "inner_learning_rate": 0.001}
    table = (Published(1, 0.67), Published(5, 0.38), Published(10, 0.35))
    steps = "half the loss is that after one step, half that after two"
    zigolox = "a third party (Zigolox/Meta-Learning-OptML-Project), which trains with 5 shots and 4 tasks a step"
    third_party = Published(1, 0.763, 0.139)
    unprinted = "to be compared with sinusoid-finetuning, and with 3.01 without adaptation"
    long: Settings = {"iterations": 70_000}

    finn = f"{FINN}, table 2"
    yield cell("maml", "maml", one_step, *table, source=finn)
    yield cell("maml-steps", "maml", {}, *table, source=finn, note=steps)
    command = "inner rate and initial weights of the released code's documented command"
    yield cell("maml-released", "maml", released, *table, source=finn, note=command)
    yield cell("fomaml", "fomaml", one_step, third_party, source=zigolox)
    yield cell("fomaml-steps", "fomaml", {}, third_party, source=zigolox, note=steps)
    yield cell("reptile", "reptile", {}, note="third parties print 0.04 to 0.06, of one single task")
    yield cell("lstm", "lstm", long, note=unprinted)
    yield cell("lstm-order2", "lstm", {**long, "order": 2}, note=unprinted)
    pretrained = (Published(1, 2.41), Published(5, 2.23), Published(10, 2.19))
    yield cell("pretraining", "pretraining", long, *pretrained, source=finn)
    yield cell("finetuning", "finetuning", {"evaluation.shots": 10})


# ---- Omniglot: table 1 of Finn et al. 2017, table 2 of Nichol et al. 2018. By (ways, shots), in percent.

_MAML = {(5, 1): (98.7, 0.4), (5, 5): (99.9, 0.1), (20, 1): (95.8, 0.3), (20, 5): (98.9, 0.2)}
_FOMAML = {(5, 1): (98.3, 0.5), (5, 5): (99.2, 0.2), (20, 1): (89.4, 0.5), (20, 5): (97.9, 0.1)}
_DENSE = {(5, 1): (89.7, 1.1), (5, 5): (97.5, 0.6)}
_REPTILE = {(5, 1): (95.39, 0.09), (5, 5): (98.90, 0.10), (20, 1): (88.14, 0.15), (20, 5): (96.65, 0.33)}
_REPTILE_TOGETHER = {(5, 1): (97.68, 0.04), (5, 5): (99.48, 0.06), (20, 1): (89.43, 0.14), (20, 5): (97.12, 0.32)}

_FALLING: Settings = {"learning_rate": 0.003, "final_step": 0.0}
_RATE = "the outer rate is three times as large and falls to 0"
_QUARTER = "a quarter of the tasks a step"
_FEW_TASKS: Settings = {**_FALLING, "meta_batch": 8, "evaluation.validate_every": 1000}
_FAST = ({**_FEW_TASKS, "iterations": 40_000}, f"{_QUARTER}; {_RATE}")
_SHORT = ({**_FALLING, "iterations": 10_000, "evaluation.validate_every": 250}, _RATE)
_THREE_STEPS = (
    {**_FEW_TASKS, "inner_steps": 3, "step_weights": (1 / 3, 1 / 3, 1 / 3), "iterations": 20_000},
    f"the loss is the mean of those after one, two and three steps; {_QUARTER}; {_RATE}",
)

_SPRINT = (
    {**_FEW_TASKS, "filters": 32, "iterations": 16_000, "evaluation.validation_tasks": 600},
    f"half of the filters; {_QUARTER}; {_RATE}",
)

_VARIATIONS: dict[str, tuple[Settings, str]] = {
    "omniglot-5w1s-maml-fast": _FAST,
    "omniglot-5w1s-maml-sprint": _SPRINT,
    "omniglot-5w1s-fomaml-fast": _FAST,
    "omniglot-5w1s-maml-dense-fast": _SHORT,
    "omniglot-5w5s-maml-fast": _FAST,
    "omniglot-5w5s-fomaml-fast": _FAST,
    "omniglot-5w5s-maml-dense-fast": _SHORT,
    "omniglot-5w5s-maml-dense-steps": _THREE_STEPS,
    "omniglot-20w1s-maml-fast": _SHORT,
}
"""What reaches an accuracy sooner than the paper's schedule: settings and a note."""


def _omniglot_maml(learner: str, ways: int, shots: int) -> Preset:
    """MAML as released: 5 ways by 1 step of 0.4 on 32 tasks, 20 ways by 5 steps of 0.1 on 16."""
    few = ways == 5
    return PRESETS[learner, "omniglot"].replace(
        {
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
            "evaluation.shots": shots,
            "evaluation.queries": shots,
            "evaluation.steps": 3 if few else 5,
            "evaluation.validate_every": 500,
            # With 20 ways, predicting each query alone would take longer than training.
            "evaluation.side_by_side": few,
        }
    )


def _omniglot_reptile(ways: int, shots: int) -> Preset:
    """Reptile by the released options: 20 ways take twice the steps and mini-batches at half the rate."""
    few = ways == 5
    return PRESETS["reptile", "omniglot"].replace(
        {
            "ways": ways,
            "inner_learning_rate": 0.001 if few else 0.0005,
            "inner_steps": 5 if few else 10,
            "inner_batch": 10 if few else 20,
            "evaluation_batch": 5 if few else 10,
            "iterations": 100_000 if few else 200_000,
            "evaluation.shots": shots,
            "evaluation.transductive": False,
        }
    )


def _lstm(task: str, shots: int) -> Preset:
    """The LSTM meta-learner by the released options: 12 updates on 5 images, or 8 on 25."""
    one = shots == 1
    return PRESETS["lstm", task].replace(
        {
            "shots": shots,
            "inner_steps": 12 if one else 8,
            "statistics_weight": 0.9 if one else 0.95,
            "iterations": 75_000 if one else 50_000,
            "evaluation.shots": shots,
            "evaluation.steps": 12 if one else 8,
        }
    )


def _omniglot() -> Iterator[Cell]:
    for ways, shots in _MAML:
        key, name = (ways, shots), f"omniglot-{ways}w{shots}s"
        for learner, settings, table, source in (
            ("maml", {}, _MAML, f"{FINN}, table 1"),
            ("fomaml", {}, _FOMAML, f"{NICHOL}, table 2"),
            ("maml-dense", {"network": "mlp"}, _DENSE, f"{FINN}, table 1, without convolutions"),
        ):
            if key not in table:
                continue
            preset = _omniglot_maml(learner.removesuffix("-dense"), ways, shots).replace(settings)
            published = (_percent(preset.evaluation.steps, table[key]),)
            yield Cell(f"{name}-{learner}", preset, published, source, protocol_only=True)
            for variation in (f"{name}-{learner}-{word}" for word in ("fast", "sprint", "steps")):
                if variation in _VARIATIONS:
                    schedule, note = _VARIATIONS[variation]
                    yield Cell(variation, preset.replace(schedule), published, source, note)
        both = (_percent(50, _REPTILE[key], transductive=False), _percent(50, _REPTILE_TOGETHER[key]))
        yield Cell(
            f"{name}-reptile", _omniglot_reptile(*key), both, f"{NICHOL}, table 2", protocol_only=ways == 20
        )  # fmt: skip
    for shots in (1, 5):
        name = f"omniglot-5w{shots}s"
        against = f"nobody prints a number; to be compared with {name}-finetuning and {name}-nearest"
        yield Cell(f"{name}-lstm", _lstm("omniglot", shots), note=against)
        same = {"shots": shots, "queries": 15, "evaluation.shots": shots, "evaluation.queries": 15}
        # To predict each query alone takes as many trainings as there are queries: longer than all
        # else.
        alone = {"network": "conv4", "evaluation.side_by_side": False}
        yield Cell(f"{name}-finetuning", PRESETS["finetuning", "omniglot"].replace({**same, **alone}))
        yield Cell(f"{name}-nearest", PRESETS["nearest", "omniglot"].replace(same))


# ---- miniImageNet: table 1 of each paper. By shots, in percent.

_MINI_IMAGENET: dict[str, dict[int, tuple[float, float]]] = {
    "maml": {1: (48.70, 1.84), 5: (63.11, 0.92)},
    "fomaml": {1: (48.07, 1.75), 5: (63.15, 0.91)},
    "reptile": {1: (47.07, 0.26), 5: (62.74, 0.37)},
    "reptile, transductive": {1: (49.97, 0.32), 5: (65.99, 0.58)},
    "lstm": {1: (43.44, 0.77), 5: (60.60, 0.71)},
}


def _mini_imagenet() -> Iterator[Cell]:
    bring = "needs miniImageNet: --data FOLDER, with train.csv, val.csv and test.csv"
    for shots in (1, 5):

        def cell(name: str, preset: Preset, paper: str, *published: Published, shots: int = shots) -> Cell:
            return Cell(f"miniimagenet-5w{shots}s-{name}", preset, published, f"{paper}, table 1", bring, True)

        for learner in ("maml", "fomaml"):
            preset = PRESETS[learner, "images"].replace(
                {
                    "shots": shots,
                    "adapts": "all_but_offsets",
                    "reduction": "per_shot",
                    # The code clips at 10 the gradient of a loss that is summed over 75 queries and
                    # divided by shots.
                    "largest_element": 10 * shots / 15,
                    "evaluation.shots": shots,
                    "evaluation.queries": shots,
                    "evaluation.validate_every": 1000,
                }
            )
            yield cell(learner, preset, FINN, _percent(10, _MINI_IMAGENET[learner][shots]))
        preset = PRESETS["reptile", "images"].replace(
            {"evaluation_batch": 5 if shots == 1 else 15, "evaluation.shots": shots}
        )
        alone = _percent(50, _MINI_IMAGENET["reptile"][shots], transductive=False)
        together = _percent(50, _MINI_IMAGENET["reptile, transductive"][shots])
        yield cell("reptile", preset, NICHOL, alone, together)
        preset = _lstm("images", shots)
        yield cell("lstm", preset, RAVI, _percent(preset.evaluation.steps, _MINI_IMAGENET["lstm"][shots]))


# ---- reinforcement learning: the figures of Finn et al. 2017, by the numbers in the authors' files of results. Returns
# before adaptation and after 1, 2, ... steps; mean and half-width over 40 tasks.

_RETURNS: dict[tuple[str, str], list[tuple[float, float]]] = {
    ("maml", "navigation"): [(-40.41, 4.01), (-11.68, 2.16), (-3.33, 0.55), (-3.23, 0.58), (-3.35, 0.59)],
    ("pretraining", "navigation"): [(-40.81, 4.04), (-19.73, 2.99), (-11.72, 1.64), (-8.48, 0.53), (-7.49, 0.38)],
    ("finetuning", "navigation"): [(-82.66, 2.16), (-57.96, 1.84), (-53.84, 1.62), (-46.81, 1.28), (-42.91, 1.28)],
    ("oracle", "navigation"): [(-2.29, 0.14)],
    ("maml", "cheetah-direction"): [(-50.69, 5.74), (293.19, 17.01), (313.48, 15.77), (315.65, 13.85)],
    ("pretraining", "cheetah-direction"): [(-43.03, 11.61), (-24.75, 9.31), (-12.85, 8.55), (19.57, 11.22)],
    ("finetuning", "cheetah-direction"): [(-35.74, 1.27), (21.83, 2.90), (62.32, 5.03), (86.19, 9.73)],
    ("oracle", "cheetah-direction"): [(442.69, 8.38)],
    ("maml", "cheetah-velocity"): [(-129.53, 16.54), (-78.57, 9.85), (-66.62, 8.94), (-60.78, 8.62)],
    ("pretraining", "cheetah-velocity"): [(-158.00, 17.35), (-135.39, 15.05), (-128.47, 13.98), (-133.61, 16.44)],
    ("finetuning", "cheetah-velocity"): [(-254.83, 35.71), (-254.33, 34.64), (-246.79, 35.36), (-230.83, 34.17)],
    ("oracle", "cheetah-velocity"): [(-54.47, 6.93)],
}


_CALM: Settings = {"decay": 0.95, "last_layer": 0.1}
_CALM_NOTE = "advantages look less far ahead (lambda 0.95), the first policy leans to no side"
_LARGER = ({"bound": 0.05, "iterations": 200}, "steps are larger")
_CHOSEN = (
    {"iterations": 80, "evaluation.validate_every": 10, "evaluation.validation_tasks": 100},
    "the state is chosen by the return after four steps on 100 goals that are not among the 40",
)


def _control() -> Iterator[Cell]:
    for (learner, task), returns in _RETURNS.items():
        was_run = task == "navigation" or (learner, task) == ("maml", "cheetah-direction")
        paper = Cell(
            f"{task}-{learner}",
            PRESETS[learner, task],
            tuple(Published(steps, *found) for steps, found in enumerate(returns)),
            f"{FINN}, figures 4 and 5, from the authors' files of results",
            protocol_only=not was_run,
        )
        yield paper
        if learner == "maml":
            settings, note = _CHOSEN if task == "navigation" else _LARGER
            calm = paper.preset.replace({**_CALM, **settings})
            yield replace(
                paper, name=f"{paper.name}-fast", preset=calm, note=f"{_CALM_NOTE}, {note}", protocol_only=False
            )


CELLS: dict[str, Cell] = {cell.name: cell for cell in [*_sinusoid(), *_omniglot(), *_mini_imagenet(), *_control()]}
"""All cells, by name."""
