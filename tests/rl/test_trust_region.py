import math
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from walks import Walk, maml, mean_return

import minimeta as mm
from minimeta.errors import ConfigurationError, DataError
from minimeta.learners import MAML, MetaGradient
from minimeta.nn import mean_squared_error, mlp
from minimeta.optim import sgd_by_step
from minimeta.rl import Agent, Categorical, Gaussian, TrustRegion
from minimeta.rl.environments import corridor
from minimeta.rl.estimators import dice, lvc, surrogate
from minimeta.rl.policy_losses import estimated, ratio
from minimeta.rl.trust_region import Curvature, conjugate_gradients, products_at_minimum

AGENT = maml()
META = AGENT.init(np.random.default_rng(0))
WALKS = [Walk(0.5), Walk(-1.0), Walk(1.5)]
COLLECT = AGENT.collector()


def batch_of(seed: int) -> Any:
    return COLLECT(META, WALKS, 1, lambda task, phase: np.random.default_rng([seed, task, phase]))


BATCH: Any = batch_of(13)
JUDGED = mm.compile(
    mm.vmap(lambda at, task: AGENT.judge(AGENT.outputs(at, task), task.query.targets), (None, 0), enabled=False)
)


def judged(parameters: Any, batch: Any) -> tuple[float, float]:
    loss, divergence = map(np.mean, JUDGED(parameters, batch))
    return float(loss), float(divergence)


def flat(parameters: Any) -> Any:
    return np.concatenate([x.ravel() for x in mm.tree.flatten(parameters)[0]]).astype(np.float64)


def like(parameters: Any, vector: Any) -> Any:
    leaves, structure = mm.tree.flatten(parameters)
    parts = np.split(vector, np.cumsum([x.size for x in leaves])[:-1])
    return mm.tree.unflatten(structure, [part.reshape(x.shape) for part, x in zip(parts, leaves, strict=True)])


@given(st.integers(0, 1000))
def test_conjugate_gradients_solve(seed: int) -> None:
    rng = np.random.default_rng(seed)
    root, target = rng.normal(size=(5, 5)), rng.normal(size=5)
    matrix = root @ root.T + np.eye(5)
    found, image = conjugate_gradients(lambda v: matrix @ v, target, 5)
    assert np.allclose(found, np.linalg.solve(matrix, target), rtol=1e-4, atol=1e-4)
    assert np.allclose(image, matrix @ found)


def test_one_iteration_is_the_best_step_along_the_gradient() -> None:
    matrix, g = np.diag([1.0, 10.0]), np.array([1.0, 1.0])
    assert np.allclose(conjugate_gradients(lambda v: matrix @ v, g, 1)[0], g * (g @ g) / (g @ matrix @ g))


def test_what_is_solved_stays_as_it_is() -> None:
    once, more = (conjugate_gradients(lambda v: 2.0 * v, np.ones(3), count)[0] for count in (1, 4))
    assert np.array_equal(once, more)


def test_without_curvature_there_is_no_step() -> None:
    assert np.array_equal(conjugate_gradients(np.zeros_like, np.ones(2), 3)[0], np.zeros(2))


def agent(policy: Any, estimator: Any, **settings: Any) -> Agent:
    loss, rates = estimated(policy, estimator), sgd_by_step((0.2, 0.1))
    return Agent(MAML(policy, loss, inner_optimiser=rates, query_loss=ratio(policy), **settings), episodes=5)


GAUSSIAN = Gaussian(mlp((1, 4, 1), activation="tanh", dtype=np.float64), 1)
CATEGORICAL = Categorical(mlp((3, 4, 2), activation="tanh", dtype=np.float64), 2)
AGENTS = {
    "gaussian": agent(GAUSSIAN, surrogate),
    "categorical": agent(CATEGORICAL, surrogate),
    "two steps": agent(GAUSSIAN, surrogate, inner_steps=2),
    "dice": agent(GAUSSIAN, dice),
    "lvc": agent(CATEGORICAL, lvc),
    "first order": agent(CATEGORICAL, surrogate, order=1),
    "weighted steps": agent(GAUSSIAN, surrogate, inner_steps=2, step_weights=(0.6, 0.4)),
}


class Case:
    """An agent in float64, and a batch of two tasks that it collected; walks end early."""

    def __init__(self, found: Agent) -> None:
        self.agent, self.parameters = found, found.init(np.random.default_rng(1))
        self.tasks = WALKS[:2] if found.policy is GAUSSIAN else [corridor(2, 3, 6), corridor(0, 3, 6)]
        self.batch: Any = found.collector(False)(
            self.parameters, self.tasks, found.inner_steps, lambda *key: np.random.default_rng([13, *key])
        )

    def outputs(self, at: Any) -> Any:
        return [self.agent.outputs(at, self.batch[i]) for i in range(2)]

    def distance(self, outputs: Any) -> Any:
        each = [self.agent.judge(outputs[i], self.batch[i].query.targets)[1] for i in range(2)]
        return (each[0] + each[1]) / 2.0

    def divergence(self, at: Any) -> Any:
        return self.distance(self.outputs(at))


@pytest.mark.parametrize("name", AGENTS)
def test_products_are_those_of_the_hessian(name: str) -> None:
    """The oracles have all that the products leave out: the derivative of the divergence's gradient, and second
    differences of its values, unless an estimator holds what it differentiates constant elsewhere."""
    case, rng = Case(AGENTS[name]), np.random.default_rng(2)
    theta = flat(case.parameters)
    u, v = rng.normal(size=(2, *theta.shape))
    along = like(case.parameters, v)
    found = flat(products_at_minimum(case.outputs, case.distance, case.parameters)[2](along))
    assert np.allclose(found, flat(mm.hvp(case.divergence, (case.parameters,), (along,))[0]), rtol=1e-10, atol=1e-12)
    if name in ("gaussian", "categorical", "two steps"):
        h, signs = 1e-3, (1, -1)
        values = [[case.divergence(like(case.parameters, theta + h * (a * u + b * v))) for b in signs] for a in signs]
        assert np.isclose(u @ found, np.array(signs) @ np.array(values) @ signs / (4 * h * h), rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "curvature"), [*(("gaussian", each) for each in get_args(Curvature)), ("weighted steps", "exact")]
)
def test_one_iteration_steps_along_the_gradient(name: str, curvature: Curvature) -> None:
    """With one iteration, x is g (g . g) / (g . H g), and s follows from x . H x."""
    case = Case(AGENTS[name])
    theta = flat(case.parameters)
    slope = mm.compile(mm.grad(case.divergence))
    h = (1.0 if curvature == "released" else 1e-8) / np.linalg.norm(theta)

    def times(v: Any) -> Any:
        ahead, behind = (flat(slope(like(case.parameters, theta + sign * h * v))) for sign in (1, -1))
        return (ahead - behind) / (2 * h)

    g = np.mean([flat(case.agent.learner.meta_gradient(case.parameters, case.batch[i]).gradient) for i in (0, 1)], 0)
    x = g * (g @ g) / (g @ times(g))
    region = TrustRegion(bound=1e-5, iterations=1, damping=0.0, curvature=curvature)
    found, _, _, _ = region.make_step(case.agent)(case.parameters, (), case.batch)
    shares = (theta - flat(found)) / (x * math.sqrt(2e-5 / (x @ times(x))))
    backtracks = np.log(shares) / np.log(region.shrink)
    assert np.allclose(backtracks, np.round(backtracks[0]), atol=1e-3)


@pytest.mark.parametrize("curvature", get_args(Curvature))
def test_a_step_lowers_the_loss_within_the_bound(curvature: Curvature) -> None:
    region = TrustRegion(iterations=3, curvature=curvature)
    step = region.make_step(AGENT)
    for seed in range(10):
        batch = batch_of(seed)
        found, state, losses, metrics = step(META, region.init(META), batch)
        (before, _), (after, divergence) = judged(META, batch), judged(found, batch)
        # Differences may have lost the curvature in rounding, or lead to where nothing is better.
        stays = curvature != "exact" and np.array_equal(flat(found), flat(META))
        assert stays or (after < before and divergence <= 0.01 + 1e-6)
        assert stays or curvature == "central" or divergence > 0.0005
        assert state == ()
        assert np.allclose(losses, [-mean_return(batch.query.targets[task]) for task in range(3)])
        assert np.array_equal(metrics["return"], -losses)


def test_a_step_need_not_be_of_a_compiled_program() -> None:
    region = TrustRegion(iterations=2)
    outcomes = [region.make_step(AGENT, compiled)(META, (), BATCH)[0] for compiled in (False, True)]
    assert np.array_equal(*map(flat, outcomes))


def test_a_step_that_finds_nothing_better_stays() -> None:
    still = mm.tree.map(lambda x: x, BATCH)
    nothing = type(still.query.targets)(**{**vars(still.query.targets), "advantages": np.zeros((3, 5, 6), np.float32)})
    batch = type(still)(still.support, type(still.query)(still.query.inputs, nothing))
    found, _, _, _ = TrustRegion(iterations=1).make_step(AGENT, False)(META, (), batch)
    assert np.array_equal(flat(found), flat(META))


def test_a_learner_that_answers_for_its_meta_gradient_itself_is_asked() -> None:
    class Still(MAML):
        def meta_gradient(self, meta_parameters: Any, task: Any) -> MetaGradient:
            found = super().meta_gradient(meta_parameters, task)
            return found._replace(gradient=mm.tree.map(lambda x: 0.0 * x, found.gradient))

    case = Case(Agent(Still(GAUSSIAN, AGENTS["gaussian"].learner.loss, 0.1), episodes=5))
    found, _, _, _ = TrustRegion(iterations=1).make_step(case.agent, False)(case.parameters, (), case.batch)
    assert np.array_equal(flat(found), flat(case.parameters))


@pytest.mark.parametrize("phase", [0, 1])
def test_a_task_without_a_step_is_named(phase: int) -> None:
    batch: Any = COLLECT(META, WALKS, 1, lambda *key: np.random.default_rng([13, *key]))
    (batch.support.sets[0], batch.query)[phase].targets.mask[2] = 0.0
    with pytest.raises(DataError, match=rf"task 2 of 3 took no step in phase {phase} \(its mask is 0"):
        TrustRegion(iterations=1).make_step(AGENT, False)(META, (), batch)


def test_settings_out_of_range_are_refused() -> None:
    for wrong in ({"bound": 0.0}, {"iterations": 0}, {"curvature": "none"}, {"shrink": 1.0}, {"damping": -1.0}):
        with pytest.raises(ConfigurationError, match=next(iter(wrong))):
            TrustRegion(**wrong)


def test_a_learner_without_a_policy_is_refused() -> None:
    learner = MAML(mlp((1, 1)), mean_squared_error, 0.1)
    with pytest.raises(ConfigurationError, match="MAML has no policy"):
        TrustRegion().make_step(learner)
