"""What a cell of a table is: one training under a name, and what is published of it."""

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


def replaced(learner: LearnerName, task: str, measured: Mapping[str, Any] | None = None, /, **settings: Any) -> Preset:
    """The preset of a learner and a benchmark, some of its settings replaced."""
    preset = PRESETS[learner, task]
    return dataclasses.replace(
        preset, **settings, evaluation=dataclasses.replace(preset.evaluation, **(measured or {}))
    )


def percent(steps: int, value: float, interval: float, transductive: bool = True) -> Published:
    """An accuracy that is printed in percent."""
    return Published(steps, value / 100, interval / 100, transductive)
