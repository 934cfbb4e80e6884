"""Training by processes of our own has the bits of training alone, whatever becomes of them."""

import functools
import multiprocessing
import operator
import os
import signal
import subprocess
import sys
import threading
import time
import types
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shared_training import LEARNER, TASKS, alone, sha, trained

import minimeta as mm
from minimeta import nn
from minimeta.autodiff import tree
from minimeta.distributed import Job
from minimeta.distributed.processes import Processes
from minimeta.errors import ConfigurationError, NonFiniteError, WorkerError
from minimeta.learners import MAML
from minimeta.training import TrainingState, evaluate


@pytest.fixture(scope="module")
def processes() -> Iterator[Processes]:
    with Processes(2) as started:
        yield started


def pids(team: Processes) -> list[int]:
    """The other processes."""
    return [other._process.pid or 0 for other in team._others if other]


def segments(team: Processes) -> list[str]:
    """The names of the memory that they share."""
    return [other.channel._segment.name for other in team._others if other and other.channel._segment]


def is_gone(segment: str) -> bool:
    return not Path("/dev/shm", segment).exists()


def test_processes_have_the_bits_of_one_process() -> None:
    with Processes(3) as team:
        assert sha(trained(team)) == alone()
        assert len(set(pids(team))) == 2
    assert 0 < team.last.computing <= team.last.seconds


def test_a_team_is_kept_until_its_own_end(processes: Processes) -> None:
    """Also by a validation in the middle of a training."""
    seen: list[list[int]] = []

    def validate(state: TrainingState, report: Any) -> None:
        settings: dict[str, Any] = {"metric": nn.mean_squared_error, "steps": 1, "count": 40}
        evaluate(LEARNER, state.meta_parameters, TASKS, **settings, workers=processes)
        seen.append(pids(processes))

    assert sha(trained(processes, callbacks=[validate])) == alone()
    assert len(seen[0]) == 1 and seen == [pids(processes)] * 6


def test_one_process_needs_no_other() -> None:
    before = mm.get_num_threads()
    with Processes(1) as team:
        assert sha(trained(team)) == alone()
        assert pids(team) == []
    assert mm.get_num_threads() == before


def test_a_run_goes_on_with_other_workers(processes: Processes) -> None:
    half = trained(processes, iterations=3)
    with ThreadPoolExecutor(3) as executor:
        assert sha(trained(executor, state=half)) == alone()


def test_evaluation_has_the_same_values(processes: Processes) -> None:
    start = LEARNER.init(np.random.default_rng(0))
    done: list[int] = []

    def values(workers: Any) -> Any:
        asked: dict[str, Any] = {"metric": nn.mean_squared_error, "steps": 2, "count": 37}
        return evaluate(LEARNER, start, TASKS, workers=workers, callback=done.append, **asked).values.tobytes()

    assert values(processes) == values(None)
    assert done == [*range(1, 38)] * 2


def test_more_inputs_than_processes_are_answered_in_order(processes: Processes) -> None:
    quotient = Job.of(functools.partial, operator.truediv)
    assert processes.compute(quotient, [(x, 2) for x in range(8)]) == [x / 2 for x in range(8)]


def test_an_error_of_another_process_has_its_traceback(processes: Processes) -> None:
    quotient = Job.of(functools.partial, operator.truediv)
    with pytest.raises(ZeroDivisionError) as caught:
        processes.compute(quotient, [(1, 0), (1, 1)])
    assert "in another process: Traceback" in caught.value.__notes__[0]


def test_an_error_that_does_not_travel_is_told(processes: Processes) -> None:
    raises = Job.of(eval, "lambda x: x and (y for y in '').throw(type('Odd', (Exception,), {})('no'))")
    with pytest.raises(WorkerError, match=r"Odd\('no'\)(.|\n)*in another process: Traceback"):
        processes.compute(raises, [(1,), (0,)])


def test_a_function_that_another_process_does_not_find_is_named(processes: Processes) -> None:
    here = types.ModuleType("here")
    exec("def make():\n    return abs", vars(here))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "here", here)
        with pytest.raises(ModuleNotFoundError, match="No module named 'here'"):
            processes.compute(Job.of(here.make), [(-1,), (-2,)])


def test_an_answer_to_an_abandoned_question_is_never_heard(processes: Processes) -> None:
    quotient = Job.of(functools.partial, operator.truediv)
    with pytest.raises(ZeroDivisionError):  # here, before the other is heard
        processes.compute(quotient, [(1, 1), (1, 0)])
    assert processes.compute(quotient, [(6, 2), (6, 3)]) == [3, 2]


def test_killed_processes_are_replaced_and_their_step_done_again(processes: Processes) -> None:
    shared: list[str] = []

    def kill(state: TrainingState, report: Any) -> None:
        if state.step == 3:
            shared.extend(segments(processes))
            for victim in pids(processes):
                os.kill(victim, signal.SIGKILL)

    with pytest.warns(RuntimeWarning, match=r"a worker ended in the middle of a step \(exit code -9\)"):
        assert sha(trained(processes, callbacks=[kill])) == alone()
    assert len(pids(processes)) == len(shared) == 1 and all(map(is_gone, shared))


def test_a_process_that_ends_again_and_again_is_given_up(processes: Processes) -> None:
    ends = Job.of(eval, "lambda code: code and __import__('os')._exit(code)")
    with (
        pytest.warns(RuntimeWarning, match=r"exit code 7"),
        pytest.raises(WorkerError, match="3 times in a row a process ended in the middle of the same step"),
    ):
        processes.compute(ends, [(7,), (0,)])


def test_a_stopped_process_is_waited_for(processes: Processes) -> None:
    happened: list[str] = []

    def go_on() -> None:
        happened.append("goes on")
        for each in pids(processes):
            os.kill(each, signal.SIGCONT)

    def stop(state: TrainingState, report: Any) -> None:
        happened.append(f"step {state.step}")
        if state.step == 2:
            for each in pids(processes):
                os.kill(each, signal.SIGSTOP)
            threading.Timer(0.5, go_on).start()

    assert sha(trained(processes, callbacks=[stop])) == alone()
    assert happened == ["step 1", "step 2", "goes on", *(f"step {step}" for step in range(3, 7))]


@pytest.mark.parametrize("is_dead", [False, True])
def test_processes_and_memory_end_with_an_error_of_a_callback(is_dead: bool) -> None:
    ended: list[Any] = []

    def stop(state: TrainingState, report: Any) -> None:
        if state.step == 2:  # An answer is sent through shared memory from the second on.
            ended.extend([*pids(team), *segments(team)])
            if is_dead:
                os.kill(pids(team)[0], signal.SIGKILL)
            raise KeyError("mine")

    team, before = Processes(2), set(multiprocessing.active_children())
    with pytest.raises(KeyError, match="mine"):
        trained(team, callbacks=[stop])
    pid, segment = ended
    assert not Path("/proc", str(pid)).exists() and is_gone(segment)
    assert set(multiprocessing.active_children()) == before


KILLED = """
import os, signal
from minimeta.distributed.processes import Processes
from shared_training import trained

def end(state, report):
    if state.step == 2:
        print(team._others[0]._process.pid, team._others[0].channel._segment.name, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    team = Processes(2)
    trained(team, callbacks=[end])
"""


def test_processes_and_memory_end_with_a_killed_parent(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(KILLED)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run([sys.executable, program], env=environment, capture_output=True, text=True, check=False)
    pid, segment = done.stdout.split()
    assert done.returncode == -signal.SIGKILL
    end = time.monotonic() + 20
    while not (is_gone(segment) and not Path("/proc", pid).exists()):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_step_sends_parameters_and_tasks_and_memory_stays_flat() -> None:
    sizes: list[list[int]] = []

    def measure(state: TrainingState, report: Any) -> None:
        if state.step in (300, 1000):
            sizes.append([resident(pid) for pid in (os.getpid(), *pids(team))])

    with Processes(2) as team:
        state = trained(team, iterations=1000, callbacks=[measure])
        (other,) = team._others
        largest = other.channel.size if other else 0
    before, after = np.array(sizes)
    assert (after - before).max() < 2**20, sizes
    # The first 8 of 16 groups have 12 of the 20 tasks. These and the parameters go out; one sum comes back.
    sent = state.meta_parameters, TASKS.sample(np.random.default_rng(0), 12)
    assert largest == sum(leaf.nbytes for leaf in tree.flatten(sent)[0])


def resident(pid: int) -> int:
    """The bytes of memory that a process has."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_what_cannot_be_sent_is_named(processes: Processes) -> None:
    learner = MAML(nn.mlp((1, 5, 1)), lambda outputs, targets: mm.mean((outputs - targets) ** 2), 0.01, 1)
    with pytest.raises(ConfigurationError, match=r"MAML cannot be sent to another process \(.*at the top of a module"):
        trained(processes, learner)


def test_divergence_names_step_and_task(processes: Processes) -> None:
    learner = MAML(nn.mlp((1, 5, 1)), nn.mean_squared_error, 1e30, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(NonFiniteError, match="step 0, task 0: the loss is"):
            trained(processes, learner)
