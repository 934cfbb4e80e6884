"""The flags of ``minimeta evaluate``: the evaluation settings of a run, each of which may change."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_type_hints

import tyro

from minimeta.cli.options import DataOption, JsonOption, WorkersOption, parse
from minimeta.training.presets import EvaluationSettings

if TYPE_CHECKING:
    Changes = EvaluationSettings
else:
    # The same settings, of which each may be left out: then its value is None, and is not checked.
    Changes = dataclasses.make_dataclass(
        "Changes",
        [(name, hint | None, None) for name, hint in get_type_hints(EvaluationSettings).items()],
        bases=(EvaluationSettings,),
        namespace={"__post_init__": lambda self: None},
        frozen=True,
    )


@dataclasses.dataclass(frozen=True)
class EvaluateOptions(DataOption, JsonOption, WorkersOption):
    """Evaluate a run again, by default as it was evaluated; --steps is --evaluation.steps."""

    run: Annotated[Path, tyro.conf.Positional]
    """The run folder."""
    evaluation: Annotated[Changes, tyro.conf.arg(help="By default as the run has them.")]


def parse_evaluation(flags: list[str]) -> EvaluateOptions:
    """Read the flags of ``minimeta evaluate``."""
    return parse(EvaluateOptions, "minimeta evaluate", _in_full(flags))


def _in_full(words: Iterable[str]) -> list[str]:
    """Write flags of an evaluation as a training has them, and truth values as values.

    There is nothing but an evaluation here, so ``--steps`` is short for ``--evaluation.steps``.
    """
    hints = {name.replace("_", "-"): kind for name, kind in get_type_hints(EvaluationSettings).items()}
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
