"""numpy.fft of Arrays: the values are numpy's, and derivatives of any order those of linear maps."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import minimeta as mm
from minimeta.errors import ConfigurationError, DtypeError, ShapeError
from minimeta.testing import check_gradients

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 4, 5))
WEIGHTS = RNG.normal(size=200)

OF_REAL = ("fft", "ifft", "rfft", "ihfft", "fft2", "ifft2", "fftn", "ifftn", "rfft2", "rfftn", "fftshift", "ifftshift")
TO_REAL = ("irfft", "hfft", "irfft2", "irfftn")
OPTIONS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in (*OF_REAL, *TO_REAL)),
    *(
        (name, {"n": n, "axis": 1, "norm": "ortho"})
        for name in ("fft", "ifft", "rfft", "irfft", "hfft")
        for n in (3, 6)
    ),
    *((name, {"s": (2, 6), "axes": (0, 2), "norm": "forward"}) for name in ("fftn", "rfftn", "irfftn", "ifft2")),
    ("ihfft", {"norm": "forward"}),
    ("irfft", {"n": 1}),
    ("fftn", {"axes": (1,)}),
    ("fftshift", {"axes": 1}),
]


def numbers(z: Any) -> Any:
    """The parts of complex numbers as real ones, one after the other."""
    return np.concatenate([np.ravel(np.real(z)), np.ravel(np.imag(z))])


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_values_are_numpys(name: str, options: dict[str, Any]) -> None:
    transform = getattr(np.fft, name)

    def function(x: Any) -> Any:
        return numbers(transform(x * (1.0 + 2.0j) if name in TO_REAL else x, **options))

    expected = function(X)
    found, pullback = mm.vjp(function, X)
    assert_allclose(found, expected, rtol=1e-13, atol=1e-13)
    assert_array_equal(mm.compile(function)(X), found)
    assert mm.vjp(function, X.astype(np.float32))[0].dtype == np.float32
    # The map is linear, so that <g, F u> = <F^T g, u>.
    g = WEIGHTS[: expected.size] if expected.size <= 200 else RNG.normal(size=expected.size)
    u = RNG.normal(size=X.shape)
    assert_allclose(np.sum(pullback(g)[0] * u), np.sum(g * function(u)), rtol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 5, 6])
def test_what_goes_through_frequencies_is_checked_to_second_order(n: int) -> None:
    def filtered(x: Any) -> Any:
        y = np.fft.rfft(x)
        return np.fft.irfft(y * np.exp(-1j * np.arange(n // 2 + 1)) + np.abs(y) ** 2, n)

    assert check_gradients(filtered, X.ravel()[:n]).oracle == "complex step"
    gradient = mm.grad(lambda x: mm.sum(mm.sin(filtered(x))))
    batch = X.ravel()[: 3 * n].reshape(3, n)
    assert_array_equal(mm.compile(mm.vmap(gradient))(batch), np.stack([gradient(x) for x in batch]))


def test_energy_is_the_same_in_time_and_in_frequency() -> None:
    x = X[0, 0]
    energy = mm.grad(lambda x: mm.sum(np.abs(np.fft.fft(x, norm="ortho")) ** 2))
    assert_allclose(energy(x), 2 * x, rtol=1e-14)
    assert_allclose(mm.jacobian(energy)(x), 2 * np.eye(5), atol=1e-14)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: mm.fft.fft(x, norm="wide"), ConfigurationError, "norm='wide' is none of backward, ortho, forward"),
        (lambda x: np.fft.rfft(x, 0), ShapeError, r"rfft of shape .*: n=0 along axis 2 must be positive"),
        (lambda x: np.fft.fft(x, 0), ShapeError, "fft: n=0 must be positive"),
        (lambda x: np.fft.ifft(x, -1), ShapeError, "ifft: n=-1 must be positive"),
        (lambda x: np.fft.rfft(x * 1j), DtypeError, "rfft of complex numbers: it transforms a real signal"),
        (lambda x: np.fft.irfft(x, 0), ShapeError, "n=0 must be positive"),
        (lambda x: np.fft.fftn(x, (1, 2), (0,)), ShapeError, "has not one side for each of the axes"),
        (lambda x: np.fft.fft(x, axis=3), ShapeError, "axis 3 of an array of 3 axes"),
    ],
)
def test_what_is_refused(call: Callable[..., Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        mm.vjp(lambda x: numbers(call(x)), X)
