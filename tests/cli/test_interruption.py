"""Ctrl-C and other signals, sent to a real process."""

import json
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from background import MINIMETA, read_until, start, start_training, training, wait_for, wait_for_steps

from minimeta.cli import main
from minimeta.training import checkpoint


@pytest.mark.parametrize(
    ("number", "workers"), [(signal.SIGINT, []), (signal.SIGTERM, ["--workers", "2"])], ids=["SIGINT", "SIGTERM"]
)
def test_interrupted_and_resumed_equals_uninterrupted(
    number: signal.Signals, workers: list[str], tmp_path: Path
) -> None:
    folder, whole = tmp_path / "a folder", tmp_path / "whole"
    with start_training(folder, "--iterations", "1000000", "--checkpoint-every", "5", "--json", *workers) as process:
        # The checkpoint of step 0 is written at once; a later one shows that steps are being taken.
        wait_for_steps(folder, process)
        process.send_signal(number)
        printed, errors = process.communicate(timeout=60)

    assert process.returncode == 130, errors
    assert "finishing this step" in errors
    report = json.loads(printed)
    assert report["status"] == "interrupted" and report["resume"] in errors
    words = shlex.split(report["resume"])
    assert words == ["minimeta", "train", "maml", "sinusoid", "--out", str(folder), "--resume", *workers]
    # A checkpoint of the very last step: the record goes exactly as far.
    done = len((folder / "metrics.jsonl").read_text().splitlines())

    assert main([*words[1:], "--iterations", str(done + 3)]) == 0
    sessions = json.loads((folder / "environment.json").read_text())
    assert [session["step"] for session in sessions] == [0, done]
    assert main(training(whole, "--iterations", str(done + 3))) == 0
    for file in ("metrics.jsonl", "checkpoint.npz", "results.md"):
        assert (folder / file).read_bytes() == (whole / file).read_bytes(), file


def test_a_reproduction_goes_on_by_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    words = ["reproduce", "sinusoid-maml", "--data", str(tmp_path), "--out", str(tmp_path / "run")]
    assert main([*words, "--resume"]) == 2
    assert "there is no run in" in capsys.readouterr().err and not (tmp_path / "run").exists()
    with start([*MINIMETA, *words]) as process:
        wait_for_steps(tmp_path / "run", process)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)

    assert process.returncode == 130 and "--resume" in errors
    done = checkpoint.read_header(tmp_path / "run" / "checkpoint.npz").step
    monkeypatch.setattr("minimeta.cli.train.measure", interrupted)  # It would take longer than the steps.
    assert main([*words, "--resume", "--iterations", str(done + 1)]) == 130
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == done + 1


def test_a_second_interruption_stops_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    # One step of so many tasks takes minutes.
    with start_training(folder, "--meta-batch", "200000") as process:
        wait_for((folder / "checkpoint.npz").exists, process)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        # Two signals in a row may be taken for one.
        read_until(process.stderr, "finishing this step")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)

    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert (folder / "checkpoint.npz").exists()


def test_an_evaluation_can_be_interrupted_and_repeated(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with start_training(folder, "--iterations", "2", "--evaluation.tasks", "1000000") as process:
        read_until(process.stderr, r"^evaluation \d+/")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)

    assert process.returncode == 130, errors
    assert "--resume" in errors and not (folder / "results.json").exists()
    words = ["train", "maml", "sinusoid", "--out", str(folder), "--resume", "--evaluation.tasks", "2"]
    assert main(words) == 0
    assert (folder / "results.json").exists()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGQUIT], ids=lambda number: number.name)
def test_other_signals_that_end_a_program_save_too(number: signal.Signals, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with start_training(folder, "--iterations", "1000000") as process:
        wait_for_steps(folder, process)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)

    assert process.returncode == 130 and "interrupted and saved" in errors
    assert checkpoint.read_header(folder / "checkpoint.npz").step == len(
        (folder / "metrics.jsonl").read_text().splitlines()
    )


def test_under_nohup_the_end_of_a_terminal_is_none(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    words = [*MINIMETA, *training(folder, "--iterations", "1000000")]
    with start(["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *words]) as process:
        wait_for_steps(folder, process)
        process.send_signal(signal.SIGHUP)
        time.sleep(1)
        assert process.poll() is None
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 130


@pytest.mark.parametrize("module", ["minimeta.errors", "numpy", "minimeta.program", "tyro", "minimeta.cli.train"])
def test_an_interruption_of_the_imports_is_a_word(module: str, tmp_path: Path) -> None:
    words = [sys.executable, "-X", "importtime", *MINIMETA[1:], *training(tmp_path / "run", "--iterations", "1000000")]
    with start(words) as process:
        # One line for each module, when it has been imported.
        read_until(process.stderr, rf"\| +{re.escape(module)}$")
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
    words = [sys.executable, "-c", program, *training(folder, "--checkpoint-every", "1000", "--json")]
    with start(words) as process:
        for awaited in ("slow", "finishing this step"):
            read_until(process.stderr, awaited)
            process.send_signal(signal.SIGINT)
        sent = time.monotonic()
        printed, errors = process.communicate(timeout=60)
        assert time.monotonic() - sent < 20  # seconds are a machine's that is busy

    assert process.returncode == 130 and "Traceback" not in errors
    assert json.loads(printed)["status"] == "interrupted"
    assert checkpoint.read_header(folder / "checkpoint.npz").step == 3
    assert main(["train", "maml", "sinusoid", "--out", str(folder), "--resume", "--iterations", "4"]) == 0
