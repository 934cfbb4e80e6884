"""The multi-layer perceptron against its formula."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import minimeta as mm
from minimeta.errors import ConfigurationError, ShapeError
from minimeta.nn import mlp
from minimeta.nn.initialisers import glorot, he

ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softplus": lambda x: np.log1p(np.exp(x)),
}


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_without_batch_normalisation(activation: str) -> None:
    rng = np.random.default_rng(0)
    model = mlp((2, 5, 4, 3), activation=activation, dtype=np.float64)
    parameters = model.init(rng)
    assert [sorted(layer) for layer in parameters] == [["bias", "weight"]] * 3
    assert [layer["weight"].shape for layer in parameters] == [(2, 5), (5, 4), (4, 3)]
    assert all(np.all(layer["bias"] == 0) for layer in parameters)
    parameters = mm.tree.map(lambda p: p + 0.1, parameters)
    x = rng.normal(size=(7, 6, 2))
    h = x
    for layer in parameters[:-1]:
        h = ACTIVATIONS[activation](h @ layer["weight"] + layer["bias"])
    expected = h @ parameters[-1]["weight"] + parameters[-1]["bias"]
    assert_allclose(model.apply(parameters, x), expected, rtol=1e-12, atol=1e-13)
    assert_allclose(mm.vjp(lambda p: model.apply(p, x), parameters)[0], expected, rtol=1e-12, atol=1e-13)


def test_with_batch_normalisation() -> None:
    rng = np.random.default_rng(0)
    model = mlp((2, 5, 3), batch_norm=True, dtype=np.float64)
    parameters = model.init(rng)
    assert [sorted(layer) for layer in parameters] == [["offset", "weight"], ["bias", "weight"]]
    parameters = mm.tree.map(lambda p: p + 0.1, parameters)
    x = rng.normal(size=(7, 2))
    h = x @ parameters[0]["weight"]
    h = np.maximum((h - h.mean(0)) / np.sqrt(h.var(0) + 1e-3) + parameters[0]["offset"], 0)
    expected = h @ parameters[1]["weight"] + parameters[1]["bias"]
    assert_allclose(model.apply(parameters, x), expected, rtol=1e-11, atol=1e-12)


def test_options() -> None:
    rng = np.random.default_rng
    single = mlp((2, 4)).init(rng(0))
    assert len(single) == 1 and single[0]["weight"].dtype == np.float32
    assert_array_equal(single[0]["weight"], he(rng(0), (2, 4), np.float32, 1.0))
    assert_array_equal(mlp((2, 4), initialiser="glorot").init(rng(0))[0]["weight"], glorot(rng(0), (2, 4), np.float32))
    assert_array_equal(mlp((2, 4), initialiser=glorot).init(rng(0))[0]["weight"], glorot(rng(0), (2, 4), np.float32))
    # The first layer sees the data, the others what the activation leaves of a second moment of 1.
    for activation, left in (("relu", 0.5), (mm.relu, 0.5), ("tanh", 1.0)):
        stream = rng(0)
        layers = mlp((2, 4, 3), activation=activation, input_second_moment=9.0).init(rng(0))
        for layer, moment in zip(layers, (9.0, left), strict=True):
            assert_array_equal(layer["weight"], he(stream, layer["weight"].shape, np.float32, moment))
    model = mlp((1, 2, 1), activation=mm.sin, dtype=np.float64)
    (first, last), x = model.init(rng(0)), np.array([[0.3]])
    assert_allclose(model.apply((first, last), x), np.sin(x @ first["weight"]) @ last["weight"], rtol=1e-14)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_parameters_follow_from_the_generator_alone(batch_norm: bool) -> None:
    model = mlp((3, 4, 2), batch_norm=batch_norm)
    one, other = (mm.tree.flatten(model.init(np.random.default_rng(5)))[0] for _ in range(2))
    for a, b in zip(one, other, strict=True):
        assert_array_equal(a, b)
        assert not np.may_share_memory(a, b)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((3,),), r"sizes=\(3,\) must be at least two positive numbers"),
        (((3, 0, 1),), "must be at least two positive"),
        (((3, 2), {"activation": "gelu"}), "no activation is named 'gelu'; there are relu, tanh, sigmoid, softplus"),
        (((3, 2), {"initialiser": "zero"}), "no initialiser is named 'zero'"),
        (((3, 2), {"input_second_moment": 0.0}), "input_second_moment=0.0 must be positive"),
    ],
)
def test_settings_are_checked(arguments: Any, message: str) -> None:
    sizes, *keywords = arguments
    with pytest.raises(ConfigurationError, match=message):
        mlp(sizes, **(keywords[0] if keywords else {}))


@pytest.mark.parametrize("shape", [(), (2,), (4, 3, 2)])
def test_inputs_of_another_size_are_refused(shape: tuple[int, ...]) -> None:
    model = mlp((3, 2))
    with pytest.raises(ShapeError, match=r"mlp of sizes \(3, 2\): inputs have shape .*, expected \(..., 3\)"):
        model.apply(model.init(np.random.default_rng(0)), np.zeros(shape))
