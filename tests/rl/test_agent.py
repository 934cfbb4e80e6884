from functools import partial
from typing import Any

import numpy as np
import pytest
from walks import POLICY, Walk, maml, mean_return, reptile

import minimeta as mm
from minimeta.errors import ConfigurationError
from minimeta.learners import MAML, Reptile
from minimeta.nn import mlp
from minimeta.optim import sgd
from minimeta.rl import Agent
from minimeta.rl.policy_losses import estimated

WALKS = [Walk(0.5), Walk(-1.0)]


def generator(seed: int, task: int, phase: int) -> np.random.Generator:
    return np.random.default_rng([seed, task, phase])


def collected(agent: Agent, walks: list[Walk], steps: int, **options: Any) -> tuple[Any, Any]:
    meta_parameters = agent.init(np.random.default_rng(0))
    return meta_parameters, agent.collector(False)(meta_parameters, walks, steps, partial(generator, 1), **options)


def test_each_phase_is_acted_by_what_the_phases_before_it_made() -> None:
    agent = maml()
    meta_parameters, batch = collected(agent, WALKS, 2)
    assert len(batch.support.sets) == 2
    for task in range(2):
        one = batch[task]
        phases = [*one.support.sets, one.query]
        parameters = meta_parameters
        for k, (examples, rate) in enumerate(zip(phases, (0.2, 0.1, None), strict=True)):
            expected = POLICY.apply(parameters, examples.inputs)
            taken = examples.targets.mask == 1
            assert np.allclose(examples.targets.outputs["mean"][taken], expected["mean"][taken], atol=1e-6), k
            if rate:
                gradient = mm.grad(lambda at, by: estimated(POLICY)(POLICY.apply(at, by.inputs), by.targets))
                descended = gradient(parameters, examples)
                parameters = mm.tree.map(lambda p, g, rate=rate: p - np.float32(rate) * g, parameters, descended)


def test_compiled_or_not_the_bits_are_the_same() -> None:
    agent = maml()
    meta_parameters, batch = collected(agent, WALKS, 1)
    compiled = agent.collector()(meta_parameters, WALKS, 1, partial(generator, 1))
    for ours, theirs in zip(mm.tree.flatten(batch)[0], mm.tree.flatten(compiled)[0], strict=True):
        assert np.array_equal(ours, theirs)


def test_the_meta_gradient_is_a_central_difference() -> None:
    agent = maml()
    meta_parameters, batch = collected(agent, WALKS, 1)
    meta_parameters, task = (
        mm.tree.map(lambda x: x.astype(np.float64) if x.dtype == np.float32 else x, each)
        for each in (meta_parameters, batch[0])
    )
    found = agent.meta_gradient(meta_parameters, task)
    direction = mm.tree.map(lambda x: np.random.default_rng(x.size).normal(size=x.shape), meta_parameters)

    def loss(h: float) -> float:
        moved = mm.tree.map(lambda x, d: x + h * d, meta_parameters, direction)
        return float(agent.judge(agent.outputs(moved, task), task.query.targets)[0])

    along = sum(
        float((g * d).sum())
        for g, d in zip(mm.tree.flatten(found.gradient)[0], mm.tree.flatten(direction)[0], strict=True)
    )
    assert np.isclose(along, (loss(1e-5) - loss(-1e-5)) / 2e-5, rtol=1e-6)
    before, after = (mean_return(each.targets) for each in (task.support.sets[0], task.query))
    assert np.isclose(found.loss, -after)
    assert np.isclose(found.metrics["before"], before)
    assert np.isclose(found.metrics["return"], after)


def test_first_order_maml_takes_the_gradient_where_it_has_arrived() -> None:
    meta_parameters, batch = collected(maml(order=1), WALKS, 1)
    task = batch[0]
    arrived = maml().adapt(meta_parameters, task.support, 1)[-1]
    expected = mm.grad(lambda at: estimated(POLICY)(POLICY.apply(at, task.query.inputs), task.query.targets))(arrived)
    found = maml(order=1).meta_gradient(meta_parameters, task).gradient
    for ours, theirs in zip(mm.tree.flatten(found)[0], mm.tree.flatten(expected)[0], strict=True):
        assert np.allclose(ours, theirs, atol=1e-5)


def test_reptile_points_back_from_where_it_has_arrived() -> None:
    agent = reptile()
    meta_parameters, batch = collected(agent, WALKS, 2)
    task = batch[1]
    arrived = agent.adapt(meta_parameters, task.support, 2)[-1]
    found = agent.meta_gradient(meta_parameters, task).gradient["initial"]
    for g, start, end in zip(
        *(mm.tree.flatten(x)[0] for x in (found, meta_parameters["initial"], arrived)), strict=True
    ):
        assert np.allclose(g, start - end, atol=1e-6)


def test_a_baseline_needs_more_steps_than_features() -> None:
    with pytest.raises(ConfigurationError, match="1 episodes of 6 steps are 6 numbers, and the baseline fits 6"):
        collected(maml(), WALKS, 1, episodes=1)
    with pytest.raises(ConfigurationError, match="at least 1"):
        collected(maml(), WALKS, 1, episodes=0)


def test_settings_out_of_range_are_refused() -> None:
    learner = MAML(POLICY, estimated(POLICY), 0.1)
    for wrong in ({"episodes": 0}, {"discount": 1.5}, {"decay": -0.1}):
        with pytest.raises(ConfigurationError, match=next(iter(wrong))):
            Agent(learner, **wrong)
    others: list[Any] = [POLICY, MAML(mlp((2, 2)), estimated(POLICY), 0.1)]
    for other in others:
        with pytest.raises(ConfigurationError, match="with a policy as the model"):
            Agent(other)


def test_mini_batches_of_what_was_collected_are_refused() -> None:
    agent = Agent(Reptile(POLICY, estimated(POLICY), sgd(0.1), 2, batch_size=2), episodes=5)
    with pytest.raises(ConfigurationError, match="used whole"):
        meta_parameters, batch = collected(agent, WALKS, 2)
        agent.meta_gradient(meta_parameters, batch[0])
