"""Sinusoid regression: the smallest problem on which learning to learn is visible.

Each task is one wave, and the learner knows a few of its points:

    y = A sin(x - phase),    A ~ U[0.1, 5],    phase ~ U[0, pi],    x ~ U[-5, 5]

(Finn et al. 2017, section 5.1). Nichol et al. 2018 draw the phase from the whole circle, U[0, 2
pi]. Waves then cancel on average, and a network that learns only their mean learns nothing.

Two integrals over this distribution anchor every result:

    predicting 0                            E[A^2] / 2 = 4.2517
    the best prediction without adaptation  E[(y - E[y | x])^2] = 3.0057    (4.2517 on the whole circle)

where E[y | x] = E[A sin(x - phase)] is -1.6234 cos x on the half circle and 0 on the whole one. An
error below the second number shows that a learner adapts.
"""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from minimeta.counts import check_counts
from minimeta.errors import ConfigurationError
from minimeta.tasks.task import Examples, Task


@dataclass(frozen=True)
class Sinusoid:
    """Waves ``y = A sin(x - phase)``, of which a learner knows a few points.

    Attributes
    ----------
    shots
        Support points per task. Finn et al. train with 10 and test with 5, 10 and 20.
    queries
        Query points per task, drawn independently of the support. The code released with the paper
        draws ``2 * shots`` points and uses the second half.
    amplitude, phase, interval
        Lower and upper end of the uniform distributions of ``A``, of the phase (radians) and of
        ``x``.
    grid
        Number of evenly spaced points, the ends of the interval included, from which different
        support inputs are drawn in random order: 50 in the released code of Nichol et al. None to
        draw them from the uniform distribution, as query inputs always are.
    dtype
        The floating dtype of the arrays; waves are computed in float64 and rounded once.

    Raises
    ------
    ConfigurationError
        If `shots` or `queries` is below 1, a range is not increasing, or the grid has fewer points
        than `shots`.
    """

    shots: int = 10
    queries: int = 10
    amplitude: tuple[float, float] = (0.1, 5.0)
    phase: tuple[float, float] = (0.0, math.pi)
    interval: tuple[float, float] = (-5.0, 5.0)
    grid: int | None = None
    dtype: DTypeLike = np.float32

    def __post_init__(self) -> None:
        check_counts(self, "shots queries" if self.grid is None else "shots queries grid")
        for name in ("amplitude", "phase", "interval"):
            low, high = getattr(self, name)
            if not low < high:
                raise ConfigurationError(f"Sinusoid: {name} must be (low, high) with low < high, not {(low, high)}")
        if self.grid is not None and self.grid < self.shots:
            raise ConfigurationError(f"Sinusoid: {self.shots} shots need a grid of as many points, not of {self.grid}")

    @classmethod
    def maml(cls, shots: int = 10, queries: int = 10) -> Sinusoid:
        """Return the distribution of Finn et al. 2017, section 5.1: phases of the half circle."""
        return cls(shots=shots, queries=queries)

    @classmethod
    def reptile(cls, shots: int = 10, queries: int = 10, grid: int | None = None) -> Sinusoid:
        """Return the distribution of Nichol et al. 2018: phases of the whole circle.

        They write ``a sin(x + b)``, which is the same distribution if ``b`` is uniform on the
        circle.
        """
        return cls(shots=shots, queries=queries, phase=(0.0, 2 * math.pi), grid=grid)

    def sample(self, rng: np.random.Generator, count: int) -> Task:
        """Draw `count` waves, and support and query points on each.

        Parameters
        ----------
        rng
            Source of randomness.
        count
            Number of tasks.

        Returns
        -------
        Task
            Support inputs and targets of shape ``(count, shots, 1)``, query ones of shape
            ``(count, queries, 1)``.
        """
        amplitude = rng.uniform(*self.amplitude, size=(count, 1, 1))
        phase = rng.uniform(*self.phase, size=(count, 1, 1))
        inputs = rng.uniform(*self.interval, size=(count, self.shots + self.queries, 1))
        if self.grid is not None:
            points = rng.permuted(np.tile(np.linspace(*self.interval, self.grid), (count, 1)), axis=1)
            inputs[:, : self.shots, 0] = points[:, : self.shots]
        # Round inputs before the wave is computed, so that a target is the wave at the input that
        # the learner sees.
        inputs = inputs.astype(self.dtype)
        targets = (amplitude * np.sin(inputs.astype(np.float64) - phase)).astype(self.dtype)
        support, query = np.s_[:, : self.shots], np.s_[:, self.shots :]
        return Task(
            Examples(inputs[support].copy(), targets[support].copy()),
            Examples(inputs[query].copy(), targets[query].copy()),
        )

    def input_second_moment(self) -> float:
        """Return the expected square of an input, ``E[x^2]``: 25/3 for both papers. Initial weights depend on it."""
        return _second_moment(*self.interval)

    def zero_error(self) -> float:
        """Return the expected squared error of predicting 0: 4.2517 for both papers' distributions.

        It is ``E[A^2] E[sin^2(x - phase)]``. With ``c_u(k) = E[exp(i k u)]`` the second factor is
        ``(1 - Re(c_x(2) conj(c_phase(2)))) / 2``.
        """
        return _second_moment(*self.amplitude) * _mean_square_sine(self.interval, _characteristic(*self.phase, 2))

    def unadapted_error(self) -> float:
        """Return the expected squared error of the best prediction without adaptation: 3.0057 for
        Finn et al.

        The mean wave is ``E[y | x] = E[A] |c| sin(x - arg c)`` with ``c = E[exp(i phase)]``, and
        the error of a mean is the variance ``E[y^2] - E[E[y | x]^2]``. On the whole circle,
        ``c = 0``.
        """
        mean_wave = _characteristic(*self.phase, 1)
        mean_amplitude = sum(self.amplitude) / 2 * abs(mean_wave)
        direction = cmath.exp(2j * cmath.phase(mean_wave))
        return self.zero_error() - mean_amplitude**2 * _mean_square_sine(self.interval, direction)


def _second_moment(low: float, high: float) -> float:
    """Return E[u^2] of u ~ U[low, high]."""
    return (low * low + low * high + high * high) / 3


def _characteristic(low: float, high: float, frequency: int) -> complex:
    """Return E[exp(i frequency u)] of u ~ U[low, high]."""
    width = frequency * (high - low)
    return (cmath.exp(1j * frequency * high) - cmath.exp(1j * frequency * low)) / (1j * width)


def _mean_square_sine(interval: tuple[float, float], double_angle: complex) -> float:
    """Return E[sin^2(x - phase)] of x uniform on the interval, given E[exp(2i phase)]."""
    return (1 - (_characteristic(*interval, 2) * double_angle.conjugate()).real) / 2
