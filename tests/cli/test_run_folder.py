"""A run folder after a power cut, a bad disk or a careless hand: a run equals the undamaged one, or is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mutations import bounded, mutations

from minimeta.autodiff import tree
from minimeta.cli import evaluate, main, train
from minimeta.errors import CheckpointError, MinimetaError
from minimeta.storage.run_folder import RunFolder
from minimeta.training import MetricsLog, checkpoint, read_metrics

FLAGS = [
    "--hidden", "4", "--meta-batch", "2", "--evaluation.tasks", "2", "--evaluation.steps", "1",
    "--evaluation.queries", "3", "--evaluation.validate-every", "2", "--evaluation.validation-tasks", "2",
    "--learning-rate", "0.1",
]  # fmt: skip
FILES = [
    "configuration.toml",
    "environment.json",
    "metrics.jsonl",
    "checkpoint.npz",
    "validation.jsonl",
    "best.npz",
    "results.json",
]


def without_line(number: int) -> Callable[[bytes], bytes]:
    def damage(content: bytes) -> bytes:
        lines = content.splitlines(keepends=True)
        return b"".join(lines[:number] + lines[number:][1:]) if number >= 0 else b"".join(lines[:number])

    return damage


def other_digit(content: bytes) -> bytes:
    """Change the last digit from 1 to 8, not of a hash."""
    text = content.partition(b'"sha256"')[0]
    place = max((text.rfind(str(digit).encode()) for digit in range(1, 9)), default=-1)
    return content[:place] + bytes([content[place] + 1]) + content[place + 1 :] if place >= 0 else content[:-1]


DAMAGE: dict[str, Callable[[bytes], bytes | None]] = {
    "gone": lambda content: None,
    "empty": lambda content: b"",
    "cut in half": lambda content: content[: len(content) // 2],
    "cut after lines": lambda content: content[: content.rfind(b"\n", 0, len(content) // 2) + 1],
    "cut at its end": lambda content: content[:-2],
    "zeroed": lambda content: bytes(len(content)),
    "zeroed at its end": lambda content: content[:-40] + bytes(40),
    "zeroed within": lambda content: content[: len(content) // 2] + bytes(8) + content[len(content) // 2 + 8 :],
    "doubled": lambda content: content + content,
    "its first line doubled": lambda content: content[: content.find(b"\n") + 1] + content,
    "without its first line": without_line(0),
    "without its second line": without_line(1),
    "without its last line": without_line(-1),
    "a stray byte": lambda content: content[: len(content) // 3] + b"\xff" + content[len(content) // 3 :],
    "another digit": other_digit,
    "too deep": lambda content: b"[" * 100_000,
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run of 4 steps, and the one of 6 that it is to become."""
    base = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "_draw", lambda *_: None)
        for name, steps in (("short", "4"), ("long", "6")):
            words = ["train", "maml", "sinusoid", "--out", str(base / name), *FLAGS, "--iterations", steps]
            assert main(words) == 0
    return base / "short", base / "long"


@pytest.fixture(autouse=True)
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "_draw", lambda *_: None)


def results(folder: Path) -> dict[str, Any]:
    """The results of a run, without what depends on the hour."""
    found = json.loads((folder / "results.json").read_text())
    for each in found["validation"]:
        del each["seconds"]
    return {name: found[name] for name in found if name not in ("run", "seconds", "environment", "sha256")}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def damaged(short: Path, run: Path, name: str, damage: str) -> Path:
    """A copy of a run, one of whose files is damaged."""
    shutil.copytree(short, run)
    content = DAMAGE[damage]((short / name).read_bytes())
    assert content != (short / name).read_bytes()
    if content is None:
        (run / name).unlink()
    else:
        (run / name).write_bytes(content)
    return run


EVALUATE = ["evaluate", "--json"]
RESUME = ["train", "maml", "sinusoid", "--resume", "--iterations", "6", "--out"]
KEPT = ("configuration.toml", "metrics.jsonl", "checkpoint.npz", "best.npz")
"""The files that are whole before the first step of a run that goes on."""


UNDAMAGED: dict[str, Any] = {}


class BegunError(MinimetaError):
    """Raised where the computation would begin."""


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the commands would compute with: training and evaluation are functions of these, and do not run."""
    found: list[Any] = []

    def bits(state: Any) -> list[Any]:
        return [(leaf.shape, leaf.dtype, leaf.tobytes()) for leaf in tree.flatten(state)[0]]

    def measure(preset: Any, experiment: Any, state: Any, *_: Any) -> None:
        found[:] = [preset, state.step, bits((state.meta_parameters, state.optimiser_state))]
        raise BegunError

    def fit(run: Any, experiment: Any, state: Any, records: Any, *_: Any) -> None:
        found[:] = [
            run.preset,
            state.step,
            bits((state.meta_parameters, state.optimiser_state)),
            records,
            [each[::2] for each in run.folder.validations(records)],
        ]
        with MetricsLog(run.folder.metrics, state.step, records.metrics):
            pass  # to open the log cuts off what is later than the checkpoint
        raise BegunError

    monkeypatch.setattr(evaluate, "measure", measure)
    monkeypatch.setattr(train, "_fit", fit)
    return found


@pytest.fixture
def undamaged(folders: tuple[Path, Path], computed: list[Any], tmp_path: Path) -> dict[str, Any]:
    """What the commands compute with if nothing is damaged, and the files before the first step."""
    if not UNDAMAGED:
        shutil.copytree(folders[0], tmp_path / "whole")
        for words in (EVALUATE, RESUME):
            assert main([*words, str(tmp_path / "whole")]) == 1
            UNDAMAGED[words[0]] = [*computed]
        UNDAMAGED["files"] = contents(tmp_path / "whole")
    return UNDAMAGED


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_refused_or_changes_nothing(
    name: str,
    damage: str,
    folders: tuple[Path, Path],
    computed: list[Any],
    undamaged: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    short, _ = folders
    run = damaged(short, tmp_path / "run", name, damage)
    before = contents(run)

    for words in (EVALUATE, RESUME):
        computed.clear()
        code = main([*words, str(run)])
        printed, errors = capsys.readouterr()
        if computed and (name, damage) == ("checkpoint.npz", "gone"):
            assert computed[1] == 0 and "the run starts again" in errors
        elif computed:
            assert computed == undamaged[words[0]]
        else:
            assert code in (1, 2) and name in errors and (words == RESUME or name in json.loads(printed)["error"])
        if words == EVALUATE or not computed:
            assert contents(run) == before
        elif computed[1]:
            files = contents(run)
            assert [kept for kept in KEPT if files[kept] != undamaged["files"][kept]] == []

    code = main(["report", str(damaged(short, tmp_path / "other", name, damage)), "--json"])
    printed, errors = capsys.readouterr()
    if code == 0:
        assert json.loads(printed)["runs"][0]["mean"] == results(short)["mean"]
    else:
        assert name in errors or "is not finished" in errors


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("configuration.toml", "zeroed"),
        ("checkpoint.npz", "gone"),
        ("metrics.jsonl", "doubled"),
        ("validation.jsonl", "gone"),
        ("results.json", "gone"),
    ],
)
def test_a_damaged_run_goes_on_and_equals_the_undamaged_one(
    name: str, damage: str, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    short, long = folders
    run = damaged(short, tmp_path / "run", name, damage)

    assert main([*RESUME, str(run)]) == 0

    for file in ("configuration.toml", "metrics.jsonl", "checkpoint.npz", "best.npz", "results.md"):
        assert (run / file).read_bytes() == (long / file).read_bytes(), file
    assert results(run) == results(long)
    again = [json.loads(line) for line in (run / "validation.jsonl").read_text().splitlines()]
    assert [found["step"] for found in again] == [2, 4, 6]


READERS: dict[str, Callable[[RunFolder], object]] = {
    "configuration.toml": lambda folder: folder.preset(),
    "environment.json": lambda folder: folder.sessions.read(),
    "metrics.jsonl": lambda folder: read_metrics(folder.metrics, 4, folder.records().metrics),
    "checkpoint.npz": lambda folder: checkpoint.read_header(folder.checkpoint),
    "best.npz": lambda folder: checkpoint.read_header(folder.best),
    "results.json": lambda folder: folder.read_results(),
}


@pytest.mark.parametrize("name", READERS)
def test_files_made_by_nobody_are_refused_or_change_nothing(
    name: str, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    shutil.copytree(folders[0], tmp_path / "run")
    folder, content = RunFolder(tmp_path / "run"), (folders[0] / name).read_bytes()
    right, refused = READERS[name](folder), 0
    for damaged in mutations(content, 200):
        (folder.path / name).write_bytes(damaged)
        with bounded(1 << 24):
            try:
                found = READERS[name](folder)
            except CheckpointError as error:
                assert name in str(error)
                refused += 1
            else:
                assert found == right
    assert refused or name == "configuration.toml"


def test_the_best_state_of_another_step_is_refused(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(folders[0], run)
    assert results(run)["step"] == 2  # and the checkpoint is of step 4
    shutil.copy(run / "checkpoint.npz", run / "best.npz")

    for words in (["evaluate", str(run)], ["train", "maml", "sinusoid", "--out", str(run), "--resume"]):
        assert main(words) == 1
        assert "best.npz is of step 4, and step 2 validated best" in capsys.readouterr().err


def test_a_run_without_its_times_goes_on_and_says_so(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(folders[0], run)
    (run / "environment.json").unlink()

    assert main(["train", "maml", "sinusoid", "--out", str(run), "--resume", "--iterations", "6"]) == 0

    assert "environment.json is missing: times are counted from here on" in capsys.readouterr().err
    found = json.loads((run / "results.json").read_text())["validation"]
    assert [each["seconds"] is None for each in found] == [True, True, False]


def test_what_was_written_after_the_checkpoint_is_done_again(folders: tuple[Path, Path], tmp_path: Path) -> None:
    short, long = folders
    run = tmp_path / "run"
    shutil.copytree(short, run)
    for name in ("metrics.jsonl", "validation.jsonl"):  # as a kill leaves them
        shutil.copy(long / name, run / name)

    assert main(["train", "maml", "sinusoid", "--out", str(run), "--resume", "--iterations", "6"]) == 0

    for file in ("metrics.jsonl", "checkpoint.npz", "best.npz"):
        assert (run / file).read_bytes() == (long / file).read_bytes(), file


def test_a_checkpoint_that_is_the_best_state_makes_it_again(folders: tuple[Path, Path], tmp_path: Path) -> None:
    _, long = folders
    run = tmp_path / "run"
    shutil.copytree(long, run)
    assert results(run)["step"] == 6
    (run / "best.npz").unlink()  # as a kill between the two leaves it

    assert main(["train", "maml", "sinusoid", "--out", str(run), "--resume"]) == 0

    assert (run / "best.npz").read_bytes() == (long / "best.npz").read_bytes()
    assert results(run) == results(long)
