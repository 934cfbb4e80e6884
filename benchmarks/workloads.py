"""The steps of learning in ``table.py`` as plain data: what is learned, by which rule, from which numbers.

One *meta-step* takes tasks in memory to updated meta-parameters. Nothing here computes one. numpy is all that is
imported, so that every library is given the same workload, initial parameters and tasks in an environment of its own.

**The work** of a meta-step is counted in the multiply-adds of products and convolutions alone, each two operations.
Write F for those of the first layer on one example, R for those of all others together. Each product has two factors,
and its derivative with respect to a factor is a product of the same size; the examples themselves, a factor of the
first layer, need no derivative. A convolution meets no zeros: where a window of weights lies in part outside of the
image, only the pixels in it count. Hence, for each example,

    outputs                                           R +  F
    gradient of a loss                               3R + 2F    outputs, and each product's derivatives
    its product with a vector, differentiated again  6R + 2F    each product of the gradient's, derived in both factors

and a task with S support examples, Q query examples and k inner steps costs

    MAML, second order    k S (9R + 4F) + Q (3R + 2F)
    MAML, first order     k S (3R + 2F) + Q (3R + 2F)
    Reptile                 S (3R + 2F)                         the support set is cut into one mini-batch a step
    LSTM, first order     k S (3R + 2F) + Q (3R + 2F) + k n (3 (4 + h) 4h - 4 * 4h + 3 * 2 (h + 2))
    plain training                        Q (3R + 2F)           no inner steps, and one batch in place of tasks

where the LSTM meta-learner of h hidden units runs on n coordinates with 4 inputs each, which need no derivative. That
is the least work that a library can do; it may compute more.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

META_LEARNING_RATE, BETA1, BETA2, EPSILON = 1e-3, 0.9, 0.999, 1e-8
"""Of Adam, which moves the meta-parameters of all learners but Reptile."""

REPTILE_RATE = 0.1
"""Of Reptile's outer step, theta <- theta + rate (phi - theta)."""

BATCH_NORM_EPSILON = 1e-3

HIDDEN, PREPROCESSING = 20, 10
"""Of the LSTM meta-learner: the hidden units of its first layer, and the ``p`` of its inputs."""


class Layer(NamedTuple):
    """The shape of its weights, the name of what is added, and how often a pixel of an example meets a window's."""

    weight: tuple[int, ...]
    shift: Literal["bias", "offset"]
    pixels: int = 1

    @property
    def multiply_adds(self) -> int:
        """Of one example."""
        return self.pixels * math.prod(self.weight[-2:])


def pixels_met(side: int, stride: int) -> int:
    """The pixels of all windows of three along one axis, without the zeros outside of the image."""
    windows = -(-side // stride)
    return 3 * windows - ((windows - 1) * stride + 3 - side)


@dataclass(frozen=True)
class Perceptron:
    """``minimeta.nn.mlp(sizes, activation=activation)``."""

    sizes: tuple[int, ...]
    activation: Literal["relu", "tanh"] = "relu"

    @property
    def outputs(self) -> int:
        return self.sizes[-1]

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.sizes[:1]

    def layers(self) -> list[Layer]:
        return [Layer(shape, "bias") for shape in itertools.pairwise(self.sizes)]


@dataclass(frozen=True)
class Convolutions:
    """``minimeta.nn.conv4``: normalised by the current batch; a strided convolution is padded, pooling is not."""

    input_shape: tuple[int, int, int]
    outputs: int
    filters: int
    downsampling: Literal["stride", "max_pool"]
    readout: Literal["mean", "flatten"]

    def sides(self) -> list[int]:
        """Of the image, and of what each of the four blocks leaves of it."""
        sides = [self.input_shape[0]]
        for _ in range(4):
            sides.append((sides[-1] + (self.downsampling == "stride")) // 2)
        return sides

    def layers(self) -> list[Layer]:
        channels = (self.input_shape[2], *(self.filters,) * 4)
        sides = self.sides()
        stride = 2 if self.downsampling == "stride" else 1
        blocks = [
            Layer((3, 3, inputs, outputs), "offset", pixels_met(side, stride) ** 2)
            for (inputs, outputs), side in zip(itertools.pairwise(channels), sides[:-1], strict=True)
        ]
        features = self.filters * (sides[-1] ** 2 if self.readout == "flatten" else 1)
        return [*blocks, Layer((features, self.outputs), "bias")]


@dataclass(frozen=True)
class Workload:
    """One row of the table.

    Attributes
    ----------
    name, title
        The short name, and what it is.
    model
        Whose parameters are learned; one output is regression on mean squared error, several are classification on
        mean cross-entropy.
    goal
        The ratio of minimeta's time to the best peer's that this project asks of itself.
    learner, order
        How; the order of its derivatives where it has the choice.
    support, query
        Examples of one task.
    meta_batch
        Tasks of one meta-step.
    inner_steps, inner_learning_rate
        Of the adaptation. (The LSTM meta-learner has gates in place of a rate.)
    by
        Whether minimeta's contender is its learner, or written by a user from the paper's equations (:mod:`by_hand`).
    memory_goal
        Megabytes of minimeta's process.
    patience
        Seconds to wait for a first step: what takes longer to compile has never been the best.
    """

    name: str
    title: str
    model: Perceptron | Convolutions
    goal: float
    learner: Literal["maml", "reptile", "lstm"] = "maml"
    order: Literal[1, 2] = 2
    support: int = 10
    query: int = 10
    meta_batch: int = 1
    inner_steps: int = 1
    inner_learning_rate: float = 0.01
    by: Literal["learner", "hand"] = "learner"
    memory_goal: float | None = None
    patience: int = 40

    # What a row of another kind may say otherwise; see :class:`programs.Program`.
    traffic: ClassVar[float] = 0.0
    dtype: ClassVar[str] = "float32"
    clock: ClassVar[str] = "wall"
    against: ClassVar[str] = "peers"
    rounds: ClassVar[int | None] = None

    @property
    def classifies(self) -> bool:
        return self.model.outputs > 1

    def operations(self) -> int:
        """Floating-point operations of one meta-step, by the formulas at the top of this file."""
        first, *others = (layer.multiply_adds for layer in self.model.layers())
        rest = sum(others)
        gradient = 3 * rest + 2 * first
        learn, judge = self.inner_steps * self.support * gradient, self.query * gradient
        if self.learner == "reptile":
            task = self.support * gradient
        elif self.learner == "lstm":
            coordinates = sum(math.prod(layer.weight) + layer.weight[-1] for layer in self.model.layers())
            cell = 3 * (4 + HIDDEN) * 4 * HIDDEN - 4 * 4 * HIDDEN + 3 * 2 * (HIDDEN + 2)
            task = learn + judge + self.inner_steps * coordinates * cell
        elif self.order == 2:
            task = learn + judge + self.inner_steps * self.support * (6 * rest + 2 * first)
        else:
            task = learn + judge
        return 2 * self.meta_batch * task


_SINUSOID = Perceptron((1, 40, 40, 1))
_OMNIGLOT = Convolutions((28, 28, 1), 5, 64, "stride", "mean")
_OMNIGLOT_20 = Convolutions((28, 28, 1), 20, 64, "stride", "mean")
_OMNIGLOT_POOLED = Convolutions((28, 28, 1), 5, 64, "max_pool", "mean")
_MINI_IMAGENET = Convolutions((84, 84, 3), 5, 32, "max_pool", "flatten")
_FIVE_WAY: dict[str, Any] = {"support": 5, "query": 5, "meta_batch": 32, "inner_learning_rate": 0.4}
_TWENTY_WAY: dict[str, Any] = {"support": 20, "query": 20, "meta_batch": 16, "inner_learning_rate": 0.1}
_LSTM: dict[str, Any] = {"learner": "lstm", "order": 1, "inner_steps": 8}

WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload(
            "mlp", "plain training, 784-256-128-10, 128 examples", Perceptron((784, 256, 128, 10)), 0.6,
            support=10, query=128, inner_steps=0, by="hand",
        ),
        Workload(
            "conv4", "plain training, conv4 of 64 filters with max-pooling, 64 images", _OMNIGLOT_POOLED, 0.45,
            support=5, query=64, inner_steps=0, by="hand",
        ),
        Workload("W1", "sinusoid MAML, 1-40-40-1, one step", _SINUSOID, 0.25, meta_batch=25),
        Workload("W1b", "sinusoid MAML, five steps", _SINUSOID, 0.25, meta_batch=25, inner_steps=5),
        Workload("W1c", "sinusoid first-order MAML", _SINUSOID, 0.25, order=1, meta_batch=25),
        Workload(
            "W1d", "sinusoid Reptile, 1-64-64-1 tanh, 32 steps of 10 points", Perceptron((1, 64, 64, 1), "tanh"), 0.4,
            learner="reptile", order=1, support=320, inner_steps=32, inner_learning_rate=0.02,
        ),
        Workload("W2", "Omniglot MAML, 5-way, strided conv4 of 64 filters", _OMNIGLOT, 0.4, **_FIVE_WAY),
        Workload("W2b", "Omniglot MAML, 20-way, five steps", _OMNIGLOT_20, 0.33, inner_steps=5, **_TWENTY_WAY),
        Workload("W2c", "Omniglot MAML, 5-way, stride 1 and max-pooling", _OMNIGLOT_POOLED, 0.4, **_FIVE_WAY),
        Workload("W2d", "Omniglot first-order MAML, 5-way", _OMNIGLOT, 0.4, order=1, **_FIVE_WAY),
        Workload(
            "W3", "miniImageNet MAML, 5-way, conv4 of 32 filters, five steps", _MINI_IMAGENET, 0.2,
            support=5, query=75, meta_batch=4, inner_steps=5, memory_goal=400,
        ),
        Workload("W4", "sinusoid LSTM meta-learner, 1-40-40-1, eight steps", _SINUSOID, 1 / 3, **_LSTM),
        Workload(
            "W4b", "Omniglot LSTM meta-learner, 784-64-5, eight steps", Perceptron((784, 64, 5)), 1 / 3,
            support=5, query=75, **_LSTM,
        ),
        Workload("W4-hand", "W4, by hand from the paper's equations", _SINUSOID, 0.35, by="hand", **_LSTM),
        Workload(
            "W4b-hand", "W4b, by hand", Perceptron((784, 64, 5)), 0.3,
            support=5, query=75, by="hand", memory_goal=350, **_LSTM,
        ),
    )
}  # fmt: skip


def named(name: str) -> Workload:
    """A workload, or one that differs in some numbers: ``W2 meta_batch=2 filters=128``; ``side`` is of its images."""
    base, *changes = name.split()
    workload = WORKLOADS[base]
    for key, value in (change.split("=") for change in changes):
        model: Any = workload.model
        if key == "side":
            workload = replace(workload, model=replace(model, input_shape=(int(value),) * 2 + model.input_shape[2:]))
        elif key == "filters":
            workload = replace(workload, model=replace(model, filters=int(value)))
        else:
            number: dict[str, Any] = {key: int(value)}
            workload = replace(workload, **number)
    return workload


class Tasks(NamedTuple):
    """A batch of tasks, each array with a leading axis over them; labels are integers, in the order of the classes."""

    support_inputs: NDArray[Any]
    support_targets: NDArray[Any]
    query_inputs: NDArray[Any]
    query_targets: NDArray[Any]


def draw(workload: Workload, seed: int = 0) -> tuple[Any, Tasks]:
    """Initial meta-parameters, a tree of float32 arrays, and a batch of tasks.

    The trees are those of minimeta's models and learners. A network is a tuple with one dict a layer: ``weight``, and
    ``bias`` or ``offset``. The LSTM meta-learner has one as its ``initial`` cell state, next to::

        "layer"  weight (4h, 4 + h) and bias (4h,): rows are input, forget, output gate, candidate; columns [u, hidden]
        "gates"  weight (2, h + 2) and bias (2,): rows are F and I; columns [hidden, theta, the same gate before]

    with ``u = [pre(loss), pre(gradient)]``, two numbers each.
    """
    rng = np.random.default_rng(seed)
    parameters = _network(rng, workload)
    if workload.learner == "lstm":
        parameters = {"initial": parameters, **_lstm(rng)}
    return parameters, (_images if workload.classifies else _waves)(rng, workload)


def probe(workload: Workload, number: int) -> tuple[Any, Tasks]:
    """Meta-parameters and tasks to compare gradients on.

    A meta-gradient jumps where an activation is at the kink of a ReLU, or two are equal in a maximum, by as much as a
    tenth; and of the millions in a batch of images a few are so close that rounding decides the side. Two right
    gradients therefore agree on most probes, but not on all, and a wrong one on none. Probe 0 is a whole batch of
    tasks; the others have fewer kinks to fall over: one task, and in place of the others zeros.
    """
    parameters, tasks = draw(workload, number)
    if number == 0:
        return parameters, tasks
    task = number % workload.meta_batch
    alone = [np.zeros_like(array) for array in tasks]
    for array, whole in zip(alone, tasks, strict=True):
        array[task] = whole[task]
    return parameters, Tasks(*alone)


def _network(rng: np.random.Generator, workload: Workload) -> Any:
    layers = []
    for number, layer in enumerate(workload.model.layers()):
        # Activations of a second moment of 1, as in minimeta.nn.initialisers; that of a wave's inputs is 25/3.
        moment = 0.5 if number else 1.0 if workload.classifies else 25 / 3
        scale = 1 / math.sqrt(math.prod(layer.weight[:-1]) * moment)
        weight = (scale * rng.standard_normal(layer.weight)).astype(np.float32)
        layers.append({"weight": weight, layer.shift: np.zeros(layer.weight[-1], np.float32)})
    return tuple(layers)


def _lstm(rng: np.random.Generator) -> dict[str, Any]:
    """As in the released code: forget gates begin near 1, input gates near 0."""

    def uniform(low: float, high: float, *shape: int) -> NDArray[np.float32]:
        return np.asarray(rng.uniform(low, high, shape), np.float32)

    return {
        "layer": {"weight": uniform(-0.01, 0.01, 4 * HIDDEN, 4 + HIDDEN), "bias": uniform(-0.01, 0.01, 4 * HIDDEN)},
        "gates": {"weight": uniform(-0.01, 0.01, 2, HIDDEN + 2), "bias": np.append(uniform(4, 5), uniform(-5, -4))},
    }


def _waves(rng: np.random.Generator, workload: Workload) -> Tasks:
    tasks = (workload.meta_batch, 1, 1)
    amplitude, phase = rng.uniform(0.1, 5, tasks), rng.uniform(0, math.pi, tasks)
    inputs = [rng.uniform(-5, 5, (workload.meta_batch, n, 1)) for n in (workload.support, workload.query)]
    pairs = ((x, amplitude * np.sin(x - phase)) for x in inputs)
    return Tasks(*(array.astype(np.float32) for pair in pairs for array in pair))


def _images(rng: np.random.Generator, workload: Workload) -> Tasks:
    arrays: list[NDArray[Any]] = []
    for examples in (workload.support, workload.query):
        shape = (workload.meta_batch, examples, *workload.model.input_shape)
        labels = np.arange(examples) * workload.model.outputs // examples
        arrays += [rng.standard_normal(shape, np.float32), np.tile(labels, (workload.meta_batch, 1))]
    return Tasks(*arrays)


def leaves(tree: Any) -> list[Any]:
    """What a nest of tuples and dicts holds, dicts in the order of their keys."""
    if isinstance(tree, dict):
        return [leaf for key in sorted(tree) for leaf in leaves(tree[key])]
    if isinstance(tree, tuple):
        return [leaf for child in tree for leaf in leaves(child)]
    return [tree]


def with_leaves(tree: Any, values: Iterable[Any]) -> Any:
    """The same nest, holding other things."""
    remaining = iter(values)

    def filled(tree: Any) -> Any:
        if isinstance(tree, dict):
            return {key: filled(tree[key]) for key in sorted(tree)}
        return tuple(filled(child) for child in tree) if isinstance(tree, tuple) else next(remaining)

    return filled(tree)
