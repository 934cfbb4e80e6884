"""Few-shot Omniglot: the characters, and which of them are for training."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import ClassVar, Literal

from minimeta.tasks import Split, omniglot
from minimeta.tasks.images import Images
from minimeta.training.configuration import setting
from minimeta.training.presets.characters import (
    FineTuningCharacters,
    LSTMCharacters,
    MAMLCharacters,
    NearestCharacters,
    ReptileCharacters,
)


@dataclass(frozen=True)
class Omniglot:
    """Where the characters come from."""

    split: Literal["reptile", "maml", "background"] = setting(
        "reptile",
        paper="1200 to train on, the rest to test on",
        code="MAML: 1100, 100 to choose by, 423; Reptile: 1200, 423",
    )
    """Characters for training, validation and testing: 1200, 0, 423; 1100, 100, 423; or by alphabet 964, 0, 659."""

    task: ClassVar[str] = "omniglot"

    def images(self, data: str | os.PathLike[str] | None) -> Split[Images]:
        """Read Omniglot."""
        return Split(*omniglot.split(omniglot.load(data), self.split))


@dataclass(frozen=True)
class OmniglotPreset(Omniglot, MAMLCharacters):
    """N-way K-shot Omniglot, Finn et al. 2017, section 5.2, with the network of either kind."""


@dataclass(frozen=True)
class ReptileOmniglotPreset(Omniglot, ReptileCharacters):
    """N-way K-shot Omniglot, Nichol et al. 2018, section 6: 5-way 1-shot by the options of its released code."""


@dataclass(frozen=True)
class LSTMOmniglotPreset(Omniglot, LSTMCharacters):
    """N-way K-shot Omniglot with the LSTM meta-learner, Ravi and Larochelle 2017, by its settings for miniImageNet."""


@dataclass(frozen=True)
class FineTuningOmniglotPreset(Omniglot, FineTuningCharacters):
    """N-way K-shot Omniglot, each task learned from random parameters at the best fixed rate."""


@dataclass(frozen=True)
class NearestOmniglotPreset(Omniglot, NearestCharacters):
    """N-way K-shot Omniglot, each character taken for the one whose pixels are nearest."""
