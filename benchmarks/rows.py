"""The rows of the table in their order, and who computes each: programs of any kind, then steps of learning."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import networks  # noqa: F401 (its rows are declared as it is read)
import numpy as np
from contender import Contender, Learning
from libraries import LIBRARIES
from numpy.typing import NDArray
from programs import PROGRAMS, Program, ProgramStep
from workloads import WORKLOADS, Workload, draw, leaves, probe

Row: TypeAlias = Program | Workload

ROWS: dict[str, Row] = PROGRAMS | WORKLOADS

MODULES = {
    "minimeta": "minimeta_steps",
    "jax": "peers.jax_steps",
    "torch": "peers.torch_steps",
    "autograd": "peers.autograd_steps",
}
"""Where a library's steps of learning are."""


def ways(library: str, row: Row) -> dict[str, Callable[[], Entrant]]:
    """What a library enters for a row, by name.

    Raises
    ------
    ImportError
        The library is not installed.
    """
    if isinstance(row, Workload):
        by_hand = library == "minimeta" and row.by == "hand"
        builds = importlib.import_module("by_hand" if by_hand else MODULES[library]).contenders(row)
        return {name: partial(Entrant.of_learning, row, build) for name, build in builds.items()}
    if library in LIBRARIES:
        importlib.import_module(library)
    return {way: partial(Entrant.of_program, row, way) for way in row.ways if way.partition(" ")[0] == library}


class Entrant:
    """A contender, and its result for each probe, to be compared with others': a list of arrays."""

    def __init__(self, contender: Contender, result: Callable[[int], list[NDArray[Any]]]) -> None:
        self.contender, self.result = contender, result

    @classmethod
    def of_program(cls, row: Program, way: str) -> Entrant:
        step = ProgramStep(row, way)
        return cls(step, lambda number: step.result())

    @classmethod
    def of_learning(cls, row: Workload, build: Callable[..., Learning]) -> Entrant:
        learning = build(row, *draw(row))

        def result(number: int) -> list[NDArray[Any]]:
            _, gradient = learning.meta_gradient(*probe(row, number))
            return [np.asarray(leaf, np.float32) for leaf in leaves(gradient)]

        return cls(learning, result)
