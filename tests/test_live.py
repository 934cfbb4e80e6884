"""The live figures are what their code makes of the programs of today; a browser tests what they compute."""

import importlib
import re

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pages = importlib.import_module("live_pages")


def without_picture(text: str) -> str:
    """A page without what matplotlib draws, which changes with its version."""
    return re.sub(r"<noscript>.*?</noscript>", "", text, flags=re.DOTALL)


@pytest.mark.parametrize("name", pages.NAMES)
def test_pages_are_made_by_their_code(name: str) -> None:
    written = (pages.HERE / f"{name}.html").read_text("utf-8")
    assert len(written.encode()) < 300_000
    made = pages.made(name)
    assert without_picture(made) == without_picture(written), f"run: python docs/book/live/live_pages.py {name}"
    assert [len(re.findall("<noscript>", text)) for text in (made, written)] == [1, 1]
    assert not re.search(r"<link|<img|@import|url\((?!#)|\b(src|href)=\"https?:", without_picture(written))
    assert "/docs/book/live" not in written  # no folder of this machine


def error_after_a_step(name: str) -> float:
    """The mean squared error on new points of sinusoids as the paper draws them, after a step on five points."""
    sinusoid = importlib.import_module("sinusoid_page")
    rng = np.random.default_rng(0)
    errors = []
    for _ in range(100):
        amplitude, phase = rng.uniform(0.1, 5), rng.uniform(0, np.pi)
        x, queries = rng.uniform(-5, 5, (2, 5)).astype(np.float32)
        y, answers = (amplitude * np.sin(each - phase) for each in (x, queries))
        _, adapted = sinusoid.gradient_step(sinusoid.start(name), x, y.astype(np.float32), np.float32(0.01))
        errors.append(np.mean((sinusoid.predict(adapted, queries) - answers) ** 2))
    return float(np.mean(errors))


def test_the_parameters_are_meta_learned() -> None:
    assert error_after_a_step("learned") < 0.9  # Finn et al. 2017 have 0.67 after one step on five points.
    assert error_after_a_step("random") > 2.0
