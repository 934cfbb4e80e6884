"""Settings read off objects tell apart what differs, and are equal for what is equal, in any process."""

import functools
import json
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minimeta import nn, optim
from minimeta.learners import MAML, MetaLSTM, Reptile
from minimeta.tasks import Sinusoid
from minimeta.training.fingerprint import settings_of

LOSS = nn.mean_squared_error


def maml(sizes: tuple[int, ...] = (1, 4, 1), rate: float = 0.01, steps: int = 1, **others: Any) -> MAML:
    return MAML(nn.mlp(sizes), LOSS, rate, steps, **others)


DIFFERENT: list[Any] = [
    maml(),
    maml(rate=0.02),
    maml(steps=2),
    maml((1, 5, 1)),
    maml(order=1),
    maml(adapts="1"),
    MAML(nn.mlp((1, 4, 1), activation="tanh"), LOSS, 0.01),
    MAML(nn.mlp((1, 4, 1)), nn.cross_entropy, 0.01),
    Reptile(nn.mlp((1, 4, 1)), LOSS, optim.sgd(0.01), 2, 5),
    Reptile(nn.mlp((1, 4, 1)), LOSS, optim.sgd(0.02), 2, 5),
    MetaLSTM(nn.mlp((1, 4, 1)), LOSS, 2),
    optim.sgd(0.1),
    optim.sgd(0.2),
    optim.momentum(0.1),
    optim.adam(),
    optim.adam(0.002),
    optim.clip_global_norm(optim.adam(), 0.1),
    optim.clip_global_norm(optim.adam(), 0.2),
    optim.clip_global_norm(optim.sgd(0.1), 0.1),
    Sinusoid(),
    Sinusoid(shots=5),
    Sinusoid(grid=50),
    np.arange(3.0),
    np.arange(3),
    np.array([0.0, 1.0, 2.5]),
    [1, 2],
    [2, 1],
    {"a": 1},
    {"b": 1},
    True,
    1,
    1.0,
    -0.0,
    0.0,
    np.nan,
    None,
    "1",
]


def test_what_differs_has_other_settings() -> None:
    found = [json.dumps(settings_of("it", value), sort_keys=True) for value in DIFFERENT]
    assert len(set(found)) == len(DIFFERENT)


@pytest.mark.parametrize("value", DIFFERENT, ids=lambda value: type(value).__name__)
def test_a_copy_from_another_process_has_the_same_settings(value: Any) -> None:
    assert settings_of("it", pickle.loads(pickle.dumps(value))) == settings_of("it", value)


def test_names_say_where_a_setting_is() -> None:
    found = settings_of("learner", maml(rate=0.25, steps=3))
    assert found["learner"] == "MAML"
    assert found["learner.inner_learning_rate"] == "0.25"
    assert [value for name, value in found.items() if name.endswith("inner_steps")] == [3]


def test_functions_are_known_by_what_they_take_from_around_them() -> None:
    def scaled(factor: float) -> Any:
        return lambda x: factor * x

    assert settings_of("f", scaled(2.0)) == settings_of("f", scaled(2.0)) != settings_of("f", scaled(3.0))
    assert settings_of("f", functools.partial(pow, 2)) != settings_of("f", functools.partial(pow, 3))

    def itself(n: int) -> Any:
        return itself(n - 1) if n else None

    assert settings_of("f", itself)["f.itself"].endswith("itself")


def test_what_an_object_has_computed_is_no_setting() -> None:
    class Tasks:
        def __init__(self) -> None:
            self.shots, self._cache = 5, object()

    assert list(settings_of("tasks", Tasks())) == ["tasks", "tasks.shots"]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=6,
)


@given(values)
def test_settings_survive_json(value: Any) -> None:
    found = settings_of("it", value)
    assert json.loads(json.dumps(found)) == found == settings_of("it", value)
