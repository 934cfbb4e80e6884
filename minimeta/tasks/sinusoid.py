"""Sinusoid regression: the smallest problem on which learning to learn is visible.

Each task is one wave, to be learned from a few of its points:

    y = A sin(x - phase),    A ~ U[0.1, 5],    phase ~ U[0, pi],    x ~ U[-5, 5]

(Finn et al. 2017, section 5.1). Nichol et al. 2018 draw the phase from the whole circle, U[0, 2 pi], so that waves
cancel on average and a network that only learns their mean learns nothing.

Two numbers anchor every result, both integrals over this distribution:

    predicting 0                            E[A^2] / 2 = 4.2517
    the best prediction without adaptation  E[(y - E[y | x])^2] = 3.0057    (4.2517 on the whole circle)

where E[y | x] = E[A sin(x - phase)] is -1.6234 cos x on the half circle and 0 on the whole one. An error below the
second number is evidence of adaptation.
"""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from minimeta.errors import ConfigurationError
from minimeta.tasks.task import Examples, Task


@dataclass(frozen=True)
class Sinusoid:
    """Waves ``y = A sin(x - phase)``, each known by a few points.

    Attributes
    ----------
    shots
        Support points per task. Finn et al. train with 10 and test with 5, 10 and 20.
    queries
        Query points per task, drawn independently of the support. The code released with the paper draws ``2 * shots``
        points and uses the second half.
    amplitude, phase, interval
        Lower and upper end of the uniform distributions of ``A``, of the phase (radians) and of ``x``.
    grid
        Where it is a number, the support inputs are different points of so many that divide the interval evenly, ends
        included, in random order (all of them, in random order, if there are as many as `shots`): the released code of
        Nichol et al. has 50. None is for inputs of the uniform distribution, which query inputs always have.
    dtype
        The floating dtype of the arrays; waves are always computed in float64 and rounded once.

    Raises
    ------
    ConfigurationError
        If `shots` or `queries` is below 1, a range is not increasing, or the grid has fewer points than `shots`.
    """

    shots: int = 10
    queries: int = 10
    amplitude: tuple[float, float] = (0.1, 5.0)
    phase: tuple[float, float] = (0.0, math.pi)
    interval: tuple[float, float] = (-5.0, 5.0)
    grid: int | None = None
    dtype: DTypeLike = np.float32

    def __post_init__(self) -> None:
        for name in ("shots", "queries"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"Sinusoid: {name} must be at least 1, not {getattr(self, name)}")
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

        They write ``a sin(x + b)``; with ``b`` uniform on the circle that is the same distribution.
        """
        return cls(shots=shots, queries=queries, phase=(0.0, 2 * math.pi), grid=grid)

    def sample(self, rng: np.random.Generator, count: int) -> Task:
        """Draw `count` waves and the points they are known and judged by.

        Parameters
        ----------
        rng
            Source of randomness.
        count
            How many tasks.

        Returns
        -------
        Task
            Support inputs and targets of shape ``(count, shots, 1)``, query ones of shape ``(count, queries, 1)``.
        """
        amplitude = rng.uniform(*self.amplitude, size=(count, 1, 1))
        phase = rng.uniform(*self.phase, size=(count, 1, 1))
        inputs = rng.uniform(*self.interval, size=(count, self.shots + self.queries, 1))
        if self.grid is not None:
            points = rng.permuted(np.tile(np.linspace(*self.interval, self.grid), (count, 1)), axis=1)
            inputs[:, : self.shots, 0] = points[:, : self.shots]
        # Rounded before the wave is computed, so that a target is the wave at the input the learner really sees.
        inputs = inputs.astype(self.dtype)
        targets = (amplitude * np.sin(inputs.astype(np.float64) - phase)).astype(self.dtype)
        support, query = np.s_[:, : self.shots], np.s_[:, self.shots :]
        return Task(
            Examples(inputs[support].copy(), targets[support].copy()),
            Examples(inputs[query].copy(), targets[query].copy()),
        )

    def input_second_moment(self) -> float:
        """Return the expected square of an input, ``E[x^2]``: 25/3 for both papers, where initial weights need it."""
        return _second_moment(*self.interval)

    def zero_error(self) -> float:
        """Return the expected squared error of predicting 0: 4.2517 for both papers' distributions.

        It is ``E[A^2] E[sin^2(x - phase)]``, and with ``c_u(k) = E[exp(i k u)]`` the second factor is
        ``(1 - Re(c_x(2) conj(c_phase(2)))) / 2``.
        """
        return _second_moment(*self.amplitude) * _mean_square_sine(self.interval, _characteristic(*self.phase, 2))

    def unadapted_error(self) -> float:
        """Return the expected squared error of the best prediction without adaptation: 3.0057 for Finn et al.

        The mean wave is ``E[y | x] = E[A] |c| sin(x - arg c)`` with ``c = E[exp(i phase)]``, and the error of a mean is
        the variance ``E[y^2] - E[E[y | x]^2]``. On the whole circle, ``c = 0``.
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
