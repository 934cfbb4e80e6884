"""The kernels against numpy: values, layouts, bits and refusals."""

import math
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

if TYPE_CHECKING:
    from minimeta import _native

Array = NDArray[Any]

FLOATS = ("float32", "float64")
DTYPES = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", *FLOATS)
LAYOUTS = ("contiguous", "transposed", "reversed", "stepped", "broadcast", "read-only")
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.0, 88.0, -104.0, 1e30, -1e30, 1e-42, 1e-310, np.inf, -np.inf, np.nan]


@pytest.fixture(scope="module", autouse=True)
def every_level(native: Any) -> None:
    """Run every test on every level; the stub's name stands for the level's extension."""
    globals()["_native"] = native


def lay_out(values: Array, layout: str) -> Array:
    """The same shape and dtype (and, but for 'broadcast', the same values) in another layout."""
    values = np.asarray(values)
    if values.ndim == 0:
        return values.copy()
    if layout == "transposed":
        return values.T.copy().T
    if layout == "reversed":
        every = (slice(None, None, -1),) * values.ndim
        return values[every].copy()[every]
    if layout == "stepped":
        wide = np.zeros([2 * n for n in values.shape], values.dtype)
        view = wide[(slice(None, None, 2),) * values.ndim]
        view[...] = values
        return view
    if layout == "broadcast" and values.size:
        return np.broadcast_to(values[:1], values.shape)
    fresh = values.copy()
    fresh.flags.writeable = layout != "read-only"
    return fresh


def random_values(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
    if dtype == "bool":
        return np.asarray(rng.integers(0, 2, shape)).astype(bool)
    if dtype in FLOATS:
        return np.asarray(rng.normal(size=shape)).astype(dtype)
    return np.asarray(rng.integers(0, 100, shape)).astype(dtype)


def bits(x: Array) -> Array:
    return np.ascontiguousarray(x).reshape(-1).view(np.uint8)


def assert_same_bits(x: Array, y: Array) -> None:
    assert x.shape == y.shape
    assert x.dtype == y.dtype
    assert_array_equal(bits(x), bits(y))


def assert_fresh(result: Array, *operands: Array) -> None:
    assert type(result) is np.ndarray
    assert result.flags.c_contiguous
    assert result.flags.writeable
    assert not any(np.shares_memory(result, x) for x in operands)


def assert_close(result: Array, expected: Array, ulps: float = 8, scale: float = 1.0) -> None:
    """Equal to a few ulps of the larger of the value and ``scale``; special values exactly."""
    assert result.shape == expected.shape
    assert result.dtype == expected.dtype
    eps = float(np.finfo(result.dtype).eps)
    np.testing.assert_allclose(result, expected, rtol=ulps * eps, atol=ulps * eps * scale)


shapes = st.one_of(
    st.lists(st.integers(0, 4), max_size=4).map(tuple),
    st.sampled_from([(17,), (33, 5), (5, 33), (2, 40, 9), (1100,), (3, 1030), (1030, 3)]),
)
seeds = st.integers(0, 2**32 - 1)
layouts = st.sampled_from(LAYOUTS)
floats = st.sampled_from(FLOATS)


@st.composite
def float_arrays(draw: st.DrawFn, special: bool = False) -> Array:
    shape, dtype, layout = draw(shapes), draw(floats), draw(layouts)
    rng = np.random.default_rng(draw(seeds))
    values = rng.normal(size=shape) * 3
    if special:
        values = np.where(rng.random(shape) < 0.5, rng.choice(SPECIAL, size=shape), values)
    return lay_out(values.astype(dtype), layout)


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
            expected = getattr(np, name)(x, y)
        assert_fresh(result, x, y)
        if name == "power":
            assert_close(result, expected, scale=float(np.finfo(x.dtype).tiny) / float(np.finfo(x.dtype).eps))
        else:
            assert_array_equal(result, expected, strict=True)
    for name in COMPARISONS:
        assert_array_equal(getattr(_native, name)(x, y), getattr(np, name)(x, y), strict=True)
    assert_array_equal(_native.gate(x, y), np.where(x > 0, y, 0).astype(y.dtype), strict=True)
    with np.errstate(all="ignore"):
        for name in ("sigmoid_slope", "tanh_slope"):
            slope = getattr(_native, name)(x, np.ones_like(x))
            assert_array_equal(getattr(_native, name)(x, y), np.asarray(y * slope), strict=True)
    condition = np.asarray(np.signbit(x))
    assert_array_equal(_native.where(condition, x, y), np.where(condition, x, y), strict=True)
    low, high = np.asarray(np.minimum(x, y)), np.full(x.shape, 2, x.dtype)
    assert_array_equal(_native.clip(x, low, high), np.minimum(np.maximum(x, low), high), strict=True)


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


@pytest.mark.parametrize("dtype", DTYPES)
@given(shape=shapes, seed=seeds, layout=layouts)
def test_copy(dtype: str, shape: tuple[int, ...], seed: int, layout: str) -> None:
    x = lay_out(random_values(np.random.default_rng(seed), shape, dtype), layout)
    result = _native.copy(x)
    assert_fresh(result, x)
    assert_array_equal(result, x, strict=True)


# Whole blocks of every width of vectors, and what is left of them.
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
@given(sides=st.tuples(st.integers(1, 3), st.integers(1, 140), st.integers(1, 140)), seed=seeds)
def test_copy_of_turned_planes(dtype: str, sides: tuple[int, int, int], seed: int) -> None:
    x = random_values(np.random.default_rng(seed), sides, dtype)
    assert_array_equal(_native.copy(x.transpose(0, 2, 1)), x.transpose(0, 2, 1), strict=True)
    assert_array_equal(_native.copy(x[:, ::-1].T), x[:, ::-1].T, strict=True)


@st.composite
def arrays_and_axes(draw: st.DrawFn, special: bool = False) -> tuple[Array, tuple[int, ...]]:
    x = draw(float_arrays(special))
    return x, tuple(d for d in range(x.ndim) if draw(st.booleans()))


def logsumexp(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    wide = x.astype(np.longdouble)
    shift = np.max(wide, axis=axes, keepdims=True, initial=-np.inf)
    shift = np.where(np.isfinite(shift), shift, 0)
    total = np.log(np.sum(np.exp(wide - shift), axis=axes, keepdims=True)) + shift
    return np.asarray(total if keepdims else np.squeeze(total, axes)).astype(x.dtype)


@given(pair=arrays_and_axes(), keepdims=st.booleans())
def test_reductions(pair: tuple[Array, tuple[int, ...]], keepdims: bool) -> None:
    x, axes = pair
    wide = x.astype(np.longdouble)
    length = math.prod(x.shape[a] for a in axes)
    where: Any = {"axis": axes, "keepdims": keepdims}
    scale = float(np.abs(wide).sum()) + 1
    assert_close(_native.sum(x, axes=axes, keepdims=keepdims), np.sum(wide, **where).astype(x.dtype), scale=scale)
    assert_close(_native.norm(x, axes=axes, keepdims=keepdims), np.sqrt(np.sum(wide**2, **where)).astype(x.dtype), 16)
    with np.errstate(divide="ignore"):
        assert_close(_native.logsumexp(x, axes=axes, keepdims=keepdims), logsumexp(x, axes, keepdims), 16)
    if length:
        assert_close(_native.mean(x, axes=axes, keepdims=keepdims), np.mean(wide, **where).astype(x.dtype), 16)
        expected = np.var(wide, **where).astype(x.dtype)
        assert_close(_native.variance(x, axes=axes, keepdims=keepdims, correction=0.0), expected, 64)
        assert_array_equal(_native.max(x, axes=axes, keepdims=keepdims), np.max(x, **where), strict=True)
        assert_array_equal(_native.min(x, axes=axes, keepdims=keepdims), np.min(x, **where), strict=True)
    else:
        kept = np.sum(x, **where).shape
        assert_array_equal(_native.mean(x, axes=axes, keepdims=keepdims), np.full(kept, np.nan, x.dtype), strict=True)
        assert_array_equal(
            _native.variance(x, axes=axes, keepdims=keepdims, correction=1.0),
            np.full(kept, np.nan, x.dtype),
            strict=True,
        )


@given(pair=arrays_and_axes(special=True))
def test_reductions_of_special_values(pair: tuple[Array, tuple[int, ...]]) -> None:
    x, axes = pair
    if x.size == 0:
        return
    with np.errstate(all="ignore"):
        assert_array_equal(_native.max(x, axes=axes, keepdims=False), np.max(x, axis=axes))
        assert_array_equal(_native.min(x, axes=axes, keepdims=False), np.min(x, axis=axes))
        total, expected = _native.sum(x, axes=axes, keepdims=False), np.sum(x, axis=axes)
        assert_array_equal(np.isnan(total), np.isnan(expected))
        assert_array_equal(total[np.isinf(expected)], expected[np.isinf(expected)])
        assert_array_equal(
            _native.logsumexp(x, axes=axes, keepdims=False) == np.inf, logsumexp(x, axes, False) == np.inf
        )


@given(pair=arrays_and_axes())
def test_softmax(pair: tuple[Array, tuple[int, ...]]) -> None:
    x, axes = pair
    with np.errstate(divide="ignore"):
        wide = x.astype(np.longdouble) - logsumexp(x.astype(np.longdouble), axes, True)
    for name, expected in (("log_softmax", wide), ("softmax", np.exp(wide))):
        result = getattr(_native, name)(x, axes=axes)
        assert_fresh(result, x)
        assert_close(result, expected.astype(x.dtype), 32)


@pytest.mark.parametrize("dtype", ["bool", "int64", *FLOATS])
@given(shape=shapes, seed=seeds, layout=layouts, keepdims=st.booleans())
def test_argmax(dtype: str, shape: tuple[int, ...], seed: int, layout: str, keepdims: bool) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 3, shape).astype(dtype)
    if dtype in FLOATS:
        x[rng.random(shape) < 0.05] = np.nan
    x = lay_out(x, layout)
    for axis in range(x.ndim):
        if x.shape[axis]:
            expected = np.asarray(np.argmax(x, axis=axis, keepdims=keepdims))
            assert_array_equal(_native.argmax(x, axis=axis, keepdims=keepdims), expected, strict=True)


@pytest.mark.parametrize("dtype", FLOATS)
def test_norm_neither_overflows_nor_underflows(dtype: str) -> None:
    info = np.finfo(dtype)
    for value in (info.max / 4, info.tiny, info.smallest_subnormal, 1.0):
        x = np.full(4, value, dtype)
        assert_array_equal(_native.norm(x, axes=(0,), keepdims=False), 2 * x[0])
    assert _native.norm(np.array([np.inf, 1], dtype), axes=(0,), keepdims=False) == np.inf
    assert np.isnan(_native.norm(np.array([np.inf, np.nan], dtype), axes=(0,), keepdims=False))
    assert _native.norm(np.zeros(3, dtype), axes=(0,), keepdims=False) == 0


def test_stated_reductions_of_infinities() -> None:
    inf = np.inf
    x = np.array([[-inf, -inf], [inf, 1], [inf, -inf], [np.nan, inf]])
    assert_array_equal(_native.logsumexp(x, axes=(1,), keepdims=False), [-inf, inf, inf, np.nan])
    assert_array_equal(_native.logsumexp(np.zeros((2, 0)), axes=(1,), keepdims=False), [-inf, -inf])
    assert np.signbit(_native.sum(np.array(-0.0), axes=(), keepdims=False))
    assert not np.signbit(_native.sum(np.zeros(0), axes=(0,), keepdims=False))
    assert _native.variance(np.array([1.0, 2, 4]), axes=(0,), keepdims=False, correction=1.0) == pytest.approx(
        np.var([1, 2, 4], ddof=1)
    )


@given(pair=arrays_and_axes())
def test_the_order_of_a_sum_depends_on_the_sequence_alone(pair: tuple[Array, tuple[int, ...]]) -> None:
    x, axes = pair
    kept = tuple(d for d in range(x.ndim) if d not in axes)
    rows = np.ascontiguousarray(np.transpose(x, kept + axes)).reshape(
        [x.shape[d] for d in kept] + [math.prod(x.shape[d] for d in axes)]
    )
    for name, more in (("sum", {}), ("norm", {}), ("logsumexp", {}), ("variance", {"correction": 1.0})):
        kernel = partial(getattr(_native, name), keepdims=False, **more)
        expected = kernel(rows, axes=(len(kept),))
        for layout in ("contiguous", "transposed", "reversed", "stepped"):
            assert_same_bits(kernel(lay_out(x, layout), axes=axes), expected)


# A few sequences and many, which fill vectors of outputs or not; short ones, and several blocks.
@pytest.mark.parametrize("length", [7, 8, 33, 1024, 1025, 5 * 1024 + 3])
@pytest.mark.parametrize("width", [1, 4, 17, 40, 300])
@pytest.mark.parametrize("dtype", FLOATS)
def test_the_order_of_a_sum_is_the_stated_one(length: int, width: int, dtype: str) -> None:
    def tree(values: list[Array]) -> Array:
        while len(values) > 1:  # lanes: l and l + half
            half = len(values) // 2
            values = [values[i] + values[i + half] for i in range(half)]
        return values[0]

    def pairwise(blocks: list[Array]) -> Array:
        if len(blocks) == 1:
            return blocks[0]
        left = 2 ** ((len(blocks) - 1).bit_length() - 1)
        return pairwise(blocks[:left]) + pairwise(blocks[left:])

    x = np.random.default_rng(length).normal(size=(length, width)).astype(dtype)
    blocks = []
    for start in range(0, length, 1024):
        lanes = [np.full(width, -0.0, dtype)] * 8
        for k, row in enumerate(x[start : start + 1024]):
            lanes[k % 8] = lanes[k % 8] + row
        blocks.append(tree(lanes))
    expected = pairwise(blocks)
    assert_array_equal(_native.sum(x, axes=(0,), keepdims=False), expected, strict=True)
    assert_array_equal(_native.sum(np.ascontiguousarray(x.T), axes=(1,), keepdims=False), expected, strict=True)
    assert_array_equal(_native.sum(x[:, 0].copy(), axes=(0,), keepdims=False), expected[0])


def exact_chain(x: Array, y: Array) -> Array:
    """The product by its definition: rationals, rounded once a step. Only for values whose sums never vanish to -0."""
    m, k, n = *x.shape, y.shape[1]
    result = np.zeros((m, n), x.dtype)
    for i in range(m):
        for j in range(n):
            total = Fraction(0)
            for p in range(k):
                total = Fraction(float(round_to(Fraction(float(x[i, p])) * Fraction(float(y[p, j])) + total, x.dtype)))
            result[i, j] = float(total)
    return result


def round_to(value: Fraction, dtype: np.dtype[Any]) -> float:
    """Round a rational to the nearest float of a dtype, ties to even."""
    if value == 0:
        return 0.0
    digits = np.finfo(dtype).nmant
    exponent = math.frexp(float(value))[1] - 1
    unit = Fraction(2) ** (exponent - digits)
    return float(round(value / unit) * unit)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(2, 3, 4), (6, 5, 17), (1, 9, 1), (3, 30, 9), (7, 11, 33)])
def test_an_element_of_a_product_is_one_chain(dtype: str, shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(1)
    m, k, n = shape
    x, y = rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(k, n)).astype(dtype)
    assert_same_bits(_native.matmul(x, y), exact_chain(x, y))


sides = st.sampled_from([0, 1, 2, 3, 4, 5, 6, 8, 11, 16, 17, 31, 40])


@given(
    m=sides, k=sides, n=sides, batch=st.lists(st.integers(0, 3), max_size=2), dtype=floats, seed=seeds, data=st.data()
)
def test_matmul(m: int, k: int, n: int, batch: list[int], dtype: str, seed: int, data: st.DataObject) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(*batch, m, k)).astype(dtype), rng.normal(size=(*batch, k, n)).astype(dtype)
    expected = _native.matmul(x, y)
    wide = np.matmul(x.astype(np.longdouble), y.astype(np.longdouble))
    assert_close(expected, wide.astype(dtype), ulps=max(k, 1), scale=8)
    layout = st.sampled_from(("contiguous", "transposed", "reversed", "stepped"))
    assert_same_bits(_native.matmul(lay_out(x, data.draw(layout)), lay_out(y, data.draw(layout))), expected)
    swapped = np.ascontiguousarray(np.swapaxes(x, -1, -2)), np.ascontiguousarray(np.swapaxes(y, -1, -2))
    assert_same_bits(_native.matmul(np.swapaxes(swapped[0], -1, -2), np.swapaxes(swapped[1], -1, -2)), expected)
    assert_same_bits(np.swapaxes(_native.matmul(swapped[1], swapped[0]), -1, -2), expected)
    columns = [_native.matmul(x, y[..., j : j + 1]) for j in range(n)]
    if columns:
        assert_same_bits(np.concatenate(columns, axis=-1), expected)
    if batch and m and k:
        shared = np.broadcast_to(y[:1], y.shape)
        assert_same_bits(_native.matmul(x, shared), _native.matmul(x, shared.copy()))


@pytest.mark.parametrize("dtype", ["bool", "int64", *FLOATS])
@given(
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple),
    batch=st.lists(st.integers(0, 4), max_size=2).map(tuple),
    seed=seeds,
    layout=layouts,
    data=st.data(),
)
def test_gather_and_scatter_add(
    dtype: str, shape: tuple[int, ...], batch: tuple[int, ...], seed: int, layout: str, data: st.DataObject
) -> None:
    rng = np.random.default_rng(seed)
    k = data.draw(st.integers(1, len(shape)))
    x = lay_out(random_values(rng, shape, dtype), layout)
    indices = tuple(lay_out(np.asarray(rng.integers(-shape[a], shape[a], batch)), layout) for a in range(k))
    result = _native.gather(x, *indices)
    assert_fresh(result, x)
    assert_array_equal(result, np.asarray(x[indices]), strict=True)
    if dtype in FLOATS:
        updates = lay_out(random_values(rng, result.shape, dtype), layout)
        expected = np.zeros(shape, dtype)
        np.add.at(expected, indices, updates)
        assert_same_bits(_native.scatter_add(updates, *indices, shape=shape), expected)


@st.composite
def poolings(draw: st.DrawFn) -> tuple[tuple[int, int], dict[str, tuple[int, ...]]]:
    """Sides of an image and a pooling whose windows each have a cell on it."""
    window, strides = ((draw(st.integers(1, 4)), draw(st.integers(1, 5))) for _ in range(2))
    padding = tuple(draw(st.integers(0, window[side] - 1)) for side in (0, 0, 1, 1))
    least = [max(1, window[side] - padding[2 * side] - padding[2 * side + 1]) for side in (0, 1)]
    sides = (draw(st.integers(least[0], 7)), draw(st.integers(least[1], 7)))
    return sides, {"window": window, "strides": strides, "padding": padding}


@pytest.mark.parametrize("dtype", FLOATS)
@given(
    pooling=poolings(),
    images=st.integers(0, 2),
    channels=st.sampled_from([0, 1, 2, 31, 32, 33, 70]),
    seed=seeds,
    layout=layouts,
)
def test_pooling(
    dtype: str,
    pooling: tuple[tuple[int, int], dict[str, tuple[int, ...]]],
    images: int,
    channels: int,
    seed: int,
    layout: str,
) -> None:
    (height, width), params = pooling
    (kh, kw), (sy, sx), (above, below, left, right) = params["window"], params["strides"], params["padding"]
    rng = np.random.default_rng(seed)
    x = random_values(rng, (images, height, width, channels), dtype)
    x[rng.random(x.shape) < 0.05] = np.nan
    x[rng.random(x.shape) < 0.2] = -np.inf
    x = lay_out(x, layout)
    maximal = _native.max_cell(x, **params)
    taken = _native.pool_take(x, maximal, **params)
    sums = _native.sum_pool(x, **params)
    assert_fresh(maximal, x)
    assert_fresh(taken, x, maximal)
    assert_fresh(sums, x)
    places = ((height + above + below - kh) // sy + 1, (width + left + right - kw) // sx + 1)
    assert maximal.shape == taken.shape == sums.shape == (images, *places, channels)
    g = lay_out(random_values(rng, sums.shape, dtype), layout)
    chosen = lay_out(np.asarray(rng.integers(0, kh * kw, sums.shape)).astype(np.uint8), layout)
    spread, put, expected = (np.zeros(shape, dtype) for shape in (x.shape, x.shape, sums.shape))
    for u, v in np.ndindex(*places):
        rows = range(max(u * sy - above, 0), min(u * sy - above + kh, height))
        columns = range(max(v * sx - left, 0), min(v * sx - left + kw, width))
        cells = [(slice(None), row, column) for row in rows for column in columns]
        total = np.zeros((images, channels), dtype)
        for cell in cells:
            total = total + x[cell]
            spread[cell] += g[:, u, v]
        assert_same_bits(sums[:, u, v], total)
        # numpy's argmax is the first of a tie, and the first NaN.
        first = np.argmax([x[cell] for cell in cells], axis=0)
        assert_same_bits(taken[:, u, v], np.take_along_axis(np.array([x[cell] for cell in cells]), first[None], 0)[0])
        numbers = [(row - u * sy + above) * kw + column - v * sx + left for _, row, column in cells]
        assert_array_equal(maximal[:, u, v], np.array(numbers, np.uint8)[first], strict=True)
        for number, cell in zip(numbers, cells, strict=True):
            holds = chosen[:, u, v] == number
            expected[:, u, v][holds] = x[cell][holds]
            put[cell][holds] += g[:, u, v][holds]
    assert_same_bits(_native.pool_take(x, chosen, **params), expected)
    assert_same_bits(_native.pool_put(g, chosen, **params, size=(height, width)), put)
    assert_same_bits(_native.sum_pool_input(g, **params, size=(height, width)), spread)


@pytest.mark.parametrize("dtype", ["bool", "int64", *FLOATS])
@given(
    shape=st.lists(st.integers(0, 4), min_size=1, max_size=3),
    lengths=st.lists(st.integers(0, 4), min_size=1, max_size=4),
    seed=seeds,
    layout=layouts,
    data=st.data(),
)
def test_concatenate(
    dtype: str, shape: list[int], lengths: list[int], seed: int, layout: str, data: st.DataObject
) -> None:
    rng = np.random.default_rng(seed)
    axis = data.draw(st.integers(0, len(shape) - 1))
    parts = [(*shape[:axis], n, *shape[axis + 1 :]) for n in lengths]
    arrays = [lay_out(random_values(rng, part, dtype), layout) for part in parts]
    result = _native.concatenate(*arrays, axis=axis)
    assert_fresh(result, *arrays)
    assert_array_equal(result, np.concatenate(arrays, axis=axis), strict=True)


@st.composite
def windows(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """A shape, and starts, sizes and steps of a slice inside it."""
    shape, starts, sizes, steps = [], [], [], []
    for _ in range(draw(st.integers(0, 4))):
        size, step, n = draw(st.integers(1, 3)), draw(st.sampled_from([-3, -2, -1, 1, 2, 3])), draw(st.integers(0, 4))
        span = abs(step) * max(n - 1, 0) + 1
        low = draw(st.integers(0, 2))
        shape.append(low + span + size - 1)
        starts.append(low if step > 0 else low + span - 1)
        sizes.append(n)
        steps.append(step)
    return tuple(shape), tuple(starts), tuple(sizes), tuple(steps)


@pytest.mark.parametrize("dtype", DTYPES)
@given(window=windows(), seed=seeds, layout=layouts)
def test_slice_and_pad(dtype: str, window: tuple[tuple[int, ...], ...], seed: int, layout: str) -> None:
    shape, starts, sizes, steps = window
    rng = np.random.default_rng(seed)
    x = lay_out(random_values(rng, shape, dtype), layout)
    where = np.ix_(*(start + step * np.arange(n) for start, n, step in zip(starts, sizes, steps, strict=True)))
    view = _native.slice(x, starts=starts, sizes=sizes, steps=steps)
    assert_view(view, x)
    assert_array_equal(view, x[where].reshape(sizes), strict=True)
    part = lay_out(random_values(rng, sizes, dtype), layout)
    expected = np.zeros(shape, dtype)
    expected[where] = part
    padded = _native.pad(part, shape=shape, starts=starts, steps=steps)
    assert_fresh(padded, part)
    assert_array_equal(padded, expected, strict=True)


def assert_view(view: Array, x: Array) -> None:
    assert type(view) is np.ndarray
    assert not view.flags.writeable
    assert view.base is not None
    if view.size:
        assert np.shares_memory(view, x)


@pytest.mark.parametrize("dtype", DTYPES)
@given(shape=shapes, seed=seeds, layout=layouts, data=st.data())
def test_other_views(dtype: str, shape: tuple[int, ...], seed: int, layout: str, data: st.DataObject) -> None:
    x = lay_out(random_values(np.random.default_rng(seed), shape, dtype), layout)
    axes = tuple(data.draw(st.permutations(range(x.ndim))))
    view = _native.transpose(x, axes=axes)
    assert_view(view, x)
    assert_array_equal(view, np.transpose(x, axes), strict=True)
    wide = (*data.draw(st.lists(st.integers(0, 3), max_size=2)), *(3 if n == 1 else n for n in shape))
    view = _native.broadcast_to(x, shape=wide)
    assert_view(view, x)
    assert_array_equal(view, np.broadcast_to(x, wide), strict=True)
    for new in ((x.size,), (1, x.size, 1), tuple(reversed(shape)), (*shape, 1), (*shape[:-2], math.prod(shape[-2:]))):
        result = _native.reshape(x, shape=new)
        assert_array_equal(result, x.reshape(new), strict=True)
        if x.size and np.shares_memory(x, x.reshape(new)):
            assert_view(result, x)
        elif x.size:
            assert_fresh(result, x)


def test_a_view_keeps_its_memory_alive() -> None:
    view = _native.transpose(np.arange(10000.0).reshape(100, 100), axes=(1, 0))
    np.ones((100, 100))
    assert_array_equal(view, np.arange(10000.0).reshape(100, 100).T)


def test_many_dimensions() -> None:
    x = np.arange(4.0).reshape((1,) * 62 + (2, 2))
    assert_array_equal(_native.add(x, x), 2 * x, strict=True)
    assert_array_equal(_native.sum(x, axes=tuple(range(64)), keepdims=False), np.array(6.0), strict=True)
    assert_array_equal(_native.transpose(x, axes=tuple(reversed(range(64)))), x.T, strict=True)
    with pytest.raises(ValueError, match="64"):
        _native.reshape(np.ones(1), shape=(1,) * 65)
    with pytest.raises(ValueError, match="dimensions"):
        _native.gather(x, np.zeros((1, 1), np.int64))


F: Array = np.ones((2, 3), "f4")
D: Array = np.ones((2, 3))
N: Array = np.ones((2, 3), np.int64)
B: Array = np.ones((2, 3), bool)
IMAGES: Array = np.ones((1, 4, 4, 2))
KERNEL: Array = np.ones((3, 3, 2, 1))
HUGE = 2**62
NONE = (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda native: native.add([1.0], D), TypeError),
        (lambda native: native.add(D, F), TypeError),
        (lambda native: native.divide(N, N), TypeError),
        (lambda native: native.exp(D.astype(complex)), TypeError),
        (lambda native: native.exp(D.astype(">f8")), TypeError),
        (lambda native: native.exp(misaligned()), TypeError),
        (lambda native: native.add(D, D.T), ValueError),
        (lambda native: native.logical_or(N, N), TypeError),
        (lambda native: native.logical_not(N), TypeError),
        (lambda native: native.where(N, D, D), TypeError),
        (lambda native: native.where(B.T, D, D), ValueError),
        (lambda native: native.where(B, D, F), TypeError),
        (lambda native: native.clip(D, D, F), TypeError),
        (lambda native: native.astype(D, dtype="complex64"), TypeError),
        (lambda native: native.sum(N.astype("i4"), axes=(0,), keepdims=False), TypeError),
        (lambda native: native.sum(D, axes=(2,), keepdims=False), ValueError),
        (lambda native: native.sum(D, axes=(-1,), keepdims=False), ValueError),
        (lambda native: native.sum(D, axes=(1, 0), keepdims=False), ValueError),
        (lambda native: native.sum(D, axes=(0, 0), keepdims=False), ValueError),
        (lambda native: native.sum(D, axes=[0], keepdims=False), TypeError),
        (lambda native: native.sum(D, axes=("a",), keepdims=False), TypeError),
        (lambda native: native.sum(D, axes=(2**70,), keepdims=False), ValueError),
        (lambda native: native.softmax(D, axes=(3,)), ValueError),
        (lambda native: native.max(np.ones((2, 0)), axes=(1,), keepdims=False), ValueError),
        (lambda native: native.argmax(np.ones((2, 0)), axis=1, keepdims=False), ValueError),
        (lambda native: native.argmax(D, axis=2, keepdims=False), ValueError),
        (lambda native: native.argmax(D.astype("i4"), axis=0, keepdims=False), TypeError),
        (lambda native: native.matmul(D, D), ValueError),
        (lambda native: native.matmul(D[0], D), ValueError),
        (lambda native: native.matmul(np.ones((2, 2, 2)), np.ones((3, 2, 2))), ValueError),
        (lambda native: native.matmul(D, F.T), TypeError),
        (lambda native: native.matmul(N, N.T), TypeError),
        (lambda native: native.gather(D), ValueError),
        (lambda native: native.gather(D, np.ones(1, "i4")), TypeError),
        (lambda native: native.gather(D, np.array([2])), IndexError),
        (lambda native: native.gather(D, np.array([0]), np.array([-4])), IndexError),
        (lambda native: native.gather(D, np.array([0]), np.array([0, 1])), ValueError),
        (lambda native: native.gather(D[0], np.array([0]), np.array([0])), ValueError),
        (lambda native: native.scatter_add(D, np.array([0, 9]), shape=(5, 3)), IndexError),
        (lambda native: native.scatter_add(D, np.array([0]), shape=(5, 3)), ValueError),
        (lambda native: native.scatter_add(D, np.array([0, 1]), shape=(5, 4)), ValueError),
        (lambda native: native.scatter_add(N, np.array([0, 1]), shape=(5, 3)), TypeError),
        (lambda native: native.scatter_add(D, np.array([0, 1]), shape=(-5, 3)), ValueError),
        (lambda native: native.conv2d(D, D, strides=(1, 1), padding=NONE), ValueError),
        (lambda native: native.conv2d(IMAGES, D, strides=(1, 1), padding=NONE), ValueError),
        (lambda native: native.conv2d(IMAGES, IMAGES, strides=(1, 1), padding=NONE), ValueError),
        (lambda native: native.conv2d(IMAGES, KERNEL.astype("f4"), strides=(1, 1), padding=NONE), TypeError),
        (lambda native: native.conv2d(IMAGES, KERNEL, strides=(0, 1), padding=NONE), ValueError),
        (lambda native: native.conv2d(IMAGES, KERNEL, strides=(1,), padding=NONE), ValueError),
        (lambda native: native.conv2d(IMAGES, KERNEL, strides=(1, 1), padding=(0, 0, -1, 0)), ValueError),
        (lambda native: native.conv2d(IMAGES[:, :1], KERNEL, strides=(1, 1), padding=NONE), ValueError),
        (lambda native: native.conv2d(IMAGES, KERNEL[:0], strides=(1, 1), padding=NONE), ValueError),
        (lambda native: native.conv2d(IMAGES, KERNEL, strides=(1, 1), padding=(HUGE, HUGE, 0, 0)), ValueError),
        (lambda native: native.conv2d(IMAGES, KERNEL, strides=(HUGE, 1), padding=(HUGE, 0, 0, 0)), ValueError),
        (lambda native: native.conv2d_input(IMAGES, KERNEL, strides=(1, 1), padding=NONE, size=(4, 4)), ValueError),
        (
            lambda native: native.conv2d_input(IMAGES[..., :1], KERNEL, strides=(1, 1), padding=NONE, size=(4, 4)),
            ValueError,
        ),
        (lambda native: native.conv2d_input(IMAGES, KERNEL, strides=(1, 1), padding=NONE, size=(4,)), ValueError),
        (lambda native: native.conv2d_weight(IMAGES, IMAGES, strides=(1, 1), padding=NONE, size=(3, 3)), ValueError),
        (
            lambda native: native.conv2d_weight(IMAGES, IMAGES[:0], strides=(1, 1), padding=NONE, size=(1, 1)),
            ValueError,
        ),
        (lambda native: native.conv2d_weight(IMAGES, IMAGES, strides=(1, 1), padding=NONE, size=(1,)), ValueError),
        (lambda native: native.max_cell(D, window=(1, 1), strides=(1, 1), padding=NONE), ValueError),
        (lambda native: native.sum_pool(IMAGES.astype(int), window=(1, 1), strides=(1, 1), padding=NONE), TypeError),
        (lambda native: native.sum_pool(IMAGES, window=(1,), strides=(1, 1), padding=NONE), ValueError),
        (lambda native: native.sum_pool(IMAGES, window=(1, 1), strides=(1, 1), padding=(0, 0)), ValueError),
        (lambda native: native.sum_pool(IMAGES, window=(5, 1), strides=(1, 1), padding=NONE), ValueError),
        (lambda native: native.sum_pool(IMAGES, window=(0, 1), strides=(1, 1), padding=NONE), ValueError),
        (lambda native: native.sum_pool(IMAGES, window=(1, 1), strides=(1, 0), padding=NONE), ValueError),
        (lambda native: native.max_cell(IMAGES, window=(2, 2), strides=(1, 1), padding=(0, 2, 0, 0)), ValueError),
        (lambda native: native.max_cell(IMAGES, window=(2, 2), strides=(1, 1), padding=(0, 0, -1, 0)), ValueError),
        (
            lambda native: native.max_cell(IMAGES[:, :0], window=(2, 2), strides=(1, 1), padding=(1, 1, 1, 1)),
            ValueError,
        ),
        (
            lambda native: native.sum_pool(IMAGES, window=(HUGE, 1), strides=(1, 1), padding=(HUGE - 1, 0, 0, 0)),
            ValueError,
        ),
        (
            lambda native: native.max_cell(
                IMAGES, window=(2**16, 2**17), strides=(1, 1), padding=(2**16 - 1, 0, 2**17 - 1, 0)
            ),
            ValueError,
        ),
        (
            lambda native: native.pool_take(
                IMAGES, IMAGES.astype(np.uint8), window=(1, 2), strides=(1, 1), padding=NONE
            ),
            ValueError,
        ),
        (
            lambda native: native.pool_take(
                IMAGES, IMAGES.astype(np.int64), window=(1, 1), strides=(1, 1), padding=NONE
            ),
            TypeError,
        ),
        (
            lambda native: native.pool_put(
                IMAGES, IMAGES.astype(np.uint8)[:0], window=(1, 1), strides=(1, 1), padding=NONE, size=(4, 4)
            ),
            ValueError,
        ),
        (
            lambda native: native.pool_put(
                IMAGES, IMAGES.astype(np.uint8), window=(17, 17), strides=(1, 1), padding=NONE, size=(20, 20)
            ),
            TypeError,
        ),
        (
            lambda native: native.pool_put(
                IMAGES, IMAGES.astype(np.uint8), window=(1, 1), strides=(1, 1), padding=NONE, size=(4, 5)
            ),
            ValueError,
        ),
        (
            lambda native: native.sum_pool_input(IMAGES, window=(1, 1), strides=(1, 1), padding=NONE, size=(4, 5)),
            ValueError,
        ),
        (
            lambda native: native.sum_pool_input(IMAGES, window=(1, 1), strides=(1, 1), padding=NONE, size=(4,)),
            ValueError,
        ),
        (
            lambda native: native.sum_pool_input(IMAGES, window=(1, 1), strides=(1, 1), padding=NONE, size=(HUGE, 4)),
            ValueError,
        ),
        (lambda native: native.concatenate(axis=0), ValueError),
        (lambda native: native.concatenate(D, D.T, axis=0), ValueError),
        (lambda native: native.concatenate(D, F, axis=0), TypeError),
        (lambda native: native.concatenate(D, axis=2), ValueError),
        (lambda native: native.pad(D, shape=(2, 3), starts=(0, 1), steps=(1, 1)), ValueError),
        (lambda native: native.pad(D, shape=(2, 3), starts=(0, 0), steps=(1, 0)), ValueError),
        (lambda native: native.pad(D, shape=(2,), starts=(0,), steps=(1,)), ValueError),
        (lambda native: native.pad(D, shape=(HUGE, HUGE), starts=(0, 0), steps=(1, 1)), ValueError),
        (lambda native: native.slice(D, starts=(0, 2), sizes=(1, 2), steps=(1, 1)), ValueError),
        (lambda native: native.slice(D, starts=(0, 1), sizes=(1, 3), steps=(1, -1)), ValueError),
        (lambda native: native.slice(D, starts=(0, -1), sizes=(1, 1), steps=(1, 1)), ValueError),
        (lambda native: native.slice(D, starts=(0, 0), sizes=(1, -1), steps=(1, 1)), ValueError),
        (lambda native: native.slice(D, starts=(0, 0), sizes=(1, 2), steps=(1, 2**63 - 1)), ValueError),
        (lambda native: native.slice(D, starts=(0, 0), sizes=(1, 2), steps=(1, -(2**63))), ValueError),
        (lambda native: native.transpose(D, axes=(0, 0)), ValueError),
        (lambda native: native.transpose(D, axes=(0,)), ValueError),
        (lambda native: native.transpose(D, axes=(0, 2)), ValueError),
        (lambda native: native.broadcast_to(D, shape=(3,)), ValueError),
        (lambda native: native.broadcast_to(D, shape=(2, 4)), ValueError),
        (lambda native: native.broadcast_to(D, shape=(-1, 2, 3)), ValueError),
        (lambda native: native.broadcast_to(np.ones(()), shape=(HUGE, HUGE)), ValueError),
        (lambda native: native.reshape(D, shape=(5,)), ValueError),
        (lambda native: native.reshape(D, shape=(-1,)), ValueError),
        (lambda native: native.reshape(np.ones((0,)), shape=(HUGE, HUGE, 0)), ValueError),
    ],
)
def test_what_is_not_safe_is_refused(call: Callable[[Any], object], error: type[Exception]) -> None:
    with pytest.raises(error):
        call(_native)


def misaligned() -> Array:
    return np.zeros(17, np.uint8)[1:].view(np.float64)


def test_operands_come_by_place_and_parameters_by_name() -> None:
    assert repr(_native.sum) == "<kernel sum>"
    assert _native.sum.__name__ == "sum"
    assert_array_equal(_native.sum(D, keepdims=True, axes=(0,)), D.sum(0, keepdims=True))  # in any order
    for call, error, message in (
        (lambda: _native.sum(D, D), ValueError, "sum of 2 operands"),
        (lambda: _native.add(D), ValueError, "add of 1 operands"),
        (lambda: _native.sum(D), TypeError, "sum: axes is missing"),
        (lambda: _native.sum(D, axes=(0,), axis=0), TypeError, "sum was given a parameter that it does not have"),
        (lambda: _native.add(x=D, y=D), ValueError, "add of 0 operands"),
        (type(_native.add), TypeError, "cannot create"),
    ):
        with pytest.raises(error, match=message):
            call()


def test_large_work_releases_the_lock_and_still_refuses() -> None:
    x = np.ones((300, 300))
    assert_array_equal(_native.matmul(x, x), np.full((300, 300), 300.0))
    assert_array_equal(_native.add(x, x), x + x)
    indices = np.zeros(100_000, np.int64)
    indices[-1] = 300
    with pytest.raises(IndexError, match="index 300"):
        _native.gather(x, indices)
