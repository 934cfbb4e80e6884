"""This process and others of our own on the same machine, each with its share of the cores.

Each of the others has a channel of its own (:mod:`minimeta.distributed.channel`) and answers one
question after another, until it is killed: a job is a pure function, so nothing is lost. One that
ends in the middle of a step is replaced, and the new one is asked again.

They are started by ``spawn``, since OpenMP's threads do not survive a fork. A script that trains
does so under ``if __name__ == "__main__":``, because each process imports it.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from multiprocessing import connection, parent_process
from types import TracebackType
from typing import Any, Self, TypeVar

from minimeta.distributed.channel import Channel
from minimeta.distributed.jobs import Answer, Call, Job, answer, require_picklable
from minimeta.errors import WorkerError
from minimeta.threads import get_num_threads, set_num_threads

_ATTEMPTS = 3
T = TypeVar("T")


class Processes:
    """This process and others; see :class:`~minimeta.distributed.Workers`.

    The others are started when they are first asked, and ended by the outermost ``with`` statement:
    that of a training, or one around several trainings and evaluations.

    Parameters
    ----------
    count
        How many, together with this one.
    """

    leads, shared = True, False

    def __init__(self, count: int) -> None:
        self.count, self.last = count, Call(0.0, 0.0)
        self._entered = 0
        self._others: list[_Other | None] = [None] * (count - 1)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._threads = max(1, min(get_num_threads(), cores // count))

    def __enter__(self) -> Self:
        self._entered += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._entered -= 1
        if not self._entered:
            self._end(*range(len(self._others)))

    def together(self, call: Callable[[], T]) -> T:
        """Run a call here, where all is decided."""
        return call()

    def compute(self, job: Job, inputs: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Return the results of a job, one for each inputs."""
        results: list[Any] = []
        began, computing, threads = time.perf_counter(), 0.0, get_num_threads()
        set_num_threads(self._threads)
        try:
            for start in range(0, len(inputs), self.count):
                answers = self._answers(job, *inputs[start : start + self.count])
                results += [each.result for each in answers]
                computing += max(each.seconds for each in answers)
        finally:
            set_num_threads(threads)
        self.last = Call(time.perf_counter() - began, computing)
        return results

    def _answers(self, job: Job, *inputs: tuple[Any, ...]) -> list[Answer]:
        """Return one answer of each process; the last is that of this one."""
        *theirs, mine = inputs
        try:
            for place, each in enumerate(theirs):
                self._ask(place, job, each)
            last = answer(job, mine)
            return [*(self._hear(place, job, each) for place, each in enumerate(theirs)), last]
        except BaseException:  # Whose answer is still to come would give it to the next question.
            self._end(*range(len(self._others)))
            raise

    def _ask(self, place: int, job: Job, inputs: tuple[Any, ...]) -> None:
        other = self._others[place] = self._others[place] or _Other(self._threads)
        try:
            other.ask(job, inputs)
        except ConnectionError:
            pass  # It has ended, as who waits for its answer finds out.
        except (pickle.PicklingError, AttributeError, TypeError):
            require_picklable(job)
            raise

    def _hear(self, place: int, job: Job, inputs: tuple[Any, ...]) -> Answer:
        """Return the answer of a process, or of the new one in its place if it has ended; or raise its error."""
        for _ in range(_ATTEMPTS):
            other = self._others[place]
            assert other is not None
            try:
                found: Answer | Exception = other.channel.receive()
            except (EOFError, OSError):
                self._end(place)
            else:
                if isinstance(found, Exception):
                    raise found
                return found
            warnings.warn(
                f"a worker ended in the middle of a step (exit code {other.code}), which is done again by a new one",
                RuntimeWarning,
                stacklevel=2,
            )
            self._ask(place, job, inputs)
        raise WorkerError(
            f"workers: {_ATTEMPTS} times in a row a process ended in the middle of the same step. Is there memory for "
            "all of them? Does the script train under `if __name__ == '__main__':`? The last state that the callbacks "
            "received is good"
        )

    def _end(self, *places: int) -> None:
        for place in places:
            other, self._others[place] = self._others[place], None
            if other is not None:
                other.end()


class _Other:
    """A process and the channel to it.

    Parameters
    ----------
    threads
        How many it may use.
    """

    code: int | None = None

    def __init__(self, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        self.channel = Channel(here, owns=True)
        self._process = context.Process(target=serve, args=(there, threads), daemon=True)
        self._process.start()
        there.close()  # The other process alone holds it, so that its end ends the pipe.
        self._job: Job | None = None

    def ask(self, job: Job, inputs: tuple[Any, ...]) -> None:
        """Send inputs, and the job if it is not that of the last question."""
        self.channel.send((None if job is self._job else job, inputs))
        self._job = job

    def end(self) -> None:
        """Kill the process, and then remove the memory that it shared."""
        self._process.kill()
        self._process.join()
        self.code = self._process.exitcode
        self._process.close()
        self.channel.close()


def serve(pipe: connection.Connection, threads: int) -> None:
    """Answer questions as a process of ours, until it is killed or its parent ends.

    The terminal sends Ctrl-C to all processes; the parent alone decides what becomes of the step.
    """
    for name in ("SIGINT", "SIGHUP", "SIGQUIT"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    set_num_threads(threads)
    channel, known = Channel(pipe, owns=False), list[Job]()
    while True:
        try:
            job, inputs = channel.receive()
            known = [job] if job else known
        except EOFError:
            return
        except Exception as error:  # such as a function of the job that is not found here
            channel.send(_sendable(error))
            continue
        try:
            channel.send(answer(known[0], inputs))
        except Exception as error:  # whatever a user's function raises
            channel.send(_sendable(error))


def _sendable(error: Exception) -> Exception:
    """Return an error that another process can read, with the traceback of this one."""
    error.add_note("".join(["in another process: ", *traceback.format_exception(error)]))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # Its class is not made to travel.
        return WorkerError(f"workers: {error!r}\n" + "\n".join(error.__notes__))
    return error


def _end_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)  # Nothing is lost: the state of the training was with the parent.
