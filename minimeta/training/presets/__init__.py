"""Presets: a paper's benchmark, a learner and all their settings, as values.

    PRESETS["maml", "omniglot"].replace({"network": "conv4"}).experiment(data)

The settings are dataclasses: one for each learner (``learners``, ``baselines``, and ``policies`` for
those that act), one for each benchmark (``sinusoid``, ``images``, ``control``), one for the run and one
for the evaluation (``parts``). A preset (``preset``) is one of each. Its values, and what the papers
and their codes say of them, are tables (``papers``, ``control_papers``).
"""

from __future__ import annotations

import itertools

from minimeta.training.presets.baselines import FineTuningSettings, NearestSettings, PretrainingSettings
from minimeta.training.presets.control import (
    CheetahDirectionSettings,
    CheetahVelocitySettings,
    NavigationSettings,
)
from minimeta.training.presets.control_papers import TABLES as CONTROL_TABLES
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
from minimeta.training.presets.policies import (
    FirstOrderPolicyMAMLSettings,
    OracleSettings,
    PolicyMAMLSettings,
    PolicyPretrainingSettings,
    PolicyReptileSettings,
    RandomPolicySettings,
)
from minimeta.training.presets.preset import Experiment, Preset
from minimeta.training.presets.sinusoid import SinusoidSettings

_LEARNERS_OF_EXAMPLES: tuple[type[LearnerSettings], ...] = (
    MAMLSettings,
    FirstOrderMAMLSettings,
    ReptileSettings,
    LSTMSettings,
    PretrainingSettings,
    FineTuningSettings,
    NearestSettings,
)
_BENCHMARKS_OF_EXAMPLES: tuple[type[BenchmarkSettings], ...] = (
    SinusoidSettings,
    OmniglotSettings,
    StrokesSettings,
    OwnImagesSettings,
)


_LEARNERS_THAT_ACT: tuple[type[LearnerSettings], ...] = (
    PolicyMAMLSettings,
    FirstOrderPolicyMAMLSettings,
    PolicyReptileSettings,
    PolicyPretrainingSettings,
    RandomPolicySettings,
    OracleSettings,
)
_ENVIRONMENTS: tuple[type[BenchmarkSettings], ...] = (
    NavigationSettings,
    CheetahDirectionSettings,
    CheetahVelocitySettings,
)


def _presets() -> dict[tuple[str, str], Preset]:
    tables = {**TABLES, **CONTROL_TABLES}
    found = {}
    domains = ((_LEARNERS_OF_EXAMPLES, _BENCHMARKS_OF_EXAMPLES), (_LEARNERS_THAT_ACT, _ENVIRONMENTS))
    for learners, benchmarks in domains:
        for learner, benchmark in itertools.product(learners, benchmarks):
            like = (
                "maml" if learner.name == "fomaml" else learner.name,
                "omniglot" if benchmark is StrokesSettings else benchmark.name,
            )
            # Few-shot classes have other labels in every task, so there is nothing to pre-train on
            # jointly.
            if like not in tables:
                continue
            title, table = tables[like]
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

LEARNERS: tuple[str, ...] = tuple(dict.fromkeys(each.name for each in _LEARNERS_OF_EXAMPLES + _LEARNERS_THAT_ACT))
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
