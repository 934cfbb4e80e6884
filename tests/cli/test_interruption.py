"""Ctrl-C and other signals, sent to a real process."""

import functools
import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from minimeta.cli import main
from minimeta.training import checkpoint

FLAGS = ["--hidden", "5", "--meta-batch", "2", "--evaluation.tasks", "2", "--evaluation.steps", "1"]


def command(folder: Path, *flags: str) -> list[str]:
    return [sys.executable, "-m", "minimeta", "train", "maml", "sinusoid", "--out", str(folder), *FLAGS, *flags]


def start(folder: Path, *flags: str) -> subprocess.Popen[str]:
    words = command(folder, *flags)
    # What runs the tests may ignore a signal, as nohup does, and what they start inherits that.
    restored = functools.partial(signal.signal, signal.SIGHUP, signal.SIG_DFL)
    return subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=restored,  # noqa: PLW1509 (it may)
    )


def has_steps(folder: Path) -> bool:
    return (folder / "metrics.jsonl").exists() and (folder / "metrics.jsonl").stat().st_size > 0


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_interrupted_and_resumed_equals_uninterrupted(number: signal.Signals, tmp_path: Path) -> None:
    folder, whole = tmp_path / "a folder", tmp_path / "whole"
    with start(folder, "--iterations", "1000000", "--checkpoint-every", "5", "--json") as process:
        # The checkpoint of step 0 is written at once; a later one shows that steps are being taken.
        wait_for(lambda: has_steps(folder), process)
        process.send_signal(number)
        printed, errors = process.communicate(timeout=60)

    assert process.returncode == 130, errors
    assert "finishing this step" in errors
    report = json.loads(printed)
    assert report["status"] == "interrupted" and report["resume"] in errors
    words = shlex.split(report["resume"])
    assert words == ["minimeta", "train", "maml", "sinusoid", "--out", str(folder), "--resume"]
    # A checkpoint of the very last step: the record goes exactly as far.
    done = len((folder / "metrics.jsonl").read_text().splitlines())

    resumed = subprocess.run(
        [sys.executable, "-m", *words, "--iterations", str(done + 3)], capture_output=True, text=True, check=False
    )
    assert resumed.returncode == 0, resumed.stderr
    sessions = json.loads((folder / "environment.json").read_text())
    assert [session["step"] for session in sessions] == [0, done]
    with start(whole, "--iterations", str(done + 3)) as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    for file in ("metrics.jsonl", "checkpoint.npz", "results.md"):
        assert (folder / file).read_bytes() == (whole / file).read_bytes(), file


def test_a_second_interruption_stops_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    # One step of so many tasks takes minutes.
    with start(folder, "--meta-batch", "200000") as process:
        wait_for((folder / "checkpoint.npz").exists, process)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        for line in process.stderr:  # Two signals in a row may be taken for one.
            if "finishing this step" in line:
                break
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)

    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert (folder / "checkpoint.npz").exists()


def test_an_evaluation_can_be_interrupted_and_repeated(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with start(folder, "--iterations", "2", "--evaluation.tasks", "1000000") as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("evaluation 1/"):
                break
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)

    assert process.returncode == 130, errors
    assert "--resume" in errors and not (folder / "results.json").exists()
    words = ["train", "maml", "sinusoid", "--out", str(folder), "--resume", "--evaluation.tasks", "2"]
    assert subprocess.run([sys.executable, "-m", "minimeta", *words], capture_output=True, check=False).returncode == 0
    assert (folder / "results.json").exists()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGQUIT], ids=lambda number: number.name)
def test_other_signals_that_end_a_program_save_too(number: signal.Signals, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with start(folder, "--iterations", "1000000") as process:
        wait_for(lambda: has_steps(folder), process)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)

    assert process.returncode == 130 and "interrupted and saved" in errors
    assert checkpoint.read_header(folder / "checkpoint.npz").step == len(
        (folder / "metrics.jsonl").read_text().splitlines()
    )


def test_under_nohup_the_end_of_a_terminal_is_none(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    words = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *command(folder, "--iterations", "1000000")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: has_steps(folder), process)
        process.send_signal(signal.SIGHUP)
        time.sleep(1)
        assert process.poll() is None
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 130


@pytest.mark.parametrize("module", ["minimeta.errors", "numpy", "minimeta.program", "tyro", "minimeta.cli.train"])
def test_an_interruption_of_the_imports_is_a_word(module: str, tmp_path: Path) -> None:
    words = [sys.executable, "-X", "importtime", *command(tmp_path / "run", "--iterations", "1000000")[1:]]
    # Where the tests run in the background, a shell has Ctrl-C ignored, and what they start inherits that.
    restored = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=restored,  # noqa: PLW1509 (it may)
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:  # a line for each module, when it has been imported
            if line.rpartition("|")[2].strip() == module:
                break
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "minimeta: interrupted" in errors or "interrupted and saved" in errors
    assert "Traceback" not in errors and "Error" not in errors


def test_a_program_that_imports_the_library_keeps_its_own_answer_to_ctrl_c() -> None:
    program = (
        "import signal\n"
        "answer = signal.default_int_handler\n"
        "signal.signal(signal.SIGINT, answer)\n"
        "import minimeta\n"
        "assert signal.getsignal(signal.SIGINT) is answer\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_second_signal_within_a_step_keeps_the_last_complete_one(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    program = (
        "import sys, time\n"
        "from minimeta.cli import main, train\n"
        "before = train.fit\n"
        "def fit(*arguments, callbacks, **options):\n"
        "    def slow(state, report):\n"  # the next step, which takes long
        "        if state.step == 3:\n"
        "            print('slow', file=sys.stderr, flush=True)\n"
        "            end = time.monotonic() + 60\n"
        "            while time.monotonic() < end: pass\n"
        "    return before(*arguments, callbacks=[*callbacks[:-1], slow, callbacks[-1]], **options)\n"
        "train.fit = fit\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    words = [sys.executable, "-c", program, *command(folder, "--checkpoint-every", "1000", "--json")[3:]]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for awaited in ("slow", "finishing this step"):
            for line in process.stderr:
                if awaited in line:
                    break
            process.send_signal(signal.SIGINT)
        sent = time.monotonic()
        printed, errors = process.communicate(timeout=60)
        assert time.monotonic() - sent < 20  # seconds are a machine's that is busy

    assert process.returncode == 130 and "Traceback" not in errors
    assert json.loads(printed)["status"] == "interrupted"
    assert checkpoint.read_header(folder / "checkpoint.npz").step == 3
    assert main(["train", "maml", "sinusoid", "--out", str(folder), "--resume", "--iterations", "4"]) == 0
