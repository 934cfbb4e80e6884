"""Disks that are full, folders that vanish, and two processes that write one run."""

import json
import os
import resource
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from background import MINIMETA, start_training, training, wait_for

from minimeta.cli import main
from minimeta.errors import StorageError
from minimeta.storage.run_folder import RunFolder
from minimeta.training import checkpoint


def test_a_disk_that_is_full_is_said_and_how_to_go_on(tmp_path: Path) -> None:
    folder, whole = tmp_path / "run", tmp_path / "whole"

    def no_large_files() -> None:
        # What a full disk is to a process that may not mount a small one: a write that fails. Python ignores SIGXFSZ.
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    words = [*MINIMETA, *training(folder, "--iterations", "2000", "--checkpoint-every", "100")]
    done = subprocess.run(words, capture_output=True, text=True, preexec_fn=no_large_files, check=False)

    assert done.returncode == 1 and "Traceback" not in done.stderr
    step = checkpoint.read_header(folder / "checkpoint.npz").step
    assert 0 < step < 2000 and step % 100 == 0
    assert f"The checkpoint of {step} steps in {folder / 'checkpoint.npz'} is good" in done.stderr
    command = f"minimeta train maml sinusoid --out {folder} --resume"
    assert command in done.stderr
    assert main([*command.split()[1:], "--iterations", str(step + 5)]) == 0
    assert main(training(whole, "--iterations", str(step + 5))) == 0
    for file in ("metrics.jsonl", "checkpoint.npz", "results.md"):
        assert (folder / file).read_bytes() == (whole / file).read_bytes(), file


@pytest.mark.parametrize("name", ["results.json", "checkpoint.npz"])
def test_what_cannot_be_written_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, sync = tmp_path / "run", os.fsync

    def full(descriptor: int) -> None:
        if name in Path(f"/proc/self/fd/{descriptor}").readlink().name:
            raise OSError(28, "No space left on device")
        sync(descriptor)

    if not Path("/proc/self/fd").exists():
        pytest.skip("a file system of Linux")
    monkeypatch.setattr(os, "fsync", full)
    assert main(training(folder, "--iterations", "2", "--json")) == 1

    printed, errors = capsys.readouterr()
    report = json.loads(printed)
    assert report["status"] == "error" and report["error"] in errors
    assert f"No space left on device: '{folder / name}'" in errors
    if name == "results.json":
        assert f"The checkpoint of 2 steps in {folder / 'checkpoint.npz'} is good" in errors
    else:
        assert "not even its first checkpoint" in errors


def test_a_folder_that_vanishes_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with start_training(folder, "--iterations", "1000000", "--checkpoint-every", "10") as process:
        wait_for((folder / "metrics.jsonl").exists, process)
        folder.rename(tmp_path / "gone")
        _, errors = process.communicate(timeout=60)

    assert process.returncode == 1 and "Traceback" not in errors
    assert f"{folder} has vanished" in errors


def test_one_process_at_a_time_writes_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    with start_training(folder, "--iterations", "1000000") as process:
        wait_for((folder / "checkpoint.npz").exists, process)
        for words in (["--resume"], ["--resume", "--iterations", "3"]):
            assert main(["train", "maml", "sinusoid", "--out", str(folder), *words]) == 1
            errors = capsys.readouterr().err
            assert f"process {process.pid} on " in errors and f"is writing the run in {folder}" in errors
        assert main(["evaluate", str(folder), "--evaluation.tasks", "2"]) == 0  # reading is always possible
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)

    # The lock ends with its process, however that ended, and what it was writing is taken away.
    (folder / ".checkpoint.npz.123").touch()
    step = checkpoint.read_header(folder / "checkpoint.npz").step
    assert main(["train", "maml", "sinusoid", "--out", str(folder), "--resume", "--iterations", str(step + 1)]) == 0
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_a_lock_whose_file_is_gone_is_none(tmp_path: Path) -> None:
    first, second = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "run")
    with first.locked():
        with pytest.raises(StorageError, match=f"process {os.getpid()} on "), second.locked():
            pass
        assert (first.path / ".lock").exists()
    with second.locked():
        pass
    shutil.rmtree(first.path)
    with first.locked():
        shutil.rmtree(first.path)
