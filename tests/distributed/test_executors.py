"""Training by an executor's workers has the bits of training alone."""

import multiprocessing
import os
import pickle
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from shared_training import alone, sha, trained

from minimeta.distributed import jobs
from minimeta.errors import ConfigurationError, WorkerError


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_threads_have_the_bits_of_one_process(count: int) -> None:
    with ThreadPoolExecutor(count) as executor:
        assert sha(trained(executor)) == alone()
        assert sha(trained(executor, compiled=False, iterations=2)) == sha(trained(iterations=2))


def test_a_broken_pool_of_the_user_is_explained() -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as executor:
        executor.submit(os._exit, 7)
        with pytest.raises(WorkerError, match="With workers=N, a number of processes, dead ones are replaced"):
            trained(executor)


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
        answer = function(*inputs)
        other = answer.identity._replace(numpy="1.0.0", where="elsewhere, process 3")
        future.set_result(answer._replace(identity=other))
        return future


def test_workers_with_another_version_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=rf"elsewhere, process 3 .* numpy 1.0.0 there and {np.__version__}"):
        trained(Other())


def test_levels_may_differ_and_references_may_not() -> None:
    here = jobs.identity()
    jobs.require_equal(here._replace(where="elsewhere"))
    with pytest.raises(ConfigurationError, match=r"kernels .* there"):
        jobs.require_equal(here._replace(kernels="reference" if here.kernels == "C++" else "C++"))


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
