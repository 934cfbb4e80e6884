from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import minimeta as mm
from minimeta.errors import ShapeError
from minimeta.nn import mlp
from minimeta.rl import Categorical, Gaussian
from minimeta.testing import check_gradients

GAUSSIAN = Gaussian(mlp((3, 4, 2), dtype=np.float64), 2)
CATEGORICAL = Categorical(mlp((3, 4, 5), dtype=np.float64), 5)
SEEDS = st.integers(0, 1000)


def gaussian_outputs(seed: int) -> dict[str, NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    return {"mean": rng.normal(size=(6, 2)), "log_deviation": rng.normal(0.0, 0.5, (6, 2))}


def log_density(x: Any, mean: Any, deviation: Any) -> Any:
    return np.log(1 / (deviation * np.sqrt(2 * np.pi))) - (x - mean) ** 2 / (2 * deviation**2)


@given(SEEDS)
def test_a_gaussian_is_the_product_of_its_coordinates(seed: int) -> None:
    outputs, rng = gaussian_outputs(seed), np.random.default_rng([seed, 1])
    actions = rng.normal(size=(6, 2))
    expected = log_density(actions, outputs["mean"], np.exp(outputs["log_deviation"])).sum(-1)
    assert np.allclose(GAUSSIAN.log_probability(outputs, actions), expected)


@given(SEEDS)
def test_the_divergence_of_gaussians_is_the_integral(seed: int) -> None:
    old, new = gaussian_outputs(seed), gaussian_outputs(seed + 1)
    x = np.linspace(-40, 40, 4001)[:, None, None]
    p, q = (log_density(x, each["mean"], np.exp(each["log_deviation"])) for each in (old, new))
    expected = np.sum(np.exp(p) * (p - q), axis=(0, 2)) * 0.02
    assert np.allclose(GAUSSIAN.divergence(old, new), expected, rtol=1e-6, atol=1e-8)


@given(SEEDS)
def test_a_categorical_policy_is_softmax(seed: int) -> None:
    rng = np.random.default_rng(seed)
    z, other = rng.normal(size=(2, 7, 5))
    p, q = (np.exp(each) / np.exp(each).sum(-1, keepdims=True) for each in (z, other))
    actions = rng.integers(5, size=7)
    found = CATEGORICAL.log_probability({"logits": z}, actions)
    assert np.allclose(found, np.log(p[np.arange(7), actions]))
    assert np.allclose(CATEGORICAL.divergence({"logits": z}, {"logits": other}), (p * np.log(p / q)).sum(-1))


def test_actions_have_the_distribution_of_the_outputs() -> None:
    rng, many = np.random.default_rng(0), 100_000
    outputs = {"mean": np.array([1.0, -2.0]), "log_deviation": np.log([0.5, 3.0])}
    actions = GAUSSIAN.act(outputs, GAUSSIAN.noise(rng, (many,)))
    assert np.allclose(actions.mean(0), [1.0, -2.0], atol=0.05)
    assert np.allclose(actions.std(0), [0.5, 3.0], rtol=0.02)
    p = np.array([0.1, 0.2, 0.3, 0.25, 0.15])
    chosen = CATEGORICAL.act({"logits": np.log(p)}, CATEGORICAL.noise(rng, (many,)))
    assert np.allclose(np.bincount(chosen, minlength=5) / many, p, atol=0.01)


@pytest.mark.parametrize("policy", [GAUSSIAN, CATEGORICAL])
def test_derivatives_of_probability_and_divergence(policy: Gaussian | Categorical) -> None:
    rng = np.random.default_rng(2)
    parameters, observations = policy.init(rng), rng.normal(size=(4, 3))
    actions = policy.act(policy.apply(parameters, observations), policy.noise(rng, (4,)))
    old = mm.tree.map(lambda x: x + 0.1 * rng.normal(size=x.shape), policy.apply(parameters, observations))
    check_gradients(lambda at: policy.log_probability(policy.apply(at, observations), actions).sum(), parameters)
    check_gradients(lambda at: policy.divergence(old, policy.apply(at, observations)).sum(), parameters)


def test_the_deviation_has_a_floor() -> None:
    parameters = GAUSSIAN.init(np.random.default_rng(0)) | {"log_deviation": np.array([-50.0, 0.0])}
    assert np.allclose(GAUSSIAN.apply(parameters, np.zeros((1, 3)))["log_deviation"], [[np.log(1e-6), 0.0]])


@pytest.mark.parametrize(("policy", "outputs"), [(Gaussian(mlp((3, 2)), 1), 2), (Categorical(mlp((3, 1)), 4), 1)])
def test_a_network_has_an_output_for_each_action(policy: Gaussian | Categorical, outputs: int) -> None:
    parameters = policy.init(np.random.default_rng(0))
    with pytest.raises(ShapeError, match=f"network has {outputs} outputs, and actions={policy.actions}"):
        policy.apply(parameters, np.zeros((1, 3), np.float32))


def test_a_small_last_layer_favours_no_action_at_first_and_draws_nothing_else() -> None:
    network = mlp((3, 4, 2))
    plain, small = (Gaussian(network, 2, last_layer=factor).init(np.random.default_rng(0)) for factor in (1.0, 0.25))
    assert np.array_equal(small["mean"][-1]["weight"], plain["mean"][-1]["weight"] / 4)
    small["mean"][-1]["weight"] = plain["mean"][-1]["weight"]
    for one, other in zip(mm.tree.flatten(small)[0], mm.tree.flatten(plain)[0], strict=True):
        assert np.array_equal(one, other) and one.dtype == other.dtype == np.float32
