"""Programs of linear algebra, written as a user would in plain numpy, against closed forms and mpmath.

Each has its gradient by a formula of its own field, its second order by the gradient checker, and the same bits when
it is compiled.
"""

from collections.abc import Callable
from typing import Any

import mpmath  # type: ignore[import-untyped]
import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

import minimeta as mm
from minimeta.testing import check_gradients

Floats = NDArray[Any]


def assert_compiled_is_eager(function: Callable[..., Any], *operands: Any) -> None:
    for eager, compiled in zip(function(*operands), mm.compile(function)(*operands), strict=True):
        assert_array_equal(eager, compiled)


# The marginal likelihood of a Gaussian process (Rasmussen and Williams 2006, equations 2.30 and 5.9)

INPUTS = np.linspace(-2.0, 2.0, 7)
TARGETS = np.sin(3 * INPUTS) + 0.1 * np.cos(11 * INPUTS)
SQUARES = (INPUTS[:, None] - INPUTS) ** 2


def covariance(p: Any) -> Any:
    return np.exp(p[0] - 0.5 * SQUARES * np.exp(-2 * p[1])) + np.exp(p[2]) * np.eye(7)


def by_factor(p: Any) -> Any:
    factor = np.linalg.cholesky(covariance(p))
    white = np.linalg.solve(factor, TARGETS)
    return -0.5 * white @ white - np.sum(np.log(np.diagonal(factor))) - 3.5 * np.log(2 * np.pi)


def by_determinant(p: Any) -> Any:
    k = covariance(p)
    sign, logarithm = np.linalg.slogdet(k)
    return -0.5 * TARGETS @ np.linalg.inv(k) @ TARGETS - 0.5 * sign * logarithm - 3.5 * np.log(2 * np.pi)


def test_marginal_likelihood_of_a_gaussian_process() -> None:
    p = np.array([0.3, -0.4, -2.0])
    k = covariance(p)
    weights = np.linalg.solve(k, TARGETS)
    signal = k - np.exp(p[2]) * np.eye(7)
    slopes = [signal, signal * SQUARES * np.exp(-2 * p[1]), np.exp(p[2]) * np.eye(7)]
    expected = [0.5 * np.trace((np.outer(weights, weights) - np.linalg.inv(k)) @ slope) for slope in slopes]
    for likelihood in (by_factor, by_determinant):
        assert_allclose(mm.grad(likelihood)(p), expected, rtol=1e-11)
        assert check_gradients(likelihood, p).oracle == "complex step"
        assert_compiled_is_eager(mm.value_and_grad(likelihood), p)
    assert_allclose(mm.hessian(by_factor)(p), mm.hessian(by_determinant)(p), rtol=1e-9)

    def exactly(*p: Any) -> Any:
        k = mpmath.matrix(7, 7)
        for i in range(7):
            for j in range(7):
                k[i, j] = mpmath.exp(p[0] - SQUARES[i, j] * mpmath.exp(-2 * p[1]) / 2) + (i == j) * mpmath.exp(p[2])
        y = mpmath.matrix(TARGETS.tolist())
        return -(y.T * mpmath.lu_solve(k, y))[0] / 2 - mpmath.log(mpmath.det(k)) / 2

    with mpmath.workdps(40):
        second = mpmath.diff(exactly, tuple(map(mpmath.mpf, p)), (1, 1, 0))
    assert_allclose(mm.hessian(by_factor)(p)[0, 1], float(second), rtol=1e-10)


# A Kalman filter: the likelihood of 50 observations of a particle with velocity

STEPS = 50
OBSERVED = np.cumsum(np.cos(0.3 * np.arange(STEPS))) + 0.2 * np.sin(7.0 * np.arange(STEPS))
MOVE = np.array([[1.0, 1.0], [0.0, 0.9]])
SEEN = np.array([[1.0, 0.0]])


def by_filtering(p: Any) -> Any:
    noise, jitter = np.exp(p[0]) * np.eye(2), np.exp(p[1]) * np.eye(1)
    mean, spread, total = np.zeros(2), np.eye(2), 0.0
    for y in OBSERVED:
        mean, spread = MOVE @ mean, MOVE @ spread @ MOVE.T + noise
        scatter = SEEN @ spread @ SEEN.T + jitter
        gain = np.linalg.solve(scatter, SEEN @ spread).T
        missed = y - SEEN @ mean
        total = total - 0.5 * (missed @ np.linalg.solve(scatter, missed) + np.linalg.slogdet(2 * np.pi * scatter)[1])
        mean, spread = mean + gain @ missed, spread - gain @ SEEN @ spread
    return total


def at_once(p: Any) -> Any:
    """The same likelihood, from the covariance of all observations together."""
    noise = np.exp(p[0]) * np.eye(2)
    spreads, spread = [], np.eye(2)
    for _ in range(STEPS):
        spread = MOVE @ spread @ MOVE.T + noise
        spreads.append(spread)
    powers = [np.linalg.matrix_power(MOVE, k) for k in range(STEPS)]
    rows = [
        [(powers[j - i] @ spreads[i])[0, 0] if j >= i else (powers[i - j] @ spreads[j])[0, 0] for j in range(STEPS)]
        for i in range(STEPS)
    ]
    k = np.stack([np.stack(row) for row in rows]) + np.exp(p[1]) * np.eye(STEPS)
    return -0.5 * (OBSERVED @ np.linalg.solve(k, OBSERVED) + np.linalg.slogdet(2 * np.pi * k)[1])


def test_kalman_filter() -> None:
    p = np.array([-1.5, -0.5])
    value, gradient = mm.value_and_grad(by_filtering)(p)
    assert_allclose(value, at_once(p), rtol=1e-11)
    steps = 1e-5 * np.eye(2)
    expected = [(at_once(p + h) - at_once(p - h)) / 2e-5 for h in steps]
    assert_allclose(gradient, expected, rtol=1e-8)
    curvature = mm.hessian(by_filtering)(p)
    slopes = [(mm.grad(by_filtering)(p + h) - mm.grad(by_filtering)(p - h)) / 2e-5 for h in steps]
    assert_allclose(curvature, slopes, rtol=1e-7)
    assert_compiled_is_eager(mm.value_and_grad(by_filtering), p)


# A spectral filter: what is left of a signal, fitted to another

SIGNAL = np.random.default_rng(0).normal(size=12)
TARGET = np.random.default_rng(1).normal(size=12)


def misfit(response: Any, signal: Any) -> Any:
    filtered = np.fft.irfft(np.fft.rfft(signal) * response, 12)
    return np.sum((filtered - TARGET) ** 2)


def test_spectral_filter() -> None:
    response = np.linspace(1.0, 0.2, 7)
    # The filter is the circulant matrix F^-1 diag(response) F.
    full = np.concatenate([response, response[5:0:-1]])
    matrix = np.real(np.fft.ifft(full[:, None] * np.fft.fft(np.eye(12), axis=0), axis=0))
    to_response, to_signal = mm.grad(misfit, (0, 1))(response, SIGNAL)
    missed = matrix @ SIGNAL - TARGET
    assert_allclose(to_signal, 2 * matrix.T @ missed, rtol=1e-12)
    product = np.conj(np.fft.fft(missed)) * np.fft.fft(SIGNAL)
    counts = np.array([1, 2, 2, 2, 2, 2, 1])
    assert_allclose(to_response, 2 * counts * np.real(product[:7]) / 12, rtol=1e-12, atol=1e-14)
    curvature = mm.jacobian(lambda x: mm.grad(misfit, 1)(response, x))(SIGNAL)
    assert_allclose(curvature, 2 * matrix.T @ matrix, rtol=1e-12, atol=1e-14)
    check_gradients(misfit, response, SIGNAL)
    assert_compiled_is_eager(mm.grad(misfit, (0, 1)), response, SIGNAL)


# An update as CMA-ES makes it (Hansen 2016, equation 30): samples by the root of a covariance, which they then change

DRAWS = np.random.default_rng(2).normal(size=(6, 3))


def updated(root: Any, rate: Any) -> Any:
    """The covariance after one step, of samples weighted by how good they are."""
    c = root @ root.T + np.eye(3)
    values, vectors = np.linalg.eigh(c)
    samples = DRAWS @ (vectors * np.sqrt(values)).T
    losses = np.sum((samples - np.array([1.0, -0.5, 0.3])) ** 2, axis=1)
    weights = np.exp(-losses)
    weights = weights / np.sum(weights)
    return (1 - rate) * c + rate * (samples.T * weights) @ samples


def test_covariance_update() -> None:
    root = np.array([[1.0, 0.2, 0.0], [0.1, 0.7, -0.3], [0.4, 0.0, 0.5]])

    def spread(root: Any, rate: Any) -> Any:
        return np.linalg.slogdet(updated(root, rate))[1]

    check_gradients(spread, root, np.array(0.3))
    assert_compiled_is_eager(mm.grad(spread, (0, 1)), root, np.array(0.3))
    # With respect to the rate, by Jacobi's formula.
    old, new = updated(root, 0.0), updated(root, 0.3)
    slope = np.trace(np.linalg.solve(new, updated(root, 1.0) - old))
    assert_allclose(mm.grad(spread, 1)(root, 0.3), slope, rtol=1e-12)
    # A step to all of the samples alone depends on the sample's own frame: the trace of one is that of its Gram matrix.
    weighted = mm.grad(lambda root: np.trace(updated(root, 0.0)))(root)
    assert_allclose(weighted, 2 * root, rtol=1e-12)
