"""Recurrent cells, and the loop that runs one over a sequence.

A cell turns a state and an input into the next state and an output, ``(s_t, y_t) = step(s_{t-1}, x_t)``:

    rnn   h_t = tanh(x_t W + h_{t-1} U + b)                              Elman 1990

    gru   r_t, z_t = sigmoid(x_t W + h_{t-1} U + b)                      Cho et al. 2014 (arXiv:1406.1078)
          n_t = tanh(x_t W_n + b_n + r_t (h_{t-1} U_n + c_n))
          h_t = z_t h_{t-1} + (1 - z_t) n_t

    lstm  i_t, f_t, o_t = sigmoid(x_t W + h_{t-1} U + b)                 Hochreiter and Schmidhuber 1997,
          n_t = tanh(x_t W_n + h_{t-1} U_n + b_n)                        Gers et al. 2000 (the forget gate f)
          c_t = f_t c_{t-1} + i_t n_t
          h_t = o_t tanh(c_t)

and the output is ``h_t``. The weights of all gates lie side by side, so that a step is two products.
Those of the inputs do not wait for the state: :func:`unroll` computes ``x_t W`` for all ``t`` at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from minimeta.autodiff import tree
from minimeta.autodiff.array import ArrayLike, Value
from minimeta.autodiff.operations import reshape, sigmoid, split, stack, tanh, where
from minimeta.autodiff.operations.operands import dtype_of, shape_of
from minimeta.errors import ConfigurationError, DtypeError, ShapeError
from minimeta.nn import recipe
from minimeta.nn.initialisers import Initialiser, initialiser_of


class Cell(NamedTuple):
    """A recurrent cell, as three pure functions.

    Attributes
    ----------
    init
        ``init(rng) -> parameters``, a dict with at least ``input``, of shape ``(inputs, gates)``.
    start
        ``start(count) -> state``, zeros for so many sequences: a tree of arrays ``(count, hidden)``.
    step
        ``step(parameters, state, projected) -> (state, output)`` for ``projected = x_t @ input``, of shape
        ``(count, gates)``.
    """

    init: Callable[[np.random.Generator], Any]
    start: Callable[[int], Any]
    step: Callable[[Any, Any, Any], tuple[Any, Any]]


@recipe.pickled_by_settings
def rnn(
    inputs: int,
    hidden: int,
    *,
    activation: Callable[[Any], Any] = tanh,
    initialiser: str | Initialiser = "glorot",
    dtype: DTypeLike = np.float32,
) -> Cell:
    """Return a cell without gates, ``h <- f(x W + h U + b)``.

    Parameters
    ----------
    inputs, hidden
        Features of the input, and of the state.
    activation
        ``f``.
    initialiser
        That of the weights: a name of :mod:`minimeta.nn.initialisers`, or a function. Biases start
        at 0.
    dtype
        Of the parameters.

    Returns
    -------
    Cell
        Its parameters are ``input`` ``(inputs, hidden)``, ``hidden`` ``(hidden, hidden)`` and
        ``bias`` ``(hidden,)``; its state is ``h``.

    Raises
    ------
    ConfigurationError
        If a size is not positive, or the initialiser unknown.
    """

    def step(parameters: Any, h: Any, projected: Any) -> tuple[Any, Any]:
        h = activation(projected + h @ parameters["hidden"] + parameters["bias"])
        return h, h

    def init(rng: np.random.Generator) -> Any:
        return _weights(rng, "rnn", inputs, hidden, 1, initialiser, dtype)

    return Cell(init, lambda count: np.zeros((count, hidden), dtype), step)


@recipe.pickled_by_settings
def gru(inputs: int, hidden: int, *, initialiser: str | Initialiser = "glorot", dtype: DTypeLike = np.float32) -> Cell:
    """Return a gated recurrent unit.

    The reset gate ``r`` is applied after the product with ``U_n``, as in cuDNN and PyTorch, so that
    a step has one product; the paper applies it before, ``(r h) U_n``.

    Parameters
    ----------
    inputs, hidden
        Features of the input, and of the state.
    initialiser
        That of the weights: a name of :mod:`minimeta.nn.initialisers`, or a function. Biases start
        at 0.
    dtype
        Of the parameters.

    Returns
    -------
    Cell
        Its parameters are ``input`` ``(inputs, 3 hidden)``, ``hidden`` ``(hidden, 3 hidden)``, both
        in the order r, z, n, ``bias`` ``(3 hidden,)`` and ``candidate_bias`` ``(hidden,)``, which is
        ``c_n``; its state is ``h``.

    Raises
    ------
    ConfigurationError
        If a size is not positive, or the initialiser unknown.
    """

    def step(parameters: Any, h: Any, projected: Any) -> tuple[Any, Any]:
        gates, candidate = split(projected + parameters["bias"], (2 * hidden,), 1)
        of_gates, of_candidate = split(h @ parameters["hidden"], (2 * hidden,), 1)
        reset, keep = split(sigmoid(gates + of_gates), 2, 1)
        new = tanh(candidate + reset * (of_candidate + parameters["candidate_bias"]))
        h = new + keep * (h - new)
        return h, h

    def init(rng: np.random.Generator) -> Any:
        weights = _weights(rng, "gru", inputs, hidden, 3, initialiser, dtype)
        return weights | {"candidate_bias": np.zeros(hidden, dtype)}

    return Cell(init, lambda count: np.zeros((count, hidden), dtype), step)


class LSTMState(NamedTuple):
    """The state of an LSTM: the output ``h`` and the cell ``c``, each ``(count, hidden)``."""

    h: Any
    c: Any


@recipe.pickled_by_settings
def lstm(
    inputs: int,
    hidden: int,
    *,
    forget_bias: float = 1.0,
    initialiser: str | Initialiser = "glorot",
    dtype: DTypeLike = np.float32,
) -> Cell:
    """Return a cell of long short-term memory.

    Parameters
    ----------
    inputs, hidden
        Features of the input, and of the state.
    forget_bias
        The initial bias of the forget gate: at 1 a new cell remembers (Gers et al. 2000,
        Jozefowicz et al. 2015).
    initialiser
        That of the weights: a name of :mod:`minimeta.nn.initialisers`, or a function. Other biases
        start at 0.
    dtype
        Of the parameters.

    Returns
    -------
    Cell
        Its parameters are ``input`` ``(inputs, 4 hidden)``, ``hidden`` ``(hidden, 4 hidden)`` and
        ``bias`` ``(4 hidden,)``, all in the order i, f, o, n; its state is an :class:`LSTMState`.

    Raises
    ------
    ConfigurationError
        If a size is not positive, or the initialiser unknown.
    """

    def step(parameters: Any, state: Any, projected: Any) -> tuple[Any, Any]:
        before = projected + state.h @ parameters["hidden"] + parameters["bias"]
        gates, new = split(before, (3 * hidden,), 1)
        write, forget, show = split(sigmoid(gates), 3, 1)
        c = forget * state.c + write * tanh(new)
        h = show * tanh(c)
        return LSTMState(h, c), h

    def init(rng: np.random.Generator) -> Any:
        weights = _weights(rng, "lstm", inputs, hidden, 4, initialiser, dtype)
        weights["bias"][hidden : 2 * hidden] = forget_bias
        return weights

    def start(count: int) -> Any:
        return LSTMState(np.zeros((count, hidden), dtype), np.zeros((count, hidden), dtype))

    return Cell(init, start, step)


def unroll(
    cell: Cell, parameters: Any, inputs: ArrayLike, state: Any = None, mask: ArrayLike | None = None
) -> tuple[Value, Any]:
    """Run a cell over sequences: ``(s_t, y_t) = step(s_{t-1}, x_t)`` for ``t = 1, ..., T``.

    Parameters
    ----------
    cell
        What to run.
    parameters
        The cell's.
    inputs
        Of shape ``(N, T, features)``.
    state
        ``s_0``, or None for zeros.
    mask
        Truth values of shape ``(N, T)``: where one is False, the sequence has no such element (it
        is padding), and the state stays as it is. The output there is 0. None for all True.

    Returns
    -------
    outputs
        Of shape ``(N, T, hidden)``.
    state
        ``s_T``.

    Raises
    ------
    ShapeError
        If the inputs have not three axes, the sequences no elements, or the mask another shape.
    DtypeError
        If the mask does not hold truth values.
    """
    shape = shape_of(inputs)
    if len(shape) != 3 or shape[1] < 1:
        raise ShapeError(f"unroll: inputs have shape {shape}, expected (N, T, features) with T at least 1")
    count, length, features = shape
    if mask is not None and shape_of(mask) != (count, length):
        raise ShapeError(f"unroll: the mask has shape {shape_of(mask)}, expected {(count, length)}")
    if mask is not None and dtype_of(mask).kind != "b":
        raise DtypeError(f"unroll: the mask is of dtype {dtype_of(mask).name}, not of truth values, as steps < lengths")
    weight = parameters["input"]
    projected = reshape(reshape(inputs, (count * length, features)) @ weight, (count, length, weight.shape[1]))
    state = cell.start(count) if state is None else state
    outputs = []
    for t in range(length):
        new, y = cell.step(parameters, state, projected[:, t])
        if mask is not None:
            valid = mask[:, t, None]  # type: ignore[call-overload, index]
            new, y = tree.map(lambda after, before, v=valid: where(v, after, before), new, state), where(valid, y, 0.0)
        state = new
        outputs.append(y)
    return stack(outputs, 1), state


def _weights(
    rng: np.random.Generator,
    name: str,
    inputs: int,
    hidden: int,
    gates: int,
    initialiser: str | Initialiser,
    dtype: DTypeLike,
) -> dict[str, Any]:
    """Draw the weights of each gate as those of a layer of their own."""
    if min(inputs, hidden) < 1:
        raise ConfigurationError(f"{name}: inputs={inputs} and hidden={hidden} must be positive")
    draw = initialiser_of(initialiser)
    parts = [
        np.concatenate([draw(rng, (rows, hidden), dtype, 1.0) for _ in range(gates)], 1) for rows in (inputs, hidden)
    ]
    return {"input": parts[0], "hidden": parts[1], "bias": np.zeros(gates * hidden, dtype)}
