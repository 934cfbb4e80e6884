"""Presets: a paper's benchmark, a learner and all their settings, as values.

    PRESETS["maml", "omniglot"].replace({"network": "conv4"}).experiment(data)

The settings are dataclasses: one for each learner (``learners``, ``baselines``), one for each
benchmark (``sinusoid``, ``images``), one for the run and one for the evaluation (``parts``). A
preset (``preset``) is one of each. Its values, and what the papers and their codes say of them, are
tables (``papers``).
"""

from __future__ import annotations

from minimeta.training.presets.baselines import FineTuningSettings, NearestSettings, PretrainingSettings
from minimeta.training.presets.images import OmniglotSettings, OwnImagesSettings, StrokesSettings
from minimeta.training.presets.learners import FirstOrderMAMLSettings, LSTMSettings, MAMLSettings, ReptileSettings
from minimeta.training.presets.papers import TABLES
from minimeta.training.presets.parts import (
    BenchmarkSettings,
    EvaluationSettings,
    LearnerSettings,
    Problem,
    RunSettings,
)
from minimeta.training.presets.preset import Experiment, Preset
from minimeta.training.presets.sinusoid import SinusoidSettings

_LEARNERS: tuple[type[LearnerSettings], ...] = (
    MAMLSettings,
    FirstOrderMAMLSettings,
    ReptileSettings,
    LSTMSettings,
    PretrainingSettings,
    FineTuningSettings,
    NearestSettings,
)
_BENCHMARKS: tuple[type[BenchmarkSettings], ...] = (
    SinusoidSettings,
    OmniglotSettings,
    StrokesSettings,
    OwnImagesSettings,
)


def _presets() -> dict[tuple[str, str], Preset]:
    found = {}
    for learner in _LEARNERS:
        for benchmark in _BENCHMARKS:
            like = (
                "maml" if learner is FirstOrderMAMLSettings else learner.name,
                "omniglot" if benchmark is StrokesSettings else benchmark.name,
            )
            # Few-shot classes have other labels in every task, so there is nothing to pre-train on
            # jointly.
            if like not in TABLES:
                continue
            title, table = TABLES[like]
            other = "Omniglot" if benchmark is StrokesSettings else ""
            if other:
                title, table = "N-way K-shot strokes by the settings for Omniglot.", {**table}
                del table["split"]
            preset = Preset(
                RunSettings(),
                learner(),
                benchmark(),
                EvaluationSettings(),
                title,
                {name: said.source(other) for name, said in table.items()},
            )
            values = {name: said.value for name, said in table.items()}
            found[learner.name, benchmark.name] = preset.replace(values, f"preset {learner.name} {benchmark.name}")
    return found


PRESETS: dict[tuple[str, str], Preset] = _presets()
"""The presets by learner and task."""

LEARNERS: tuple[str, ...] = tuple(learner.name for learner in _LEARNERS)
"""The learners by name."""

__all__ = [
    "LEARNERS",
    "PRESETS",
    "EvaluationSettings",
    "Experiment",
    "Preset",
    "Problem",
    "RunSettings",
]
