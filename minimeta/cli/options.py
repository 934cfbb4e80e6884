"""Flags: frozen dataclasses, which tyro turns into a command line. Here are those that several commands share."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TextIO, TypeVar, get_args, get_origin, get_type_hints

import docstring_parser
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
    """Processes that compute the tasks: a number, dask (a local cluster), dask://HOST:PORT, or mpi (mpiexec, srun)."""


@dataclass(frozen=True, kw_only=True)
class SweepOption(WorkersOption):
    """Several runs of one command (:mod:`minimeta.cli.sweep`, which reads these flags)."""

    seeds: str | None = None
    """Several runs, as in 0-9 or 0,3,7: a folder for each in --out, and a summary; --workers N runs N at once."""
    grid: str | None = None
    """Several runs, as in inner_learning_rate=0.01,0.1: one for each value of a setting. Given twice, all
    combinations."""


class Flag(NamedTuple):
    """A flag, as the field of a dataclass; a default of ``dataclasses.MISSING`` is none."""

    name: str
    hint: Any
    default: Any


def flags_of(kind: type[Any]) -> list[Flag]:
    """Return the fields of a dataclass as flags; the help of each is the text below the field."""
    hints = get_type_hints(kind, include_extras=True)
    said = {
        each.arg_name: " ".join((each.description or "").split())
        for base in reversed(kind.__mro__)
        if dataclasses.is_dataclass(base)
        for each in docstring_parser.parse_from_object(base).params
    }
    return [
        Flag(
            field.name,
            Annotated[hints[field.name], _help(hints[field.name], said[field.name], field.default)],
            field.default,
        )
        for field in dataclasses.fields(kind)
    ]


def _help(hint: Any, text: str, default: Any) -> Any:
    """Return the help of a flag. Where the default is nothing, the text says what that means."""
    kind, *marks = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    value = {"metavar": get_args(kind)[0].__name__.upper()} if default is None else {}
    if default is None or default == () or tyro.conf.FlagCreatePairsOff in marks:
        return tyro.conf.arg(help=text, help_behavior_hint="", **value)
    return tyro.conf.arg(help=text)


def form(name: str, flags: Iterable[Flag]) -> type[Any]:
    """Make a dataclass of flags."""
    fields = [(flag.name, flag.hint, dataclasses.field(default=flag.default)) for flag in flags]
    return dataclasses.make_dataclass(name, fields, frozen=True, kw_only=True)


def parse(kind: type[Options], program: str, flags: list[str]) -> Options:
    """Read flags into a dataclass; see :func:`read`."""
    page = form("page", flags_of(kind))
    page.__doc__ = kind.__doc__
    return kind(**vars(read(page, program, flags)))


def read(page: type[Any], program: str, flags: list[str]) -> Any:
    """Read flags into a dataclass by tyro; wrong ones end the program with code 2 and a suggestion.

    Help has boxes and colours on a terminal, and is plain text elsewhere.

    Raises
    ------
    ConfigurationError
        Instead, if the flags ask for an answer in JSON.
    """
    in_json = cli.in_json(flags)
    output, errors = _Capture(sys.stdout, in_json), _Capture(sys.stderr, in_json)
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            return tyro.cli(page, prog=program, args=flags)
    except SystemExit as end:
        if end.code and in_json:
            raise ConfigurationError(" ".join(re.sub("-{3,}", " ", errors.getvalue()).split())) from None
        sys.stdout.write(output.wrapped())
        sys.stderr.write(errors.wrapped())
        raise


class _Capture(io.StringIO):
    """What is written for a stream; `plain` text even if that is a terminal."""

    def __init__(self, stream: TextIO, plain: bool) -> None:
        super().__init__()
        self._encoding = stream.encoding if stream.isatty() and not plain else "ascii"
        self._coloured = stream.isatty() and not plain and not os.environ.get("NO_COLOR")

    def isatty(self) -> bool:
        """Whether there may be colours."""
        return self._coloured

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of the terminal; tyro draws boxes if it is UTF-8, and none in plain text."""
        return self._encoding

    def wrapped(self) -> str:
        """Return the text with long lines wrapped; boxes fit as they are, but titles do not."""
        width, lines = shutil.get_terminal_size().columns, []
        for line in self.getvalue().splitlines():
            plain = re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip()
            lines += textwrap.wrap(plain, width) if len(plain) > width else [line.rstrip()]
        return "".join(f"{line}\n" for line in lines)
