"""The models against their formulas."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import minimeta as mm
from minimeta.errors import ConfigurationError, ShapeError
from minimeta.nn import conv4, mlp
from minimeta.nn.initialisers import glorot, he
from minimeta.nn.models import Model

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


# The convolutional network


def convolution(x: Any, weight: Any, stride: int) -> Any:
    """3 x 3, SAME: padded by one, except steps of 2 over an even side, which need the lower row alone."""
    total = [max((-(-side // stride) - 1) * stride + 3 - side, 0) for side in x.shape[1:3]]
    x = np.pad(x, ((0, 0), *((t // 2, t - t // 2) for t in total), (0, 0)))
    patches = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (1, 2))[:, ::stride, ::stride]
    return np.einsum("nuvcij,ijcd->nuvd", patches, weight)


def pooled(h: Any, padding: str) -> Any:
    odd = [(0, side % 2 if padding == "SAME" else 0) for side in h.shape[1:3]]
    h = np.pad(h, ((0, 0), *odd, (0, 0)), constant_values=-np.inf)
    h = h[:, : h.shape[1] // 2 * 2, : h.shape[2] // 2 * 2]
    return h.reshape(len(h), h.shape[1] // 2, 2, h.shape[2] // 2, 2, -1).max((2, 4))


VARIANTS: list[tuple[dict[str, Any], tuple[int, int], int]] = [
    ({"downsampling": "stride", "readout": "mean"}, (14, 17), 3),
    ({"downsampling": "stride", "readout": "flatten"}, (14, 17), 3 * 1 * 2),
    ({"downsampling": "max_pool", "readout": "flatten"}, (19, 33), 3 * 1 * 2),
    ({"downsampling": "max_pool", "readout": "mean", "pool_padding": "SAME"}, (19, 33), 3),
    ({"downsampling": "max_pool", "readout": "flatten", "pool_padding": "SAME"}, (19, 33), 3 * 2 * 3),
]


@pytest.mark.parametrize(("variant", "sides", "features"), VARIANTS, ids=str)
@pytest.mark.parametrize(
    ("normalisation", "scale"), [("batch", False), ("batch", True), ("layer", False), ("layer", True), (None, False)]
)
def test_conv4(variant: dict[str, Any], sides: tuple[int, int], features: int, normalisation: Any, scale: bool) -> None:
    rng = np.random.default_rng(0)
    model = conv4((*sides, 2), 4, filters=3, normalisation=normalisation, scale=scale, dtype=np.float64, **variant)
    parameters = model.init(rng)
    shift = "offset" if normalisation else "bias"
    block = sorted([shift, "weight", *(["scale"] if scale else [])])
    assert [sorted(layer) for layer in parameters] == [block] * 4 + [["bias", "weight"]]
    assert all(np.all(p.get("scale", 1) == 1) for p in parameters)
    assert [p["weight"].shape for p in parameters] == [(3, 3, 2, 3), *[(3, 3, 3, 3)] * 3, (features, 4)]
    assert all(np.all(p.get("offset", 0) == 0) and np.all(p.get("bias", 0) == 0) for p in parameters)
    parameters = mm.tree.map(lambda p: p + 0.1, parameters)
    x = rng.normal(size=(5, *sides, 2))
    h = x
    for block in parameters[:-1]:
        h = convolution(h, block["weight"], 2 if variant["downsampling"] == "stride" else 1)
        if normalisation == "batch":
            h = (h - h.mean((0, 1, 2))) / np.sqrt(h.var((0, 1, 2)) + 1e-3)
        elif normalisation == "layer":
            h = (h - h.mean((1, 2, 3), keepdims=True)) / np.sqrt(h.var((1, 2, 3), keepdims=True) + 1e-5)
        h = np.maximum(h * block.get("scale", 1) + block[shift], 0)
        if variant["downsampling"] == "max_pool":
            h = pooled(h, variant.get("pool_padding", "VALID"))
    h = h.mean((1, 2)) if variant["readout"] == "mean" else h.reshape(5, -1)
    expected = h @ parameters[-1]["weight"] + parameters[-1]["bias"]
    assert_allclose(model.apply(parameters, x), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("model", "shape", "layers"),
    [
        (mlp((3, 5, 4, 2), batch_norm=True, dtype=np.float64), (3,), 2),
        (conv4((16, 16, 1), 2, filters=3, dtype=np.float64), (16, 16, 1), 4),
        (conv4((16, 16, 1), 2, filters=3, scale=True, dtype=np.float64), (16, 16, 1), 4),
    ],
    ids=["mlp", "conv4", "conv4 with scale"],
)
def test_statistics_are_handed_out_and_taken(model: Model, shape: tuple[int, ...], layers: int) -> None:
    rng = np.random.default_rng(0)
    parameters, support, query = model.init(rng), rng.normal(size=(8, *shape)), rng.normal(size=(4, *shape))
    assert model.apply_with_statistics is not None
    outputs, statistics = model.apply_with_statistics(parameters, support, None)
    assert_array_equal(outputs, model.apply(parameters, support))
    assert len(statistics) == layers
    # A batch's own statistics give what it gives.
    given, used = model.apply_with_statistics(parameters, support, statistics)
    assert_array_equal(given, outputs)
    for one, other in zip(mm.tree.flatten(used)[0], mm.tree.flatten(statistics)[0], strict=True):
        assert_array_equal(one, other)
    # By those of another batch, an example does not see the others; by its own batch's, it does.
    together = model.apply_with_statistics(parameters, query, statistics)[0]
    alone = [model.apply_with_statistics(parameters, query[i : i + 1], statistics)[0][0] for i in range(4)]
    assert_allclose(alone, together, rtol=1e-12)
    assert not np.allclose(together, model.apply(parameters, query), rtol=1e-3)


def test_the_statistics_of_the_first_layer_are_mean_and_variance() -> None:
    model = mlp((3, 5, 2), batch_norm=True, dtype=np.float64)
    parameters, x = model.init(np.random.default_rng(0)), np.random.default_rng(1).normal(size=(8, 3))
    assert model.apply_with_statistics is not None
    ((centre, spread),) = model.apply_with_statistics(parameters, x, None)[1]
    h = x @ parameters[0]["weight"]
    assert_allclose(centre, h.mean(0, keepdims=True), rtol=1e-12)
    assert_allclose(spread, h.var(0, keepdims=True), rtol=1e-12)


def test_without_batch_normalisation_there_are_no_statistics() -> None:
    for model, x in (
        (mlp((3, 2)), np.ones((4, 3))),
        (conv4((16, 16, 1), normalisation="layer"), np.ones((4, 16, 16, 1))),
    ):
        parameters = model.init(np.random.default_rng(0))
        assert model.apply_with_statistics is not None
        outputs, statistics = model.apply_with_statistics(parameters, x, ())
        assert statistics == ()
        assert_array_equal(outputs, model.apply(parameters, x))


def size(model: Model) -> int:
    return sum(leaf.size for leaf in mm.tree.flatten(model.init(np.random.default_rng(0)))[0])


def test_conv4_has_the_sizes_of_the_released_code() -> None:
    # Of MAML's adapted parameters, counted in its released code; an offset here is in place of a bias there.
    assert size(conv4()) == 111_749
    mini = {"filters": 32, "downsampling": "max_pool", "readout": "flatten"}
    assert size(conv4((84, 84, 3), **mini)) == 32_645  # type: ignore[arg-type]
    # Reptile flattens 2 x 2 x 64 = 256 and, pooling with SAME, 6 x 6 x 32 = 1152 features.
    assert size(conv4(readout="flatten", scale=True)) == 111_749 + 5 * (256 - 64) + 4 * 64
    assert size(conv4((84, 84, 3), pool_padding="SAME", **mini)) == 32_645 + 5 * (1152 - 800)  # type: ignore[arg-type]


def test_conv4_draws_like_the_initialisers() -> None:
    rng, layers = np.random.default_rng(0), conv4((16, 16, 2), filters=3).init(np.random.default_rng(0))
    for layer, moment in zip(layers, (1.0, 0.5, 0.5, 0.5, 0.5), strict=True):
        assert_array_equal(layer["weight"], he(rng, layer["weight"].shape, np.float32, moment))
    first = conv4(initialiser="glorot").init(np.random.default_rng(0))[0]["weight"]
    assert_array_equal(first, glorot(np.random.default_rng(0), (3, 3, 1, 64), np.float32))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"filters": 0}, r"input_shape=\(28, 28, 1\), classes=5 and filters=0 must be positive"),
        ({"input_shape": (28, 0, 1)}, "must be positive"),
        ({"input_shape": (15, 16, 1), "downsampling": "max_pool"}, "images of 15 x 16 cannot be halved four times"),
        ({"downsampling": "pool"}, "downsampling='pool' must be one of 'stride', 'max_pool'"),
        ({"readout": "sum"}, "readout='sum' must be one of"),
        ({"pool_padding": 1}, "pool_padding=1 must be one of"),
        ({"normalisation": "group"}, "normalisation='group' must be one of 'batch', 'layer', None"),
        ({"initialiser": "zero"}, "no initialiser is named 'zero'"),
        ({"normalisation": None, "scale": True}, "scale=True needs a normalisation"),
    ],
)
def test_settings_of_conv4_are_checked(settings: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        conv4(**settings)


def test_images_of_another_shape_are_refused() -> None:
    model = conv4((16, 16, 1), filters=2)
    with pytest.raises(ShapeError, match=r"conv4: inputs have shape \(3, 256\), expected \(N, 16, 16, 1\)"):
        model.apply(model.init(np.random.default_rng(0)), np.zeros((3, 256)))


# Dropout


def test_noise_leaves_out_hidden_features() -> None:
    model = mlp((2, 5, 4, 3), activation="tanh", dropout=0.25, dtype=np.float64)
    parameters, x = model.init(np.random.default_rng(0)), np.random.default_rng(1).normal(size=(7, 2))
    assert model.draw is not None
    noise = model.draw(np.random.default_rng(2), x)
    rng = np.random.default_rng(2)
    h = x
    for layer, kept in zip(parameters, noise, strict=False):
        assert_array_equal(kept, rng.random((7, layer["weight"].shape[1])) >= 0.25)
        h = np.tanh(h @ layer["weight"] + layer["bias"]) * kept / 0.75
    expected = h @ parameters[-1]["weight"] + parameters[-1]["bias"]
    assert len(noise) == 2
    assert_allclose(model.apply(parameters, x, noise), expected, rtol=1e-13)
    assert model.apply_with_statistics is not None
    assert_array_equal(model.apply_with_statistics(parameters, x, None, noise)[0], model.apply(parameters, x, noise))


@pytest.mark.parametrize(
    ("model", "without", "shape"),
    [
        (mlp((3, 8, 2), dropout=0.5), mlp((3, 8, 2)), (5, 3)),
        (conv4((16, 16, 1), 2, filters=3, dropout=0.5), conv4((16, 16, 1), 2, filters=3), (5, 16, 16, 1)),
    ],
    ids=["mlp", "conv4"],
)
def test_without_noise_nothing_is_left_out(model: Model, without: Model, shape: tuple[int, ...]) -> None:
    parameters, x = model.init(np.random.default_rng(0)), np.random.default_rng(1).normal(size=shape).astype(np.float32)
    assert without.draw is None
    assert_array_equal(model.apply(parameters, x), without.apply(parameters, x))
    assert model.draw is not None
    noise = model.draw(np.random.default_rng(0), x)
    assert not np.array_equal(model.apply(parameters, x, noise), model.apply(parameters, x))
    everything = mm.tree.map(np.ones_like, noise)
    kept = model.apply(parameters, x, everything)
    assert_allclose(kept - parameters[-1]["bias"], 2 * model.apply(parameters, x), rtol=1e-5)


def test_the_last_layer_of_conv4_sees_what_is_kept() -> None:
    model = conv4((16, 16, 1), 2, filters=3, readout="flatten", dropout=0.5)
    parameters, x = model.init(np.random.default_rng(0)), np.ones((4, 16, 16, 1), np.float32)
    assert model.draw is not None
    kept = model.draw(np.random.default_rng(0), x)
    assert kept.shape == (4, 3) and kept.dtype == bool
    assert_array_equal(model.apply(parameters, x, np.zeros_like(kept)), np.zeros((4, 2)))


@pytest.mark.parametrize("rate", [1.0, -0.5, float("nan")])
def test_rates_of_dropout_are_checked(rate: float) -> None:
    with pytest.raises(ConfigurationError, match=f"mlp: dropout={rate} must be in"):
        mlp((1, 2, 1), dropout=rate)
    with pytest.raises(ConfigurationError, match=f"conv4: dropout={rate} must be in"):
        conv4(dropout=rate)
