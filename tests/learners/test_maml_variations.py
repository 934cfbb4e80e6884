"""MAML's variations: losses of all steps, learned rates, a choice of what adapts, any inner optimiser."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from drawing import share
from hypothesis import given
from hypothesis import strategies as st
from maml_problems import each_problem, leaves, problem, sinusoid_task
from numpy.testing import assert_allclose, assert_array_equal

import minimeta as mm
from minimeta import nn, optim
from minimeta.errors import ConfigurationError
from minimeta.learners import MAML, MetaLearner
from minimeta.tasks.task import Examples, Task
from minimeta.testing import check_meta_gradient

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
    model = nn.mlp((1, 4, 1), activation="tanh", dtype=np.float64)
    learner = MAML(model, nn.mean_squared_error, inner_steps=2, order=order, inner_optimiser=inner)
    parameters, task = learner.init(np.random.default_rng(11)), sinusoid_task(np.random.default_rng(12))

    def support_loss(parameters: Any) -> Any:
        return learner.loss(learner.predict(parameters, task.support.inputs), task.support.targets)

    place, state = parameters, inner.init(parameters)
    for adapted in learner.adapt(parameters, task.support, 3):
        for a, b in zip(leaves(adapted), leaves(place), strict=True):
            assert_allclose(a, b, rtol=1e-12, atol=1e-15)
        place, state = inner.update(mm.grad(support_loss)(place), state, place)

    # The second derivatives of an optimiser are tested with it, and those of MAML with gradient descent.
    kind = {1: "first order", 2: "second order"}[order]
    check_meta_gradient(learner, task, meta_parameters=parameters, kind=kind, order=1)


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
        ({"inner_steps": -1}, "inner_steps=-1 must be at least 0"),
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
