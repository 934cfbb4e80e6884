"""What importing the library does: in an installed package, in a bare source tree, and as the environment says."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import minimeta

PACKAGE = Path(minimeta.__file__).parent

# A source tree is found by its folder alone, whatever hooks an editable installation has put in the way.
BARE = "import sys; sys.meta_path = [finder for finder in sys.meta_path if isinstance(finder, type)]\n"

SECOND_ORDER = """
import minimeta as mm, numpy as np
from minimeta import kernels, nn
from minimeta.learners import MAML
from minimeta.tasks.task import Examples, Task
x = np.linspace(-1.0, 1.0, 6).reshape(6, 1)
learner = MAML(nn.mlp((1, 4, 1), activation="tanh", dtype=np.float64), nn.mean_squared_error, 0.1, 2)
task = Task(Examples(x, np.sin(x)), Examples(x, np.cos(x)))
result = learner.meta_gradient(learner.init(np.random.default_rng(0)), task)
print(kernels.level, kernels.native is None, *(value.hex() for value in result.gradient[0]["weight"][0].tolist()))
"""


def run(program: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name != "MINIMETA_ISA"}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=folder,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def source_tree(tmp_path: Path) -> Path:
    """The package as it is checked out: without its extension."""
    for path in PACKAGE.rglob("*.py"):
        target = tmp_path / "minimeta" / path.relative_to(PACKAGE)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return tmp_path


def test_importing_loads_numpy_and_the_standard_library_alone() -> None:
    program = (
        "import sys\n"
        "import numpy\n"
        "before = set(sys.modules)\n"
        "import minimeta\n"
        "added = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "files = [name for name in added if getattr(sys.modules[name], '__file__', None)]\n"
        "print(*sorted(set(files) - set(sys.stdlib_module_names)))\n"
        "print('.'.join(sorted(name for name in sys.modules if name.startswith('minimeta.cli'))))\n"
    )
    done = run(program, PACKAGE.parent)
    assert done.stderr == ""
    assert done.stdout.split("\n") == ["minimeta numpy", "", ""]


def test_every_public_name_is_there_and_documented() -> None:
    assert len(set(minimeta.__all__)) == len(minimeta.__all__)
    assert set(minimeta.operations.__all__) < set(minimeta.__all__)
    for name in minimeta.__all__:
        assert getattr(minimeta, name).__doc__, name


def test_the_package_is_typed() -> None:
    assert (PACKAGE / "py.typed").exists()
    assert (PACKAGE / "_native.pyi").exists()


def test_a_source_tree_without_its_extension_says_what_to_run(source_tree: Path) -> None:
    done = run(BARE + "import minimeta", source_tree)
    assert done.returncode == 1
    assert "ImportError: minimeta's C++ kernels are not built" in done.stderr
    assert "pip install -e ." in done.stderr and "MINIMETA_ISA=reference" in done.stderr


def test_a_source_tree_computes_with_numpy_alone_when_told_to(source_tree: Path) -> None:
    done = run(BARE + SECOND_ORDER, source_tree, MINIMETA_ISA="reference")
    assert done.stderr == ""
    assert done.stdout.startswith("reference True ") and "0x1." in done.stdout


def test_references_and_kernels_agree_to_rounding() -> None:
    native, reference = (run(SECOND_ORDER, PACKAGE.parent, MINIMETA_ISA=level) for level in ("native", "reference"))
    assert native.stderr == reference.stderr == ""
    assert native.stdout.startswith("native False") and reference.stdout.startswith("reference True")
    ours, theirs = ([float.fromhex(word) for word in done.stdout.split()[2:]] for done in (native, reference))
    assert len(ours) == 4
    assert ours == pytest.approx(theirs, rel=1e-12)


@pytest.mark.parametrize("level", ["avx9", "NATIVE", " "])
def test_an_unknown_instruction_set_is_refused(level: str) -> None:
    done = run("import minimeta", PACKAGE.parent, MINIMETA_ISA=level)
    assert done.returncode == 1
    assert f"ImportError: MINIMETA_ISA={level!r} is not known" in done.stderr
