"""Workers behind a ``concurrent.futures.Executor``: processes, threads, or a Dask cluster.

In each step every worker gets the meta-parameters and its share of the tasks, and returns one sum
for each of its groups (:mod:`minimeta.distributed.groups`). The executor decides where a share
runs, and Dask runs it again elsewhere when its worker dies. A pool of processes cannot: it is
broken when one of them is killed. Ours is then replaced, and the step is done again. A job is a
pure function, so neither changes a bit.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any, Self, TypeVar

from minimeta.distributed.jobs import Answer, Job, answer, begin, require_equal
from minimeta.errors import ConfigurationError, WorkerError

_ATTEMPTS = 3
T = TypeVar("T")


class ExecutorWorkers:
    """Any executor, which the caller has started and will shut down; see :class:`~minimeta.distributed.Workers`.

    Parameters
    ----------
    executor
        Runs the jobs.
    count
        How many it runs at once.
    """

    leads, shared = True, False

    def __init__(self, executor: Executor, count: int) -> None:
        self._executor, self.count = executor, count

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave the executor to the caller."""

    def together(self, call: Callable[[], T]) -> T:
        """Run a call here, where all is decided."""
        return call()

    def compute(self, job: Job, inputs: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Return the results of a job, one for each inputs."""
        answers = self._answers(job, inputs)
        for each in answers:
            require_equal(each.identity)
        return [each.result for each in answers]

    def _answers(self, job: Job, inputs: Sequence[tuple[Any, ...]]) -> list[Answer]:
        try:
            futures = [self._executor.submit(answer, job, each) for each in inputs]
            return [future.result() for future in futures]
        except BrokenProcessPool as error:
            raise WorkerError(
                f"workers: a process of the pool ended in the middle of a step ({error}). The last state that the "
                "callbacks received is good. With workers=N, a number of processes, dead ones are replaced"
            ) from error
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            _require_picklable(job)
            raise error


class Processes(ExecutorWorkers):
    """Processes of our own on this machine, each with its share of the cores.

    They are started by ``spawn``, since OpenMP's threads do not survive a fork. A script that trains
    does so under ``if __name__ == "__main__":``, because each process imports it.

    Parameters
    ----------
    count
        How many.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._sent: Job | None = None

    def __enter__(self) -> Self:
        self._executor = self._pool()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the processes; at once, if the training was interrupted in the middle of a step."""
        if error is not None:
            for process in list((getattr(self._executor, "_processes", None) or {}).values()):
                process.kill()  # Which is nothing where it has ended.
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _pool(self) -> ProcessPoolExecutor:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        threads = max(1, cores // self.count)
        return ProcessPoolExecutor(self.count, multiprocessing.get_context("spawn"), begin, (threads,))

    def _answers(self, job: Job, inputs: Sequence[tuple[Any, ...]]) -> list[Answer]:
        if job is not self._sent:  # The thread that fills the queue would print its traceback.
            _require_picklable(job)
            self._sent = job
        for _ in range(_ATTEMPTS):
            try:
                return super()._answers(job, inputs)
            except WorkerError as error:
                warnings.warn(
                    f"a worker ended in the middle of a step ({error.__cause__}); the step is done again by new ones",
                    RuntimeWarning,
                    stacklevel=2,
                )
                self._executor.shutdown(wait=False, cancel_futures=True)
                self._executor = self._pool()
        raise WorkerError(
            f"workers: {_ATTEMPTS} times in a row a process ended in the middle of the same step. Is there memory for "
            "all of them? Does the script train under `if __name__ == '__main__':`? The last state that the callbacks "
            "received is good"
        )


def _require_picklable(job: Job) -> None:
    try:
        pickle.dumps(job)
    except Exception as error:  # whatever a user's class raises
        raise ConfigurationError(
            f"workers: {type(job.arguments[0]).__name__} cannot be sent to another process ({error}): write its "
            "functions at the top of a module and not as lambdas or inside of functions, or take a Dask client, which "
            "sends both"
        ) from error
