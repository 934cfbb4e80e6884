"""Elementwise kernels and conversions against numpy: values, layouts and special values."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from native_arrays import (
    DTYPES,
    FLOATS,
    LAYOUTS,
    SPECIAL,
    Array,
    assert_close,
    assert_fresh,
    float_arrays,
    lay_out,
    layouts,
    random_values,
    seeds,
    shapes,
)
from numpy.testing import assert_array_equal

if TYPE_CHECKING:
    from minimeta import _native


@pytest.fixture(scope="module", autouse=True)
def every_level(native: Any) -> None:
    """Run every test on every level; the stub's name stands for the level's extension."""
    globals()["_native"] = native


def sigmoid(x: Array) -> Array:
    return (1 / (1 + np.exp(-x.astype(np.longdouble)))).astype(x.dtype)


def softplus(x: Array) -> Array:
    wide = x.astype(np.longdouble)
    return (np.maximum(wide, 0) + np.log1p(np.exp(-np.abs(wide)))).astype(x.dtype)


def relu(x: Array) -> Array:
    return np.where(np.isnan(x), x, np.where(x > 0, x, x.dtype.type(0)))


UNARY_EXACT: dict[str, Callable[[Array], Array]] = {
    name: getattr(np, name) for name in ("negative", "sqrt", "square", "reciprocal", "absolute", "sign")
} | {"relu": relu}


UNARY_CLOSE: dict[str, Callable[[Array], Array]] = {
    name: getattr(np, name) for name in ("exp", "log", "log1p", "expm1", "sin", "cos", "tan", "tanh")
} | {"sigmoid": sigmoid, "softplus": softplus}


BINARY_EXACT = ("add", "subtract", "multiply", "divide", "maximum", "minimum")


COMPARISONS = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")


@pytest.mark.parametrize("name", [*UNARY_EXACT, *UNARY_CLOSE])
@given(x=float_arrays(special=True))
def test_unary(name: str, x: Array) -> None:
    result = getattr(_native, name)(x)
    with np.errstate(all="ignore"):
        expected = ({**UNARY_EXACT, **UNARY_CLOSE})[name](x)
    assert_fresh(result, x)
    if name in UNARY_EXACT:
        assert_array_equal(result, expected, strict=True)
    else:
        tiny = float(np.finfo(x.dtype).tiny)
        assert_close(result, expected, scale=tiny / float(np.finfo(x.dtype).eps))


@given(x=float_arrays(special=True), seed=seeds, layout=layouts)
def test_binary(x: Array, seed: int, layout: str) -> None:
    rng = np.random.default_rng(seed)
    y = lay_out(rng.choice(SPECIAL, size=x.shape).astype(x.dtype), layout)
    for name in (*BINARY_EXACT, "power"):
        result = getattr(_native, name)(x, y)
        with np.errstate(all="ignore"):
            # Of arrays without axes, numpy would take the square root where y is 0.5, which differs at -inf.
            expected = np.asarray(getattr(np, name)(*np.atleast_1d(x, y))).reshape(x.shape)
        assert_fresh(result, x, y)
        if name == "power":
            assert_close(result, expected, scale=float(np.finfo(x.dtype).tiny) / float(np.finfo(x.dtype).eps))
        else:
            assert_array_equal(result, expected, strict=True)
    for name in COMPARISONS:
        assert_array_equal(getattr(_native, name)(x, y), getattr(np, name)(x, y), strict=True)
    assert_array_equal(_native.relu_slope(x, y), np.where(x > 0, y, 0).astype(y.dtype), strict=True)
    with np.errstate(all="ignore"):
        for name in ("sigmoid_slope", "tanh_slope"):
            slope = getattr(_native, name)(x, np.ones_like(x))
            assert_array_equal(getattr(_native, name)(x, y), np.asarray(y * slope), strict=True)
    condition = np.asarray(np.signbit(x))
    assert_array_equal(_native.where(condition, x, y), np.where(condition, x, y), strict=True)
    low, high = np.asarray(np.minimum(x, y)), np.full(x.shape, 2, x.dtype)
    assert_array_equal(_native.clip(x, low, high), np.minimum(np.maximum(x, low), high), strict=True)


# Blocks of rows that are copied first, as they lie, repeated or turned.
@given(x=st.tuples(st.integers(1, 700), st.integers(1, 10)), dtype=st.sampled_from(["int16", *FLOATS]), seed=seeds)
def test_short_rows(x: tuple[int, int], dtype: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    (n, side), whole = x, random_values(rng, x, dtype)
    wide = random_values(rng, (n, 2, side + 1), dtype)
    row, column = random_values(rng, (side,), dtype), random_values(rng, (n, 1), dtype)
    for other in (np.asfortranarray(whole), wide[:, 0, :side], wide[:, 1, :0:-1], row, column, wide[:, :1, 0]):
        seen = np.broadcast_to(other, x)
        assert_array_equal(_native.subtract(whole, seen), np.subtract(whole, seen), strict=True)
        assert_array_equal(_native.less(seen, whole), np.less(seen, whole), strict=True)
        assert_array_equal(_native.where(seen > 0, whole, seen), np.where(seen > 0, whole, seen), strict=True)
    repeated = np.broadcast_to(whole[:, None], (n, 3, side))
    assert_array_equal(_native.multiply(repeated, repeated[::-1]), repeated * repeated[::-1], strict=True)


@pytest.mark.parametrize("dtype", ["bool", "int64"])
@given(shape=shapes, seed=seeds, layout=layouts)
def test_comparisons_and_logic_of_integers(dtype: str, shape: tuple[int, ...], seed: int, layout: str) -> None:
    rng = np.random.default_rng(seed)
    x, y = (lay_out(rng.integers(0, 3, shape).astype(dtype), layout) for _ in range(2))
    for name in COMPARISONS:
        assert_array_equal(getattr(_native, name)(x, y), getattr(np, name)(x, y), strict=True)
    condition = np.asarray(x).astype(bool)
    assert_array_equal(_native.where(condition, x, y), np.where(condition, x, y), strict=True)
    if dtype == "bool":
        assert_array_equal(_native.logical_and(x, y), x & y, strict=True)
        assert_array_equal(_native.logical_or(x, y), x | y, strict=True)
        assert_array_equal(_native.logical_not(x), ~x, strict=True)


def test_stated_special_values() -> None:
    x = np.array([-np.inf, -0.0, np.nan, -1000.0, 1000.0])
    assert_array_equal(_native.sigmoid(x), [0, 0.5, np.nan, 0, 1])
    assert_array_equal(_native.softplus(x), [0, np.log(2), np.nan, 0, 1000])
    assert not np.signbit(_native.relu(x))[1]
    assert_array_equal(_native.sign(x), [-1, 0, np.nan, -1, 1])


def test_any_byte_but_zero_is_true() -> None:
    x = np.array([0, 1, 2, 255], np.uint8).view(bool)
    y = np.ones(4, bool)
    assert_array_equal(_native.equal(x, y), [False, True, True, True])
    assert_array_equal(_native.astype(x, dtype="int64"), [0, 1, 1, 1])
    assert_array_equal(_native.logical_and(x, y).view(np.uint8), [0, 1, 1, 1])


@given(x=float_arrays(special=True), cut=st.integers(0, 3000))
def test_an_elementwise_result_does_not_depend_on_position(x: Array, cut: int) -> None:
    flat = x.reshape(-1)
    cut = min(cut, flat.size)
    for name in ("exp", "sigmoid", "maximum", "multiply"):
        kernel = getattr(_native, name)
        operands = (flat, flat[::-1]) if name in BINARY_EXACT else (flat,)
        parts = [kernel(*(o[:cut] for o in operands)), kernel(*(o[cut:] for o in operands))]
        assert_array_equal(kernel(*operands), np.concatenate(parts), strict=True)


@pytest.mark.parametrize("source", DTYPES)
@pytest.mark.parametrize("target", DTYPES)
def test_astype(source: str, target: str) -> None:
    values = random_values(np.random.default_rng(0), (3, 7), source)
    if source in FLOATS:
        values = values * 40 if target.startswith("int") else np.abs(values) * 40
    for layout in LAYOUTS:
        x = lay_out(values, layout)
        result = _native.astype(x, dtype=target)
        assert_fresh(result, x)
        assert_array_equal(result, x.astype(target), strict=True)


def test_astype_of_what_does_not_fit() -> None:
    x = np.array([np.nan, np.inf, -np.inf, 1e300, 2.0**63, -(2.0**63)])
    assert_array_equal(_native.astype(x, dtype="bool"), np.ones(6, bool))
    assert_array_equal(_native.astype(x, dtype="int64"), np.full(6, np.iinfo(np.int64).min))
    assert _native.astype(x, dtype="uint64")[4] == 2**63
    assert _native.astype(np.array([2**63 + 2**40], np.uint64), dtype="float64")[0] == 2.0**63 + 2.0**40


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("exponent", [0.5, -0.5, 1.5, -2.5, 3, -1, -3, 6, 12, -12, 63])
def test_powers_of_halves_are_rounded_once(dtype: str, exponent: float) -> None:
    rng = np.random.default_rng(0)
    x = np.exp(rng.uniform(-5, 5, 1000)).astype(dtype) * (
        1 if exponent % 1 else rng.choice([-1, 1], 1000).astype(dtype)
    )
    y = np.full_like(x, exponent)
    found = _native.power(x, np.broadcast_to(y[0], x.shape))
    exact = x.astype(np.longdouble) ** exponent
    in_range = (abs(exact) < np.finfo(dtype).max) & (abs(exact) > np.finfo(dtype).tiny)
    error = abs(found[in_range] - exact[in_range]) / np.spacing(abs(found[in_range]))
    assert error.max() < (0.501 if dtype == "float32" else 0.505)
    assert_array_equal(found, _native.power(x, y))


@pytest.mark.parametrize("dtype", FLOATS)
def test_logaddexp_is_exact_relative_to_its_terms(dtype: str) -> None:
    rng = np.random.default_rng(1)
    x, y = (rng.normal(size=1001) * 10 ** rng.uniform(-3, 3, 1001) for _ in range(2))
    x, y = x.astype(dtype), y.astype(dtype)
    exact = np.logaddexp(x.astype(np.longdouble), y.astype(np.longdouble))
    scale = np.maximum(abs(exact), np.log(2)).astype(dtype)
    assert (abs(_native.logaddexp(x, y) - exact) / np.spacing(scale)).max() < 1.2
    inf, nan = np.inf, np.nan
    first, second = np.array([[inf, inf], [inf, -inf], [-inf, -inf], [-inf, 1], [nan, inf], [0, nan]], dtype).T
    expected = np.array([inf, inf, -inf, 1, nan, nan], dtype)
    assert_array_equal(_native.logaddexp(first, second), expected)
    assert_array_equal(_native.logaddexp(second, first), expected)


@given(x=float_arrays(special=True))
def test_rounding(x: Array) -> None:
    for name in ("floor", "ceil", "trunc", "rint"):
        for halves in (x, np.asarray(np.trunc(x) / 2)):
            expected = np.asarray(getattr(np, name)(halves))
            found = getattr(_native, name)(halves)
            assert_array_equal(found, expected, strict=True)
            assert_array_equal(np.signbit(found), np.signbit(expected))
