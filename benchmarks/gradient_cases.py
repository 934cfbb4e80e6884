"""Gradients that are wrong and gradients that are right, for every library: what a gradient checker is judged by.

A case is a function written in the operations of a library ``m``; ``m.custom(f, rule)`` is ``f`` with the derivative
``rule(cotangent, output, *arguments)``. A *fault* has a wrong rule, which a checker must find. A *sound* case has none,
and a checker must not reject it; where there is no derivative, it may say so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Function = Any
Build = Callable[[Any], Any]


@dataclass(frozen=True)
class Case:
    """One function at one point.

    Attributes
    ----------
    name
        What is wrong, or hard.
    build
        From a library to the function; for ``pair``, to a function and its VJP, both of numpy arrays.
    arguments
        The point.
    verdict
        ``"mismatch"``, ``"passes"``, ``"kink"``, ``"constant"`` (which passes where that is declared), or
        ``"inconclusive"`` (at an order where rounding leaves nothing).
    fault
        Which identity a mismatch breaks, if it is one of those.
    culprit
        What a mismatch is blamed on.
    order
        The first order that is wrong.
    pair
        Whether the derivative is a function of numpy arrays, made elsewhere.
    """

    name: str
    build: Build
    arguments: tuple[Any, ...]
    verdict: str
    fault: str = "value"
    culprit: str = "custom_vjp"
    order: int = 1
    pair: bool = False


_rng = np.random.default_rng(20)
VECTOR = _rng.normal(size=4)
OTHER = 1.5 + _rng.uniform(size=4)
SQUARE = _rng.normal(size=(4, 4))
POSITIVE = _rng.uniform(0.5, 2.0, 4)
LARGE = _rng.normal(size=(100, 100))
LONG = _rng.normal(size=100)
ONE_OFF = LARGE.copy()
ONE_OFF[17, 33] *= 1 + 1e-5
ONE_GONE = LARGE.copy()
ONE_GONE[91, 4] = 0.0
SPIKE = np.ones(1000)
SPIKE[617] = 1.01
OLD = VECTOR + 0.01
UNEQUAL = np.array([1e18, 1.0, 1.0, 1.0])
UNEQUAL_OFF = np.array([1e18, 1.001, 1.0, 1.0])
SCALES = np.array([1e9, 1.0, 1e-9])


def _fault(name: str, forward: Build, rule: Callable[[Any], Function], *arguments: Any, **more: Any) -> Case:
    """A wrong rule, inside of a function of its own so that the culprit has to be found."""

    def build(m: Any) -> Function:
        own = m.custom(forward(m), rule(m))
        return lambda *xs: m.sum(m.tanh(own(*xs)))

    return Case(name, build, arguments, "mismatch", **more)


def _bare(name: str, forward: Build, rule: Callable[[Any], Function], *arguments: Any, **more: Any) -> Case:
    """The same without anything around it."""
    return Case(name, lambda m: m.custom(forward(m), rule(m)), arguments, "mismatch", **more)


def _sin(m: Any) -> Function:
    return m.sin


def _times(m: Any) -> Function:
    return lambda x, y: x * y


def _noisy(m: Any) -> Function:
    rng = np.random.default_rng(0)
    return lambda g, y, x: (g * m.cos(x) * (1 + 1e-7 * rng.uniform()),)


def _added(m: Any) -> Function:
    return lambda x, b: x + b


def _pair(name: str, function: Function, vjp: Function, fault: str) -> Case:
    return Case(name, lambda m: (function, vjp), (VECTOR,), "mismatch", fault=fault, culprit="", pair=True)


def _write_cotangent(g: Any, x: Any) -> Any:
    g *= np.cos(x)
    return g.copy()


def _write_argument(g: Any, x: Any) -> Any:
    x += 0.0
    x[0] += 1e-9
    return g * np.cos(x)


def _random(g: Any, x: Any, rng: Any = np.random.default_rng(1)) -> Any:  # noqa: B008 (its state is the fault)
    return g * np.cos(x) * (1 + 1e-15 * rng.integers(0, 9, x.shape))


FAULTS = [
    # Values
    _fault("wrong sign", _sin, lambda m: lambda g, y, x: (-g * m.cos(x),), VECTOR),
    _fault("factor 2", _sin, lambda m: lambda g, y, x: (2 * g * m.cos(x),), VECTOR),
    _fault("factor 1 + 1e-3", _sin, lambda m: lambda g, y, x: (g * m.cos(x) * (1 + 1e-3),), VECTOR),
    _fault("factor 1 + 1e-6", _sin, lambda m: lambda g, y, x: (g * m.cos(x) * (1 + 1e-6),), VECTOR),
    _fault("factor 1 + 1e-9", _sin, lambda m: lambda g, y, x: (g * m.cos(x) * (1 + 1e-9),), VECTOR),
    _fault("zero", _sin, lambda m: lambda g, y, x: (0.0 * g,), VECTOR),
    _fault("NaN", _sin, lambda m: lambda g, y, x: (g * m.log(-m.abs(x)),), VECTOR),
    _fault("a missing term", lambda m: lambda x: x * m.exp(x), lambda m: lambda g, y, x: (g * m.exp(x),), VECTOR),
    _fault("tanh' = 1 - y", lambda m: m.tanh, lambda m: lambda g, y, x: (g * (1 - y),), VECTOR),
    _fault("sqrt' = 1 / y", lambda m: m.sqrt, lambda m: lambda g, y, x: (g / y,), POSITIVE),
    _fault("log' = x", lambda m: m.log, lambda m: lambda g, y, x: (g * x,), POSITIVE),
    _fault("(x^3)' = 3 x", lambda m: lambda x: x * x * x, lambda m: lambda g, y, x: (3 * g * x,), VECTOR),
    _fault("wrong where x < 0", _sin, lambda m: lambda g, y, x: (g * m.where(x > 0, m.cos(x), 1.0),), VECTOR),
    _fault("wrong in 1 of 1000 elements", _sin, lambda m: lambda g, y, x: (g * m.cos(x) * m.constant(SPIKE),),
           np.linspace(-1, 1, 1000)),
    _fault("an old value captured", _sin, lambda m: lambda g, y, x: (g * m.cos(m.constant(OLD)),), VECTOR),
    _fault("wrong by half where tiny", lambda m: lambda x: 1e-18 * m.sin(x),
           lambda m: lambda g, y, x: (0.5e-18 * g * m.cos(x),), VECTOR),
    _bare("a small output wrong next to a huge one", lambda m: lambda x: m.sin(x) * m.constant(UNEQUAL),
          lambda m: lambda g, y, x: (g * m.cos(x) * m.constant(UNEQUAL_OFF),), VECTOR),
    # Arguments
    _fault("arguments swapped", _times, lambda m: lambda g, z, x, y: (g * x, g * y), VECTOR, OTHER),
    _fault("second argument forgotten", _times, lambda m: lambda g, z, x, y: (g * y, 0.0 * g), VECTOR, OTHER),
    _fault("both signs positive", lambda m: lambda x, y: x - y, lambda m: lambda g, z, x, y: (g, g), VECTOR, OTHER),
    _fault("quotient without square", lambda m: lambda x, y: x / y,
           lambda m: lambda g, z, x, y: (g / y, -g * x / y), VECTOR, OTHER),
    _fault("one use lost of a value used twice", lambda m: lambda x: x * x, lambda m: lambda g, y, x: (g * x,), VECTOR),
    # Shapes and axes
    _fault("no sum over a broadcast axis", _added, lambda m: lambda g, y, x, b: (g, g), SQUARE, VECTOR, fault="form"),
    _fault("sum over the wrong axis", _added, lambda m: lambda g, y, x, b: (g, m.sum(g, 1)), SQUARE, VECTOR),
    _fault("spread along the wrong axis", lambda m: lambda x: m.sum(x, 0),
           lambda m: lambda g, y, x: (m.reshape(g, (4, 1)) + 0.0 * x,), SQUARE),
    _fault("mean without 1/n", lambda m: lambda x: m.sum(x, 0) / 4, lambda m: lambda g, y, x: (g + 0.0 * x,), SQUARE),
    _fault("no transpose in a product", lambda m: lambda x: m.constant(SQUARE) @ x,
           lambda m: lambda g, y, x: (m.constant(SQUARE) @ g,), VECTOR),
    _fault("factors of a product swapped", lambda m: lambda x, y: x @ y,
           lambda m: lambda g, z, x, y: (m.transpose(x) @ g, g @ m.transpose(y)), SQUARE, 2 * SQUARE + 1),
    _fault("transpose not transposed", lambda m: m.transpose, lambda m: lambda g, y, x: (g,), SQUARE),
    _fault("reversal not reversed", lambda m: lambda x: x[m.backwards], lambda m: lambda g, y, x: (g,), VECTOR),
    _bare("one entry of 100 x 100 off by 1e-5", lambda m: lambda x: m.constant(LARGE) @ x,
          lambda m: lambda g, y, x: (m.constant(ONE_OFF.T) @ g,), LONG),
    _bare("one entry of 100 x 100 missing", lambda m: lambda x: m.constant(LARGE) @ x,
          lambda m: lambda g, y, x: (m.constant(ONE_GONE.T) @ g,), LONG),
    # Reductions
    _fault("softmax without its mean", lambda m: lambda x: m.exp(x) / m.sum(m.exp(x)),
           lambda m: lambda g, y, x: (g * y,), VECTOR),
    _fault("logsumexp' uniform", lambda m: lambda x: m.log(m.sum(m.exp(x))),
           lambda m: lambda g, y, x: (g / 4 + 0.0 * x,), VECTOR),
    _fault("norm not divided", lambda m: lambda x: m.sqrt(m.sum(x * x)), lambda m: lambda g, y, x: (g * x,), VECTOR),
    _fault("max to all", lambda m: m.max, lambda m: lambda g, y, x: (g + 0.0 * x,), VECTOR),
    _fault("max to the least", lambda m: m.max,
           lambda m: lambda g, y, x: (m.where(x == -m.max(-x), g, 0.0),), VECTOR),
    _fault("relu lets all through", lambda m: lambda x: m.where(x > 0, x, 0.0), lambda m: lambda g, y, x: (g,), VECTOR),
    _fault("relu leaks 1e-4", lambda m: lambda x: m.where(x > 0, x, 0.0),
           lambda m: lambda g, y, x: (m.where(x > 0, g, 1e-4 * g),), VECTOR),
    _fault("abs without sign", lambda m: m.abs, lambda m: lambda g, y, x: (g,), VECTOR),
    # Cotangents
    _bare("cotangent ignored", _sin, lambda m: lambda g, y, x: (m.cos(x) + 0.0 * g,), VECTOR),
    _bare("cotangent squared", _sin, lambda m: lambda g, y, x: (g * g * m.cos(x),), VECTOR),
    _bare("cotangent clipped", _sin,
          lambda m: lambda g, y, x: (m.where(g > 0.25, 0.25, m.where(g < -0.25, -0.25, g)) * m.cos(x),), VECTOR),
    _bare("1e-6 added", _sin, lambda m: lambda g, y, x: (g * m.cos(x) + 1e-6,), VECTOR),
    _bare("cotangent taken for 1", lambda m: lambda x: m.sum(x * x),
          lambda m: lambda g, y, x: (2 * x + 0.0 * g,), VECTOR),
    _bare("cotangent rounded to float32", _sin, lambda m: lambda g, y, x: (m.double(m.single(g)) * m.cos(x),), VECTOR),
    _bare("derivative rounded to float32", _sin, lambda m: lambda g, y, x: (g * m.double(m.single(m.cos(x))),), VECTOR),
    _bare("random noise of 1e-7", _sin, _noisy, VECTOR),
    # Second order
    _fault("second order missing", _sin, lambda m: lambda g, y, x: (g * m.hold(m.cos(x)),), VECTOR, order=2,
           culprit="stop_gradient"),
    _fault("second order of the wrong sign", _sin,
           lambda m: lambda g, y, x: (g * m.custom(m.cos, lambda g, y, x: (g * m.sin(x),))(x),), VECTOR,
           order=2),
    _fault("a mixed second derivative missing", _times, lambda m: lambda g, z, x, y: (g * m.hold(y), g * x), VECTOR,
           OTHER, order=2, culprit="stop_gradient"),
    _fault("second order through the cotangent missing", lambda m: m.exp,
           lambda m: lambda g, y, x: (m.hold(g) * m.exp(x),), VECTOR, order=2, culprit="stop_gradient"),
    # Derivatives made elsewhere
    _pair("the cotangent written to", np.sin, _write_cotangent, "mutation"),
    _pair("the argument written to", np.sin, _write_argument, "mutation"),
    _pair("the cotangent handed back", lambda x: 1.0 * x, lambda g, x: g, "aliasing"),
    _pair("other bits each time", np.sin, _random, "determinism"),
    _pair("float32 returned", np.sin, lambda g, x: (g * np.cos(x)).astype(np.float32), "form"),
]  # fmt: skip


def _sound(name: str, build: Build, *arguments: Any, verdict: str = "passes", **more: Any) -> Case:
    return Case(name, build, arguments, verdict, culprit="", **more)


def _deep(m: Any) -> Function:
    def function(x: Any) -> Any:
        for _ in range(100):
            x = m.sin(x) + 0.5 * x
        return m.sum(x)

    return function


def _network(m: Any) -> Function:
    def function(w: Any, v: Any, x: Any) -> Any:
        return m.sum(m.tanh(x @ w) @ v)

    return function


def _branch(m: Any) -> Function:
    return lambda x: m.sum(x * x) if m.known(m.sum(x)) > 0 else m.sum(m.sin(x))


def _straight_through(m: Any) -> Function:
    return lambda x: m.sum(x * m.hold(x))


ZERO = np.array([0.0, 1.0, -1.0])
SINGLES = tuple(_rng.normal(size=shape).astype(np.float32) for shape in ((3, 8), (8, 2), (5, 3)))

SOUND = [
    # Kinks, and what only looks like one
    _sound("relu at 0", lambda m: lambda x: m.sum(m.maximum(x, 0.0 * x)), ZERO, verdict="kink"),
    _sound("abs at 0", lambda m: lambda x: m.sum(m.abs(x)), ZERO, verdict="kink"),
    _sound("max with ties", lambda m: m.max, np.array([1.0, 1.0, 0.5]), verdict="kink"),
    _sound("norm at 0", lambda m: m.norm, np.zeros(3), verdict="kink"),
    _sound("sqrt at 0", lambda m: lambda x: m.sum(m.sqrt(x)), np.array([0.0, 1.0]), verdict="kink"),
    _sound("a jump", lambda m: lambda x: m.sum(m.where(x > 0, x + 1.0, x)), ZERO, verdict="kink"),
    _sound("x |x| at 0, kinked at order 2", lambda m: lambda x: m.sum(x * m.abs(x)), ZERO, verdict="kink"),
    _sound("|x|^3 at 0", lambda m: lambda x: m.sum(m.abs(x) ** 3), ZERO),
    _sound("max of a value with itself", lambda m: lambda x: m.sum(m.maximum(x, x) * x), ZERO),
    _sound("max of ties that move alike", lambda m: lambda x: m.sum(m.maximum(x, 2.0 * x - x) * x), VECTOR),
    _sound("relu at 1e-12", lambda m: lambda x: m.sum(m.maximum(x, 0.0 * x) * x), np.array([1e-12, -1e-12, 1.0])),
    _sound("abs at 1e-9", lambda m: lambda x: m.sum(m.abs(x) * x), np.array([1e-9, -1e-9])),
    _sound("max 1e-10 above the next", lambda m: lambda x: m.max(x * x), np.array([1.0, 1.0 + 1e-10])),
    _sound("a branch with equal sides", lambda m: lambda x: m.sum(m.where(x > 0, x * x, x * x)), ZERO),
    _sound("sin(x)/x with its limit at 0",
           lambda m: lambda x: m.sum(m.where(x == 0, 1.0, m.sin(x) / m.where(x == 0, 1.0, x)) * x), ZERO),
    _sound("sqrt where positive", lambda m: lambda x: m.sum(m.where(x > 0, m.sqrt(m.where(x > 0, x, 1.0)), x)), VECTOR),
    # Scales
    _sound("inputs 18 orders apart", lambda m: lambda x: m.sum(m.sin(x * m.constant(SCALES))), 1 / SCALES),
    _sound("outputs 18 orders apart", lambda m: lambda x: m.sin(x) * m.constant(SCALES), ZERO + 0.5),
    _sound("values of 1e-12", lambda m: lambda x: m.sum(m.sin(x) * x), np.array([1e-12, 3e-12])),
    _sound("values of 1e12", lambda m: lambda x: m.sum(m.sqrt(x)), np.array([1e12, 3e12])),
    _sound("a small term next to a huge one", lambda m: lambda x: m.sum(m.sin(x)) + 1e10, VECTOR),
    _sound("norm at 1e-7", lambda m: m.norm, np.array([3e-7, 4e-7])),
    # Cancellation and steepness
    _sound("log(1 + x) - x near 0", lambda m: lambda x: m.sum(m.log(1.0 + x) - x), np.array([1e-5, -1e-4])),
    _sound("(1 - cos x) / x^2 near 0", lambda m: lambda x: m.sum((1.0 - m.cos(x)) / (x * x)), np.array([0.02, 0.1])),
    _sound("(1 - cos x) / x^2 nearer to 0", lambda m: lambda x: m.sum((1.0 - m.cos(x)) / (x * x)),
           np.array([1e-3, 1e-4]), verdict="inconclusive"),
    _sound("(x - 1)^10 near 1", lambda m: lambda x: m.sum((x - 1.0) ** 10), np.array([1.001, 0.99])),
    _sound("division by 1e-6", lambda m: lambda x: m.sum(1.0 / x), np.array([1e-6, -2e-6])),
    _sound("log at 1e-8", lambda m: lambda x: m.sum(m.log(x)), np.array([1e-8, 1.0])),
    _sound("exp(30 x)", lambda m: lambda x: m.sum(m.exp(30.0 * x)), np.array([1.0, -1.0, 0.3])),
    _sound("sin(1000 x)", lambda m: lambda x: m.sum(m.sin(1000.0 * x)), VECTOR),
    _sound("tanh saturated", lambda m: lambda x: m.sum(m.tanh(x)), np.array([15.0, -18.0, 0.1])),
    _sound("softmax of equal logits", lambda m: lambda x: m.exp(x) / m.sum(m.exp(x)), np.full(4, 0.7)),
    _sound("a product of 40 numbers", lambda m: lambda x: m.exp(m.sum(m.log(x))), np.linspace(0.5, 2.0, 40)),
    _sound("x^20", lambda m: lambda x: m.sum(x**20), np.array([1.1, 0.9])),
    _sound("100 sines, one in another", _deep, np.array([0.1, -0.2])),
    # Types and shapes
    _sound("a network in float32", _network, *SINGLES),
    _sound("one number", lambda m: lambda x: x * m.sin(x), np.array(0.7)),
    _sound("an integer among floats", lambda m: lambda x, i: m.sum(x * x) * 3.0, VECTOR, np.arange(3)),
    _sound("no elements", lambda m: lambda x: m.sum(x * x), np.zeros((0, 3)), verdict="constant"),
    _sound("a constant output", lambda m: lambda x: m.sum(0.0 * x) + 1.0, VECTOR, verdict="constant"),
    _sound("a step function near its step", lambda m: lambda x: m.sum(m.where(x > 0, 1.0, 0.0 * x)), VECTOR,
           verdict="constant"),
    _sound("a 100 x 100 product", lambda m: lambda x: m.tanh(m.constant(LARGE) @ x / 10), LONG),
    _sound("a sum of 10,000", lambda m: lambda x: m.sum(m.sin(x)), np.linspace(0, 1, 10_000)),
    _sound("several outputs of one value", lambda m: lambda x: m.transpose(m.reshape(m.sin(x), (2, 2))) * 2.0, VECTOR),
    _sound("broadcasting", lambda m: lambda x, b: m.sum(m.sin(x * b + b)), SQUARE, VECTOR),
    # Python
    _sound("a branch of Python", _branch, np.abs(VECTOR)),
    _sound("a correct custom rule", lambda m: m.custom(_sin(m), lambda g, y, x: (g * m.cos(x),)), VECTOR),
    _sound("a read-only, reversed view", lambda m: lambda x: m.sum(x * m.sin(x)), VECTOR[::-1]),
    _sound("what is held constant on purpose", _straight_through, VECTOR),
]  # fmt: skip
