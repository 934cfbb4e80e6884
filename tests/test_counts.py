"""A count is an integer, wherever it is asked for: 2.5, 2.0, True and "2" are errors that name it."""

import dataclasses
from collections.abc import Callable
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest

from minimeta.counts import whole_number
from minimeta.errors import ConfigurationError
from minimeta.learners import MAML, FineTuning, MetaLSTM, Reptile
from minimeta.nn import mean_squared_error, mlp
from minimeta.optim import sgd
from minimeta.rl import Categorical, Discrete, Gaussian, TrustRegion
from minimeta.rl.environments import CheetahVelocity, Navigation, Tabular, corridor, random_tables
from minimeta.rl.repeated import Repeated
from minimeta.tasks import FewShot, Sinusoid, strokes
from minimeta.tasks.image_files import Reading
from minimeta.tasks.image_splits import split_classes
from minimeta.training.presets import PRESETS
from minimeta.training.presets.preset import PARTS

MAY_BE_NONE = ("Sinusoid: grid", "Reading: size", "Reptile: batch_size", "Reptile: evaluation_batch_size")
MODEL = mlp((1, 2, 1))
RNG = np.random.default_rng(0)
IMAGES = np.zeros((5, 4, 3, 3), np.uint8)
ASKED: dict[str, Callable[[Any], object]] = {
    "Sinusoid: shots": lambda n: Sinusoid(shots=n),
    "Sinusoid: queries": lambda n: Sinusoid(queries=n),
    "Sinusoid: grid": lambda n: Sinusoid(shots=2, grid=n),
    "FewShot: ways": lambda n: FewShot(IMAGES, ways=n),
    "FewShot: shots": lambda n: FewShot(IMAGES, shots=n),
    "FewShot: queries": lambda n: FewShot(IMAGES, queries=n),
    "strokes.draw: classes": lambda n: strokes.draw(classes=n, drawers=1),
    "strokes.draw: drawers": lambda n: strokes.draw(classes=1, drawers=n),
    "strokes.draw: seed": lambda n: strokes.draw(classes=1, drawers=1, seed=n),
    "Reading: size": lambda n: Reading(size=n),
    "split: ways": lambda n: split_classes(list("abcdefgh"), (1, 1, 1), ways=n),
    "split: seed": lambda n: split_classes(list("abcdefgh"), (1, 1, 1), ways=2, seed=n),
    "tabular: horizon": lambda n: Tabular(np.ones(1), np.ones((1, 1, 1)), np.ones((1, 1)), n),
    "random_tables: states": lambda n: random_tables(RNG, states=n),
    "random_tables: actions": lambda n: random_tables(RNG, actions=n),
    "corridor: goal": corridor,
    "corridor: length": lambda n: corridor(1, length=n),
    "navigation: horizon": lambda n: Navigation((0.0, 0.0), n),
    "half-cheetah velocity: horizon": lambda n: CheetahVelocity(1.0, n),
    "MAML: inner_steps": lambda n: MAML(MODEL, mean_squared_error, 0.1, n),
    "FineTuning: inner_steps": lambda n: FineTuning(MODEL, mean_squared_error, (0.1,), n),
    "MetaLSTM: inner_steps": lambda n: MetaLSTM(MODEL, mean_squared_error, n),
    "MetaLSTM: hidden": lambda n: MetaLSTM(MODEL, mean_squared_error, 2, hidden=n),
    "Reptile: inner_steps": lambda n: Reptile(MODEL, mean_squared_error, sgd(0.1), n),
    "Reptile: batch_size": lambda n: Reptile(MODEL, mean_squared_error, sgd(0.1), 2, n),
    "Reptile: evaluation_batch_size": lambda n: Reptile(MODEL, mean_squared_error, sgd(0.1), 2, 2, n),
    "Categorical: actions": lambda n: Categorical(MODEL, n),
    "Gaussian: actions": lambda n: Gaussian(MODEL, n),
    "Discrete: count": Discrete,
    "Repeated: times": lambda n: Repeated(sgd(0.1), n),
    "TrustRegion: iterations": lambda n: TrustRegion(iterations=n),
    "TrustRegion: backtracks": lambda n: TrustRegion(backtracks=n),
}


@pytest.mark.parametrize("asked", ASKED)
def test_a_count_is_an_integer(asked: str) -> None:
    make = ASKED[asked]
    make(2), make(np.int64(2))
    for wrong in (2.5, 2.0, True, "2", "2" if asked in MAY_BE_NONE else None):
        with pytest.raises(ConfigurationError, match=f"^{asked}={wrong!r} must be an integer, "):
            make(wrong)


def test_every_count_of_a_preset_is_an_integer() -> None:
    parts = {type(part): part for preset in PRESETS.values() for part in (getattr(preset, name) for name in PARTS)}
    tried = 0
    for kind, part in parts.items():
        for name, hint in get_type_hints(kind).items():
            is_field = name in {field.name for field in dataclasses.fields(part)}
            if is_field and int in (hint, *get_args(hint)) and "Literal" not in str(hint):
                for wrong in (2.5, 100.0, True):
                    value = wrong if hint is int else (wrong,)
                    with pytest.raises(ConfigurationError, match=f"^{name} must be an integer, .* not {wrong}"):
                        dataclasses.replace(part, **{name: value})
                    tried += 1
    assert tried > 100
    assert {int, tuple[int, ...]} <= {hint for kind in parts for hint in get_type_hints(kind).values()}


def test_bounds_are_named() -> None:
    assert whole_number("f", "n", np.int8(3), 1) == 3 and type(whole_number("f", "n", np.int8(3), 1)) is int
    for number, most, bounds in ((0, None, "at least 1"), (0, 4, "from 1 to 4"), (5, 4, "from 1 to 4")):
        with pytest.raises(ConfigurationError, match=f"f: n={number} must be {bounds}"):
            whole_number("f", "n", number, 1, most)
