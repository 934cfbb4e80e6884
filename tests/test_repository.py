"""Facts that stand in two files of the repository agree."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest

import minimeta

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_version_that_is_installed_is_the_packages_own_and_the_changelogs_newest() -> None:
    assert importlib.metadata.version("minimeta") == minimeta.__version__
    newest = re.search(r"^## (\S+)", read("CHANGELOG.md"), re.MULTILINE)
    assert newest
    assert newest[1] == minimeta.__version__


PINS = dict(each.split("==") for group in ("lint", "types") for each in PYPROJECT["dependency-groups"][group])


@pytest.mark.parametrize("tool", PINS)
def test_the_hooks_run_the_versions_that_nox_runs(tool: str) -> None:
    revisions = dict(re.findall(r"repo: \S+/(\S+)\n\s+rev: v(\S+)", read(".pre-commit-config.yaml")))
    (found,) = [revision for name, revision in revisions.items() if tool in name]
    assert found == PINS[tool]


def test_the_workflow_tests_every_python_that_is_promised() -> None:
    promised = [each.removeprefix("Programming Language :: Python :: ") for each in PYPROJECT["project"]["classifiers"]]
    promised = [each for each in promised if re.fullmatch(r"3\.\d+", each)]
    assert promised
    matrix = re.search(r"python: \[(.*)\]", read(".github/workflows/checks.yml"))
    assert matrix
    assert re.findall(r"[\d.]+", matrix[1]) == promised
    assert PYPROJECT["project"]["requires-python"] == f">={promised[0]}"


def test_the_sessions_that_are_run_everywhere_are_there() -> None:
    sessions = set(re.findall(r"^def (\w+)\(session", read("noxfile.py"), re.MULTILINE))
    run = re.findall(r"^nox ([\w. -]+)", read(".ci/run"), re.MULTILINE)
    run += re.findall(r"nox -s ([\w -]+)", read(".github/workflows/checks.yml"))
    named = {each.partition("-")[0] for each in " ".join(run).split()}
    assert {"lint", "site"} <= named <= sessions
