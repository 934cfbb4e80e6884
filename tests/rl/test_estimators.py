"""The mean of each estimator over every trajectory, held against exact returns and against algebra in numpy."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import minimeta as mm
from minimeta.errors import ConfigurationError
from minimeta.rl.environments.tabular import Tabular, random_tables
from minimeta.rl.estimators import ESTIMATORS, estimator
from minimeta.rl.expectations import every_trajectory, expected_return

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.tuples(st.integers(2, 3), st.integers(2, 3), st.integers(1, 4)).filter(
    lambda n: (n[0] * n[1]) ** n[2] < 1300
)
STEP = 0.5


def advantages(environment: Tabular, discount: float, baseline: NDArray[np.float64]) -> NDArray[np.float64]:
    """Discounted rewards to go, less a baseline of state and step."""
    every = every_trajectory(environment)
    steps = np.arange(environment.horizon)
    to_go = np.cumsum((discount**steps * every.reward)[:, ::-1], axis=1)[:, ::-1]
    return to_go - baseline[every.state, steps]


def mean_of(name: str, environment: Tabular, advantage: NDArray[np.float64]) -> Any:
    """The mean of an estimator over every trajectory, as a function of a table of logits."""
    every = every_trajectory(environment)

    def mean(theta: Any) -> Any:
        probability = mm.stop_gradient(every.probability(mm.softmax(theta, axis=1)))
        terms = estimator(name)(every.of(mm.log_softmax(theta, axis=1)), advantage)
        return mm.sum(probability * mm.sum(terms, axis=1))

    return mean


def problem(seed: int, sizes: tuple[int, int, int]) -> tuple[Tabular, NDArray[np.float64], NDArray[np.float64]]:
    """An environment, logits, and a baseline."""
    rng = np.random.default_rng(seed)
    environment = random_tables(rng, *sizes)
    return environment, rng.normal(size=sizes[:2]), rng.normal(size=(sizes[0], sizes[2]))


@settings(max_examples=15)
@given(SEEDS, SIZES, st.sampled_from([1.0, 0.9]))
def test_dice_gives_the_exact_meta_gradient(seed: int, sizes: tuple[int, int, int], discount: float) -> None:
    environment, theta, baseline = problem(seed, sizes)
    dice = mean_of("dice", environment, advantages(environment, discount, baseline))

    def exact(theta: Any) -> Any:
        return expected_return(environment, mm.softmax(theta, axis=1), discount)

    found = mm.grad(lambda theta: exact(theta + STEP * mm.grad(dice)(theta)))(theta)
    wanted = mm.grad(lambda theta: exact(theta + STEP * mm.grad(exact)(theta)))(theta)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12 * max(1, abs(wanted).max()))


def test_dice_is_right_at_the_third_order() -> None:
    environment, theta, baseline = problem(0, (2, 2, 3))
    dice = mean_of("dice", environment, advantages(environment, 1.0, baseline))

    def third(function: Any) -> Any:
        along = np.array([[0.3, -1.0], [0.5, 2.0]])

        def along_it(inner: Any) -> Any:
            return lambda theta: mm.sum(mm.grad(inner)(theta) * along)

        return mm.grad(along_it(along_it(function)))(theta)

    wanted = third(lambda theta: expected_return(environment, mm.softmax(theta, axis=1)))
    np.testing.assert_allclose(third(dice), wanted, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", ["surrogate", "lvc"])
def test_the_other_meta_gradients_are_wrong(name: str) -> None:
    environment, theta, baseline = problem(0, (3, 2, 3))
    biased = mean_of(name, environment, advantages(environment, 1.0, baseline))

    def exact(theta: Any) -> Any:
        return expected_return(environment, mm.softmax(theta, axis=1))

    np.testing.assert_allclose(mm.grad(biased)(theta), mm.grad(exact)(theta), rtol=1e-12, atol=1e-14)
    found = mm.grad(lambda theta: exact(theta + STEP * mm.grad(biased)(theta)))(theta)
    wanted = mm.grad(lambda theta: exact(theta + STEP * mm.grad(exact)(theta)))(theta)
    assert np.linalg.norm(found - wanted) > 0.01 * np.linalg.norm(wanted)


@settings(max_examples=15)
@given(SEEDS, SIZES)
def test_hessians_lack_what_the_page_says(seed: int, sizes: tuple[int, int, int]) -> None:
    environment, theta, baseline = problem(seed, sizes)
    advantage, every = advantages(environment, 1.0, baseline), every_trajectory(environment)
    size = theta.size
    policy = np.exp(theta) / np.exp(theta).sum(axis=1, keepdims=True)
    # For a softmax, the gradient of l_t is e_a - pi in the row of its state, and the Hessian is pi pi^T - diag(pi).
    gradient, hessian = np.zeros((*every.state.shape, *theta.shape)), np.zeros((*every.state.shape, size, size))
    for place in np.ndindex(every.state.shape):
        state, row = every.state[place], policy[every.state[place]]
        gradient[place][state] = np.eye(sizes[1])[every.action[place]] - row
        block = slice(state * sizes[1], (state + 1) * sizes[1])
        hessian[place][block, block] = np.outer(row, row) - np.diag(row)
    gradient = gradient.reshape(*every.state.shape, size)
    weight = every.probability(policy)[:, None] * advantage
    before = np.cumsum(gradient, axis=1) - gradient
    curvature = np.einsum("nt,ntij->ij", weight, hessian)
    fisher = np.einsum("nt,nti,ntj->ij", weight, gradient, gradient)
    influence = np.einsum("nt,nti,ntj->ij", weight, before, gradient)
    wanted = {
        "surrogate": curvature,
        "lvc": curvature + fisher,
        "dice": curvature + fisher + influence + influence.T,
    }
    for name in ESTIMATORS:
        found = mm.hessian(mean_of(name, environment, advantage))(theta)
        np.testing.assert_allclose(np.reshape(found, (size, size)), wanted[name], rtol=0, atol=1e-12)


def test_lvc_and_dice_agree_in_episodes_of_one_step() -> None:
    rng = np.random.default_rng(0)
    log_probability, advantage = rng.normal(size=(5, 1)), rng.normal(size=(5, 1))
    hessians = [
        mm.hessian(lambda x, f=f: mm.sum(f(x, advantage)))(log_probability) for f in map(estimator, ("lvc", "dice"))
    ]
    np.testing.assert_array_equal(*hessians)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_what_comes_after_the_end_has_no_effect(name: str) -> None:
    rng = np.random.default_rng(0)
    log_probability, advantage = rng.normal(size=(2, 6)), rng.normal(size=(2, 6))
    advantage[:, 4:] = 0

    def loss(x: Any, advantage: Any) -> Any:
        return mm.sum(estimator(name)(x, advantage))

    for derivative in (mm.grad, mm.hessian):
        whole = derivative(loss)(log_probability, advantage)
        short = derivative(loss)(log_probability[:, :4], advantage[:, :4])
        kept = whole[:, :4] if derivative is mm.grad else whole[:, :4, :, :4]
        np.testing.assert_allclose(kept, short, rtol=1e-12, atol=1e-15)
        assert np.abs(whole).sum() == pytest.approx(np.abs(short).sum(), rel=1e-12)


def test_an_unknown_estimator_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no estimator 'reinforce'; there are surrogate, dice, lvc"):
        estimator("reinforce")


@pytest.mark.parametrize("name", ["surrogate", "lvc", "dice"])
def test_episodes_in_one_row_are_estimated_one_by_one(name: str) -> None:
    rng = np.random.default_rng(0)
    log_probability, advantage = rng.normal(size=(2, 7))
    begin = np.array([0, 0, 0, 3, 4, 4, 4])

    def together(x: Any) -> Any:
        return mm.sum(estimator(name)(x, advantage, begin))

    def apart(x: Any) -> Any:
        parts = ((0, 3), (3, 4), (4, 7))
        return sum(mm.sum(estimator(name)(x[a:b], advantage[a:b])) for a, b in parts)

    for order in (lambda f: f, mm.grad, mm.hessian):
        np.testing.assert_allclose(order(together)(log_probability), order(apart)(log_probability), atol=1e-12)
