"""Reductions compute numpy's values over every choice of axes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from drawing import Drawing, drawings, share
from every_way import assert_same, axes_of
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

import minimeta as mm
from minimeta.errors import DtypeError, ShapeError

Floats = NDArray[Any]


Function = Callable[..., Any]


REDUCTIONS: list[tuple[Function, Function]] = [
    (mm.sum, np.sum),
    (mm.mean, np.mean),
    (mm.max, np.max),
    (mm.min, np.min),
    (mm.var, np.var),
]


# Reductions


@pytest.mark.parametrize(("ours", "theirs"), REDUCTIONS, ids=lambda f: f.__name__)
@share(0.3)
@given(drawing=drawings(), data=st.data())
def test_reductions(ours: Function, theirs: Function, drawing: Drawing, data: st.DataObject) -> None:
    x = drawing.array(tuple(side + 1 for side in drawing.shape()))
    axis, keepdims = data.draw(axes_of(x.ndim)), data.draw(st.booleans())
    expected = theirs(x, axis=axis, keepdims=keepdims)
    assert_same(lambda x: ours(x, axis, keepdims=keepdims), expected, x)
    assert_same(lambda x: theirs(x, axis=axis, keepdims=keepdims), expected, x)
    if isinstance(axis, tuple):
        assert_same(lambda x: ours(x, list(axis), keepdims=keepdims), expected, x)


@share(0.3)
@given(drawing=drawings(), data=st.data())
def test_norm_logsumexp_and_softmax(drawing: Drawing, data: st.DataObject) -> None:
    x = drawing.array(tuple(side + 1 for side in drawing.shape()))
    axis, keepdims = data.draw(axes_of(x.ndim)), data.draw(st.booleans())
    length = np.sqrt(np.sum(x * x, axis, keepdims=keepdims))
    assert_same(lambda x: mm.norm(x, axis, keepdims=keepdims), length, x)
    if isinstance(axis, int) or axis is None:
        assert_same(lambda x: np.linalg.norm(x, axis=axis, keepdims=keepdims), length, x)
    total = np.log(np.sum(np.exp(x), axis, keepdims=keepdims))
    assert_same(lambda x: mm.logsumexp(x, axis, keepdims=keepdims), total, x)
    weights = np.exp(x) / np.sum(np.exp(x), axis, keepdims=True)
    assert_same(lambda x: mm.softmax(x, axis), weights, x)
    assert_same(lambda x: mm.log_softmax(x, axis), np.log(weights), x)


@share(0.1)
@given(drawing=drawings(), ddof=st.sampled_from([0, 1, 0.5]))
def test_variance_with_degrees_of_freedom(drawing: Drawing, ddof: float) -> None:
    x = drawing.array((drawing.integer(2, 5), drawing.integer(1, 3)))
    assert_same(lambda x: mm.var(x, 0, ddof=ddof), np.var(x, 0, ddof=ddof), x)
    assert_same(lambda x: np.var(x, 0, ddof=ddof), np.var(x, 0, ddof=ddof), x)


@share(0.2)
@given(drawing=drawings(), data=st.data())
def test_positions_are_those_of_the_first_of_several(drawing: Drawing, data: st.DataObject) -> None:
    x = np.round(drawing.array(tuple(side + 1 for side in drawing.shape())))
    axis = data.draw(st.sampled_from([None, *range(-x.ndim, x.ndim)]))
    keepdims = data.draw(st.booleans())
    for function, own in ((np.argmax, mm.argmax), (np.argmin, mm.argmin)):
        expected = function(x, axis, keepdims=keepdims)
        assert_same(lambda x, own=own: own(x, axis, keepdims=keepdims), expected, x)
        assert_same(lambda x, function=function: function(x, axis, keepdims=keepdims), expected, x)


def test_reductions_of_no_elements() -> None:
    empty = np.zeros((0, 2))
    assert_array_equal(mm.sum(empty, 0), [0.0, 0.0])
    assert_array_equal(mm.mean(empty, 0), [np.nan, np.nan])
    assert_array_equal(mm.var(empty, 0), [np.nan, np.nan])
    assert_array_equal(mm.norm(empty, 0), [0.0, 0.0])
    assert_array_equal(mm.logsumexp(empty, 0), [-np.inf, -np.inf])
    for function in (mm.max, mm.min, mm.argmax, mm.argmin):
        with pytest.raises(ShapeError, match="no elements to choose from"):
            function(empty, 0)


@pytest.mark.parametrize("function", [mm.sum, mm.mean, mm.max, mm.var, mm.norm, mm.logsumexp, mm.softmax])
def test_axes_that_are_not_there(function: Function) -> None:
    x = np.zeros((2, 3))
    with pytest.raises(
        ShapeError, match=rf"{function.__name__}: axis 2 of an array of 2 axes; it must be in \[-2, 2\)"
    ):
        function(x, 2)
    with pytest.raises(ShapeError, match="names an axis twice"):
        function(x, (0, -2))


@pytest.mark.parametrize("function", [mm.logsumexp, mm.softmax, mm.log_softmax])
@pytest.mark.parametrize("dtype", ["int64", "bool"])
def test_reductions_of_exponentials_say_how_to_convert(function: Function, dtype: str) -> None:
    with pytest.raises(DtypeError, match=f"of dtype {dtype}: it needs float32 or float64; convert with astype"):
        function(np.ones(2, dtype))


# Derivatives where a probability is near 1


def softmax_derivatives(x: Floats, g: Floats, u: Floats) -> tuple[Floats, Floats, Floats]:
    """Return ``p``, ``J g`` and the gradient of ``u J g``, as sums of differences, none of which cancels."""
    p = np.exp(x - x.max())
    p = p / p.sum()
    a, b = ((v[:, None] - v) @ p for v in (g, u))
    pairs = (p[:, None] * p * (g[:, None] - g) * (u[:, None] - u)).sum() / 2  # the covariance of g and u
    return p, p * a, p * (a * b - pairs)


@pytest.mark.parametrize("logits", [(20, 0, 1), (40, 0), (0.1, 70), (12, 0, -3), (3, 2, 1), (0.5, 0, 0.5)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_probability_near_one_keeps_the_digits_of_the_others(logits: tuple[float, ...], dtype: Any) -> None:
    x = np.array(logits, dtype)
    g, u = (np.array(v[: x.size], dtype) for v in ((1, -0.5, 2), (0.25, 1, -1)))
    p, slope, curvature = softmax_derivatives(*(v.astype(np.longdouble) for v in (x, g, u)))
    along_u = softmax_derivatives(*(v.astype(np.longdouble) for v in (x, u, u)))[1]

    def along(function: Function) -> Function:
        return lambda x: mm.sum(mm.grad(function)(x) * u)

    def weighted(x: Any) -> Any:
        return mm.sum(mm.softmax(x) * g)

    for function, expected in [
        (weighted, slope),
        (along(weighted), curvature),
        (mm.logsumexp, p),
        (along(mm.logsumexp), along_u),
    ]:
        for compiled in (False, True):
            gradient = mm.compile(mm.grad(function)) if compiled else mm.grad(function)
            assert_allclose(gradient(x), expected, rtol=64 * float(np.finfo(dtype).eps))
