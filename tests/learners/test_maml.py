"""MAML against closed forms, and its meta-gradients against the oracles of ``minimeta.testing``."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from drawing import share
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import minimeta as mm
from minimeta import nn, optim
from minimeta.errors import ConfigurationError
from minimeta.learners import MAML, MetaLearner
from minimeta.program import trace
from minimeta.tasks.task import Examples, Task
from minimeta.testing import check_meta_gradient
from minimeta.testing.limits import along


def leaves(x: Any) -> list[Any]:
    return mm.tree.flatten(x)[0]


# On a quadratic loss 1/2 (theta - c)^T A (theta - c) everything is known:
#   theta_k - c = (I - a A)^k (theta - c),    d L_Q(theta_k) / d theta = (I - a A)^k A_q (theta_k - c_q).


def quadratic(outputs: Any, centre: Any) -> Any:
    parameters, matrix = outputs
    deviation = parameters - centre
    return 0.5 * (deviation @ matrix @ deviation)


QUADRATIC = nn.Model(lambda rng: rng.normal(size=3), lambda parameters, matrix: (parameters, matrix))


def symmetric(rng: np.random.Generator, size: int) -> Any:
    """A symmetric matrix with eigenvalues in [0.1, 1.5]."""
    rotation = np.linalg.qr(rng.normal(size=(size, size)))[0]
    return rotation @ np.diag(rng.uniform(0.1, 1.5, size)) @ rotation.T


@share(1)
@given(
    size=st.integers(1, 5),
    steps=st.integers(0, 6),
    rate=st.sampled_from([0.01, 0.1, 0.5, 1.0]),
    order=st.sampled_from([1, 2]),
    seed=st.integers(0, 10_000),
)
def test_the_meta_gradient_of_a_quadratic(size: int, steps: int, rate: float, order: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    support, query = symmetric(rng, size), symmetric(rng, size)
    centre, goal, start = rng.normal(size=(3, size))
    learner = MAML(QUADRATIC, quadratic, rate, inner_steps=steps, order=order)
    result = learner.meta_gradient(start, Task(Examples(support, centre), Examples(query, goal)))

    contraction = np.linalg.matrix_power(np.eye(size) - rate * support, steps)
    adapted = centre + contraction @ (start - centre)
    expected = query @ (adapted - goal)
    loss = 0.5 * (adapted - goal) @ expected
    if order == 2:
        expected = contraction @ expected
    assert_allclose(result.gradient, expected, rtol=1e-12, atol=1e-12)
    assert_allclose(result.loss, loss, rtol=1e-12, atol=1e-12)
    trajectory = learner.adapt(start, Examples(support, centre), steps)
    assert_allclose(trajectory[-1], adapted, rtol=1e-12, atol=1e-12)


@share(0.2)
@given(seed=st.integers(0, 10_000), steps=st.integers(1, 4))
def test_the_derivative_of_the_meta_gradient_of_a_quadratic(seed: int, steps: int) -> None:
    # One order higher: the meta-Hessian is (I - aA)^k A_q (I - aA)^k.
    rng = np.random.default_rng(seed)
    support, query = symmetric(rng, 3), symmetric(rng, 3)
    centre, goal, start = rng.normal(size=(3, 3))
    learner = MAML(QUADRATIC, quadratic, 0.3, inner_steps=steps)
    task = Task(Examples(support, centre), Examples(query, goal))
    hessian = mm.jacobian(lambda theta: learner.meta_gradient(theta, task).gradient)(start)
    contraction = np.linalg.matrix_power(np.eye(3) - 0.3 * support, steps)
    assert_allclose(hessian, contraction @ query @ contraction, rtol=1e-11, atol=1e-12)


def test_both_orders_agree_where_the_support_loss_has_no_curvature() -> None:
    model = nn.Model(lambda rng: rng.normal(size=3), lambda parameters, inputs: inputs @ parameters)
    rng = np.random.default_rng(0)
    task = Task(Examples(rng.normal(size=(4, 3)), np.zeros(4)), Examples(rng.normal(size=(4, 3)), np.zeros(4)))
    start = rng.normal(size=3)

    def loss(outputs: Any, targets: Any) -> Any:
        return mm.mean(outputs - targets)

    first, second = (MAML(model, loss, 0.1, 3, order=order).meta_gradient(start, task) for order in (1, 2))
    assert_allclose(first.gradient, second.gradient, rtol=1e-14)


# On networks


def sinusoid_task(rng: np.random.Generator) -> Task:
    inputs = rng.uniform(-5, 5, (2, 6, 1))
    targets = 1.5 * np.sin(inputs + 0.7)
    return Task(Examples(inputs[0], targets[0]), Examples(inputs[1], targets[1]))


def character_task(rng: np.random.Generator) -> Task:
    inputs = rng.normal(size=(2, 6, 4))
    return Task(Examples(inputs[0], np.arange(6) % 3), Examples(inputs[1], rng.permutation(6) % 3))


def image_task(rng: np.random.Generator) -> Task:
    inputs = rng.normal(size=(2, 6, 9, 8, 2))
    return Task(Examples(inputs[0], np.arange(6) % 3), Examples(inputs[1], rng.permutation(6) % 3))


def problem(kind: str, order: int, steps: int) -> tuple[MAML, Any, Task]:
    rng = np.random.default_rng(11)
    if kind == "sinusoid":
        model = nn.mlp((1, 5, 4, 1), activation="tanh", dtype=np.float64)
        learner = MAML(model, nn.mean_squared_error, 0.05, steps, order)
        return learner, learner.init(rng), sinusoid_task(rng)
    if kind == "images":
        model = nn.conv4((9, 8, 2), 3, filters=3, dtype=np.float64)
        learner = MAML(model, nn.cross_entropy, 0.1, steps, order, {"accuracy": nn.accuracy})
        return learner, learner.init(rng), image_task(rng)
    model = nn.mlp((4, 5, 3), batch_norm=True, dtype=np.float64)
    learner = MAML(model, nn.cross_entropy, 0.4, steps, order, {"accuracy": nn.accuracy})
    return learner, learner.init(rng), character_task(rng)


each_problem = pytest.mark.parametrize("kind", ["sinusoid", "characters", "images"])


@each_problem
@pytest.mark.parametrize(("order", "steps"), [(2, 1), (2, 3), (1, 2)])
def test_the_meta_gradient_is_that_of_the_meta_loss(kind: str, order: int, steps: int) -> None:
    learner, parameters, task = problem(kind, order, steps)
    expected = {1: "first order", 2: "second order"}[order]
    highest = 1 if kind == "images" else 2
    report = check_meta_gradient(learner, task, meta_parameters=parameters, kind=expected, order=highest)
    assert (report.oracle, report.kind) == ("complex step", expected)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("settings", [{"learned_rates": True}, {"adapts": ("2",)}], ids=str)
def test_variations_have_the_gradients_of_their_meta_losses(settings: dict[str, Any], order: int) -> None:
    learner, _, task = problem("sinusoid", order, 2)
    kind = {1: "first order", 2: "second order"}[order]
    check_meta_gradient(dataclasses.replace(learner, **settings), task, kind=kind)


def test_the_meta_gradient_of_the_papers_network_on_omniglot() -> None:
    rng = np.random.default_rng(0)
    ink = rng.random((2, 5, 28, 28, 1)) * (rng.random((2, 5, 28, 28, 1)) < 0.3)
    task = Task(Examples(ink[0], np.arange(5)), Examples(ink[1], np.arange(5)))
    model = nn.conv4((28, 28, 1), 5, initialiser="glorot", dtype=np.float64)
    first, second = (MAML(model, nn.cross_entropy, 0.4, 1, order) for order in (1, 2))
    parameters = second.init(rng)
    gradients = [leaves(learner.meta_gradient(parameters, task).gradient) for learner in (first, second)]

    def loss(parameters: Any) -> Any:
        adapted = second.adapt(parameters, task.support, 1)[-1]
        return nn.cross_entropy(second.predict(adapted, task.query.inputs), task.query.targets)

    # All directions of so many parameters would take long; one sees every entry.
    line = trace(loss, parameters).line
    direction = mm.tree.map(lambda p: rng.normal(size=p.shape) * (np.std(p) or 1.0), parameters)
    (slope,) = along(line, leaves(parameters), leaves(direction)).derivatives
    one, two = (sum(float(np.sum(g * u)) for g, u in zip(gs, leaves(direction), strict=True)) for gs in gradients)
    assert_allclose(two, slope, rtol=1e-9)
    assert abs(one - slope) > 0.01


@each_problem
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_the_first_order_meta_gradient_is_the_gradient_at_the_adapted_parameters(kind: str, steps: int) -> None:
    learner, parameters, task = problem(kind, 1, steps)
    result = learner.meta_gradient(parameters, task)
    adapted = learner.adapt(parameters, task.support, steps)[-1]

    def loss(parameters: Any) -> Any:
        return learner.loss(learner.predict(parameters, task.query.inputs), task.query.targets)

    value, gradient = mm.value_and_grad(loss)(adapted)
    assert_array_equal(result.loss, value)
    for one, other in zip(leaves(result.gradient), leaves(gradient), strict=True):
        assert_array_equal(one, other)


@each_problem
def test_orders_differ_and_agree_in_what_does_not_depend_on_them(kind: str) -> None:
    (first, parameters, task), (second, _, _) = problem(kind, 1, 2), problem(kind, 2, 2)
    one, other = first.meta_gradient(parameters, task), second.meta_gradient(parameters, task)
    assert_allclose(one.loss, other.loss, rtol=1e-15)
    assert any(
        not np.allclose(a, b, rtol=1e-3) for a, b in zip(leaves(one.gradient), leaves(other.gradient), strict=True)
    )
    for a, b in zip(*(leaves(x.adapt(parameters, task.support, 3)) for x in (first, second)), strict=True):
        assert_array_equal(a, b)


@each_problem
@pytest.mark.parametrize("order", [1, 2])
def test_adaptation_is_gradient_descent_and_has_all_its_steps(kind: str, order: int) -> None:
    learner, parameters, task = problem(kind, order, 1)
    trajectory = learner.adapt(parameters, task.support, 4)
    assert isinstance(trajectory, tuple)
    assert len(trajectory) == 5

    def loss(parameters: Any) -> Any:
        return learner.loss(learner.predict(parameters, task.support.inputs), task.support.targets)

    expected = parameters
    for place in trajectory:
        for a, b in zip(leaves(place), leaves(expected), strict=True):
            assert isinstance(a, np.ndarray)
            assert_allclose(a, b, rtol=1e-12, atol=1e-14)
        expected = mm.tree.map(lambda p, g: p - learner.inner_learning_rate * g, expected, mm.grad(loss)(expected))
    assert loss(trajectory[4]) < loss(trajectory[0])
    for steps in range(4):
        for one, other in zip(learner.adapt(parameters, task.support, steps), trajectory, strict=False):
            for a, b in zip(leaves(one), leaves(other), strict=True):
                assert_array_equal(a, b)


@each_problem
@pytest.mark.parametrize("order", [1, 2])
def test_results_are_numpy_and_nothing_is_changed(kind: str, order: int) -> None:
    learner, parameters, task = problem(kind, order, 2)
    inputs = leaves((parameters, task))
    before = [x.copy() for x in inputs]
    result = learner.meta_gradient(parameters, task)
    assert mm.tree.flatten(result.gradient)[1] == mm.tree.flatten(parameters)[1]
    assert set(result.metrics) == set(learner.metrics)
    arrays = [result.loss, *result.metrics.values(), *leaves(result.gradient)]
    for i, array in enumerate(arrays):
        assert type(array) is np.ndarray and array.flags.writeable and array.flags.c_contiguous
        assert not any(np.may_share_memory(array, other) for other in (*inputs, *arrays[:i]))
    for x, y in zip(inputs, before, strict=True):
        assert_array_equal(x, y)


def test_metrics_are_measured_on_the_query_set_after_adaptation() -> None:
    learner, parameters, task = problem("characters", 2, 2)
    adapted = learner.adapt(parameters, task.support, 2)[-1]
    hits = learner.predict(adapted, task.query.inputs).argmax(-1) == task.query.targets
    assert_allclose(learner.meta_gradient(parameters, task).metrics["accuracy"], hits.mean(), rtol=1e-15)


def test_float32_stays_float32() -> None:
    model = nn.mlp((1, 4, 1))
    learner = MAML(model, nn.mean_squared_error, 0.01, 2)
    task = mm.tree.map(lambda x: x.astype(np.float32), sinusoid_task(np.random.default_rng(0)))
    result = learner.meta_gradient(learner.init(np.random.default_rng(0)), task)
    assert {x.dtype.name for x in (result.loss, *leaves(result.gradient))} == {"float32"}


# Variations, on a model whose every derivative is known: y = w x + b, for one support and one query point.
#
#   support loss (w x + b - y)^2, residual r:       gradient 2 r (x, 1), Hessian 2 (x, 1) (x, 1)^T

LINE = nn.Model(
    lambda rng: {"slope": np.array(rng.normal()), "shift": np.array(rng.normal())},
    lambda parameters, x: parameters["slope"] * x + parameters["shift"],
)


def line_task(rng: np.random.Generator) -> Task:
    return Task(*(Examples(*rng.normal(size=(2, 1))) for _ in range(2)))


def line_gradient(at: Any, examples: Examples) -> Any:
    """Of the squared error, in numpy: (d/d slope, d/d shift)."""
    (x,), (y,) = examples.inputs, examples.targets
    return 2 * (at[0] * x + at[1] - y) * np.array([x, 1])


def line_hessian(examples: Examples) -> Any:
    row = np.array([examples.inputs[0], 1])
    return 2 * np.outer(row, row)


def pair(parameters: Any) -> Any:
    return np.array([parameters["slope"], parameters["shift"]])


@share(0.3)
@given(seed=st.integers(0, 10_000), steps=st.integers(1, 4), order=st.sampled_from([1, 2]))
def test_losses_after_each_step_are_weighted(seed: int, steps: int, order: int) -> None:
    rng = np.random.default_rng(seed)
    weights, task = rng.uniform(size=steps), line_task(rng)
    learner = MAML(LINE, nn.mean_squared_error, 0.1, steps, order, step_weights=list(weights))
    start = LINE.init(rng)
    place, contraction, expected = pair(start), np.eye(2), np.zeros(2)
    for weight in weights:
        place = place - 0.1 * line_gradient(place, task.support)
        if order == 2:
            contraction = contraction @ (np.eye(2) - 0.1 * line_hessian(task.support))
        expected = expected + weight * contraction @ line_gradient(place, task.query)
    result = learner.meta_gradient(start, task)
    assert_allclose(pair(result.gradient), expected, rtol=1e-10, atol=1e-12)
    alone = MAML(LINE, nn.mean_squared_error, 0.1, steps, order).meta_gradient(start, task)
    assert_array_equal(result.loss, alone.loss)


def test_the_weight_of_the_last_step_alone_is_maml() -> None:
    learner, parameters, task = problem("sinusoid", 2, 3)
    weighted = dataclasses.replace(learner, step_weights=(0.0, 0.0, 1.0))
    one, other = (x.meta_gradient(parameters, task) for x in (learner, weighted))
    for a, b in zip(leaves(one), leaves(other), strict=True):
        assert_allclose(a, b, rtol=1e-12)


@share(0.3)
@given(seed=st.integers(0, 10_000), order=st.sampled_from([1, 2]))
def test_learned_rates_are_meta_sgd(seed: int, order: int) -> None:
    # theta' = theta - a * g:   d L_Q / d a = -g * q,   d L_Q / d theta = q - H (a * q),   q the gradient at theta'.
    rng = np.random.default_rng(seed)
    learner = MAML(LINE, nn.mean_squared_error, 0.1, 1, order, learned_rates=True)
    start, rates, task = LINE.init(rng), rng.uniform(0.01, 0.3, 2), line_task(rng)
    meta = {"initial": start, "rates": {"slope": np.array(rates[0]), "shift": np.array(rates[1])}}
    inner = line_gradient(pair(start), task.support)
    outer = line_gradient(pair(start) - rates * inner, task.query)
    result = learner.meta_gradient(meta, task).gradient
    assert_allclose(pair(result["rates"]), -inner * outer, rtol=1e-11, atol=1e-13)
    expected = outer - line_hessian(task.support) @ (rates * outer) if order == 2 else outer
    assert_allclose(pair(result["initial"]), expected, rtol=1e-11, atol=1e-13)


@each_problem
@pytest.mark.parametrize("order", [1, 2])
def test_rates_that_have_not_learned_yet_are_the_inner_learning_rate(kind: str, order: int) -> None:
    learner, parameters, task = problem(kind, order, 2)
    meta_sgd = dataclasses.replace(learner, learned_rates=True)
    meta = meta_sgd.init(np.random.default_rng(11))
    for a, b in zip(leaves(meta["initial"]), leaves(parameters), strict=True):
        assert_array_equal(a, b)
    assert meta["rates"].keys() == set(mm.tree.paths(parameters))
    one, other = learner.meta_gradient(parameters, task), meta_sgd.meta_gradient(meta, task)
    for a, b in zip(leaves(one.gradient), leaves(other.gradient["initial"]), strict=True):
        assert_allclose(a, b, rtol=1e-12, atol=1e-15)


@share(0.3)
@given(seed=st.integers(0, 10_000), steps=st.integers(1, 3), order=st.sampled_from([1, 2]))
def test_some_parameters_adapt_and_all_are_learned(seed: int, steps: int, order: int) -> None:
    # Only the shift moves: b_K - b* = (1 - 2a)^K (b - b*) with b* = y - w x, and w is as it was.
    rng = np.random.default_rng(seed)
    start, task = LINE.init(rng), line_task(rng)
    learner = MAML(LINE, nn.mean_squared_error, 0.1, steps, order, adapts=("shift",))
    (x,), (y,) = task.support.inputs, task.support.targets
    left = (1 - 2 * 0.1) ** steps
    best = y - start["slope"] * x
    place = np.array([start["slope"], best + left * (start["shift"] - best)])
    assert_allclose(pair(learner.adapt(start, task.support, steps)[-1]), place, rtol=1e-11)
    outer = line_gradient(place, task.query)
    expected = [outer[0] - (1 - left) * x * outer[1], left * outer[1]] if order == 2 else outer
    assert_allclose(pair(learner.meta_gradient(start, task).gradient), expected, rtol=1e-10, atol=1e-12)


def test_parameters_are_chosen_by_the_beginning_of_a_path_or_by_a_function() -> None:
    model = nn.mlp((2, *[3] * 10, 3), batch_norm=True, dtype=np.float64)
    rng = np.random.default_rng(0)
    parameters = model.init(rng)
    support = Examples(rng.normal(size=(6, 2)), np.arange(6) % 3)
    paths = mm.tree.paths(parameters)

    def moved(adapts: Any) -> set[str]:
        learner = MAML(model, nn.cross_entropy, 0.5, adapts=adapts)
        after = learner.adapt(parameters, support, 1)[-1]
        pairs = zip(paths, leaves(parameters), leaves(after), strict=True)
        return {path for path, before, now in pairs if not np.array_equal(before, now)}

    assert moved(("1",)) == moved("1") == {"1/weight", "1/offset"}  # and not layer 10
    assert moved("10") == {"10/weight", "10/bias"}  # and not layers 1 and 0
    assert moved("1/weight") == {"1/weight"}  # and not a letter of it
    assert moved(["10/bias", "0/weight"]) == {"10/bias", "0/weight"}
    assert moved(lambda path: not path.endswith("offset")) == {path for path in paths if not path.endswith("offset")}
    assert moved(None) == set(paths)
    for misspelt in ("1/bais", ("0", "1/bais"), ["1/bais", "10/weight"]):
        with pytest.raises(
            ConfigurationError, match="adapts names '1/bais', and the parameters are 0/weight, 0/offset"
        ):
            moved(misspelt)
        learner = MAML(model, nn.cross_entropy, 0.5, learned_rates=True, adapts=misspelt)
        with pytest.raises(ConfigurationError, match="adapts names '1/bais'"):
            learner.init(rng)
    for nothing in ((), lambda path: False):
        with pytest.raises(ConfigurationError, match="chooses none of the parameters 0/weight, 0/offset"):
            moved(nothing)
    # By the string '1/bias' only that bias adapts: a letter is no path.
    line = nn.mlp((1, 2, 1))
    with pytest.raises(ConfigurationError, match="adapts names '2/bias'"):
        MAML(line, nn.mean_squared_error, 0.1, adapts="2/bias").adapt(line.init(rng), support, 1)


@pytest.mark.parametrize("order", [1, 2])
def test_rates_are_learned_for_what_adapts(order: int) -> None:
    learner = MAML(LINE, nn.mean_squared_error, 0.1, 2, order, learned_rates=True, adapts=("shift",))
    meta = learner.init(np.random.default_rng(0))
    assert list(meta["rates"]) == ["shift"]
    task = line_task(np.random.default_rng(1))
    result = learner.meta_gradient(meta, task)
    assert mm.tree.flatten(result.gradient)[1] == mm.tree.flatten(meta)[1]


@pytest.mark.parametrize(
    "inner", [optim.sgd(0.05), optim.momentum(0.02), optim.adam(0.01), optim.adam(0.01, beta1=0.0)]
)
@pytest.mark.parametrize("order", [1, 2])
def test_any_optimiser_takes_the_inner_steps(inner: optim.Optimiser, order: int) -> None:
    learner = dataclasses.replace(problem("sinusoid", order, 3)[0], inner_learning_rate=None, inner_optimiser=inner)
    _, parameters, task = problem("sinusoid", order, 3)

    def support_loss(parameters: Any) -> Any:
        return learner.loss(learner.predict(parameters, task.support.inputs), task.support.targets)

    place, state = parameters, inner.init(parameters)
    for adapted in learner.adapt(parameters, task.support, 3):
        for a, b in zip(leaves(adapted), leaves(place), strict=True):
            assert_allclose(a, b, rtol=1e-12, atol=1e-15)
        place, state = inner.update(mm.grad(support_loss)(place), state, place)

    kind = {1: "first order", 2: "second order"}[order]
    check_meta_gradient(learner, task, meta_parameters=parameters, kind=kind)


def test_the_meta_gradient_through_adam_is_finite_where_units_are_dead() -> None:
    # A hidden unit that no example reaches has gradients that are exactly 0, and so second moments of 0.
    model = nn.mlp((1, 4, 1), dtype=np.float64)
    parameters = model.init(np.random.default_rng(0))
    parameters[0]["bias"][1] = -100.0
    task = sinusoid_task(np.random.default_rng(1))
    learner = MAML(model, nn.mean_squared_error, inner_steps=3, inner_optimiser=optim.adam(0.01, beta1=0.0))
    result = learner.meta_gradient(parameters, task)
    assert all(np.isfinite(leaf).all() for leaf in leaves(result))
    assert result.gradient[0]["weight"][0, 1] == 0

    check_meta_gradient(learner, task, meta_parameters=parameters, kind="second order", order=1)


def test_a_learner_is_a_meta_learner() -> None:
    learner: MetaLearner = MAML(nn.mlp((1, 2, 1)), nn.mean_squared_error, 0.1)
    weights: Callable[[Any], list[Any]] = leaves
    one, other = (weights(learner.init(np.random.default_rng(4))) for _ in range(2))
    for a, b in zip(one, other, strict=True):
        assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"order": 3}, r"order=3 must be 2 \(MAML\) or 1"),
        ({"order": 0}, "order=0"),
        ({"inner_steps": -1}, "inner_steps=-1 must not be negative"),
        ({"inner_learning_rate": 0.0}, "inner_learning_rate=0.0 must be positive and finite"),
        ({"inner_learning_rate": float("nan")}, "must be positive and finite"),
        ({"inner_learning_rate": None}, "give inner_learning_rate or inner_optimiser, and not both"),
        ({"inner_optimiser": optim.sgd(0.1)}, "give inner_learning_rate or inner_optimiser, and not both"),
        (
            {"inner_learning_rate": None, "inner_optimiser": optim.sgd(0.1), "learned_rates": True},
            "learned_rates begin with inner_learning_rate",
        ),
        ({"step_weights": (0.5, 0.5)}, r"step_weights=\(0.5, 0.5\) must be one for each of 1 inner_steps"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        MAML(nn.mlp((1, 2, 1)), nn.mean_squared_error, **{"inner_learning_rate": 0.1, **settings})
