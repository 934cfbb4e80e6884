"""Workers behind a ``concurrent.futures.Executor``: threads, a pool of processes, or a Dask cluster.

In each step every worker gets the meta-parameters and its share of the tasks, and returns one sum
for each of its groups (:mod:`minimeta.distributed.groups`). The executor decides where a share
runs, and Dask runs it again elsewhere when its worker dies: a job is a pure function, so that
changes no bit, and a warning names the worker. A pool of processes cannot, and is broken when one of
them is killed.
"""

from __future__ import annotations

import pickle
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any, Self, TypeVar

from minimeta.distributed.jobs import Answer, Call, Job, answer, require_equal, require_picklable
from minimeta.errors import WorkerError

T = TypeVar("T")


class ExecutorWorkers:
    """Any executor, which the caller has started and will shut down; see :class:`~minimeta.distributed.Workers`.

    Parameters
    ----------
    executor
        Runs the jobs.
    count
        How many it runs at once.
    client
        That of Dask, which knows which workers there are; None for another executor.
    """

    leads, shared = True, False

    def __init__(self, executor: Executor, count: int, client: Any = None) -> None:
        self._executor, self.count, self.last = executor, count, Call(0.0, 0.0)
        self._client, self._there = client, self._addresses(client)

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
        began = time.perf_counter()
        answers = self._answers(job, inputs)
        self.last = Call(time.perf_counter() - began, max(each.seconds for each in answers))
        for each in answers:
            require_equal(each.identity)
        self._say_who_ended()
        return [each.result for each in answers]

    @staticmethod
    def _addresses(client: Any) -> set[str]:
        return set() if client is None else set(client.nthreads())

    def _say_who_ended(self) -> None:
        """Warn of workers of Dask that have ended since the last call."""
        there = self._addresses(self._client)
        if ended := self._there - there:
            warnings.warn(
                f"a worker of Dask ended ({', '.join(sorted(ended))}): what it had begun was done again by another. "
                f"There are {len(there)} now",
                RuntimeWarning,
                stacklevel=3,
            )
        self._there = there

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
            require_picklable(job)
            raise error
