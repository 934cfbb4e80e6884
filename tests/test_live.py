"""The live figures are what their code makes of the programs of today; a browser tests what they compute."""

import importlib
import re

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
