"""Layers against numpy."""

import itertools

import numpy as np
import pytest
from drawing import Drawing, drawings, share
from hypothesis import given
from numpy.testing import assert_allclose, assert_array_equal

import minimeta as mm
from minimeta.errors import ConfigurationError, DtypeError, IndexingError, ShapeError
from minimeta.nn import batch_norm, conv, dense, dropout, embedding, layer_norm, leaky_relu, residual
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


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_layers_keep_the_dtype(dtype: str) -> None:
    x, weight = np.ones((3, 2), dtype), np.ones((2, 4), dtype)
    assert dense(x, weight, np.ones(4, dtype)).dtype == dtype
    assert batch_norm(x, offset=np.ones(2, dtype)).dtype == dtype
    assert layer_norm(x, offset=np.ones(2, dtype), scale=np.ones(2, dtype)).dtype == dtype
    assert conv(np.ones((1, 3, 3, 2), dtype), np.ones((2, 2, 2, 4), dtype), np.ones(4, dtype)).dtype == dtype


def test_embedding() -> None:
    rng = np.random.default_rng(0)
    table, indices = rng.normal(size=(5, 3)), np.array([[4, 0, 4], [1, 1, 4]], np.int32)
    assert_array_equal(embedding(indices, table), table[indices])
    weight = rng.normal(size=(2, 3, 3))
    gradient = mm.grad(lambda table: mm.sum(weight * embedding(indices, table)))(table)
    one_hot = np.eye(5)[indices]
    assert_allclose(gradient, np.einsum("nti,ntf->if", one_hot, weight), rtol=1e-14)
    check_gradients(mm.compile(lambda table: mm.sum(mm.sin(embedding(indices, table)) ** 2)), table, order=2)


def test_what_embedding_refuses() -> None:
    with pytest.raises(DtypeError, match="indices are of dtype float64, and must be integers"):
        embedding(np.array([0.0]), np.ones((2, 3)))
    with pytest.raises(ShapeError, match=r"the table has shape \(2,\), expected \(count, features\)"):
        embedding(np.array([0]), np.ones(2))
    with pytest.raises(IndexingError):
        embedding(np.array([2]), np.ones((2, 3)))


def test_leaky_relu() -> None:
    x = np.array([-2.0, -0.0, 0.0, 3.0, -np.inf, np.inf])
    assert_array_equal(leaky_relu(x, 0.25), [-0.5, 0.0, 0.0, 3.0, -np.inf, np.inf])
    assert np.isnan(leaky_relu(np.array(np.nan)))
    assert leaky_relu(np.ones(2, np.float32)).dtype == np.float32
    assert_array_equal(mm.grad(lambda x: mm.sum(leaky_relu(x, 0.25)))(x[:4]), [0.25, 0.25, 0.25, 1.0])
    check_gradients(lambda x: mm.sum(leaky_relu(x) ** 3), np.array([-1.5, 0.5]), order=2)


def test_residual() -> None:
    x, w = np.random.default_rng(0).normal(size=(2, 4, 4))
    assert_allclose(residual(lambda x, w: np.tanh(x @ w), x, w), np.tanh(x @ w) + x, rtol=1e-14)
    # The derivative is that of f plus the identity.
    (g,) = mm.vjp(lambda x: residual(lambda x: x @ w, x), x)[1](np.eye(4))
    assert_allclose(g, w.T + np.eye(4), rtol=1e-14)
    with pytest.raises(ShapeError, match=r"turns shape \(4, 4\) into \(4, 2\); add a projection"):
        residual(lambda x: x[:, :2], x)


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
