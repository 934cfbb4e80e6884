"""Mini-batches of a small set of examples, cycled without replacement.

A pass goes through all examples once, in an order of its own; mini-batches are cut from the passes
laid end to end, so one may hold the end of a pass and the beginning of the next. With n examples,
pass p in the order s_p and size B:

    s_0[0] ... s_0[n-1] s_1[0] ... s_1[n-1] s_2[0] ...
    \\_ batch 0 _/\\_ batch 1 _/\\_ batch 2 _/ ...

The orders s_p are fixed permutations, the same for every task, so that the learner stays a pure
function and is traced once. Randomness belongs to the task: if the examples of a support set come
in random order (:class:`minimeta.tasks.Shuffled`), every pass is in random order, as in the code
released with Nichol et al. 2018. (Only the order of one pass relative to another is the same in all
tasks.)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff import tree
from minimeta.autodiff.operations import take
from minimeta.errors import ConfigurationError
from minimeta.learners.learner import Phases, of_step

if TYPE_CHECKING:
    from minimeta.tasks.task import Examples


def mini_batches(examples: Examples | Phases, size: int | None, count: int) -> Iterator[Examples]:
    """Cut examples into mini-batches.

    Parameters
    ----------
    examples
        The examples of one task; or its phases, which are not cut.
    size
        Examples in a mini-batch, B; None for all of them, in their own order.
    count
        Number of mini-batches.

    Yields
    ------
    Examples
    """
    if size is None:
        yield from (of_step(examples, step) for step in range(count))
        return
    if isinstance(examples, Phases):
        raise ConfigurationError(
            f"mini-batches of {size}: data that a policy collected are used whole, so there is no batch_size"
        )
    # Gather once for all mini-batches; each is then a slice, which costs nothing.
    places = order(len(examples.inputs), size * count)
    laid_out = tree.map(lambda x: take(x, places, 0), examples)
    for start in range(0, size * count, size):
        yield tree.map(lambda x, start=start: x[start : start + size], laid_out)


def order(examples: int, places: int) -> NDArray[Any]:
    """Return the number of the example at each place, shape ``(places,)``."""
    passes = -(-places // examples)
    orders = [np.random.default_rng(number).permutation(examples) for number in range(passes)]
    return np.concatenate([np.arange(0), *orders])[:places]
