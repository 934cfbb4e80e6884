"""The library needs numpy alone; what an extra brings is imported when used, and missed by name."""

import subprocess
import sys
from pathlib import Path

import pytest
from background import training
from omniglot_drawings import SmallOmniglot

pytest_plugins = ["omniglot_files"]

WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
from minimeta.cli import main
sys.exit(main({words!r}))
"""


def run_without(absent: list[str], words: list[str]) -> subprocess.CompletedProcess[str]:
    program = WITHOUT.format(absent=absent, words=words)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


def test_importing_the_library_imports_numpy_and_the_standard_library_alone() -> None:
    program = (
        "import sys\n"
        "before = set(sys.modules)  # site-packages may have hooks, which import what they like\n"
        "import minimeta, minimeta.tasks, minimeta.training, minimeta.cli\n"
        "names = {name.partition('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)\n"
        "modules = [sys.modules[name] for name in names]\n"
        "print(*sorted(module.__name__ for module in modules if getattr(module, '__file__', None)))"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["minimeta", "numpy"]


@pytest.mark.parametrize("absent", ["tyro", "rich"])
def test_without_the_cli_extra_the_command_names_it(absent: str) -> None:
    done = run_without([absent], ["info"])

    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == (
        f"minimeta: the command line needs {absent}, which is not installed: pip install 'minimeta[cli]'\n"
    )


def test_help_needs_no_extra() -> None:
    done = run_without(["tyro", "rich", "matplotlib"], ["--help"])

    assert done.returncode == 0 and "usage: minimeta" in done.stdout


def test_without_the_data_extra_what_needs_it_names_it(small_omniglot: SmallOmniglot, tmp_path: Path) -> None:
    home = str(tmp_path / "home")
    for absent, words, purpose in (
        ("pooch", ["data", "omniglot", "--data", home], "downloading needs pooch"),
        (
            "PIL",
            ["data", "omniglot", "--data", home, "--from", str(small_omniglot.folder)],
            "reading images needs Pillow",
        ),
    ):
        done = run_without([absent], words)

        assert done.returncode == 1 and done.stdout == ""
        assert done.stderr == f"minimeta: {purpose}, which is not installed: pip install 'minimeta[data]'\n"


def test_without_the_plot_extra_a_run_says_which_extra_draws(tmp_path: Path) -> None:
    done = run_without(["matplotlib"], training(tmp_path / "run", "--iterations", "2"))

    assert done.returncode == 0
    assert "pip install 'minimeta[plot]'" in done.stderr
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert "results.json" in names and not any(name.endswith(".png") for name in names)


def test_without_the_rl_extra_a_run_of_the_cheetah_does_not_begin(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    done = run_without(["gymnasium", "mujoco"], ["train", "maml", "cheetah-direction", "--out", str(folder)])

    assert done.returncode == 1 and done.stdout == "" and not folder.exists()
    assert done.stderr == (
        "minimeta: the half-cheetah needs gymnasium, which is not installed: pip install 'minimeta[rl]'\n"
    )
