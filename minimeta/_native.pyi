"""The compiled kernels: numpy arrays in, fresh contiguous arrays (or read-only views) out.

One stub for the extensions of all levels, ``_native_v3`` and so on, which have the same names.
"""

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

_Array = NDArray[Any]
_Shape = tuple[int, ...]

class Operation:
    """An operation of ``csrc/operations.cpp``: its operands by place, its parameters by name."""

    __name__: str
    def __call__(self, *operands: _Array, **parameters: Any) -> _Array: ...

FAR_BYTES: int
FUSED_BLOCK: int
FUSED_WIDTH: int
FUSED_VALUES: int
MOST_SIDE: int

def __getattr__(name: str) -> Operation:
    """Return the operation of a name."""

def set_num_threads(n: int) -> None:
    """At most n threads for one large operation."""

def get_num_threads() -> int:
    """How many threads a large operation may use now."""

def round_trip() -> float:
    """Nanoseconds in which a cache line goes to another thread and back, measured now."""

def kept_bytes() -> int:
    """How much memory of former results is kept, to be used again."""

def multiply_adds(dtype: str, rounds: int) -> int:
    """Rounds of multiply-adds in registers alone, for benchmarks to time; how many there were."""

class Program:
    """Kernels in a row, replayed."""

    @property
    def instructions(self) -> int: ...
    @property
    def arena_bytes(self) -> int: ...
    def run(self, operands: list[_Array]) -> list[_Array]:
        """Fresh outputs for contiguous operands."""

    def watch(self, operands: list[_Array], check_finite: bool) -> tuple[list[_Array], list[Any], list[int]]:
        """Outputs, nanoseconds of each step (and of the steps of its body), the path to what is not finite."""

class Call:
    """A program with the structures of its arguments and its output."""

    def __init__(
        self, program: Program, arguments: Any, keywords: Any, classes: tuple[Any, ...], output: Any
    ) -> None: ...
    @property
    def is_native(self) -> bool:
        """Whether it can be run: Python need not be asked what a tree is."""

    def __call__(self, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """The output, or NotImplemented for a tuple of arguments and a dict of keywords of another form."""

class Builder:
    """Values and steps of a program to be, numbered as they are added."""

    def __init__(self, reuse_memory: bool, poison: bool) -> None: ...
    @property
    def reuse_memory(self) -> bool: ...
    @property
    def poison(self) -> bool: ...
    @property
    def steps(self) -> int: ...
    def last_side(self, value: int) -> int:
        """How long its last axis is."""

    def add_operand(self, dtype: str, shape: _Shape) -> int: ...
    def add_constant(self, array: _Array) -> int:
        """An array that nobody writes to."""

    def add_step(self, name: str, operands: tuple[int, ...], parameters: dict[str, Any]) -> tuple[int, ...]:
        """A primitive's kernel: its results."""

    def add_max_cell_and_take(self, image: int, parameters: dict[str, Any]) -> tuple[int, int]:
        """Of each window the number of its largest cell, and that cell."""

    def concatenate_in_place(self, parts: tuple[int, ...], axis: int) -> int:
        """What results of steps are together, each written there by its own step."""

    def with_contiguous_parts(self, value: int, whole: bool) -> int:
        """The value, or a copy, that is contiguous whole, or along the axes after the first."""

    def own(self, outputs: tuple[int, ...]) -> tuple[int, ...]:
        """The outputs, copied where they have no memory of their own."""

    def add_call(
        self,
        function: Callable[[list[_Array]], tuple[_Array, ...]],
        operands: tuple[int, ...],
        forms: tuple[tuple[str, _Shape], ...],
    ) -> tuple[int, ...]:
        """A function of a list of arrays, that returns a tuple of arrays of these dtypes and shapes."""

    def add_fused(
        self,
        operands: tuple[int, ...],
        operations: tuple[tuple[str, tuple[int, ...]], ...],
        values: tuple[int, ...],
        sums: tuple[tuple[int, int, bool, bool], ...],
        far: tuple[int, ...] = (),
        puts: tuple[tuple[int, int, int, int], ...] = (),
    ) -> tuple[int, ...]:
        """Elementwise operations in one pass: their results that are named, and sums over leading axes."""

    def add_finished_product(
        self,
        factors: tuple[int, int],
        transpose_x: bool,
        transpose_y: bool,
        others: tuple[int, ...],
        finishes: tuple[str, ...],
        summed: bool,
        keepdims: bool,
    ) -> tuple[int, ...]:
        """A small product and what follows it, one after another: add, relu, step, mask; and its sum over rows."""

    def add_finished_convolution(
        self,
        name: str,
        factors: tuple[int, int],
        parameters: dict[str, Any],
        others: tuple[int, ...],
        finishes: tuple[str, ...],
    ) -> tuple[int, ...]:
        """A form of a convolution and what follows it, one after another: add, step, mask."""

    def add_fused_products(
        self,
        operands: tuple[int, ...],
        products: tuple[tuple[int, int, bool, bool], ...],
        operations: tuple[tuple[str, tuple[int, ...]], ...],
        joined: tuple[tuple[int, ...], ...],
        later: tuple[tuple[int, int, bool, bool], ...],
        contractions: tuple[tuple[int, int, bool, bool], ...],
        sums: tuple[tuple[int, bool], ...],
        values: tuple[int, ...],
    ) -> tuple[int, ...]:
        """Products, operations on them, and products and sums over columns of what those compute."""

    def add_body(self, body: Builder, outputs: tuple[int, ...], summed: tuple[bool, ...]) -> tuple[int, int]:
        """A program for maps to run; its number, and the bytes of its arena."""

    def add_map(
        self,
        body: int,
        operands: tuple[int, ...],
        mapped: tuple[bool, ...],
        summed: tuple[bool, ...],
        count: int,
        groups: int,
        in_turns: bool,
    ) -> tuple[int, ...]:
        """A body, by its number, for every index of the operands that are mapped; at once, or in turns."""

    def build(self, outputs: tuple[int, ...]) -> Program: ...
