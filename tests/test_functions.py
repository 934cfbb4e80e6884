"""The elementary functions against 80-bit arithmetic, in units in the last place (ulp), and their exact promises."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mpmath  # type: ignore[import-untyped]
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

import minimeta as mm

Array = NDArray[Any]
Wide = np.longdouble

inf, nan = np.inf, np.nan


def sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1, e) / (1 + e))


def softplus(x: Array) -> Array:
    return np.asarray(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))))


def sigmoid_slope(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.asarray(e / (1 + e) ** 2)


def tanh_slope(x: Array) -> Array:
    return np.asarray(4 * sigmoid_slope(2 * x))


FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    name: getattr(np, name) for name in ("exp", "expm1", "log", "log1p", "tanh", "sin", "cos", "tan")
} | {"sigmoid": sigmoid, "softplus": softplus}
ODD = ("tanh", "sin", "tan")
PERIODIC = ("sin", "cos", "tan")
BITS: dict[str, type[np.unsignedinteger[Any]]] = {"float32": np.uint32, "float64": np.uint64}

wide_enough = pytest.mark.skipif(np.finfo(Wide).nmant < 63, reason="long double is no wider than double here")


def compute(native: Any, name: str, x: Array) -> Array:
    return np.asarray(getattr(native, name)(x))


def every_exponent(dtype: str, count: int) -> Array:
    """Both signs of every exponent with the smallest, the largest and random fractions."""
    info, word = np.finfo(dtype), BITS[dtype]
    exponents = np.arange(2**info.nexp, dtype=word)[:, None] << word(info.nmant)
    fractions = np.random.default_rng(0).integers(0, 2**info.nmant, (exponents.size, count), dtype=word)
    fractions[:, 0], fractions[:, 1] = 0, 2**info.nmant - 1
    words = (exponents | fractions).reshape(-1)
    return np.concatenate([words, words | word(1 << (info.bits - 1))]).view(dtype)


def neighbours(points: Array, dtype: str, reach: int) -> Array:
    """The floats next to each positive point, and their negatives."""
    near = points.astype(dtype).view(BITS[dtype])[:, None].astype(np.int64) + np.arange(-reach, reach + 1)
    found = near.reshape(-1).astype(BITS[dtype]).view(dtype)
    return np.concatenate([found, -found])


def arguments(name: str, dtype: str) -> Array:
    """Where an error could hide: all magnitudes, the usual ones densely, and where one formula follows another."""
    log_2, half_pi = np.log(2), np.pi / 2
    boundaries = [
        (np.arange(160) + 0.5) * log_2,  # the exponential's intervals
        np.arange(1, 160) * log_2,
        2.0 ** np.arange(-30, 60) * np.sqrt(0.5),  # the logarithm's
        2.0 ** np.arange(-60, 60),
        np.arange(1, 400) * half_pi / 2,  # multiples of pi/4: zeros, and changes of the quadrant
        2.0**30 + np.arange(-20, 20) * half_pi,  # where the reduction by table begins
        [88.72284, 103.27893, 103.97208, 17.32868, 709.782712893384, 745.1332191019412, 36.7368],
    ]
    span = 760 if dtype == "float64" else 110
    count = 1024 if dtype == "float32" else 128
    return np.concatenate(
        [
            every_exponent(dtype, count),
            np.linspace(-span, span, 400_001).astype(dtype),
            np.linspace(-3, 3, 200_001).astype(dtype),
            neighbours(np.concatenate(boundaries), dtype, 150),
        ]
    )


def error_in_ulp(result: Array, exact: Array) -> Array:
    """The distance to the exact value in units of the last place of the result's type there; special values exactly."""
    info = np.finfo(result.dtype)
    rounded = exact.astype(result.dtype)
    exponent = np.maximum(np.frexp(np.where(np.isfinite(exact), exact, 1))[1] - 1, info.minexp)
    error = np.abs(result.astype(Wide) - exact) / np.ldexp(Wide(1), exponent - info.nmant)
    special = ~np.isfinite(rounded) | ~np.isfinite(exact)
    same = (result == rounded) | (np.isnan(result) & np.isnan(rounded))
    return np.asarray(np.where(special, np.where(same, 0, inf), error))


@wide_enough
@pytest.mark.parametrize("dtype", BITS)
def test_error_of_the_error_function(native: Any, dtype: str) -> None:
    points = [np.linspace(-6.5, 6.5, 2001), np.geomspace(1e-30, 1.0, 200), neighbours(np.ones(1), dtype, 50)]
    x = np.concatenate(points).astype(dtype)
    with mpmath.workdps(25):
        exact = np.array([Wide(mpmath.nstr(mpmath.erf(mpmath.mpf(float(each))), 25)) for each in x])
    error = error_in_ulp(compute(native, "erf", x), exact)
    worst = int(np.argmax(error))
    assert error[worst] <= 1.2, f"erf({x[worst]!r}) is {error[worst]:.3f} ulp off"
    edges = compute(native, "erf", np.array([-0.0, inf, -inf, nan], dtype))
    assert_array_equal(edges, [-0.0, 1.0, -1.0, nan])
    assert np.signbit(edges[0])


@wide_enough
@pytest.mark.parametrize("dtype", BITS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_error_over_all_magnitudes(native: Any, name: str, dtype: str) -> None:
    x = arguments(name, dtype)
    if name in PERIODIC and dtype == "float64":
        x = x[~(np.abs(x) > 1e5)]  # beyond, 80 bits do not hold the reduced argument to the digits that are compared
    with np.errstate(all="ignore"):
        exact = FUNCTIONS[name](x.astype(Wide))
        error = error_in_ulp(compute(native, name, x), exact)
    worst = int(np.argmax(error))
    assert error[worst] <= 1.2, f"{name}({x[worst]!r}) is {error[worst]:.3f} ulp off"


@pytest.mark.parametrize("name", PERIODIC)
def test_periodic_functions_of_large_doubles(native: Any, name: str) -> None:
    mpmath = pytest.importorskip("mpmath")
    x = every_exponent("float64", 4)
    x = np.concatenate([x[(np.abs(x) > 1e4) & np.isfinite(x)], [6381956970095103 * 2.0**797]])  # nearest to pi/2 of all
    with mpmath.workprec(1200):
        exact = [getattr(mpmath, name)(mpmath.mpf(float(v))) for v in x]
        high = np.array([float(e) for e in exact], Wide)
        exact_wide = high + np.array([float(e - float(e)) for e in exact], Wide)
    error = error_in_ulp(compute(native, name, x), exact_wide)
    assert error.max() <= 1.2


SPECIAL = {
    "exp": [(0.0, 1.0), (-0.0, 1.0), (inf, inf), (-inf, 0.0)],
    "expm1": [(0.0, 0.0), (-0.0, -0.0), (inf, inf), (-inf, -1.0)],
    "log": [(0.0, -inf), (-0.0, -inf), (1.0, 0.0), (inf, inf), (-1.0, nan), (-inf, nan)],
    "log1p": [(0.0, 0.0), (-0.0, -0.0), (-1.0, -inf), (inf, inf), (-2.0, nan), (-inf, nan)],
    "tanh": [(0.0, 0.0), (-0.0, -0.0), (inf, 1.0), (-inf, -1.0), (100.0, 1.0)],
    "sigmoid": [(0.0, 0.5), (-0.0, 0.5), (inf, 1.0), (-inf, 0.0), (1000.0, 1.0), (-1000.0, 0.0)],
    "softplus": [(inf, inf), (-inf, 0.0), (1000.0, 1000.0), (-1000.0, 0.0)],
    "sin": [(0.0, 0.0), (-0.0, -0.0), (inf, nan), (-inf, nan)],
    "cos": [(0.0, 1.0), (-0.0, 1.0), (inf, nan), (-inf, nan)],
    "tan": [(0.0, 0.0), (-0.0, -0.0), (inf, nan), (-inf, nan)],
}


@pytest.mark.parametrize("dtype", BITS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_special_values(native: Any, name: str, dtype: str) -> None:
    given_values, expected = (np.array(column, dtype) for column in zip(*SPECIAL[name], (nan, nan), strict=True))
    result = compute(native, name, given_values)
    assert_array_equal(result, expected, strict=True)
    numbers = ~np.isnan(expected)
    assert_array_equal(np.signbit(result[numbers]), np.signbit(expected[numbers]))


@pytest.mark.parametrize("dtype", BITS)
@pytest.mark.parametrize("name", ["expm1", "log1p", *ODD])
def test_the_smallest_numbers_are_their_own_values(native: Any, name: str, dtype: str) -> None:
    info = np.finfo(dtype)
    x = np.array([info.smallest_subnormal, 3 * info.smallest_subnormal, info.tiny / 2, info.tiny], dtype)
    assert_array_equal(compute(native, name, np.concatenate([x, -x])), np.concatenate([x, -x]), strict=True)


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("dtype", BITS)
def test_odd_functions_are_odd_in_every_bit(native: Any, name: str, dtype: str) -> None:
    x = every_exponent(dtype, 64)
    x = x[np.isfinite(x)]
    assert_array_equal(compute(native, name, -x), -compute(native, name, x), strict=True)


@pytest.mark.parametrize(
    ("name", "dtype", "threshold"),
    [
        ("exp", "float32", 88.72284),
        ("expm1", "float32", 88.72284),
        ("exp", "float64", 709.782712893384),
        ("expm1", "float64", 709.782712893384),
        ("exp", "float32", -103.97208),
        ("exp", "float64", -745.1332191019412),
        ("sigmoid", "float32", -103.97208),
        ("softplus", "float32", -103.97208),
        ("expm1", "float32", -17.32868),
        ("tanh", "float32", 9.010913),
    ],
)
def test_a_saturating_function_never_turns_back(native: Any, name: str, dtype: str, threshold: float) -> None:
    point = np.array([abs(threshold)])
    x = np.sort(neighbours(point, dtype, 2000))
    x = x[np.sign(x) == np.sign(threshold)]
    result = compute(native, name, x)
    assert (result[1:] >= result[:-1]).all()


def test_the_exponential_overflows_where_it_should(native: Any) -> None:
    for dtype in (np.float32, np.float64):
        last = np.log(Wide(np.finfo(dtype).max))
        below = dtype(last) if Wide(dtype(last)) <= last else np.nextafter(dtype(last), dtype(0))
        x = np.array([below, np.nextafter(below, dtype(inf))])
        for name in ("exp", "expm1"):
            assert_array_equal(np.isinf(compute(native, name, x)), [False, True])


@pytest.mark.parametrize("name", FUNCTIONS)
@given(
    value=st.one_of(st.floats(width=32), st.floats(-20, 20, width=32), st.floats(2.0**30, 2.0**60, width=32)),
    dtype=st.sampled_from(list(BITS)),
    size=st.integers(1, 70),
    step=st.integers(-3, 3),
    data=st.data(),
)
def test_a_result_does_not_depend_on_where_its_element_is(
    native: Any, name: str, value: float, dtype: str, size: int, step: int, data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, size - 1))
    others = np.random.default_rng(size).normal(size=size * max(abs(step), 1)) * 10.0 ** (size % 37)
    if step == 0:
        x = np.broadcast_to(np.array([value], dtype), (size,))
    else:
        x = others.astype(dtype)[::step]
        x[index] = value
    alone, among = compute(native, name, np.array(value, dtype)), compute(native, name, x)[index]
    assert alone.tobytes() == among.tobytes() or (np.isnan(alone) and np.isnan(among))


def test_the_constants_are_those_that_the_script_writes() -> None:
    pytest.importorskip("mpmath")
    sources = Path(__file__).parents[1] / "csrc"
    script = [sys.executable, str(sources / "fit_coefficients.py")]
    written = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    assert written == (sources / "coefficients.hpp").read_text()


@wide_enough
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("slope", [sigmoid_slope, tanh_slope])
def test_slopes_have_all_their_digits(native: Any, slope: Callable[[Array], Array], dtype: str) -> None:
    info = np.finfo(dtype)
    x = np.concatenate([arguments("exp", dtype), np.linspace(-760, 760, 100_001).astype(dtype)])
    with np.errstate(all="ignore"):
        exact = slope(x.astype(Wide))
        found = getattr(native, slope.__name__)(x, np.ones_like(x))
        unit = np.maximum(np.spacing(np.abs(exact).astype(dtype)), info.smallest_subnormal)
        error = np.abs(found - exact) / unit
    assert_array_equal(np.isnan(found), np.isnan(x))
    assert np.max(error[~np.isnan(x)]) <= 5


@pytest.mark.parametrize(("x", "right"), [(17, 4.1399375473943e-08), (20, 2.0611536181902037e-09), (100, 3.720076e-44)])
def test_the_slope_of_sigmoid_where_the_result_is_one(native: Any, x: float, right: float) -> None:
    for sign in (-1, 1):
        found = native.sigmoid_slope(np.array(sign * x, "f4"), np.array(1, "f4"))
        assert found == pytest.approx(right, rel=1e-6, abs=1e-45)
        half = native.tanh_slope(np.array(sign * x / 2, "f4"), np.array(0.25, "f4"))
        assert half == pytest.approx(right, rel=1e-6, abs=1e-45)


@wide_enough
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_three_derivatives_of_sigmoid_and_tanh_have_all_their_digits(name: str, dtype: str) -> None:
    info = np.finfo(dtype)
    span = -np.log(float(info.smallest_subnormal))
    ours: Any = getattr(mm, name)
    x = np.concatenate([np.linspace(-span, span, 201), np.linspace(-3, 3, 101), [1e-10, 9, 17, 20]]).astype(dtype)
    scale = 2 if name == "tanh" else 1  # tanh x = 2 sigmoid(2x) - 1
    wide = scale * x.astype(Wide)
    first, turn = sigmoid_slope(wide), -np.tanh(wide / 2)
    exact = [scale**2 * first, scale**3 * first * turn, scale**4 * first * (1 - 6 * first)]
    for order, derivative in enumerate(exact):
        ours = mm.grad(lambda x, f=ours: mm.sum(f(x)))
        # The third is 0 where 6 sigmoid' is 1: there its digits are those of the second.
        size = scale**4 * first if order == 2 else derivative
        unit = np.maximum(np.spacing(np.abs(size).astype(dtype)), info.smallest_subnormal)
        for function in (ours, mm.compile(ours), mm.compile(mm.vmap(ours)), mm.compile(ours, enabled=False)):
            assert np.max(np.abs(function(x) - derivative) / unit) <= 8
