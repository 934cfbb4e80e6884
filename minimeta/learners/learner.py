"""The contract of a meta-learner.

A task has a support set to learn from and a query set to judge the learner by. A meta-learner holds
*meta-parameters*, which are the same for all tasks and are learned from many of them. It is written
for a single task; the caller averages the meta-gradients of a batch of tasks and moves the
meta-parameters.

All methods except ``init`` are pure functions of arrays, so that they can be traced, compiled and
run for many tasks at once. State that lasts from task to task is therefore part of the
meta-parameters, whether a gradient learns it or not: an entry ``s`` that should become ``s'`` has
the "gradient" ``s - s'`` and an optimiser that takes it whole, ``sgd(1.0)``. Over a batch of tasks
it becomes the mean of the ``s'``.

**Random numbers are an argument.** A traced function would draw once, and replay that draw. So a
learner whose meta-gradient needs random numbers has one more method. The caller runs it for each
task of each step, with a separate generator that is seeded by the run's seed, the step and the
task:

    ``draw(rng, task)``    a tree of arrays, or None; ``meta_gradient`` finds it in ``task.noise``

It takes every random number from ``rng``, and returns a tree of the same form for all tasks, or
always None. So no bit depends on any other draw. Evaluation draws nothing.

**Data may depend on the learner.** A policy learns from what it does: it samples, adapts, samples
again with what it has become, and so on. There a task is not data yet but an *environment*, and the
learner makes the data, outside of what is traced:

    ``collector(compiled)``    returns ``collect(meta_parameters, environments, steps, generator, count)``

which alternates sampling and adaptation, and returns the batch of tasks that it went through: the
support set of each step of adaptation, in :class:`Phases`, and a query set collected by what has
adapted. ``generator(task, phase)`` is the only source of randomness; ``count`` says how much to
sample in a phase, None for the learner's own number. ``meta_gradient`` is then a pure function of
that batch, as for every learner. :class:`minimeta.rl.Agent` makes such a learner of any other one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from minimeta.tasks.task import Examples, Task

Judgement = Callable[[Any, Any], Any]
"""A scalar function of outputs and targets."""


class Network(Protocol):
    """What a learner adapts: a :class:`~minimeta.nn.Model`, or a policy (:mod:`minimeta.rl.policies`)."""

    @property
    def init(self) -> Callable[[np.random.Generator], Any]:
        """``init(rng) -> parameters``."""

    @property
    def apply(self) -> Callable[..., Any]:
        """``apply(parameters, inputs) -> outputs``."""


class MetaGradient(NamedTuple):
    """What one task says about the meta-parameters.

    Attributes
    ----------
    loss
        The task's loss on its query set after adaptation, a scalar.
    metrics
        Other scalars by name.
    gradient
        A tree like the meta-parameters: the direction whose negative improves them.
    """

    loss: Any
    metrics: Mapping[str, Any]
    gradient: Any


@dataclass(frozen=True, eq=False)
class Phases:
    """The support sets of a task whose data were collected as it was learned, one for each step of adaptation.

    Attributes
    ----------
    sets
        The set of step k was collected by the learner after k steps.
    """

    sets: tuple[Examples, ...]

    def __getitem__(self, index: int) -> Phases:
        """Return the sets of task `index` of a batch."""
        return Phases(tuple(each[index] for each in self.sets))


def of_step(support: Examples | Phases, step: int) -> Examples:
    """Return the support set for a step of adaptation: the same for all steps, unless there are phases."""
    return support.sets[step] if isinstance(support, Phases) else support


class MetaLearner(Protocol):
    """Four methods, by which a learner is trained, evaluated and saved; a random one also has ``draw``."""

    def init(self, rng: np.random.Generator) -> Any:
        """Draw meta-parameters, a tree of float arrays."""

    def adapt(self, meta_parameters: Any, support: Examples, steps: int) -> tuple[Any, ...]:
        """Learn one task: return what ``predict`` needs after 0, 1, ..., ``steps`` steps on its support set."""

    def predict(self, adapted: Any, inputs: Any) -> Any:
        """Return the outputs of the adapted learner for inputs of the same task."""

    def meta_gradient(self, meta_parameters: Any, task: Task) -> MetaGradient:
        """Return what one task says about the meta-parameters; the caller averages over tasks."""


def judge(loss: Judgement, metrics: Mapping[str, Judgement], outputs: Any, targets: Any) -> tuple[Any, dict[str, Any]]:
    """Return the loss and the metrics of some outputs."""
    return loss(outputs, targets), {name: metric(outputs, targets) for name, metric in metrics.items()}


class Noise(NamedTuple):
    """The random numbers of a model for its applications to one task.

    Attributes
    ----------
    steps
        Those for each step of adaptation; None for none.
    query
        Those for the query set; None for none.
    """

    steps: Any = None
    query: Any = None

    @classmethod
    def drawn(cls, model: Network, rng: np.random.Generator, steps: Iterable[Any], query: Any = None) -> Noise | None:
        """Draw for an application to each of these inputs; None for a model that is not random."""
        draw = getattr(model, "draw", None)  # a pair of functions is a model, too
        if draw is None:
            return None
        return cls(tuple(draw(rng, inputs) for inputs in steps), None if query is None else draw(rng, query))

    @classmethod
    def of(cls, task: Task) -> Noise:
        """Return the noise of a task, if any."""
        return NO_NOISE if task.noise is None else task.noise

    def of_step(self, step: int) -> Any:
        """Return the noise for one step of adaptation."""
        return None if self.steps is None else self.steps[step]


NO_NOISE = Noise()


def given(noise: Any) -> tuple[Any, ...]:
    """Return the arguments that follow the inputs of a model's application: the noise, if any."""
    return () if noise is None else (noise,)
