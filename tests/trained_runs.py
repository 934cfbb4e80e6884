"""A finished run, trained once."""

import shutil
from pathlib import Path

import pytest
from runs import SINUSOID

from minimeta.cli import main


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run on sinusoids, to be read."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert main(["train", "maml", "sinusoid", "--out", str(folder), *SINUSOID]) == 0
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of that folder, to be changed."""
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"
