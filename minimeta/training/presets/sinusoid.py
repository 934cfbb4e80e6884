"""Sinusoid regression: waves, and the network that learns them (Finn et al. 2017; Nichol et al. 2018)."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from typing import ClassVar, Literal

from minimeta.errors import ConfigurationError
from minimeta.nn import mean_squared_error, mlp
from minimeta.tasks import Sinusoid
from minimeta.tasks.inputs import Inputs
from minimeta.training.configuration import require
from minimeta.training.presets.parts import BenchmarkSettings, Distributions, EvaluationSettings, Problem


@dataclass(frozen=True)
class SinusoidSettings(BenchmarkSettings):
    """Waves and the network that learns them.

    Raises
    ------
    ConfigurationError
        If a value is out of range.
    """

    shots: int = 10
    """Support points per training task."""
    queries: int = 10
    """Query points per training task."""
    phases: Literal["half_circle", "whole_circle"] = "half_circle"
    """Range of the phases: the half circle of Finn et al., or the whole one of Nichol et al."""
    grid_points: int = 0
    """Number of evenly spaced points to draw support points from; 0 to draw them from the whole interval."""
    hidden: tuple[int, ...] = (40, 40)
    """Widths of the hidden layers."""
    activation: Literal["relu", "tanh"] = "relu"
    """The function after each of them."""
    initialiser: Literal["he", "truncated_normal"] = "he"
    """Distribution of the initial weights; `he` takes the second moment of the inputs, 25/3, into account."""

    name: ClassVar[str] = "sinusoid"

    def __post_init__(self) -> None:
        require(self, names="shots queries hidden", at_least=1)
        require(self, names="grid_points", at_least=self.shots if self.grid_points else 0)

    def problem(self) -> Problem:
        """Build the network."""
        model = mlp(
            (1, *self.hidden, 1),
            activation=self.activation,
            initialiser=self.initialiser,
            input_second_moment=self._waves.input_second_moment(),
        )
        return Problem(
            model,
            last_layer=str(len(self.hidden)),
            loss=mean_squared_error,
            metrics={},
            metric=mean_squared_error,
            metric_name="squared error",
            inputs=Inputs((1,)),
        )

    def tasks(self, evaluation: EvaluationSettings, data: str | os.PathLike[str] | None) -> Distributions:
        """Build the waves; they are drawn, so `data` is not used."""
        if 0 < self.grid_points < evaluation.shots:
            raise ConfigurationError(
                f"grid_points must be at least evaluation.shots, {evaluation.shots}, not {self.grid_points}"
            )
        judged = dataclasses.replace(self._waves, shots=evaluation.shots, queries=evaluation.queries)
        return Distributions(self._waves, judged, judged)

    @property
    def _waves(self) -> Sinusoid:
        draw = Sinusoid.maml if self.phases == "half_circle" else Sinusoid.reptile
        return dataclasses.replace(draw(self.shots, self.queries), grid=self.grid_points or None)
