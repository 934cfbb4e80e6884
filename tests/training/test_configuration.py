import contextlib
import dataclasses
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mutations import bounded, mutations

from minimeta.errors import ConfigurationError
from minimeta.training.configuration import read_toml, replace, require, setting, to_toml


@dataclass(frozen=True)
class Inner:
    steps: int = 3
    exact: bool = False


@dataclass(frozen=True)
class Outer:
    rate: float = setting(0.1, paper="0.01", code="0.001")
    name: str = "a # name"
    kind: Literal["warm", "cold"] = "warm"
    hidden: tuple[int, ...] = (40, 40)
    inner: Inner = Inner()

    def __post_init__(self) -> None:
        require(self, names="rate", above=0)
        require(self, names="hidden", at_least=1, below=1000)


configurations = st.builds(
    Outer,
    rate=st.floats(1e-300, 1e300),
    name=st.text(st.characters(exclude_categories=["Cs"])),
    kind=st.sampled_from(["warm", "cold"]),
    hidden=st.lists(st.integers(1, 999), max_size=3).map(tuple),
    inner=st.builds(Inner, steps=st.integers(-(2**63), 2**63 - 1), exact=st.booleans()),
)


@given(configurations)
def test_toml_round_trip(configuration: Outer) -> None:
    values = tomllib.loads(to_toml(configuration, learner="maml"))

    assert values.pop("learner") == "maml"
    assert replace(Outer(), values, "file") == configuration


def test_toml_says_where_values_come_from() -> None:
    assert "rate = 0.1  # paper: 0.01; released code: 0.001\n" in to_toml(Outer())


def test_only_given_values_are_replaced() -> None:
    base = Outer(rate=0.5, inner=Inner(steps=7))

    assert replace(base, {"inner": {"exact": True}}, "") == dataclasses.replace(base, inner=Inner(7, True))
    assert replace(base, {"rate": 2, "hidden": [3]}, "") == dataclasses.replace(base, rate=2.0, hidden=(3,))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rat": 1}, r"file: there is no setting 'rat'. Did you mean 'rate'\?"),
        ({"xyz": 1}, r"file: there is no setting 'xyz'. There are rate, name, kind, hidden, inner."),
        ({"inner": {"step": 1}}, r"file, \[inner\]: there is no setting 'step'. Did you mean 'steps'\?"),
        ({"inner": 3}, r"file: inner should be a table \[inner\], not 3"),
        ({"rate": "fast"}, "file: rate should be of type float, not 'fast'"),
        ({"rate": True}, "file: rate should be of type float, not True"),
        ({"inner": {"steps": 1.0}}, r"steps should be of type int, not 1.0"),
        ({"inner": {"steps": True}}, r"steps should be of type int, not True"),
        ({"inner": {"exact": 1}}, r"exact should be of type bool, not 1"),
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
        replace(Outer(), values, "file")


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
    for content in mutations(to_toml(Outer()).encode(), 2000):
        path.write_bytes(content)
        with bounded(1 << 22), contextlib.suppress(ConfigurationError):
            assert isinstance(replace(Outer(), read_toml(path), str(path)), Outer)
