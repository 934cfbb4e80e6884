"""Optimisers against transcriptions of their papers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from drawing import share
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

import minimeta as mm
from minimeta import optim
from minimeta.autodiff.steps import by_kernel
from minimeta.errors import ConfigurationError, ShapeError
from minimeta.program import trace
from minimeta.testing import check_gradients

PARAMETERS = {"weight": np.array([[0.5, -1.0], [2.0, 0.0]]), "bias": [np.array([0.1]), np.float64(3.0)]}


def gradients(count: int, seed: int = 0) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [
        mm.tree.map(lambda p: rng.normal(size=np.shape(p)) * 10.0 ** rng.uniform(-6, 3), PARAMETERS)
        for _ in range(count)
    ]


def run(optimiser: optim.Optimiser, parameters: Any, sequence: list[Any]) -> tuple[Any, Any]:
    state = optimiser.init(parameters)
    for gradient in sequence:
        parameters, state = optimiser.update(gradient, state, parameters)
    return parameters, state


def assert_close(one: Any, other: Any, tolerance: float) -> None:
    for a, b in zip(mm.tree.flatten(one)[0], mm.tree.flatten(other)[0], strict=True):
        assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def paper_adam(parameter: Any, sequence: list[Any], rate: float, beta1: float, beta2: float, epsilon: float) -> Any:
    """Algorithm 1 of Kingma and Ba, line by line."""
    m, v = 0.0, 0.0
    for t, g in enumerate(sequence, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat = m / (1 - beta1**t)
        v_hat = v / (1 - beta2**t)
        parameter = parameter - rate * m_hat / (np.sqrt(v_hat) + epsilon)
    return parameter


@share(0.2)
@given(
    rate=st.floats(1e-4, 1.0),
    beta1=st.sampled_from([0.0, 0.5, 0.9]),
    beta2=st.sampled_from([0.0, 0.9, 0.999]),
    epsilon=st.sampled_from([1e-8, 1e-3]),
    steps=st.integers(0, 12),
    seed=st.integers(0, 1000),
)
def test_adam(rate: float, beta1: float, beta2: float, epsilon: float, steps: int, seed: int) -> None:
    sequence = gradients(steps, seed)
    found, state = run(optim.adam(rate, beta1, beta2, epsilon), PARAMETERS, sequence)
    leaves = [mm.tree.flatten(gradient)[0] for gradient in sequence]
    for i, (start, end) in enumerate(zip(mm.tree.flatten(PARAMETERS)[0], mm.tree.flatten(found)[0], strict=True)):
        expected = paper_adam(start, [row[i] for row in leaves], rate, beta1, beta2, epsilon)
        assert_allclose(end, expected, rtol=1e-11, atol=1e-11)
    assert state["step"] == steps and state["step"].dtype == np.float64


def test_the_first_step_of_adam_has_the_length_of_its_rate() -> None:
    found, _ = run(optim.adam(0.01), np.array([1.0, 2.0, 3.0]), [np.array([1e-3, -5.0, 1e6])])
    assert_allclose(found, [1.0 - 0.01, 2.0 + 0.01, 3.0 - 0.01], rtol=1e-6)


def test_adam_without_gradient_stays_where_it_is() -> None:
    found, _ = run(optim.adam(0.1), np.ones(3), [np.zeros(3)] * 3)
    assert_array_equal(found, np.ones(3))


def test_sgd() -> None:
    sequence = gradients(4)
    found, state = run(optim.sgd(0.1), PARAMETERS, sequence)
    expected = mm.tree.map(lambda p, *gs: p - 0.1 * sum(gs), PARAMETERS, *sequence)
    assert_close(found, expected, 1e-13)
    assert state == ()


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9])
def test_momentum(decay: float) -> None:
    sequence = gradients(5)
    found, velocity = run(optim.momentum(0.1, decay), PARAMETERS, sequence)
    # Unrolled: the velocity after step t is sum over s of decay^(t - s) g_s.
    for i, (start, end) in enumerate(zip(mm.tree.flatten(PARAMETERS)[0], mm.tree.flatten(found)[0], strict=True)):
        column = [mm.tree.flatten(gradient)[0][i] for gradient in sequence]
        velocities = [sum(decay ** (t - s) * column[s] for s in range(t + 1)) for t in range(5)]
        assert_allclose(end, start - 0.1 * sum(velocities), rtol=1e-12, atol=1e-12)
        assert_allclose(mm.tree.flatten(velocity)[0][i], velocities[-1], rtol=1e-12, atol=1e-12)


OPTIMISERS: dict[str, Callable[[], optim.Optimiser]] = {
    "sgd": lambda: optim.sgd(0.1),
    "momentum": lambda: optim.momentum(0.1),
    "adam": lambda: optim.adam(0.1),
    "clipped": lambda: optim.clip_global_norm(optim.momentum(0.1), 0.5),
    "decaying": lambda: optim.linear_decay(optim.adam(0.1), 5, 0.1),
}
each = pytest.mark.parametrize("make", list(OPTIMISERS.values()), ids=list(OPTIMISERS))


@each
def test_updates_are_pure_and_results_are_numpy(make: Callable[[], optim.Optimiser]) -> None:
    optimiser = make()
    parameters = mm.tree.map(np.array, PARAMETERS)
    state = optimiser.init(parameters)
    (gradient,) = gradients(1)
    before = [x.copy() for x in mm.tree.flatten((parameters, state, gradient))[0]]
    first = optimiser.update(gradient, state, parameters)
    again = optimiser.update(gradient, state, parameters)
    for x, y in zip(mm.tree.flatten((parameters, state, gradient))[0], before, strict=True):
        assert_array_equal(x, y)
    for x, y in zip(mm.tree.flatten(first)[0], mm.tree.flatten(again)[0], strict=True):
        assert_array_equal(x, y)
        assert isinstance(x, np.ndarray | np.generic)


@each
def test_float32_stays_float32(make: Callable[[], optim.Optimiser]) -> None:
    parameters = {"w": np.ones(3, np.float32)}
    found, state = run(make(), parameters, [{"w": np.full(3, 0.5, np.float32)}] * 3)
    assert found["w"].dtype == np.float32
    assert {x.dtype.name for x in mm.tree.flatten(state)[0] if x.shape} <= {"float32"}


@each
def test_an_update_can_be_traced_and_is_the_same_bit_for_bit(make: Callable[[], optim.Optimiser]) -> None:
    optimiser = make()
    for dtype in (np.float32, np.float64):
        parameters = mm.tree.map(lambda p, dtype=dtype: np.asarray(p, dtype), PARAMETERS)
        state = optimiser.init(parameters)
        program = trace(optimiser.update, parameters, state, parameters)
        for gradient in gradients(3):
            gradient = mm.tree.map(lambda g, dtype=dtype: np.asarray(g, dtype), gradient)  # noqa: PLW2901
            replayed = program.run(by_kernel, gradient, state, parameters)
            parameters, state = optimiser.update(gradient, state, parameters)
            for x, y in zip(mm.tree.flatten(replayed)[0], mm.tree.flatten((parameters, state))[0], strict=True):
                assert x.tobytes() == y.tobytes() and x.dtype == y.dtype


@each
def test_an_update_can_be_differentiated(make: Callable[[], optim.Optimiser]) -> None:
    optimiser = make()
    state = optimiser.init(np.ones(2))
    start, other = np.array([0.3, -0.7]), np.array([0.2, 0.1])  # Of multiples of one vector, clipped, nothing is left.

    def after(scale: Any) -> Any:
        parameters, state_after = optimiser.update(scale * start + other, state, start)
        parameters, _ = optimiser.update(scale * start * 2.0 + other, state_after, parameters)
        return mm.sum(parameters * parameters)

    check_gradients(after, 1.0)


@each
def test_gradients_of_another_form_are_refused(make: Callable[[], optim.Optimiser]) -> None:
    optimiser = make()
    parameters = {"a": np.ones(2), "b": np.ones(2)}
    with pytest.raises(ShapeError, match="trees differ"):
        optimiser.update({"a": np.ones(2)}, optimiser.init(parameters), parameters)


# Adam where gradients are 0


@share(0.2)
@given(beta1=st.sampled_from([0.0, 0.9]), rate=st.floats(1e-4, 1.0), steps=st.integers(1, 3))
def test_the_derivative_of_adam_at_zero_gradients(beta1: float, rate: float, steps: int) -> None:
    # g / (|g| + epsilon) has the derivative 1 / epsilon at 0. A first step, then steps with gradients of 0, which the
    # first moment outlasts: in all a / epsilon (1 - b1) (c_1 + b1 c_2 + ...), c_t = sqrt(1 - b2^t) / (1 - b1^t) with
    # an epsilon that is corrected like the rest.
    optimiser = optim.adam(rate, beta1, 0.99, epsilon=1e-3)

    def after(gradient: Any) -> Any:
        parameters, state = np.zeros(2), optimiser.init(np.zeros(2))
        for step in range(steps):
            parameters, state = optimiser.update(gradient if step == 0 else np.zeros(2), state, parameters)
        return mm.sum(parameters)

    moment = (1 - beta1) * sum(beta1**step / (1 - beta1 ** (step + 1)) for step in range(steps))
    assert_allclose(mm.grad(after)(np.zeros(2)), [-rate * moment / 1e-3] * 2, rtol=1e-10)
    difference = (after(np.array([1e-9, 0.0])) - after(np.array([-1e-9, 0.0]))) / 2e-9
    assert_allclose(difference, -rate * moment / 1e-3, rtol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_keeps_the_derivative_of_adam_finite_changes_no_bit(dtype: Any) -> None:
    # A transcription in the same order of operations, with the root itself.
    optimiser = optim.adam(0.1, 0.0, 0.5)
    rng = np.random.default_rng(0)
    parameters: Any = np.ones(200, dtype)
    state, second = optimiser.init(parameters), np.zeros(200, dtype)
    expected = parameters
    for step in range(1, 6):
        gradient = (rng.normal(size=200) * 10.0 ** rng.integers(-25, 10, 200)).astype(dtype)
        gradient[:50] = 0
        parameters, state = optimiser.update(gradient, state, parameters)
        second = dtype(0.5) * second + dtype(0.5) * np.square(gradient)
        root = np.sqrt(1.0 - np.power(0.5, float(step)))
        size, shift = dtype(0.1 * root), dtype(1e-8 * root)
        expected = expected - size * gradient / (np.sqrt(second) + shift)
        assert_array_equal(parameters, expected)


# Optimisers of optimisers


@given(largest=st.sampled_from([1e-3, 0.25, 1.0, 1e9]), seed=st.integers(0, 1000), dtype=st.sampled_from(["f4", "f8"]))
@share(0.3)
def test_gradients_are_clipped_to_a_global_norm(largest: float, seed: int, dtype: str) -> None:
    parameters = mm.tree.map(lambda p: np.asarray(p, dtype), PARAMETERS)
    (gradient,) = (mm.tree.map(lambda g: np.asarray(g, dtype), g) for g in gradients(1, seed))
    found, _ = optim.clip_global_norm(optim.sgd(1.0), largest).update(gradient, (), parameters)
    length = np.sqrt(sum(np.square(g, dtype="f8").sum() for g in mm.tree.flatten(gradient)[0]))
    expected = mm.tree.map(lambda p, g: p - g * min(1, largest / length), parameters, gradient)
    tolerance = 1e-6 if dtype == "f4" else 1e-13
    for a, b, p in zip(*(mm.tree.flatten(x)[0] for x in (found, expected, parameters)), strict=True):
        assert_allclose(a - p, b - p, rtol=tolerance, atol=tolerance * max(1, np.abs(b).max()))


def test_clipping_has_right_second_derivatives_where_a_part_is_zero() -> None:
    optimiser = optim.clip_global_norm(optim.sgd(1.0), 1.0)

    def after(g: Any) -> Any:
        found, _ = optimiser.update({"a": g[:2], "b": g[2:]}, (), {"a": np.zeros(2), "b": np.zeros(1)})
        return mm.concatenate([found["a"], found["b"]])

    def plain(g: Any) -> Any:
        return -g / mm.sqrt(mm.sum(g**2))

    g = np.array([3.0, 4.0, 0.0])
    found, expected = (mm.jacobian(mm.jacobian(f)) for f in (after, plain))
    # new a0 = -3 / sqrt(25 + b^2), whose second derivative by b at 0 is 3 / 25^(3/2)
    assert_allclose(found(g)[0, 2, 2], 3 / 125, rtol=1e-14)
    assert_allclose(found(g), expected(g), rtol=1e-13, atol=1e-15)
    assert_allclose(mm.compile(found)(g), expected(g), rtol=1e-13, atol=1e-15)
    assert_allclose(mm.vmap(found)(np.stack([g, 2 * g]))[1], expected(2 * g), rtol=1e-13, atol=1e-15)
    assert_allclose(mm.jacobian(found)(g), mm.jacobian(expected)(g), rtol=1e-12, atol=1e-15)
    # A gradient that is short, or 0, goes through: slope 1, and nothing beyond.
    for short in (np.zeros(3), np.array([0.0, 0.5, 0.0])):
        assert_array_equal(mm.jacobian(after)(short), -np.eye(3))
        assert_array_equal(mm.jacobian(mm.jacobian(after))(short), np.zeros((3, 3, 3)))


def test_clipping_neither_overflows_nor_underflows() -> None:
    for dtype, huge in (("f4", 3e38), ("f8", 1.5e308)):
        optimiser = optim.clip_global_norm(optim.sgd(1.0), 1.0)
        zeros: Any = np.zeros(2, dtype)
        gradient: Any = np.array([huge, huge], dtype)
        assert_allclose(optimiser.update(gradient, (), zeros)[0], -(0.5**0.5) * np.ones(2), rtol=1e-6)
        many: Any = np.full(10**5, huge, dtype)
        assert_allclose(optimiser.update(many, (), 0 * many)[0], np.full(10**5, -(10.0**-2.5)), rtol=1e-5)
        tiny: Any = np.array([1e-30, 1e-38], dtype)
        assert_array_equal(optimiser.update(tiny, (), zeros)[0], -tiny)
        shorter, _ = optim.clip_global_norm(optim.sgd(1.0), 1e-35).update(np.array([3e-30, 4e-30], dtype), (), zeros)
        assert_allclose(shorter, [-6e-36, -8e-36], rtol=1e-5)
        for bound in (1e-30, 1e-8, 1e-4, 1e4):  # The bound over the largest element may be less than any float32.
            shorter, _ = optim.clip_global_norm(optim.sgd(1.0), bound).update(gradient, (), zeros)
            assert_allclose(shorter, -bound * 0.5**0.5 * np.ones(2), rtol=1e-6)
    mixed: Any = {"a": np.array([3e38], np.float32), "b": np.array([4e38]), "none": np.zeros((0, 2))}
    found, _ = optim.clip_global_norm(optim.sgd(1.0), 5.0).update(mixed, (), mm.tree.map(np.zeros_like, mixed))
    assert_allclose([found["a"][0], found["b"][0]], [-3.0, -4.0], rtol=1e-6)
    assert found["a"].dtype == np.float32 and found["none"].shape == (0, 2)


def test_short_gradients_and_none_at_all_are_left_alone() -> None:
    optimiser = optim.clip_global_norm(optim.sgd(1.0), 5.0)
    gradient = {"a": np.array([3.0]), "b": np.array(-4.0)}
    found, _ = optimiser.update(gradient, (), {"a": np.zeros(1), "b": np.zeros(())})
    assert found["a"][0] == -3.0 and found["b"] == 4.0
    assert optimiser.update((), (), ()) == ((), ())
    still = optimiser.update(np.zeros(2), (), np.ones(2))[0]
    assert_array_equal(still, np.ones(2))


@given(g=arrays(np.float32, 3, elements=st.floats(-1, 1, width=32)), exponent=st.integers(-25, 25))
def test_short_gradients_are_left_to_the_last_bit(g: Any, exponent: int) -> None:
    g = g * np.float32(10.0**exponent)
    optimiser = optim.clip_global_norm(optim.sgd(1.0), 2 * 10.0**exponent)
    assert_array_equal(optimiser.update(g, (), np.zeros(3, np.float32))[0], -g)


def test_elements_are_cut_off_each_by_itself() -> None:
    gradient = {"a": np.array([3.0, -0.5, -7.0]), "b": np.array(-4.0)}
    found, _ = optim.clip_elements(optim.sgd(1.0), 2.0).update(gradient, (), {"a": np.zeros(3), "b": np.zeros(())})
    assert_array_equal(found["a"], [-2.0, 0.5, 2.0])
    assert found["b"] == 2.0


@share(0.2)
@given(iterations=st.integers(1, 7), final=st.sampled_from([0.0, 0.1, 1.0]))
def test_steps_decay_linearly(iterations: int, final: float) -> None:
    optimiser = optim.linear_decay(optim.sgd(0.5), iterations, final)
    parameters: Any = np.array([1.0, -2.0])
    state = optimiser.init(parameters)
    for t in range(iterations + 2):
        before = parameters
        parameters, state = optimiser.update(np.array([3.0, 1.0]), state, parameters)
        done = min(t / iterations, 1.0)
        size = 0.5 * (done * final + (1 - done))
        assert_allclose(before - parameters, size * np.array([3.0, 1.0]), rtol=1e-13, atol=1e-15)


def test_a_decaying_adam_is_adam_with_a_decaying_rate() -> None:
    sequence = gradients(4)
    found, _ = run(optim.linear_decay(optim.adam(0.1), 4), PARAMETERS, sequence)
    parameters: Any = PARAMETERS
    state = optim.adam(0.1).init(parameters)
    for rate, gradient in zip([0.1, 0.075, 0.05, 0.025], sequence, strict=True):
        parameters, state = optim.adam(rate).update(gradient, state, parameters)
    assert_close(found, parameters, 1e-12)


def test_parts_have_optimisers_of_their_own() -> None:
    sequence = gradients(3)
    optimiser = optim.by_part(weight=optim.adam(0.1), bias=optim.sgd(0.5))
    found, state = run(optimiser, PARAMETERS, sequence)
    for key, alone in {"weight": optim.adam(0.1), "bias": optim.sgd(0.5)}.items():
        expected, expected_state = run(alone, PARAMETERS[key], [gradient[key] for gradient in sequence])
        assert_close(found[key], expected, 0)
        assert_close(state[key], expected_state, 0)


@pytest.mark.parametrize("parameters", [{"weight": np.ones(2)}, (np.ones(2), np.ones(2))])
def test_parts_that_are_not_there_are_named(parameters: Any) -> None:
    optimiser = optim.by_part(weight=optim.sgd(0.1), bias=optim.sgd(0.1))
    with pytest.raises(ShapeError, match=r"optimisers for \['weight', 'bias'\], but the parameters are"):
        optimiser.init(parameters)
    with pytest.raises(ShapeError, match=r"optimisers for \['weight', 'bias'\], but the parameters are"):
        optimiser.update(parameters, {}, parameters)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optim.sgd(0.0), "sgd: learning_rate=0.0 must be positive and finite"),
        (lambda: optim.sgd(float("nan")), "must be positive"),
        (lambda: optim.sgd(float("inf")), "must be positive"),
        (lambda: optim.momentum(0.1, 1.0), r"momentum: decay=1.0 must be in \[0, 1\)"),
        (lambda: optim.adam(-1.0), "adam: learning_rate=-1.0"),
        (lambda: optim.adam(0.1, -0.1), r"adam: beta1=-0.1 must be in \[0, 1\)"),
        (lambda: optim.adam(0.1, 0.9, 1.0), r"adam: beta2=1.0 must be in \[0, 1\)"),
        (lambda: optim.adam(epsilon=0.0), "adam: epsilon=0.0"),
        (lambda: optim.clip_global_norm(optim.sgd(1.0), 0.0), "clip_global_norm: largest=0.0 must be positive"),
        (lambda: optim.clip_elements(optim.sgd(1.0), -1.0), "clip_elements: largest=-1.0 must be positive"),
        (lambda: optim.linear_decay(optim.sgd(1.0), 0), "linear_decay: iterations=0 must be at least 1"),
        (lambda: optim.linear_decay(optim.sgd(1.0), 5, 1.5), r"final=1.5 in \[0, 1\]"),
    ],
)
def test_settings_are_checked(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make()


@each
def test_parameters_without_axes_stay_arrays(make: Callable[[], optim.Optimiser]) -> None:
    optimiser = make()
    parameters: Any = {"scale": np.array(2.0), "shift": np.array(1.0, np.float32)}
    state = optimiser.init(parameters)
    for _ in range(2):
        parameters, state = optimiser.update(parameters, state, parameters)
    for leaf in [*mm.tree.flatten(parameters)[0], *mm.tree.flatten(state)[0]]:
        assert type(leaf) is np.ndarray and leaf.shape == ()
    assert parameters["shift"].dtype == np.float32


def test_each_step_has_its_rate_and_the_last_one_holds() -> None:
    optimiser = optim.sgd_by_step((0.5, 0.25))
    parameters, state = np.array([1.0]), optimiser.init(np.array([1.0]))
    found = []
    for _ in range(4):
        parameters, state = optimiser.update(np.array([1.0]), state, parameters)
        found.append(float(parameters[0]))
    assert found == [0.5, 0.25, 0.0, -0.25]
    for wrong in ((), (0.1, -1.0)):
        with pytest.raises(ConfigurationError, match="sgd_by_step"):
            optim.sgd_by_step(wrong)
