"""Convolutions against sums written out in numpy."""

from typing import Any

import numpy as np
import pytest
from drawing import Drawing, drawings, share
from hypothesis import given
from numpy.testing import assert_allclose, assert_array_equal

import minimeta as mm
from minimeta.errors import ConfigurationError, ShapeError
from minimeta.nn import conv, conv1d, conv_transpose
from minimeta.testing import check_gradients


@pytest.mark.parametrize("stride", [1, 2])
def test_conv(stride: int) -> None:
    rng = np.random.default_rng(0)
    x, weight, bias = rng.normal(size=(2, 6, 5, 3)), rng.normal(size=(3, 3, 3, 4)), rng.normal(size=4)
    patches = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (1, 2))[:, ::stride, ::stride]
    product = np.einsum("nuvcij,ijcd->nuvd", patches, weight)
    assert_allclose(conv(x, weight, strides=stride, padding="VALID"), product, rtol=1e-12, atol=1e-13)
    assert_allclose(conv(x, weight, bias, strides=stride, padding="VALID"), product + bias, rtol=1e-12, atol=1e-13)
    assert conv(x, weight, bias, strides=stride).shape == (2, 6 // stride, -(-5 // stride), 4)


def correlated(x: Any, w: Any, stride: int, before: int, after: int) -> Any:
    """Sequences (N, L, C) with windows (k, C, D), a sum over i and c."""
    x = np.pad(x, ((0, 0), (before, after), (0, 0)))
    length = (x.shape[1] - len(w)) // stride + 1
    y = np.zeros((len(x), length, w.shape[2]))
    for u in range(length):
        for i in range(len(w)):
            y[:, u] += x[:, u * stride + i] @ w[i]
    return y


@share(0.5)
@given(drawing=drawings())
def test_conv1d(drawing: Drawing) -> None:
    width, stride, inputs, outputs = (drawing.integer(1, 3) for _ in range(4))
    before, after = drawing.integer(0, 2), drawing.integer(0, 2)
    x = drawing.array((2, width + drawing.integer(0, 3), inputs))
    w, bias = drawing.array((width, inputs, outputs)), drawing.array((outputs,))
    expected = correlated(x, w, stride, before, after)
    y = conv1d(x, w, bias, stride=stride, padding=(before, after))
    assert_allclose(y, expected + bias, rtol=1e-12, atol=1e-12)
    assert_allclose(conv1d(x, w, stride=stride, padding=before), correlated(x, w, stride, before, before), atol=1e-12)
    assert_allclose(conv1d(x, w, padding="VALID"), correlated(x, w, 1, 0, 0), atol=1e-12)
    assert conv1d(x, w, stride=stride).shape == (2, -(-x.shape[1] // stride), outputs)


def test_a_causal_convolution_sees_no_later_input() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(1, 6, 2)), rng.normal(size=(3, 2, 2))
    jacobian = mm.jacobian(lambda x: conv1d(x, w, padding=(2, 0)))(x)
    seen = np.abs(jacobian).max((0, 2, 3, 5)) > 0
    assert_array_equal(seen, [[0 <= u - i < 3 for i in range(6)] for u in range(6)])


@share(0.5)
@given(drawing=drawings())
def test_groups_do_not_see_each_other(drawing: Drawing) -> None:
    groups, inputs, outputs, stride = (drawing.integer(1, 3) for _ in range(4))
    x = drawing.array((2, 4, 3, groups * inputs))
    w, bias = drawing.array((3, 2, inputs, groups * outputs)), drawing.array((groups * outputs,))
    parts = [
        conv(x[..., g * inputs :][..., :inputs], w[..., g * outputs :][..., :outputs], strides=stride)
        for g in range(groups)
    ]
    assert_allclose(conv(x, w, bias, strides=stride, groups=groups), np.concatenate(parts, -1) + bias, atol=1e-12)
    row = conv1d(x[:, 0], w[0], groups=groups)
    assert_allclose(row[:, None], conv(x[:, :1], w[:1], groups=groups), atol=1e-12)


@share(0.5)
@given(drawing=drawings())
def test_conv_transpose(drawing: Drawing) -> None:
    (kh, kw, stride), (inputs, outputs) = (drawing.integer(1, 3) for _ in range(3)), (1, 2)
    x = drawing.array((2, drawing.integer(1, 3), drawing.integer(1, 3), inputs))
    w, bias = drawing.array((kh, kw, outputs, inputs)), drawing.array((outputs,))
    height, width = (x.shape[1] - 1) * stride + kh, (x.shape[2] - 1) * stride + kw
    expected = np.zeros((2, height, width, outputs))
    for u in range(x.shape[1]):
        for v in range(x.shape[2]):
            spread = np.einsum("nc,ijdc->nijd", x[:, u, v], w)
            expected[:, u * stride : u * stride + kh, v * stride : v * stride + kw] += spread
    y = conv_transpose(x, w, bias, strides=stride, padding="VALID")
    assert_allclose(y, expected + bias, rtol=1e-12, atol=1e-12)
    if min(height, width) > 2:
        assert_allclose(conv_transpose(x, w, strides=stride, padding=1), expected[:, 1:-1, 1:-1], atol=1e-12)
    assert conv_transpose(x, w, strides=stride).shape == (2, x.shape[1] * stride, x.shape[2] * stride, outputs)


@pytest.mark.parametrize("padding", ["SAME", "VALID", 1, ((1, 0), (0, 1))])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_conv_transpose_is_the_transpose_of_conv(stride: int, padding: Any) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(2, 3, 2, 4)), rng.normal(size=(3, 3, 5, 4))
    y = conv_transpose(x, w, strides=stride, padding=padding)
    images = rng.normal(size=y.shape)
    assert_allclose((y * images).sum(), (x * conv(images, w, strides=stride, padding=padding)).sum(), rtol=1e-12)
    other = y.shape[1] + (1 - stride if padding == "SAME" else stride - 1)  # the least, and the most
    assert conv_transpose(x, w, strides=stride, padding=padding, size=(other, y.shape[2])).shape[1] == other


@pytest.mark.parametrize("compiled", [False, True])
def test_derivatives_are_right_to_the_second(compiled: bool) -> None:
    rng = np.random.default_rng(0)
    x, w, back = rng.normal(size=(2, 4, 3, 4)), rng.normal(size=(2, 2, 2, 6)), rng.normal(size=(2, 2, 3, 6))

    def function(x: Any, w: Any, back: Any) -> Any:
        h = mm.tanh(conv(x, w, strides=2, groups=2))
        return mm.sum(mm.sin(conv_transpose(h, back, strides=2))) + mm.sum(conv1d(x[:, 0], w[0], groups=2) ** 3)

    check_gradients(mm.compile(function) if compiled else function, x, w, back, order=2)


def test_what_is_refused() -> None:
    x, w = np.ones((1, 4, 4, 6)), np.ones((3, 3, 2, 6))
    with pytest.raises(ConfigurationError, match="6 input and 6 output channels are not divisible into groups=4"):
        conv(x, w, groups=4)
    with pytest.raises(ShapeError, match=r"in 2 groups of 6 channels each output sees 3"):
        conv(x, w, groups=2)
    with pytest.raises(ShapeError, match=r"x is \(N, length, inputs\), and weight \(k, inputs, outputs\)"):
        conv1d(x, w)
    with pytest.raises(ShapeError, match="conv2d_input"):
        conv_transpose(x[0], w)
    with pytest.raises(ShapeError, match="expected"):
        conv(x[0], w, groups=3)
    with pytest.raises(ShapeError, match="channels do not meet"):
        conv_transpose(x, np.ones((3, 3, 2, 5)))
    with pytest.raises(ShapeError, match="lead to"):
        conv_transpose(x, w, size=9)
