"""Figures that nobody looks at are not drawn: matplotlib takes four fifths of the time of a small training."""

import pytest

from minimeta.cli import figures


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write files of figures without drawing them; ``monkeypatch.undo()`` in a test draws after all."""
    monkeypatch.setattr(figures, "save_figure", lambda path, figure: path.write_bytes(b"\x89PNG"))
