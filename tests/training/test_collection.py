import numpy as np
import pytest
from walks import Walk, maml, reptile, walk

import minimeta as mm
from minimeta.errors import ConfigurationError
from minimeta.optim import Optimiser, adam, by_part, sgd
from minimeta.rl import Agent, TrustRegion, mean_return
from minimeta.tasks import Sinusoid
from minimeta.training import TrainingState, evaluate, fit
from minimeta.training.fit import OuterStep

RUNS = [
    (maml(), TrustRegion()),
    (maml(order=1, steps=2), adam(0.01)),
    (reptile(), by_part(initial=sgd(1.0), inner_state=sgd(1.0))),
]


def trained(
    agent: Agent, optimiser: Optimiser | OuterStep, iterations: int, state: TrainingState | None = None
) -> TrainingState:
    return fit(agent, walk, optimiser, iterations=iterations, meta_batch=3, seed=4, state=state)


def equal(one: TrainingState, other: TrainingState) -> bool:
    pairs = zip(mm.tree.flatten(one)[0], mm.tree.flatten(other)[0], strict=True)
    return all(np.array_equal(x, y) for x, y in pairs)


@pytest.mark.parametrize(("agent", "optimiser"), RUNS)
def test_a_resumed_run_equals_one_that_was_not_interrupted(agent: Agent, optimiser: Optimiser | OuterStep) -> None:
    whole = trained(agent, optimiser, 3)
    assert equal(whole, trained(agent, optimiser, 3, trained(agent, optimiser, 1)))
    before = mm.get_num_threads()
    mm.set_num_threads(1)
    try:
        assert equal(whole, trained(agent, optimiser, 3))
    finally:
        mm.set_num_threads(before)


def test_an_agent_is_judged_by_the_returns_of_each_phase() -> None:
    agent = maml()
    meta_parameters = agent.init(np.random.default_rng(0))
    walks = [Walk(float(goal)) for goal in np.linspace(-2, 2, 19)]
    found = evaluate(agent, meta_parameters, walks, metric=mean_return, steps=2, count=19, shots=4)
    assert found.values.shape == (19, 3)
    fewer = evaluate(agent, meta_parameters, walks, metric=mean_return, steps=2, every=2, count=3, shots=4)
    assert np.array_equal(found.values[:3, ::2], fewer.values)
    drawn = evaluate(agent, meta_parameters, walk, metric=mean_return, steps=0, count=2)
    assert not np.array_equal(drawn.values[:, 0], found.values[:2, 0])


def test_listing_too_few_environments_is_refused() -> None:
    agent = maml()
    with pytest.raises(ConfigurationError, match="count=3, and 2 environments are listed"):
        evaluate(agent, None, [Walk(0.0), Walk(1.0)], metric=mean_return, steps=1, count=3)


def test_one_environment_returned_twice_is_refused() -> None:
    same = Walk(0.0)
    with pytest.raises(ConfigurationError, match=r"tasks 0 and 1 of step 0 are one environment \(walk\)"):
        fit(maml(), lambda rng: same, TrustRegion(), iterations=1, meta_batch=2, seed=0)


def test_workers_are_refused_for_an_agent() -> None:
    agent = maml()
    with pytest.raises(ConfigurationError, match="takes steps that need more: leave workers=None"):
        fit(agent, walk, TrustRegion(), iterations=1, meta_batch=2, seed=0, workers=1)
    with pytest.raises(ConfigurationError, match="acts in this process alone"):
        evaluate(agent, None, walk, metric=mean_return, steps=1, count=2, workers=1)


def test_tasks_of_examples_are_refused_for_an_agent() -> None:
    with pytest.raises(ConfigurationError, match="function from a generator to an environment"):
        fit(maml(), Sinusoid.maml(5, 5), TrustRegion(), iterations=1, meta_batch=2, seed=0)
