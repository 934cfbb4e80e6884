"""Preset < the run's own settings < configuration file < flags."""

from pathlib import Path

import pytest

from minimeta.cli.arguments import Training, parse_training
from minimeta.errors import ConfigurationError
from minimeta.storage.run_folder import RunFolder
from minimeta.training import PRESETS
from minimeta.training.configuration import to_toml

SINUSOID, OMNIGLOT = PRESETS["maml", "sinusoid"], PRESETS["maml", "omniglot"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def parsed(*flags: str, task: str = "sinusoid") -> Training:
    return parse_training("maml", task, list(flags))


def test_defaults_are_the_preset() -> None:
    training = parsed()

    assert training.preset == SINUSOID
    assert training.folder.path == Path("runs/maml-sinusoid-seed0")
    assert parsed(task="omniglot").preset == OMNIGLOT
    assert parsed("--seed", "7").folder.path == Path("runs/maml-sinusoid-seed7")
    assert parsed("--network", "conv4", task="omniglot").folder.path == Path("runs/maml-omniglot-conv4-seed0")


def test_every_setting_is_a_flag() -> None:
    flags = (
        "--ways 4 --shots 2 --queries 3 --no-rotations --network conv4 --hidden 16 8 --filters 7 --initialiser he "
        "--fixed-turns --readout flatten --scale --learned-rates --adapts last_layer --split maml --reduction per_shot "
        "--downsampling max_pool --pool-padding SAME --step-weights 0.5 0.5 --final-step 0.5 --largest-element 10 "
        "--inner-learning-rate 0.1 --inner-steps 2 --learning-rate 0.01 --meta-batch 6 --iterations 11 --seed 5 "
        "--evaluation.shots 2 --evaluation.queries 4 --evaluation.steps 6 --evaluation.tasks 12 --evaluation.seed 9 "
        "--evaluation.no-rotations --evaluation.no-transductive --evaluation.no-side-by-side "
        "--evaluation.validate-every 4 --evaluation.validation-tasks 7 --evaluation.every 2"
    )

    preset = parsed(*flags.split(), task="omniglot").preset

    changed = preset.settings
    assert {name: value for name, value in changed.items() if name.startswith("evaluation.")} == {
        f"evaluation.{name}": value
        for name, value in {
            "shots": 2, "queries": 4, "steps": 6, "tasks": 12, "seed": 9, "rotations": False, "transductive": False,
            "side_by_side": False, "validate_every": 4, "validation_tasks": 7, "every": 2,
        }.items()
    }  # fmt: skip
    assert changed["hidden"] == (16, 8) and changed["ways"] == 4 and changed["rotations"] is False
    assert all(changed[name] != default for name, default in OMNIGLOT.settings.items())


def test_flags_override_the_file_and_the_file_the_preset() -> None:
    Path("mine.toml").write_text("iterations = 7\nseed = 3\nhidden = [5]\n[evaluation]\nsteps = 2\nshots = 3\n")

    training = parsed("--config", "mine.toml", "--iterations", "9", "--evaluation.shots=4")

    found = training.preset.settings
    assert [found[name] for name in ("iterations", "seed", "hidden", "shots")] == [9, 3, (5,), 10]
    assert [found[f"evaluation.{name}"] for name in ("steps", "shots", "tasks")] == [2, 4, 600]
    assert training.folder.path == Path("runs/maml-sinusoid-seed3")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("iteratons = 7", "mine.toml: there is no setting 'iteratons'. Did you mean 'iterations'?"),
        (
            "[evaluation]\nstep = 7",
            "mine.toml: there is no setting 'evaluation.step'. Did you mean 'evaluation.steps'?",
        ),
        ("iterations = 'many'", "mine.toml: iterations should be of type int, not 'many'"),
        ("iterations = 0", "iterations must be at least 1, not 0"),
        ("task = 'omniglot'", "mine.toml is for maml omniglot, not for maml sinusoid"),
        ("learner = 'fomaml'", "mine.toml is for fomaml sinusoid, not for maml sinusoid"),
        ("=", "mine.toml is not a TOML file"),
    ],
)
def test_wrong_files_are_refused(content: str, message: str) -> None:
    Path("mine.toml").write_text(content)

    with pytest.raises(ConfigurationError, match=message.replace("?", r"\?")):
        parsed("--config", "mine.toml")


def test_a_missing_file_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"there is no configuration file absent\.toml"):
        parsed("--config", "absent.toml")


def test_the_configuration_of_a_run_is_a_configuration_file() -> None:
    preset = SINUSOID.replace({"iterations": 9, "inner_learning_rate": 0.02, "hidden": (3, 4)})
    own = {"learner": "maml", "task": "sinusoid", **preset.settings}
    Path("mine.toml").write_text(to_toml(own, preset.sources))

    assert parsed("--config", "mine.toml").preset == preset


def test_resuming_takes_the_settings_of_the_run() -> None:
    preset = SINUSOID.replace({"iterations": 9, "seed": 4, "inner_learning_rate": 0.02})
    RunFolder(Path("mine")).begin(preset, 0)

    assert parsed("--out", "mine", "--resume").preset == preset
    longer = parsed("--out", "mine", "--resume", "--iterations", "20").preset
    assert longer == preset.replace({"iterations": 20})
    with pytest.raises(ConfigurationError, match="is for maml sinusoid, not for fomaml sinusoid"):
        parse_training("fomaml", "sinusoid", ["--out", "mine", "--resume"])


def test_there_must_be_a_run_to_resume() -> None:
    with pytest.raises(ConfigurationError, match="there is no run in absent"):
        parsed("--out", "absent", "--resume")


def test_a_folder_that_is_not_empty_is_refused() -> None:
    Path("mine").mkdir()
    assert parsed("--out", "mine").folder.path == Path("mine")  # an empty one is welcome

    Path("mine/thesis.txt").write_text("do not overwrite")
    with pytest.raises(ConfigurationError, match="mine is not empty: choose another folder with --out"):
        parsed("--out", "mine")
    RunFolder(Path("mine")).begin(SINUSOID, 0)
    with pytest.raises(
        ConfigurationError, match="mine is not empty: go on with its run by --resume, or choose another"
    ):
        parsed("--out", "mine")
    with pytest.raises(ConfigurationError, match=r"thesis\.txt is a file, not a folder"):
        parsed("--out", "mine/thesis.txt")
