"""Every random number of a run follows from its seed.

A run needs four kinds of random numbers: the initial meta-parameters, the tasks of each training step, and the tasks
of evaluation and validation. Each draw has a generator of its own, seeded by *which* draw it is and not by what was
drawn before:

    step s: [seed, s]                   evaluation task i: [seed, i, 2]
    initialisation: [seed, 0, 1]        validation task i: [seed, i, 3]

So a checkpoint needs no generator state, and a run depends neither on the number of threads nor on interruptions. numpy
fills a short seed with zeros, so [seed, s] is [seed, s, 0]: the third number keeps the
kinds apart, and for seeds below 2**32 no evaluation task is ever drawn by a training step.
"""

import numpy as np


def training_generator(seed: int, step: int) -> np.random.Generator:
    """Generator of the tasks of a training step."""
    return np.random.default_rng([seed, step])


def initialisation_generator(seed: int) -> np.random.Generator:
    """Generator of the initial meta-parameters."""
    return np.random.default_rng([seed, 0, 1])


def evaluation_generator(seed: int, index: int) -> np.random.Generator:
    """Generator of evaluation task `index`."""
    return np.random.default_rng([seed, index, 2])


def validation_generator(seed: int, index: int) -> np.random.Generator:
    """Generator of validation task `index`."""
    return np.random.default_rng([seed, index, 3])
