"""Output that cannot be written as it should: the result is on the disk all the same, and the exit code says so."""

import io
import json
import os
import subprocess
from pathlib import Path

import pytest
from background import MINIMETA, training
from hypothesis import given
from hypothesis import strategies as st

from minimeta.cli.streams import Lasting

pytest_plugins = ["trained_runs"]


def train(folder: Path) -> list[str]:
    return [*MINIMETA, *training(folder, "--iterations", "2")]


def is_complete(folder: Path) -> bool:
    return (folder / "learning.png").exists() and json.loads((folder / "results.json").read_text())["step"] == 2


@pytest.mark.parametrize(("encoding", "interval"), [("ascii", b" +- "), ("latin-1", b" \xb1 "), ("cp437", b" \xf1 ")])
def test_a_table_is_printed_in_every_encoding(encoding: str, interval: bytes, trained: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": encoding}

    done = subprocess.run([*MINIMETA, "evaluate", str(trained)], capture_output=True, env=environment, check=False)

    assert done.returncode == 0, done.stderr
    assert b"maml sinusoid, seed 0, 6 training steps" in done.stdout and interval in done.stdout


def test_a_name_that_is_no_text_is_printed_somehow(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"\xff")
    words = [os.fsencode(word) for word in (*MINIMETA, "evaluate", str(folder))]

    done = subprocess.run(words, capture_output=True, check=False)

    assert done.returncode == 2 and b"there is no run in" in done.stderr and b"Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_output_loses_nothing(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(train(tmp_path / "run"), stdout=full, stderr=subprocess.PIPE, check=False)

    assert done.returncode == 1
    assert b"standard output was lost" in done.stderr and b"No space left" in done.stderr
    assert b"Traceback" not in done.stderr and b"Exception" not in done.stderr
    assert is_complete(tmp_path / "run")


@pytest.mark.parametrize("json_flag", [[], ["--json"]])
def test_an_output_that_was_closed_from_the_beginning_loses_nothing(json_flag: list[str], tmp_path: Path) -> None:
    words = ["sh", "-c", 'exec "$@" >&-', "sh", *train(tmp_path / "run"), *json_flag]

    done = subprocess.run(words, stderr=subprocess.PIPE, check=False)

    assert done.returncode == 1 and b"standard output was lost" in done.stderr and b"Traceback" not in done.stderr
    assert is_complete(tmp_path / "run")


def test_a_reader_that_goes_away_ends_nothing(tmp_path: Path) -> None:
    # Both streams: the lines of progress are on standard error.
    with subprocess.Popen(train(tmp_path / "run"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        process.stdout.close()

    assert process.returncode == 1
    assert is_complete(tmp_path / "run")


def test_without_standard_error_a_run_is_the_same(tmp_path: Path) -> None:
    words = ["sh", "-c", 'exec "$@" 2>&-', "sh", *train(tmp_path / "run")]
    # Matplotlib fails to import with a backend that it does not know; the figures need none.
    environment = {**os.environ, "MPLBACKEND": "there is none"}
    done = subprocess.run(words, stdout=subprocess.PIPE, env=environment, check=False)

    assert done.returncode == 0 and b"2 training steps" in done.stdout
    assert is_complete(tmp_path / "run")


@given(st.text(st.characters(codec=None)), st.sampled_from(["ascii", "latin-1", "cp1252", "utf-8", "utf-16", "koi8-r"]))
def test_every_text_can_be_written(text: str, encoding: str) -> None:
    content = io.BytesIO()
    stream = Lasting(io.TextIOWrapper(content, encoding=encoding, newline=""))

    assert stream.write(text) == len(text)

    stream.flush()
    assert stream.failure is None
    try:
        assert content.getvalue() == text.encode(encoding)
    except UnicodeEncodeError:
        assert len(content.getvalue().decode(encoding)) >= len(text)


def test_what_fails_is_silent_from_then_on() -> None:
    closed = io.TextIOWrapper(io.BytesIO())
    stream = Lasting(closed)
    closed.close()
    assert stream.write("too late") == 8
    assert isinstance(stream.failure, ValueError)
    assert stream.write("again") == 5
