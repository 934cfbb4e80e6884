"""Which kernels are chosen: in an installed package, in a source tree, on other processors, or by request."""

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

import pytest
from fresh_python import PACKAGE, run

from minimeta import kernels

# A source tree is found by its folder alone, whatever hooks an editable installation has put in the way.
BARE = "import sys; sys.meta_path = [finder for finder in sys.meta_path if isinstance(finder, type)]\n"

OLD_PROCESSOR = "from numpy._core._multiarray_umath import __cpu_features__ as features; features['FMA3'] = False\n"

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

on_x86 = pytest.mark.skipif("v3" not in kernels.LEVELS, reason="x86-64 alone has more than one level")


@pytest.fixture
def source_tree(tmp_path: Path) -> Path:
    """The package as it is checked out: without its extension."""
    for path in PACKAGE.rglob("*.py"):
        target = tmp_path / "minimeta" / path.relative_to(PACKAGE)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return tmp_path


def test_the_best_level_that_runs_is_built_and_chosen() -> None:
    assert kernels.built()[0] == kernels.able()[0]
    done = run("from minimeta import kernels; print(kernels.level, kernels.native.__name__)")
    assert (done.stdout, done.stderr) == (f"{kernels.able()[0]} minimeta._native_{kernels.able()[0]}\n", "")


@on_x86
def test_the_best_level_that_runs_is_taken_and_then_what_was_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MINIMETA_ISA", raising=False)
    built = {"v3", "v4"}
    absent: set[str] = set()
    monkeypatch.setattr(kernels, "load", lambda level: ModuleType(level) if level in built else None)
    monkeypatch.setattr(kernels, "lacking", lambda level: sorted(absent & set(kernels.LEVELS[level])))
    assert kernels._choose()[1] == "v4"
    absent.add("AVX512BW")
    assert kernels._choose()[1] == "v3"
    absent.clear()
    built.remove("v4")
    assert kernels._choose()[1] == "v3"


@pytest.mark.parametrize("level", [*kernels.built(), "reference"])
def test_every_level_can_be_asked_for(level: str) -> None:
    done = run("from minimeta import kernels; print(kernels.level)", MINIMETA_ISA=level, CI="true")
    assert (done.stdout, done.stderr) == (f"{level}\n", "")


@pytest.mark.parametrize("level", ["avx9", "V3", " ", "native"])
def test_an_unknown_level_is_refused(level: str) -> None:
    done = run("import minimeta", MINIMETA_ISA=level)
    assert done.returncode == 1
    assert f"ImportError: MINIMETA_ISA={level!r} is unknown on this machine" in done.stderr
    assert ", ".join([*kernels.LEVELS, "reference"]) in done.stderr


@on_x86
def test_a_level_that_the_processor_cannot_run_is_refused() -> None:
    done = run(OLD_PROCESSOR + "import minimeta", MINIMETA_ISA="v3")
    assert done.returncode == 1
    assert "ImportError: MINIMETA_ISA='v3': this processor cannot run it, it lacks FMA3" in done.stderr


@pytest.mark.parametrize("level", kernels.able()[:1])
def test_a_level_that_was_not_built_is_refused(source_tree: Path, level: str) -> None:
    done = run(BARE + "import minimeta", source_tree, MINIMETA_ISA=level)
    assert done.returncode == 1
    assert f"ImportError: MINIMETA_ISA={level!r}: minimeta's C++ kernels are not built for it" in done.stderr
    assert "pip install -e ." in done.stderr
    assert f"CMAKE_ARGS='-DMINIMETA_LEVELS={';'.join(kernels.LEVELS)}'" in done.stderr


def test_an_extension_that_fails_to_load_is_not_called_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(name: str) -> ModuleType:
        raise ModuleNotFoundError("No module named 'other'", name="other")

    monkeypatch.setattr(importlib, "import_module", failing)
    with pytest.raises(ModuleNotFoundError, match="other"):
        kernels.load(kernels.able()[0])


def test_a_source_tree_without_its_extension_computes_in_numpy_and_says_so_once(source_tree: Path) -> None:
    once = "import warnings; warnings.simplefilter('always')\n"
    done = run(BARE + once + SECOND_ORDER, source_tree)
    assert done.returncode == 0
    assert done.stdout.startswith("reference True ") and "0x1." in done.stdout
    assert done.stderr.count("RuntimeWarning: minimeta's C++ kernels are not built") == 1
    levels = " or ".join(f"_native_{level}" for level in kernels.able())
    assert f"there is no {levels} next to" in done.stderr
    assert done.stderr.count("Warning") == 1
    assert "pip install -e ." in done.stderr and "MINIMETA_ISA=reference" in done.stderr


@on_x86
def test_an_old_processor_computes_in_numpy_and_says_so() -> None:
    done = run(OLD_PROCESSOR + "import warnings; warnings.simplefilter('always')\n" + SECOND_ORDER)
    assert done.returncode == 0
    assert done.stdout.startswith("reference True ")
    assert done.stderr.count("RuntimeWarning: minimeta has no C++ kernels for this processor") == 1


def test_in_continuous_integration_numpy_is_not_taken_silently(source_tree: Path) -> None:
    done = run(BARE + "import minimeta", source_tree, CI="true")
    assert done.returncode == 1
    assert "ImportError: minimeta's C++ kernels are not built" in done.stderr
    assert "pip install -e ." in done.stderr and "MINIMETA_ISA=reference" in done.stderr


def test_a_source_tree_computes_in_numpy_on_request(source_tree: Path) -> None:
    done = run(BARE + SECOND_ORDER, source_tree, MINIMETA_ISA="reference", CI="true")
    assert done.stderr == ""
    assert done.stdout.startswith("reference True ") and "0x1." in done.stdout


def test_levels_agree_to_the_bit_and_with_references_to_rounding() -> None:
    levels = [*kernels.built(), "reference"]
    done = [run(SECOND_ORDER, MINIMETA_ISA=level) for level in levels]
    assert [one.stderr for one in done] == [""] * len(done)
    assert [one.stdout.split()[:2] for one in done] == [[level, str(level == "reference")] for level in levels]
    *ours, theirs = ([float.fromhex(word) for word in one.stdout.split()[2:]] for one in done)
    assert len(theirs) == 4
    assert all(values == ours[0] for values in ours)
    assert ours[0] == pytest.approx(theirs, rel=1e-12)
