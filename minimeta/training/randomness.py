"""Every random number of a run follows from its seed.

A run needs six kinds of random numbers: the initial meta-parameters, the tasks of each training
step, the learner's noise for each of these tasks, the tasks of evaluation and validation, and what
an agent does in them. Each draw has its own generator, seeded by *which* draw it is and not by the
draws before it:

    tasks of step s: [seed, s]                  evaluation task i: [seed, i, 2]
    initialisation: [seed, 0, 1]                validation task i: [seed, i, 3]
    noise of task i of step s: [seed, s, 4, i]
    what an agent does in phase k of task i, in step s: [seed, s, 5, i, k]; in evaluation: [seed, i, 6, k]

So a checkpoint needs no generator state, and a run depends neither on the number of threads nor on
interruptions. numpy fills a short seed with zeros, so [seed, s] is [seed, s, 0]: the third number
keeps the kinds apart, and for seeds below 2**32 no training step ever draws an evaluation task.
"""

from typing import SupportsIndex

import numpy as np

from minimeta.counts import whole_number


def checked_seed(caller: str, seed: SupportsIndex) -> int:
    """Return a seed from 0 to 2**32 - 1, for which the kinds of draws stay apart."""
    return whole_number(caller, "seed", seed, 0, 2**32 - 1)


def training_generator(seed: int, step: int) -> np.random.Generator:
    """Return the generator of the tasks of a training step."""
    return np.random.default_rng([seed, step])


def initialisation_generator(seed: int) -> np.random.Generator:
    """Return the generator of the initial meta-parameters."""
    return np.random.default_rng([seed, 0, 1])


def noise_generator(seed: int, step: int, task: int) -> np.random.Generator:
    """Return the generator of the learner's noise for one task of a training step."""
    return np.random.default_rng([seed, step, 4, task])


def phase_generator(seed: int, step: int, task: int, phase: int) -> np.random.Generator:
    """Return the generator of what an agent does in one phase of one task of a training step."""
    return np.random.default_rng([seed, step, 5, task, phase])


def evaluation_phase_generator(seed: int, index: int, phase: int) -> np.random.Generator:
    """Return the generator of what an agent does in one phase of evaluation task `index`."""
    return np.random.default_rng([seed, index, 6, phase])


def evaluation_generator(seed: int, index: int) -> np.random.Generator:
    """Return the generator of evaluation task `index`."""
    return np.random.default_rng([seed, index, 2])


def validation_generator(seed: int, index: int) -> np.random.Generator:
    """Return the generator of validation task `index`."""
    return np.random.default_rng([seed, index, 3])
