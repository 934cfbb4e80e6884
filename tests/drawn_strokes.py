"""Strokes that are drawn once: it takes a second."""

from typing import Any

import pytest

from minimeta.tasks import strokes


@pytest.fixture(scope="session")
def characters() -> Any:
    return strokes.draw()


@pytest.fixture
def strokes_at_once(characters: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strokes, "draw", lambda: characters)
