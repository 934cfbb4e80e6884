"""``--workers``: who computes the tasks of a step.

    4                  this process and three others on this machine
    dask               a local cluster of Dask, one worker for each core
    dask://HOST:PORT   the cluster with that scheduler
    mpi                the ranks that mpiexec, or srun, started

It is no setting of a run, since no bit depends on it: a run may go on with other workers.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import shlex
import sys
from collections.abc import Iterator
from typing import Any

from minimeta.distributed import Workers, workers_for
from minimeta.distributed.ranks import communicator
from minimeta.errors import ConfigurationError, MissingExtraError, WorkerError
from minimeta.training import Report, TrainingState

SECONDS_TO_ANSWER = 10
"""After which a scheduler of Dask is not there."""

#: How many ranks there are, in the environment of each, and what started them: Slurm (in a batch script or a shell of
#: its own the variable is absent); Open MPI; MPICH, Intel MPI and others; MVAPICH.
_NUMBER_OF_RANKS = {
    "SLURM_STEP_NUM_TASKS": "srun",
    "OMPI_COMM_WORLD_SIZE": "mpiexec",
    "PMI_SIZE": "mpiexec",
    "MV2_COMM_WORLD_SIZE": "mpiexec",
}


@contextlib.contextmanager
def started(name: str | None) -> Iterator[Workers | None]:
    """Start workers, and end them after the ``with`` statement.

    Parameters
    ----------
    name
        The value of the flag; None for this process alone, whose workers are None.

    Raises
    ------
    ConfigurationError
        If there are no such workers, or mpiexec or srun started this process, and others for the same.
    MissingExtraError
        If they need a package that is not installed.
    WorkerError
        If no scheduler answers at the address.
    """
    if name != "mpi":
        require_one_rank()
    if name is None:
        yield None
        return
    with contextlib.ExitStack() as stack:
        yield stack.enter_context(workers_for(_named(name, stack)))


def require_one_rank() -> None:
    """Refuse to be one of several ranks of MPI, which would all compute the same, and write to one place.

    Raises
    ------
    ConfigurationError
        mpiexec or srun started several.
    """
    for name, count, launcher in _launches():
        words = [*sys.argv[1:], "--workers", "mpi"]
        raise ConfigurationError(
            f"{launcher} started {count} of these commands ({name}={count}), which do not know of each other: each "
            "would compute all, and write to the same place. To share one, its tasks are computed by ranks of MPI: "
            f"{launcher} -n {count} minimeta {shlex.join(words)}. For one process, or a sweep, leave out {launcher}; "
            f"for commands that are meant to be apart, unset {name}"
        )


def launched(name: str | None) -> str:
    """Return what stands before a command whose workers are the ranks of MPI, as many as there are now."""
    if name != "mpi":
        return ""
    launcher = next((launcher for _, _, launcher in _launches()), "mpiexec")
    return f"{launcher} -n {communicator().Get_size()} "


def _launches() -> Iterator[tuple[str, int, str]]:
    """Yield the variables that say there are several ranks, how many, and what started them."""
    for name, launcher in _NUMBER_OF_RANKS.items():
        count = os.environ.get(name, "")
        if count.isdecimal() and int(count) > 1:
            yield name, int(count), launcher


def _named(name: str, stack: contextlib.ExitStack) -> Any:
    if name.isdecimal() and int(name):
        return int(name)
    if name == "mpi":
        return communicator()
    if name == "dask":
        distributed = _distributed()
        cluster = distributed.LocalCluster(threads_per_worker=1, dashboard_address=None)
        return stack.enter_context(distributed.Client(stack.enter_context(cluster)))
    if name.startswith("dask://"):
        address = f"tcp://{name.removeprefix('dask://')}"
        try:
            return stack.enter_context(_distributed().Client(address, timeout=SECONDS_TO_ANSWER))
        except (OSError, ValueError) as error:
            raise WorkerError(f"--workers {name}: no scheduler of Dask answers at {address} ({error})") from error
    raise ConfigurationError(
        f"--workers {name} should be a number of processes, at least 1, or dask, dask://HOST:PORT or mpi"
    )


def _distributed() -> Any:
    try:
        return importlib.import_module("distributed")
    except ModuleNotFoundError as error:
        raise MissingExtraError("--workers dask needs distributed: pip install 'minimeta[dask]'") from error


class Collective:
    """A callback of training that finds out what part of a step is the collective's: sending and waiting.

    The first step of a session starts the workers and compiles, so it is left out.

    Parameters
    ----------
    workers
        Who computes the steps; None for this process alone, of which there is nothing to say.
    """

    def __init__(self, workers: Workers | None) -> None:
        self._workers, self._steps = workers, -1
        self._seconds = self._computing = 0.0

    def __call__(self, state: TrainingState, report: Report) -> None:
        """Count a step."""
        self._steps += 1
        if self._workers and self._steps:
            self._seconds += self._workers.last.seconds
            self._computing += self._workers.last.computing

    @property
    def record(self) -> dict[str, Any]:
        """The number of workers, the time that a step asks of them, and the collective's share of it."""
        if self._workers is None or self._steps < 1:
            return {}
        milliseconds, share = 1e3 * self._seconds / self._steps, 1 - self._computing / self._seconds
        return {"workers": self._workers.count, "milliseconds": round(milliseconds, 3), "share": round(share, 4)}

    def show(self) -> None:
        """Print the record."""
        if found := self.record:
            times = f"{found['milliseconds']:.3g} ms a step, of which {found['share']:.0%} is sending and waiting"
            print(f"workers: {found['workers']}, {times}", file=sys.stderr)


def end_all_ranks(code: int) -> None:
    """End the other ranks of MPI, if there are any: they wait for this one, which failed."""
    loaded = sys.modules.get("mpi4py.MPI")
    if loaded is not None and loaded.COMM_WORLD.Get_size() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        loaded.COMM_WORLD.Abort(code)
