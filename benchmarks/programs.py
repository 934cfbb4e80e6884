"""Programs that nobody tuned for, each written once, as a user would, for all libraries.

A row is a function under :func:`program`. It takes a :class:`libraries.Library`, draws what it computes with, and
returns a step, of which the result is compared and the time is taken. What its row says:

- its goal, the ratio of minimeta's time to the best peer's; or ``clock="processor"``, and the goal is in seconds of all
  processors, without peers;
- the least floating-point operations, or the least traffic with memory in bytes, that it takes, where one of them
  limits it. What fits the caches has no traffic.
"""

from __future__ import annotations

import importlib
import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from libraries import LIBRARIES, Library, Step
from numpy.typing import NDArray


@dataclass(frozen=True)
class Program:
    """One row of the table; the attributes that a :class:`workloads.Workload` has too mean the same."""

    name: str
    title: str
    goal: float
    build: Callable[[Any], Step]
    ways: tuple[str, ...]
    work: float = 0.0
    traffic: float = 0.0
    dtype: str = "float32"
    clock: Literal["wall", "processor"] = "wall"
    against: Literal["peers", "before"] = "peers"
    rounds: int | None = None
    patience: int = 30
    memory_goal: float | None = None

    def operations(self) -> float:
        return self.work


PROGRAMS: dict[str, Program] = {}


def program(
    name: str, goal: float, peers: tuple[str, ...] = ("jax", "torch"), **facts: Any
) -> Callable[[Callable[[Any], Step]], None]:
    """Declare a row; its title is the function's docstring."""

    def add(build: Callable[[Any], Step]) -> None:
        PROGRAMS[name] = Program(name, (build.__doc__ or "").rstrip("."), goal, build, ("minimeta", *peers), **facts)

    return add


class ProgramStep:
    """A program in a library; see :class:`contender.Contender`."""

    def __init__(self, row: Program, way: str) -> None:
        self.step = row.build(LIBRARIES[way.partition(" ")[0]](way))

    def result(self) -> list[NDArray[Any]]:
        result = self.step()
        leaves = result if isinstance(result, (list, tuple)) else [] if result is None else [result]
        return [np.asarray(leaf) for leaf in leaves]


def draw(*shape: int, scale: float = 1.0, dtype: str = "float32") -> Any:
    """Normal numbers; the same for the same shape."""
    return (scale * np.random.default_rng(shape).normal(size=shape)).astype(dtype)


def network(*sizes: int) -> list[Any]:
    """Weights and biases in turn."""
    shapes = [shape for pair in itertools.pairwise(sizes) for shape in (pair, (pair[1],))]
    return [draw(*shape, scale=shape[0] ** -0.5) for shape in shapes]


def predicted(lib: Library, parameters: Any, x: Any) -> Any:
    *hidden, last = zip(parameters[::2], parameters[1::2], strict=True)
    for w, b in hidden:
        x = lib.np.tanh(x @ w + b)
    return x @ last[0] + last[1]


# Derivatives of a whole


@program("hessian-50", 0.6, work=2 * 1000 * 50**2)
def logistic_hessian(lib: Library) -> Step:
    """Hessian of a logistic regression, 50 parameters, 1,000 examples."""
    x, sign = lib.array(draw(1000, 50)), lib.array(np.sign(draw(1000)))
    return lib.hessian(lambda w: lib.np.mean(lib.np.log(1 + lib.np.exp(-sign * (x @ w)))), draw(50, scale=0.1))


@program("hessian-400", 0.7)
def network_hessian(lib: Library) -> Step:
    """Hessian of a network of 400 parameters, 64 examples."""
    parameters, x, y = network(8, 16, 12, 4), lib.array(draw(64, 8)), lib.array(draw(64, 4))
    bounds = np.cumsum([0, *(p.size for p in parameters)]).tolist()

    def loss(flat: Any) -> Any:
        parts = [
            lib.np.reshape(flat[start:stop], p.shape)
            for p, (start, stop) in zip(parameters, itertools.pairwise(bounds), strict=True)
        ]
        return lib.np.mean((predicted(lib, parts, x) - y) ** 2)

    return lib.hessian(loss, np.concatenate([p.ravel() for p in parameters]))


@program("jacobian-64", 0.6, ("jax", "jax forward", "torch"), work=2 * 2 * 64**3)
def network_jacobian(lib: Library) -> Step:
    """Jacobian of a network, 64-64-64-64."""
    parameters = [lib.array(p) for p in network(64, 64, 64, 64)]
    return lib.jacobian(lambda x: predicted(lib, parameters, x), draw(64))


# Kernels


def declare_products(size: str, shape: tuple[int, ...], goal: float) -> None:
    work = 2 * np.prod(shape, dtype=float) * shape[-1]
    for dtype in ("float32", "float64"):

        def build(lib: Library, dtype: str = dtype) -> Step:
            return lib.values(lib.np.matmul, draw(*shape, dtype=dtype), draw(*shape, scale=0.5, dtype=dtype))

        build.__doc__ = f"Product of {size}, {dtype}"
        program(f"product-{shape[-1]}-{dtype}", goal, work=work, dtype=dtype)(build)


declare_products("2048 x 2048 x 2048", (2048, 2048), 1.0)
declare_products("64 times 128 x 128 x 128", (64, 128, 128), 0.9)

ROWS, COLUMNS = 10_000, 1_000
ARRAY = 4.0 * ROWS * COLUMNS  #: bytes


@program("layer-norm", 0.7, ("jax", "torch", "torch compile"), traffic=4 * ARRAY)
def layer_norm_gradient(lib: Library) -> Step:
    """Layer norm of 10^7 floats, gradient in all arguments."""
    operands = draw(ROWS, COLUMNS), draw(COLUMNS), draw(COLUMNS, scale=0.5), draw(ROWS, COLUMNS, scale=0.5)
    return lib.gradient(lambda x, scale, offset, g: (lib.layer_norm(x, scale, offset) * g).sum(), *operands)


@program("layer-norm-values", 0.7, ("jax", "torch", "torch compile"), traffic=2 * ARRAY)
def layer_norm_values(lib: Library) -> Step:
    """Layer norm of 10^7 floats, values."""
    return lib.values(lib.layer_norm, draw(ROWS, COLUMNS), draw(COLUMNS), draw(COLUMNS, scale=0.5))


@program("softmax", 0.9, traffic=2 * ARRAY)
def softmax_values(lib: Library) -> Step:
    """Softmax of 10^7 floats by its equations, values."""
    return lib.values(lib.softmax_by_hand, draw(ROWS, COLUMNS))


@program("sum-axis-0", 0.9, traffic=ARRAY)
def sum_of_rows(lib: Library) -> Step:
    """Sum of 10^7 floats over axis 0."""
    return lib.values(lambda x: lib.np.sum(x, 0), draw(ROWS, COLUMNS))


# Everyday numpy, with gradients


@program(
    "attention", 0.6, ("jax", "torch", "torch compile"), work=6 * (3 * 8 * 128 * 64 * 64 + 2 * 8 * 4 * 128 * 128 * 16)
)
def attention(lib: Library) -> Step:
    """Self-attention of 4 heads by einsum, 8 x 128 x 64."""

    def energy(x: Any, w: Any) -> Any:
        q, k, v = (lib.np.einsum("btf,hfd->bhtd", x, w[i]) for i in range(3))
        weights = lib.softmax(lib.np.einsum("bhtd,bhsd->bhts", q, k) * 0.25, -1)
        return (lib.np.einsum("bhts,bhsd->bthd", weights, v) ** 2).sum()

    return lib.gradient(energy, draw(8, 128, 64), draw(3, 4, 64, 16, scale=1 / 8))


@program("sort", 1.0)
def sorting(lib: Library) -> Step:
    """Sort of 10^6 distinct floats."""
    distinct = np.random.default_rng(0).permutation(10**6).astype(np.float32)  # of equals, which goes first is free
    weight = lib.array(draw(10**6))
    return lib.gradient(lambda x: lib.np.sum(weight * lib.sort(x)), distinct)


@program("cumsum", 1.0)
def cumulative_sum(lib: Library) -> Step:
    """Cumulative sum of 10^6 floats."""
    return lib.gradient(lambda x: lib.np.sum(lib.np.square(lib.np.cumsum(x, 0))), draw(10**6))


@program("fft", 1.0)
def transform(lib: Library) -> Step:
    """Energy of the Fourier transform of 10^6 floats."""
    return lib.gradient(lambda x: lib.np.sum(lib.np.abs(lib.np.fft.rfft(x)) ** 2), draw(10**6))


# The Cholesky factor takes n^3 / 3 operations, the inverse that is in its gradient twice as many.
@program("likelihood", 1.2, ("jax",), work=500**3, dtype="float64")
def likelihood(lib: Library) -> Step:
    """Likelihood of a Gaussian process by Cholesky, 500 points, float64."""
    points = np.sort(np.random.default_rng(0).uniform(-5, 5, 500))
    squares, targets = lib.array((points[:, None] - points) ** 2), lib.array(np.sin(points) + draw(500, scale=0.1))

    def logarithm(p: Any) -> Any:
        k = lib.np.exp(p[0] - 0.5 * squares * lib.np.exp(-2 * p[1])) + lib.np.exp(p[2]) * lib.np.eye(500)
        factor = lib.np.linalg.cholesky(k)
        white = lib.solve_triangular(factor, targets)
        return -0.5 * lib.np.sum(white * white) - lib.np.sum(lib.np.log(lib.np.diagonal(factor)))

    return lib.gradient(logarithm, np.array([0.1, -0.5, -2.0]))


@program("kalman", 0.3, ("jax",), dtype="float64")
def kalman_filter(lib: Library) -> Step:
    """Likelihood of a Kalman filter, 200 steps, 4 hidden and 2 seen numbers, float64."""
    seen, loading = draw(200, 2, dtype="float64"), lib.array(draw(2, 4, dtype="float64"))

    def likelihood(transition: Any, noises: Any) -> Any:
        drift, error = (lib.np.exp(noises[i]) * lib.np.eye(n) for i, n in enumerate((4, 2)))

        def step(state: Any, y: Any) -> Any:
            mean, covariance = state
            mean, covariance = transition @ mean, transition @ covariance @ transition.T + drift
            of_seen, surprise = loading @ covariance @ loading.T + error, y - loading @ mean
            gain = lib.np.linalg.solve(of_seen, loading @ covariance).T
            term = surprise @ lib.np.linalg.solve(of_seen, surprise) + lib.np.linalg.slogdet(of_seen)[1]
            return (mean + gain @ surprise, covariance - gain @ loading @ covariance), term

        return lib.np.sum(lib.scan(step, (lib.np.zeros(4), lib.np.eye(4)), seen))

    transition = 0.9 * np.eye(4) + draw(4, 4, scale=0.02, dtype="float64")
    return lib.gradient(likelihood, transition, np.array([-1.0, -0.5]))


@program("quadrature", 0.6, ("jax",), dtype="float64")
def quadrature(lib: Library) -> Step:
    """Logistic regression of 500 groups of 10 with random intercepts, 32 points of Gauss and Hermite, float64."""
    points, weights = np.polynomial.hermite_e.hermegauss(32)
    points, logarithms = lib.array(points), lib.array(np.log(weights))
    x, y = lib.array(draw(500, 10, 4, dtype="float64")), lib.array(draw(500, 10, 1, dtype="float64") > 0)

    def likelihood(slopes: Any, spread: Any) -> Any:
        z = (x @ slopes)[:, :, None] + lib.np.exp(spread) * points
        terms = lib.np.sum(y * z - lib.np.logaddexp(0.0, z), 1) + logarithms
        largest = lib.np.max(terms, 1, keepdims=True)
        return lib.np.sum(lib.np.log(lib.np.sum(lib.np.exp(terms - largest), 1)) + largest[:, 0])

    return lib.gradient(likelihood, draw(4, dtype="float64"), np.array(0.1))


# Python in every step


@program("eager-network", 1.1, ("torch",))
def eager_network(lib: Library) -> Step:
    """Eager gradient of a network of 3 layers, batch 32."""
    x, y = lib.array(draw(32, 64)), lib.array(draw(32, 10))
    return lib.eager_gradient(
        lambda *parameters: lib.np.mean((predicted(lib, parameters, x) - y) ** 2), *network(64, 64, 64, 10)
    )


@program("eager-chain", 0.9, ("torch",))
def eager_chain(lib: Library) -> Step:
    """Eager gradient of a chain of 1,000 operations on a number."""

    def chain(x: Any) -> Any:
        for _ in range(500):
            x = lib.np.sin(x) * 1.02  # of which the derivative is no zero
        return x

    return lib.eager_gradient(chain, np.asarray(0.5, np.float32))


@program("eager-add", 1.0, ("torch",), against="before")
def eager_addition(lib: Any) -> Step:
    """1,000 eager additions of ten floats, each walked back."""
    x, y, g = (np.ones(10, np.float32) for _ in range(3))
    if lib.name == "torch":
        lib.torch.set_num_threads(1)
        a, b = (lib.torch.from_numpy(z).requires_grad_() for z in (x, y))
        cotangent = lib.torch.from_numpy(g)

        def add() -> Any:
            return lib.torch.autograd.grad(a + b, (a, b), cotangent)
    else:
        graph, arrays = (importlib.import_module(f"minimeta.autodiff.{name}") for name in ("graph", "array"))
        trace = arrays.Trace()  # It stays open, as it does while a differentiated function runs.
        a, b = leaves = [graph.alias(z, trace) for z in (x, y)]
        cotangent = arrays.Array(g)

        def add() -> Any:
            z = a + b
            return graph.backward(graph.Recording(trace, leaves, z), (z,), (cotangent,))

    def step() -> Any:
        for _ in range(999):
            add()
        return [np.asarray(found) for found in add()]

    return step


@program("import", 1.0, ("jax", "torch"), against="before")
def importing(lib: Library) -> Step:
    """A new Python that imports the library."""

    def step() -> None:
        subprocess.run([sys.executable, "-c", f"import {lib.name}"], check=True)

    return step


# Before the first step


@program("trace-steps", 0.3, (), clock="processor", rounds=3)
def trace_inner_steps(lib: Any) -> Step:
    """Trace, passes and plan of 50 inner steps."""
    parameters, x, y = network(1, 40, 40, 1), draw(4, 10, 1), draw(4, 10, 1, scale=0.5)

    def loss(parameters: Any, x: Any, y: Any) -> Any:
        return np.mean((predicted(lib, parameters, x) - y) ** 2)

    def adapted(parameters: Any, x: Any, y: Any) -> Any:
        for _ in range(50):
            gradient = lib.mm.grad(loss)(parameters, x, y)
            parameters = [p - 0.01 * g for p, g in zip(parameters, gradient, strict=True)]
        return loss(parameters, x, y)

    def meta_loss(parameters: Any, x: Any, y: Any) -> Any:
        return np.mean(lib.mm.vmap(adapted, in_axes=(None, 0, 0))(parameters, x, y))

    return lambda: lib.mm.compile(lib.mm.grad(meta_loss)).lower(parameters, x, y).outputs


@program("trace-gru", 2.0, (), clock="processor", rounds=3)
def trace_gru(lib: Any) -> Step:
    """Trace, passes and plan of a GRU over 800 steps."""
    w, u = ({name: draw(n, 32, scale=n**-0.5) for name in "zrh"} for n in (4, 32))
    x = draw(800, 8, 4)

    def loss(parameters: Any, x: Any) -> Any:
        w, u = parameters
        h = np.zeros((8, 32), np.float32)
        for t in range(800):
            z = 1 / (1 + np.exp(-(x[t] @ w["z"] + h @ u["z"])))
            r = 1 / (1 + np.exp(-(x[t] @ w["r"] + h @ u["r"])))
            h = (1 - z) * h + z * np.tanh(x[t] @ w["h"] + (r * h) @ u["h"])
        return np.mean(h**2)

    return lambda: lib.mm.compile(lib.mm.grad(loss)).lower((w, u), x).outputs


@program("trace-products", 2.0, (), clock="processor", rounds=3)
def trace_products(lib: Any) -> Step:
    """Trace, passes and plan of 10,000 products in a chain."""
    w = np.eye(4, dtype=np.float32)

    def chain(w: Any, x: Any) -> Any:
        for _ in range(10_000):
            x = x @ w
        return np.sum(x**2)

    return lambda: lib.mm.compile(lib.mm.grad(chain)).lower(w, w).outputs


@program("build", 120.0, (), clock="processor", rounds=0)
def build_from_source(lib: Library) -> Step:
    """A wheel from the source, without a compiler cache."""

    def step() -> None:
        with tempfile.TemporaryDirectory() as folder:
            options = {"build-dir": f"{folder}/build"}
            code = f"from scikit_build_core.build import build_wheel; build_wheel({folder!r}, {options})"
            plain = os.environ | {"CMAKE_CXX_COMPILER_LAUNCHER": "", "CCACHE_DISABLE": "1"}
            root = Path(__file__).parents[1]
            subprocess.run([sys.executable, "-c", code], cwd=root, check=True, capture_output=True, env=plain)

    return step
