"""Few-shot strokes (:mod:`minimeta.tasks.strokes`), by the settings for Omniglot: no data are needed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import ClassVar

from minimeta.tasks import Split, strokes
from minimeta.tasks.images import Images
from minimeta.training.presets.characters import (
    FineTuningCharacters,
    LSTMCharacters,
    MAMLCharacters,
    NearestCharacters,
    ReptileCharacters,
)


class Strokes:
    """Where the characters come from, and what there is to compare with."""

    task: ClassVar[str] = "strokes"
    sources: ClassVar[str] = "Omniglot"

    def images(self, data: str | os.PathLike[str] | None) -> Split[Images]:
        """Draw the characters; no data are needed."""
        return Split(*strokes.split(strokes.draw()))


@dataclass(frozen=True)
class StrokesPreset(Strokes, MAMLCharacters):
    """N-way K-shot strokes by the settings for Omniglot."""


@dataclass(frozen=True)
class ReptileStrokesPreset(Strokes, ReptileCharacters):
    """N-way K-shot strokes by the settings for Omniglot."""


@dataclass(frozen=True)
class LSTMStrokesPreset(Strokes, LSTMCharacters):
    """N-way K-shot strokes by the settings for Omniglot."""


@dataclass(frozen=True)
class FineTuningStrokesPreset(Strokes, FineTuningCharacters):
    """N-way K-shot strokes by the settings for Omniglot."""


@dataclass(frozen=True)
class NearestStrokesPreset(Strokes, NearestCharacters):
    """N-way K-shot strokes by the settings for Omniglot."""
