"""MAML: learn the initial parameters from which a few gradient steps solve a new task.

Finn, Abbeel and Levine 2017 (arXiv:1703.03400), algorithm 1. With ``L_S`` the loss on a task's
support set and ``L_Q`` on its query set,

    theta_0 = theta,    theta_{k+1} = theta_k - a grad L_S(theta_k)            (adaptation, equation 1)
    minimise over theta the mean over tasks of L_Q(theta_K)                    (the meta-objective)

The meta-gradient follows the chain rule through the steps,

    d L_Q(theta_K) / d theta = (I - a H_0) (I - a H_1) ... (I - a H_{K-1}) grad L_Q(theta_K),

where ``H_k`` is the Hessian of ``L_S`` at ``theta_k``. None of this is written below: the inner
gradient is an ordinary computation, and to differentiate it again gives these products without ever
forming a Hessian (book, chapter 6, equations 6.2 and 6.3).

First-order MAML (section 5.2 of the paper) takes every ``H_k`` as 0: the meta-gradient is
``grad L_Q(theta_K)`` (equation 6.4 there). It is the same code with the inner gradients held
constant, ``order=1``.

Five variations, each an option:

    step_weights       the objective w_1 L_Q(theta_1) + ... + w_K L_Q(theta_K): Antoniou et al. 2019 (arXiv:1810.09502)
    learned_rates      a is a vector and is learned with theta, one rate for each parameter: Meta-SGD, Li et al. 2017
                       (arXiv:1707.09835)
    adapts             only these parameters move in adaptation; the others are meta-learned. The last layer alone is
                       ANIL, Raghu et al. 2020 (arXiv:1909.09157)
    inner_optimiser    any optimiser takes the steps of adaptation, with a new state for each task
    query_loss         L_Q is another function than L_S
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from minimeta.autodiff import grad, tree, value_and_grad
from minimeta.autodiff.operations import stop_gradient, subtract
from minimeta.counts import whole_number
from minimeta.errors import ConfigurationError
from minimeta.learners.descent import descent
from minimeta.learners.learner import NO_NOISE, Judgement, MetaGradient, Network, Noise, given, judge, of_step
from minimeta.optim import Optimiser, sgd

if TYPE_CHECKING:
    from minimeta.tasks.task import Examples, Task


@dataclass(frozen=True)
class MAML:
    """Model-agnostic meta-learning, second order or first.

    The meta-parameters are the model's parameters, and so are the adapted ones; with
    ``learned_rates`` the meta-parameters are a dict of ``initial``, the model's parameters, and
    ``rates``.

    Parameters
    ----------
    model
        ``init(rng)`` and ``apply(parameters, inputs)``.
    loss
        ``loss(outputs, targets)``, a scalar.
    inner_learning_rate
        ``a``, which has a meaning only together with the loss's reduction. With ``learned_rates``,
        the initial rates.
    inner_steps
        ``K``, the steps of adaptation during meta-training.
    order
        2 for MAML; 1 for first-order MAML.
    metrics
        Other scalar functions of outputs and targets, by name, measured on the query set after
        adaptation.
    step_weights
        ``w_1, ..., w_K``, the weights of the query losses after each step in the meta-objective;
        None is 0, ..., 0, 1. The reported loss is that after the last step.
    learned_rates
        Whether the inner learning rate is a meta-parameter, one for each parameter that adapts.
    adapts
        Which parameters adapt, by their paths (:func:`minimeta.tree.paths`): the beginning of a
        path or several of them, as ``"4"`` for the last of five layers or ``("3", "4/bias")`` for
        the one before it and the last bias; or a function from path to truth value. None for all.
    inner_optimiser
        The optimiser that takes the steps of adaptation, in place of ``inner_learning_rate``.
    query_loss
        The loss on the query set; None for the one of adaptation.

    Raises
    ------
    ConfigurationError
        If a setting is out of range, or two contradict each other; in ``init`` and ``adapt``, if a
        path in ``adapts`` belongs to no parameter.
    """

    model: Network
    loss: Judgement
    inner_learning_rate: float | None = None
    inner_steps: int = 1
    order: int = 2
    metrics: Mapping[str, Judgement] = field(default_factory=dict)
    step_weights: Sequence[float] | None = None
    learned_rates: bool = False
    adapts: str | Sequence[str] | Callable[[str], bool] | None = None
    inner_optimiser: Optimiser | None = None
    query_loss: Judgement | None = None

    def __post_init__(self) -> None:
        rate = self.inner_learning_rate
        if self.order not in (1, 2):
            raise ConfigurationError(f"MAML: order={self.order} must be 2 (MAML) or 1 (first-order MAML)")
        whole_number("MAML", "inner_steps", self.inner_steps, 0)
        if (rate is None) == (self.inner_optimiser is None):
            raise ConfigurationError("MAML: give inner_learning_rate or inner_optimiser, and not both")
        if rate is not None and not 0 < rate < float("inf"):
            raise ConfigurationError(f"MAML: inner_learning_rate={rate} must be positive and finite")
        if self.learned_rates and rate is None:
            raise ConfigurationError("MAML: learned_rates begin with inner_learning_rate, not with an inner_optimiser")
        if self.step_weights is not None and len(self.step_weights) != self.inner_steps:
            raise ConfigurationError(
                f"MAML: step_weights={tuple(self.step_weights)} must be one for each of {self.inner_steps} inner_steps"
                ", or none for the loss after the last alone"
            )

    def init(self, rng: np.random.Generator) -> Any:
        """Draw the initial parameters, and the rates if they are learned."""
        initial = self.model.init(rng)
        return {"initial": initial, "rates": self._start(initial)[1]} if self.learned_rates else initial

    def draw(self, rng: np.random.Generator, task: Task) -> Noise | None:
        """Draw the model's noise for each step of adaptation and for the query set; None without ``model.draw``."""
        return Noise.drawn(self.model, rng, [task.support.inputs] * self.inner_steps, task.query.inputs)

    def adapt(self, meta_parameters: Any, support: Examples, steps: int, noise: Noise = NO_NOISE) -> tuple[Any, ...]:
        """Return the parameters after 0, 1, ..., ``steps`` gradient steps on the support set."""
        initial = meta_parameters["initial"] if self.learned_rates else meta_parameters
        moving, state = self._start(initial)
        if self.learned_rates:
            state = meta_parameters["rates"]

        def gradient(moving: Any, step: int) -> Any:
            return self._gradient(moving, initial, of_step(support, step), noise.of_step(step))

        # theta_{k+1} = theta_k - a grad L_S(theta_k)
        trajectory = descent(gradient, self._optimiser, moving, state, steps)
        return tuple(_replaced(initial, moving) for moving, _ in trajectory)

    def predict(self, adapted: Any, inputs: Any) -> Any:
        """Return the model's outputs."""
        return self.model.apply(adapted, inputs)

    def meta_gradient(self, meta_parameters: Any, task: Task) -> MetaGradient:
        """Return ``L_Q(theta_K)`` and the gradient of the meta-objective with respect to the meta-parameters."""
        noise = Noise.of(task)

        def objective(meta_parameters: Any) -> tuple[Any, Any]:
            *before, last = self.adapt(meta_parameters, task.support, self.inner_steps, noise)
            outputs = self.model.apply(last, task.query.inputs, *given(noise.query))
            loss, metrics = judge(self.query_loss or self.loss, self.metrics, outputs, task.query.targets)
            if self.step_weights is None:
                return loss, (loss, metrics)
            *weights, final = self.step_weights
            # w_1 L_Q(theta_1) + ... + w_K L_Q(theta_K)
            query_loss = self.query_loss or self.loss
            losses = [self._loss(parameters, task.query, noise.query, query_loss) for parameters in before[1:]]
            return sum((w * each for w, each in zip(weights, losses, strict=True)), final * loss), (loss, metrics)

        (_, (loss, metrics)), gradient = value_and_grad(objective, has_aux=True)(meta_parameters)
        return MetaGradient(loss, metrics, gradient)

    def _gradient(self, moving: Any, initial: Any, support: Examples, noise: Any) -> Any:
        """Return ``grad L_S`` with respect to the moving parameters; for first-order MAML, as a constant."""
        if self.order == 1:
            moving, initial = stop_gradient((moving, initial))
        return grad(lambda some: self._loss(_replaced(initial, some), support, noise))(moving)

    def _loss(self, parameters: Any, examples: Examples, noise: Any, loss: Judgement | None = None) -> Any:
        return (loss or self.loss)(self.model.apply(parameters, examples.inputs, *given(noise)), examples.targets)

    @property
    def _optimiser(self) -> Optimiser:
        if self.inner_optimiser is not None:
            return self.inner_optimiser
        assert self.inner_learning_rate is not None
        return (_meta_sgd if self.learned_rates else sgd)(self.inner_learning_rate)

    def _start(self, initial: Any) -> tuple[dict[str, Any], Any]:
        """Return the parameters that adapt, by their paths, and the state of the optimiser that moves them."""
        paths, (leaves, _) = tree.paths(initial), tree.flatten(initial)
        chosen = self._chosen(paths)
        if not chosen:
            raise ConfigurationError(f"MAML: adapts={self.adapts!r} chooses none of the parameters {', '.join(paths)}")
        moving = {path: leaf for path, leaf in zip(paths, leaves, strict=True) if path in chosen}
        return moving, self._optimiser.init(moving)

    def _chosen(self, paths: Sequence[str]) -> set[str]:
        """Return the paths of the parameters that adapt."""
        if self.adapts is None or callable(self.adapts):
            return {path for path in paths if self.adapts is None or self.adapts(path)}
        chosen: set[str] = set()
        for part in (self.adapts,) if isinstance(self.adapts, str) else self.adapts:
            found = {path for path in paths if f"{path}/".startswith(f"{part}/")}
            if not found:
                raise ConfigurationError(f"MAML: adapts names {part!r}, and the parameters are {', '.join(paths)}")
            chosen |= found
        return chosen


def _replaced(parameters: Any, some: Mapping[str, Any]) -> Any:
    """Return the parameters with some of them replaced, by path."""
    leaves, structure = tree.flatten(parameters)
    pairs = zip(tree.paths(parameters), leaves, strict=True)
    return tree.unflatten(structure, [some.get(path, leaf) for path, leaf in pairs])


def _meta_sgd(rate: float) -> Optimiser:
    """Return ``theta <- theta - a * g``, whose state is ``a``, a tree like theta, and does not change."""
    return Optimiser(partial(_equal_rates, rate), _meta_sgd_update)


def _equal_rates(rate: float, parameters: Any) -> Any:
    return tree.map(lambda p: np.full(p.shape, rate, p.dtype), parameters)


def _meta_sgd_update(gradient: Any, rates: Any, parameters: Any) -> tuple[Any, Any]:
    return tree.map(lambda p, g, a: subtract(p, a * g), parameters, gradient, rates), rates
