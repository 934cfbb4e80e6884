"""docs/numpy.md says of every public callable of numpy's what becomes of it, and says what is so."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import minimeta as mm

DOCS = Path(__file__).parent.parent / "docs"


def generator() -> ModuleType:
    specification = importlib.util.spec_from_file_location("numpy_page", DOCS / "numpy_page.py")
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


PAGE = (DOCS / "numpy.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| `(\S+)` \| ([a-z ]+) \|", PAGE, re.MULTILINE))


@pytest.mark.parametrize(("prefix", "module"), [("np", np), ("np.linalg", np.linalg), ("np.fft", np.fft)])
def test_the_page_has_every_public_callable(prefix: str, module: ModuleType) -> None:
    errors = {
        name for name in dir(module) if isinstance(getattr(module, name), type(ValueError)) and name.endswith("Error")
    }
    public = {name for name in dir(module) if callable(getattr(module, name)) and not name.startswith("_")} - errors
    assert {f"{prefix}.{name}" for name in public} <= set(ROWS)


def test_the_page_is_what_its_generator_writes() -> None:
    made = generator()
    if f"in numpy {made.VERSION}." not in PAGE:
        pytest.skip("the page is written with another version of numpy")
    assert made.page() == PAGE


def test_most_of_numpy_is_answered() -> None:
    kinds = list(ROWS.values())
    assert kinds.count("differentiable") >= 240
    assert kinds.count("differentiable") + kinds.count("constant") >= 300


def test_a_complex_result_depends_on_what_it_is_made_of() -> None:
    gradient = mm.grad(lambda x: np.sum(np.abs(np.fft.rfft(x)) ** 2))(np.arange(4.0))
    assert np.any(gradient != 0)
    assert {ROWS[f"np.{name}"] for name in ("fft.fft", "fft.rfftn", "fft.ihfft", "imag", "angle", "abs")} == {
        "differentiable"
    }
