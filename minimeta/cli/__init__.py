"""minimeta: meta-learning from the command line.

usage: minimeta train LEARNER TASK [flags]   meta-train, evaluate and draw
       minimeta reproduce CELL [flags]       train a cell of a paper's table,
                                             and print both numbers
       minimeta presets [NAME...]            list what these two can train, and
                                             how many minutes each takes

       minimeta evaluate RUN [flags]         evaluate a run again
       minimeta predict RUN [flags]          adapt to examples of your own,
                                             and predict others
       minimeta report RUN... [flags]        print runs in one table; draw them
                                             (--figure), keep results (--keep)
       minimeta compare RUN... [flags]       print the mean over seeds, with the
                                             settings in which they differ
       minimeta verify RUN... [flags]        train again, and compare bits

       minimeta data omniglot [flags]        get a data set
       minimeta data split IMAGES [flags]    split your images by class
       minimeta info [flags]                 what is installed and found
       minimeta gradcheck [NAME...] [flags]  check the derivatives of operations
       minimeta explain MODULE:FUNCTION --shape x=3 [flags]
                                             write a page about your function
                                             and its gradient
       minimeta --help | --version

LEARNER   maml         model-agnostic meta-learning, second order
          fomaml       its first-order approximation
          reptile      Reptile
          lstm         the LSTM meta-learner
          pretraining  baseline: one model for all tasks, then fine-tuned
          finetuning   baseline: each task from random parameters
          nearest      baseline: the nearest neighbour
          oracle       baseline: a policy that sees the goal of its task
TASK      sinusoid     regression on sinusoids
          strokes      few-shot classification of made-up characters
          omniglot     few-shot classification of handwritten characters
                       (after: minimeta data omniglot)
          images       few-shot classification of your own images
                       (--data FOLDER or FILE.npz)
          navigation, cheetah-direction, cheetah-velocity    policies

`minimeta train LEARNER --help` lists all tasks of a learner, and
any command followed by --help, as in `minimeta train maml sinusoid --help`,
explains its flags.

exit codes: 0    done
            1    an error: data or an extra is missing, a file is damaged, a
                 disk or standard output is full or gone
            2    wrong usage: an unknown flag or setting, a value out of range,
                 a folder that is not empty
            3    a loss or a parameter became NaN or infinite; the last good
                 checkpoint is kept
            130  interrupted by Ctrl-C, SIGTERM, SIGHUP or SIGQUIT; saved, with
                 the command that goes on

MINIMETA_DATA names the folder of the data where --data does not (without both
it is minimeta in the user's cache); MINIMETA_TRACEBACK=1 shows the traceback of
an error.
"""

import json
import os
import sys
from collections.abc import Sequence

from minimeta import __version__, starting
from minimeta.cli.streams import lasting_streams
from minimeta.errors import ConfigurationError, MinimetaError, MissingExtraError, NonFiniteError

DONE, ERROR, USAGE, NON_FINITE, INTERRUPTED = 0, 1, 2, 3, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    arguments
        The words after ``minimeta``; by default those of the command line.

    Returns
    -------
    int
        The exit code.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    with lasting_streams() as output:
        code = _answer(words)
        output.flush()
        if code and "mpi4py.MPI" in sys.modules:
            from minimeta.cli.workers import end_all_ranks  # noqa: PLC0415 (imported already)

            end_all_ranks(code)
        if output.failure:
            print(f"minimeta: standard output was lost ({output.failure}), files were not", file=sys.stderr)
        return code or (ERROR if output.failure else DONE)


def _answer(words: list[str]) -> int:
    """Run a command, and report what went wrong."""
    try:
        return _run(words)
    except KeyboardInterrupt:
        code, status, said = INTERRUPTED, "interrupted", "interrupted"
    except (MinimetaError, OSError, MemoryError) as error:
        if os.environ.get("MINIMETA_TRACEBACK") == "1":
            raise
        code, status, said = _code(error), "error", str(error) or "there is not enough memory"
    print(f"minimeta: {said}", file=sys.stderr)
    if in_json(words):
        print(json.dumps({"status": status, "error": said, "exit_code": code}))
    return code


def in_json(words: Sequence[str]) -> bool:
    """Return whether the words ask for an answer in JSON, even with a value that the flag does not take."""
    return any(word.partition("=")[0] == "--json" for word in words)


def _run(words: list[str]) -> int:
    match words:
        case []:
            print(__doc__, file=sys.stderr)
            return USAGE
        case ["-h" | "--help", *_]:
            print(__doc__)
            return DONE
        case ["--version"]:
            print(f"minimeta {__version__}")
            return DONE
        case [command, *rest]:
            try:
                from minimeta.cli import commands  # noqa: PLC0415 (needs the cli extra)
            except ModuleNotFoundError as error:
                if (error.name or "").partition(".")[0] not in {"tyro", "rich"}:
                    raise
                raise MissingExtraError(
                    f"the command line needs {error.name}, which is not installed: pip install 'minimeta[cli]'"
                ) from error
            starting.begin()
            return commands.run(command, rest)
    raise AssertionError(words)


def _code(error: Exception) -> int:
    if isinstance(error, NonFiniteError):
        return NON_FINITE
    return USAGE if isinstance(error, ConfigurationError) else ERROR
