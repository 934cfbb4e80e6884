"""The commands by name, and the words that follow them."""

from __future__ import annotations

import functools
import sys
import textwrap
from collections.abc import Callable, Iterable
from typing import Any

from minimeta import cli
from minimeta.cli.arguments import Training, parse_evaluation, parse_reproduction, parse_training
from minimeta.cli.compare import CompareOptions, compare
from minimeta.cli.data import DataOptions, SplitOptions, data_omniglot, data_split
from minimeta.cli.evaluate import evaluate
from minimeta.cli.explain import ExplainOptions, explain
from minimeta.cli.gradcheck import GradcheckOptions, gradcheck
from minimeta.cli.info import InfoOptions, info
from minimeta.cli.options import parse
from minimeta.cli.predict import PredictOptions, predict
from minimeta.cli.presets import PresetsOptions, presets
from minimeta.cli.report import ReportOptions, report
from minimeta.cli.sweep import is_sweep, parse_sweep, sweep
from minimeta.cli.train import train
from minimeta.cli.verify import VerifyOptions, verify
from minimeta.errors import ConfigurationError
from minimeta.training import CELLS
from minimeta.training.configuration import suggestion
from minimeta.training.presets import LEARNERS, PRESETS

_PLAIN: dict[str, tuple[type[Any], Callable[[Any], int]]] = {
    "predict": (PredictOptions, predict),
    "presets": (PresetsOptions, presets),
    "report": (ReportOptions, report),
    "compare": (CompareOptions, compare),
    "verify": (VerifyOptions, verify),
    "explain": (ExplainOptions, explain),
    "info": (InfoOptions, info),
    "gradcheck": (GradcheckOptions, gradcheck),
}
"""Commands that take flags alone."""
_DATA: dict[str, tuple[type[Any], Callable[[Any], int]]] = {
    "omniglot": (DataOptions, data_omniglot),
    "split": (SplitOptions, data_split),
}
COMMANDS = ["train", "reproduce", "evaluate", "data", *_PLAIN]


def run(command: str, words: list[str]) -> int:
    """Run a command with the words that follow it and return the exit code."""
    match _choose("command", command, COMMANDS), words:
        case "train", [learner, task, *flags] if "-" not in (learner[:1], task[:1]):
            _require_preset(learner, task)
            return _train(["train", learner, task], flags, functools.partial(parse_training, learner, task))
        case "train", [learner, *flags] if learner in LEARNERS and {"-h", "--help"} & set(flags):
            print(_what_follows(learner))
            return cli.DONE
        case "reproduce", [name, *flags] if not name.startswith("-"):
            cell = CELLS[_choose("cell", name, CELLS)]
            return _train(["reproduce", name], flags, functools.partial(parse_reproduction, cell))
        case "evaluate", flags:
            return evaluate(*parse_evaluation(flags))
        case "data", [name, *flags] if not name.startswith("-"):
            kind, answer = _DATA[_choose("data set", name, _DATA)]
            return answer(parse(kind, f"minimeta data {name}", flags))
        case name, flags if name in _PLAIN:
            kind, answer = _PLAIN[name]
            return answer(parse(kind, f"minimeta {name}", flags))
    if {"-h", "--help"} & set(words):
        print(cli.__doc__)
        return cli.DONE
    print(cli.__doc__, file=sys.stderr)
    needs, example = {
        "train": ("a learner and a task", "minimeta train maml sinusoid"),
        "reproduce": ("the name of a cell", "minimeta reproduce sinusoid-maml"),
        "data": ("the name of a data set", "minimeta data omniglot"),
    }[command]
    raise ConfigurationError(f"{command} needs {needs} before the flags, as in: {example}")


def _train(command: list[str], flags: list[str], parse_one: Callable[[list[str]], Training]) -> int:
    """Train once, or many times if the flags ask for it."""
    if is_sweep(flags) and not {"-h", "--help"} & set(flags):
        return sweep(parse_sweep(command, flags, parse_one))
    return train(parse_one(flags))


def _require_preset(learner: str, task: str) -> None:
    _choose("learner", learner, LEARNERS)
    _choose("task", task, [task for name, task in PRESETS if name == learner], f" for {learner}")


def _what_follows(learner: str) -> str:
    """Return the tasks that a learner has, and what each is."""
    tasks = {task: preset.title for (name, task), preset in PRESETS.items() if name == learner}
    width = max(map(len, tasks)) + 2
    return "\n".join(
        [
            f"usage: minimeta train {learner} TASK [flags]",
            "",
            "TASK",
            *(
                textwrap.fill(f"  {task:{width}}{title}", 80, subsequent_indent=" " * (width + 2))
                for task, title in tasks.items()
            ),
            "",
            f"Each explains its flags: minimeta train {learner} {next(iter(tasks))} --help",
        ]
    )


def _choose(kind: str, word: str, names: Iterable[str], where: str = "") -> str:
    names = list(names)
    if word not in names:
        raise ConfigurationError(f"there is no {kind} {word!r}{where}.{suggestion(word, names)}")
    return word
