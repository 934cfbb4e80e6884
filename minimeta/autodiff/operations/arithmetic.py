"""Arithmetic: sums, products, powers, and the functions with kinks.

Each function is its numpy reference, under its derivatives: one rule for each operand, from the
cotangent ``g``, the result ``z`` (or ``y``) and the operands. A reference is exact in complex
numbers too, with every choice made on real parts. What is said of all elementwise functions stands
in :mod:`~minimeta.autodiff.operations.elementwise`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minimeta.autodiff.apply import apply
from minimeta.autodiff.array import Array, ArrayLike, Value
from minimeta.autodiff.operations import conversions, logic, magnitudes, operands, transcendental
from minimeta.autodiff.operations.elementwise import TRUTHS_AS_INT8, binary, elementwise, unary
from minimeta.autodiff.operations.queries import differentiable
from minimeta.autodiff.primitive import Primitive
from minimeta.autodiff.protocols import answers
from minimeta.autodiff.ufuncs import settled
from minimeta.errors import TracingError


@binary(lambda g, z, x, y: g, lambda g, z, x, y: g, accepts="biuf", linear=True, answers=np.add)
def add(x: Any, y: Any) -> Any:
    """``x + y``."""
    return x + y


@binary(lambda g, z, x, y: g, lambda g, z, x, y: -g, accepts="iuf", linear=True, answers=np.subtract)
def subtract(x: Any, y: Any) -> Any:
    """``x - y``."""
    return x - y


@answers(np.multiply)
def multiply(x: ArrayLike, y: ArrayLike) -> Value:
    """``x y``; of one magnitude with itself (``norm(v) * norm(v)``) it is :func:`square`."""
    if (
        type(x) is Array
        and x.inputs
        and type(y) is Array
        and y.inputs
        and x.inputs[0] is y.inputs[0]
        and magnitudes.is_square(x, y)
    ):
        return square(x)
    return apply(MULTIPLY, x, y)


@binary(
    lambda g, z, x, y: g * y, lambda g, z, x, y: x * g, accepts="biuf", quadratic=True, through=magnitudes.of_product
)
def _multiply(x: Any, y: Any) -> Any:
    return x * y


@binary(
    lambda g, z, x, y: g / y,
    lambda g, z, x, y: -(g * z) / y,
    domains=("real", "nonzero"),
    promotes=dict.fromkeys("biu", "float64"),
    differential=lambda x, y, u, v: u / y - x / y * (v / y),
    costly=True,
    answers=np.divide,
)
def divide(x: Any, y: Any) -> Any:
    """``x / y``; infinite or NaN where ``y = 0``. Of integers it is float64."""
    return x / y


@binary(domains=("real", "nonzero"), accepts="iuf", promotes=TRUTHS_AS_INT8, costly=True, answers=np.floor_divide)
def floor_divide(x: Any, y: Any) -> Any:
    """``floor(x / y)``; of integers 0 where ``y = 0``. Its derivative is 0 everywhere, so the result is a constant."""
    return np.floor_divide(np.real(x), np.real(y))


@binary(
    lambda g, z, x, y: g,
    lambda g, z, x, y: -(g * floor_divide(x, y)),
    domains=("real", "nonzero"),
    accepts="iuf",
    promotes=TRUTHS_AS_INT8,
    costly=True,
    answers=np.remainder,
)
def remainder(x: Any, y: Any) -> Any:
    """``x - y floor(x / y)``, which has the sign of ``y``; of integers 0 where ``y = 0``, of floats
    NaN.

    The derivatives are 1 and ``-floor(x / y)``; where the function jumps, too.
    """
    return x - y * np.floor_divide(x.real, y.real) if np.iscomplexobj(x + y) else np.remainder(x, y)


@answers(np.divmod)
def divmod(x: ArrayLike, y: ArrayLike) -> tuple[Value, Value]:
    """:func:`floor_divide` and :func:`remainder`."""
    return floor_divide(x, y), remainder(x, y)


@answers(np.power)
def power(x: ArrayLike, y: ArrayLike) -> Value:
    """``x ** y``; NaN where ``x < 0`` and ``y`` is not whole.

    At ``x = 0`` all derivatives with respect to ``y``, mixed ones included, are taken as 0, which
    they are where they exist; for ``x < 0`` they are NaN, since there is a function of ``y`` at
    whole numbers only. At ``y = 0`` the derivative with respect to ``x`` is 0, even at ``x = 0``.
    An exponent that is the number 2 is computed by :func:`square`, and of floats some others by
    products and roots (``_simple_power``).

    Raises
    ------
    ValueError
        Integers to negative integer powers.
    """
    if type(y) in (int, float):
        kind = operands.dtype_of(x).kind
        if y == 2 and kind in ("iuf" if type(y) is int else "f"):
            return square(x)
        if kind == "f" and (simple := _simple_power(x, y)) is not None:
            return simple
    elif isinstance(y, (np.generic, np.ndarray)) and y.ndim == 0 and y.dtype.kind in "iuf" and y == 2:
        return square(_promoted_with(x, y))
    return _power(x, y)


def _simple_power(x: ArrayLike, y: Any) -> Value | None:
    """Return a power by few products and roots, in a tenth of the time and with the error of two or three roundings;
    None of another exponent.
    """
    # The reciprocal comes first, so that nothing overflows on the way.
    if y in (-1.0, -2.0):
        return reciprocal(x) if y == -1.0 else square(reciprocal(x))
    if y in (3.0, 4.0):
        return multiply(square(x), x) if y == 3.0 else square(square(x))
    if y in (0.5, -0.5):
        return sqrt(x) if y == 0.5 else reciprocal(sqrt(add(x, 0.0)))  # of -0, too, this is +infinity
    return None


def _promoted_with(x: Any, y: Any) -> Any:
    """Convert an operand to the dtype that it takes together with a number of numpy's."""
    found = operands.dtype_of(x)
    weak = x.weak if type(x) is Array else type(x) in (float, int, bool)
    dtype = np.result_type(found.type(0).item() if weak else found, y)
    return x if dtype == found and not weak else conversions.astype(x, dtype)


def _base_rule(g: Array, z: Array, x: Array, y: Array) -> Value:
    """``g y x**(y - 1)``, which is 0 where ``y = 0``, though the power may be infinite there."""
    is_constant = logic.equal(y, 0.0)
    if y.transformation is not None:
        # With respect to y, 0 times the power has a derivative, x**-1. There is none only where
        # that is infinite.
        at_pole = logic.equal(x, 0.0)
        y = logic.where(at_pole, conversions.stop_gradient(y), y)
        is_constant = is_constant & (absolute(x) < float(np.finfo(x.dtype).tiny))
    return g * y * power(x, logic.where(is_constant, 0.0, y - 1.0))


def _exponent_rule(g: Array, z: Array, x: Array, y: Array) -> Value:
    """``g x**y log(x)``; of ``x = 0`` nothing is computed, so that it is 0 to every order."""
    base = logic.where(logic.equal(x, 0.0), 1.0, x)
    return g * power(base, y) * transcendental.log(base)


def _power_differential(x: Any, y: Any, u: Any, v: Any) -> Any:
    # numpy's own turns about the origin, where a whole power of a negative number stays real.
    to_base = np.where(u != 0, y * np.power(x, np.where(y == 0, 1.0, y - 1)) * u, 0)
    return to_base + np.where(v != 0, np.power(x, y) * np.log(np.where(x == 0, 1.0, x)) * v, 0)


@binary(
    _base_rule,
    _exponent_rule,
    domains=("positive", "real"),
    accepts="iuf",
    promotes=TRUTHS_AS_INT8,
    root=True,
    differential=_power_differential,
    costly=True,
)
def _power(x: Any, y: Any) -> Any:
    return np.power(x, y)


@unary(lambda g, y, x: -g, accepts="iuf", linear=True, exact=True, answers=np.negative)
def negative(x: Any) -> Any:
    """``-x``."""
    return -x


@unary(
    lambda g, y, x: g * (2.0 * x),
    accepts="iuf",
    promotes=TRUTHS_AS_INT8,
    quadratic=True,
    through=magnitudes.of_square,
    answers=np.square,
)
def square(x: Any) -> Any:
    """``x ** 2``. Where ``x`` is a magnitude (``norm(v)``, ``absolute(v)``, ``sqrt(v)``) it is smooth at 0, too."""
    return np.square(x)


@differentiable(np.reciprocal)
@unary(lambda g, y, x: -(g * square(y)), "nonzero", costly=True)
def reciprocal(x: Any) -> Any:
    """``1 / x``; infinite at 0. Of integers it is the whole part."""
    return 1 / x


@unary(
    lambda g, y, x: g / (2.0 * y),
    "positive",
    root=True,
    differential=lambda x, u: np.where((x == 0) & (u == 0), 0.0, u / (2 * np.sqrt(x))),
    costly=True,
    answers=np.sqrt,
)
def sqrt(x: Any) -> Any:
    """The square root; NaN below 0. Its derivative at 0 is infinite, as it is in the limit; that of its square is 1."""
    return np.sqrt(x)


# Functions with kinks


@answers(np.absolute)
def absolute(x: ArrayLike) -> Value:
    """``|x|``; its derivative at 0 is 0. (Its square's derivatives are right there: :func:`square`.)"""
    return conversions.copy(x) if operands.are_truths(x) else _absolute(x)


abs = absolute


@unary(lambda g, y, x: g * sign(x), accepts="iuf", exact=True)  # type: ignore[has-type]  # It stands below.
def _absolute(x: Any) -> Any:
    return np.where(np.real(x) < 0, -x, x) if np.iscomplexobj(x) else np.abs(x)


@unary(None, accepts="iuf", answers=np.sign)
def sign(x: Any) -> Any:
    """-1, 0 or 1; its derivative is 0 everywhere, so the result is a constant."""
    return np.sign(np.real(x))


@unary(lambda g, y, x: apply(RELU_SLOPE, y, g), exact=True)
def relu(x: Any) -> Any:
    """``max(x, 0)``; its derivative at 0 is 0.

    Unlike ``maximum(x, 0)`` it masks no cotangent (:mod:`minimeta.autodiff.masks`), which in a convolutional network
    would take a fifth of the time: ``relu(log(x))`` has the derivative NaN at 0.
    """
    return np.where((np.real(x) > 0) | np.isnan(x), x, 0)


# It lets g through where x > 0, and so where relu(x) > 0, which is in memory anyway. It is linear
# in g, so every higher derivative of relu is another relu_slope.
@binary(None, lambda h, y, x, g: apply(RELU_SLOPE, x, h), exact=True)
def _relu_slope(x: Any, y: Any) -> Any:
    """``y`` where ``x > 0``, otherwise 0."""
    return np.where(np.real(x) > 0, y, 0)


@binary(
    lambda g, z, x, y: _share(g, x > y, x, y),
    lambda g, z, x, y: _share(g, y > x, x, y),
    accepts="biuf",
    exact=True,
    chosen=(lambda g, z, x, y: logic.logical_not(x < y), lambda g, z, x, y: logic.logical_not(y < x)),
    answers=np.maximum,
)
def maximum(x: Any, y: Any) -> Any:
    """The larger of two; NaN if either is. Where they tie, each takes half of the derivative."""
    return np.where((np.real(x) >= np.real(y)) | np.isnan(x), x, y)


@binary(
    lambda g, z, x, y: _share(g, x < y, x, y),
    lambda g, z, x, y: _share(g, y < x, x, y),
    accepts="biuf",
    exact=True,
    chosen=(lambda g, z, x, y: logic.logical_not(x > y), lambda g, z, x, y: logic.logical_not(y > x)),
    answers=np.minimum,
)
def minimum(x: Any, y: Any) -> Any:
    """The smaller of two; NaN if either is. Where they tie, each takes half of the derivative."""
    return np.where((np.real(x) <= np.real(y)) | np.isnan(x), x, y)


def _share(g: Array, is_chosen: Value, x: Array, y: Array) -> Value:
    return logic.where(is_chosen, g, logic.where(logic.equal(x, y), 0.5 * g, 0.0))


def clip(x: ArrayLike, low: ArrayLike | None = None, high: ArrayLike | None = None) -> Value:
    """``min(max(x, low), high)``; None leaves a side open.

    The derivative goes to ``x`` where ``low <= x <= high`` (the bounds included), otherwise to the
    bound that holds; to the upper one if it is not above the lower.
    """
    if low is None and high is None:
        return conversions.copy(x)
    if (dtype := operands.dtype_of(x)).kind != "f":  # There are no infinite bounds.
        low, high = _within(dtype, low, is_low=True), _within(dtype, high, is_low=False)
        return minimum(x if low is None else maximum(x, low), high) if high is not None else maximum(x, low)
    return _clip(x, -np.inf if low is None else low, np.inf if high is None else high)


def _within(dtype: np.dtype[Any], bound: Any, *, is_low: bool) -> Any:
    """A bound of integers; a Python integer beyond the last of them is that one."""
    is_weak = type(bound) is int or (type(bound) is Array and bound.weak and bound.dtype.kind == "i")
    if not is_weak or dtype.kind not in "iu":
        return bound
    last = int(np.iinfo(dtype).min if is_low else np.iinfo(dtype).max)
    if type(bound) is int:
        return max(bound, last) if is_low else min(bound, last)
    if last > np.iinfo(np.int64).max:  # So is no argument.
        return bound
    return maximum(bound, last) if is_low else minimum(bound, last)


@answers(np.clip)
def _numpy_clip(
    x: ArrayLike, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None, **keywords: Any
) -> Value:
    """:func:`clip` under the four names that numpy has for two bounds, with the keywords of a ufunc."""
    if (a_min is not None or a_max is not None) and (min is not None or max is not None):
        raise TracingError("np.clip of an Array: a_min and a_max are other names of min and max; give each bound once")
    low, high = a_min if min is None else min, a_max if max is None else max
    if keywords:
        (x, low, high), keywords = settled(np.clip, (x, low, high), keywords)
    if keywords:
        raise TracingError(f"np.clip(..., {next(iter(keywords))}=...) of an Array is not supported; drop it")
    return clip(x, low, high)


@elementwise(
    # Of equal bounds the upper one is the result, whatever x is.
    (
        lambda g, y, x, low, high: logic.where((x >= low) & (x <= high) & (low < high), g, 0.0),
        lambda g, y, x, low, high: logic.where((x < low) & (low < high), g, 0.0),
        lambda g, y, x, low, high: logic.where((x > high) | (low >= high), g, 0.0),
    ),
    ("real", "real", "real"),
    exact=True,
    chosen=(
        lambda g, y, x, low, high: logic.logical_not((x < low) | (x > high)) & (low < high),
        lambda g, y, x, low, high: logic.logical_not(x >= low) & (low < high),
        lambda g, y, x, low, high: logic.logical_not(x <= high) | (low >= high),
    ),
)
def _clip(x: Any, low: Any, high: Any) -> Any:
    larger = np.where((np.real(x) >= np.real(low)) | np.isnan(x), x, low)
    return np.where((np.real(larger) <= np.real(high)) | np.isnan(larger), larger, high)


ADD: Primitive = add.primitive
MULTIPLY: Primitive = _multiply.primitive
NEGATIVE: Primitive = negative.primitive
SUBTRACT: Primitive = subtract.primitive
RELU: Primitive = relu.primitive
RELU_SLOPE: Primitive = _relu_slope.primitive
