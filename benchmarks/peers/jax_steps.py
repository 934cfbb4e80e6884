"""Meta-steps in JAX: a whole step is one compiled program, and parameters and optimiser state are donated to it.

The tasks of a meta-batch are mapped

- all at once, by ``vmap``, which makes one operation on all tasks of each operation on one;
- one by one, by ``lax.scan``: ``lax.map`` that adds the gradients up as it goes, which is a little faster;
- or in shards, on two devices that each take half of the tasks one by one and meet once, to add up the gradients.

Convolutions whose weights differ from task to task are slow in XLA on a processor, whether grouped or in a loop. So
images have a way by hand too: windows unfolded into rows (``im2col``), times one matrix.

A maximum is pooled as ``maximum`` of shifted images. ``x.reshape(...).max(...)`` is as fast, but behind an unfolded
convolution jax 0.10 compiles it to a wrong gradient (relative error 0.01 in float32, 0.9 in float64): elements are
compared with a maximum that was computed elsewhere, with other roundings.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from contender import THREADS, Build
from jax import lax
from jax.flatten_util import ravel_pytree
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
)

Convolve: TypeAlias = Callable[[Any, Any, int], Any]
Loss: TypeAlias = Callable[[Any, Any, Any], Any]
"""``(parameters, inputs, targets) -> mean loss``."""
Gradient: TypeAlias = Callable[[Any, Any], Any]
"""``(parameters, examples) -> (loss, gradient)``, of one task or the mean over a batch."""
Mapping: TypeAlias = Callable[[Gradient], Gradient]
"""The gradient of one task made that of a batch."""

tree_map = jax.tree_util.tree_map


def contenders(workload: Workload) -> dict[str, Build]:
    """The ways of JAX to take a meta-step of this workload, by name."""
    if workload.learner == "reptile":
        return {"jax scan": partial(JaxStep, learner=reptile)}
    if workload.learner == "lstm":
        return {
            "jax unrolled": partial(JaxStep, learner=partial(lstm, unrolled=True)),
            "jax scan": partial(JaxStep, learner=lstm),
            "jax scan, columns": partial(JaxStep, learner=partial(lstm, columns=True)),
        }
    ways: dict[str, Build] = {
        "jax vmap": partial(JaxStep, learner=maml),
        "jax map": partial(JaxStep, learner=maml, of_batch=one_by_one),
    }
    if not isinstance(workload.model, Perceptron):
        ways["jax map, im2col"] = partial(JaxStep, learner=maml, of_batch=one_by_one, convolve=unfolded)
        if workload.meta_batch % THREADS == 0:
            ways["jax shards, im2col"] = partial(JaxStep, learner=maml, of_batch=in_shards, convolve=unfolded)
    return ways


class JaxStep:
    """One way to take a meta-step; see :class:`contender.Learning`."""

    def __init__(
        self,
        workload: Workload,
        parameters: Any,
        tasks: Tasks,
        learner: Callable[[Workload, Loss], Gradient],
        of_batch: Mapping | None = None,
        convolve: Convolve | None = None,
    ) -> None:
        gradient = (of_batch or all_at_once)(learner(workload, loss_of(workload, convolve or native)))
        move = move_towards if workload.learner == "reptile" else adam

        def step(parameters: Any, moments: Any, tasks: Any) -> Any:
            return move(parameters, gradient(parameters, tasks)[1], moments)

        self._gradient = jax.jit(gradient)
        self._step = jax.jit(step, donate_argnums=(0, 1))
        self._tasks = tree_map(jnp.array, tasks)
        zeros = tree_map(np.zeros_like, parameters)
        self._state = tree_map(jnp.array, (parameters, (np.float32(0), zeros, zeros)))

    def meta_gradient(self, parameters: Any, tasks: Tasks) -> tuple[float, Any]:
        loss, gradient = self._gradient(parameters, tasks)
        return float(loss), tree_map(np.asarray, gradient)

    def step(self) -> None:
        self._state = jax.block_until_ready(self._step(*self._state, self._tasks))


def adam(parameters: Any, gradient: Any, moments: Any) -> Any:
    step, first, second = moments
    step = step + 1
    first = tree_map(lambda m, g: BETA1 * m + (1 - BETA1) * g, first, gradient)
    second = tree_map(lambda v, g: BETA2 * v + (1 - BETA2) * g**2, second, gradient)
    root = jnp.sqrt(1 - BETA2**step)
    size, shift = META_LEARNING_RATE * root / (1 - BETA1**step), EPSILON * root
    parameters = tree_map(lambda p, m, v: p - size * m / (jnp.sqrt(v) + shift), parameters, first, second)
    return parameters, (step, first, second)


def move_towards(parameters: Any, gradient: Any, moments: Any) -> Any:
    """Reptile's outer step, whose gradient is ``theta - phi``."""
    return tree_map(lambda p, g: p - REPTILE_RATE * g, parameters, gradient), moments


# Mappings


def all_at_once(gradient: Gradient) -> Gradient:
    def mean(parameters: Any, tasks: Any) -> Any:
        return tree_map(lambda x: x.mean(0), jax.vmap(gradient, (None, 0))(parameters, tasks))

    return mean


def one_by_one(gradient: Gradient) -> Gradient:
    def mean(parameters: Any, tasks: Any) -> Any:
        def add(total: Any, task: Any) -> Any:
            return tree_map(jnp.add, total, gradient(parameters, task)), None

        nothing = tree_map(jnp.zeros_like, (jnp.float32(0), parameters))
        total, _ = lax.scan(add, nothing, tasks)
        return tree_map(lambda x: x / len(tasks[0]), total)

    return mean


def in_shards(gradient: Gradient) -> Gradient:
    jax.config.update("jax_num_cpu_devices", THREADS)
    mesh = jax.sharding.Mesh(jax.devices()[:THREADS], ("shard",))
    whole, parts = jax.sharding.PartitionSpec(), jax.sharding.PartitionSpec("shard")

    def mean(parameters: Any, tasks: Any) -> Any:
        return lax.pmean(one_by_one(gradient)(parameters, tasks), "shard")

    shared: Gradient = jax.shard_map(mean, mesh=mesh, in_specs=(whole, parts), out_specs=whole, check_vma=False)
    return shared


# Networks


def native(x: Any, weight: Any, stride: int) -> Any:
    return lax.conv_general_dilated(x, weight, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def unfolded(x: Any, weight: Any, stride: int) -> Any:
    """The same convolution: nine shifted images, channels next to channels, times one matrix."""
    reach = (x.shape[1] - 1) // stride * stride + 1
    padding = max(0, reach + 2 - x.shape[1])
    margin = (padding // 2, padding - padding // 2)
    x = jnp.pad(x, ((0, 0), margin, margin, (0, 0)))
    windows = [x[:, i : i + reach : stride, j : j + reach : stride] for i in range(3) for j in range(3)]
    return jnp.concatenate(windows, -1) @ weight.reshape(-1, weight.shape[-1])


def pooled(x: Any) -> Any:
    side = x.shape[1] // 2 * 2
    x = jnp.maximum(x[:, 0:side:2], x[:, 1:side:2])
    return jnp.maximum(x[:, :, 0:side:2], x[:, :, 1:side:2])


def loss_of(workload: Workload, convolve: Convolve) -> Loss:
    """``(parameters, inputs, targets) -> mean loss`` of the workload's network."""
    model: Any = workload.model

    def perceptron(parameters: Any, x: Any) -> Any:
        *hidden, last = parameters
        for layer in hidden:
            x = x @ layer["weight"] + layer["bias"]
            x = jnp.tanh(x) if model.activation == "tanh" else jax.nn.relu(x)
        return x @ last["weight"] + last["bias"]

    def convolutions(parameters: Any, x: Any) -> Any:
        *blocks, last = parameters
        pools = model.downsampling == "max_pool"
        for block in blocks:
            x = convolve(x, block["weight"], 1 if pools else 2)
            x = x - x.mean((0, 1, 2))
            x = x * lax.rsqrt(jnp.square(x).mean((0, 1, 2)) + BATCH_NORM_EPSILON) + block["offset"]
            x = jax.nn.relu(x)
            x = pooled(x) if pools else x
        x = x.mean((1, 2)) if model.readout == "mean" else x.reshape(len(x), -1)
        return x @ last["weight"] + last["bias"]

    apply = perceptron if isinstance(model, Perceptron) else convolutions

    def entropy(parameters: Any, inputs: Any, labels: Any) -> Any:
        logarithms = jax.nn.log_softmax(apply(parameters, inputs))
        return -jnp.take_along_axis(logarithms, labels[:, None], -1).mean()

    def squared_error(parameters: Any, inputs: Any, targets: Any) -> Any:
        return jnp.square(apply(parameters, inputs) - targets).mean()

    return entropy if workload.classifies else squared_error


# Learners: the gradient of one task


def maml(workload: Workload, loss: Loss) -> Gradient:
    def query_loss(parameters: Any, task: Tasks) -> Any:
        for _ in range(workload.inner_steps):
            start = parameters if workload.order == 2 else lax.stop_gradient(parameters)
            descent = jax.grad(loss)(start, task.support_inputs, task.support_targets)
            parameters = tree_map(lambda p, g: p - workload.inner_learning_rate * g, parameters, descent)
        return loss(parameters, task.query_inputs, task.query_targets)

    gradient: Gradient = jax.value_and_grad(query_loss)
    return gradient


def reptile(workload: Workload, loss: Loss) -> Gradient:
    def displacement(parameters: Any, task: Tasks) -> Any:
        def descend(parameters: Any, batch: Any) -> Any:
            gradient = jax.grad(loss)(parameters, *batch)
            return tree_map(lambda p, g: p - workload.inner_learning_rate * g, parameters, gradient), None

        support = (task.support_inputs, task.support_targets)
        batches = tree_map(lambda x: x.reshape(workload.inner_steps, -1, *x.shape[1:]), support)
        adapted, _ = lax.scan(descend, parameters, batches)
        query_loss = loss(adapted, task.query_inputs, task.query_targets)
        return query_loss, tree_map(jnp.subtract, parameters, adapted)

    return displacement


def lstm(workload: Workload, loss: Loss, unrolled: bool = False, columns: bool = False) -> Gradient:
    """Coordinates are the rows of all states, or their columns; which is faster depends on how many there are."""
    features = 0 if columns else 1

    def product(weight: Any, x: Any) -> Any:
        return weight @ x if columns else x @ weight.T

    def for_all(vector: Any) -> Any:
        return vector[:, None] if columns else vector

    def query_loss(parameters: Any, task: Tasks) -> Any:
        start, unravel = ravel_pytree(parameters["initial"])
        layer, gates = parameters["layer"], parameters["gates"]
        of_loss, of_gradient, of_hidden = jnp.split(layer["weight"], (2, 4), 1)
        of_output, of_theta, of_before = jnp.split(gates["weight"], (HIDDEN, HIDDEN + 1), 1)

        def support_loss(theta: Any) -> Any:
            return loss(unravel(theta.ravel()), task.support_inputs, task.support_targets)

        def update(state: Any, _: None) -> Any:
            theta, hidden, cell, before = state
            value, gradient = jax.value_and_grad(support_loss)(lax.stop_gradient(theta))
            seen = product(of_gradient, preprocessed(gradient, features)) + product(of_hidden, hidden)
            seen = seen + for_all(of_loss @ preprocessed(value[None], 0) + layer["bias"])
            enter, keep, leave, candidate = jnp.split(seen, 4, features)
            cell = jax.nn.sigmoid(keep) * cell + jax.nn.sigmoid(enter) * jnp.tanh(candidate)
            hidden = jax.nn.sigmoid(leave) * jnp.tanh(cell)
            before = product(of_output, hidden) + for_all(of_theta[:, 0]) * theta + for_all(of_before[:, 0]) * before
            before = before + for_all(gates["bias"])
            forget, write = jnp.split(jax.nn.sigmoid(before), 2, features)
            return (forget * theta - write * gradient, hidden, cell, before), None

        def zeros(size: int) -> Any:
            return jnp.zeros((size, start.size) if columns else (start.size, size))

        state = (jnp.expand_dims(start, features), zeros(HIDDEN), zeros(HIDDEN), zeros(2))
        if unrolled:
            for _ in range(workload.inner_steps):
                state, _ = update(state, None)
        else:
            state, _ = lax.scan(jax.checkpoint(update), state, length=workload.inner_steps)
        return loss(unravel(state[0].ravel()), task.query_inputs, task.query_targets)

    gradient: Gradient = jax.value_and_grad(query_loss)
    return gradient


def preprocessed(x: Any, axis: int) -> Any:
    """Two in place of one: the magnitude's logarithm and the sign, or -1 and the number enlarged where it is tiny."""
    large = jnp.abs(x) >= np.exp(-PREPROCESSING)
    magnitude = jnp.log(jnp.where(large, jnp.abs(x), 1.0)) / PREPROCESSING
    signs = jnp.where(large, jnp.sign(x), np.exp(PREPROCESSING) * x)
    return jnp.concatenate([jnp.where(large, magnitude, -1.0), signs], axis)
