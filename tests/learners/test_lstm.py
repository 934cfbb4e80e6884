"""The LSTM meta-learner against its equations in numpy, complex steps, and the algorithms it contains."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from drawing import share
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import minimeta as mm
from minimeta import nn
from minimeta.errors import ConfigurationError
from minimeta.learners import MAML, MetaLearner, MetaLSTM, lstm
from minimeta.learners.lstm import preprocess
from minimeta.tasks import Examples, Task
from minimeta.testing import check_meta_gradient

MODEL = nn.mlp((1, 3, 2, 1), activation="tanh", dtype=np.float64)


def leaves(x: Any) -> list[Any]:
    return mm.tree.flatten(x)[0]


def wave(seed: int, examples: int = 4) -> Task:
    rng = np.random.default_rng([seed, 7])
    inputs = rng.uniform(-2, 2, (2, examples, 1))
    targets = 1.5 * np.sin(inputs + rng.normal())
    return Task(Examples(inputs[0], targets[0]), Examples(inputs[1], targets[1]))


def learner_of(order: int = 1, steps: int = 3, **settings: Any) -> MetaLSTM:
    return MetaLSTM(MODEL, nn.mean_squared_error, steps, order, **{"hidden": 4, "input_bias": (-2.0, -1.0), **settings})


def drawn(learner: MetaLSTM, seed: int) -> Any:
    """Meta-parameters with weights large enough for everything to matter."""
    rng = np.random.default_rng(seed)
    parameters = learner.init(rng)
    parameters["layer"] = mm.tree.map(lambda p: rng.normal(size=p.shape) / 3, parameters["layer"])
    parameters["gates"]["weight"] = rng.normal(size=parameters["gates"]["weight"].shape) / 3
    return parameters


# The equations once more, in numpy, coordinate by coordinate, for real and complex numbers


def logistic(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def pre(x: Any) -> tuple[Any, Any]:
    magnitude = abs(np.real(x))
    return (np.log(magnitude) / 10, np.sign(np.real(x))) if magnitude >= np.exp(-10) else (-1.0, np.exp(10) * x)


def unrolled(meta: Any, theta: Any, losses: Any, gradients: Any, recurrence: str) -> Any:
    """``theta_T`` for given losses and gradients, as the paper writes it for one coordinate."""
    hidden = meta["layer"]["weight"].shape[0] // 4
    (w_f, w_i), (b_f, b_i) = meta["gates"]["weight"], meta["gates"]["bias"]
    final = []
    for j, start in enumerate(theta):
        cell, h, c, f, i = start, np.zeros(hidden), np.zeros(hidden), 0.0, 0.0
        for loss, gradient in zip(losses, gradients, strict=True):
            u = np.array([*pre(loss), *pre(gradient[j])])
            z = meta["layer"]["weight"] @ np.concatenate([u, h]) + meta["layer"]["bias"]
            write, keep, show, candidate = z.reshape(4, hidden)
            c = logistic(keep) * c + logistic(write) * np.tanh(candidate)
            h = logistic(show) * np.tanh(c)
            f = w_f @ [*h, cell, f] + b_f
            i = w_i @ [*h, cell, i] + b_i
            cell = logistic(f) * cell - logistic(i) * gradient[j]
            if recurrence == "post_sigmoid":
                f, i = logistic(f), logistic(i)
        final.append(cell)
    return np.array(final)


def flat(parameters: Any) -> Any:
    return np.concatenate([np.ravel(leaf) for leaf in leaves(parameters)])


def model_loss(theta: Any, examples: Examples) -> Any:
    """The loss of MODEL, in numpy, for a vector of parameters that may be complex."""
    place, h = 0, examples.inputs
    for number, (inputs, outputs) in enumerate([(1, 3), (3, 2), (2, 1)]):
        weight = theta[place : place + inputs * outputs].reshape(inputs, outputs)
        place += inputs * outputs
        h = h @ weight + theta[place : place + outputs]
        place += outputs
        h = np.tanh(h) if number < 2 else h
    return np.mean((h - examples.targets) ** 2)


def along(learner: MetaLSTM, meta: Any, support: Examples, scale: float = 1.0) -> tuple[Any, Any]:
    """Losses and gradients at the places that the learner itself passes through."""
    places = [flat(adapted.parameters) for adapted in learner.adapt(meta, support, learner.inner_steps)]
    steps = np.eye(len(places[0])) * 1e-30j
    gradients = [[scale * np.imag(model_loss(p + step, support)) / 1e-30 for step in steps] for p in places[:-1]]
    return [model_loss(p, support) for p in places[:-1]], gradients


@share(0.3)
@given(
    seed=st.integers(0, 10_000),
    steps=st.integers(1, 4),
    order=st.sampled_from([1, 2]),
    recurrence=st.sampled_from(["pre_sigmoid", "post_sigmoid"]),
    divided=st.booleans(),
)
def test_the_trajectory_is_that_of_the_equations(
    seed: int, steps: int, order: int, recurrence: Any, divided: bool
) -> None:
    learner = learner_of(order, steps, recurrence=recurrence, divide_gradient=divided)
    meta, task = drawn(learner, seed), wave(seed)
    losses, gradients = along(learner, meta, task.support, 0.25 if divided else 1.0)  # of 4 examples
    trajectory = learner.adapt(meta, task.support, steps)
    assert isinstance(trajectory, tuple)
    assert len(trajectory) == steps + 1
    for count in range(steps + 1):
        expected = unrolled(meta, flat(meta["initial"]), losses[:count], gradients[:count], recurrence)
        assert_allclose(flat(trajectory[count].parameters), expected, rtol=1e-10, atol=1e-12)


@share(0.3)
@given(
    seed=st.integers(0, 10_000),
    steps=st.integers(1, 4),
    recurrence=st.sampled_from(["pre_sigmoid", "post_sigmoid"]),
)
def test_the_gradient_of_order_1_is_that_of_the_surrogate(seed: int, steps: int, recurrence: Any) -> None:
    # Losses and gradients are numbers, found once; what is differentiated is how the cell state follows from them.
    learner = learner_of(1, steps, recurrence=recurrence)
    meta, task = drawn(learner, seed), wave(seed)
    losses, gradients = along(learner, meta, task.support)
    rng = np.random.default_rng(seed)
    direction = mm.tree.map(lambda p: rng.normal(size=p.shape), meta)
    moved = mm.tree.map(lambda p, u: p + 1e-30j * u, meta, direction)
    theta = unrolled(moved, flat(moved["initial"]), losses, gradients, recurrence)
    expected = np.imag(model_loss(theta, task.query)) / 1e-30
    found = learner.meta_gradient(meta, task)
    assert_allclose(flat(found.gradient) @ flat(direction), expected, rtol=1e-9, atol=1e-11)
    assert_allclose(found.loss, np.real(model_loss(theta, task.query)), rtol=1e-12)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("recurrence", ["pre_sigmoid", "post_sigmoid"])
def test_the_meta_gradient_is_that_of_the_meta_loss(order: int, recurrence: Any) -> None:
    learner = learner_of(order, 2, recurrence=recurrence, hidden=2)
    kind = {1: "first order", 2: "second order"}[order]
    report = check_meta_gradient(learner, wave(5), meta_parameters=drawn(learner, 5), kind=kind)
    assert (report.oracle, report.kind) == ("complex step", kind)


# What it contains


def frozen(learner: MetaLSTM, rate: float, forget: float = 40.0) -> Any:
    """Meta-parameters whose gates are constants: sigmoid(40) is 1 in float64."""
    meta = drawn(learner, 3)
    meta["gates"]["weight"][:] = 0
    meta["gates"]["bias"][:] = [forget, np.log(rate / (1 - rate))]
    return meta


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("order", [1, 2])
def test_with_frozen_gates_it_is_gradient_descent_and_its_gradient_that_of_maml(order: int, steps: int) -> None:
    learner = learner_of(order, steps)
    meta, task = frozen(learner, 0.05), wave(1)
    maml = MAML(MODEL, nn.mean_squared_error, 0.05, steps, order)
    found, expected = learner.meta_gradient(meta, task), maml.meta_gradient(meta["initial"], task)
    assert_allclose(found.loss, expected.loss, rtol=1e-12)
    assert_allclose(flat(found.gradient["initial"]), flat(expected.gradient), rtol=1e-10, atol=1e-14)
    descent = maml.adapt(meta["initial"], task.support, steps)
    for adapted, parameters in zip(learner.adapt(meta, task.support, steps), descent, strict=True):
        assert_allclose(flat(adapted.parameters), flat(parameters), rtol=1e-12, atol=1e-15)


@share(0.2)
@given(forget=st.floats(0.1, 5.0), steps=st.integers(1, 5))
def test_a_constant_forget_gate_scales_the_first_order_gradient(forget: float, steps: int) -> None:
    learner = learner_of(1, steps)
    meta, task = frozen(learner, 0.05, forget), wave(2)
    final = learner.adapt(meta, task.support, steps)[-1].parameters
    at_the_end = mm.grad(lambda p: nn.mean_squared_error(MODEL.apply(p, task.query.inputs), task.query.targets))(final)
    expected = logistic(forget) ** steps * flat(at_the_end)
    assert_allclose(flat(learner.meta_gradient(meta, task).gradient["initial"]), expected, rtol=1e-11)


def test_coordinates_share_weights_and_have_states_of_their_own() -> None:
    # A loss that treats coordinates alike, up to their names: exchanging them exchanges what becomes of them.
    model = nn.Model(lambda rng: rng.normal(size=5), lambda parameters, inputs: inputs * parameters)
    learner = MetaLSTM(model, nn.mean_squared_error, 3, hidden=4)
    meta = {**drawn(learner_of(), 0), "initial": np.random.default_rng(0).normal(size=5)}
    inputs, targets = np.random.default_rng(1).normal(size=(2, 3, 5))
    order = np.array([3, 0, 4, 1, 2])
    one = learner.adapt(meta, Examples(inputs, targets), 3)[-1].parameters
    exchanged = Examples(inputs[:, order], targets[:, order])
    other = learner.adapt({**meta, "initial": meta["initial"][order]}, exchanged, 3)[-1].parameters
    assert_allclose(other, one[order], rtol=1e-12)
    assert len(np.unique(np.round(one - meta["initial"], 9))) == 5


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("size", [1, 4, 16])
def test_coordinates_may_be_updated_in_blocks_of_any_size(size: int, order: int, monkeypatch: Any) -> None:
    learner = learner_of(order, 3)
    meta, task = drawn(learner, 8), wave(8)
    whole, trajectory = learner.meta_gradient(meta, task), learner.adapt(meta, task.support, 3)
    monkeypatch.setattr(lstm, "BLOCK", size)  # of 17 coordinates
    blocks, in_blocks = learner.meta_gradient(meta, task), learner.adapt(meta, task.support, 3)
    for one, other in zip(leaves((whole, trajectory)), leaves((blocks, in_blocks)), strict=True):
        assert_allclose(one, other, rtol=1e-10, atol=1e-13)
    found, eager = (mm.compile(learner.meta_gradient, enabled=on)(meta, task) for on in (True, False))
    for one, other in zip(leaves(found), leaves(eager), strict=True):
        assert one.tobytes() == other.tobytes()


# Preprocessing


@given(st.floats(-1e6, 1e6).filter(lambda x: abs(abs(x) - np.exp(-10)) > 1e-12))
def test_preprocessing_is_the_papers(x: float) -> None:
    assert_allclose(preprocess(x), pre(x), rtol=1e-14, atol=1e-15)


def test_preprocessing_is_continuous_and_finite() -> None:
    kink = np.exp(-10)
    for x in (kink, -kink):
        below, above = (np.array(preprocess(x * (1 + step))) for step in (-1e-12, 1e-12))
        assert_allclose(below, above, atol=1e-11)
    gradient = mm.grad(lambda x: mm.sum(preprocess(x)[0]) + mm.sum(preprocess(x)[1]))(np.array([0.0, 1e-40, 1e30]))
    assert np.isfinite(gradient).all()
    assert_array_equal(preprocess(np.zeros(2)), [[-1, -1], [0, 0]])


# Batch normalisation

NORMALISED = nn.mlp((2, 4, 3), batch_norm=True, dtype=np.float64)


def classes(examples: int, seed: int = 0) -> Task:
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(2, examples, 2))
    return Task(Examples(inputs[0], np.arange(examples) % 3), Examples(inputs[1], np.arange(examples) % 3))


def test_queries_are_normalised_by_the_running_statistics_of_the_support_set() -> None:
    learner = MetaLSTM(NORMALISED, nn.cross_entropy, 3, momentum=0.7)
    meta, task = learner.init(np.random.default_rng(0)), classes(6)
    trajectory = learner.adapt(meta, task.support, 3)
    # Step t sees the support set at the parameters before it.
    running: Any = None
    for adapted, seen in zip(trajectory[1:], trajectory[:-1], strict=True):
        h = task.support.inputs @ seen.parameters[0]["weight"]
        newest = np.stack([h.mean(axis=0), h.var(axis=0)])
        running = newest if running is None else 0.3 * running + 0.7 * newest
        first, last = adapted.parameters
        h = task.query.inputs @ first["weight"]
        h = np.maximum((h - running[0]) / np.sqrt(running[1] + 1e-3) + first["offset"], 0)
        expected = h @ last["weight"] + last["bias"]
        found = learner.predict(adapted, task.query.inputs)
        assert_allclose(found, expected, rtol=1e-10)
        # So the queries do not see each other.
        alone = [learner.predict(adapted, task.query.inputs[i : i + 1])[0] for i in range(6)]
        assert_allclose(alone, found, rtol=1e-12)


def test_without_momentum_queries_are_normalised_by_each_other() -> None:
    learner = MetaLSTM(NORMALISED, nn.cross_entropy, 1)
    meta, task = learner.init(np.random.default_rng(0)), classes(6)
    adapted = learner.adapt(meta, task.support, 1)[-1]
    assert adapted.statistics is None
    assert_array_equal(
        learner.predict(adapted, task.query.inputs), NORMALISED.apply(adapted.parameters, task.query.inputs)
    )


def test_training_is_by_the_statistics_of_each_batch_with_either() -> None:
    meta, task = MetaLSTM(NORMALISED, nn.cross_entropy, 2).init(np.random.default_rng(0)), classes(6)
    results = [
        MetaLSTM(NORMALISED, nn.cross_entropy, 2, momentum=momentum).meta_gradient(meta, task)
        for momentum in (None, 0.9)
    ]
    for one, other in zip(*map(leaves, results), strict=True):
        assert_array_equal(one, other)


# As a learner


def test_initial_meta_parameters() -> None:
    learner: MetaLearner = MetaLSTM(MODEL, nn.mean_squared_error, 2)
    drawn = [learner.init(np.random.default_rng(seed)) for seed in range(20)]
    biases = np.stack([meta["gates"]["bias"] for meta in drawn])
    assert ((biases > [4, -5]) & (biases < [5, -4])).all() and np.ptp(biases, axis=0).min() > 0.5
    for meta in drawn:
        assert meta["layer"]["weight"].shape == (80, 24) and meta["layer"]["bias"].shape == (80,)
        assert meta["gates"]["weight"].shape == (2, 22)
        small = np.concatenate([np.ravel(x) for x in (*leaves(meta["layer"]), meta["gates"]["weight"])])
        assert 0.009 < np.abs(small).max() <= 0.01
    start = MODEL.init(np.random.default_rng(3))
    for one, other in zip(leaves(drawn[3]["initial"]), leaves(start), strict=True):
        assert_array_equal(one, other)


@pytest.mark.parametrize("order", [1, 2])
def test_float32_stays_float32_and_results_are_numpy(order: int) -> None:
    model = nn.mlp((2, 4, 3), batch_norm=True)
    learner = MetaLSTM(model, nn.cross_entropy, 3, order, momentum=0.9, metrics={"accuracy": nn.accuracy})
    task = mm.tree.map(lambda x: x.astype(np.float32) if x.dtype == np.float64 else x, classes(6))
    meta = learner.init(np.random.default_rng(0))
    before = [x.copy() for x in leaves((meta, task))]
    result = learner.meta_gradient(meta, task)
    assert {x.dtype.name for x in leaves((meta, result, learner.adapt(meta, task.support, 2)))} == {"float32"}
    assert all(type(x) is np.ndarray for x in leaves(result))
    assert mm.tree.flatten(result.gradient)[1] == mm.tree.flatten(meta)[1]
    assert set(result.metrics) == {"accuracy"}
    for x, y in zip(leaves((meta, task)), before, strict=True):
        assert_array_equal(x, y)


@pytest.mark.parametrize("order", [1, 2])
def test_compiled_it_has_the_bits_of_the_eager_one(order: int) -> None:
    learner = dataclasses.replace(learner_of(order), model=nn.mlp((1, 5, 1)))
    meta = learner.init(np.random.default_rng(0))
    task = mm.tree.map(lambda x: x.astype(np.float32), wave(0))
    one, other = (
        mm.compile(learner.meta_gradient, enabled=enabled, check=True)(meta, task) for enabled in (True, False)
    )
    for a, b in zip(leaves(one), leaves(other), strict=True):
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"order": 3}, "order=3 must be 1 or 2"),
        ({"inner_steps": 0}, "inner_steps=0"),
        ({"hidden": 0}, "hidden=0"),
        ({"recurrence": "sigmoid"}, "recurrence='sigmoid' must be 'pre_sigmoid' or 'post_sigmoid'"),
        ({"forget_bias": (5.0, 4.0)}, r"forget_bias=\(5.0, 4.0\) must be \(low, high\)"),
        ({"input_bias": (0.0,)}, r"input_bias=\(0.0,\) must be \(low, high\)"),
        ({"momentum": 1.5}, r"momentum=1.5 must be in \(0, 1\], or None"),
        ({"momentum": 0.9, "model": nn.Model(MODEL.init, MODEL.apply)}, "apply_with_statistics, and this has none"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        MetaLSTM(**{"model": MODEL, "loss": nn.mean_squared_error, "inner_steps": 2, **settings})
