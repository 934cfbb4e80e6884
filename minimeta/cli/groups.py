"""Settings as flags, in groups: what is the run's, the learner's, the benchmark's, and what is the evaluation's.

A preset is one flat dataclass. For the command line it is taken apart into a dataclass for each group, of which tyro
makes a box of the page, and put together again from what was parsed.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import textwrap
from collections.abc import Iterable
from typing import Annotated, Any, Generic, TypeVar, get_type_hints

import tyro

from minimeta.training.presets import EvaluationSettings, Preset

Run = TypeVar("Run")


class Grouped(Generic[Run]):
    """The flags of a training.

    Parameters
    ----------
    title
        What the command does.
    run
        The dataclass of what a run needs to know beside the preset.
    preset
        The class of the preset.
    """

    def __init__(self, title: str, run: type[Run], preset: type[Preset]) -> None:
        general = [field.name for field in dataclasses.fields(Preset) if field.name != "evaluation"]
        names = [field.name for field in dataclasses.fields(preset) if field.name not in (*general, "evaluation")]
        base: Any = next(base for base in preset.__mro__ if "learners" in vars(base))
        learners = {field.name for field in dataclasses.fields(base)}
        said, hints = descriptions(preset), get_type_hints(preset)

        def group(names: Iterable[str], *bases: type) -> Any:
            fields: list[Any] = [(name, Annotated[hints[name], tyro.conf.arg(help=said[name])], None) for name in names]
            return dataclasses.make_dataclass("group", fields, bases=bases, frozen=True)

        self._run = run
        self._groups = {
            "run": group(general, run),
            "learner": group(name for name in names if name in learners),
            "benchmark": group(name for name in names if name not in learners),
        }
        bare = (tyro.conf.OmitArgPrefixes, tyro.conf.arg(help=""))
        fields: list[Any] = [(name, Annotated[(kind, *bare)]) for name, kind in self._groups.items()]
        evaluation = (hints["evaluation"], tyro.conf.arg(help=said["evaluation"]))
        fields.append(("evaluation", Annotated[evaluation]))
        self.kind = dataclasses.make_dataclass("train", fields, frozen=True)
        self.kind.__doc__ = title

    def taken_apart(self, run: Run, preset: Preset) -> Any:
        """Return the groups of these values."""
        values = _values(preset) | _values(run)
        parts = {name: kind(**_picked(values, kind)) for name, kind in self._groups.items()}
        return self.kind(**parts, evaluation=preset.evaluation)

    def put_together(self, groups: Any, preset: Preset) -> tuple[Run, Preset]:
        """Return what a run needs to know, and the preset with the values of the groups."""
        values = {"evaluation": groups.evaluation}
        for name in self._groups:
            values |= _values(getattr(groups, name))
        return self._run(**_picked(values, self._run)), dataclasses.replace(preset, **_picked(values, type(preset)))


def optional(kind: type[EvaluationSettings]) -> Any:
    """Return a dataclass of the same settings, each of which may be left as it is."""
    hints, said = get_type_hints(kind), descriptions(kind)
    fields = [(name, Annotated[hints[name] | None, tyro.conf.arg(help=said[name])], None) for name in hints]
    return dataclasses.make_dataclass("evaluation", fields, frozen=True)


def in_full(words: Iterable[str], kind: type[EvaluationSettings]) -> list[str]:
    """Write flags of an evaluation as a training has them, and truth values as values.

    Where there is nothing but an evaluation, ``--steps`` is short for ``--evaluation.steps``.
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


def descriptions(kind: type) -> dict[str, str]:
    """Return what the fields of a dataclass are for: the texts that follow them in its source."""
    said = {}
    bases: list[Any] = [base for base in reversed(kind.__mro__) if dataclasses.is_dataclass(base)]
    for base in bases:
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(definition, ast.ClassDef)
        for field, text in itertools.pairwise(definition.body):
            match field, text:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                    said[name] = words
    return said


def _values(instance: Any) -> dict[str, Any]:
    return {field.name: getattr(instance, field.name) for field in dataclasses.fields(instance)}


def _picked(values: dict[str, Any], kind: Any) -> dict[str, Any]:
    return {field.name: values[field.name] for field in dataclasses.fields(kind)}
