"""Complex numbers on the way: numpy's values, and the derivatives of real functions through them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import minimeta as mm
from minimeta.autodiff.complex_numbers import ComplexArray
from minimeta.errors import DtypeError, ShapeError, TracingError
from minimeta.testing import check_gradients

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(2, 2, 3))
W = RNG.normal(size=(3,)) + 1j * RNG.normal(size=(3,))
M = RNG.normal(size=(3, 3)) - 0.5j

FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "add": lambda z: (z + W) + (2.0 + z) + (1j + z) + np.add(W, z),
    "subtract": lambda z: (W - z) - (z - 1.5j) + (1 - z),
    "multiply": lambda z: (z * z) * W * (2j * z) * np.float64(0.5),
    "divide": lambda z: z / W + W / z + z / 3.0 + 1 / z,
    "power": lambda z: z**3 + z**0 + z**-2 + np.square(z) + np.reciprocal(z),
    "exp": lambda z: np.exp(z) + np.exp(1j * z.real),
    "log and sqrt": lambda z: np.log(z) + np.sqrt(z) + z**0.3 + 2.0**z,
    "angle": lambda z: np.angle(z) + 1j * np.angle(z, deg=True),
    "sin and cos": lambda z: np.sin(z) * np.cos(z / 2),
    "conj": lambda z: np.conj(z) * z + z.conj() - (-z) + (+z),
    "products": lambda z: z @ M + (z.real @ M) + M[:2, :2] @ z + np.dot(z, M.real),
    "vdot": lambda z: np.vdot(z, z * W) * np.ones(1),
    "outer": lambda z: np.outer(z[0], z[1] * W),
    "sums": lambda z: np.sum(z, axis=0, keepdims=True) * np.mean(z, 1)[:, None] + z.sum() - z.mean(),
    "moves": lambda z: np.flip(z.T, 0).reshape(2, 3) + z[::-1] + np.transpose(z).mT + np.roll(z, 1, axis=1),
    "joins": lambda z: np.concatenate([z, W[None] * z, np.ones((1, 3))]) + np.stack([z[0]] * 5),
    "where": lambda z: np.where(X > 0, z, W),
    "equal": lambda z: np.where(z == +z, z, 0) * np.where(z != z + 0, 2.0, 3.0),
    "pad": lambda z: np.pad(z, ((0, 1), (2, 0))) * 2.0,
    "pad with a number": lambda z: np.pad(z, 1, constant_values=3.0) + np.pad(z, 1, constant_values=(2j, 1.0)),
    "ramp": lambda z: np.pad(z, 1, mode="linear_ramp", end_values=2.0),
    "append a number": lambda z: np.append(z, 2.0) * np.append(z, 1j) - np.append(z.real, z[0, 0]),
    "differences": lambda z: np.diff(z, 1, 1, prepend=1.0) + np.diff(z, prepend=1j) + np.gradient(z)[0],
    "sum from a number": lambda z: np.sum(z, 1, initial=1.0) * np.sum(z, initial=2j) + np.trapezoid(z, [0.0, 1.0, 3.0]),
    "insert": lambda z: np.insert(z, [1], np.array([[5.0], [2j]]), axis=1) + np.ediff1d(z, 1.0, 1j)[:4],
    "truth": lambda z: np.where(z * (X > 0), z, 2.0),
    "powers of a number": lambda z: (-2.0) ** z + 0.5**z + z.real**z,
    "hyperbolic": lambda z: np.sinh(z) + np.cosh(z) * np.tanh(z) + np.tan(z) + np.log2(z) * np.log10(z),
    "einsum": lambda z: np.einsum("ij,kj,k->i", z, W * z, z[:, 0]) + np.einsum("ij->i", 1j * z.real),
    "norms": lambda z: np.array([2j]) * np.linalg.norm(z) + np.linalg.norm(z, 1, axis=1) + np.linalg.norm(z, np.inf),
    "row norms": lambda z: np.linalg.norm(z, axis=1, keepdims=True) * z + np.linalg.norm(z, "fro", (0, 1)),
    "spread": lambda z: np.std(z, 0) * z + np.var(z, ddof=1) + z.std(1, keepdims=True),
    "conversions": lambda z: z.real.astype(complex) * z.astype(np.complex128) + np.zeros_like(z) + np.ones_like(z),
    "methods": lambda z: z.flatten().reshape(3, 2, order="F") @ np.diag(z.diagonal()) + z.T.copy() + z.take([0], 1)[0],
    "truths": lambda z: (
        z * (z.any() + np.all(z, 1)[:, None] + np.count_nonzero(z) + np.isfinite(z) + np.allclose(z, z))
    ),
    "keywords": lambda z: (
        np.add(z, W, casting="safe", order="K") * np.multiply(z, 2.0, dtype=np.complex128, where=True)
    ),
    "forms": lambda z: z * (z.ndim + z.size + len(z) + np.shape(z)[1]),
}


def through(function: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    """A real function that goes through complex numbers."""

    def real(x: Any, y: Any) -> Any:
        z = function(x + 1j * y)
        return np.real(z) + 0.7 * np.imag(z)

    return real


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_are_numpys_and_derivatives_right(name: str) -> None:
    function = through(FUNCTIONS[name])
    expected = function(X, Y)
    assert_allclose(mm.vjp(function, X, Y)[0], expected, rtol=1e-13, atol=1e-13)
    assert_allclose(mm.compile(function)(X, Y), mm.vjp(function, X, Y)[0], rtol=0, atol=0)
    assert mm.vjp(through(lambda z: z * 2j), X.astype(np.float32), Y.astype(np.float32))[0].dtype == np.float32
    check_gradients(function, X, Y, order=1)


def test_a_magnitude_is_smooth_where_it_is_squared() -> None:
    def size(x: Any) -> Any:
        return np.abs(x * (1 + 1j))

    assert_allclose(size(X), mm.vjp(size, X)[0])
    assert_array_equal(mm.grad(size)(0.0), 0.0)
    assert_allclose(mm.grad(mm.grad(lambda x: size(x) ** 2))(0.0), 4.0)


def test_complex_numbers_leave_as_a_pair() -> None:
    found = mm.compile(lambda x: x * 1j)(X)
    assert isinstance(found, ComplexArray) and found.dtype == np.complex128
    assert_array_equal(np.asarray(found), X * 1j)
    assert mm.compile(lambda x: x * 1j)(X.astype(np.float32)).dtype == np.complex64


def test_derivatives_with_respect_to_complex_numbers_are_those_to_their_parts() -> None:
    with pytest.raises(DtypeError, match=r"of complex numbers: pass their parts.*dx - 1j \* dy"):
        mm.grad(lambda z: np.sum(np.abs(z)))(X + 1j * Y)
    # d|z|^2 = 2 x dx + 2 y dy, which is 2 conj(z) in the usual convention.
    dx, dy = mm.grad(lambda x, y: np.sum(np.abs(x + 1j * y) ** 2), (0, 1))(X, Y)
    assert_allclose(dx - 1j * dy, 2 * np.conj(X + 1j * Y))


def test_an_in_place_operator_is_numpys_or_refused() -> None:
    def alone(z: Any) -> Any:
        z = z * 1.0
        z += 1j
        z *= z
        w = np.exp(z.real - 3.0)
        z *= np.conj(z)
        z /= w
        rows = [z / W, z]
        rows[0] -= 2.0
        row = z[1].copy()
        row += z[0]
        rows[1] = rows[1] + row
        return rows[0] + rows[1]

    assert_allclose(mm.vjp(through(alone), X, Y)[0], through(alone)(X, Y), rtol=1e-13)

    def seen(z: Any) -> Any:
        y = z
        y *= 2.0
        return z

    def of_the_caller(z: Any) -> Any:
        return seen(z) + z

    def row(z: Any) -> Any:
        z = z * 1.0
        v = z[0]
        v *= 2.0
        return z

    def row_of_changed(z: Any) -> Any:
        z = z * 1.0
        v = z[0]
        z *= 2.0
        return z + v

    def real_part(z: Any) -> Any:
        z = z * 1.0
        x = z.real
        z *= 2.0
        return z + x

    def by_its_own_part(z: Any) -> Any:
        z = z * 1.0
        x = z.real[::-1]
        z *= x
        return z + x

    def listed(z: Any) -> Any:
        z = z * 1.0
        flat = [z.T, z.reshape(-1)]
        flat[1] *= 2.0
        return z

    def grown(z: Any) -> Any:
        z = z * 1.0
        z += np.ones((2, 1, 1))
        return z

    for function in (seen, of_the_caller, row, row_of_changed, real_part, by_its_own_part, listed):
        with pytest.raises(TracingError, match=r"z \*= ... of complex numbers of shape \(.*\): they are held by"):
            mm.vjp(through(function), X, Y)
    with pytest.raises(ShapeError, match=r"z \+= ... of shape \(2, 3\): the result, of shape \(2, 2, 3\)"):
        mm.vjp(through(grown), X, Y)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: np.prod(x * 1j), TracingError, "np.prod of complex numbers is not supported.*z.real and z.imag"),
        (
            lambda x: np.trapezoid(x, x * 1j),
            TracingError,
            "np.trapezoid of complex numbers takes them as elements alone",
        ),
        (lambda x: np.pad(x * 1j, 1, "maximum"), DtypeError, "mode='maximum'.*no order"),
        (lambda x: np.add(x * 1j, x, out=np.zeros(3, complex)), TracingError, "write t = t . z"),
        (lambda x: np.sort(x * 1j), DtypeError, r"np.sort of complex numbers: .*no order; compare z.real"),
        (lambda x: x < x * 1j, DtypeError, "np.less of complex numbers: .*no order"),
        (lambda x: x * 1j < 2.0, DtypeError, "z < w: complex numbers have no order"),
        (lambda x: (x * 1j).__setitem__(0, 1.0), TracingError, r"never written to. Write z = np.where\(mask, w, z\)"),
        (lambda x: float(x[0, 0] * 1j), DtypeError, "float.. of a complex number: write z.real"),
        (lambda x: (x * 1j).view(), AttributeError, r"shape \(2, 3\) have no attribute 'view': .*no memory"),
        (lambda x: (x * 1j).argmax(), AttributeError, "no attribute 'argmax': take z.real and z.imag"),
        (lambda x: (x * 1j).astype(np.float32), DtypeError, "to float32: write z.real"),
        (lambda x: np.add(x * 1j, x, order="F"), TracingError, "lie in order 'C'; drop order="),
        (lambda x: np.exp(x * 1j, dtype=float), DtypeError, r"dtype=float64.*complex128"),
        (lambda x: np.linalg.norm(x * 1j, "nuc"), TracingError, "needs their singular values"),
        (lambda x: len(x[0, 0] * 1j), ShapeError, "no axis to count"),
        (lambda x: mm.exp(x * 1j), DtypeError, "numpy's functions take them"),
        (lambda x: x * 1j, ShapeError, "grad of a function that returns a ComplexArray"),
    ],
)
def test_what_is_refused(call: Callable[..., Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        mm.grad(call)(X)
