import numpy as np
from numpy.testing import assert_array_equal

from minimeta.tasks import Examples, Shuffled, Sinusoid, Task


class Numbered:
    """Tasks whose examples are numbers, in order."""

    def sample(self, rng: np.random.Generator, count: int) -> Task:
        numbers = np.tile(np.arange(8), (count, 1))
        return Task(Examples(10.0 * numbers[..., None], numbers), Examples(numbers * 1.0, numbers))


def test_each_support_set_has_an_order_of_its_own() -> None:
    batch = Shuffled(Numbered()).sample(np.random.default_rng(0), 100)
    assert_array_equal(batch.support.inputs[..., 0], 10.0 * batch.support.targets)
    assert_array_equal(np.sort(batch.support.targets, axis=1), np.tile(np.arange(8), (100, 1)))
    assert_array_equal(batch.query.targets, np.tile(np.arange(8), (100, 1)))
    assert len({tuple(row) for row in batch.support.targets}) > 95
    # Uniform: each example is first in an eighth of the tasks, 12.5 +- 3.3 of 100.
    counts = np.bincount(batch.support.targets[:, 0], minlength=8)
    assert counts.min() >= 3 and counts.max() <= 26


def test_the_tasks_are_those_of_the_distribution() -> None:
    plain, shuffled = (tasks.sample(np.random.default_rng(7), 3) for tasks in (Sinusoid(), Shuffled(Sinusoid())))
    assert_array_equal(plain.query.inputs, shuffled.query.inputs)
    assert_array_equal(np.sort(plain.support.inputs, axis=1), np.sort(shuffled.support.inputs, axis=1))
