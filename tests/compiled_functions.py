"""Functions to compile, and what tests of compiled functions share."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

import minimeta as mm
from minimeta.autodiff.steps import Program
from minimeta.kernels import level
from minimeta.program.executor import Executable

Function = Callable[..., Any]


def assert_same_bits(one: Any, other: Any) -> None:
    (ones, form), (others, other_form) = mm.tree.flatten(one), mm.tree.flatten(other)
    assert form == other_form
    for a, b in zip(ones, others, strict=True):
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


def bits_of(program: Program, operands: Any, threads: int = 1, level: str = level) -> list[bytes]:
    """Return what a compiled program computes, in memory that it had to fill; NaN is one number."""
    before = mm.get_num_threads()
    try:
        mm.set_num_threads(threads)
        found = Executable(program, poison=True, level=level).run(operands)
        return [np.where(np.isnan(y), np.nan, y).astype(y.dtype).tobytes() for y in found]
    finally:
        mm.set_num_threads(before)


class Counted:
    """A function that counts how often it runs."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.runs = 0

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        self.runs += 1
        return self.function(*arguments, **keywords)


@dataclasses.dataclass(frozen=True)
class Held:
    value: Any
    rest: Any = None


@dataclasses.dataclass(frozen=True)
class Line:
    slope: Any
    offset: Any
    power: int = dataclasses.field(default=1, metadata={"static": True})

    @mm.compile
    def at(self, x: Any) -> Any:
        return (self.slope * x + self.offset) ** self.power


class Scaling:
    def __init__(self, factor: float) -> None:
        self.factor = factor

    @mm.compile(static="self")
    def apply(self, x: Any) -> Any:
        return x * self.factor


@mm.compile
def module_level(x: Any) -> Any:
    """A docstring."""
    return mm.sin(x)
