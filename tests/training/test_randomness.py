from itertools import product

from minimeta.training.randomness import evaluation_generator, initialisation_generator, training_generator


def test_no_two_draws_share_a_generator() -> None:
    seeds, numbers = (0, 1, 2, 2**32 - 1), (0, 1, 2, 600)
    first_numbers = [initialisation_generator(seed).random() for seed in seeds] + [
        generator(seed, number).random()
        for generator, seed, number in product((training_generator, evaluation_generator), seeds, numbers)
    ]

    assert len(set(first_numbers)) == len(seeds) * (1 + 2 * len(numbers))


def test_a_draw_depends_on_its_number_alone() -> None:
    assert training_generator(3, 41).random() == training_generator(3, 41).random()
    assert evaluation_generator(3, 41).random() == evaluation_generator(3, 41).random()
