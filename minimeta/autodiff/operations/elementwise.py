"""Elementwise functions: ``y[i] = f(x[i], ...)`` for every index ``i``.

The Jacobian of such a function is diagonal, so the cotangent of each input is the output's cotangent ``g`` times
``df/dx``, element by element: the table at the end of this page is a table of derivatives. Operands are promoted to
one dtype by numpy's rules (Python scalars adapt) and broadcast to one shape by explicit ``broadcast_to`` primitives,
whose own derivative is the sum over the broadcast axes; no rule here needs to think of shapes.

All functions take arrays of any shape and return an array of the broadcast shape; they raise a ShapeError where shapes
do not broadcast. Integers and truth values compute by numpy's rules, wrap around, and have no derivative; where numpy
would make float16 of them, or knows nothing to do, there is a DtypeError. Where a function has a kink or a pole, its
line says which value the derivative is given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from minimeta.autodiff import tree
from minimeta.autodiff.apply import apply
from minimeta.autodiff.array import Array, ArrayLike, Form, Value
from minimeta.autodiff.primitive import Draw, Primitive, Rule, Sample, register
from minimeta.autodiff.promotion import fixed
from minimeta.autodiff.protocols import answers
from minimeta.errors import DtypeError, ShapeError

CONVERTIBLE = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float32", "float64"),
)

# Arithmetic


@answers(np.add)
def add(x: ArrayLike, y: ArrayLike) -> Value:
    """``x + y``."""
    return apply(ADD, x, y)


@answers(np.subtract)
def subtract(x: ArrayLike, y: ArrayLike) -> Value:
    """``x - y``."""
    return apply(SUBTRACT, x, y)


@answers(np.multiply)
def multiply(x: ArrayLike, y: ArrayLike) -> Value:
    """``x y``; of one magnitude with itself (``norm(v) * norm(v)``) it is :func:`square`."""
    if (
        type(x) is Array
        and type(y) is Array
        and x.inputs
        and y.inputs
        and x.inputs[0] is y.inputs[0]
        and magnitudes.is_square(x, y)
    ):
        return apply(SQUARE, x)
    return apply(MULTIPLY, x, y)


@answers(np.divide)
def divide(x: ArrayLike, y: ArrayLike) -> Value:
    """``x / y``; infinite or NaN where ``y = 0``. Of integers it is float64."""
    return apply(DIVIDE, x, y)


@answers(np.floor_divide)
def floor_divide(x: ArrayLike, y: ArrayLike) -> Value:
    """``floor(x / y)``; of integers 0 where ``y = 0``. Its derivative is 0 everywhere, so the result is a constant."""
    return apply(FLOOR_DIVIDE, x, y)


@answers(np.remainder)
def remainder(x: ArrayLike, y: ArrayLike) -> Value:
    """``x - y floor(x / y)``, which has the sign of ``y``; of integers 0 where ``y = 0``, of floats NaN.

    The derivatives are 1 and ``-floor(x / y)``; where the function jumps, too.
    """
    return apply(REMAINDER, x, y)


@answers(np.divmod)
def divmod(x: ArrayLike, y: ArrayLike) -> tuple[Value, Value]:
    """:func:`floor_divide` and :func:`remainder`."""
    return floor_divide(x, y), remainder(x, y)


@answers(np.power)
def power(x: ArrayLike, y: ArrayLike) -> Value:
    """``x ** y``; NaN where ``x < 0`` and ``y`` is not whole.

    At ``x = 0`` all derivatives with respect to ``y``, mixed ones included, are taken as 0, which they are where they
    exist; for ``x < 0`` they are NaN, since there is a function of ``y`` at whole numbers only. At ``y = 0`` the
    derivative with respect to ``x`` is 0, even at ``x = 0``. An exponent that is the number 2 is computed by
    :func:`square`.

    Raises
    ------
    ValueError
        Integers to negative integer powers.
    """
    if type(y) in (int, float):
        if y == 2 and (type(y) is int or _dtype_of(x).kind == "f"):
            return apply(SQUARE, x)
    elif isinstance(y, (np.generic, np.ndarray)) and y.ndim == 0 and y.dtype.kind in "iuf" and y == 2:
        return apply(SQUARE, _beside(x, y))
    return apply(POWER, x, y)


@answers(np.negative)
def negative(x: ArrayLike) -> Value:
    """``-x``."""
    return apply(NEGATIVE, x)


@answers(np.square)
def square(x: ArrayLike) -> Value:
    """``x ** 2``. Where ``x`` is a magnitude (``norm(v)``, ``absolute(v)``, ``sqrt(v)``) it is smooth at 0, too."""
    return apply(SQUARE, x)


@answers(np.reciprocal)
def reciprocal(x: ArrayLike) -> Value:
    """``1 / x``; infinite at 0."""
    return apply(RECIPROCAL, x)


@answers(np.sqrt)
def sqrt(x: ArrayLike) -> Value:
    """The square root; NaN below 0. Its derivative at 0 is infinite, as it is in the limit; that of its square is 1."""
    return apply(SQRT, x)


# Exponentials and circular functions


@answers(np.exp)
def exp(x: ArrayLike) -> Value:
    """``e ** x``."""
    return apply(EXP, x)


@answers(np.expm1)
def expm1(x: ArrayLike) -> Value:
    """``e ** x - 1`` without cancellation near 0."""
    return apply(EXPM1, x)


@answers(np.log)
def log(x: ArrayLike) -> Value:
    """The natural logarithm; NaN below 0, minus infinity at 0."""
    return apply(LOG, x)


@answers(np.log1p)
def log1p(x: ArrayLike) -> Value:
    """``log(1 + x)`` without cancellation near 0."""
    return apply(LOG1P, x)


@answers(np.sin)
def sin(x: ArrayLike) -> Value:
    """The sine of an angle in radians."""
    return apply(SIN, x)


@answers(np.cos)
def cos(x: ArrayLike) -> Value:
    """The cosine of an angle in radians."""
    return apply(COS, x)


@answers(np.tan)
def tan(x: ArrayLike) -> Value:
    """The tangent of an angle in radians."""
    return apply(TAN, x)


@answers(np.tanh)
def tanh(x: ArrayLike) -> Value:
    """The hyperbolic tangent."""
    return apply(TANH, x)


def sigmoid(x: ArrayLike) -> Value:
    """``1 / (1 + e**-x)``, without overflow."""
    return apply(SIGMOID, x)


def softplus(x: ArrayLike) -> Value:
    """``log(1 + e**x)``, without overflow."""
    return apply(SOFTPLUS, x)


# Functions with kinks


@answers(np.absolute)
def absolute(x: ArrayLike) -> Value:
    """``|x|``; its derivative at 0 is 0. (Its square's derivatives are right there: :func:`square`.)"""
    return apply(COPY if _are_truths(x) else ABSOLUTE, x)


@answers(np.sign)
def sign(x: ArrayLike) -> Value:
    """-1, 0 or 1; its derivative is 0 everywhere, so the result is a constant."""
    return apply(SIGN, x)


def relu(x: ArrayLike) -> Value:
    """``max(x, 0)``; its derivative at 0 is 0."""
    return apply(RELU, x)


@answers(np.maximum)
def maximum(x: ArrayLike, y: ArrayLike) -> Value:
    """The larger of two; NaN if either is. Where they tie, each takes half of the derivative."""
    return apply(MAXIMUM, x, y)


@answers(np.minimum)
def minimum(x: ArrayLike, y: ArrayLike) -> Value:
    """The smaller of two; NaN if either is. Where they tie, each takes half of the derivative."""
    return apply(MINIMUM, x, y)


def clip(x: ArrayLike, low: ArrayLike | None = None, high: ArrayLike | None = None) -> Value:
    """``min(max(x, low), high)``; None leaves a side open.

    The derivative goes to ``x`` where ``low <= x <= high`` (the bounds included), otherwise to the bound that holds; to
    the upper one if it is not above the lower.

    Raises
    ------
    ShapeError
        Both bounds are None.
    """
    if low is None and high is None:
        raise ShapeError("clip without bounds: give low, high or both")
    if _dtype_of(x).kind != "f":  # There are no infinite bounds.
        return minimum(x if low is None else maximum(x, low), high) if high is not None else maximum(x, low)  # type: ignore[arg-type]
    return apply(CLIP, x, -np.inf if low is None else low, np.inf if high is None else high)


@answers(np.clip)
def _clip(x: ArrayLike, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Value:
    """:func:`clip` under the four names that numpy has for two bounds."""
    return clip(x, a_min if min is None else min, a_max if max is None else max)


@answers(np.where)
def where(condition: ArrayLike, x: ArrayLike, y: ArrayLike) -> Value:
    """``x`` where the condition (bool) holds, otherwise ``y``.

    The side that is not chosen has derivative 0. A NaN or an infinity in that side's *own* derivative still spreads
    (0 times infinity is NaN), so make its argument harmless first: ``where(x > 0, log(where(x > 0, x, 1)), 0)``.
    """
    found = _dtype_of(condition)
    if found != np.bool_:
        raise DtypeError(f"where with a condition of dtype {found.name}: it must be bool, as in where(x > 0, x, y)")
    return apply(WHERE, condition, x, y)


# Comparisons and logic: results are bool and constants to every derivative


@answers(np.equal)
def equal(x: ArrayLike, y: ArrayLike) -> Value:
    """``x == y``."""
    return apply(EQUAL, x, y)


@answers(np.not_equal)
def not_equal(x: ArrayLike, y: ArrayLike) -> Value:
    """``x != y``."""
    return apply(NOT_EQUAL, x, y)


@answers(np.less)
def less(x: ArrayLike, y: ArrayLike) -> Value:
    """``x < y``."""
    return apply(LESS, x, y)


@answers(np.less_equal)
def less_equal(x: ArrayLike, y: ArrayLike) -> Value:
    """``x <= y``."""
    return apply(LESS_EQUAL, x, y)


@answers(np.greater)
def greater(x: ArrayLike, y: ArrayLike) -> Value:
    """``x > y``."""
    return apply(GREATER, x, y)


@answers(np.greater_equal)
def greater_equal(x: ArrayLike, y: ArrayLike) -> Value:
    """``x >= y``."""
    return apply(GREATER_EQUAL, x, y)


@answers(np.logical_and)
def logical_and(x: ArrayLike, y: ArrayLike) -> Value:
    """Whether both hold; a number does where it is not 0."""
    return apply(LOGICAL_AND, _truth(x), _truth(y))


@answers(np.logical_or)
def logical_or(x: ArrayLike, y: ArrayLike) -> Value:
    """Whether either holds; a number does where it is not 0."""
    return apply(LOGICAL_OR, _truth(x), _truth(y))


@answers(np.logical_xor)
def logical_xor(x: ArrayLike, y: ArrayLike) -> Value:
    """Whether one of them holds; a number does where it is not 0."""
    return apply(NOT_EQUAL, _truth(x), _truth(y))


@answers(np.logical_not)
def logical_not(x: ArrayLike) -> Value:
    """Whether it does not hold; a number holds where it is not 0."""
    return apply(LOGICAL_NOT, _truth(x))


@answers(np.bitwise_and)
def bitwise_and(x: ArrayLike, y: ArrayLike) -> Value:
    """``x & y`` of integers or truth values."""
    return apply(LOGICAL_AND if _are_truths(x, y) else BITWISE_AND, x, y)


@answers(np.bitwise_or)
def bitwise_or(x: ArrayLike, y: ArrayLike) -> Value:
    """``x | y`` of integers or truth values."""
    return apply(LOGICAL_OR if _are_truths(x, y) else BITWISE_OR, x, y)


@answers(np.bitwise_xor)
def bitwise_xor(x: ArrayLike, y: ArrayLike) -> Value:
    """``x ^ y`` of integers or truth values."""
    return apply(NOT_EQUAL if _are_truths(x, y) else BITWISE_XOR, x, y)


@answers(np.invert)
def bitwise_not(x: ArrayLike) -> Value:
    """``~x`` of integers or truth values."""
    return apply(LOGICAL_NOT, x) if _are_truths(x) else bitwise_xor(x, -1 if _dtype_of(x).kind == "i" else _ones(x))


def _dtype_of(x: Any) -> np.dtype[Any]:
    return x.dtype if isinstance(x, (Array, np.ndarray)) else fixed(x, False).dtype


def _beside(x: Any, y: Any) -> Any:
    """An operand in the dtype that it takes together with a number of numpy's."""
    found = _dtype_of(x)
    weak = x.weak if type(x) is Array else type(x) in (float, int, bool)
    dtype = np.result_type(found.type(0).item() if weak else found, y)
    return x if dtype == found and not weak else astype(x, dtype)


def _are_truths(*operands: Any) -> bool:
    return all([_dtype_of(x).kind == "b" for x in operands])


def _ones(x: Any) -> int:
    """All bits of an unsigned integer."""
    return int(np.iinfo(_dtype_of(x)).max)


def _truth(x: ArrayLike) -> ArrayLike | Value:
    return x if _are_truths(x) else not_equal(x, 0)


@answers(np.astype)
def astype(x: ArrayLike, dtype: DTypeLike) -> Value:
    """Convert to another dtype: bool, an integer, float32 or float64.

    The derivative of a conversion between floats is 1; integers and bool have none.

    Raises
    ------
    DtypeError
        A dtype of another kind.
    """
    target = np.dtype(dtype)
    if target.name not in CONVERTIBLE:
        raise DtypeError(f"astype to {target.name}: it converts to bool, integers, float32 and float64")
    return apply(ASTYPE, x, dtype=target.name)


@answers(np.copy)
def copy(x: ArrayLike) -> Value:
    """The same value in memory of its own."""
    return apply(COPY, x)


def stop_gradient(x: Any) -> Any:
    """The same value, as a constant of every derivative; leaf by leaf for a tree."""
    return tree.map(lambda leaf: apply(STOP_GRADIENT, leaf), x)


# The primitives: a table of name, numpy reference, derivatives
#
# A reference is exact in complex numbers too, with every choice made on real parts.


def _same_shape(*operands: Any) -> Form:
    return Form(operands[0].shape, operands[-1].dtype)


def _truth_values(*operands: Any) -> Form:
    return Form(operands[0].shape, np.bool_)


def _sample(*domains: str) -> Sample:
    def sample(draw: Draw) -> tuple[tuple[NDArray[Any], ...], dict[str, Any]]:
        shape = draw.shape()
        draws: dict[str, Callable[[], NDArray[Any]]] = {"bool": lambda: draw.booleans(shape)}
        return tuple(draws.get(domain, lambda domain=domain: draw.array(shape, domain))() for domain in domains), {}

    return sample


def _function(
    name: str,
    reference: Callable[..., Any],
    *rules: Rule | None,
    domains: tuple[str, ...] | None = None,
    **fields: Any,
) -> Primitive:
    return register(
        name,
        shape=_same_shape,
        reference=reference,
        rules=rules,
        sample=_sample(*(domains or ("real",) * len(rules))),
        elementwise=True,
        **fields,
    )


def _comparison(name: str, reference: Callable[..., Any], operands: tuple[str, ...], accepts: str) -> Primitive:
    return register(
        name,
        shape=_truth_values,
        reference=reference,
        rules=(),
        sample=_sample(*operands),
        elementwise=True,
        accepts=accepts,
        promotes={"i": "int64", "u": "uint64"},
        differentiable=False,
    )


def _on_real_parts(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *operands: function(*(np.real(x) for x in operands))


def _larger(x: Any, y: Any) -> Any:
    return np.where((np.real(x) >= np.real(y)) | np.isnan(x), x, y)


def _smaller(x: Any, y: Any) -> Any:
    return np.where((np.real(x) <= np.real(y)) | np.isnan(x), x, y)


def _magnitude(x: Any) -> Any:
    return np.where(np.real(x) < 0, -x, x) if np.iscomplexobj(x) else np.abs(x)


def _logistic(x: Any) -> Any:
    decay = np.exp(-_magnitude(x))
    return np.where(np.real(x) >= 0, 1 / (1 + decay), decay / (1 + decay))


def _logistic_slope(x: Any) -> Any:
    decay = np.exp(-_magnitude(x))
    return decay / np.square(1.0 + decay)


def _power_rule(g: Array, x: Array, y: Array) -> Value:
    """``g y x**(y - 1)``, which is 0 where ``y = 0``, though the power may be infinite there."""
    is_constant = equal(y, 0.0)
    if y.transformation is not None:
        # With respect to y, 0 times the power has a derivative, x**-1. There is none only where that is infinite.
        at_pole = equal(x, 0.0)
        y = where(at_pole, stop_gradient(y), y)
        is_constant = is_constant & (absolute(x) < float(np.finfo(x.dtype).tiny))
    return g * y * power(x, where(is_constant, 0.0, y - 1.0))


def _exponent_rule(g: Array, x: Array, y: Array) -> Value:
    """``g x**y log(x)``; of ``x = 0`` nothing is computed, so that it is 0 to every order."""
    base = where(equal(x, 0.0), 1.0, x)
    return g * power(base, y) * log(base)


_TRUTHS_AS_INT8 = {"b": "int8"}

ADD = _function("add", np.add, lambda g, z, x, y: g, lambda g, z, x, y: g, accepts="biuf")
SUBTRACT = _function("subtract", np.subtract, lambda g, z, x, y: g, lambda g, z, x, y: -g, accepts="iuf")
MULTIPLY = _function(
    "multiply",
    np.multiply,
    lambda g, z, x, y: g * y,
    lambda g, z, x, y: x * g,
    accepts="biuf",
    through=lambda *given: magnitudes.of_product(*given),  # noqa: PLW0108 (it is imported below)
)
DIVIDE = _function(
    "divide",
    np.divide,
    lambda g, z, x, y: g / y,
    lambda g, z, x, y: -(g * z) / y,
    domains=("real", "nonzero"),
    promotes=dict.fromkeys("biu", "float64"),
)
POWER = _function(
    "power",
    np.power,
    lambda g, z, x, y: _power_rule(g, x, y),
    lambda g, z, x, y: _exponent_rule(g, x, y),
    domains=("positive", "real"),
    accepts="iuf",
    promotes=_TRUTHS_AS_INT8,
)
REMAINDER = _function(
    "remainder",
    lambda x, y: x - y * np.floor_divide(x.real, y.real) if np.iscomplexobj(x + y) else np.remainder(x, y),
    lambda g, z, x, y: g,
    lambda g, z, x, y: -(g * floor_divide(x, y)),
    domains=("real", "nonzero"),
    accepts="iuf",
    promotes=_TRUTHS_AS_INT8,
)
FLOOR_DIVIDE = register(
    "floor_divide",
    shape=_same_shape,
    reference=_on_real_parts(np.floor_divide),
    rules=(),
    sample=_sample("real", "nonzero"),
    elementwise=True,
    accepts="iuf",
    promotes=_TRUTHS_AS_INT8,
    differentiable=False,
)
NEGATIVE = _function("negative", np.negative, lambda g, y, x: -g, accepts="iuf")
SQUARE = _function(
    "square",
    np.square,
    lambda g, y, x: g * (2.0 * x),
    accepts="iuf",
    promotes=_TRUTHS_AS_INT8,
    through=lambda *given: magnitudes.of_square(*given),  # noqa: PLW0108 (it is imported below)
)
RECIPROCAL = _function("reciprocal", lambda x: 1 / x, lambda g, y, x: -(g * square(y)), domains=("nonzero",))
SQRT = _function("sqrt", np.sqrt, lambda g, y, x: g / (2.0 * y), domains=("positive",))
EXP = _function("exp", np.exp, lambda g, y, x: g * y)
EXPM1 = _function("expm1", np.expm1, lambda g, y, x: g * exp(x))
LOG = _function("log", np.log, lambda g, y, x: g / x, domains=("positive",))
LOG1P = _function("log1p", np.log1p, lambda g, y, x: g / (1.0 + x), domains=("positive",))
SIN = _function("sin", np.sin, lambda g, y, x: g * cos(x))
COS = _function("cos", np.cos, lambda g, y, x: -(g * sin(x)))
TAN = _function("tan", np.tan, lambda g, y, x: g * (1.0 + square(y)), domains=("unit",))
# The slopes of both are symmetric, and functions of x: 1 - y**2 and y (1 - y) have no digits left where y is nearly 1.
TANH = _function("tanh", np.tanh, lambda g, y, x: apply(TANH_SLOPE, x, g))
TANH_SLOPE: Primitive = _function(
    "tanh_slope",
    lambda x, g: g * (4.0 * _logistic_slope(2.0 * x)),
    lambda h, z, x, g: h * (z * (-2.0 * tanh(x))),
    lambda h, z, x, g: apply(TANH_SLOPE, x, h),
)
SIGMOID = _function("sigmoid", _logistic, lambda g, y, x: apply(SIGMOID_SLOPE, x, g))
SIGMOID_SLOPE: Primitive = _function(
    "sigmoid_slope",
    lambda x, g: g * _logistic_slope(x),
    lambda h, z, x, g: h * (z * -tanh(0.5 * x)),
    lambda h, z, x, g: apply(SIGMOID_SLOPE, x, h),
)
SOFTPLUS = _function(
    "softplus",
    lambda x: np.where(np.real(x) > 0, x, 0) + np.log1p(np.exp(-_magnitude(x))),
    lambda g, y, x: g * sigmoid(x),
)
ABSOLUTE = _function("absolute", _magnitude, lambda g, y, x: g * sign(x), accepts="iuf")
RELU = _function("relu", lambda x: np.where((np.real(x) > 0) | np.isnan(x), x, 0), lambda g, y, x: apply(GATE, y, g))
# Lets g through where x > 0, and so where relu(x) > 0, which is in memory anyway. It is linear in g, so that of relu no
# other derivative ever comes.
GATE: Primitive = _function(
    "gate", lambda x, g: np.where(np.real(x) > 0, g, 0), None, lambda h, y, x, g: apply(GATE, x, h)
)
MAXIMUM = _function(
    "maximum",
    _larger,
    lambda g, z, x, y: g * where(equal(x, y), 0.5, astype(x > y, x.dtype)),
    lambda g, z, x, y: g * where(equal(x, y), 0.5, astype(y > x, x.dtype)),
    accepts="biuf",
)
MINIMUM = _function(
    "minimum",
    _smaller,
    lambda g, z, x, y: g * where(equal(x, y), 0.5, astype(x < y, x.dtype)),
    lambda g, z, x, y: g * where(equal(x, y), 0.5, astype(y < x, x.dtype)),
    accepts="biuf",
)
CLIP = _function(
    "clip",
    lambda x, low, high: _smaller(_larger(x, low), high),
    # Of equal bounds the upper one is the result, whatever x is.
    lambda g, y, x, low, high: where((x >= low) & (x <= high) & (low < high), g, 0.0),
    lambda g, y, x, low, high: where((x < low) & (low < high), g, 0.0),
    lambda g, y, x, low, high: where((x > high) | (low >= high), g, 0.0),
)
SIGN = register(
    "sign",
    shape=_same_shape,
    reference=_on_real_parts(np.sign),
    rules=(),
    sample=_sample("real"),
    elementwise=True,
    accepts="iuf",
    differentiable=False,
)
WHERE = register(
    "where",
    shape=_same_shape,
    reference=np.where,
    rules=(None, lambda g, z, c, x, y: where(c, g, 0.0), lambda g, z, c, x, y: where(c, 0.0, g)),
    sample=_sample("bool", "real", "real"),
    elementwise=True,
    accepts="biuf",
    unpromoted=1,
)
EQUAL = _comparison("equal", _on_real_parts(np.equal), ("real", "real"), "biuf")
NOT_EQUAL = _comparison("not_equal", _on_real_parts(np.not_equal), ("real", "real"), "biuf")
LESS = _comparison("less", _on_real_parts(np.less), ("real", "real"), "biuf")
LESS_EQUAL = _comparison("less_equal", _on_real_parts(np.less_equal), ("real", "real"), "biuf")
GREATER = _comparison("greater", _on_real_parts(np.greater), ("real", "real"), "biuf")
GREATER_EQUAL = _comparison("greater_equal", _on_real_parts(np.greater_equal), ("real", "real"), "biuf")
LOGICAL_AND = _comparison("logical_and", np.logical_and, ("bool", "bool"), "b")
LOGICAL_OR = _comparison("logical_or", np.logical_or, ("bool", "bool"), "b")
LOGICAL_NOT = _comparison("logical_not", np.logical_not, ("bool",), "b")


def _bitwise(name: str, reference: Callable[..., Any]) -> Primitive:
    def sample(draw: Draw) -> tuple[tuple[NDArray[Any], ...], dict[str, Any]]:
        shape = draw.shape()
        return (draw.indices(shape, 100), draw.indices(shape, 100)), {}

    return register(
        name,
        shape=_same_shape,
        reference=reference,
        rules=(),
        sample=sample,
        elementwise=True,
        accepts="iu",
        differentiable=False,
    )


BITWISE_AND = _bitwise("bitwise_and", np.bitwise_and)
BITWISE_OR = _bitwise("bitwise_or", np.bitwise_or)
BITWISE_XOR = _bitwise("bitwise_xor", np.bitwise_xor)


# Conversions and identities


def _convert(x: Any, dtype: str) -> Any:
    if not np.iscomplexobj(x):
        return x.astype(dtype)
    return x.astype(np.result_type(dtype, x.dtype)) if np.dtype(dtype).kind == "f" else np.real(x).astype(dtype)


def _sample_conversion(draw: Draw) -> tuple[tuple[NDArray[Any], ...], dict[str, Any]]:
    return (draw.array(draw.shape()),), {"dtype": "float64"}


def _identity(name: str, **fields: Any) -> Primitive:
    return register(name, shape=_same_shape, **{"reference": lambda x: x, "sample": _sample("real"), **fields})


ASTYPE = register(
    "astype",
    shape=lambda x, dtype: Form(x.shape, dtype),
    reference=_convert,
    rules=(lambda g, y, x, dtype: astype(g, x.dtype) if x.dtype.kind == "f" else None,),
    sample=_sample_conversion,
    strong=True,
)
COPY = _identity("copy", rules=(lambda g, y, x: g,))
# The complex step does not see through it either.
STOP_GRADIENT = _identity(
    "stop_gradient", reference=np.real, rules=(), kernel=lambda x: x, view=True, differentiable=False
)
# What a transformation differentiates is an alias of its argument: equal, but younger than all that existed before.
ALIAS = _identity("alias", rules=(lambda g, y, x: g,), kernel=lambda x: x, view=True)


from minimeta.autodiff.operations import magnitudes  # noqa: E402 (last: it is written in these operations)
