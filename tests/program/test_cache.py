"""The programs of a compiled function: traced once, by threads as well, kept for the signatures used last."""

import os
import threading
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import fresh_python
import numpy as np
import pytest
from compiled_functions import Counted, assert_same_bits
from drawing import spread
from numpy.testing import assert_array_equal

import minimeta as mm

Function = Callable[..., Any]


def test_retraces_are_explained_once() -> None:
    function = mm.compile(lambda x, n, p: x * n, static="n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for size in range(1, 8):
            function(np.ones(size), 1, {"w": 1.0})
        with pytest.raises(RuntimeWarning, match=r"traced for 8 signatures.*argument '0': float64\[7\].*float64\[8\]"):
            function(np.ones(8), 1, {"w": 1.0})
        for size in range(9, 20):
            function(np.ones(size), 1, {"w": 1.0})


@pytest.mark.parametrize(
    ("last", "message"),
    [
        (lambda f, x: f(x, 2, {"w": 1.0}), "the static argument 1: 1, and then 2"),
        (lambda f, x: f(x, True, {"w": 1.0}), "the static argument 1: 1, and then True"),
        (lambda f, x: f(x, 1, {"v": 1.0}), "the form of the arguments' trees"),
        (lambda f, x: f(x, 1, {"w": 1}), "argument '2/w': a Python float, and then a Python int"),
        (lambda f, x: f(x, 1, p={"w": x}), "the form of the arguments' trees"),
    ],
)
def test_retraces_name_what_differs(last: Function, message: str) -> None:
    function = mm.compile(lambda x, n, p: x * n, static="n")
    for size in range(7):
        function(np.ones(size), 1, {"w": 1.0})
    with pytest.warns(RuntimeWarning, match=message) as caught:
        last(function, np.ones(6))
    assert caught[0].filename == __file__


# Threads


def test_threads_trace_once_and_agree() -> None:
    arrived = threading.Barrier(8)
    counted = Counted(mm.grad(lambda x: mm.sum(mm.tanh(x @ x))))
    compiled = mm.compile(counted)
    points = [spread(np.random.default_rng(seed), (8, 8)) for seed in range(8)]
    found: list[Any] = [None] * 8

    def work(i: int) -> None:
        arrived.wait()
        found[i] = [compiled(points[i]) for _ in range(20)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counted.runs == 1
    for x, results in zip(points, found, strict=True):
        for result in results:
            assert_same_bits(result, counted.function(x))


def test_signatures_that_were_not_used_for_the_longest_time_are_forgotten() -> None:
    traced = []

    @mm.compile
    def f(x: Any) -> Any:
        traced.append(x.shape[0])
        return x * 2.0

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for n in range(1, 129):
            f(np.ones(n))
    f(np.ones(1))
    with pytest.warns(RuntimeWarning, match=r"more than 128 signatures.*forgotten.*float64\[2\].*float64\[129\]"):
        f(np.ones(129))
    replayables = [weakref.ref(kept.program) for kept in f._cache._found.values()]
    assert len(replayables) == 128
    traced.clear()
    for n in (1, 3, 129):
        assert_array_equal(f(np.ones(n)), np.full(n, 2.0))
    assert traced == []
    for n in range(130, 400):  # said once
        assert_array_equal(f(np.ones(n)), np.full(n, 2.0))
    assert len(f._cache) == 128
    assert [program() for program in replayables] == [None] * 128
    traced.clear()
    assert_array_equal(f(np.ones(2)), [2.0, 2.0])
    assert traced == [2]


def test_more_threads_than_signatures_are_kept_are_right() -> None:
    f = mm.compile(lambda x: x * 2.0)
    wrong = []

    def work(first: int) -> None:
        for n in np.random.default_rng(first).permutation(np.arange(1, 200)):
            if not np.array_equal(f(np.ones(n)), np.full(n, 2.0)):
                wrong.append(n)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


FORKS = """
import os, threading, time, warnings
warnings.simplefilter("ignore")
import numpy as np
import minimeta as mm

def function(x):
    for _ in range(40):
        x = mm.tanh(x * 1.5) + x
    return mm.sum(x)

compiled = mm.compile(mm.vmap(mm.grad(function)))
expected = compiled(np.ones((20, 3)))
going = True
def compile_on():
    n = 4
    while going:
        compiled(np.ones((20, n)))
        n += 1
threads = [threading.Thread(target=compile_on) for _ in range(2)]
for thread in threads:
    thread.start()
stuck = []
for _ in range(80):
    child = os.fork()
    if not child:
        same = np.array_equal(compiled(np.ones((20, 3))), expected)
        compiled(np.ones((20, 2)))
        os._exit(0 if same else 1)
    end = time.monotonic() + 60
    while not (ended := os.waitpid(child, os.WNOHANG))[0] and time.monotonic() < end:
        time.sleep(0.001)
    if ended != (child, 0):
        stuck.append(ended)
        os.kill(child, 9)
        break
going = False
for thread in threads:
    thread.join()
print(stuck)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_children_forked_while_other_threads_compile_end() -> None:
    found = fresh_python.run(FORKS)
    assert found.stdout == "[]\n", found.stderr
