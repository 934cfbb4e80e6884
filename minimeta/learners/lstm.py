"""The LSTM meta-learner: gradient descent learned as the update of an LSTM's cell state.

Ravi and Larochelle 2017 (*Optimization as a model for few-shot learning*), sections 3.1 to 3.3. A
step of gradient descent has the form of the cell update of an LSTM whose forget gate is 1 and whose
input gate is the learning rate. So let the learner's parameters *be* the cell state, and learn the
gates. With ``L_t`` the loss on the support set at ``theta_{t-1}`` and ``g_t`` its gradient,

    theta_t = f_t theta_{t-1} - i_t g_t,    f_t = sigmoid(F_t),  i_t = sigmoid(I_t)                    (equation 2)
    F_t = W_F [h_t, theta_{t-1}, F_{t-1}] + b_F,    I_t = W_I [h_t, theta_{t-1}, I_{t-1}] + b_I

where ``h_t`` is the output of an ordinary LSTM layer over ``u_t = [pre(L_t), pre(g_t)]``,
preprocessed with p = 10 because losses and gradients are of very different sizes:

    pre(x) = (log|x| / p, sign x)  if |x| >= e^-p,  (-1, e^p x)  otherwise.

All coordinates of ``theta`` share the weights of both layers, and each has its own state. Here the
coordinates are the columns of one matrix, so a step is two matrix products, whatever the number of
parameters. The meta-learner learns the weights, and the initial cell state ``theta_0``, from which
all tasks start.

**Order.** The paper takes ``L_t`` and ``g_t`` as independent of the meta-learner's parameters
(section 3.2): order 1, with ``L_t`` and ``g_t`` held constant. With order 2 the gradient goes
through them. With gates frozen at ``f = 1`` and ``i = a`` the two are first-order MAML and MAML
(book, chapter 8).

**Recurrent gates.** The paper gives the gates their values after the sigmoid, ``f_{t-1}`` and
``i_{t-1}``; the code its authors released gives them ``F_{t-1}`` and ``I_{t-1}``. Both start at 0.

**Batch normalisation** (section 3.3, and the released code). In meta-training every batch is
normalised by its own statistics. In evaluation the query set is normalised by running statistics of
the support set, which are reset for each task: ``r <- (1 - m) r + m s`` for the statistics ``s`` of
the support set at each step, starting with ``r = s``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from minimeta.autodiff import tree, value_and_grad
from minimeta.autodiff.operations import (
    absolute,
    clip,
    concatenate,
    log,
    maximum,
    pad,
    reshape,
    sigmoid,
    split,
    stack,
    stop_gradient,
    tanh,
)
from minimeta.counts import check_counts
from minimeta.errors import ConfigurationError
from minimeta.learners.learner import NO_NOISE, Judgement, MetaGradient, Noise, given, judge
from minimeta.nn.models import Model
from minimeta.program import vmap

if TYPE_CHECKING:
    from minimeta.tasks.task import Examples, Task

P = 10.0
"""``p`` of the preprocessing, as in the paper."""

BLOCK = 512
"""The largest number of coordinates to update at once."""

FEW = 4
"""Blocks whose values are kept for the walk backwards. Those of more leave the caches, and take less
time to compute again than to read from memory."""


class Adapted(NamedTuple):
    """The learner, adapted to a task.

    Attributes
    ----------
    parameters
        The model's parameters, a cell state.
    statistics
        Running statistics to normalise by; None for those of the current batch.
    """

    parameters: Any
    statistics: Any


class _State(NamedTuple):
    """The state between steps, in addition to the cell state: ``h`` and ``c`` of the first layer,
    ``(hidden, n)``, and the gates' recurrent inputs, ``(2, n)``."""

    h: Any
    c: Any
    gates: Any


@dataclass(frozen=True)
class MetaLSTM:
    """The LSTM meta-learner.

    The meta-parameters are a dict of

    ============  ======================================================================================
    ``initial``   the model's parameters ``theta_0``, the initial cell state
    ``layer``     ``weight`` ``(4 hidden, 4 + hidden)`` and ``bias`` ``(4 hidden,)`` of the first layer: the rows are
                  its input, forget and output gates and its candidate; the columns ``u_t`` and
                  ``h_{t-1}``
    ``gates``     ``weight`` ``(2, hidden + 2)`` and ``bias`` ``(2,)``: the rows are ``F`` and ``I``
    ============  ======================================================================================

    Parameters
    ----------
    model
        ``init(rng)`` and ``apply(parameters, inputs)``; for running statistics also
        ``apply_with_statistics``.
    loss
        ``loss(outputs, targets)``, a scalar.
    inner_steps
        Steps of adaptation in meta-training, each on the whole support set.
    order
        1 for the paper's assumption; 2 for the gradient through ``L_t`` and ``g_t``.
    hidden
        Width of the first layer.
    recurrence
        Whether the gates see their previous values from before the sigmoid, ``"pre_sigmoid"`` as in
        the released code, or from after it, ``"post_sigmoid"`` as in the paper.
    divide_gradient
        Whether to divide ``g_t`` by the number of support examples, as in the released code,
        although the loss is already a mean over them.
    forget_bias, input_bias
        Lower and upper end of the uniform distributions of the initial ``b_F`` and ``b_I``: the
        initial ``f`` is nearly 1, the initial ``i`` a small learning rate. (Over T steps ``theta``
        shrinks by ``f^T``: over 8 steps, with the released ranges, to between 0.86 and 0.95.)
    momentum
        ``m``, the weight of the newest batch in the running statistics; None to normalise by the
        statistics of the current batch in evaluation too.
    metrics
        Other scalar functions of outputs and targets, by name, measured on the query set after
        adaptation.

    Raises
    ------
    ConfigurationError
        If a setting is out of range, or the model has no statistics to average.
    """

    model: Model
    loss: Judgement
    inner_steps: int
    order: int = 1
    hidden: int = 20
    recurrence: Literal["pre_sigmoid", "post_sigmoid"] = "pre_sigmoid"
    divide_gradient: bool = False
    forget_bias: Sequence[float] = (4.0, 5.0)
    input_bias: Sequence[float] = (-5.0, -4.0)
    momentum: float | None = None
    metrics: Mapping[str, Judgement] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.order not in (1, 2):
            raise ConfigurationError(f"MetaLSTM: order={self.order} must be 1 or 2")
        check_counts(self, "inner_steps hidden")
        if self.recurrence not in ("pre_sigmoid", "post_sigmoid"):
            raise ConfigurationError(
                f"MetaLSTM: recurrence={self.recurrence!r} must be 'pre_sigmoid' or 'post_sigmoid'"
            )
        for name in ("forget_bias", "input_bias"):
            ends = getattr(self, name)
            if len(ends) != 2 or not -math.inf < ends[0] <= ends[1] < math.inf:
                raise ConfigurationError(f"MetaLSTM: {name}={tuple(ends)} must be (low, high) with low <= high, finite")
        if self.momentum is not None and not 0 < self.momentum <= 1:
            raise ConfigurationError(f"MetaLSTM: momentum={self.momentum} must be in (0, 1], or None")
        if self.momentum is not None and self.model.apply_with_statistics is None:
            raise ConfigurationError("MetaLSTM: momentum is for a model with apply_with_statistics, and this has none")

    def init(self, rng: np.random.Generator) -> Any:
        """Draw the cell state as the model does, weights from U(-0.01, 0.01), and biases of gates from their ranges."""
        initial = self.model.init(rng)
        dtype = np.result_type(*tree.flatten(initial)[0])

        def small(*shape: int) -> Any:
            return rng.uniform(-0.01, 0.01, shape).astype(dtype)

        biases = [rng.uniform(low, high) for low, high in (self.forget_bias, self.input_bias)]
        return {
            "initial": initial,
            "layer": {"weight": small(4 * self.hidden, 4 + self.hidden), "bias": small(4 * self.hidden)},
            "gates": {"weight": small(2, self.hidden + 2), "bias": np.array(biases, dtype)},
        }

    def draw(self, rng: np.random.Generator, task: Task) -> Noise | None:
        """Draw the model's noise for each update and for the query set; None for a model without ``draw``."""
        return Noise.drawn(self.model, rng, [task.support.inputs] * self.inner_steps, task.query.inputs)

    def adapt(self, meta_parameters: Any, support: Examples, steps: int, noise: Noise = NO_NOISE) -> tuple[Any, ...]:
        """Return the learner after 0, 1, ..., ``steps`` updates of the cell state on the whole support set."""
        initial = meta_parameters["initial"]
        theta, state, running = _row(initial), None, None
        trajectory = [Adapted(initial, None)]
        for step in range(steps):
            parameters = trajectory[-1].parameters
            loss, statistics, gradient = self._loss_and_gradient(parameters, support, noise.of_step(step))
            if self.momentum is not None:
                running = _average(running, statistics, self.momentum)
            theta, state = self._update(meta_parameters, theta, loss, gradient, state)
            trajectory.append(Adapted(_parameters(theta, initial), running))
        return tuple(trajectory)

    def predict(self, adapted: Any, inputs: Any) -> Any:
        """Return the model's outputs, normalised by the running statistics if there are any."""
        if adapted.statistics is None:
            return self.model.apply(adapted.parameters, inputs)
        assert self.model.apply_with_statistics is not None
        return self.model.apply_with_statistics(adapted.parameters, inputs, adapted.statistics)[0]

    def meta_gradient(self, meta_parameters: Any, task: Task) -> MetaGradient:
        """Return the value and the gradient of ``L_Q(theta_T)`` with respect to all meta-parameters."""
        noise = Noise.of(task)

        def query_loss(meta_parameters: Any) -> tuple[Any, dict[str, Any]]:
            theta = self.adapt(meta_parameters, task.support, self.inner_steps, noise)[-1].parameters
            outputs = self.model.apply(theta, task.query.inputs, *given(noise.query))
            return judge(self.loss, self.metrics, outputs, task.query.targets)

        (loss, metrics), gradient = value_and_grad(query_loss, has_aux=True)(meta_parameters)
        return MetaGradient(loss, metrics, gradient)

    def _loss_and_gradient(self, parameters: Any, support: Examples, noise: Any) -> tuple[Any, Any, Any]:
        """Return ``L_t``, the statistics of its batch, and ``g_t`` as a row; for order 1, as constants."""

        def loss(parameters: Any) -> tuple[Any, Any]:
            if self.momentum is None or self.model.apply_with_statistics is None:
                outputs, statistics = self.model.apply(parameters, support.inputs, *given(noise)), None
            else:
                outputs, statistics = self.model.apply_with_statistics(parameters, support.inputs, None, *given(noise))
            return self.loss(outputs, support.targets), statistics

        if self.order == 1:
            parameters = stop_gradient(parameters)
        (value, statistics), gradient = value_and_grad(loss, has_aux=True)(parameters)
        row = _row(gradient)
        return value, statistics, row / float(support.inputs.shape[0]) if self.divide_gradient else row

    def _update(self, meta_parameters: Any, theta: Any, loss: Any, gradient: Any, state: Any) -> tuple[Any, Any]:
        """Take one step of both layers; a state of None is a state of zeros.

        Coordinates do not see each other, so many of them are updated in blocks that fit the cache,
        by several threads.
        """
        count = theta.shape[1]
        weights = {"layer": _layer_for(loss, meta_parameters["layer"]), "gates": meta_parameters["gates"]}
        if count <= BLOCK:
            return self._cell(weights, theta, gradient, state)
        size = -(-count // -(-count // BLOCK))
        size = -(-size // 16) * 16  # rows of whole vectors
        blocks = -(-count // size)

        def cut(row: Any) -> Any:
            return reshape(pad(row, ((0, 0), (0, blocks * size - count))), (blocks, 1, size))

        axes = (None, 0, 0, None if state is None else 0)
        cell = vmap(self._cell, axes, keep=blocks <= FEW)
        theta, state = cell(weights, cut(theta), cut(gradient), state)
        return reshape(theta, (1, blocks * size))[:, :count], state

    def _cell(self, weights: Any, theta: Any, gradient: Any, state: Any) -> tuple[Any, _State]:
        h, c = self._layer(weights["layer"], gradient, state)
        # [F_t, I_t] = W [h_t, theta_{t-1}, (F_{t-1}, I_{t-1})] + b
        weight, bias = weights["gates"]["weight"], weights["gates"]["bias"]
        of_h, of_theta, of_gates = split(weight, (self.hidden, self.hidden + 1), 1)
        before = of_h @ h + of_theta * theta + reshape(bias, (2, 1))
        if state is not None:
            before = before + of_gates * state.gates
        after = sigmoid(before)
        forget, write = split(after, 2)
        # theta_t = f_t theta_{t-1} - i_t g_t
        theta = forget * theta - write * gradient
        return theta, _State(h, c, before if self.recurrence == "pre_sigmoid" else after)

    def _layer(self, weight: Any, gradient: Any, state: Any) -> tuple[Any, Any]:
        """Apply the first layer, an ordinary LSTM, to all coordinates at once; return the new ``h`` and ``c``."""
        rows = [np.ones(gradient.shape, gradient.dtype), *preprocess(gradient)]
        if state is None:
            weight = weight[:, : len(rows)]
        else:
            rows.append(state.h)
        i, f, o, candidate = split(weight @ concatenate(rows), 4)
        # c_t = f c_{t-1} + i candidate,    h_t = o tanh(c_t)
        c = sigmoid(i) * tanh(candidate)
        if state is not None:
            c = sigmoid(f) * state.c + c
        return sigmoid(o) * tanh(c), c


def _layer_for(loss: Any, parameters: Any) -> Any:
    """Return the matrix for columns ``[1, pre(g_t), h_{t-1}]``, with ``pre(L_t)`` in its bias."""
    weight = parameters["weight"]
    bias = reshape(parameters["bias"], (-1, 1)) + weight[:, :2] @ reshape(stack(preprocess(loss)), (2, 1))
    return concatenate([bias, weight[:, 2:]], 1)


def preprocess(x: Any) -> tuple[Any, Any]:
    """Return the two numbers that stand for ``x``: ``(log|x| / p, sign x)`` if ``|x| >= e^-p``,
    else ``(-1, e^p x)``.

    Both are continuous, and clipped functions of ``x``, so there is no case to distinguish:
    ``(log max(|x|, e^-p) / p, min(max(e^p x, -1), 1))``.
    """
    return log(maximum(absolute(x), math.exp(-P))) / P, clip(math.exp(P) * x, -1.0, 1.0)


def _average(running: Any, newest: Any, weight: float) -> Any:
    """Return ``(1 - m) r + m s``, or ``s`` if there is no ``r`` yet."""
    new = float(weight)
    return newest if running is None else tree.map(lambda r, s: (1 - new) * r + new * s, running, newest)


def _row(parameters: Any) -> Any:
    """Return all coordinates of all parameters, shape ``(1, n)``."""
    return concatenate([reshape(leaf, (1, -1)) for leaf in tree.flatten(parameters)[0]], 1)


def _parameters(row: Any, like: Any) -> Any:
    """Invert :func:`_row`."""
    leaves, structure = tree.flatten(like)
    ends = np.cumsum([leaf.size for leaf in leaves])
    parts = split(row, [int(end) for end in ends[:-1]], 1)
    return tree.unflatten(structure, [reshape(x, leaf.shape) for x, leaf in zip(parts, leaves, strict=True)])
