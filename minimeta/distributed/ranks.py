"""Workers that are the ranks of an MPI communicator.

Every rank runs the same program and draws the same tasks, since a seed decides them. It computes
its own share, all ranks gather the results of all, and each adds them up in the order of the tasks
and takes the same step. No parameters travel, and no bit depends on how MPI reduces: a sum of its
own depends on the number of ranks and on its algorithm, which some libraries choose at every call.

Rank 0 alone runs what follows a step, the callbacks, and tells the others whether to go on.
"""

from __future__ import annotations

import importlib
import os
import platform
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from minimeta.distributed.jobs import Call, Job, identity, require_equal
from minimeta.errors import MissingExtraError, WorkerError
from minimeta.threads import get_num_threads, set_num_threads

T = TypeVar("T")


class Ranks:
    """The ranks of a communicator of mpi4py; see :class:`~minimeta.distributed.Workers`.

    Parameters
    ----------
    communicator
        Such as ``MPI.COMM_WORLD``. Every rank calls the same functions in the same order.
    """

    shared = True

    def __init__(self, communicator: Any) -> None:
        self._communicator = communicator
        self._rank, self.count = communicator.Get_rank(), communicator.Get_size()
        self.leads, self.last = self._rank == 0, Call(0.0, 0.0)

    def __enter__(self) -> Self:
        self._threads = get_num_threads()
        if "OMP_NUM_THREADS" not in os.environ:
            hosts = self._communicator.allgather(platform.node())
            set_num_threads(max(1, self._threads // hosts.count(platform.node())))
        for each in self._communicator.allgather(identity()):
            require_equal(each)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        set_num_threads(self._threads)

    def together(self, call: Callable[[], T]) -> T:
        """Run a call on rank 0, return its result on all ranks, and end on all if it raises there."""
        result, ended = None, None
        if self.leads:
            try:
                result = call()
            except BaseException as error:
                self._communicator.bcast((None, repr(error)), 0)
                raise
        result, ended = self._communicator.bcast((result, ended), 0)
        if ended is not None:
            raise WorkerError(f"rank 0 ended: {ended}")
        return cast(T, result)

    def compute(self, job: Job, inputs: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Return the results of a job on every rank, one for each inputs."""
        began = time.perf_counter()
        try:
            found = [job.function()(*each) for each in inputs[self._rank :: self.count]]
        except Exception as error:  # The others wait for this rank, so they hear of it.
            self._communicator.allgather(repr(error))
            raise WorkerError(f"rank {self._rank} raised {error!r}") from error
        answers = self._communicator.allgather((found, time.perf_counter() - began))
        for rank, each in enumerate(answers):
            if isinstance(each, str):
                raise WorkerError(f"rank {rank} raised {each}")
        gathered, seconds = zip(*answers, strict=True)
        self.last = Call(time.perf_counter() - began, max(seconds))
        return [gathered[place % self.count][place // self.count] for place in range(len(inputs))]


def communicator() -> Any:
    """Return all ranks that ``mpiexec`` or ``srun`` started.

    Raises
    ------
    MissingExtraError
        If mpi4py is not installed, or finds no MPI library.
    """
    try:
        return importlib.import_module("mpi4py.MPI").COMM_WORLD
    except (ImportError, RuntimeError) as error:
        raise MissingExtraError(
            "ranks of MPI need mpi4py and an MPI library such as mpich: pip install 'minimeta[mpi]'"
        ) from error
