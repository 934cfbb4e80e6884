"""What a gradient costs, in evaluations of the loss, as a network grows.

The upper line, the derivatives along one parameter after the other, rises with the number of
parameters. The lower one, the walk from the result, stays below three evaluations. Both count the
floating-point operations of the library's own programs.
"""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from style import new

import minimeta as mm
from minimeta import nn
from minimeta.program import optimise, trace
from minimeta.program.arithmetic import operations


def draw() -> Figure:
    """Count for networks with two hidden layers of 2 to 128 units."""
    inputs = np.zeros((32, 8), np.float32)
    sizes, backwards, forwards = [], [], []
    for width in (2, 4, 8, 16, 32, 64, 128):
        model = nn.mlp((8, width, width, 1))
        parameters = model.init(np.random.default_rng(0))

        def loss(parameters: Any, model: nn.Model = model) -> Any:
            return mm.mean(model.apply(parameters, inputs) ** 2)

        def along(parameters: Any, tangent: Any, loss: Any = loss) -> Any:
            return mm.jvp(loss, (parameters,), (tangent,))

        once = operations(optimise(trace(loss, parameters))).total()
        sizes.append(sum(leaf.size for leaf in mm.tree.flatten(parameters)[0]))
        backwards.append(operations(optimise(trace(mm.value_and_grad(loss), parameters))).total() / once)
        forwards.append(operations(optimise(trace(along, parameters, parameters))).total() * sizes[-1] / once)
    figure, (axes,) = new(width=4.8)
    axes.loglog(sizes, forwards, "o-", label="from the arguments")
    axes.loglog(sizes, backwards, "o-", label="from the result")
    axes.set(xlabel="parameters", ylabel="evaluations of the loss", ylim=(1, None))
    axes.grid(axis="y")
    axes.legend()
    return figure
