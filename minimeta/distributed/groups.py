"""The sum over tasks, taken apart so that many processes can share it and no bit changes.

One process adds up the meta-gradients of a step's tasks in at most sixteen *groups* of neighbours
(:func:`minimeta.autodiff.steps.group_bounds`): in order inside of each group, then over the groups,

    g = s_1 + s_2 + ... + s_16,    s_k = g(theta, T_i) + g(theta, T_(i+1)) + ... + g(theta, T_j)

Addition of floats is not associative, so the sum of some groups could not be continued elsewhere.
But every ``s_k`` depends on the tasks of its group alone. So a worker has a *share* of some
neighbouring groups and returns one sum for each of them, and all sums are added up in order at the
end: one process, seven, or three machines with two threads each compute the same bits (book,
chapter 10). The first share is how the sum begins, so its worker adds it up and returns one sum.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from minimeta.autodiff import tree
from minimeta.autodiff.operations import add
from minimeta.autodiff.steps import group_bounds
from minimeta.learners import MetaLearner
from minimeta.program import compile, vmap
from minimeta.tasks import Task

#: vmap adds up as many tasks, or fewer, one after another: each is a group.
_IN_ORDER = 16


class GroupSums(NamedTuple):
    """What the tasks of some groups say about the meta-parameters.

    Attributes
    ----------
    losses
        Of each task, shape ``(tasks,)``.
    metrics
        By name, each of shape ``(tasks,)``.
    gradient
        A tree like the meta-parameters, whose arrays have a leading axis over groups: the sum of
        the meta-gradients of each group, or one of all groups if these are the first.
    """

    losses: Any
    metrics: dict[str, Any]
    gradient: Any


class Share(NamedTuple):
    """Some neighbouring groups of a batch.

    Attributes
    ----------
    batch
        Their tasks, stacked.
    sizes
        The number of tasks of each group.
    is_first
        Whether they are the first groups.
    """

    batch: Task
    sizes: tuple[int, ...]
    is_first: bool


def shares(batch: Task, count: int) -> list[Share]:
    """Divide the groups of a batch among `count` workers, as evenly as whole groups allow.

    Returns
    -------
    list of Share
        In the order of the tasks. There are fewer than `count` if there are fewer groups.
    """
    bounds = group_bounds(len(tree.flatten(batch)[0][0]))
    groups = len(bounds) - 1
    cuts = [groups * worker // count for worker in range(count + 1)]
    return [
        Share(
            tree.map(lambda x, start=bounds[first], stop=bounds[last]: x[start:stop], batch),
            tuple(stop - start for start, stop in itertools.pairwise(bounds[first : last + 1])),
            first == 0,
        )
        for first, last in itertools.pairwise(cuts)
        if first < last
    ]


def group_sums(learner: MetaLearner, compiled: bool) -> Callable[[Any, Share], GroupSums]:
    """Return a function of meta-parameters and a share that computes the sum of each of its groups."""

    def of_group(meta_parameters: Any, batch: Task) -> tuple[Any, dict[str, Any], Any]:
        mapped = functools.partial(vmap, learner.meta_gradient, (None, 0), enabled=compiled)
        if len(tree.flatten(batch)[0][0]) <= _IN_ORDER:
            losses, metrics, gradient = mapped({"loss": 0, "metrics": 0, "gradient": "sum"})(meta_parameters, batch)
            return losses, dict(metrics), gradient
        losses, metrics, gradients = mapped(0)(meta_parameters, batch)
        return losses, dict(metrics), tree.map(lambda each: functools.reduce(add, list(each)), gradients)

    of_group.__qualname__ = f"the meta-gradients of {type(learner).__name__}"
    of_groups = compile(vmap(of_group, (None, 0), enabled=compiled), enabled=compiled, check=True)

    total = compile(added_up, enabled=compiled, check=True)

    def of_share(meta_parameters: Any, share: Share) -> GroupSums:
        found, start = [], 0
        for size, alike in itertools.groupby(share.sizes):
            groups = len(list(alike))
            stop = start + groups * size
            batch = tree.map(
                lambda x, at=slice(start, stop), shape=(groups, size): x[at].reshape(*shape, *x.shape[1:]), share.batch
            )
            losses, metrics, gradient = of_groups(meta_parameters, batch)
            flat = {name: np.reshape(values, -1) for name, values in metrics.items()}
            found.append(GroupSums(np.reshape(losses, -1), flat, gradient))
            start = stop
        losses, metrics, gradient = joined(found)
        if share.is_first:
            gradient = tree.map(lambda each: np.expand_dims(each, 0), total([gradient]))
        return GroupSums(losses, metrics, gradient)

    return of_share


def joined(parts: Sequence[Any]) -> Any:
    """Return the arrays of all parts, one part after another."""
    return parts[0] if len(parts) == 1 else tree.map(lambda *each: np.concatenate(each), *parts)


def added_up(gradients: Sequence[Any]) -> Any:
    """Return the sum over the groups of all parts, one after another.

    Parameters
    ----------
    gradients
        Of each part, in order: a tree whose arrays have a leading axis over groups.
    """

    def total(*sums: Any) -> Any:
        return functools.reduce(add, itertools.chain.from_iterable(sums))

    return tree.map(total, *gradients)
