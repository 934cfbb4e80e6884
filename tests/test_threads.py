"""The number of threads and its limits; forks, exceptions and Python's own threads are safe."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import pytest
import threadpoolctl  # type: ignore[import-untyped]
from fresh_python import run

import minimeta as mm

COUNT = "import minimeta as mm\nprint(mm.get_num_threads())\n"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before = mm.get_num_threads()
    yield
    mm.set_num_threads(before)


def openmp_limit(n: int) -> AbstractContextManager[Any]:
    limits: AbstractContextManager[Any] = threadpoolctl.threadpool_limits(n, user_api="openmp")
    return limits


def transposed(seed: int, side: int = 700) -> Any:
    """An array that takes several threads to copy."""
    return np.random.default_rng(seed).normal(size=(side, side)).T


def test_the_extension_uses_threads() -> None:
    mm.set_num_threads(3)
    assert mm.get_num_threads() == 3


@pytest.mark.parametrize("n", [1.0, "2", None, np.ones(2)])
def test_a_number_of_threads_is_whole(n: Any) -> None:
    with pytest.raises(TypeError, match="set_num_threads: n must be a whole number"):
        mm.set_num_threads(n)


@pytest.mark.parametrize("n", [0, -1, 1025, 2**70])
def test_a_number_of_threads_is_at_least_one_and_not_absurd(n: int) -> None:
    with pytest.raises(ValueError, match=f"set_num_threads: n must be from 1 to 1024, not {n}; 1 keeps"):
        mm.set_num_threads(n)


def test_numpy_integers_are_numbers() -> None:
    mm.set_num_threads(np.int64(2))  # type: ignore[arg-type]  # which has __index__, as every integer
    assert mm.get_num_threads() == 2


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux tells a process its processors")
def test_there_are_as_many_as_processors_that_may_be_used() -> None:
    one = "import os\nos.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    assert run(COUNT).stdout == f"{len(os.sched_getaffinity(0))}\n"
    assert run(one + COUNT).stdout == "1\n"


def test_the_environment_says_how_many_until_the_program_does() -> None:
    done = run(COUNT + "mm.set_num_threads(5)\nprint(mm.get_num_threads())", OMP_NUM_THREADS="3")
    assert (done.stdout, done.stderr) == ("3\n5\n", "")


def test_without_kernels_there_is_one() -> None:
    done = run(COUNT + "mm.set_num_threads(5)\nprint(mm.get_num_threads())", MINIMETA_ISA="reference")
    assert (done.stdout, done.stderr) == ("1\n1\n", "")


def test_of_our_limit_and_threadpoolctls_the_smaller_wins() -> None:
    mm.set_num_threads(4)
    with openmp_limit(2):
        assert mm.get_num_threads() == 2
    with openmp_limit(7):
        assert mm.get_num_threads() == 4
    assert mm.get_num_threads() == 4
    with openmp_limit(1):
        mm.set_num_threads(3)
        assert mm.get_num_threads() == 3  # what was said last


def test_a_limit_is_that_of_the_whole_process() -> None:
    mm.set_num_threads(1)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(mm.get_num_threads).result() == 1
        pool.submit(mm.set_num_threads, 2).result()
        assert pool.submit(mm.get_num_threads).result() == 2
    with openmp_limit(8):  # were there more processors
        assert mm.get_num_threads() == 2


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="only Linux tells a process its processors")
def test_the_round_trip_to_another_core_takes_tens_of_nanoseconds_and_to_none_for_ever() -> None:
    measure = "from minimeta.threads import round_trip\n"
    alone = run(measure + "import minimeta as mm\nmm.set_num_threads(1)\nprint(round_trip())")
    assert alone.stdout == "inf\n"
    assert run(measure + "print(round_trip())", MINIMETA_ISA="reference").stdout == "inf\n"
    if len(os.sched_getaffinity(0)) > 1:  # another process may have the core: the least of many tries
        found = run(measure + "print(min(round_trip() for _ in range(300)))", OMP_NUM_THREADS="2")
        assert 5 < float(found.stdout) < 20_000


@pytest.mark.parametrize("n", [1, 2, 7])
def test_every_item_of_a_loop_is_taken_once(native: Any, n: int) -> None:
    # Parts that are unequal, fewer than threads, or one: each is copied by one thread, to its own place.
    native.set_num_threads(n)
    rng = np.random.default_rng(n)
    for count in (1, 2, 3, 5, 8, 13, 200):
        parts = [rng.normal(size=(200_000 // count, 2)) for _ in range(count)]
        for _ in range(5):
            assert np.array_equal(native.concatenate(*parts, axis=0), np.concatenate(parts))


@pytest.mark.parametrize("n", [1, 2, 7])
def test_an_exception_leaves_a_loop_on_threads_and_is_the_first(native: Any, n: int) -> None:
    native.set_num_threads(n)
    indices = np.zeros(1_000_000, np.int64)
    indices[[400_000, 900_000]] = 17, 18
    for _ in range(3):
        with pytest.raises(IndexError, match="index 17 is out of bounds"):
            native.gather(np.ones(10), indices)
    indices[400_000] = indices[900_000] = 3
    assert native.gather(np.arange(10.0), indices).sum() == 6


def test_fewer_threads_than_asked_for_do_all_the_work() -> None:
    # OpenMP may give a loop fewer threads than it wants.
    program = (
        "import minimeta as mm, numpy as np\n"
        "mm.set_num_threads(7)\n"
        "x = np.arange(1_000_000.0).reshape(1000, 1000).T\n"
        "print(np.array_equal(mm.reshape(x, -1), x.reshape(-1)))\n"
    )
    done = run(program, OMP_THREAD_LIMIT="2")
    assert (done.stdout, done.stderr) == ("True\n", "")


FORK = """
import hashlib, multiprocessing, os, signal, warnings
import numpy as np
import minimeta as mm
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
mm.set_num_threads(2)
x = np.arange(1_000_000.0).reshape(1000, 1000).T

def work():
    results = mm.reshape(x, -1), mm.matmul(x[:200], x[:, :300]), mm.exp(x / 1e6), mm.sum(x, 0)
    return hashlib.sha256(b"".join(y.tobytes() for y in results)).hexdigest()

def child():
    signal.alarm(100)  # a child that waits for its parent's threads would wait for ever
    mm.set_num_threads(2)
    assert mm.get_num_threads() == 1
    return work()

"""

WAYS = {
    "os.fork": """
pid = os.fork()
if pid == 0:
    print(child(), flush=True)
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
""",
    "multiprocessing": """
with multiprocessing.get_context("fork").Pool(2) as pool:
    for result in [pool.apply_async(child) for _ in range(3)]:
        print(result.get(100))
""",
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("way", WAYS)
def test_a_forked_child_computes_on_one_thread(before: bool, way: str) -> None:
    done = run(FORK + "print(work(), flush=True)\n" * before + WAYS[way] + "print(work(), flush=True)\n")
    assert done.stderr == ""
    assert len(done.stdout.split()) >= 2
    assert len(set(done.stdout.split())) == 1


@pytest.fixture
def _no_switching() -> Iterator[None]:
    """Let Python's threads take turns only where one releases the interpreter's lock."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_no_switching")
@pytest.mark.parametrize(
    "large",
    [
        lambda native, x: native.matmul(x, x),
        lambda native, x: native.exp(x),
        lambda native, x: native.sum(x, axes=(0,), keepdims=False),
        lambda native, x: native.copy(x.T),
    ],
    ids=["matmul", "exp", "sum", "copy"],
)
def test_other_python_threads_run_during_a_large_operation(native: Any, large: Callable[[Any, Any], Any]) -> None:
    x = np.ones((700, 700))
    ran, go = threading.Event(), threading.Lock()

    def wait_and_say() -> None:
        with go:
            ran.set()

    for _ in range(1000):  # the system need not wake a thread in time, so not at once; holding the lock, never
        go.acquire()
        other = threading.Thread(target=wait_and_say)
        other.start()
        go.release()
        large(native, x)
        seen = ran.is_set()
        other.join()
        if seen:
            return
        ran.clear()
    pytest.fail("no other thread ran")


def test_python_threads_may_compute_at_the_same_time(native: Any) -> None:
    def work(seed: int) -> tuple[bytes, ...]:
        x = transposed(seed)
        return native.copy(x).tobytes(), native.matmul(x, x[:50].T).tobytes(), native.exp(x).tobytes()

    native.set_num_threads(2)
    expected = [work(seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(8))) == expected
