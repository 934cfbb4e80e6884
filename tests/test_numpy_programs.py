"""Programs as a user writes them, in plain numpy, differentiated as they stand.

The oracle is numpy alone. With ``f`` called on complex numbers, ``Im f(x + ihv) / h`` is the
derivative along ``v`` to rounding, and its central difference along ``u`` is ``u^T H v``. Where there
is a closed form, it is compared too.
"""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import minimeta as mm

STEP, SHIFT = 1e-30, 1e-5


def check(function: Callable[..., Any], *arguments: Any, numpy: Callable[..., Any] | None = None) -> None:
    """Compare value, first and second derivatives with numpy's, eager and compiled; `numpy` takes complex numbers."""
    numpy = numpy or function
    rng = np.random.default_rng(0)
    u, v = ([rng.normal(size=x.shape) for x in arguments] for _ in range(2))

    def slope(at: float) -> Any:
        return numpy(*(x + at * a + 1j * STEP * b for x, a, b in zip(arguments, u, v, strict=True))).imag / STEP

    places = tuple(range(len(arguments)))
    value, gradient = mm.value_and_grad(function, places)(*arguments)
    assert_allclose(value, numpy(*arguments), rtol=1e-12)
    assert_allclose(sum((g * b).sum() for g, b in zip(gradient, v, strict=True)), slope(0.0), rtol=1e-10, atol=1e-12)
    curvature = mm.hvp(function, arguments, tuple(v))
    along = sum((h * a).sum() for h, a in zip(curvature, u, strict=True))
    assert_allclose(along, (slope(SHIFT) - slope(-SHIFT)) / (2 * SHIFT), rtol=1e-6, atol=1e-8)
    compiled = mm.compile(function)
    for one, other in zip(mm.value_and_grad(compiled, places)(*arguments)[1], gradient, strict=True):
        assert_array_equal(one, other)
    for one, other in zip(mm.hvp(compiled, arguments, tuple(v)), curvature, strict=True):
        assert_array_equal(one, other)


def softmax(x: Any, axis: int = -1) -> Any:
    e = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return e / np.sum(e, axis=axis, keepdims=True)


def logsumexp(x: Any, axis: int) -> Any:
    largest = np.max(x, axis=axis, keepdims=True)
    return np.squeeze(largest, axis) + np.log(np.sum(np.exp(x - largest), axis=axis))


# Attention by einsum


def heads(x: Any, w: Any, out: Any) -> Any:
    """Causal self-attention of several heads, weights of shape (3, heads, features, size)."""
    q, k, v = np.einsum("btf,chfd->cbhtd", x, w)
    scores = np.einsum("bhtd,bhsd->bhts", q, k) / np.sqrt(q.shape[-1])
    seen = np.tril(np.ones(scores.shape[-2:], bool))
    y = np.einsum("bhts,bhsd->bthd", softmax(np.where(seen, scores, -1e9)), v)
    return np.einsum("bthd,hdf->btf", y, out)


def test_attention_by_einsum() -> None:
    rng = np.random.default_rng(0)
    x, w, out = rng.normal(size=(2, 3, 4)), rng.normal(size=(3, 2, 4, 2)) / 2, rng.normal(size=(2, 2, 4)) / 2
    check(lambda x, w, out: np.sum(np.sin(heads(x, w, out))), x, w, out)
    parameters = {
        name: {"weight": w[i].transpose(1, 0, 2).reshape(4, 4), "bias": np.zeros(4)}
        for i, name in enumerate(("query", "key", "value"))
    } | {"output": {"weight": out.reshape(4, 4), "bias": np.zeros(4)}}
    layer = mm.nn.multi_head_attention(4, 2, dtype=np.float64)
    assert_allclose(heads(x, w, out), layer.apply(parameters, x, mask=mm.nn.causal_mask(3)), rtol=1e-12)


# Soft sort


def soft_sort(x: Any, temperature: float) -> Any:
    """The rows of a soft permutation matrix, times x (Prillo and Eisenschlos 2020, with squared distances)."""
    distance = (np.sort(x)[:, None] - x[None, :]) ** 2
    return softmax(-distance / temperature) @ x


def test_soft_sort() -> None:
    x = np.array([0.3, -1.2, 2.0, 0.9])
    weight = np.array([1.0, -2.0, 0.5, 3.0])
    check(lambda x: np.sum(weight * soft_sort(x, 0.7)) + np.sum(soft_sort(x, 0.3) ** 3), x)
    # Cold, it is the sort, and its derivative is the permutation.
    assert_allclose(soft_sort(x, 1e-3), np.sort(x), rtol=1e-14)
    jacobian = mm.jacobian(lambda x: soft_sort(x, 1e-3))(x)
    assert_allclose(jacobian, np.eye(4)[np.argsort(x)], atol=1e-12)


# A mixture of Gaussians by expectation-maximisation


def mixture(data: Any, means: Any, steps: int = 4) -> Any:
    """The log-likelihoods after each step of EM, on points of two dimensions."""
    count = len(means)
    variances, weights = np.ones(count), np.full(count, 1 / count)
    found = []
    for _ in range(steps):
        distance = np.sum((data[:, None] - means) ** 2, axis=-1)
        joint = np.log(weights) - np.log(2 * np.pi * variances) - distance / (2 * variances)
        total = logsumexp(joint, 1)
        found.append(np.sum(total))
        shares = np.exp(joint - total[:, None])
        size = np.sum(shares, axis=0)
        means = shares.T @ data / size[:, None]
        distance = np.sum((data[:, None] - means) ** 2, axis=-1)
        variances, weights = np.sum(shares * distance, axis=0) / (2 * size), size / len(data)
    return np.stack(found)


def test_a_mixture_of_gaussians() -> None:
    rng = np.random.default_rng(0)
    data = rng.normal(size=(12, 2)) + np.repeat([[0.0, 0.0], [3.0, 1.0]], 6, axis=0)
    means = np.array([[0.5, -0.5], [2.0, 2.0]])
    check(lambda data, means: mixture(data, means)[-1], data, means)
    assert np.all(np.diff(mixture(data, means)) > 0)
    # With one component a step arrives at the mean and the variance, whatever it began from.
    gradient = mm.grad(lambda m: mixture(data, m, 2)[-1])(means[:1])
    assert_allclose(gradient, 0.0, atol=1e-12)
    spread = np.mean((data - data.mean(0)) ** 2)
    assert_allclose(mixture(data, means[:1], 2)[-1], -12 * (np.log(2 * np.pi * spread) + 1), rtol=1e-13)


# An ordinary differential equation by Runge-Kutta


def runge_kutta(slope: Callable[[Any], Any], y: Any, step: Any, count: int) -> Any:
    for _ in range(count):
        k1 = slope(y)
        k2 = slope(y + step / 2 * k1)
        k3 = slope(y + step / 2 * k2)
        k4 = slope(y + step * k3)
        y = y + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return y


def predators(rates: Any, start: Any) -> Any:
    """Lotka and Volterra's equations."""

    def slope(y: Any) -> Any:
        prey, hunters = y
        return np.stack([rates[0] * prey - rates[1] * prey * hunters, rates[2] * prey * hunters - rates[3] * hunters])

    return runge_kutta(slope, start, 0.1, 5)


def test_an_ordinary_differential_equation() -> None:
    rates, start = np.array([1.1, 0.4, 0.1, 0.4]), np.array([5.0, 3.0])
    check(lambda rates, start: np.sum(np.log(predators(rates, start))), rates, start)
    # Of y' = -k y a step is a factor, 1 - z + z^2/2 - z^3/6 + z^4/24 with z = k h.
    k = np.array(0.8)
    z = 0.1 * k
    factor, by_z = 1 - z + z**2 / 2 - z**3 / 6 + z**4 / 24, -1 + z - z**2 / 2 + z**3 / 6
    decay = mm.compile(lambda k: runge_kutta(lambda y: -k * y, 2.0, 0.1, 10))
    value, derivative = mm.value_and_grad(decay)(k)
    assert_allclose(value, 2 * factor**10, rtol=1e-14)
    assert_allclose(derivative, 2 * factor**9 * by_z, rtol=1e-13)
    second = 0.2 * (9 * factor**8 * by_z**2 + factor**9 * (1 - z + z**2 / 2))
    assert_allclose(mm.grad(mm.grad(decay))(k), second, rtol=1e-12)


# Optimal transport by Sinkhorn's iterations


def sinkhorn(cost: Any, rows: Any, columns: Any, strength: float = 0.5, steps: int = 12) -> Any:
    """The plan of entropic transport, in logarithms."""
    f, g = np.zeros(len(rows)), np.zeros(len(columns))
    for _ in range(steps):
        f = strength * (np.log(rows) - logsumexp((g - cost) / strength, 1))
        g = strength * (np.log(columns) - logsumexp((f[:, None] - cost) / strength, 0))
    return np.exp((f[:, None] + g - cost) / strength)


def test_sinkhorn() -> None:
    rng = np.random.default_rng(0)
    cost, rows = rng.uniform(0.1, 2.0, (3, 4)), np.array([0.2, 0.5, 0.3])
    columns = np.array([0.1, 0.4, 0.3, 0.2])
    check(lambda cost, rows: np.sum(cost * sinkhorn(cost, rows, columns)), cost, rows)
    plan = sinkhorn(cost, rows, columns, steps=200)
    assert_allclose(plan.sum(0), columns, rtol=1e-12)
    assert_allclose(plan.sum(1), rows, rtol=1e-12)

    def objective(cost: Any) -> Any:
        plan = sinkhorn(cost, rows, columns, steps=200)
        return np.sum(plan * cost) + 0.5 * np.sum(plan * np.log(plan))

    # At the optimum the derivative is the plan (Danskin's theorem).
    assert_allclose(mm.grad(objective)(cost), plan, rtol=1e-9)


# A spline by interpolation


def piecewise(t: Any, knots: Any, values: Any) -> Any:
    """What np.interp means, in arithmetic."""
    cell = np.clip(np.searchsorted(knots, t.real) - 1, 0, len(knots) - 2)
    part = (t - knots[cell]) / (knots[cell + 1] - knots[cell])
    return values[cell] + part * (values[cell + 1] - values[cell])


def test_a_spline_by_interpolation() -> None:
    knots = np.array([0.0, 0.5, 1.5, 2.0, 3.0])
    values, t = np.array([1.0, -0.5, 2.0, 0.3, -1.0]), np.array([0.1, 0.8, 1.9, 2.2, 2.9])

    def energy(interpolate: Callable[..., Any]) -> Callable[..., Any]:
        def function(t: Any, values: Any) -> Any:
            warped = 3 / (1 + np.exp(-interpolate(t, knots, values)))
            return np.sum(interpolate(warped, knots, np.sin(values)) ** 2)

        return function

    check(energy(np.interp), t, values, numpy=energy(piecewise))
    outside = mm.grad(lambda t: np.sum(np.interp(t, knots, values)))(np.array([-1.0, 0.25, 4.0]))
    assert_allclose(outside, [0.0, -3.0, 0.0], rtol=1e-14)


# A conditional random field, by the forward algorithm


def log_partition(emissions: Any, transitions: Any) -> Any:
    """The logarithm of the sum over all paths of exp(score)."""
    alpha = emissions[0]
    for emission in emissions[1:]:
        alpha = logsumexp(alpha[:, None] + transitions, 0) + emission
    return logsumexp(alpha, 0)


@pytest.mark.parametrize("length", [1, 4])
def test_a_conditional_random_field(length: int) -> None:
    rng = np.random.default_rng(0)
    emissions, transitions = rng.normal(size=(length, 3)), rng.normal(size=(3, 3))
    check(lambda emissions, transitions: log_partition(emissions, transitions) ** 2, emissions, transitions)
    # Enumerated, and the derivatives are the marginal probabilities.
    paths = np.array(list(itertools.product(range(3), repeat=length)))
    scores = emissions[np.arange(length), paths].sum(1) + transitions[paths[:, :-1], paths[:, 1:]].sum(1)
    probability = np.exp(scores - np.log(np.exp(scores).sum()))
    value, (of_emissions, of_transitions) = mm.value_and_grad(log_partition, (0, 1))(emissions, transitions)
    assert_allclose(value, np.log(np.exp(scores).sum()), rtol=1e-13)
    states = np.eye(3)[paths]
    assert_allclose(of_emissions, np.einsum("p,ptk->tk", probability, states), rtol=1e-12)
    pairs = np.einsum("p,pti,ptj->ij", probability, states[:, :-1], states[:, 1:])
    assert_allclose(of_transitions, pairs, rtol=1e-11, atol=1e-13)
