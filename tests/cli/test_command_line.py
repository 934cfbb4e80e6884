"""The words after minimeta, what they answer, and how they fail."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

import minimeta
from minimeta import cli, kernels
from minimeta.cli import main
from minimeta.cli.arguments import parse_evaluation, parse_training
from minimeta.cli.commands import COMMANDS
from minimeta.cli.groups import NETWORK, OUTER_STEP, group_of
from minimeta.cli.options import flags_of
from minimeta.errors import ConfigurationError
from minimeta.storage.run_folder import RunFolder
from minimeta.training.presets import PRESETS
from minimeta.training.presets.preset import PARTS

pytest_plugins = ["omniglot_files", "undrawn"]
pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["train", "--help"]])
def test_help_documents_commands_and_exit_codes(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0

    printed, errors = capsys.readouterr()
    for word in (
        "minimeta train LEARNER TASK",
        "minimeta evaluate RUN",
        "minimeta reproduce CELL",
        "minimeta presets",
        "minimeta report RUN",
        "minimeta data omniglot",
        "minimeta info",
        "minimeta gradcheck",
    ):
        assert word in printed
    for word in ("fomaml", "strokes"):
        assert word in printed
    for code in (cli.DONE, cli.ERROR, cli.USAGE, cli.NON_FINITE, cli.INTERRUPTED):
        assert f" {code} " in printed
    assert errors == ""


@pytest.mark.parametrize(
    "words",
    [
        ["train", "maml", "sinusoid"],
        ["reproduce", "sinusoid-maml"],
        ["presets"],
        ["evaluate"],
        ["report"],
        ["data", "omniglot"],
        ["info"],
        ["gradcheck"],
    ],
)
def test_each_command_explains_its_flags(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*words, "--help"])

    assert caught.value.code == 0
    printed = capsys.readouterr().out
    assert f"usage: minimeta {' '.join(words)}" in printed
    assert "--json" in printed and "JSON object" in printed  # the explanation too


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"minimeta {minimeta.__version__}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian", "maml", "sinusoid"], "there is no command 'trian'. Did you mean 'train'?"),
        (["train", "mamml", "sinusoid"], "there is no learner 'mamml'. Did you mean 'maml'?"),
        (["train", "maml", "sinusiod"], "there is no task 'sinusiod' for maml. Did you mean 'sinusoid'?"),
        (["train", "maml", "zzz"], "there is no task 'zzz' for maml. There are sinusoid, omniglot, "),
        (["train", "maml"], "train needs a learner and a task"),
        (["train", "--seed", "3", "maml", "sinusoid"], "train needs a learner and a task before the flags"),
        (["reproduce", "sinusoid-mam"], "there is no cell 'sinusoid-mam'. Did you mean 'sinusoid-maml'?"),
        (["reproduce", "--seed", "3"], "reproduce needs the name of a cell before the flags"),
        (["report"], "report needs the folders of runs, as in: minimeta report runs/*"),
        (["data", "omnigolt"], "there is no data set 'omnigolt'. Did you mean 'omniglot'?"),
        (
            ["data", "--from", "omniglot"],
            "data needs the name of a data set before the flags",
        ),
    ],
)
def test_wrong_words_are_refused(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2

    printed, errors = capsys.readouterr()
    assert message in errors and printed == ""


def test_no_words_show_the_help_as_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    printed, errors = capsys.readouterr()
    assert printed == "" and "usage: minimeta" in errors


@pytest.mark.parametrize(
    ("flags", "suggested"),
    [
        (["--iteratons", "3"], "--iterations"),
        (["--inner-learning-rat", "0.1"], "--inner-learning-rate"),
        (["--evaluation.step", "3"], "--evaluation.steps"),
        (["--resum"], "--resume"),
    ],
)
def test_a_misspelt_flag_is_refused_with_a_suggestion(
    flags: list[str], suggested: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["train", "maml", "sinusoid", *flags])

    assert caught.value.code == 2
    printed, errors = capsys.readouterr()
    assert "Unrecognized" in errors and suggested in errors and printed == ""


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--shots", "0"], "shots must be at least 1, not 0"),
        (["--seed", "-1"], "seed must be at least 0 and below 4294967296, not -1"),
        (["--evaluation.steps", "-1"], "steps must be at least 0, not -1"),
        (["--checkpoint-every", "0"], "--checkpoint-every must be at least 1, not 0"),
    ],
)
def test_values_out_of_range_are_refused(
    flags: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code: object = main(["train", "maml", "sinusoid", "--out", str(tmp_path / "run"), *flags])
    except SystemExit as end:  # found by tyro, which then ends the program itself
        code = end.code

    assert code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_errors_have_no_traceback_unless_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["evaluate", str(tmp_path / "absent")]
    assert main(words) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("minimeta: there is no run in") and "Traceback" not in errors

    monkeypatch.setenv("MINIMETA_TRACEBACK", "1")
    with pytest.raises(ConfigurationError, match="there is no run in"):
        main(words)


def test_errors_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["train", "maml", "omniglot", "--data", str(tmp_path), "--out", str(tmp_path / "run"), "--json"])

    printed, errors = capsys.readouterr()
    report = json.loads(printed)
    assert code == report["exit_code"] == 1 and report["status"] == "error"
    assert str(tmp_path) in report["error"] and report["error"] in errors
    assert not (tmp_path / "run").exists()


def test_info(stand_in_omniglot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--data", str(stand_in_omniglot), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["minimeta"] == minimeta.__version__ and report["kernels"] == kernels.level
    assert {"cli", "data", "plot", "sklearn", "rl"} < set(report["extras"]) and report["extras"]["cli"]["tyro"]
    files = [str(stand_in_omniglot / name) for name in ("images_background.npz", "images_evaluation.npz")]
    assert report["data"] == {"omniglot": files}

    assert main(["info", "--data", str(stand_in_omniglot)]) == 0
    printed = capsys.readouterr().out
    assert f"data folder: {stand_in_omniglot}" in printed and f"data omniglot: {', '.join(files)}" in printed

    assert main(["info", "--data", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "Omniglot is missing" in printed and minimeta.__version__ in printed
    assert all(len(line) <= 80 for line in printed.splitlines() if str(tmp_path) not in line)


def test_python_m_minimeta() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "minimeta", "info", "--json"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0 and json.loads(done.stdout)["minimeta"] == minimeta.__version__


def test_a_learner_lists_what_can_follow(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["train", "maml", "--help"], ["train", "maml", "-h"]):
        assert main(words) == 0
        printed, errors = capsys.readouterr()
        assert printed.startswith("usage: minimeta train maml TASK [flags]") and errors == ""
        for task in ("sinusoid", "omniglot", "strokes", "images"):
            assert f"  {task} " in printed
    assert main(["train", "pretraining", "--help"]) == 0
    printed = capsys.readouterr().out
    assert "sinusoid" in printed and "omniglot" not in printed


@pytest.mark.parametrize("learner, task", [("maml", "sinusoid"), ("lstm", "omniglot"), ("maml", "navigation")])
def test_help_is_in_groups_with_a_word_on_every_flag(
    learner: str, task: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit, match="0"):
        main(["train", learner, task, "--help"])
    printed = capsys.readouterr().out
    assert printed.isascii() and max(map(len, printed.splitlines())) <= 80  # plain text: this is no terminal
    parts = re.split(r"^ ([a-z ]+) options\n", printed, flags=re.MULTILINE)
    found = {title: " ".join(text.split()) for title, text in zip(parts[1::2], parts[2::2], strict=True)}
    assert list(found) == ["run", "task", "network", "learner", "outer step", "evaluation"]
    preset = PRESETS[learner, task]
    for part in PARTS:
        prefix = "evaluation." if part == "evaluation" else ""
        for field in dataclasses.fields(getattr(preset, part)):
            flag, no = (f"{prefix}{word}{field.name.replace('_', '-')}" for word in ("", "no-"))
            said = re.findall(
                rf" --{flag}(?:, --{no})? ((?:(?! --[a-z]).)*)", found[group_of(part, field.name).replace("_", " ")]
            )
            assert any(re.search("[a-z]+ [a-z]+", words) for words in said), flag
    for name in ("out", "resume", "config", "data", "json", "checkpoint-every"):
        assert f"--{name} " in found["run"]


@pytest.mark.parametrize("learner, task", PRESETS)
def test_every_flag_has_a_group_and_a_word(learner: str, task: str) -> None:
    for part in PARTS:
        for flag in flags_of(type(getattr(PRESETS[learner, task], part))):
            (_, *marks) = get_args(flag.hint)
            assert re.search("[a-z]+ [a-z]+", marks[-1].help), flag.name


def test_groups_name_settings_that_there_are() -> None:
    settings = {name for preset in PRESETS.values() for name in preset.settings}
    assert {*NETWORK, *OUTER_STEP} <= settings


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--iteratons", "3"], "Perhaps you meant: --iterations INT"),
        (["--iterations", "many"], "Error parsing --iterations: invalid literal for int() with base 10: 'many'"),
        (["--evaluation.steps", "-1"], "steps must be at least 0, not -1"),
        (["--shots", "0"], "shots must be at least 1, not 0"),
        (["--network", "big"], "--network"),
    ],
)
def test_settings_that_are_wrong_are_errors_in_json(
    flags: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "maml", "sinusoid", "--out", str(tmp_path / "run"), *flags, "--json"]) == 2

    printed, errors = capsys.readouterr()
    report = json.loads(printed)
    assert report["status"] == "error" and report["exit_code"] == 2
    assert message in report["error"] and report["error"] in errors and "─" not in errors
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("words", [["train", "maml", "sinusoid"], ["info"], ["evaluate", "run"], ["trian"]])
@pytest.mark.parametrize("flag", ["--json=yes", "--json=", "--json=false"])
def test_json_with_a_value_is_refused_in_json(words: list[str], flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, flag]) == 2

    printed, errors = capsys.readouterr()
    report = json.loads(printed)
    assert report["status"] == "error" and report["exit_code"] == 2 and report["error"] in errors


def test_settings_of_an_evaluation_have_one_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What ``train`` takes ``evaluate`` takes, and by no other name."""
    given = (
        "--evaluation.shots 2 --evaluation.queries=4 --evaluation.steps 6 --evaluation.tasks 12 --evaluation.seed 9 "
        "--evaluation.no-transductive --evaluation.side-by-side --evaluation.validate-every 4 "
        "--evaluation.validation-tasks 7 --evaluation.every 2"
    )
    flags = given.split()
    wanted = {
        "shots": 2, "queries": 4, "steps": 6, "tasks": 12, "seed": 9, "transductive": False, "side_by_side": True,
        "validate_every": 4, "validation_tasks": 7, "every": 2, "rotations": False,
    }  # fmt: skip

    trained = parse_training("maml", "sinusoid", flags).preset.evaluation
    assert dataclasses.asdict(trained) == wanted
    other = PRESETS["fomaml", "sinusoid"].replace({"evaluation.rotations": True})
    RunFolder(tmp_path).begin(other, 0)
    options, preset = parse_evaluation([str(tmp_path), *flags])
    assert (options.run, preset.run, preset.learner) == (tmp_path, other.run, other.learner)
    assert dataclasses.asdict(preset.evaluation) == {**wanted, "rotations": True}

    for words in (["evaluate", str(tmp_path)], ["predict", str(tmp_path), "--support", "x", "--query", "x"]):
        with pytest.raises(SystemExit, match="2"):
            main([*words, "--steps", "6"])
        assert "--evaluation.steps INT" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="0"):
        main(["predict", "--help"])
    assert {"--evaluation.steps", "--evaluation.transductive"} <= set(capsys.readouterr().out.split())


def test_a_flag_may_say_what_is_so_anyway() -> None:
    preset = parse_training("maml", "sinusoid", ["--evaluation.transductive", "--no-learned-rates"]).preset
    assert preset == PRESETS["maml", "sinusoid"]


def test_the_page_of_commands_fits_a_terminal_and_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    for command in COMMANDS:
        assert any(f"minimeta {command}" in line for line in lines), command
