"""Integers and truth values: numpy's dtypes and values, whether eager, compiled, or for every task of a ``vmap``."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from drawing import share
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import minimeta as mm
from minimeta.errors import DtypeError
from minimeta.program import PASSES, interpret, trace
from minimeta.testing import check_gradients

Function = Callable[..., Any]

WHOLE = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
EVERY = ("bool", *WHOLE, "float32", "float64")

UNARY: dict[str, Function] = {
    "-": lambda x: -x,
    "abs": abs,
    "~": lambda x: ~x,
    "sign": np.sign,
    "square": np.square,
    "** 2": lambda x: x**2,
    "** 3": lambda x: x**3,
    "+ 1": lambda x: x + 1,
    "1 -": lambda x: 1 - x,
    "* 2": lambda x: x * 2,
    "// 2": lambda x: x // 2,
    "7 //": lambda x: 7 // x,
    "% 3": lambda x: x % 3,
    "100 %": lambda x: 100 % x,
    "/ 2": lambda x: x / 2,
    "* 0.5": lambda x: x * 0.5,
    "** 0.5": lambda x: abs(x) ** 0.5,
    "> 1": lambda x: x > 1,
    "== 100000": lambda x: x == 100000,
    "sum": np.sum,
    "sum, axis 0": lambda x: np.sum(x, 0),
    "mean": np.mean,
    "mean, axis 1": lambda x: np.mean(x, 1, keepdims=True),
    "max": np.max,
    "min, axis 0": lambda x: np.min(x, 0),
    "argmax": lambda x: np.argmax(x, 1),
    "var": np.var,
    "clip": lambda x: np.clip(x, 1, 3),
    "clip below": lambda x: np.clip(x, 2, None),
    "logical_not": np.logical_not,
    "where": lambda x: np.where(x > 1, x, 3),
    "& 5": lambda x: x & 5,
    "sqrt": lambda x: np.sqrt(abs(x)),
}

BINARY: dict[str, Function] = {
    "+": lambda x, y: x + y,
    "-": lambda x, y: x - y,
    "*": lambda x, y: x * y,
    "/": lambda x, y: x / y,
    "//": lambda x, y: x // y,
    "%": lambda x, y: x % y,
    "divmod": divmod,
    "np.divmod": np.divmod,
    "**": lambda x, y: x ** abs(y),
    "maximum": np.maximum,
    "minimum": np.minimum,
    "<": lambda x, y: x < y,
    "==": lambda x, y: x == y,
    "where": lambda x, y: np.where(x > y, x, y),
    "&": lambda x, y: x & y,
    "|": lambda x, y: x | y,
    "^": lambda x, y: x ^ y,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
}

# Powers and roots of floats are the kernels' own.
ROUNDED = {"**", "** 0.5", "** 3", "mean", "mean, axis 1", "var", "sqrt", "sum", "sum, axis 0"}


def drawn(rng: np.random.Generator, dtype: str) -> Any:
    if dtype == "bool":
        return rng.integers(0, 2, (3, 4)).astype(bool)
    if dtype in WHOLE:
        few, many = rng.integers(-5, 6, (3, 4)), rng.integers(-(2**31), 2**31, (3, 4))
        return np.where(rng.random((3, 4)) < 0.8, few, many).astype(np.int64).astype(dtype)
    return (rng.integers(-20, 20, (3, 4)) / 4.0).astype(dtype)


def same(found: Any, expected: Any, rounded: bool) -> None:
    assert np.asarray(found).dtype == np.asarray(expected).dtype
    if rounded and np.asarray(expected).dtype.kind == "f":
        assert_allclose(found, expected, rtol=1e-6 if np.asarray(expected).dtype == np.float32 else 1e-14)
    else:
        assert_array_equal(found, expected)


def check(f: Function, operands: tuple[Any, ...], rounded: bool) -> None:
    """A function has numpy's values and dtypes, or where it would be float16 or numpy refuses, an error."""
    with np.errstate(all="ignore"):
        try:
            expected = f(*operands)
            refuses = any(np.asarray(y).dtype == np.float16 for y in mm.tree.flatten(expected)[0])
        except (TypeError, ValueError, OverflowError):
            refuses = True
        ways = [mm.compile(f, enabled=False), mm.compile(f), mm.compile(f, passes=[p for p in PASSES if p != "fuse"])]
        if refuses:
            for way in ways:
                with pytest.raises((DtypeError, ValueError)):
                    way(*operands)
            return
        results = [way(*operands) for way in ways] + [interpret(trace(f, *operands), *operands)]
        stacked = [np.stack([x, x[::-1]]) for x in operands]
        two = [mm.vmap(f, enabled=enabled)(*stacked) for enabled in (True, False)]
        two.append(mm.compile(mm.vmap(f))(*stacked))
        results += [mm.tree.map(lambda y: y[0], y) for y in two]
        for found in results:
            for one, other in zip(mm.tree.flatten(found)[0], mm.tree.flatten(expected)[0], strict=True):
                same(one, other, rounded)


@pytest.mark.parametrize("name", UNARY)
@share(0.2)
@given(dtype=st.sampled_from(EVERY), seed=st.integers(0, 2**32 - 1))
def test_functions_of_one_are_numpys(name: str, dtype: str, seed: int) -> None:
    check(UNARY[name], (drawn(np.random.default_rng(seed), dtype),), name in ROUNDED)


@pytest.mark.parametrize("name", BINARY)
@share(0.4)
@given(dtypes=st.tuples(st.sampled_from(EVERY), st.sampled_from(EVERY)), seed=st.integers(0, 2**32 - 1))
def test_functions_of_two_are_numpys(name: str, dtypes: tuple[str, str], seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = (drawn(rng, dtype) for dtype in dtypes)
    check(BINARY[name], (x, y), name in ROUNDED)


def test_ufuncs_of_truth_values_have_numpys_dtypes() -> None:
    x = np.array([True, False])
    others = (x, 2, 0, True, 0.5)
    for ufunc in {each for each in vars(np).values() if isinstance(each, np.ufunc) and each.nin <= 2}:
        for operands in [(x,)] if ufunc.nin == 1 else [*((x, y) for y in others), *((y, x) for y in others)]:
            with np.errstate(all="ignore"):
                try:
                    expected = ufunc(*operands)
                except (TypeError, ValueError):  # It is not for truth values.
                    continue
                leaves = expected if isinstance(expected, tuple) else (expected,)
                if any(each.dtype == np.float16 for each in leaves):  # No kernel computes in it.
                    continue
                found = mm.compile(lambda a: ufunc(*[a if y is x else y for y in operands]), enabled=False)(x)  # noqa: B023
            for one, other in zip(found if isinstance(found, tuple) else (found,), leaves, strict=True):
                assert one.dtype == other.dtype, (ufunc, operands)
                assert_allclose(one, other, rtol=1e-14)


SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, 2.5, -2.5, 0.1, 1e30, 1e-30, np.inf, -np.inf, np.nan])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_quotients_and_rests_of_floats_are_numpys(dtype: str) -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([SPECIAL, rng.normal(size=40) * 10.0 ** rng.integers(-9, 9, 40)]).astype(dtype)
    x, y = (a.ravel() for a in np.meshgrid(values, values))
    with np.errstate(all="ignore"):
        for f in (np.floor_divide, np.remainder):
            found = mm.compile(f)(x, y)
            assert_array_equal(found, f(x, y))
            assert_array_equal(np.signbit(found)[~np.isnan(found)], np.signbit(f(x, y))[~np.isnan(found)])


@pytest.mark.parametrize("dtype", WHOLE)
def test_the_ends_of_the_range_wrap_around(dtype: str) -> None:
    info = np.iinfo(dtype)
    x = np.array([info.min, info.max, info.min + 1, 1, 0], dtype)
    y = np.array([info.max, info.max, 2, 3, 1], dtype)
    minus = np.full(5, -1).astype(dtype)
    for name in ("+", "-", "*", "//", "%", "maximum", "<", "==", "&", "^"):
        for other in (y, minus):
            check(BINARY[name], (x[:, None], other[:, None]), False)
    for name in ("-", "abs", "square", "~", "sign", "sum", "** 3"):
        check(UNARY[name], (x[:, None],), False)


def test_integers_to_negative_powers_are_refused() -> None:
    for f in (lambda n: n**-1, lambda n: 2**-n):
        for way in (mm.compile(f), mm.compile(f, enabled=False), mm.compile(mm.vmap(f))):
            with pytest.raises(ValueError, match="negative integer powers"):
                way(np.array([1, 2, 3]))


# What they are for


def test_an_accuracy_is_written_as_in_numpy() -> None:
    rng = np.random.default_rng(0)
    z, y = rng.normal(size=(6, 10, 3)), rng.integers(0, 3, (6, 10))
    f: Function = lambda z, y: np.mean(np.argmax(z, -1) == y)  # noqa: E731
    expected = f(z[0], y[0])
    ways: list[Function] = [mm.compile(f), mm.compile(f, enabled=False), lambda z, y: mm.vmap(f)(z[None], y[None])[0]]
    for way in ways:
        assert_array_equal(way(z[0], y[0]), expected)
    assert_allclose(mm.compile(mm.vmap(f))(z, y), [f(*task) for task in zip(z, y, strict=True)], rtol=1e-15)
    aux = mm.grad(lambda z: (mm.sum(z * z), np.mean(np.argmax(z, -1) == y[0])), has_aux=True)
    assert aux(z[0])[1] == mm.compile(aux)(z[0])[1] == expected


def test_masks_and_counters_beside_a_gradient() -> None:
    x, n = np.array([1.0, -2.0, 3.0]), 7

    def f(x: Any, n: Any) -> Any:
        mask = x > 0
        kept = np.sum(x * x * (1 - mask)) + np.sum(~mask & (x < 5)) + (mask * 2 - 2).sum()
        return kept + (n // 2) * x[n % 3] + mask.sum() * x[0] + np.mean(mask) * x[2] + x[-(n - 6)] ** (n - 5)

    # The rest is 4 + 3 x1 + 2 x0 + 2/3 x2 + x2**2: 1 - mask is [0, 1, 0].
    gradient = np.array([2.0, 2.0 * x[1] + 3.0, 2.0 / 3.0 + 2.0 * x[2]])
    for way in (mm.grad(f), mm.compile(mm.grad(f)), mm.compile(mm.grad(f), enabled=False)):
        assert_allclose(way(x, n), gradient, rtol=1e-15)


def test_python_numbers_adapt_and_stay_weak() -> None:
    assert mm.compile(lambda x, n: x * (n + 1))(np.ones(2, np.float32), 2).dtype == np.float32
    assert mm.compile(lambda x, n: x * (n / 2))(np.ones(2, np.float32), 2).dtype == np.float32
    assert mm.compile(lambda n: (n + 1) // 2)(6) == 3
    assert mm.compile(lambda n: n + 1)(6).dtype == np.int64


def ways(function: Function) -> list[Function]:
    """A function of an array and a number compiled, run eagerly, and compiled for this number."""
    return [
        mm.compile(function),
        mm.compile(function, enabled=False),
        lambda x, n: mm.compile(lambda x: function(x, n))(x),
    ]


@pytest.mark.parametrize(
    "function",
    [
        lambda x, n: x + n,
        lambda x, n: n - x,
        lambda x, n: x * (n + n - n),
        np.maximum,
        lambda x, n: x & n,
        np.full_like,
        lambda x, n: np.clip(x, n, n),
        lambda x, n: mm.at(x)[0].set(n),
        lambda x, n: mm.at(x)[0].add(n),
    ],
)
@pytest.mark.parametrize(("dtype", "n"), [("uint8", 300), ("int8", 128), ("uint64", -1), ("int32", 2**31)])
def test_a_python_integer_that_does_not_fit_never_wraps_around(function: Function, dtype: str, n: int) -> None:
    x = np.arange(1, 4).astype(dtype)
    for way in ways(function):
        with pytest.raises(OverflowError, match=f"Python integer -?[0-9]+ does not fit into {dtype}") as error:
            way(x, n)
        assert isinstance(error.value, DtypeError)
        assert way(x, 2).dtype == function(x, 2).dtype == dtype


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint32"])
@pytest.mark.parametrize("n", [-1, 40, 300])
def test_a_python_integer_that_does_not_fit_is_compared_and_bounds(dtype: str, n: int) -> None:
    def function(x: Any, n: Any) -> Any:
        bounded = np.clip(x, n, None) if n_is_low else np.clip(x, None, n)
        return x < n, n <= x, x == n, n != x, bounded

    n_is_low = n < 0
    x = np.array([0, 1, 40, 127]).astype(dtype)
    for way in ways(function):
        for found, expected in zip(way(x, n), function(x, n), strict=True):
            assert found.dtype == expected.dtype and found.tolist() == expected.tolist()


def test_the_remedy_of_an_integer_beyond_all_integers_is_a_float() -> None:
    for n, wide in (2**31, "uint32"), (2**64, "float64"):
        with pytest.raises(OverflowError, match=rf"as in y\.astype\(np\.{wide}\)"):
            mm.compile(lambda x, n=n: x + n)(np.ones(1, np.int8))


def test_a_python_integer_is_an_argument_up_to_64_bits() -> None:
    function = mm.compile(lambda x, n: x + n)
    assert function(np.ones(1, np.uint64), 1) == 2
    for n in 2**63, 2**64:
        with pytest.raises(OverflowError, match=f"argument '1' is the Python integer {n}, which does not fit"):
            function(np.ones(1, np.uint64), n)


@pytest.mark.parametrize("median", [np.median, lambda x, **_: np.percentile(x, 50, None, None, True)])
def test_a_permission_to_overwrite_is_not_used(median: Function) -> None:
    x = np.array([3, 1, 2])
    for enabled in True, False:
        found, after = mm.compile(lambda x: (median(x, overwrite_input=True), x + 0), enabled=enabled)(x)
        assert found == 2 and after.tolist() == x.tolist() == [3, 1, 2]


# Derivatives of what floats have


RESTS: list[Function] = [lambda x, y: x % y, lambda x, y: divmod(x, y)[1] * (x // y), lambda x, y: x % 0.7 + y]


@pytest.mark.parametrize("f", RESTS)
def test_the_rest_of_a_division_has_a_derivative(f: Function) -> None:
    x, y = np.array([5.3, -5.3, 0.2, 7.9]), np.array([2.1, 2.1, -0.7, -3.3])
    check_gradients(lambda x, y: mm.sum(mm.square(f(x, y))), x, y, order=2)


def test_the_quotients_derivative_is_0() -> None:
    assert_array_equal(mm.grad(lambda x: mm.sum(x // 2.0))(np.array([3.0, 4.0])), 0.0)
    assert mm.grad(lambda y: 7.0 % y)(2.0) == -3.0
    assert mm.grad(lambda x: x % 2.0)(4.0) == 1.0


@pytest.mark.parametrize("dtype", ["bool", "int8", "int64", "uint16"])
@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (mm.bitwise_and, np.bitwise_and),
        (mm.bitwise_or, np.bitwise_or),
        (mm.bitwise_xor, np.bitwise_xor),
        (mm.logical_xor, np.logical_xor),
        (lambda x, y: mm.bitwise_not(x), lambda x, y: np.bitwise_not(x)),
        (lambda x, y: mm.floor_divide(x, 1 + y % 3), lambda x, y: np.floor_divide(x, 1 + y % 3)),
        (lambda x, y: mm.remainder(x, 1 + y % 3), lambda x, y: np.remainder(x, 1 + y % 3)),
        (lambda x, y: mm.divmod(x, 1 + y % 3), lambda x, y: np.divmod(x, 1 + y % 3)),
    ],
    ids=["and", "or", "xor", "logical_xor", "not", "floor_divide", "remainder", "divmod"],
)
def test_public_functions_are_numpys(function: Function, expected: Function, dtype: str) -> None:
    x, y = drawn(np.random.default_rng(0), dtype), drawn(np.random.default_rng(1), dtype)
    for f in (function, mm.compile(function)):
        for found, right in zip(np.atleast_3d(f(x, y)), np.atleast_3d(expected(x, y)), strict=True):
            same(found, right, rounded=False)


def test_slopes_of_integers_are_one_array_for_each_axis() -> None:
    x = np.array([[3, 1, 4], [1, 5, 9]], np.uint8)
    for found, expected in zip(mm.compile(np.gradient)(x), np.gradient(x), strict=True):
        assert found.dtype == expected.dtype and found.tolist() == expected.tolist()
    assert type(mm.compile(np.gradient)(x)) is tuple


def test_a_dtype_that_a_function_has_no_loop_for_is_refused() -> None:
    x = np.arange(3, dtype=np.int32)
    for function in np.exp, np.sqrt, np.divide:
        with pytest.raises(TypeError, match="No loop"):
            function(*[x] * function.nin, dtype=np.int64)
        with pytest.raises(DtypeError, match=f"{function.__name__}.*dtype=int64.*No loop"):
            mm.compile(lambda x, function=function: function(*[x] * function.nin, dtype=np.int64))(x)
    with pytest.raises(DtypeError, match=r"equal.*dtype=float64.*No loop"):
        mm.compile(lambda x: np.equal(x, 2 * x, dtype=np.float64))(x / 2)
    for truth in np.equal, np.logical_and:
        found = mm.compile(lambda x, y, truth=truth: truth(x, y, dtype=bool))(x / 2, x)
        assert_array_equal(found, truth(x / 2, x))
    assert mm.compile(lambda x: np.add(x, x, dtype=np.float32))(x).dtype == np.float32
