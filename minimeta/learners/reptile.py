"""Reptile: move towards the parameters that each task arrives at.

Nichol, Achiam and Schulman 2018 (arXiv:1803.02999), algorithms 1 and 2. A task turns the parameters
``theta`` into ``phi`` by k steps of an ordinary optimiser ``U`` on mini-batches of its examples,
and

    phi_i = U^k(theta; task i),    theta <- theta + epsilon (phi_1 + ... + phi_n - n theta) / n.

With one task at a time this is the paper's serial version, with n tasks its batched one. As a
gradient for the caller to average it is

    g = theta - phi,    which for plain descent with step size a is    a (g_1 + ... + g_k),

the sum of the mini-batches' gradients along the way. With one step it is the gradient of the joint
loss; with two or more its expectation has a second term, and that term learns to learn (section
5.1; book, chapter 7): it makes mini-batches of the same task agree.

**The state of the inner optimiser.** The paper uses Adam without momentum (beta1 = 0), and its
released code has *one* such optimiser: each task starts from the parameters ``theta``, but from the
second moments and the step count that earlier tasks have left, in evaluation too. Here that state
``s`` is part of the meta-parameters, and moves by

    s <- (s_1 + ... + s_n) / n,    s_i the state in which task i ends.

The serial version is that of the released code. In the batched one the released code hands the
state from task to task of the batch; here all tasks start from the same state, and may run in
parallel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from minimeta.autodiff import grad, tree
from minimeta.autodiff.operations import subtract
from minimeta.counts import check_counts
from minimeta.learners.descent import descent
from minimeta.learners.learner import NO_NOISE, Judgement, MetaGradient, Network, Noise, given, judge
from minimeta.learners.mini_batches import mini_batches
from minimeta.optim import Optimiser, by_part, linear_decay, sgd

if TYPE_CHECKING:
    from minimeta.tasks.task import Examples, Task


@dataclass(frozen=True)
class Reptile:
    """Reptile with any inner optimiser.

    The meta-parameters are a dict of ``initial``, the model's parameters, and ``inner_state``, the
    state of the inner optimiser (``()`` if each task starts with a new one); :func:`outer_step`
    moves both. The adapted parameters are the model's.

    A task's support set is the pool of its mini-batches, which in meta-training is usually larger
    (``train-shots`` in the released code) than in evaluation; its query set is for the reported
    loss alone.

    Parameters
    ----------
    model
        ``init(rng)`` and ``apply(parameters, inputs)``.
    loss
        ``loss(outputs, targets)``, a scalar.
    inner_optimiser
        ``U``, for example ``sgd(0.02)``, or ``adam(0.001, beta1=0.0)`` as in the paper.
    inner_steps
        ``k``, the steps of adaptation in meta-training.
    batch_size
        Examples of a mini-batch in meta-training (:mod:`minimeta.learners.mini_batches`); None for
        the whole pool.
    evaluation_batch_size
        The same in evaluation, where ``adapt`` is called.
    shared_state
        Whether the inner optimiser's state lasts from task to task; otherwise each task starts with
        a new one.
    metrics
        Other scalar functions of outputs and targets, by name, measured on the query set after
        adaptation.

    Raises
    ------
    ConfigurationError
        If a setting is out of range.
    """

    model: Network
    loss: Judgement
    inner_optimiser: Optimiser
    inner_steps: int
    batch_size: int | None = None
    evaluation_batch_size: int | None = None
    shared_state: bool = True
    metrics: Mapping[str, Judgement] = field(default_factory=dict)

    def __post_init__(self) -> None:
        sizes = [name for name in ("batch_size", "evaluation_batch_size") if getattr(self, name) is not None]
        check_counts(self, " ".join(["inner_steps", *sizes]))

    def init(self, rng: np.random.Generator) -> Any:
        """Draw the initial parameters, and make a new state of the inner optimiser."""
        initial = self.model.init(rng)
        return {"initial": initial, "inner_state": self.inner_optimiser.init(initial) if self.shared_state else ()}

    def draw(self, rng: np.random.Generator, task: Task) -> Noise | None:
        """Draw the model's noise for each mini-batch; None for a model without ``draw``."""
        batches = mini_batches(task.support, self.batch_size, self.inner_steps)
        return Noise.drawn(self.model, rng, (batch.inputs for batch in batches))

    def adapt(self, meta_parameters: Any, support: Examples, steps: int) -> tuple[Any, ...]:
        """Return the parameters after 0, 1, ..., ``steps`` steps on mini-batches of the support set."""
        return tuple(p for p, _ in self._descent(meta_parameters, support, steps, self.evaluation_batch_size))

    def predict(self, adapted: Any, inputs: Any) -> Any:
        """Return the model's outputs."""
        return self.model.apply(adapted, inputs)

    def meta_gradient(self, meta_parameters: Any, task: Task) -> MetaGradient:
        """Return the meta-parameters minus those that the task arrives at."""
        # phi = U^k(theta)
        noise = Noise.of(task)
        phi, state = self._descent(meta_parameters, task.support, self.inner_steps, self.batch_size, noise)[-1]
        outputs = self.predict(phi, task.query.inputs)
        reached = {"initial": phi, "inner_state": state if self.shared_state else ()}
        gradient = tree.map(subtract, meta_parameters, reached)
        return MetaGradient(*judge(self.loss, self.metrics, outputs, task.query.targets), gradient)

    def _descent(
        self,
        meta_parameters: Any,
        support: Examples,
        steps: int,
        batch_size: int | None,
        noise: Noise = NO_NOISE,
    ) -> list[tuple[Any, Any]]:
        """Return parameters and optimiser states after 0, 1, ..., ``steps`` steps."""

        def loss(parameters: Any, batch: Examples, noise: Any) -> Any:
            return self.loss(self.model.apply(parameters, batch.inputs, *given(noise)), batch.targets)

        initial = meta_parameters["initial"]
        state = meta_parameters["inner_state"] if self.shared_state else self.inner_optimiser.init(initial)
        batches = mini_batches(support, batch_size, steps)
        return descent(
            lambda parameters, step: grad(loss)(parameters, next(batches), noise.of_step(step)),
            self.inner_optimiser,
            initial,
            state,
            steps,
        )


def outer_step(step_size: float, iterations: int, final: float = 0.0) -> Optimiser:
    """Return the outer step of :class:`Reptile`,
    ``theta <- theta + epsilon (mean of phi - theta)``, with linear decay.

    Parameters
    ----------
    step_size
        ``epsilon`` at the first step.
    iterations
        Number of steps of the decay.
    final
        The fraction of ``step_size`` at its end.

    Returns
    -------
    Optimiser
        For ``initial``, and for ``inner_state``, which becomes the mean of the states in which the
        tasks end.
    """
    return by_part(initial=linear_decay(sgd(step_size), iterations, final), inner_state=sgd(1.0))
