"""What a worker does: it makes the function of a job once, and calls it on the inputs that come.

A worker is another process, perhaps on another machine, so a job is a module-level function and
arguments that pickle. To compile takes longer than many a step, so a worker keeps the functions of
its last jobs by their keys. Every answer carries the worker's :class:`Identity`, because no
executor promises to reach each of its workers with a question asked beforehand.
"""

from __future__ import annotations

import functools
import os
import pickle
import platform
import secrets
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minimeta import __version__, kernels
from minimeta.errors import ConfigurationError

#: The functions of this process by the keys of their jobs: a training has one, and some
#: evaluations.
_FUNCTIONS: dict[str, Callable[..., Any]] = {}
_KEPT = 8


class Job(NamedTuple):
    """A function that every worker makes for itself.

    Attributes
    ----------
    make, arguments
        ``make(*arguments)`` returns the function.
    key
        Equal for the calls of one job, and for no others.
    """

    make: Callable[..., Callable[..., Any]]
    arguments: tuple[Any, ...]
    key: str

    @classmethod
    def of(cls, make: Callable[..., Callable[..., Any]], *arguments: Any) -> Job:
        """Return a new job."""
        return cls(make, arguments, secrets.token_hex(8))

    def function(self) -> Callable[..., Any]:
        """Return the function in this process, made when it is first asked for."""
        if self.key not in _FUNCTIONS:
            while len(_FUNCTIONS) >= _KEPT:
                del _FUNCTIONS[next(iter(_FUNCTIONS))]
            _FUNCTIONS[self.key] = self.make(*self.arguments)
        return _FUNCTIONS[self.key]


class Identity(NamedTuple):
    """What decides the bits of a worker, and where it is.

    Attributes
    ----------
    minimeta, numpy
        Versions.
    kernels
        ``C++``, whose levels agree to the bit, or ``reference``, where numpy computes everything.
    where
        Host and process, for messages.
    """

    minimeta: str
    numpy: str
    kernels: str
    where: str


class Answer(NamedTuple):
    """A result, who computed it, and how long that took."""

    result: Any
    identity: Identity
    seconds: float


class Call(NamedTuple):
    """Where the time of a call to the workers went.

    Attributes
    ----------
    seconds
        From the call to the last answer.
    computing
        What the slowest worker took of that. The rest is sending and waiting: the collective's.
    """

    seconds: float
    computing: float


@functools.cache
def identity() -> Identity:
    """Return the identity of this process."""
    level = "reference" if kernels.native is None else "C++"
    return Identity(__version__, np.__version__, level, f"{platform.node()}, process {os.getpid()}")


def require_equal(found: Identity) -> None:
    """Refuse a worker that might compute other bits than this process.

    Raises
    ------
    ConfigurationError
        If it has another version of minimeta or numpy, or no kernels where this process has them,
        or the other way round.
    """
    here = identity()
    differing = [
        f"{name} {there} there and {ours} here"
        for name, there, ours in zip(Identity._fields[:3], found[:3], here[:3], strict=True)
        if there != ours
    ]
    if differing:
        raise ConfigurationError(
            f"workers: the one on {found.where} might compute other bits: {', '.join(differing)}. "
            "Install the same versions everywhere"
        )


def answer(job: Job, inputs: tuple[Any, ...]) -> Answer:
    """Return the result of a job for some inputs."""
    began = time.perf_counter()
    # Infinities are reported by the process that trains, by step and task.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        result = job.function()(*inputs)
    return Answer(result, identity(), time.perf_counter() - began)


def require_picklable(job: Job) -> None:
    """Refuse a job that another process could not read.

    Raises
    ------
    ConfigurationError
        If it does not pickle.
    """
    try:
        pickle.dumps(job)
    except Exception as error:  # whatever a user's class raises
        raise ConfigurationError(
            f"workers: {type(job.arguments[0]).__name__} cannot be sent to another process ({error}): write its "
            "functions at the top of a module and not as lambdas or inside of functions, or take a Dask client, which "
            "sends both"
        ) from error
