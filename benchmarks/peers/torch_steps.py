"""Meta-steps in torch: a loop over the tasks, ``vmap`` over them, and ``vmap`` compiled.

- *loop*: one task after another, ``torch.autograd.grad(..., create_graph=True)`` inside, as learn2learn and higher do;
- *vmap*: ``torch.func``, where every operation works on all tasks;
- *compile*: the same with the optimiser's step in it, by ``torch.compile``.

Parameters are lists of tensors in the order of :func:`workloads.leaves`: what is added in a layer, then its weight.
Images are (N, C, H, W), contiguous; ``channels_last`` is as fast here. A strided convolution of an image with even
sides is padded at its lower and right edge, which torch would do by a copy. Turned upside down, images and weights, it
is padded at the upper and left edge, as torch's own padding does; so they are turned once, and the gradient back.

``F.batch_norm`` is the fastest normalisation in the loop. Under ``vmap`` its derivatives of second order are wrong in
torch 2.13, without a warning, and so it is written out there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from contender import THREADS, Build
from workloads import (
    BATCH_NORM_EPSILON,
    BETA1,
    BETA2,
    EPSILON,
    HIDDEN,
    META_LEARNING_RATE,
    PREPROCESSING,
    REPTILE_RATE,
    Perceptron,
    Tasks,
    Workload,
    leaves,
    with_leaves,
)

Tensors: TypeAlias = list[Any]
Loss: TypeAlias = Callable[[Tensors, Any, Any], Any]
Gradient: TypeAlias = Callable[[Tensors, Any], tuple[Any, Any]]
"""``(parameters, examples) -> (loss, gradient)``, of one task or the mean over a batch."""
Learner: TypeAlias = Callable[[Workload, Loss], Gradient]
"""Gives the gradient of a batch."""
Normalise: TypeAlias = Callable[[Any], Any]


def contenders(workload: Workload) -> dict[str, Build]:
    """The ways of torch to take a meta-step of this workload, by name."""
    learner = {"maml": loop_maml, "reptile": loop_reptile, "lstm": loop_lstm}[workload.learner]
    ways: dict[str, Build] = {"torch loop": partial(EagerStep, learner=learner, normalise=library_norm)}
    if workload.learner == "maml":
        ways["torch vmap"] = partial(EagerStep, learner=vmap_maml)
        ways["torch compile"] = partial(CompiledStep, learner=vmap_maml)
    return ways


class EagerStep:
    """A gradient, then torch's own optimiser; see :class:`contender.Learning`."""

    def __init__(
        self, workload: Workload, parameters: Any, tasks: Tasks, learner: Learner, normalise: Normalise | None = None
    ) -> None:
        # What a loop over points or a few hundred of them has to compute is too little to be shared.
        alone = workload.learner != "lstm" and not workload.classifies
        torch.set_num_threads(1 if alone else THREADS)
        self._layout = Layout(workload)
        self._gradient = learner(workload, loss_of(workload, normalise or written_out))
        self._parameters = self._layout.parameters(parameters)
        self._tasks = self._layout.tasks(tasks)
        self._optimiser = (
            torch.optim.SGD(self._parameters, lr=REPTILE_RATE)
            if workload.learner == "reptile"
            else torch.optim.Adam(self._parameters, META_LEARNING_RATE, (BETA1, BETA2), EPSILON, fused=True)
        )

    def meta_gradient(self, parameters: Any, tasks: Tasks) -> tuple[float, Any]:
        loss, gradient = self._gradient(self._layout.parameters(parameters), self._layout.tasks(tasks))
        return float(loss), self._layout.tree(parameters, gradient)

    def step(self) -> None:
        _, gradient = self._gradient(self._parameters, self._tasks)
        for parameter, derivative in zip(self._parameters, gradient, strict=True):
            parameter.grad = derivative
        self._optimiser.step()


class CompiledStep:
    """Gradient and Adam as one compiled function; see :class:`contender.Learning`."""

    def __init__(self, workload: Workload, parameters: Any, tasks: Tasks, learner: Learner) -> None:
        torch.set_num_threads(THREADS)
        self._layout = Layout(workload)
        self._tasks = self._layout.tasks(tasks)
        gradient = learner(workload, loss_of(workload, written_out))

        def step(parameters: Tensors, step: Any, first: Tensors, second: Tensors, tasks: Tensors) -> Any:
            return adam(parameters, gradient(parameters, tasks)[1], step, first, second)

        self._gradient = torch.compile(gradient, fullgraph=True, dynamic=False)
        self._step = torch.compile(step, fullgraph=True, dynamic=False)
        start = self._layout.parameters(parameters)
        moments = ([torch.zeros_like(p) for p in start] for _ in range(2))
        self._state = (start, torch.zeros(()), *moments)

    def meta_gradient(self, parameters: Any, tasks: Tasks) -> tuple[float, Any]:
        loss, gradient = self._gradient(self._layout.parameters(parameters), self._layout.tasks(tasks))
        return float(loss), self._layout.tree(parameters, gradient)

    def step(self) -> None:
        self._state = self._step(*self._state, self._tasks)


def adam(parameters: Tensors, gradient: Tensors, step: Any, first: Tensors, second: Tensors) -> Any:
    step = step + 1
    first = [BETA1 * m + (1 - BETA1) * g for m, g in zip(first, gradient, strict=True)]
    second = [BETA2 * v + (1 - BETA2) * g**2 for v, g in zip(second, gradient, strict=True)]
    root = (1 - BETA2**step).sqrt()
    size, shift = META_LEARNING_RATE * root / (1 - BETA1**step), EPSILON * root
    moved = [p - size * m / (v.sqrt() + shift) for p, m, v in zip(parameters, first, second, strict=True)]
    return moved, step, first, second


class Layout:
    """The workload's arrays as torch would have them, and back."""

    def __init__(self, workload: Workload) -> None:
        model: Any = workload.model
        self._images = not isinstance(model, Perceptron)
        self._turns = self._images and model.downsampling == "stride"
        self._features = None
        if self._images and model.readout == "flatten":
            self._features = (model.sides()[-1], model.sides()[-1], model.filters)

    def parameters(self, tree: Any) -> Tensors:
        return [torch.from_numpy(self._into(leaf).copy()) for leaf in leaves(tree)]

    def tasks(self, tasks: Tasks) -> Tensors:
        return [torch.from_numpy(self._examples(array).copy()) for array in tasks]

    def tree(self, like: Any, tensors: Any) -> Any:
        return with_leaves(like, [self._back(tensor.numpy()) for tensor in tensors])

    def _into(self, leaf: Any) -> Any:
        if leaf.ndim == 4:
            return self._turned(leaf, (0, 1)).transpose(3, 2, 0, 1)
        if leaf.ndim == 2 and self._features:
            return np.moveaxis(leaf.reshape(*self._features, -1), 2, 0).reshape(leaf.shape)
        return leaf

    def _back(self, leaf: Any) -> Any:
        if leaf.ndim == 4:
            return self._turned(leaf.transpose(2, 3, 1, 0), (0, 1))
        if leaf.ndim == 2 and self._features:
            height, width, channels = self._features
            return np.moveaxis(leaf.reshape(channels, height, width, -1), 0, 2).reshape(leaf.shape)
        return leaf

    def _examples(self, array: Any) -> Any:
        return np.moveaxis(self._turned(array, (2, 3)), 4, 2) if array.ndim == 5 else array

    def _turned(self, array: Any, axes: tuple[int, int]) -> Any:
        return np.flip(array, axes) if self._turns else array


def written_out(x: Any) -> Any:
    x = x - x.mean((0, 2, 3), keepdim=True)
    return x * torch.rsqrt(x.square().mean((0, 2, 3), keepdim=True) + BATCH_NORM_EPSILON)


def library_norm(x: Any) -> Any:
    return F.batch_norm(x, None, None, training=True, eps=BATCH_NORM_EPSILON)


def loss_of(workload: Workload, normalise: Normalise) -> Loss:
    """The mean loss of the workload's network."""
    model: Any = workload.model

    def perceptron(parameters: Tensors, x: Any) -> Any:
        *hidden, shift, weight = parameters
        activation = torch.tanh if model.activation == "tanh" else torch.relu
        for b, w in zip(hidden[::2], hidden[1::2], strict=True):
            x = activation(torch.addmm(b, x, w))
        return torch.addmm(shift, x, weight)

    def convolutions(parameters: Tensors, x: Any) -> Any:
        *blocks, shift, weight = parameters
        pools = model.downsampling == "max_pool"
        for offset, w in zip(blocks[::2], blocks[1::2], strict=True):
            x = normalise(F.conv2d(x, w, stride=1 if pools else 2, padding=1))
            x = torch.relu(x + offset[:, None, None])
            x = F.max_pool2d(x, 2) if pools else x
        x = x.mean((2, 3)) if model.readout == "mean" else x.flatten(1)
        return torch.addmm(shift, x, weight)

    apply = perceptron if isinstance(model, Perceptron) else convolutions
    compare = F.cross_entropy if workload.classifies else F.mse_loss
    return lambda parameters, inputs, targets: compare(apply(parameters, inputs), targets)


# Learners


def loop_maml(workload: Workload, loss: Loss) -> Gradient:
    second = workload.order == 2

    def of_task(parameters: Tensors, task: Any) -> tuple[Any, Any]:
        support_inputs, support_targets, query_inputs, query_targets = task
        start = adapted = [p.detach().requires_grad_() for p in parameters]
        for _ in range(workload.inner_steps):
            value = loss(adapted, support_inputs, support_targets)
            gradient = torch.autograd.grad(value, adapted, create_graph=second)
            adapted = [p - workload.inner_learning_rate * g for p, g in zip(adapted, gradient, strict=True)]
            if not second:
                start = adapted = [p.detach().requires_grad_() for p in adapted]
        value = loss(adapted, query_inputs, query_targets)
        return value.detach(), torch.autograd.grad(value, start)

    return mean_over_tasks(of_task)


def mean_over_tasks(of_task: Gradient) -> Gradient:
    def mean(parameters: Tensors, tasks: Any) -> tuple[Any, Any]:
        results = [of_task(parameters, task) for task in zip(*tasks, strict=True)]
        return sum(loss for loss, _ in results) / len(results), [
            sum(derivatives) / len(results) for derivatives in zip(*(gradient for _, gradient in results), strict=True)
        ]

    return mean


def vmap_maml(workload: Workload, loss: Loss) -> Gradient:
    def query_loss(parameters: Tensors, task: Any) -> Any:
        support_inputs, support_targets, query_inputs, query_targets = task
        for _ in range(workload.inner_steps):
            start = parameters if workload.order == 2 else [p.detach() for p in parameters]
            gradient = torch.func.grad(loss)(start, support_inputs, support_targets)
            parameters = [p - workload.inner_learning_rate * g for p, g in zip(parameters, gradient, strict=True)]
        return loss(parameters, query_inputs, query_targets)

    of_tasks = torch.func.vmap(torch.func.grad_and_value(query_loss), (None, 0))

    def mean(parameters: Tensors, tasks: Any) -> tuple[Any, Any]:
        gradient, losses = of_tasks(parameters, tasks)
        return losses.mean(), [derivative.mean(0) for derivative in gradient]

    return mean


def loop_reptile(workload: Workload, loss: Loss) -> Gradient:
    size = workload.support // workload.inner_steps

    def displacement(parameters: Tensors, task: Any) -> tuple[Any, Any]:
        support_inputs, support_targets, query_inputs, query_targets = task
        adapted = [p.detach().clone().requires_grad_() for p in parameters]
        for inputs, targets in zip(support_inputs.split(size), support_targets.split(size), strict=True):
            gradient = torch.autograd.grad(loss(adapted, inputs, targets), adapted)
            with torch.no_grad():
                torch._foreach_add_(adapted, gradient, alpha=-workload.inner_learning_rate)
        with torch.no_grad():
            return loss(adapted, query_inputs, query_targets), torch._foreach_sub(parameters, adapted)

    return mean_over_tasks(displacement)


def loop_lstm(workload: Workload, loss: Loss) -> Gradient:
    """Coordinates are columns, so that gates are whole rows."""
    shapes = [shape for layer in workload.model.layers() for shape in (layer.weight[-1:], layer.weight)]
    sizes = [math.prod(shape) for shape in shapes]

    def learner_loss(theta: Any, inputs: Any, targets: Any) -> Any:
        parts = zip(theta.split(sizes), shapes, strict=True)
        return loss([part.view(shape) for part, shape in parts], inputs, targets)

    def of_task(parameters: Tensors, task: Any) -> tuple[Any, Any]:
        support_inputs, support_targets, query_inputs, query_targets = task
        start = [p.detach().requires_grad_() for p in parameters]
        gates_bias, gates, *initial, bias, weight = start
        of_loss, of_gradient, of_hidden = weight.split((2, 2, HIDDEN), 1)
        theta = torch.cat([p.flatten() for p in initial])
        hidden = cell = torch.zeros(HIDDEN, len(theta))
        before = torch.zeros(2, len(theta))
        for _ in range(workload.inner_steps):
            held = theta.detach().requires_grad_()
            value = learner_loss(held, support_inputs, support_targets)
            (gradient,) = torch.autograd.grad(value, held)
            shared = torch.addmv(bias, of_loss, preprocessed(value.detach()))
            seen = torch.addmm(shared[:, None], of_gradient, preprocessed(gradient))
            enter, keep, leave, candidate = torch.addmm(seen, of_hidden, hidden).chunk(4)
            cell = torch.sigmoid(keep) * cell + torch.sigmoid(enter) * torch.tanh(candidate)
            hidden = torch.sigmoid(leave) * torch.tanh(cell)
            before = torch.addmm(gates_bias[:, None], gates[:, :HIDDEN], hidden) + gates[:, -1:] * before
            before = before + gates[:, -2:-1] * theta
            forget, write = torch.sigmoid(before)
            theta = forget * theta - write * gradient
        value = learner_loss(theta, query_inputs, query_targets)
        return value.detach(), torch.autograd.grad(value, start)

    return mean_over_tasks(of_task)


def preprocessed(x: Any) -> Any:
    """Two rows: the magnitude's logarithm and the sign, or -1 and the number enlarged where it is tiny."""
    large = x.abs() >= math.exp(-PREPROCESSING)
    magnitude = torch.where(large, x.abs().log() / PREPROCESSING, -1.0)
    return torch.stack([magnitude, torch.where(large, x.sign(), math.exp(PREPROCESSING) * x)])
