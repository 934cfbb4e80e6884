"""Fourier transforms of every way that a length takes, against numpy's in more digits."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

import minimeta as mm
from minimeta import kernels

# Of each factor, of a prime that has no stage, split in two lengths, and both.
LENGTHS = (1, 2, 8, 35, 97, 143, 256, 343, 1000, 1001, 2048, 5003, 30030)
FLOATS = (np.float32, np.float64)
WIDE = {np.float32: np.complex128, np.float64: np.clongdouble}


def numbers(pairs: NDArray[Any], dtype: Any) -> Any:
    return pairs[..., 0].astype(dtype) + 1j * pairs[..., 1].astype(dtype)


def assert_near(pairs: NDArray[Any], expected: Any, n: int) -> None:
    """The error of a stage is some roundings of the largest number."""
    found = pairs.astype(expected.dtype) if expected.dtype.kind == "f" else numbers(pairs, expected.dtype)
    error, largest = (np.max(np.abs(x), initial=0.0) for x in (found - expected, expected))
    assert error <= np.finfo(pairs.dtype).eps * (1 + np.log2(n)) * largest


def calls(native: Any, dtype: Any, n: int, batch: tuple[int, ...]) -> list[tuple[Any, Any]]:
    """What the transforms of random numbers are, and what they should be."""
    rng, wide = np.random.default_rng(n), WIDE[dtype]
    x, z, half = (rng.normal(size=(*batch, *shape)).astype(dtype) for shape in ((n,), (n, 2), (n // 2 + 1, 2)))
    axes = (len(batch),)
    return [
        (native.fourier(z, axes=axes, inverse=False), np.fft.fft(numbers(z, wide))),
        (native.fourier(z, axes=axes, inverse=True), np.fft.ifft(numbers(z, wide), norm="forward")),
        (native.of_real(x), np.fft.rfft(x.astype(wide).real)),
        (native.to_real(half, n=n), np.fft.irfft(numbers(half, wide), n, norm="forward")),
    ]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("n", LENGTHS)
def test_long_transforms(native: Any, dtype: Any, n: int) -> None:
    for found, expected in calls(native, dtype, n, ()):
        assert_near(found, expected, n)


@given(dtype=st.sampled_from(FLOATS), n=st.integers(1, 300), batch=st.sampled_from([(), (3,), (0,), (2, 9)]))
def test_transforms(native: Any, dtype: Any, n: int, batch: tuple[int, ...]) -> None:
    for found, expected in calls(native, dtype, n, batch):
        assert_near(found, expected, n)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("n", LENGTHS)
def test_bits_are_those_of_one_signal_on_one_thread_and_of_each_level(dtype: Any, n: int) -> None:
    rng = np.random.default_rng(n)
    x, before = rng.normal(size=(19, n)).astype(dtype), mm.get_num_threads()
    first, *others = (kernels.load(level) for level in kernels.built())
    assert first is not None
    try:
        first.set_num_threads(2)
        spectrum = first.of_real(x)
        signal = first.to_real(spectrum, n=n)
        first.set_num_threads(1)
        for native in (first, *others):
            assert native is not None
            assert_array_equal(np.stack([native.of_real(row) for row in x[::9]]), spectrum[::9])
            assert_array_equal(np.stack([native.to_real(row, n=n) for row in spectrum[::9]]), signal[::9])
    finally:
        first.set_num_threads(before)


@pytest.mark.parametrize("n", LENGTHS)
def test_what_is_not_finite_stays_in_its_signal(native: Any, n: int) -> None:
    x = np.random.default_rng(n).normal(size=(19, n))
    expected, expected_signal = native.of_real(x), native.to_real(native.of_real(x), n=n)
    for value in (np.nan, np.inf):
        spoilt = x.copy()
        spoilt[7, n // 2] = value
        with np.errstate(invalid="ignore"):
            found = native.of_real(spoilt)
            signal = native.to_real(found, n=n)
        for y, clean in ((found, expected), (signal, expected_signal)):
            assert not np.isfinite(y[7]).all()
            assert_array_equal(np.delete(y, 7, 0), np.delete(clean, 7, 0))


@pytest.mark.parametrize(
    ("name", "shape", "arguments"),
    [
        ("fourier", (4, 3), {"axes": (0,), "inverse": False}),
        ("fourier", (4, 2), {"axes": (1,), "inverse": False}),
        ("fourier", (0, 2), {"axes": (0,), "inverse": False}),
        ("of_real", (0,), {}),
        ("of_real", (), {}),
        ("to_real", (4, 2), {"n": 5}),
        ("to_real", (4, 2), {"n": 0}),
    ],
)
def test_what_does_not_fit_is_refused(native: Any, name: str, shape: tuple[int, ...], arguments: Any) -> None:
    with pytest.raises(ValueError, match=r"axis|pairs|elements"):
        getattr(native, name)(np.zeros(shape), **arguments)


def test_whole_numbers_are_refused(native: Any) -> None:
    with pytest.raises(TypeError, match="float"):
        native.of_real(np.zeros(4, np.int64))
