import numpy as np
import pytest
from walks import Walk, maml

import minimeta as mm
from minimeta.errors import ConfigurationError
from minimeta.optim import adam, sgd
from minimeta.rl.repeated import Repeated

AGENT = maml()
META = AGENT.init(np.random.default_rng(0))
BATCH = AGENT.collector(False)(
    META, [Walk(0.5), Walk(-1.0)], 1, lambda task, phase: np.random.default_rng([9, task, phase])
)


@pytest.mark.parametrize("compiled", [False, True])
def test_steps_are_those_of_the_optimiser_by_the_mean_gradient(compiled: bool) -> None:
    optimiser = adam(0.01)
    outer = Repeated(optimiser, 3)
    found, state, losses, metrics = outer.make_step(AGENT, compiled)(META, outer.init(META), BATCH)
    parameters, expected = META, optimiser.init(META)
    for _ in range(3):
        gradients = [AGENT.meta_gradient(parameters, BATCH[i]).gradient for i in range(2)]
        mean = mm.tree.map(lambda g, h: (g + h) / 2, *gradients)
        parameters, expected = optimiser.update(mean, expected, parameters)
    for ours, theirs in zip(
        mm.tree.flatten((found, state))[0], mm.tree.flatten((parameters, expected))[0], strict=True
    ):
        assert np.allclose(ours, theirs, atol=1e-6)
    assert np.array_equal(losses, -metrics["return"])


def test_no_step_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="times=0"):
        Repeated(sgd(0.1), 0)
