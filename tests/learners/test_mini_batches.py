"""Mini-batches go through all examples, again and again."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from minimeta.learners.mini_batches import mini_batches, order
from minimeta.tasks import Examples


@given(examples=st.integers(1, 40), size=st.integers(1, 50), count=st.integers(0, 20))
def test_mini_batches_go_through_all_examples_before_one_comes_again(examples: int, size: int, count: int) -> None:
    numbers = np.arange(examples)
    batches = list(mini_batches(Examples(numbers[:, None] * 1.0, numbers), size, count))
    assert len(batches) == count
    sequence = np.concatenate([np.arange(0), *(batch.targets for batch in batches)])
    for batch in batches:
        assert batch.inputs.shape == (size, 1)
        assert_array_equal(batch.inputs[:, 0], batch.targets)
    for start in range(0, len(sequence), examples):
        one_pass = sequence[start : start + examples]
        assert len(set(one_pass)) == len(one_pass)
    assert_array_equal(sequence, order(examples, size * count))


def test_passes_differ_in_order() -> None:
    passes = order(30, 90).reshape(3, 30)
    assert not (passes == np.arange(30)).all(axis=1).any()
    assert len({tuple(one_pass) for one_pass in passes}) == 3


def test_without_a_size_every_batch_is_all_examples() -> None:
    examples = Examples(np.zeros((4, 2)), np.zeros(4))
    assert all(batch is examples for batch in mini_batches(examples, None, 3))
    assert len(list(mini_batches(examples, None, 3))) == 3
