"""The commands by name, and the words that follow them."""

from __future__ import annotations

import sys
from typing import cast

from minimeta import cli
from minimeta.cli.arguments import (
    CompareOptions,
    DataOptions,
    GradcheckOptions,
    InfoOptions,
    PlotOptions,
    PresetsOptions,
    ResultsOptions,
    SplitOptions,
    parse,
    parse_evaluation,
    parse_reproduction,
    parse_training,
)
from minimeta.cli.compare import compare
from minimeta.cli.data import data_omniglot, data_split
from minimeta.cli.evaluate import evaluate
from minimeta.cli.gradcheck import gradcheck
from minimeta.cli.info import info
from minimeta.cli.page import results
from minimeta.cli.plot import plot
from minimeta.cli.presets import presets
from minimeta.cli.train import train
from minimeta.errors import ConfigurationError
from minimeta.training import CELLS
from minimeta.training.configuration import suggestion
from minimeta.training.presets import LEARNERS, PRESETS, LearnerName

COMMANDS = ["train", "reproduce", "presets", "evaluate", "compare", "plot", "results", "data", "info", "gradcheck"]


def run(command: str, words: list[str]) -> int:
    """Run a command with the words that follow it and return the exit code."""
    match _choose("command", command, COMMANDS), words:
        case "train", [learner, task, *flags] if "-" not in (learner[:1], task[:1]):
            learner = _choose("learner", learner, list(LEARNERS))
            task = _choose("task", task, [task for name, task in PRESETS if name == learner], f" for {learner}")
            return train(parse_training(cast(LearnerName, learner), task, flags))
        case "train", [learner, *flags] if learner in LEARNERS and {"-h", "--help"} & set(flags):
            print(_what_follows(learner))
            return cli.DONE
        case "reproduce", [name, *flags] if not name.startswith("-"):
            return train(parse_reproduction(CELLS[_choose("cell", name, list(CELLS))], flags))
        case "presets", flags:
            return presets(parse(PresetsOptions, "minimeta presets", flags))
        case "evaluate", flags:
            return evaluate(parse_evaluation(flags))
        case "compare", flags:
            return compare(parse(CompareOptions, "minimeta compare", flags))
        case "plot", flags:
            return plot(parse(PlotOptions, "minimeta plot", flags))
        case "results", flags:
            return results(parse(ResultsOptions, "minimeta results", flags))
        case "data", [name, *flags] if not name.startswith("-"):
            if _choose("data set", name, ["omniglot", "split"]) == "split":
                return data_split(parse(SplitOptions, "minimeta data split", flags))
            return data_omniglot(parse(DataOptions, "minimeta data omniglot", flags))
        case "info", flags:
            return info(parse(InfoOptions, "minimeta info", flags))
        case "gradcheck", flags:
            return gradcheck(parse(GradcheckOptions, "minimeta gradcheck", flags))
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


def _what_follows(learner: str) -> str:
    """Say which tasks a learner has, and what each is."""
    tasks = {task: preset for (name, task), preset in PRESETS.items() if name == learner}
    lines = [f"  {task:10} {(type(preset).__doc__ or '').partition(chr(10))[0]}" for task, preset in tasks.items()]
    return "\n".join(
        [
            f"usage: minimeta train {learner} TASK [flags]",
            "",
            "TASK",
            *lines,
            "",
            f"Each explains its flags: minimeta train {learner} {next(iter(tasks))} --help",
        ]
    )


def _choose(kind: str, word: str, names: list[str], where: str = "") -> str:
    if word not in names:
        raise ConfigurationError(f"there is no {kind} {word!r}{where}.{suggestion(word, names)}")
    return word
