"""Gradients compared with JAX's, an implementation that shares nothing with this one.

Skipped where JAX is not installed; ``.ci/run`` runs it in an environment of its own.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from drawing import spread
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from numpy_calls import CALLS, VALUES_KNOWN

import minimeta as mm
from minimeta import nn
from minimeta.learners import MAML
from minimeta.tasks.task import Examples, Task

jax = pytest.importorskip("jax")
jax.config.update("jax_enable_x64", True)
jnp = jax.numpy

Function = Callable[..., Any]
Case = tuple[Function, Function, list[tuple[tuple[int, ...], str]]]

MASK = np.array([[True, False, True], [False, False, True]])
INDICES = np.array([1, 0, 1])
ALONG = np.array([[2, 0, 2], [1, 1, 0]])
REAL, POSITIVE, UNIT = ((2, 3), "real"), ((2, 3), "positive"), ((2, 3), "unit")

# Windows that begin in the padding and leave rows and columns over.
STRIDES, PADDING = (2, 1), ((1, 0), (0, 2))
IMAGES, WEIGHTS, PLACES = (2, 5, 4, 3), (3, 2, 3, 4), (2, 2, 5, 4)


def convolve(x: Any, w: Any) -> Any:
    return jax.lax.conv_general_dilated(x, w, STRIDES, PADDING, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def transposed(product: Function, shape: tuple[int, ...], g: Any) -> Any:
    """The transpose of a linear function of an array of that shape."""
    return jax.linear_transpose(product, jax.ShapeDtypeStruct(shape, g.dtype))(g)[0]


def pool(x: Any, start: float, join: Function) -> Any:
    return jax.lax.reduce_window(x, start, join, (1, 2, 3, 1), (1, 2, 1, 1), ((0, 0), (0, 1), (1, 1), (0, 0)))


OURS: dict[str, Any] = {"window": (2, 3), "strides": (2, 1), "padding": ((0, 1), (1, 1))}


#: Public operation: ours, JAX's, and the operands' shapes and domains.
CASES: dict[str, Case] = {
    "abs": (mm.abs, jnp.abs, [REAL]),
    "absolute": (mm.absolute, jnp.absolute, [REAL]),
    "add": (mm.add, jnp.add, [REAL, ((3,), "real")]),
    "astype": (
        lambda x: mm.astype(mm.astype(x, "float32"), "float64") * x,
        lambda x: x.astype("float32").astype("float64") * x,
        [REAL],
    ),
    "average_pool": (
        lambda x: mm.average_pool(x, **OURS) ** 2,
        lambda x: (pool(x, 0.0, jax.lax.add) / pool(jnp.ones_like(x), 0.0, jax.lax.add)) ** 2,
        [(IMAGES, "real")],
    ),
    "broadcast_to": (
        lambda x: mm.broadcast_to(x, (4, 2, 3)),
        lambda x: jnp.broadcast_to(x, (4, 2, 3)),
        [((2, 1), "real")],
    ),
    "clip": (mm.clip, jnp.clip, [REAL, ((), "unit"), ((3,), "positive")]),
    "concatenate": (
        lambda *xs: mm.concatenate(xs, 1),
        lambda *xs: jnp.concatenate(xs, 1),
        [REAL, ((2, 1), "real"), ((2, 0), "real")],
    ),
    "conv2d": (lambda x, w: mm.conv2d(x, w, STRIDES, PADDING), convolve, [(IMAGES, "real"), (WEIGHTS, "real")]),
    "conv2d_input": (
        lambda g, w: mm.conv2d_input(g, w, IMAGES[1:3], STRIDES, PADDING),
        lambda g, w: transposed(lambda x: convolve(x, w), IMAGES, g),
        [(PLACES, "real"), (WEIGHTS, "real")],
    ),
    "conv2d_weight": (
        lambda x, g: mm.conv2d_weight(x, g, WEIGHTS[:2], STRIDES, PADDING),
        lambda x, g: transposed(lambda w: convolve(x, w), WEIGHTS, g),
        [(IMAGES, "real"), (PLACES, "real")],
    ),
    "copy": (lambda x: mm.copy(x) * x, lambda x: jnp.copy(x) * x, [REAL]),
    "cos": (mm.cos, jnp.cos, [REAL]),
    "divide": (mm.divide, jnp.divide, [((3,), "real"), REAL]),
    "divmod": (
        lambda x, y: mm.divmod(x, y)[1] * x + mm.divmod(x, y)[0],
        lambda x, y: jnp.divmod(x, y)[1] * x + jnp.divmod(x, y)[0],
        [REAL, ((3,), "positive")],
    ),
    "dot": (mm.dot, jnp.dot, [REAL, ((3,), "real")]),
    "exp": (mm.exp, jnp.exp, [REAL]),
    "expand_dims": (lambda x: mm.expand_dims(x, (0, 2)) ** 3, lambda x: jnp.expand_dims(x, (0, 2)) ** 3, [REAL]),
    "expm1": (mm.expm1, jnp.expm1, [REAL]),
    "flip": (lambda x: mm.flip(x, 1) * x, lambda x: jnp.flip(x, 1) * x, [REAL]),
    "log": (mm.log, jnp.log, [POSITIVE]),
    "log1p": (mm.log1p, jnp.log1p, [UNIT]),
    "log_softmax": (lambda x: mm.log_softmax(x, 0), lambda x: jax.nn.log_softmax(x, 0), [REAL]),
    "logsumexp": (lambda x: mm.logsumexp(x, 1), lambda x: jax.nn.logsumexp(x, 1), [REAL]),
    "matmul": (mm.matmul, jnp.matmul, [((4, 1, 2, 3), "real"), ((2, 3, 2), "real")]),
    "max": (lambda x: mm.max(x, 1) ** 2, lambda x: jnp.max(x, 1) ** 2, [REAL]),
    "max_pool": (
        lambda x: mm.max_pool(x, **OURS) ** 2,
        lambda x: pool(x, -jnp.inf, jax.lax.max) ** 2,
        [(IMAGES, "real")],
    ),
    "maximum": (mm.maximum, jnp.maximum, [REAL, ((3,), "real")]),
    "mean": (lambda x: mm.mean(x, 0) ** 2, lambda x: jnp.mean(x, 0) ** 2, [REAL]),
    "min": (lambda x: mm.min(x, keepdims=True) * x, lambda x: jnp.min(x, keepdims=True) * x, [REAL]),
    "minimum": (mm.minimum, jnp.minimum, [REAL, REAL]),
    "moveaxis": (lambda x: mm.moveaxis(x, 0, -1) ** 2, lambda x: jnp.moveaxis(x, 0, -1) ** 2, [((2, 3, 4), "real")]),
    "multiply": (mm.multiply, jnp.multiply, [REAL, ((2, 1), "real")]),
    "negative": (mm.negative, jnp.negative, [REAL]),
    "norm": (lambda x: mm.norm(x, 1), lambda x: jnp.linalg.norm(x, axis=1), [REAL]),
    "outer": (mm.outer, jnp.outer, [((3,), "real"), ((2,), "real")]),
    "pad": (
        lambda x: mm.pad(x, ((1, 0), (2, 1)), constant_values=2.0) ** 2,
        lambda x: jnp.pad(x, ((1, 0), (2, 1)), constant_values=2.0) ** 2,
        [REAL],
    ),
    "power": (mm.power, jnp.power, [POSITIVE, REAL]),
    "ravel": (lambda x: mm.ravel(x) ** 2, lambda x: jnp.ravel(x) ** 2, [REAL]),
    "reciprocal": (mm.reciprocal, jnp.reciprocal, [REAL]),
    "remainder": (lambda x, y: mm.remainder(x, y) * x, lambda x, y: jnp.remainder(x, y) * x, [REAL, POSITIVE]),
    "relu": (lambda x: mm.relu(x) * x, lambda x: jax.nn.relu(x) * x, [REAL]),
    "reshape": (lambda x: mm.reshape(x, (3, 2)) ** 2, lambda x: jnp.reshape(x, (3, 2)) ** 2, [REAL]),
    "scatter_add": (
        lambda x, u: mm.scatter_add(x, INDICES, u) ** 2,
        lambda x, u: x.at[INDICES].add(u) ** 2,
        [REAL, ((3, 3), "real")],
    ),
    "sigmoid": (mm.sigmoid, jax.nn.sigmoid, [REAL]),
    "sign": (lambda x: mm.sign(x) * x**2, lambda x: jnp.sign(x) * x**2, [REAL]),
    "sin": (mm.sin, jnp.sin, [REAL]),
    "softmax": (mm.softmax, jax.nn.softmax, [REAL]),
    "softplus": (mm.softplus, jax.nn.softplus, [REAL]),
    "split": (
        lambda x: mm.split(x, [1], 1)[0] * mm.split(x, [1], 1)[1],
        lambda x: jnp.split(x, [1], 1)[0] * jnp.split(x, [1], 1)[1],
        [REAL],
    ),
    "sqrt": (mm.sqrt, jnp.sqrt, [POSITIVE]),
    "square": (mm.square, jnp.square, [REAL]),
    "squeeze": (lambda x: mm.squeeze(x, 1) ** 2, lambda x: jnp.squeeze(x, 1) ** 2, [((2, 1, 3), "real")]),
    "stack": (lambda *xs: mm.stack(xs, 1) ** 2, lambda *xs: jnp.stack(xs, 1) ** 2, [REAL, REAL]),
    "stop_gradient": (lambda x: mm.stop_gradient(x) * x, lambda x: jax.lax.stop_gradient(x) * x, [REAL]),
    "subtract": (mm.subtract, jnp.subtract, [((), "real"), REAL]),
    "sum": (lambda x: mm.sum(x, (0, 2)) ** 2, lambda x: jnp.sum(x, (0, 2)) ** 2, [((2, 3, 4), "real")]),
    "swapaxes": (lambda x: mm.swapaxes(x, 0, 2) ** 2, lambda x: jnp.swapaxes(x, 0, 2) ** 2, [((2, 3, 4), "real")]),
    "take": (lambda x: mm.take(x, INDICES, 1) ** 2, lambda x: jnp.take(x, INDICES, 1) ** 2, [REAL]),
    "take_along_axis": (
        lambda x: mm.take_along_axis(x, ALONG, 1) ** 2,
        lambda x: jnp.take_along_axis(x, ALONG, 1) ** 2,
        [REAL],
    ),
    "tan": (mm.tan, jnp.tan, [UNIT]),
    "tanh": (mm.tanh, jnp.tanh, [REAL]),
    "transpose": (
        lambda x: mm.transpose(x, (2, 0, 1)) ** 2,
        lambda x: jnp.transpose(x, (2, 0, 1)) ** 2,
        [((2, 3, 4), "real")],
    ),
    "var": (lambda x: mm.var(x, 1, ddof=1), lambda x: jnp.var(x, 1, ddof=1), [REAL]),
    "where": (lambda x, y: mm.where(MASK, x * x, y), lambda x, y: jnp.where(MASK, x * x, y), [REAL, REAL]),
    "index": (lambda x: x[::-1, [2, 0, 0]] ** 2, lambda x: x[::-1, jnp.array([2, 0, 0])] ** 2, [REAL]),
}

#: Calls of functions that both modules have under one name.
MOVES: dict[str, Callable[[Any, Any], Any]] = {
    "append": lambda m, x: m.append(x, x, 0),
    "array_split": lambda m, x: m.array_split(x, 2, 1)[1],
    "atleast_1d": lambda m, x: m.atleast_1d(x),
    "atleast_2d": lambda m, x: m.atleast_2d(x[0]),
    "atleast_3d": lambda m, x: m.atleast_3d(x),
    "block": lambda m, x: m.block([[x, x]]),
    "broadcast_arrays": lambda m, x: m.broadcast_arrays(x, x[0])[1],
    "column_stack": lambda m, x: m.column_stack([x, x]),
    "delete": lambda m, x: m.delete(x, 1, 1),
    "diag": lambda m, x: m.diag(x),
    "diagflat": lambda m, x: m.diagflat(x),
    "diagonal": lambda m, x: m.diagonal(x, 1),
    "dsplit": lambda m, x: m.dsplit(m.reshape(x, (1, 2, 3)), 3)[0],
    "dstack": lambda m, x: m.dstack([x, x]),
    "fliplr": lambda m, x: m.fliplr(x),
    "flipud": lambda m, x: m.flipud(x),
    "full_like": lambda m, x: m.full_like(x, 2.0) * x,
    "hsplit": lambda m, x: m.hsplit(x, 3)[0],
    "hstack": lambda m, x: m.hstack([x, x]),
    "insert": lambda m, x: m.insert(x, 1, 2.0, 1),
    "matrix_transpose": lambda m, x: m.matrix_transpose(x),
    "meshgrid": lambda m, x: m.meshgrid(x[0], x[1])[0],
    "repeat": lambda m, x: m.repeat(x, 2, 1),
    "resize": lambda m, x: m.resize(x, (3, 3)),
    "roll": lambda m, x: m.roll(x, 1, 1),
    "rot90": lambda m, x: m.rot90(x),
    "tile": lambda m, x: m.tile(x, (2, 1)),
    "tril": lambda m, x: m.tril(x),
    "triu": lambda m, x: m.triu(x),
    "unstack": lambda m, x: m.unstack(x)[0],
    "vsplit": lambda m, x: m.vsplit(x, 2)[0],
    "vstack": lambda m, x: m.vstack([x, x]),
    "zeros_like": lambda m, x: m.zeros_like(x) + x,
}
for _name, _call in MOVES.items():
    CASES[_name] = (
        lambda x, call=_call: call(mm, x) ** 2,
        lambda x, call=_call: call(jnp, x) ** 2,
        [REAL],
    )
CASES["at"] = (lambda x: mm.at(x)[0].set(x[1] ** 2) * x, lambda x: x.at[0].set(x[1] ** 2) * x, [REAL])

WITHOUT_DERIVATIVE = {
    "allclose",
    "argmax",
    "array_equal",
    "isclose",
    "equal",
    "greater",
    "greater_equal",
    "less",
    "less_equal",
    "not_equal",
}
WITHOUT_DERIVATIVE |= {"logical_and", "logical_not", "logical_or", "logical_xor", "floor_divide"}
WITHOUT_DERIVATIVE |= {"bitwise_and", "bitwise_not", "bitwise_or", "bitwise_xor", *VALUES_KNOWN}


def assert_close(ours: Any, theirs: Any, tolerance: float = 1e-11) -> None:
    """Two trees of arrays agree, relative to the largest element of each."""
    found, structure = mm.tree.flatten(ours)
    for one, other in zip(found, mm.tree.leaves_like(structure, theirs), strict=True):
        expected = np.asarray(other)
        assert one.shape == expected.shape
        assert_allclose(one, expected, rtol=tolerance, atol=tolerance * float(np.max(np.abs(expected), initial=1e-3)))


def test_every_public_operation_is_in_the_table() -> None:
    others = WITHOUT_DERIVATIVE | {call.name for call in CALLS}  # numpy_calls.py has a table of its own.
    assert set(mm.operations.NAMES) - others <= set(CASES)


@pytest.mark.parametrize("name", list(CASES))
def test_operations_to_second_order(name: str) -> None:
    ours, theirs, operands = CASES[name]
    rng = np.random.default_rng(0)
    point = [spread(rng, shape, domain) for shape, domain in operands]

    value, pullback = mm.vjp(ours, *point)
    expected, their_pullback = jax.vjp(theirs, *point)
    assert_close(value, expected)
    cotangent = spread(rng, value.shape)
    assert_close(pullback(cotangent), their_pullback(cotangent))

    directions = tuple(spread(rng, x.shape) for x in point)
    _, second = mm.vjp(lambda v, *xs: mm.vjp(ours, *xs)[1](v), cotangent, *point)
    _, their_second = jax.vjp(lambda v, *xs: jax.vjp(theirs, *xs)[1](v), cotangent, *point)
    assert_close(second(directions), their_second(directions))

    tangent = mm.jvp(ours, point, directions)[1]
    assert_close(tangent, jax.jvp(theirs, tuple(point), directions)[1])


# Networks: the whole forward pass written twice


def forward(parameters: Any, x: Any, normalised: bool, activation: Function) -> Any:
    """A multi-layer perceptron in JAX."""
    *hidden, last = parameters
    for layer in hidden:
        x = x @ layer["weight"] + (0.0 if normalised else layer["bias"])
        if normalised:
            x = (x - jnp.mean(x, 0)) / jnp.sqrt(jnp.var(x, 0) + 1e-3) + layer["offset"]
        x = activation(x)
    return x @ last["weight"] + last["bias"]


def forward_images(parameters: Any, x: Any) -> Any:
    """The network of four convolutions in JAX."""
    *blocks, last = parameters
    for block in blocks:
        x = jax.lax.conv_general_dilated(x, block["weight"], (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        x = (x - jnp.mean(x, (0, 1, 2))) / jnp.sqrt(jnp.var(x, (0, 1, 2)) + 1e-3) + block["offset"]
        x = jax.nn.relu(x)
    return jnp.mean(x, (1, 2)) @ last["weight"] + last["bias"]


def squared(outputs: Any, targets: Any) -> Any:
    return jnp.mean((outputs - targets) ** 2)


def entropy(outputs: Any, labels: Any) -> Any:
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(outputs, -1), labels[:, None], -1))


def sinusoid() -> tuple[nn.Model, Function, Function, Function, Task]:
    rng = np.random.default_rng(0)
    inputs = rng.uniform(-5, 5, (2, 10, 1))
    targets = 2 * np.sin(inputs + 1)
    model = nn.mlp((1, 40, 40, 1), dtype=np.float64)
    task = Task(Examples(inputs[0], targets[0]), Examples(inputs[1], targets[1]))
    return model, nn.mean_squared_error, lambda p, x: forward(p, x, False, jax.nn.relu), squared, task


def characters() -> tuple[nn.Model, Function, Function, Function, Task]:
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(2, 10, 16))
    model = nn.mlp((16, 12, 8, 5), batch_norm=True, dtype=np.float64)
    task = Task(Examples(inputs[0], np.arange(10) % 5), Examples(inputs[1], rng.permutation(10) % 5))
    return model, nn.cross_entropy, lambda p, x: forward(p, x, True, jax.nn.relu), entropy, task


def images() -> tuple[nn.Model, Function, Function, Function, Task]:
    rng = np.random.default_rng(5)
    inputs = rng.normal(size=(2, 6, 14, 11, 2))
    model = nn.conv4((14, 11, 2), 3, filters=6, dtype=np.float64)
    task = Task(Examples(inputs[0], np.arange(6) % 3), Examples(inputs[1], rng.permutation(6) % 3))
    return model, nn.cross_entropy, forward_images, entropy, task


each_problem = pytest.mark.parametrize("problem", [sinusoid, characters, images])


@each_problem
def test_gradient_and_hessian_vector_product_of_a_network(problem: Function) -> None:
    model, loss, theirs, their_loss, task = problem()
    parameters = model.init(np.random.default_rng(2))
    x, y = task.support.inputs, task.support.targets
    rng = np.random.default_rng(3)
    direction = mm.tree.map(lambda p: rng.normal(size=p.shape), parameters)

    def ours(p: Any) -> Any:
        return loss(model.apply(p, x), y)

    def expected(p: Any) -> Any:
        return their_loss(theirs(p, x), y)

    value, gradient = mm.value_and_grad(ours)(parameters)
    their_value, their_gradient = jax.value_and_grad(expected)(parameters)
    assert_close(value, their_value)
    assert_close(gradient, their_gradient)
    (product,) = mm.hvp(ours, (parameters,), (direction,))
    assert_close(product, jax.jvp(jax.grad(expected), (parameters,), (direction,))[1], 1e-10)


@each_problem
@pytest.mark.parametrize("order", [1, 2])
def test_the_meta_gradient(problem: Function, order: int) -> None:
    steps = 2
    model, loss, theirs, their_loss, task = problem()
    learner = MAML(model, loss, 0.05, steps, order)
    parameters = learner.init(np.random.default_rng(4))

    def meta_loss(p: Any) -> Any:
        for _ in range(steps):
            gradient = jax.grad(lambda q: their_loss(theirs(q, task.support.inputs), task.support.targets))(p)
            if order == 1:
                gradient = jax.lax.stop_gradient(gradient)
            p = jax.tree_util.tree_map(lambda q, g: q - 0.05 * g, p, gradient)
        return their_loss(theirs(p, task.query.inputs), task.query.targets)

    result = learner.meta_gradient(parameters, task)
    value, gradient = jax.value_and_grad(meta_loss)(parameters)
    assert_close(result.loss, value)
    assert_close(result.gradient, gradient, 1e-10)


def test_derivatives_of_fourth_order() -> None:
    def ours(x: Any) -> Any:
        return mm.tanh(x) * mm.softplus(x * x) + mm.logsumexp(mm.stack([x, mm.sin(x), x**3]))

    def theirs(x: Any) -> Any:
        return jnp.tanh(x) * jax.nn.softplus(x * x) + jax.nn.logsumexp(jnp.stack([x, jnp.sin(x), x**3]))

    x: NDArray[Any] = np.array(0.7)
    for _ in range(4):
        ours, theirs = mm.grad(ours), jax.grad(theirs)
        assert_close(ours(x), theirs(x), 1e-10)
