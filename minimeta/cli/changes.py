"""The flags of ``minimeta evaluate``: evaluation settings that a run has, each of which may be changed."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import tyro

from minimeta.cli.options import DataOption, JsonOption, parse
from minimeta.training.presets import EvaluationSettings


def _optional(kind: type) -> Any:
    """Return a dataclass of the same settings, each of which may be left out."""
    hints, said = get_type_hints(kind), _descriptions(kind)
    fields = [(name, Annotated[hints[name] | None, tyro.conf.arg(help=said[name])], None) for name in hints]
    return dataclasses.make_dataclass("evaluation", fields, frozen=True)


def _descriptions(kind: type) -> dict[str, str]:
    """Return the texts that follow the fields of a dataclass in its source."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(definition, ast.ClassDef)
    said = {}
    for field, text in itertools.pairwise(definition.body):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                said[name] = words
    return said


if TYPE_CHECKING:
    Changes = EvaluationSettings
else:
    Changes = _optional(EvaluationSettings)


@dataclasses.dataclass(frozen=True)
class EvaluateOptions(DataOption, JsonOption):
    """Evaluate a run again from its checkpoint, by default as it was evaluated; --steps is --evaluation.steps."""

    run: Annotated[Path, tyro.conf.Positional]
    """The run folder."""
    evaluation: Annotated[Changes, tyro.conf.arg(help="By default as the run has them.")]


def parse_evaluation(flags: list[str]) -> EvaluateOptions:
    """Read the flags of ``minimeta evaluate``."""
    return parse(EvaluateOptions, "minimeta evaluate", _in_full(flags, EvaluationSettings))


def _in_full(words: Iterable[str], kind: type) -> list[str]:
    """Write flags of an evaluation as a training has them, and truth values as values.

    There is nothing but an evaluation here, so ``--steps`` is short for ``--evaluation.steps``.
    """
    hints = {name.replace("_", "-"): hint for name, hint in get_type_hints(kind).items()}
    full = []
    for word, after in itertools.pairwise([*words, ""]):
        name, equals, value = word.removeprefix("--").removeprefix("evaluation.").partition("=")
        name = name.replace("_", "-")
        asked = name.removeprefix("no-")
        if word.startswith("--") and hints.get(asked) is bool and not equals and after not in ("True", "False"):
            full += [f"--evaluation.{asked}", str(asked == name)]
        elif word.startswith("--") and name in hints:
            full.append(f"--evaluation.{name}{equals}{value}")
        else:
            full.append(word)
    return full
