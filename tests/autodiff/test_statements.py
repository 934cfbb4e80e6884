"""An in-place operator is believed where its result is stored where it was read from, and nowhere else."""

import collections
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import minimeta as mm
from minimeta.errors import TracingError

Function = Callable[..., Any]


# Arrays of no axes, and scalars

PAIR = np.array([0.5, 2.0])


# Where the result is stored

MISPLACED = """
class M: total = {0}
a = M()
a.total += x
---
base = {{"w": {0}}}
c = collections.ChainMap({{}}, base)
c["w"] += x
---
class Delegate:
    def __init__(self, inner): self.__dict__["inner"] = inner
    def __getattr__(self, name): return getattr(self.__dict__["inner"], name)
inner = types.SimpleNamespace(w={0})
d = Delegate(inner)
d.w += x
---
class P:
    @property
    def w(self): return self._w
    @w.setter
    def w(self, value): self.other = value
p = P()
p._w = {0}
p.w += x
---
class L(list):
    def __setitem__(self, i, value): pass
l = L([{0}])
l[0] += x
---
kept = [{0}]
class D(dict):
    def __missing__(self, key): return kept[0]
D()["a"] += x
---
class F:
    def __setattr__(self, name, value): raise AttributeError
f = F()
f.__dict__["w"] = {0}
f.w += x
---
w = {0}
class C:
    w += x
---
names = {{"w": {0}, "x": x}}
exec("w += x", names, {{}})
---
t = ({0},)
t[0] += x
---
a, b = types.SimpleNamespace(w={0}), types.SimpleNamespace(w={0})
(a if a is not b else b).w += x
"""


PLACED = """
class M: pass
a = M()
a.w = {0}
a.w += x
w = a.w
---
class S: __slots__ = ("w",)
a = S()
a.w = {0}
a.w += x
w = a.w
---
class M: w = {0}
M.w += x
w = M.w
---
a = types.SimpleNamespace(layers=[{{"w": {0}}}])
a.layers[-1]["w"] += x
w = a.layers[0]["w"]
---
d, i = {{"w0": {0}}}, 0
d[f"w{{i}}"] += x
w = d["w0"]
---
l, i = [0.0, {0}], 0
l[i + 1] += x
w = l[1]
---
d = collections.defaultdict(lambda: {0})
d["w"] += x
w = d["w"]
---
w = {0}
w += x
---
def change():
    global w
    w += x
w = {0}
change()
---
def outer():
    w = {0}
    def change():
        nonlocal w
        w += x
    change()
    return w
w = outer()
"""


def stored(source: str, held: str, then: str = "") -> Function:
    def function(x: Any) -> Any:
        names = {"np": np, "types": types, "collections": collections, "x": x}
        exec(source.format(held) + then, names)
        return np.sum(names["w"] * x) if then == "" else np.sum(x)

    return function


@pytest.mark.parametrize("held", ["x * 1.0", "np.zeros(2)"])
@pytest.mark.parametrize("source", MISPLACED.split("---\n"))
def test_a_store_elsewhere_than_the_read_is_refused(source: str, held: str) -> None:
    function = stored(source, held, "\n")
    for run in (mm.grad(function), mm.compile(mm.grad(function))):
        with pytest.raises(TracingError, match=r"\+= .*where it is read from is not surely where .*Write .* = .* \+ "):
            run(PAIR)


@pytest.mark.parametrize("held", ["x * 1.0", "np.zeros(2)"])
@pytest.mark.parametrize("source", PLACED.split("---\n"))
def test_a_store_where_the_read_was_is_answered(source: str, held: str) -> None:
    function = stored(source, held)
    for run in (mm.grad(function), mm.compile(mm.grad(function))):
        assert_allclose(run(PAIR), (4.0 if held == "x * 1.0" else 2.0) * PAIR, rtol=1e-12)


ELEMENTS = [
    (
        "K = x * np.ones((2, 2))\nK[np.diag_indices(2)] -= x",
        r"K\[...\] -= v .*Write K = minimeta.at\(K\)\[...\].add\(-v\)",
    ),
    ("K = x * 1.0\nK[np.arange(2) > 0] *= 2.0", r"K\[...\] \*= v .*Write K = minimeta.at\(K\)\[...\].multiply\(v\)"),
    ("K = x * 1.0\nK[0:1] += 2.0", r"K\[...\] \+= v .*Write K = minimeta.at\(K\)\[...\].add\(v\)"),
    ("d = {'K': x * 1.0}\nd['K'][:1] /= 2.0", r"Write x = minimeta.at\(x\)\[...\].set\(x\[...\] / v\)"),
    ("K = np.zeros((2, 2))\nK[[True, False]] += x", r"cannot take an Array in. Write K = minimeta.at\(K\)\[...\].add"),
    ("y = x * 1.0\nl = [y]\nl[0] += x", r"l and y see it, too.* Write x\[...\] = x\[...\] \+ "),
    ("(x if x is None else x * 1.0)[[0, 1]] += 1.0", r"where x is an array: x = minimeta.at\(x\)\[...\].add\(v\)"),
]


@pytest.mark.parametrize(("source", "message"), ELEMENTS)
def test_an_element_of_an_array_is_no_target(source: str, message: str) -> None:
    def function(x: Any) -> Any:
        exec(source, {"np": np, "x": x})
        return np.sum(x)

    for run in (mm.grad(function), mm.compile(mm.grad(function))):
        with pytest.raises(TracingError, match=message):
            run(PAIR)


def test_a_read_only_array_is_no_target() -> None:
    def function(x: Any) -> Any:
        total = np.zeros(2)
        total.flags.writeable = False
        total += x
        return np.sum(total)

    with pytest.raises(ValueError, match="read-only"):
        function(PAIR)
    with pytest.raises(
        TracingError, match=r"total \+= ... on a numpy array of shape \(2,\).*it is read-only. Write total"
    ):
        mm.grad(function)(PAIR)
