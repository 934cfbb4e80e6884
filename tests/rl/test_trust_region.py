from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from walks import Walk, maml, mean_return

import minimeta as mm
from minimeta.errors import ConfigurationError
from minimeta.learners import MAML
from minimeta.nn import mean_squared_error, mlp
from minimeta.rl import TrustRegion
from minimeta.rl.trust_region import Curvature, conjugate_gradients

AGENT = maml()
META = AGENT.init(np.random.default_rng(0))
WALKS = [Walk(0.5), Walk(-1.0), Walk(1.5)]


def generator(task: int, phase: int) -> np.random.Generator:
    return np.random.default_rng([13, task, phase])


BATCH: Any = AGENT.collector(False)(META, WALKS, 1, generator)


def judged(parameters: Any) -> tuple[float, float]:
    found = [AGENT.judge(AGENT.outputs(parameters, BATCH[i]), BATCH[i].query.targets) for i in range(3)]
    loss, divergence = np.mean(found, axis=0)
    return float(loss), float(divergence)


def flat(parameters: Any) -> Any:
    return np.concatenate([x.ravel() for x in mm.tree.flatten(parameters)[0]]).astype(np.float64)


@given(st.integers(0, 1000))
def test_conjugate_gradients_solve(seed: int) -> None:
    rng = np.random.default_rng(seed)
    root, target = rng.normal(size=(5, 5)), rng.normal(size=5)
    matrix = root @ root.T + np.eye(5)
    found = conjugate_gradients(lambda v: matrix @ v, target, 5)
    assert np.allclose(found, np.linalg.solve(matrix, target), rtol=1e-4, atol=1e-4)


def test_one_iteration_is_the_best_step_along_the_gradient() -> None:
    matrix, g = np.diag([1.0, 10.0]), np.array([1.0, 1.0])
    assert np.allclose(conjugate_gradients(lambda v: matrix @ v, g, 1), g * (g @ g) / (g @ matrix @ g))


def test_without_curvature_there_is_no_step() -> None:
    assert np.array_equal(conjugate_gradients(np.zeros_like, np.ones(2), 3), np.zeros(2))


def test_products_are_those_of_the_hessian() -> None:
    """With one iteration, x is g (g . g) / (g . H g): so a step shows the curvature along the gradient."""
    found, _, _, _ = TrustRegion(iterations=1, damping=0.0, backtracks=1, bound=1e-5).make_step(AGENT, False)(
        META, (), BATCH
    )
    moved = flat(META) - flat(found)
    gradient = np.mean([flat(AGENT.learner.meta_gradient(META, BATCH[i]).gradient) for i in range(3)], axis=0)

    def of_divergence(at: Any) -> Any:
        each = [AGENT.judge(AGENT.outputs(at, BATCH[i]), BATCH[i].query.targets)[1] for i in range(3)]
        return (each[0] + each[1] + each[2]) / 3.0

    # The oracle differentiates the whole divergence twice, third derivatives of the logarithm included.
    sizes = np.cumsum([x.size for x in mm.tree.flatten(META)[0]])[:-1]
    leaves, structure = mm.tree.flatten(META)
    parts = [part.reshape(x.shape).astype(x.dtype) for part, x in zip(np.split(gradient, sizes), leaves, strict=True)]
    (image,) = mm.hvp(of_divergence, (META,), (mm.tree.unflatten(structure, parts),))
    curved = float(gradient @ flat(image))
    assert curved > 0
    assert np.allclose(moved, gradient * np.sqrt(2e-5 / curved), rtol=1e-2, atol=1e-6)


@pytest.mark.parametrize("curvature", get_args(Curvature))
def test_a_step_lowers_the_loss_within_the_bound(curvature: Curvature) -> None:
    region = TrustRegion(curvature=curvature)
    found, state, losses, metrics = region.make_step(AGENT)(META, region.init(META), BATCH)
    (before, _), (after, divergence) = judged(META), judged(found)
    assert divergence <= 0.01 + 1e-6
    assert after < before or curvature == "central"  # whose differences are lost in rounding
    assert curvature == "central" or divergence > 0.001
    assert state == ()
    assert np.allclose(losses, [-mean_return(BATCH.query.targets[task]) for task in range(3)])
    assert np.array_equal(metrics["return"], -losses)


def test_exact_products_need_not_be_of_a_compiled_program() -> None:
    outcomes = [TrustRegion().make_step(AGENT, compiled)(META, (), BATCH)[0] for compiled in (False, True)]
    assert np.array_equal(*map(flat, outcomes))


def test_a_step_that_finds_nothing_better_stays() -> None:
    still = mm.tree.map(lambda x: x, BATCH)
    nothing = type(still.query.targets)(**{**vars(still.query.targets), "advantages": np.zeros((3, 5, 6), np.float32)})
    batch = type(still)(still.support, type(still.query)(still.query.inputs, nothing))
    found, _, _, _ = TrustRegion().make_step(AGENT, False)(META, (), batch)
    assert np.array_equal(flat(found), flat(META))


def test_settings_out_of_range_are_refused() -> None:
    for wrong in ({"bound": 0.0}, {"iterations": 0}, {"curvature": "none"}, {"shrink": 1.0}, {"damping": -1.0}):
        with pytest.raises(ConfigurationError, match=next(iter(wrong))):
            TrustRegion(**wrong)


def test_a_learner_without_a_policy_is_refused() -> None:
    learner = MAML(mlp((1, 1)), mean_squared_error, 0.1)
    with pytest.raises(ConfigurationError, match="MAML has no policy"):
        TrustRegion().make_step(learner)
