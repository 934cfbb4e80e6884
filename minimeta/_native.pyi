"""The compiled kernels: numpy arrays in, fresh contiguous arrays (or read-only views) out.

One stub for the extensions of all levels, ``_native_v3`` and so on, which have the same functions.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

_Array = NDArray[Any]
_Bool = NDArray[np.bool_]
_Int = NDArray[np.int64]
_Shape = tuple[int, ...]

def negative(x: _Array) -> _Array:
    """Return -x."""

def exp(x: _Array) -> _Array:
    """The exponential of x."""

def log(x: _Array) -> _Array:
    """The natural logarithm of x."""

def log1p(x: _Array) -> _Array:
    """log(1 + x), accurate near 0."""

def expm1(x: _Array) -> _Array:
    """exp(x) - 1, accurate near 0."""

def sqrt(x: _Array) -> _Array:
    """The square root of x."""

def square(x: _Array) -> _Array:
    """Return x * x."""

def reciprocal(x: _Array) -> _Array:
    """1 / x."""

def absolute(x: _Array) -> _Array:
    """The absolute value of x."""

def sign(x: _Array) -> _Array:
    """-1, 0 or 1: the sign of x."""

def sin(x: _Array) -> _Array:
    """The sine of x."""

def cos(x: _Array) -> _Array:
    """The cosine of x."""

def tan(x: _Array) -> _Array:
    """The tangent of x."""

def tanh(x: _Array) -> _Array:
    """The hyperbolic tangent of x."""

def sigmoid(x: _Array) -> _Array:
    """1 / (1 + exp(-x))."""

def softplus(x: _Array) -> _Array:
    """log(1 + exp(x))."""

def relu(x: _Array) -> _Array:
    """max(x, 0)."""

def floor_divide(x: _Array, y: _Array) -> _Array:
    """The largest whole number up to x / y."""

def remainder(x: _Array, y: _Array) -> _Array:
    """x - y * floor(x / y)."""

def gate(x: _Array, y: _Array) -> _Array:
    """Return y where x is positive, 0 elsewhere."""

def sigmoid_slope(x: _Array, y: _Array) -> _Array:
    """y * (x * (1 - x))."""

def tanh_slope(x: _Array, y: _Array) -> _Array:
    """y * (1 - x * x)."""

def add(x: _Array, y: _Array) -> _Array:
    """x + y."""

def subtract(x: _Array, y: _Array) -> _Array:
    """x - y."""

def multiply(x: _Array, y: _Array) -> _Array:
    """x * y."""

def divide(x: _Array, y: _Array) -> _Array:
    """x / y."""

def power(x: _Array, y: _Array) -> _Array:
    """x to the power of y."""

def maximum(x: _Array, y: _Array) -> _Array:
    """The larger of x and y; NaN where either is."""

def minimum(x: _Array, y: _Array) -> _Array:
    """The smaller of x and y; NaN where either is."""

def equal(x: _Array, y: _Array) -> _Bool:
    """Whether x == y."""

def not_equal(x: _Array, y: _Array) -> _Bool:
    """Whether x != y."""

def less(x: _Array, y: _Array) -> _Bool:
    """Whether x < y."""

def less_equal(x: _Array, y: _Array) -> _Bool:
    """Whether x <= y."""

def greater(x: _Array, y: _Array) -> _Bool:
    """Whether x > y."""

def greater_equal(x: _Array, y: _Array) -> _Bool:
    """Whether x >= y."""

def logical_and(x: _Bool, y: _Bool) -> _Bool:
    """Whether both x and y are true."""

def logical_or(x: _Bool, y: _Bool) -> _Bool:
    """Whether x or y is true."""

def logical_not(x: _Bool) -> _Bool:
    """Whether x is false."""

def bitwise_and(x: _Array, y: _Array) -> _Array:
    """The bits that both x and y have."""

def bitwise_or(x: _Array, y: _Array) -> _Array:
    """The bits that x or y has."""

def bitwise_xor(x: _Array, y: _Array) -> _Array:
    """The bits that one of x and y has."""

def where(condition: _Bool, x: _Array, y: _Array) -> _Array:
    """x where the condition holds, y elsewhere."""

def clip(x: _Array, low: _Array, high: _Array) -> _Array:
    """minimum(maximum(x, low), high)."""

def sum(x: _Array, axes: _Shape, keepdims: bool) -> _Array:
    """The sum over axes."""

def mean(x: _Array, axes: _Shape, keepdims: bool) -> _Array:
    """The mean over axes; NaN of nothing."""

def max(x: _Array, axes: _Shape, keepdims: bool) -> _Array:
    """The largest element over axes; NaN where one is."""

def min(x: _Array, axes: _Shape, keepdims: bool) -> _Array:
    """The smallest element over axes; NaN where one is."""

def norm(x: _Array, axes: _Shape, keepdims: bool) -> _Array:
    """The Euclidean norm over axes, without overflow or underflow."""

def logsumexp(x: _Array, axes: _Shape, keepdims: bool) -> _Array:
    """log(sum(exp(x))) over axes; -inf of nothing."""

def variance(x: _Array, axes: _Shape, keepdims: bool, correction: float) -> _Array:
    """The mean squared distance from the mean over axes, with divisor n - correction."""

def softmax(x: _Array, axes: _Shape) -> _Array:
    """exp(x) divided by its sum over axes."""

def log_softmax(x: _Array, axes: _Shape) -> _Array:
    """log(softmax(x))."""

def argmax(x: _Array, axis: int, keepdims: bool) -> _Int:
    """The index of the first largest element along an axis; of NaN, if any."""

def isfinite_all(x: _Array) -> bool:
    """Whether every element is finite."""

def matmul(x: _Array, y: _Array, transpose_x: bool = False, transpose_y: bool = False) -> _Array:
    """The product of (..., m, k) and (..., k, n), each given as it is or with its last two axes swapped."""

def conv2d(x: _Array, w: _Array, strides: _Shape, padding: _Shape) -> _Array:
    """The convolution of images (N, H, W, I) by a kernel (kh, kw, I, O); padding top, bottom, left, right."""

def conv2d_input(g: _Array, w: _Array, strides: _Shape, padding: _Shape, size: _Shape) -> _Array:
    """The transpose of conv2d with respect to its images, of size (H, W)."""

def conv2d_weight(x: _Array, g: _Array, strides: _Shape, padding: _Shape, size: _Shape) -> _Array:
    """The transpose of conv2d with respect to its kernel, of size (kh, kw)."""

def gather(x: _Array, *indices: _Int) -> _Array:
    """x[indices]: int64 arrays of one shape index the leading axes."""

def scatter_add(updates: _Array, *indices: _Int, shape: _Shape) -> _Array:
    """Zeros of a shape with updates added at indices, in order."""

def max_cell(x: _Array, window: _Shape, strides: _Shape, padding: _Shape) -> _Array:
    """Which cell, counted row by row, of each window of images (N, H, W, C) is the first maximum (or NaN)."""

def pool_take(x: _Array, cell: _Array, window: _Shape, strides: _Shape, padding: _Shape) -> _Array:
    """The element at the chosen cell of each window of images (N, H, W, C); 0 on the padding."""

def pool_put(g: _Array, cell: _Array, window: _Shape, strides: _Shape, padding: _Shape, size: _Shape) -> _Array:
    """The transpose of pool_take: images of a size, each cell the sum over the windows that hold it and chose it."""

def sum_pool(x: _Array, window: _Shape, strides: _Shape, padding: _Shape) -> _Array:
    """The sum of each window of images (N, H, W, C)."""

def sum_pool_input(g: _Array, window: _Shape, strides: _Shape, padding: _Shape, size: _Shape) -> _Array:
    """The transpose of sum_pool: the sum over the windows that hold each cell of images of a size."""

def copy(x: _Array) -> _Array:
    """A contiguous copy."""

def astype(x: _Array, dtype: str) -> _Array:
    """A contiguous copy with another dtype."""

def concatenate(*arrays: _Array, axis: int) -> _Array:
    """Arrays joined along an axis."""

def pad(x: _Array, shape: _Shape, starts: _Shape, steps: _Shape) -> _Array:
    """Zeros of a shape with x at starts + i * steps of each axis."""

def broadcast_to(x: _Array, shape: _Shape) -> _Array:
    """A read-only view with x repeated to a shape."""

def transpose(x: _Array, axes: _Shape) -> _Array:
    """A read-only view with the axes in another order."""

def slice(x: _Array, starts: _Shape, sizes: _Shape, steps: _Shape) -> _Array:
    """A read-only view of starts + i * steps of each axis."""

def reshape(x: _Array, shape: _Shape) -> _Array:
    """x with another shape: a read-only view where the strides allow one, else a copy."""

def set_num_threads(n: int) -> None:
    """At most n threads for one large operation."""

def get_num_threads() -> int:
    """How many threads a large operation may use now."""

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
    def add_operand(self, dtype: str, shape: _Shape) -> int: ...
    def add_constant(self, array: _Array) -> int:
        """An array that nobody writes to."""

    def add_step(self, name: str, operands: tuple[int, ...], parameters: dict[str, Any]) -> int: ...
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
    ) -> tuple[int, ...]:
        """Elementwise operations in one pass: their results that are named, and sums over leading axes."""

    def add_map(
        self,
        body: Builder,
        outputs: tuple[int, ...],
        operands: tuple[int, ...],
        mapped: tuple[bool, ...],
        summed: tuple[bool, ...],
        count: int,
        groups: int,
    ) -> tuple[tuple[int, ...], int]:
        """A program for every index of the operands that are mapped: its results, the number of its steps."""

    def build(self, outputs: tuple[int, ...]) -> Program: ...
