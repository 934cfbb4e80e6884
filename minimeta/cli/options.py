"""Flags: frozen dataclasses, which tyro turns into a command line. Here are those that several commands share."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import tyro

from minimeta import cli
from minimeta.errors import ConfigurationError

Options = TypeVar("Options")
Switch = tyro.conf.FlagCreatePairsOff[bool]
"""A flag that turns something on; there is none to turn it off."""


@dataclass(frozen=True, kw_only=True)
class JsonOption:
    """How to answer."""

    json: Switch = False
    """Print one JSON object on standard output and nothing else."""

    def answer(self, report: Mapping[str, Any], text: Callable[[], str | None]) -> int:
        """Print a report, in JSON if it was asked for and else as text, and return the exit code."""
        said = json.dumps({"status": "complete", **report}) if self.json else text()
        if said is not None:
            print(said)
        return cli.DONE


@dataclass(frozen=True, kw_only=True)
class DataOption:
    """Where the data are, for commands that read them."""

    data: Path | None = None
    """Folder of the data, or the images (default: those of the run, $MINIMETA_DATA, or the user's cache)."""


@dataclass(frozen=True, kw_only=True)
class WorkersOption:
    """Who computes."""

    workers: str | None = None
    """Processes that compute the tasks: a number, dask (a local cluster), dask://HOST:PORT, or mpi (under mpiexec)."""


@dataclass(frozen=True, kw_only=True)
class SweepOption(WorkersOption):
    """Several runs of one command (:mod:`minimeta.cli.sweep`, which reads these flags)."""

    seeds: str | None = None
    """Several runs, as in 0-9 or 0,3,7: a folder for each in --out, and a summary; --workers N runs N at once.
    --grid inner_learning_rate=0.01,0.1 runs each for every value of a setting; given twice, all combinations."""


def parse(kind: type[Options], program: str, flags: list[str], default: Any = tyro.MISSING_NONPROP) -> Options:
    """Read flags into a dataclass; wrong ones end the program with code 2 and a suggestion.

    Raises
    ------
    ConfigurationError
        Instead, if the flags ask for an answer in JSON.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said) if cli.in_json(flags) else contextlib.nullcontext():
            parsed: Options = tyro.cli(kind, prog=program, args=flags, default=default)
            return parsed
    except SystemExit as end:
        if not end.code or not cli.in_json(flags):
            raise
        words = re.sub(r"[\u2500-\u257f]+|[|+-]{3,}|^\||\|$", " ", said.getvalue(), flags=re.MULTILINE).split()
        raise ConfigurationError(" ".join(words)) from None
