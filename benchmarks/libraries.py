"""What a program of :mod:`programs` needs of a library: how it computes values and derivatives of a function.

A function is written in numpy's words, ``lib.np.exp(x) @ w``; what is not spelled the same everywhere has a name here.
Each method returns a step without arguments, to be timed; its result is done when it returns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from contender import THREADS, UnavailableError

Step: TypeAlias = Callable[[], Any]


class Library:
    """A library, or one way of it: ``jax forward``."""

    np: Any
    linalg: Any
    array: Callable[..., Any]
    softmax: Callable[..., Any]

    def __init__(self, way: str) -> None:
        self.way, self.name = way, way.partition(" ")[0]

    def values(self, function: Any, *arguments: Any) -> Step:
        """The function itself, compiled."""
        raise UnavailableError(f"{self.way} is not asked for values")

    def gradient(self, function: Any, *arguments: Any) -> Step:
        """The gradient in all arguments, compiled."""
        raise UnavailableError(f"{self.way} is not asked for gradients")

    def eager_gradient(self, function: Any, *arguments: Any) -> Step:
        """The same, recorded and walked back each time."""
        raise UnavailableError(f"{self.way} is not asked for eager gradients")

    def jacobian(self, function: Any, x: Any) -> Step:
        raise UnavailableError(f"{self.way} is not asked for Jacobians")

    def hessian(self, function: Any, x: Any) -> Step:
        raise UnavailableError(f"{self.way} is not asked for Hessians")

    def scan(self, step: Any, state: Any, inputs: Any) -> Any:
        """The outputs of ``state, output = step(state, x)`` for each input in turn."""
        outputs = []
        for x in inputs:
            state, output = step(state, x)
            outputs.append(output)
        return self.np.stack(outputs)

    def layer_norm(self, x: Any, scale: Any, offset: Any) -> Any:
        """By its equations."""
        mean = self.np.mean
        deviation = x - mean(x, -1, keepdims=True)
        return deviation / self.np.sqrt(mean(deviation * deviation, -1, keepdims=True) + 1e-5) * scale + offset

    def softmax_by_hand(self, x: Any) -> Any:
        weights = self.np.exp(x - self.np.max(x, -1, keepdims=True))
        return weights / weights.sum(-1, keepdims=True)

    def sort(self, x: Any) -> Any:
        return self.np.sort(x)

    def erf(self, x: Any) -> Any:
        raise UnavailableError(f"{self.way} is not asked for the error function")

    def rows_added(self, x: Any, places: Any, rows: Any) -> Any:
        """``x`` after ``np.add.at(x, places, rows)``."""
        return x.at[places].add(rows)

    def whole(self, x: Any) -> Any:
        """Numbers without a fraction as indices."""
        return x.astype(np.int64)

    def solve_triangular(self, factor: Any, x: Any) -> Any:
        return self.linalg.solve_triangular(factor, x, lower=True)


class Minimeta(Library):
    def __init__(self, way: str) -> None:
        import minimeta as mm  # noqa: PLC0415 (not in the peers' environment)

        super().__init__(way)
        mm.set_num_threads(THREADS)
        self.mm, self.np, self.array, self.softmax = mm, np, np.asarray, mm.softmax
        self.linalg = getattr(mm, "linalg", None)  # an older build has none

    def erf(self, x: Any) -> Any:
        return self.mm.special.erf(x)

    def rows_added(self, x: Any, places: Any, rows: Any) -> Any:
        return self.mm.at(x)[places].add(rows)

    def values(self, function: Any, *arguments: Any) -> Step:
        compiled = self.mm.compile(function)
        return lambda: compiled(*arguments)

    def gradient(self, function: Any, *arguments: Any) -> Step:
        return self.values(self.mm.grad(function, tuple(range(len(arguments)))), *arguments)

    def eager_gradient(self, function: Any, *arguments: Any) -> Step:
        gradient = self.mm.grad(function, tuple(range(len(arguments))))
        return lambda: gradient(*arguments)

    def jacobian(self, function: Any, x: Any) -> Step:
        return self.values(self.mm.jacobian(function), x)

    def hessian(self, function: Any, x: Any) -> Step:
        return self.values(self.mm.hessian(function), x)


class Jax(Library):
    def __init__(self, way: str) -> None:
        import jax  # noqa: PLC0415

        super().__init__(way)
        jax.config.update("jax_enable_x64", True)
        self.jax, self.np, self.linalg = jax, jax.numpy, jax.scipy.linalg
        self.array, self.softmax = jax.numpy.asarray, jax.nn.softmax

    def erf(self, x: Any) -> Any:
        return self.jax.lax.erf(x)

    def scan(self, step: Any, state: Any, inputs: Any) -> Any:
        return self.jax.lax.scan(step, state, self.array(inputs))[1]

    def values(self, function: Any, *arguments: Any) -> Step:
        compiled, given = self.jax.jit(function), [self.array(x) for x in arguments]
        return lambda: self.jax.block_until_ready(compiled(*given))

    def gradient(self, function: Any, *arguments: Any) -> Step:
        return self.values(self.jax.grad(function, tuple(range(len(arguments)))), *arguments)

    def jacobian(self, function: Any, x: Any) -> Step:
        transform = self.jax.jacfwd if self.way == "jax forward" else self.jax.jacrev
        return self.values(transform(function), x)

    def hessian(self, function: Any, x: Any) -> Step:
        return self.values(self.jax.hessian(function), x)


class Torch(Library):
    """Eager; the way ``torch compile`` compiles functions, and what ``torch.autograd.grad`` runs of them."""

    def __init__(self, way: str) -> None:
        import torch  # noqa: PLC0415

        super().__init__(way)
        torch.set_num_threads(THREADS)
        self.torch, self.np, self.linalg = torch, torch, torch.linalg
        self.array, self.softmax = torch.as_tensor, torch.softmax

    def _ready(self, function: Any) -> Any:
        return self.torch.compile(function, dynamic=False) if self.way == "torch compile" else function

    def values(self, function: Any, *arguments: Any) -> Step:
        ready, given = self._ready(function), [self.array(x) for x in arguments]
        return lambda: ready(*given)

    def gradient(self, function: Any, *arguments: Any) -> Step:
        ready, variables = self._ready(function), [self.torch.tensor(x, requires_grad=True) for x in arguments]
        return lambda: self.torch.autograd.grad(ready(*variables), variables)

    eager_gradient = gradient

    def jacobian(self, function: Any, x: Any) -> Step:
        return self.values(self.torch.func.jacrev(function), x)

    def hessian(self, function: Any, x: Any) -> Step:
        return self.values(self.torch.func.hessian(function), x)

    def layer_norm(self, x: Any, scale: Any, offset: Any) -> Any:
        return self.torch.nn.functional.layer_norm(x, x.shape[-1:], scale, offset)

    def softmax_by_hand(self, x: Any) -> Any:
        return self.torch.softmax(x, -1)

    def erf(self, x: Any) -> Any:
        return self.torch.erf(x)

    def rows_added(self, x: Any, places: Any, rows: Any) -> Any:
        return x.index_add(0, places, rows)

    def sort(self, x: Any) -> Any:
        return self.torch.sort(x)[0]

    def whole(self, x: Any) -> Any:
        return x.long()


LIBRARIES: dict[str, Callable[[str], Library]] = {"minimeta": Minimeta, "jax": Jax, "torch": Torch}
