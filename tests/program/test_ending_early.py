"""Ctrl-C while a program runs: it ends soon, on all threads, and the next call is right."""

import sys

import pytest
from fresh_python import run

from minimeta.kernels import native

# What is interrupted: a function without arguments that takes some seconds, and is the same program every time.
LONG = {
    "steps": """
w = np.random.default_rng(0).normal(size=(400, 400)).astype("f4") / 20
def steps(x):
    for _ in range(REPEATED // 16):
        x = mm.tanh(x @ w)
    return x
steps = mm.compile(steps)
def long(): return steps(w)
""",
    "small steps": """
w = np.random.default_rng(0).normal(size=(40, 40)).astype("f4") / 6
def steps(x):
    for _ in range(60):
        x = mm.tanh(x @ w)
    return x
steps = mm.compile(mm.vmap(steps))
def long(): return steps(np.broadcast_to(w, (2 * REPEATED, 40, 40)))
""",
    "tasks": """
mm.set_num_threads(2)
w = np.random.default_rng(0).normal(size=(4, 300, 300)).astype("f4") / 17
def steps(x):
    for _ in range(REPEATED // 16):
        x = mm.tanh(x @ x)
    return x
steps = mm.compile(mm.vmap(steps))
def long(): return steps(w)
""",
    "eager vmap": """
w = np.random.default_rng(0).normal(size=(4, 300, 300)).astype("f4") / 17
def steps(x):
    for _ in range(REPEATED // 32):
        x = mm.tanh(x @ x)
    return x
def long(): return mm.vmap(steps)(w)
""",
    "one product": """
w = np.random.default_rng(0).normal(size=(2 * REPEATED, 4000)).astype("f4")
v = np.random.default_rng(1).normal(size=(4000, 4000)).astype("f4")
def long(): return mm.matmul(w, v)
""",
    "one convolution": """
w = np.random.default_rng(0).normal(size=(5, 5, 64, 64)).astype("f4")
x = np.random.default_rng(1).normal(size=(REPEATED // 20, 56, 56, 64)).astype("f4")
def long(): return mm.conv2d(x, w)
""",
    "one fused instruction": """
x = np.random.default_rng(0).random(REPEATED * 60_000)
fused = mm.compile(lambda x: mm.sum(mm.exp(mm.sin(x)) * mm.tanh(x)))
def long(): return fused(x)
""",
    "one fused instruction on threads": """
mm.set_num_threads(2)
x = np.random.default_rng(0).random(REPEATED * 60_000)
fused = mm.compile(lambda x: mm.sum(mm.exp(mm.sin(x)) * mm.tanh(x)))
def long(): return fused(x)
""",
    "one elementwise operation": """
x = np.random.default_rng(0).random(REPEATED * 40_000)
def long(): return mm.power(x, x)
""",
    "one reduction": """
x = np.broadcast_to(np.random.default_rng(0).normal(size=(1000, 1000)), (REPEATED * 3, 1000, 1000))
def long(): return mm.sum(x)
""",
    "one reduction to many": """
x = np.broadcast_to(np.random.default_rng(0).normal(size=(1000, 1000)), (REPEATED // 2, 1000, 1000))
def long(): return mm.logsumexp(x, axis=0)
""",
    "one reduction of integers": """
x = np.broadcast_to(np.random.default_rng(0).integers(100, size=(1000, 1000)), (REPEATED * 3, 1000, 1000))
def long(): return mm.max(x)
""",
}

PROGRAM = """
import os, signal, threading, time
import numpy as np
import minimeta as mm
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has what it starts in the background ignore it
REPEATED = {repeated}
{long}
began = time.monotonic()
expected = long()
took = time.monotonic() - began  # with the tracing, which is short beside it
sent = None
def send():
    global sent
    sent = time.monotonic()
    os.kill(os.getpid(), signal.SIGINT)
for share in (0.3, 0.1, 0.03):  # sooner, where it ended sooner than the time before
    timer = threading.Timer(share * took, send)
    ended = False
    timer.start()
    try:
        long()
        ended = True
        timer.join()
    except KeyboardInterrupt:
        if not ended:
            late = time.monotonic() - sent
            again = long()
            print("right" if np.array_equal(again, expected) else "wrong", late, took)
            break
else:
    print("was not interrupted, in", took)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent in another way")
@pytest.mark.parametrize("name", LONG)
@pytest.mark.parametrize("isa", ["", "reference"])
def test_it_ends_within_a_second_and_the_next_call_is_right(name: str, isa: str) -> None:
    if isa and name.startswith("one"):
        pytest.skip("numpy itself computes it")
    found = run(
        "import warnings\n"
        + ("warnings.simplefilter('ignore')\n" if isa else "")
        + PROGRAM.format(repeated=150 if isa else 600, long=LONG[name]),
        MINIMETA_ISA=isa,
    )
    assert found.returncode == 0, found.stderr
    verdict, late, took = found.stdout.split()
    assert verdict == "right"
    assert float(late) < max(0.5, 0.3 * float(took))


HANDLED = """
import os, signal, threading
import numpy as np
import minimeta as mm
w = np.random.default_rng(0).normal(size=(4, 200, 200)).astype("f4") / 14
def steps(x):
    for _ in range(150):
        x = mm.tanh(x @ x)
    return x
step, other = mm.compile(mm.vmap(steps)), mm.compile(lambda x: mm.sum(x @ x))
mm.set_num_threads(2)
expected, small = step(w), other(w[0])
seen = []
signal.signal(signal.SIGALRM, lambda *_: seen.append(other(w[0]) == small and np.array_equal(step(w), expected)))
signal.setitimer(signal.ITIMER_REAL, 0.06)
right = []
while not seen:
    right.append(np.array_equal(step(w), expected))
print(all(right), seen)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent in another way")
def test_a_handler_that_raises_nothing_changes_nothing_and_may_compute_itself() -> None:
    found = run(HANDLED)
    assert found.returncode == 0, found.stderr
    assert found.stdout == "True [True]\n"


LAST_LOOK = """
import signal, sys, threading, time
import numpy as np
import minimeta as mm

main = threading.main_thread().ident
armed, here, there, handled = [threading.Event() for _ in range(4)]
def handle(*_):
    handled.set()
    raise KeyboardInterrupt
signal.signal(signal.SIGALRM, handle)

def stack(frame):
    return {frame.f_code, *stack(frame.f_back)} if frame else set()

def same(x):
    if armed.is_set() and threading.get_ident() == main:
        here.set()
        there.wait(60)  # Another thread has the other task.
    elif armed.is_set():
        there.set()
        here.wait(60)
        while stack(sys._getframe()) & stack(sys._current_frames()[main]):
            time.sleep(0.001)  # The main thread still is in its own call.
        signal.pthread_kill(main, signal.SIGALRM)
        handled.wait(60)  # The main thread waits for this task, and asks Python.
    return x

w = np.random.default_rng(0).normal(size=(2, 400, 400)).astype("f4") / 14
called = mm.custom_vjp(same, lambda g, y, x: (g,), on_values=True)
step = mm.compile(mm.vmap(lambda x: called(x @ x)))
mm.set_num_threads(2)
expected = step(w)
armed.set()
try:
    step(w)
except BaseException as error:
    armed.clear()
    print(there.is_set(), handled.is_set(), repr(error), np.array_equal(step(w), expected))
"""


@pytest.mark.skipif(native is None, reason="there are no kernels, and one thread")
@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent in another way")
def test_an_interruption_while_the_last_task_ends_is_raised() -> None:
    """The thread that waits hears of it, and no other one looks up any more."""
    found = run(LAST_LOOK)
    assert found.returncode == 0, found.stderr
    assert found.stdout == "True True KeyboardInterrupt() True\n"
