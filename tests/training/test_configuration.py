"""Settings are replaced by name and checked, and written to and read from TOML without a loss."""

import contextlib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mutations import bounded, mutations

from minimeta.errors import ConfigurationError
from minimeta.learners import MetaLearner
from minimeta.optim import Optimiser, sgd
from minimeta.training.configuration import flattened, nested, read_toml, require, to_toml
from minimeta.training.presets import EvaluationSettings, Preset, Problem, RunSettings
from minimeta.training.presets.parts import BenchmarkSettings, Distributions, LearnerSettings


@dataclass(frozen=True)
class Warm(LearnerSettings):
    rate: float = 0.1
    title: str = "a # name"
    kind: Literal["warm", "cold"] = "warm"
    hidden: tuple[int, ...] = (40, 40)
    exact: bool = False

    name: ClassVar[str] = "warm"

    def __post_init__(self) -> None:
        require(self, names="rate", above=0)
        require(self, names="hidden", at_least=1, below=1000)

    def learner(self, problem: Problem) -> MetaLearner:
        raise NotImplementedError

    def optimiser(self, iterations: int) -> Optimiser:
        return sgd(self.rate)


@dataclass(frozen=True)
class Nothing(BenchmarkSettings):
    name: ClassVar[str] = "nothing"

    def problem(self) -> Problem:
        raise NotImplementedError

    def tasks(self, evaluation: EvaluationSettings, data: object) -> Distributions:
        raise NotImplementedError


PRESET = Preset(
    RunSettings(), Warm(), Nothing(), EvaluationSettings(), sources={"rate": "paper: 0.01; released code: 0.001"}
)
presets = st.builds(
    Preset,
    run=st.builds(RunSettings, seed=st.integers(0, 2**32 - 1)),
    learner=st.builds(
        Warm,
        rate=st.floats(1e-300, 1e300),
        title=st.text(st.characters(exclude_categories=["Cs"])),
        kind=st.sampled_from(["warm", "cold"]),
        hidden=st.lists(st.integers(1, 999), max_size=3).map(tuple),
        exact=st.booleans(),
    ),
    benchmark=st.just(Nothing()),
    evaluation=st.builds(EvaluationSettings, steps=st.integers(0, 2**63 - 1), transductive=st.booleans()),
)


@given(presets)
def test_toml_round_trip(preset: Preset) -> None:
    values = flattened(tomllib.loads(to_toml({"learner": "warm", **preset.settings}, preset.sources)))

    assert values.pop("learner") == "warm"
    assert PRESET.replace(values, "file") == preset


def test_toml_says_where_values_come_from() -> None:
    text = to_toml(PRESET.settings, PRESET.sources)
    assert "\nrate = 0.1  # paper: 0.01; released code: 0.001\n" in text
    assert text.count("[evaluation]") == 1 and text.index("\nhidden") < text.index("[evaluation]\nshots = 1\n")


@given(st.dictionaries(st.sampled_from(["a", "b", "table.a", "table.c", "other.a"]), st.integers()))
def test_tables_are_settings_with_a_dot(settings: dict[str, int]) -> None:
    assert flattened(nested(settings)) == settings
    assert flattened({"evaluation": {}}) == {}


def test_only_given_values_are_replaced() -> None:
    expected = Preset(RunSettings(seed=3), Warm(rate=2.0, hidden=(3,)), Nothing(), EvaluationSettings(seed=7))

    assert PRESET.replace({"rate": 2, "hidden": [3], "seed": 3, "evaluation.seed": 7}) == expected
    assert PRESET.replace({}) == PRESET


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rat": 1}, r"file: there is no setting 'rat'. Did you mean 'rate'\?"),
        ({"xyz": 1}, r"file: there is no setting 'xyz'. There are iterations, meta_batch, seed, rate, title, kind,"),
        ({"evaluation.step": 1}, r"file: there is no setting 'evaluation.step'. Did you mean 'evaluation.steps'\?"),
        ({"evaluation": 3}, r"file: evaluation should be a table \[evaluation\], not 3"),
        ({"rate": "fast"}, "file: rate should be of type float, not 'fast'"),
        ({"rate": True}, "file: rate should be of type float, not True"),
        ({"evaluation.steps": 1.0}, r"file: evaluation.steps should be of type int, not 1.0"),
        ({"evaluation.steps": True}, r"file: evaluation.steps should be of type int, not True"),
        ({"exact": 1}, r"exact should be of type bool, not 1"),
        ({"kind": "hot"}, "file: kind should be one of warm, cold, not 'hot'"),
        ({"hidden": 40}, "file: hidden should be a list, not 40"),
        ({"hidden": ["40"]}, "file: hidden should be of type int, not '40'"),
        ({"rate": 0.0}, "rate must be above 0, not 0.0"),
        ({"rate": float("nan")}, "rate must be above 0, not nan"),
        ({"rate": float("inf")}, "rate must be above 0, not inf"),
        ({"hidden": [40, 0]}, "hidden must be at least 1 and below 1000, not 0"),
        ({"hidden": [1000]}, "hidden must be at least 1 and below 1000, not 1000"),
    ],
)
def test_wrong_values_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        PRESET.replace(values, "file")


def test_files_that_are_not_toml_are_named(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    with pytest.raises(ConfigurationError, match=f"there is no configuration file {path}"):
        read_toml(path)
    for content in (b"rate: 1", b"\xff\xfe", b"rate = " + b"9" * 5000, b"rate = " + b"[" * 100_000):
        path.write_bytes(content)
        with pytest.raises(ConfigurationError, match=f"{path} is not a TOML file"):
            read_toml(path)


def test_a_file_may_begin_with_a_mark(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_bytes(b"\xef\xbb\xbfrate = 0.5\n")

    assert read_toml(path) == {"rate": 0.5}


def test_settings_made_by_nobody_are_refused_or_settings(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    some = {name: PRESET.settings[name] for name in ("rate", "title", "kind", "hidden", "evaluation.steps")}
    for content in mutations(to_toml(some, PRESET.sources).encode(), 2000):
        path.write_bytes(content)
        with bounded(1 << 22), contextlib.suppress(ConfigurationError):
            assert isinstance(PRESET.replace(read_toml(path), str(path)), Preset)
