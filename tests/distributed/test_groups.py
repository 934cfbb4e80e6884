"""The sums of groups, in any number of shares, are those of one step to the bit."""

import functools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minimeta import nn
from minimeta.autodiff import tree
from minimeta.distributed import added_up, group_sums, joined, shares
from minimeta.learners import MAML
from minimeta.optim import sgd
from minimeta.tasks import Sinusoid, Task, unstack
from minimeta.training import make_step

LEARNER = MAML(nn.mlp((1, 5, 1)), nn.mean_squared_error, 0.01, 1, metrics={"error": nn.mean_squared_error})
START = LEARNER.init(np.random.default_rng(0))


def drawn(count: int) -> Task:
    return Sinusoid(shots=3, queries=3).sample(np.random.default_rng(count), count)


def bits(parts: Any) -> list[bytes]:
    return [np.ascontiguousarray(leaf).tobytes() for leaf in tree.flatten(parts)[0]]


@given(count=st.integers(1, 60), workers=st.integers(1, 20))
@settings(max_examples=25)
def test_shares_are_whole_groups_in_the_order_of_the_tasks(count: int, workers: int) -> None:
    parts = shares(drawn(count), workers)
    assert len(parts) <= workers
    assert [size for part in parts for size in part.sizes] == sorted(
        (size for part in parts for size in part.sizes), reverse=True
    )
    assert sum(len(part.sizes) for part in parts) == min(count, 16)
    together = tree.map(lambda *each: np.concatenate(each), *(part.batch for part in parts))
    assert bits(together) == bits(drawn(count))
    for part in parts:
        assert len(part.batch.query.inputs) == sum(part.sizes)


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 33])
@pytest.mark.parametrize("workers", [1, 2, 3, 7, 40])
def test_any_number_of_shares_gives_the_bits_of_one_step(count: int, workers: int) -> None:
    # The step of sgd(1.0) is the mean meta-gradient itself.
    batch, of_share = drawn(count), group_sums(LEARNER, True)
    moved, _, report = make_step(LEARNER, sgd(1.0))(START, (), batch)
    sums = [of_share(START, share) for share in shares(batch, workers)]
    losses, metrics, _ = joined(sums)
    gradient = added_up([each.gradient for each in sums])
    found = tree.map(lambda p, g: p - g / np.float32(count), START, gradient)
    assert bits(found) == bits(moved)
    assert bits((losses, metrics)) == bits((report.losses, report.metrics))


def test_sums_are_those_of_eager_tasks_one_after_another() -> None:
    # 300 tasks: more in a group than vmap adds up one after another.
    batch, of_share = drawn(300), group_sums(LEARNER, True)
    sums = joined([of_share(START, share) for share in shares(batch, 2)]).gradient
    gradients = [LEARNER.meta_gradient(START, task).gradient for task in unstack(batch)]
    sizes = [size for share in shares(batch, 2) for size in share.sizes]
    start, expected = 0, []
    for size in sizes:
        group = gradients[start : start + size]
        total = group[0]
        for each in group[1:]:
            total = tree.map(np.add, total, each)
        expected.append(total)
        start += size
    assert start == 300 and max(sizes) > 16
    first, *others = expected[:8], *expected[8:]
    begin = functools.reduce(lambda one, other: tree.map(np.add, one, other), first)
    assert bits(sums) == bits(tree.map(lambda *each: np.stack(each), begin, *others))
