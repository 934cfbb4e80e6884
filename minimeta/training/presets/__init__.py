"""Whole experiments: a paper's benchmark, a learner, and their settings.

Each preset is a frozen dataclass whose defaults are the experiment and whose every setting says where it comes from,
the paper or the code released with it; where the two differ a preset says which it follows, and the other value is a
setting away. What a benchmark's tasks and network are is written once (``sinusoid``; ``images`` for ``omniglot`` and
``strokes``, ``own_images``), and so is what a learner needs (``learners``, ``baselines``); a preset is one of each.

Sources: C. Finn, P. Abbeel, S. Levine, *Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks*, ICML 2017,
with cbfinn/maml; A. Nichol, J. Achiam, J. Schulman, *On First-Order Meta-Learning Algorithms*, 2018 (arXiv:1803.02999),
with openai/supervised-reptile and, for sinusoids, a page of code by its last author; S. Ravi, H. Larochelle,
*Optimization as a Model for Few-Shot Learning*, ICLR 2017, with twitter-research/meta-learning-lstm.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from minimeta.training.presets.experiment import EvaluationSettings, Experiment, LearnerName, Preset
from minimeta.training.presets.images import ImageEvaluationSettings
from minimeta.training.presets.omniglot import (
    FineTuningOmniglotPreset,
    LSTMOmniglotPreset,
    NearestOmniglotPreset,
    OmniglotPreset,
    ReptileOmniglotPreset,
)
from minimeta.training.presets.own_images import (
    FineTuningImagesPreset,
    ImagesPreset,
    LSTMImagesPreset,
    NearestImagesPreset,
    ReptileImagesPreset,
)
from minimeta.training.presets.sinusoid import (
    FineTuningSinusoidPreset,
    LSTMSinusoidPreset,
    NearestSinusoidPreset,
    PretrainingSinusoidPreset,
    ReptileSinusoidPreset,
    SinusoidPreset,
)
from minimeta.training.presets.strokes import (
    FineTuningStrokesPreset,
    LSTMStrokesPreset,
    NearestStrokesPreset,
    ReptileStrokesPreset,
    StrokesPreset,
)

_ALL: tuple[Preset, ...] = (
    SinusoidPreset(),
    ReptileSinusoidPreset(),
    LSTMSinusoidPreset(),
    PretrainingSinusoidPreset(),
    FineTuningSinusoidPreset(),
    NearestSinusoidPreset(),
    OmniglotPreset(),
    ReptileOmniglotPreset(),
    LSTMOmniglotPreset(),
    FineTuningOmniglotPreset(),
    NearestOmniglotPreset(),
    StrokesPreset(),
    ReptileStrokesPreset(),
    LSTMStrokesPreset(),
    FineTuningStrokesPreset(),
    NearestStrokesPreset(),
    ImagesPreset(),
    ReptileImagesPreset(),
    LSTMImagesPreset(),
    FineTuningImagesPreset(),
    NearestImagesPreset(),
)

PRESETS: dict[tuple[LearnerName, str], Preset] = {
    (name, preset.task): preset for preset in _ALL for name in preset.learners
}
"""The experiments by learner and task."""

LEARNERS: tuple[LearnerName, ...] = tuple(dict.fromkeys(learner for learner, _ in PRESETS))


def fingerprint(learner: LearnerName, preset: Preset) -> dict[str, Any]:
    """Return what must be equal for a run to be resumed: all but how long it goes on and how it is measured.

    Where a step depends on how many there will be in all, that is part of it.
    """
    settings = dataclasses.asdict(preset)
    del settings["evaluation"]
    if not preset.scheduled:
        del settings["iterations"]
    return {"learner": learner, "task": preset.task} | settings


__all__ = [
    "LEARNERS",
    "PRESETS",
    "EvaluationSettings",
    "Experiment",
    "ImageEvaluationSettings",
    "LearnerName",
    "OmniglotPreset",
    "Preset",
    "SinusoidPreset",
    "StrokesPreset",
    "fingerprint",
]
