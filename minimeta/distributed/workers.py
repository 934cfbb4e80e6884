"""Who computes the meta-gradients of a step, and the values of an evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from minimeta.distributed.jobs import Call, Job
from minimeta.errors import ConfigurationError

T = TypeVar("T")


class Workers(Protocol):
    """Some processes that compute a job for many inputs.

    Attributes
    ----------
    count
        How many inputs they take at once.
    leads
        Whether this process runs the callbacks, which write files and print.
    shared
        Whether every process runs the same program, and so has to make the same calls.
    last
        Where the time of the last call of `compute` went.
    """

    count: int
    leads: bool
    shared: bool
    last: Call

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def compute(self, job: Job, inputs: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Return the results of a job, one for each inputs.

        Raises
        ------
        ConfigurationError
            If a worker has other versions than this process, or the job cannot be sent to it.
        WorkerError
            If a worker ended and cannot be replaced, or raised on another rank.
        """

    def together(self, call: Callable[[], T]) -> T:
        """Run a call where `leads`: its result is returned everywhere, and its error ends all."""


def workers_for(workers: Any) -> Workers:
    """Return workers that a ``with`` statement starts and ends.

    Parameters
    ----------
    workers
        A number of processes on this machine, of which this is one; a
        ``concurrent.futures.Executor``; a client of Dask; an MPI communicator of mpi4py; or what
        this function returned.

    Raises
    ------
    ConfigurationError
        If it is none of these.
    """
    from minimeta.distributed.executors import ExecutorWorkers  # noqa: PLC0415 (one process needs none)
    from minimeta.distributed.processes import Processes  # noqa: PLC0415
    from minimeta.distributed.ranks import Ranks  # noqa: PLC0415

    if isinstance(workers, ExecutorWorkers | Processes | Ranks):
        return workers
    if isinstance(workers, int) and not isinstance(workers, bool) and workers >= 1:
        return Processes(workers)
    if hasattr(workers, "Get_rank") and hasattr(workers, "allgather"):
        return Ranks(workers)
    if hasattr(workers, "get_executor") and hasattr(workers, "nthreads"):
        return ExecutorWorkers(workers.get_executor(), sum(workers.nthreads().values()), workers)
    if isinstance(workers, Executor):
        return ExecutorWorkers(workers, _at_once(workers), getattr(workers, "_client", None))  # Dask's executor
    raise ConfigurationError(
        f"workers={workers!r} should be a number of processes, at least 1, a concurrent.futures.Executor, a "
        "dask.distributed.Client or an MPI communicator of mpi4py"
    )


def _at_once(executor: Any) -> int:
    """Return how many calls an executor runs at once."""
    client = getattr(executor, "_client", None)
    if client is not None:
        return sum(client.nthreads().values())
    count = getattr(executor, "num_workers", None) or getattr(executor, "_max_workers", None)
    if not isinstance(count, int):
        raise ConfigurationError(
            f"workers: a {type(executor).__name__} does not say how many workers it has, by `num_workers` or "
            "`_max_workers`; set one of these"
        )
    return count
