"""``--seeds`` and ``--grid``: several runs of one command, which differ in seed and settings.

    FOLDER/seed0  FOLDER/seed1  ...                               --seeds 0-9
    FOLDER/inner_learning_rate=0.01/seed0  ...                    --grid inner_learning_rate=0.01,0.1
    FOLDER/summary.json  FOLDER/summary.md                        mean over seeds, and how far they spread

Every run is one of ``minimeta train`` in a process and a folder of its own, with the bits that it has
alone; ``--workers N`` runs N of them at once, each with its share of the cores. They are interrupted
as one and resumed as one.
"""

from __future__ import annotations

import itertools
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from minimeta import cli
from minimeta.cli.comparison import show_over_seeds
from minimeta.cli.interruption import Interrupted, Interruption
from minimeta.cli.summary import explained, summarised, summary_table
from minimeta.cli.tables import markdown, show_table
from minimeta.cli.workers import require_one_rank
from minimeta.errors import ConfigurationError
from minimeta.files import write_atomically
from minimeta.storage.run_folder import RunFolder

_OWN = {"seeds": 1, "grid": 1, "out": 1, "workers": 1, "seed": 1, "json": 0, "resume": 0}
"""The flags that a sweep does not hand on as they are, and how many words follow each."""


@dataclass(frozen=True)
class Run:
    """One run of a sweep.

    Attributes
    ----------
    variant
        The settings that it has from the grid, such as ``inner_learning_rate=0.01``; may be empty.
    seed
        Its seed.
    folder
        Its run folder.
    flags
        The flags that say so.
    """

    variant: str
    seed: int
    folder: RunFolder
    flags: tuple[str, ...]


@dataclass(frozen=True)
class Sweep:
    """What to run.

    Attributes
    ----------
    command
        The words of the command before its flags, such as ``train maml sinusoid``.
    flags
        The flags that all runs share.
    runs
        The runs.
    path
        The folder of all of them.
    at_once
        How many to run at the same time.
    resume, json
        Whether to go on, and to answer in JSON.
    """

    command: tuple[str, ...]
    flags: tuple[str, ...]
    runs: tuple[Run, ...]
    path: Path
    at_once: int
    resume: bool
    json: bool


def is_sweep(flags: Sequence[str]) -> bool:
    """Return whether flags ask for several runs."""
    own, _ = _divided(flags)
    return bool(own.keys() & {"seeds", "grid"})


def parse_sweep(command: Sequence[str], flags: Sequence[str], parse: Callable[[list[str]], object]) -> Sweep:
    """Read the flags of several runs.

    Parameters
    ----------
    command
        The words before the flags.
    flags
        All flags.
    parse
        Reads the flags of one run, and refuses wrong ones before any run begins.

    Raises
    ------
    ConfigurationError
        If seeds or grid are not what they should be, or the folder is not empty.
    """
    own, shared = _divided(flags)
    if "seed" in own:
        raise ConfigurationError("--seeds and --grid choose the seeds of all runs; --seed is for a single one")
    seeds = parse_seeds(own["seeds"][-1]) if "seeds" in own else [0]
    name = "-".join([*command[1:], "seeds" + own["seeds"][-1] if "seeds" in own else "grid"])
    path = Path(own["out"][-1]) if "out" in own else Path("runs") / name
    if path.exists() and not path.is_dir():
        raise ConfigurationError(f"{path} is a file, not a folder; choose another with --out")
    if path.is_dir() and any(path.iterdir()) and "resume" not in own:
        raise ConfigurationError(f"{path} is not empty: go on by --resume, or choose another folder with --out")
    if "resume" in own and not path.is_dir():
        raise ConfigurationError(f"there are no runs in {path}; leave out --resume to begin them")
    runs = []
    for settings in itertools.product(*map(_parse_axis, own.get("grid", []))):
        variant = ",".join(f"{name}={value}" for name, value in settings)
        words = [word for name, value in settings for word in (f"--{name.replace('_', '-')}", value)]
        parse([*shared, *words, "--out", str(path / ".none")])
        for seed in seeds:
            folder = RunFolder((path / variant if variant else path) / f"seed{seed}")
            runs.append(Run(variant, seed, folder, (*words, "--seed", str(seed))))
    workers = own.get("workers", ["1"])[-1]
    if not workers.isdecimal():  # a cluster, which computes one run after another
        shared, workers = [*shared, "--workers", workers], "1"
    if not int(workers):
        raise ConfigurationError("--workers should be at least 1")
    return Sweep(tuple(command), tuple(shared), tuple(runs), path, int(workers), "resume" in own, "json" in own)


def parse_seeds(text: str) -> list[int]:
    """Return the seeds of ``0-9``, or of ``0,3,7-9``.

    Raises
    ------
    ConfigurationError
        If it is not a list of seeds, or one stands twice.
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or int(last or first) < int(first):
            raise ConfigurationError(f"--seeds {text} should be whole numbers, as in 0-9 or 0,3,7")
        seeds += range(int(first), int(last or first) + 1)
    if len(set(seeds)) < len(seeds):
        raise ConfigurationError(f"--seeds {text} has a seed twice")
    return seeds


def _parse_axis(text: str) -> list[tuple[str, str]]:
    name, equals, values = text.partition("=")
    if not equals or not name.strip("-") or not all(values.split(",")):
        raise ConfigurationError(
            f"--grid {text} should be a setting and its values, as in inner_learning_rate=0.01,0.1"
        )
    return [(name.strip("-").replace("-", "_"), value) for value in values.split(",")]


def _divided(flags: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Return the values of the sweep's flags by name, and the other flags."""
    own: dict[str, list[str]] = {}
    others, left = [], list(flags)
    while left:
        word = left.pop(0)
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or name not in _OWN:
            others.append(word)
            continue
        if _OWN[name] and not equals:
            if not left:
                raise ConfigurationError(f"--{name} needs a value")
            value = left.pop(0)
        own.setdefault(name, []).append(value)
    return own, others


def sweep(wanted: Sweep) -> int:
    """Run what has not run yet, write and print the summary, and return the exit code.

    A run that fails or is killed is reported and left out of the summary; the others go on. The exit code is
    then that of the failure, and it is said what goes on.

    Raises
    ------
    ConfigurationError
        mpiexec or srun started several of them.
    """
    require_one_rank()
    waiting = [run for run in wanted.runs if not run.folder.results.is_file()]
    done, codes = len(wanted.runs) - len(waiting), [cli.DONE]
    wanted.path.mkdir(parents=True, exist_ok=True)
    with Interruption() as interruption:
        try:
            for run, code in _ended(wanted, waiting, interruption):
                done += 1
                codes.append(code if code >= 0 else cli.ERROR)  # ended by a signal
                where = f"; see {_log(run)}" if code else ""
                said = "done" if code == cli.DONE else f"failed with exit code {code}{where}"
                print(f"{done}/{len(wanted.runs)}  {run.folder.path}: {said}", file=sys.stderr, flush=True)
        except (Interrupted, KeyboardInterrupt):
            return _stopped(wanted)
    summary = summarised((run.variant, run.folder) for run in wanted.runs)
    write_atomically(wanted.path / "summary.json", json.dumps(summary, indent=1) + "\n")
    head, rows = summary_table(summary)
    write_atomically(wanted.path / "summary.md", markdown(head, rows))
    missing = [str(run.folder.path) for run in wanted.runs if not run.folder.results.is_file()]
    if wanted.json:
        left = {"missing": missing, "resume": _resuming(wanted)} if missing else {}
        status = "incomplete" if missing else "complete"
        print(json.dumps({"status": status, "runs": str(wanted.path), "variants": summary, **left}))
    elif summary:
        show_table(" ".join(wanted.command), head, rows, explained(summary))
        if wanted.command[0] == "reproduce":
            for each in summary:
                show_over_seeds([run.folder.read_results() for run in wanted.runs if _is_in(run, each["variant"])])
    if missing:
        print(f"not in the summary: {', '.join(missing)}; this goes on:\n  {_resuming(wanted)}", file=sys.stderr)
    return max(codes)


def _is_in(run: Run, variant: str) -> bool:
    return run.variant == variant and run.folder.results.is_file()


def _ended(wanted: Sweep, waiting: list[Run], interruption: Interruption) -> Iterator[tuple[Run, int]]:
    """Run them, so many at once, and yield each with its exit code when it ends."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    environment = {"OMP_NUM_THREADS": str(max(1, cores // wanted.at_once)), **os.environ}
    running: dict[subprocess.Popen[bytes], Run] = {}
    queue = list(waiting)
    try:
        while queue or running:
            while queue and len(running) < wanted.at_once:
                run = queue.pop(0)
                running[_start(wanted, run, environment)] = run
            time.sleep(0.05)
            interruption()
            for process in [process for process in running if process.poll() is not None]:
                yield running.pop(process), process.returncode
    finally:
        for process in running:  # They are in sessions of their own: we alone hear Ctrl-C, and pass it on.
            process.send_signal(signal.SIGTERM)
        for process in running:
            process.wait()


def _start(wanted: Sweep, run: Run, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    words = [
        sys.executable,
        "-m",
        "minimeta",
        *wanted.command,
        *wanted.flags,
        *run.flags,
        "--out",
        str(run.folder.path),
    ]
    if wanted.command[0] == "train" and run.folder.exists:
        words.append("--resume")
    run.folder.path.parent.mkdir(parents=True, exist_ok=True)
    with _log(run).open("ab") as log:
        return subprocess.Popen(
            words, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )


def _log(run: Run) -> Path:
    return run.folder.path.with_suffix(".log")


def _resuming(wanted: Sweep) -> str:
    """Return the command that goes on."""
    words = ["minimeta", *wanted.command, *wanted.flags, "--out", str(wanted.path)]
    asked = [word for word in sys.argv[1:] if word != "--resume"] if sys.argv[1:2] == [wanted.command[0]] else words[1:]
    return shlex.join(["minimeta", *asked, "--resume"])


def _stopped(wanted: Sweep) -> int:
    command = _resuming(wanted)
    print(f"interrupted and saved; this goes on:\n  {command}", file=sys.stderr)
    if wanted.json:
        print(json.dumps({"status": "interrupted", "runs": str(wanted.path), "resume": command}))
    return cli.INTERRUPTED
