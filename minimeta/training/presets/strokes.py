"""Few-shot strokes (:mod:`minimeta.tasks.strokes`), by the settings for Omniglot: no data are needed.

No paper reports it; what the settings say of paper and code, they say of Omniglot.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from minimeta.tasks import Split, strokes
from minimeta.training.presets.omniglot import (
    FineTuningOmniglotPreset,
    LSTMOmniglotPreset,
    NearestOmniglotPreset,
    OmniglotPreset,
    ReptileOmniglotPreset,
)


class Strokes:
    """Where the characters come from, and what there is to compare with."""

    task: ClassVar[str] = "strokes"

    @property
    def published(self) -> str:
        """What there is to compare with."""
        return "no paper: the characters are made up. The nearest neighbour on pixels reaches 56 % (5-way 1-shot)"

    def images(self, data: str | os.PathLike[str] | None) -> Split[NDArray[np.uint8]]:
        """Draw the characters; no data are needed."""
        return strokes.split(strokes.draw())


@dataclass(frozen=True)
class StrokesPreset(Strokes, OmniglotPreset):
    """N-way K-shot strokes by the settings for Omniglot."""


@dataclass(frozen=True)
class ReptileStrokesPreset(Strokes, ReptileOmniglotPreset):
    """N-way K-shot strokes by the settings for Omniglot."""


@dataclass(frozen=True)
class LSTMStrokesPreset(Strokes, LSTMOmniglotPreset):
    """N-way K-shot strokes by the settings for Omniglot."""


@dataclass(frozen=True)
class FineTuningStrokesPreset(Strokes, FineTuningOmniglotPreset):
    """N-way K-shot strokes by the settings for Omniglot."""


@dataclass(frozen=True)
class NearestStrokesPreset(Strokes, NearestOmniglotPreset):
    """N-way K-shot strokes by the settings for Omniglot."""
