"""Layers against numpy."""

import itertools
from typing import Any

import numpy as np
import pytest
from drawing import Drawing, drawings, share
from hypothesis import given
from numpy.testing import assert_allclose

import minimeta as mm
from minimeta.errors import ConfigurationError, DtypeError
from minimeta.nn import batch_norm, conv, dense, dropout, layer_norm
from minimeta.nn.layers import batch_norm_and_statistics
from minimeta.testing import check_gradients


@share(0.5)
@given(drawing=drawings())
def test_dense(drawing: Drawing) -> None:
    inputs, outputs = drawing.integer(0, 4), drawing.integer(0, 4)
    x = drawing.array((*drawing.shape(0, 3), inputs))
    weight, bias = drawing.array((inputs, outputs)), drawing.array((outputs,))
    product = np.einsum("...i,io->...o", x, weight)
    assert_allclose(dense(x, weight), product, rtol=1e-13, atol=1e-13)
    assert_allclose(mm.vjp(dense, x, weight, bias)[0], product + bias, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("stride", [1, 2])
def test_conv(stride: int) -> None:
    rng = np.random.default_rng(0)
    x, weight, bias = rng.normal(size=(2, 6, 5, 3)), rng.normal(size=(3, 3, 3, 4)), rng.normal(size=4)
    patches = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (1, 2))[:, ::stride, ::stride]
    product = np.einsum("nuvcij,ijcd->nuvd", patches, weight)
    assert_allclose(conv(x, weight, strides=stride, padding="VALID"), product, rtol=1e-12, atol=1e-13)
    assert_allclose(conv(x, weight, bias, strides=stride, padding="VALID"), product + bias, rtol=1e-12, atol=1e-13)
    assert conv(x, weight, bias, strides=stride).shape == (2, 6 // stride, -(-5 // stride), 4)


@share(0.5)
@given(drawing=drawings())
def test_layer_norm(drawing: Drawing) -> None:
    x = drawing.array(tuple(side + 1 for side in drawing.shape(1, 4)))
    offset, scale = drawing.array(x.shape[-1:]), drawing.array(x.shape[-1:])
    for axes in (-1, tuple(range(drawing.integer(0, x.ndim - 1), x.ndim))):
        centred = x - x.mean(axes, keepdims=True)
        expected = centred / np.sqrt(x.var(axes, keepdims=True) + 1e-5)
        assert_allclose(layer_norm(x, axes=axes), expected, rtol=1e-10, atol=1e-11)
        shifted = layer_norm(x, offset=offset, scale=scale, axes=axes)
        assert_allclose(shifted, expected * scale + offset, rtol=1e-10, atol=1e-10)
    expected = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 0.5)
    assert_allclose(mm.vjp(lambda x: layer_norm(x, epsilon=0.5), x)[0], expected, rtol=1e-11, atol=1e-12)


def test_layer_norm_sees_one_example_alone() -> None:
    x = np.random.default_rng(0).normal(2.0, 5.0, size=(4, 3, 3, 6))
    y = layer_norm(x, axes=(1, 2, 3), epsilon=0.0)
    assert_allclose(y.mean((1, 2, 3)), np.zeros(4), atol=1e-14)
    assert_allclose(y.var((1, 2, 3)), np.ones(4), rtol=1e-13)
    assert np.array_equal(layer_norm(x[1:2], axes=(1, 2, 3), epsilon=0.0), y[1:2])


@share(0.5)
@given(drawing=drawings())
def test_batch_norm(drawing: Drawing) -> None:
    features = drawing.integer(1, 4)
    x = drawing.array((*(side + 1 for side in drawing.shape(1, 3)), features))
    offset, scale = drawing.array((features,)), drawing.array((features,))
    rows = x.reshape(-1, features)
    expected = (x - rows.mean(0)) / np.sqrt(rows.var(0) + 1e-3)
    assert_allclose(batch_norm(x), expected, rtol=1e-11, atol=1e-12)
    assert_allclose(batch_norm(x, offset=offset, scale=scale), expected * scale + offset, rtol=1e-11, atol=1e-11)
    assert_allclose(
        mm.vjp(lambda x: batch_norm(x, offset=offset, epsilon=0.5), x)[0],
        (x - rows.mean(0)) / np.sqrt(rows.var(0) + 0.5) + offset,
        rtol=1e-11,
        atol=1e-12,
    )


def test_normalised_features_have_mean_0_and_variance_1() -> None:
    x = np.random.default_rng(0).normal(3.0, 10.0, size=(50, 3))
    y = batch_norm(x, epsilon=0.0)
    assert_allclose(y.mean(0), np.zeros(3), atol=1e-14)
    assert_allclose(y.var(0), np.ones(3), rtol=1e-13)


def test_the_statistics_are_differentiated_too() -> None:
    # Adding a constant to a feature, or scaling it, changes nothing: such directions have derivative 0.
    x = np.random.default_rng(0).normal(size=(6, 2))
    v = np.random.default_rng(1).normal(size=(6, 2))
    (gradient,) = mm.vjp(lambda x: batch_norm(x, epsilon=0.0), x)[1](v)
    assert_allclose(gradient.sum(0), np.zeros(2), atol=1e-13)
    assert_allclose((gradient * x).sum(0), np.zeros(2), atol=1e-13)
    assert np.abs(gradient).max() > 0.1


@pytest.mark.parametrize("compiled", [False, True])
def test_the_derivatives_of_normalised_values_are_right_to_the_third(compiled: bool) -> None:
    rng = np.random.default_rng(0)
    x, offset, scale = rng.normal(size=(4, 3, 2)), rng.normal(size=2), rng.normal(size=2)
    weight = rng.normal(size=x.shape)

    def function(x: Any, offset: Any, scale: Any) -> Any:
        y, (_, spread) = batch_norm_and_statistics(x, offset=offset, scale=scale, epsilon=0.1)
        return mm.sum(weight * y * y * y) + mm.sum(mm.exp(spread)) + mm.sum(weight * layer_norm(mm.sin(x)))

    check_gradients(mm.compile(function) if compiled else function, x, offset, scale, order=3)


def test_nothing_is_normalised_of_nothing() -> None:
    x = np.ones((0, 2))
    y, pullback = mm.vjp(lambda x: batch_norm(x, statistics=(np.zeros(2), np.ones(2))), x)
    assert y.shape == pullback(x)[0].shape == (0, 2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_layers_keep_the_dtype(dtype: str) -> None:
    x, weight = np.ones((3, 2), dtype), np.ones((2, 4), dtype)
    assert dense(x, weight, np.ones(4, dtype)).dtype == dtype
    assert batch_norm(x, offset=np.ones(2, dtype)).dtype == dtype
    assert layer_norm(x, offset=np.ones(2, dtype), scale=np.ones(2, dtype)).dtype == dtype
    assert conv(np.ones((1, 3, 3, 2), dtype), np.ones((2, 2, 2, 4), dtype), np.ones(4, dtype)).dtype == dtype


@share(0.5)
@given(drawing=drawings())
def test_dropout(drawing: Drawing) -> None:
    x = drawing.array(drawing.shape(0, 3))
    kept, rate = drawing.array(x.shape) > 0, drawing.integer(0, 9) / 10
    expected = np.where(kept, x / (1 - rate), 0.0)
    for enabled in (True, False):
        function = mm.compile(dropout, static="rate", enabled=enabled)
        np.testing.assert_array_equal(function(x, kept, rate), expected)
    np.testing.assert_array_equal(mm.grad(lambda x: mm.sum(dropout(x, kept, rate)))(x), kept / (1 - rate))


@pytest.mark.parametrize("rate", [0.0, 0.25, 0.9])
def test_the_mean_over_all_choices_is_no_dropout(rate: float) -> None:
    x = np.array([1.5, -2.0, 3.0, 0.25])
    mean = np.zeros(4)
    for choice in itertools.product([False, True], repeat=4):
        kept = np.array(choice)
        mean += np.prod(np.where(kept, 1 - rate, rate)) * dropout(x, kept, rate)
    assert_allclose(mean, x, rtol=1e-15)


def test_what_is_left_out_has_no_part_in_value_or_derivative() -> None:
    x, kept = np.array([np.nan, np.inf, 1.0], np.float32), np.array([False, False, True])
    y = dropout(x, kept, 0.5)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, [0.0, 0.0, 2.0])
    np.testing.assert_array_equal(mm.grad(lambda x: mm.sum(dropout(x, kept, 0.5) ** 2))(x), [0.0, 0.0, 8.0])
    check_gradients(lambda x: mm.sum(mm.sin(dropout(x, kept, 0.5))), np.array([1.0, 2.0, 3.0]), order=2)


def test_settings_of_dropout_are_checked() -> None:
    x = np.ones(3)
    for rate in (1.0, -0.1, float("nan")):
        with pytest.raises(ConfigurationError, match=f"dropout: rate={rate} must be in"):
            dropout(x, x > 0, rate)
    with pytest.raises(DtypeError, match=r"kept is of dtype float64, not of truth values, as rng\.random"):
        dropout(x, np.random.default_rng(0).random(3), 0.5)
