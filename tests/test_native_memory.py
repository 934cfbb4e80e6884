"""Memory of large results: aligned, the array's own, used again once it is free, and kept within bounds."""

import os
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from fresh_python import run
from hypothesis import given
from hypothesis import strategies as st
from numpy._core.multiarray import get_handler_name
from numpy.typing import NDArray

import minimeta as mm
from minimeta import kernels

native: Any = kernels.native

pytestmark = pytest.mark.skipif(native is None, reason="there are no kernels")

MEGABYTE = 1 << 20
ALWAYS_KEPT = 64 * MEGABYTE
DEEDS = ["make", "compile", "drop", "view", "write", "pickle", "resize"]


def full(number: float, size: int = MEGABYTE) -> NDArray[Any]:
    """A large result: so many bytes of one number."""
    y: NDArray[Any] = native.copy(np.broadcast_to(np.float32(number), (size // 4,)))
    return y


def address(x: NDArray[Any]) -> int:
    return x.ctypes.data


def keep_nothing() -> None:
    """Free a block that is too large to be kept: those that are older are freed before it."""
    full(0, ALWAYS_KEPT + 4)
    assert native.kept_bytes() == 0


def test_large_results_own_memory_that_is_aligned() -> None:
    x = np.ones(MEGABYTE // 4, np.float32)
    results = [*mm.compile(lambda x: (x + 1, x[:3] + 2, x * 3))(x), mm.exp(x)]
    assert [get_handler_name(y) for y in results] == ["minimeta"] * 4
    assert [address(y) % 64 for y in results] == [0] * 4
    assert all(y.flags.owndata and y.flags.writeable and y.base is None for y in results)
    assert {get_handler_name(y) for y in (np.empty_like(x), mm.exp(x[:3]))} == {"default_allocator"}


def test_what_is_free_is_used_again_for_as_many_bytes() -> None:
    keep_nothing()
    x = full(1)
    first, view = address(x), x[5:]
    del x
    assert address(full(2)) != first  # A view is left.
    assert (view == 1).all()
    keep_nothing()
    del view
    assert native.kept_bytes() == MEGABYTE
    other, same = full(3, MEGABYTE + 4), full(4)
    assert (address(same), native.kept_bytes()) == (first, 0)
    assert (other == 3).all()
    assert (same == 4).all()


@given(st.lists(st.tuples(st.sampled_from(DEEDS), st.integers(0, 99))))
def test_no_memory_is_shared_by_what_is_alive(steps: list[tuple[str, int]]) -> None:
    alive: list[tuple[float, NDArray[Any]]] = []
    pair = mm.compile(lambda x: (x + 1, x + 2))
    for step, (do, number) in enumerate(steps):
        size = MEGABYTE * (1 + number % 2)
        value, x = alive.pop(number % len(alive)) if alive and do not in ("make", "compile") else (0.0, full(0))
        if do == "make":
            alive.append((step, full(step, size)))
        elif do == "compile":
            alive += zip((step + 1, step + 2), pair(full(step, size)), strict=True)
        elif do == "view":
            alive.append((value, x[1:]))
        elif do == "write":
            np.asarray(x)[...] = step
            alive = [(v, y) for v, y in alive if not np.shares_memory(x, y)] + [(step, x)]
        elif do == "pickle":
            alive += [(value, x), (value, pickle.loads(pickle.dumps(x)))]
        elif do == "resize" and x.flags.owndata:
            x.resize(x.size // 2 + 1, refcheck=False)
            alive.append((value, x))
        assert all((y == v).all() for v, y in alive)


@pytest.mark.parametrize("size", [4, MEGABYTE // 2, MEGABYTE, 5 * MEGABYTE])
def test_an_array_may_be_resized(size: int) -> None:
    x = full(7, 2 * MEGABYTE)
    x.resize(size // 4, refcheck=False)
    common = min(size, 2 * MEGABYTE) // 4
    assert (x[:common] == 7).all()
    assert not x[common:].any()  # numpy fills the rest with zeros


def test_several_results_are_kept_that_are_large_together() -> None:
    step = mm.compile(lambda x: [x + i for i in range(3)])
    x = np.zeros(100_000, np.float32)
    keep_nothing()
    first = [address(y) for y in step(x)]
    assert native.kept_bytes() == 3 * x.nbytes
    assert sorted(address(y) for y in step(x)) == sorted(first)


def test_no_more_is_kept_than_is_in_use_except_for_a_little() -> None:
    keep_nothing()
    arrays = [full(i, MEGABYTE + 4 * i) for i in range(160)]
    in_use = sum(x.nbytes for x in arrays)
    while arrays:
        in_use -= arrays.pop().nbytes
        assert native.kept_bytes() <= max(in_use, ALWAYS_KEPT)
    assert ALWAYS_KEPT - 2 * MEGABYTE < native.kept_bytes() <= ALWAYS_KEPT


def test_what_is_kept_adds_nothing_to_the_most_that_was_in_use() -> None:
    program = f"""
import numpy as np
from minimeta.kernels import native
x = np.zeros({16 * MEGABYTE}, bool)
results = [native.copy(x[i:]) for i in range(4)]
most = sum(y.nbytes for y in results)
del results[2:]
print(most == native.kept_bytes() + sum(y.nbytes for y in results))
results.append(native.copy(x[9:]))  # of another size
print(most >= native.kept_bytes() + sum(y.nbytes for y in results) > most - x.size)
"""
    done = run(program)
    assert (done.stdout, done.stderr) == ("True\nTrue\n", "")


def test_threads_share_no_memory() -> None:
    step = mm.compile(lambda x: (x + 1, x * 2))

    def work(number: int) -> bool:
        right = []
        for _ in range(10):
            x = full(number)
            y, z = step(x)
            x.fill(0)
            right.append(bool((y == number + 1).all() and (z == number * 2).all()))
        return all(right)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(8)))


def test_a_run_that_fails_gives_its_memory_back() -> None:
    x, rows = full(1).reshape(256, -1), np.arange(256)
    take = mm.compile(lambda x, i: x[i] + 1)
    take(x, rows)
    keep_nothing()
    with pytest.raises(IndexError):
        take(x, rows + 1)
    assert native.kept_bytes() == MEGABYTE
    assert (take(x, rows) == 2).all()
    assert native.kept_bytes() == MEGABYTE


INTERRUPTED = """
import signal
import numpy as np
import minimeta as mm
from minimeta.kernels import native

class Alarm(Exception):
    pass

def ring(*_):
    raise Alarm

@mm.compile
def steps(x):
    for _ in range(400):
        x = mm.tanh(x @ x)
    return x

x = np.random.default_rng(0).normal(size=(512, 512)).astype("f4") / 23
steps.lower(x)
signal.signal(signal.SIGALRM, ring)
signal.setitimer(signal.ITIMER_REAL, 0.05)
try:
    steps(x)
    print("it was not interrupted")
except Alarm:
    print(native.kept_bytes() == x.nbytes)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent in another way")
def test_an_interrupted_run_gives_its_memory_back() -> None:
    done = run(INTERRUPTED)
    assert (done.stdout, done.stderr) == ("True\n", "")


FORKED = """
import os, warnings
import numpy as np
from minimeta.kernels import native
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
x = np.ones(1 << 18, np.float32)
alive, free = native.copy(x), native.copy(x)
del free
pid = os.fork()
y = native.add(alive, alive)  # in memory that was free in both
alive.fill(3 if pid else 4)
if pid:
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
print((y == 2).all() and (alive == (3 if pid else 4)).all(), flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_has_memory_of_its_own() -> None:
    done = run(FORKED)
    assert (done.stdout, done.stderr) == ("True\nTrue\n", "")
