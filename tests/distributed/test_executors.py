"""Training by an executor's workers has the bits of training alone, also when workers die."""

import hashlib
import multiprocessing
import os
import pickle
import warnings
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import minimeta as mm
from minimeta import nn, optim
from minimeta.autodiff import tree
from minimeta.distributed import Workers, jobs, workers_for
from minimeta.errors import ConfigurationError, NonFiniteError, WorkerError
from minimeta.learners import MAML
from minimeta.tasks import Sinusoid
from minimeta.training import TrainingState, evaluate, fit

LEARNER = MAML(nn.mlp((1, 5, 1)), nn.mean_squared_error, 0.01, 1)
TASKS = Sinusoid(shots=3, queries=3)


def trained(workers: Any = None, learner: Any = LEARNER, **settings: Any) -> TrainingState:
    settings = {"iterations": 6, "meta_batch": 20, "seed": 3, **settings}
    return fit(learner, TASKS, optim.adam(), workers=workers, **settings)


def sha(state: TrainingState) -> str:
    leaves = tree.flatten((state.meta_parameters, state.optimiser_state))[0]
    return hashlib.sha256(b"".join(np.ascontiguousarray(leaf).tobytes() for leaf in leaves)).hexdigest()


ALONE = sha(trained())


@pytest.fixture(scope="module")
def processes() -> Iterator[Workers]:
    with workers_for(2) as started:
        yield started


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_threads_have_the_bits_of_one_process(count: int) -> None:
    with ThreadPoolExecutor(count) as executor:
        assert sha(trained(executor)) == ALONE
        assert sha(trained(executor, compiled=False, iterations=2)) == sha(trained(iterations=2))


def test_processes_have_the_bits_of_one_process(processes: Workers) -> None:
    assert sha(trained(processes)) == ALONE


def test_a_run_goes_on_with_other_workers(processes: Workers) -> None:
    half = trained(processes, iterations=3)
    with ThreadPoolExecutor(3) as executor:
        assert sha(trained(executor, state=half)) == ALONE


def test_evaluation_has_the_same_values(processes: Workers) -> None:
    start = LEARNER.init(np.random.default_rng(0))
    done: list[int] = []

    def values(workers: Any) -> Any:
        asked: dict[str, Any] = {"metric": nn.mean_squared_error, "steps": 2, "count": 37}
        return evaluate(LEARNER, start, TASKS, workers=workers, callback=done.append, **asked).values.tobytes()

    assert values(processes) == values(None)
    assert done == [*range(1, 38)] * 2


def test_killed_processes_are_replaced_and_their_step_done_again() -> None:
    def kill(state: TrainingState, report: Any) -> None:
        if state.step == 3:
            for victim in set(multiprocessing.active_children()) - before:
                victim.kill()  # all of them: one that survives may do the others' shares before the pool notices

    before = set(multiprocessing.active_children())  # of other tests
    with pytest.warns(RuntimeWarning, match=r"a worker ended in the middle of a step .* done again by new ones"):
        assert sha(trained(2, callbacks=[kill])) == ALONE
    assert set(multiprocessing.active_children()) == before


def test_processes_end_when_a_callback_raises() -> None:
    def stop(state: TrainingState, report: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(1, callbacks=[stop])
    assert not [child for child in multiprocessing.active_children() if "Spawn" in type(child).__name__]


def test_an_error_after_a_worker_has_died_is_not_hidden() -> None:
    def stop(state: TrainingState, report: Any) -> None:
        for child in multiprocessing.active_children():
            child.kill()
            child.join()
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        trained(1, callbacks=[stop])


def test_a_broken_pool_of_the_user_is_explained() -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as executor:
        executor.submit(os._exit, 7)
        with pytest.raises(WorkerError, match="With workers=N, a number of processes, dead ones are replaced"):
            trained(executor)


def test_what_cannot_be_sent_is_named(processes: Workers) -> None:
    learner = MAML(nn.mlp((1, 5, 1)), lambda outputs, targets: mm.mean((outputs - targets) ** 2), 0.01, 1)
    with pytest.raises(ConfigurationError, match=r"MAML cannot be sent to another process \(.*at the top of a module"):
        trained(processes, learner)


@pytest.mark.parametrize("workers", [0, -1, True, 2.0, "4", object()])
def test_what_is_no_workers_is_refused(workers: Any) -> None:
    with pytest.raises(ConfigurationError, match="should be a number of processes, at least 1"):
        trained(workers)


def test_an_executor_without_a_number_of_workers_is_refused() -> None:
    class Silent(Executor):
        pass

    with pytest.raises(ConfigurationError, match="a Silent does not say how many workers it has"):
        trained(Silent())


class Other(Executor):
    """An executor whose workers have another version."""

    num_workers = 2

    def submit(self, function: Any, /, *inputs: Any, **keywords: Any) -> Future[Any]:
        future: Future[Any] = Future()
        result, identity = function(*inputs)
        future.set_result(jobs.Answer(result, identity._replace(numpy="1.0.0", where="elsewhere, process 3")))
        return future


def test_workers_with_another_version_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=rf"elsewhere, process 3 .* numpy 1.0.0 there and {np.__version__}"):
        trained(Other())


def test_levels_may_differ_and_references_may_not() -> None:
    here = jobs.identity()
    jobs.require_equal(here._replace(where="elsewhere"))
    with pytest.raises(ConfigurationError, match=r"kernels .* there"):
        jobs.require_equal(here._replace(kernels="reference" if here.kernels == "C++" else "C++"))


def test_divergence_names_step_and_task(processes: Workers) -> None:
    learner = MAML(nn.mlp((1, 5, 1)), nn.mean_squared_error, 1e30, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(NonFiniteError, match="step 0, task 0: the loss is"):
            trained(processes, learner)


def test_jobs_are_made_once_and_few_are_kept() -> None:
    made: list[int] = []

    def make(number: int) -> Any:
        made.append(number)
        return lambda x: x + number

    wanted = [jobs.Job.of(make, number) for number in range(20)]
    for job in [*wanted, *wanted[-2:]]:
        assert jobs.answer(job, (1,)).result == 1 + job.arguments[0]
    assert made == [*range(20)]
    assert len(jobs._FUNCTIONS) <= 8
    assert pickle.loads(pickle.dumps(jobs.identity())) == jobs.identity()
