"""Attention against its equations, one query at a time."""

from typing import Any

import numpy as np
import pytest
from drawing import Drawing, drawings, share
from hypothesis import given
from numpy.testing import assert_allclose, assert_array_equal

import minimeta as mm
from minimeta.errors import ConfigurationError, DtypeError, ShapeError
from minimeta.nn import attention, causal_mask, multi_head_attention, padding_mask
from minimeta.testing import check_gradients


def by_hand(queries: Any, keys: Any, values: Any, mask: Any) -> Any:
    """The weighted mean of the values that each query sees, for matrices."""
    y = np.zeros((len(queries), values.shape[1]))
    for t, query in enumerate(queries):
        seen = [s for s in range(len(keys)) if mask[t, s]]
        if seen:
            scores = np.array([query @ keys[s] for s in seen]) / np.sqrt(len(query))
            weights = np.exp(scores - scores.max())
            y[t] = weights / weights.sum() @ values[seen]
    return y


@share(0.5)
@given(drawing=drawings())
def test_attention(drawing: Drawing) -> None:
    count, seen, width, outputs = (drawing.integer(1, 4) for _ in range(4))
    queries, keys = drawing.array((count, width)), drawing.array((seen, width))
    values, mask = drawing.array((seen, outputs)), drawing.booleans((count, seen))
    assert_allclose(attention(queries, keys, values, mask), by_hand(queries, keys, values, mask), rtol=1e-9, atol=1e-11)
    everything = np.ones_like(mask)
    assert_allclose(attention(queries, keys, values), by_hand(queries, keys, values, everything), rtol=1e-9, atol=1e-11)


def test_what_is_not_seen_has_no_part_in_value_or_derivative() -> None:
    rng = np.random.default_rng(0)
    queries, keys, values = rng.normal(size=(3, 2)), rng.normal(size=(4, 2)), rng.normal(size=(4, 2))
    mask = np.array([[True, False, True, False], [False] * 4, [True] * 3 + [False]])
    pull = mm.vjp(lambda q, k, v: attention(q, k, v, mask), queries, keys, values)[1]
    of_queries, of_keys, of_values = pull(np.ones((3, 2)))
    assert_array_equal(of_queries[1], 0.0)
    assert_array_equal(of_keys[3], 0.0)
    assert_array_equal(of_values[3], 0.0)
    assert np.abs(of_keys[:3]).min() > 0
    for order in (1, 2):
        check_gradients(lambda q, k, v: mm.sum(mm.sin(attention(q, k, v, mask))), queries, keys, values, order=order)


def test_masks() -> None:
    assert_array_equal(causal_mask(3), [[True, False, False], [True, True, False], [True, True, True]])
    padding = padding_mask([2, 3, 0], 3)
    assert padding.shape == (3, 1, 1, 3)
    assert_array_equal(padding[:, 0, 0], [[True, True, False], [True] * 3, [False] * 3])


def heads_by_hand(parameters: Any, heads: int, x: Any, context: Any, mask: Any) -> Any:
    """Every example and head by itself."""
    width = x.shape[2] // heads
    mask = np.broadcast_to(mask, (len(x), heads, x.shape[1], context.shape[1]))
    y = np.zeros_like(x)
    for n in range(len(x)):
        found = []
        for head in range(heads):
            part = slice(head * width, (head + 1) * width)
            q, k, v = (
                source[n] @ parameters[name]["weight"][:, part] + parameters[name]["bias"][part]
                for name, source in (("query", x), ("key", context), ("value", context))
            )
            found.append(by_hand(q, k, v, mask[n, head]))
        y[n] = np.concatenate(found, 1) @ parameters["output"]["weight"] + parameters["output"]["bias"]
    return y


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("heads", [1, 2, 4])
def test_multi_head_attention(heads: int, compiled: bool) -> None:
    rng = np.random.default_rng(0)
    model = multi_head_attention(4, heads, dtype=np.float64)
    parameters = mm.tree.map(lambda p: p + rng.normal(0, 0.3, p.shape), model.init(rng))
    x, context = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 5, 4))
    apply: Any = mm.compile(model.apply, enabled=compiled)
    everything = np.ones((1, 1))
    assert_allclose(apply(parameters, x), heads_by_hand(parameters, heads, x, x, everything), rtol=1e-11, atol=1e-13)
    mask = causal_mask(3) & padding_mask([3, 2], 3)
    expected = heads_by_hand(parameters, heads, x, x, mask)
    assert_allclose(apply(parameters, x, mask=mask), expected, rtol=1e-11, atol=1e-13)
    seen = padding_mask([5, 2], 5)
    expected = heads_by_hand(parameters, heads, x, context, seen)
    assert_allclose(apply(parameters, x, context=context, mask=seen), expected, rtol=1e-11, atol=1e-13)


def test_a_causal_output_depends_on_no_later_input() -> None:
    rng = np.random.default_rng(0)
    model = multi_head_attention(4, 2, dtype=np.float64)
    parameters, x = model.init(rng), rng.normal(size=(1, 4, 4))
    jacobian = mm.jacobian(lambda x: model.apply(parameters, x, mask=causal_mask(4)))(x)
    assert_array_equal(np.abs(jacobian).max((0, 2, 3, 5)) > 0, causal_mask(4))


def test_derivatives_are_right_to_the_second() -> None:
    rng = np.random.default_rng(0)
    model = multi_head_attention(4, 2, dtype=np.float64)
    parameters = mm.tree.map(lambda p: p + rng.normal(0, 0.3, p.shape), model.init(rng))
    mask = causal_mask(3)
    constant = parameters["key"].pop("bias")  # it adds the same to all scores of a query

    def function(parameters: Any, x: Any) -> Any:
        parameters = {**parameters, "key": {**parameters["key"], "bias": constant}}
        return mm.sum(mm.sin(model.apply(parameters, x, mask=mask)))

    check_gradients(mm.compile(function), parameters, rng.normal(size=(1, 3, 4)), order=2)


def test_dropout_leaves_weights_out() -> None:
    rng = np.random.default_rng(0)
    model, plain = multi_head_attention(4, 2, dropout=0.5), multi_head_attention(4, 2)
    parameters, x = model.init(rng), rng.normal(size=(2, 3, 4)).astype(np.float32)
    assert plain.draw is None and model.draw is not None
    noise = model.draw(rng, x)
    assert noise.shape == (2, 2, 3, 3) and noise.dtype == bool
    assert_array_equal(model.apply(parameters, x), plain.apply(parameters, x))
    kept = model.apply(parameters, x, np.ones_like(noise))
    assert_allclose(kept, 2 * plain.apply(parameters, x), rtol=1e-5, atol=1e-6)
    weights = np.array([[0.25, 0.75]])
    scores = np.log(weights)[0][:, None]  # of a query of 1 and keys of one feature
    y = attention(np.ones((1, 1)), scores, np.array([[1.0], [10.0]]), kept=np.array([[True, False]]), rate=0.5)
    assert_allclose(y, [[0.5]], rtol=1e-14)


def test_what_is_refused() -> None:
    rng = np.random.default_rng(0)
    for heads in (0, 3):
        with pytest.raises(ConfigurationError, match=f"features=4 are not divisible into heads={heads}"):
            multi_head_attention(4, heads)
    with pytest.raises(ConfigurationError, match=r"multi_head_attention: dropout=1.0 must be in"):
        multi_head_attention(4, 2, dropout=1.0)
    model = multi_head_attention(4, 2)
    parameters, x = model.init(rng), np.ones((2, 3, 4), np.float32)
    with pytest.raises(ShapeError, match=r"context has shape \(2, 3, 3\), expected \(N, length, 4\)"):
        model.apply(parameters, x, context=x[..., :3])
    with pytest.raises(DtypeError, match="the mask is of dtype float64, not of truth values"):
        model.apply(parameters, x, mask=np.ones((3, 3)))
