"""Normalisation against numpy."""

from typing import Any

import numpy as np
import pytest
from drawing import Drawing, drawings, share
from hypothesis import given
from numpy.testing import assert_allclose

import minimeta as mm
from minimeta.errors import ConfigurationError, ShapeError
from minimeta.nn import batch_norm, group_norm, instance_norm, layer_norm
from minimeta.nn.normalisation import batch_norm_and_statistics
from minimeta.testing import check_gradients


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


@pytest.mark.parametrize(("compiled", "order"), [(False, 3), (True, 2)])
def test_the_derivatives_of_normalised_values_are_right(compiled: bool, order: int) -> None:
    rng = np.random.default_rng(0)
    x, offset, scale = rng.normal(size=(4, 3, 2)), rng.normal(size=2), rng.normal(size=2)
    weight = rng.normal(size=x.shape)

    def function(x: Any, offset: Any, scale: Any) -> Any:
        y, (_, spread) = batch_norm_and_statistics(x, offset=offset, scale=scale, epsilon=0.1)
        return mm.sum(weight * y * y * y) + mm.sum(mm.exp(spread)) + mm.sum(weight * layer_norm(mm.sin(x)))

    check_gradients(mm.compile(function) if compiled else function, x, offset, scale, order=order)


def test_nothing_is_normalised_of_nothing() -> None:
    x = np.ones((0, 2))
    y, pullback = mm.vjp(lambda x: batch_norm(x, statistics=(np.zeros(2), np.ones(2))), x)
    assert y.shape == pullback(x)[0].shape == (0, 2)


@share(0.5)
@given(drawing=drawings())
def test_group_norm(drawing: Drawing) -> None:
    groups, width = drawing.integer(1, 3), drawing.integer(1, 3)
    shape = (drawing.integer(1, 3), *(side + 1 for side in drawing.shape(0, 2)), groups * width)
    x, offset, scale = drawing.array(shape), drawing.array(shape[-1:]), drawing.array(shape[-1:])
    expected = np.empty(shape)
    for example in range(shape[0]):
        for first in range(0, shape[-1], width):
            part = x[example, ..., first : first + width]
            expected[example, ..., first : first + width] = (part - part.mean()) / np.sqrt(part.var() + 1e-5)
    assert_allclose(group_norm(x, groups), expected, rtol=1e-10, atol=1e-10)
    shifted = group_norm(x, groups, offset=offset, scale=scale)
    assert_allclose(shifted, expected * scale + offset, rtol=1e-10, atol=1e-10)


@share(0.5)
@given(drawing=drawings())
def test_instance_norm(drawing: Drawing) -> None:
    x = drawing.array(tuple(side + 1 for side in drawing.shape(3, 4)))
    offset, scale, axes = drawing.array(x.shape[-1:]), drawing.array(x.shape[-1:]), tuple(range(1, x.ndim - 1))
    expected = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-5)
    assert_allclose(instance_norm(x), expected, rtol=1e-10, atol=1e-10)
    assert_allclose(instance_norm(x, offset=offset, scale=scale), expected * scale + offset, rtol=1e-10, atol=1e-10)
    assert_allclose(group_norm(x, x.shape[-1]), expected, rtol=1e-10, atol=1e-10)


def test_settings_of_group_norm_are_checked() -> None:
    for groups in (0, 4, -3):
        with pytest.raises(ConfigurationError, match=f"6 channels are not divisible into groups={groups}"):
            group_norm(np.ones((2, 6)), groups)
    with pytest.raises(ShapeError, match=r"group_norm: x has shape \(6,\)"):
        group_norm(np.ones(6), 2)
    with pytest.raises(ShapeError, match=r"instance_norm: x has shape \(2, 6\), .* with pixels in between"):
        instance_norm(np.ones((2, 6)))


@pytest.mark.parametrize("compiled", [False, True])
def test_the_derivatives_of_groups_are_right_to_the_second(compiled: bool) -> None:
    rng = np.random.default_rng(0)
    x, offset, scale = rng.normal(size=(2, 3, 4)), rng.normal(size=4), rng.normal(size=4)

    def function(x: Any, offset: Any, scale: Any) -> Any:
        y = group_norm(x, 2, offset=offset, scale=scale) * x
        return mm.sum(y**3) + mm.sum(x[::-1] * instance_norm(mm.sin(x), scale=scale))

    check_gradients(mm.compile(function) if compiled else function, x, offset, scale, order=2)
