from itertools import product

import numpy as np
import pytest

from minimeta.errors import ConfigurationError
from minimeta.training.randomness import (
    checked_seed,
    evaluation_generator,
    initialisation_generator,
    noise_generator,
    training_generator,
    validation_generator,
)


def test_no_two_draws_share_a_generator() -> None:
    seeds, numbers = (0, 1, 2, 2**32 - 1), (0, 1, 2, 600)
    first_numbers = [initialisation_generator(seed).random() for seed in seeds] + [
        generator(seed, number).random()
        for generator, seed, number in product(
            (training_generator, evaluation_generator, validation_generator), seeds, numbers
        )
    ]
    first_numbers += [noise_generator(*which).random() for which in product(seeds, numbers, (0, 1, 2, 3, 31))]

    assert len(set(first_numbers)) == len(seeds) * (1 + 3 * len(numbers) + 5 * len(numbers))


def test_a_draw_depends_on_its_number_alone() -> None:
    assert training_generator(3, 41).random() == training_generator(3, 41).random()
    assert evaluation_generator(3, 41).random() == evaluation_generator(3, 41).random()
    assert noise_generator(3, 41, 2).random() == noise_generator(3, 41, 2).random()


def test_numbers_of_any_integer_type_are_taken() -> None:
    assert checked_seed("f", np.int64(3)) == 3 and type(checked_seed("f", np.int64(3))) is int
    assert checked_seed("f", 2**32 - 1) == 2**32 - 1
    for wrong in (2**32, -1, 0.0, None, "1"):
        with pytest.raises(ConfigurationError, match=r"f: seed=.* must be .*from 0 to 4294967295"):
            checked_seed("f", wrong)  # type: ignore[arg-type]
