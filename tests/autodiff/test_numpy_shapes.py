"""numpy's functions that move, repeat, join and cut do on Arrays what they do on arrays; each is linear."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from every_way import assert_as_numpy, inside
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes
from numpy.testing import assert_allclose, assert_array_equal

import minimeta as mm
from minimeta.errors import DtypeError, IndexingError, OptionError, ShapeError, TracingError

Function = Callable[..., Any]

X = np.linspace(-1.5, 2.0, 24).reshape(2, 3, 4)
M = X[0]
V = X[0, 0]

windows = np.lib.stride_tricks.sliding_window_view

LINEAR: list[tuple[Function, Any]] = [
    (lambda x: windows(x, 3), V),
    (lambda x: windows(x, (1, 2), axis=(2, 0)), X),
    (lambda x: windows(x, window_shape=(2, 3)), M),
    (lambda x: windows(x, (2, 2), axis=(1, -1)), M),
    (lambda x: windows(x, 0, axis=0), M),
    (np.diagonal, X),
    (lambda x: np.diagonal(x, 1, 2, 0), X),
    (lambda x: np.diagonal(x, -5), M),
    (lambda x: np.linalg.diagonal(x, offset=-1), X),
    (np.trace, X),
    (lambda x: np.trace(x, -1, 1, 2), X),
    (lambda x: np.linalg.trace(x, offset=1), X),
    (np.diag, V),
    (lambda x: np.diag(x, -2), V),
    (lambda x: np.diag(x, 1), M),
    (lambda x: np.diag(x[:0], 2), V),
    (np.diagflat, M),
    (np.tril, X),
    (lambda x: np.tril(x, -1), M),
    (lambda x: np.triu(x, 2), X),
    (np.triu, V),
    (lambda x: np.tile(x, 3), M),
    (lambda x: np.tile(x, (2, 1, 1, 2)), M),
    (lambda x: np.tile(x, ()), M),
    (lambda x: np.repeat(x, 2), M),
    (lambda x: np.repeat(x, [1, 0, 2], axis=1), X),
    (lambda x: np.repeat(x, np.array([3]), axis=-1), X),
    (lambda x: np.roll(x, 5), X),
    (lambda x: np.roll(x, (1, -1), (0, 2)), X),
    (lambda x: np.roll(x, 2, (0, 1)), X),
    (np.rot90, M),
    (lambda x: np.rot90(x, 2), M),
    (lambda x: np.rot90(x, -1, (1, 2)), X),
    (np.fliplr, X),
    (np.flipud, X),
    (lambda x: np.rollaxis(x, 2), X),
    (lambda x: np.rollaxis(x, 0, -1), X),
    (np.matrix_transpose, X),
    (lambda x: np.vstack([x, x[0], 2 * x]), M),
    (lambda x: np.hstack([x, x]), M),
    (lambda x: np.hstack([x, x[:2]]), V),
    (lambda x: np.dstack([x, x]), V),
    (lambda x: np.column_stack([x[:, 0], x]), M),
    (lambda x: np.block([[x, np.ones((3, 1))], [np.zeros((1, 4)), 2.0]]), M),
    (np.block, M),
    (lambda x: np.block([x[0], x[0, :1]]), M),
    (lambda x: np.append(x, [[1.0]]), M),
    (lambda x: np.append(x, x, axis=1), M),
    (lambda x: np.array_split(x, 3, axis=2)[1], X),
    (lambda x: np.array_split(x, [1, 3])[2], V),
    (lambda x: np.vsplit(x, 2)[1], X),
    (lambda x: np.hsplit(x, 3)[1], X),
    (lambda x: np.hsplit(x, 2)[1], V),
    (lambda x: np.dsplit(x, [1])[1], X),
    (lambda x: np.unstack(x, axis=1)[2], X),
    (lambda x: np.delete(x, 1), M),
    (lambda x: np.delete(x, [0, -1], axis=1), M),
    (lambda x: np.delete(x, slice(None, None, 2), axis=1), M),
    (lambda x: np.insert(x, 1, 5.0), M),
    (lambda x: np.insert(x, 1, [7.0, 8.0, 9.0], axis=1), M),
    (lambda x: np.insert(x, [1, 3], x[:, :2], axis=1), M),
    (lambda x: np.insert(x, [1], x[:, :2], axis=1), M),
    (lambda x: np.insert(x, slice(0, 2), 0.0, axis=0), M),
    (np.atleast_1d, M[0, 0]),
    (lambda x: np.atleast_2d(x, 1.0)[0], V),
    (np.atleast_3d, M),
    (np.atleast_3d, V),
    (lambda x: np.broadcast_arrays(x, np.ones((2, 1, 1)))[0], M),
    (lambda x: np.meshgrid(x, [1.0, 2.0], x[:2])[0], V),
    (lambda x: np.meshgrid([1.0, 2.0], x, indexing="ij")[1], V),
    (lambda x: np.meshgrid(x, [1.0], sparse=True)[0], V),
    (lambda x: np.resize(x, (5, 6)), M),
    (lambda x: np.resize(x, 3), M),
    (lambda x: np.apply_along_axis(lambda row: row[:2] * 2.0, 1, x), X),
    (lambda x: np.apply_along_axis(np.sum, 0, x), X),
    (lambda x: np.apply_over_axes(np.sum, x, [0, 2]), X),
    (lambda x: np.full_like(x, x[0, 0]), M),
    (lambda x: np.array([x[0], x[2]], like=x), M),
    (lambda x: np.concatenate([x, x], dtype=np.float64), M),
    (lambda x: np.stack(x, axis=1), M),
    *[
        (lambda x, mode=mode, width=width: np.pad(x, width, mode), M)
        for mode in ("constant", "edge", "reflect", "symmetric", "wrap", "linear_ramp", "mean", "empty")
        for width in (1, ((2, 7), (0, 5)), ((0, 0), (3, 0)))
        if mode != "empty"
    ],
    (lambda x: np.pad(x, 2, "reflect", reflect_type="odd"), M),
    (lambda x: np.pad(x, (7, 9), "symmetric", reflect_type="odd"), V),
    (lambda x: np.pad(x, (8, 7), "reflect", reflect_type="odd"), V),
    (lambda x: np.pad(x, {1: (1, 2)}), M),
    (lambda x: np.pad(x, 3, "mean", stat_length=((1, 2), (9, 1))), M),
    (lambda x: np.pad(x, 2, "linear_ramp", end_values=((0.5, 1.0), (2.0, 0.0))), M),
    (lambda x: np.pad(x, ((1, 2), (2, 1)), constant_values=((1.0, 2.0), (3.0, 4.0))), M),
    (lambda x: x[x > 0.0], X),
    (lambda x: x[np.array([[True, False, True], [False, True, False]])], X),
    (lambda x: x[:, [True, False, True]], X),
    (lambda x: x[np.array([True, False]), :, [0, 3]], X),
    (lambda x: x[..., np.array([True, False, True, True]), None], X),
    (lambda x: np.compress([False, True, True], x, 0), M),
    (lambda x: np.extract(x > 0.0, x), M),
    (lambda x: x.compress(x[0] > -1.0, 1), M),
    (lambda x: x.trace() + x.diagonal(1).sum() + x.repeat(2, 1), M),
    (lambda x: np.stack(list(x.flat)), M),
    (lambda x: x[True], M),
    (lambda x: x[False, 0], M),
    (lambda x: x[np.where(x > 0.0)], X),
]


@pytest.mark.parametrize("place", range(len(LINEAR)))
def test_numpys_function_of_an_array_is_linear_and_has_its_transpose(place: int) -> None:
    function, x = LINEAR[place]
    expected = np.asarray(function(x))
    value, pullback = mm.vjp(function, np.asarray(x))
    assert (value.shape, value.dtype) == (expected.shape, expected.dtype)
    assert_allclose(value, expected, rtol=1e-14, atol=1e-14)
    cotangent = np.cos(np.arange(float(expected.size))).reshape(expected.shape)
    step = np.sin(np.arange(float(np.size(x)))).reshape(np.shape(x)) * 1e-3  # It changes no mask.
    change = np.asarray(function(x + step)) - expected
    assert_allclose(np.sum(pullback(cotangent)[0] * step), np.sum(cotangent * change), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.tril(x > 0.0),
        lambda x: np.diag((x * 10).astype(np.int32)),
        lambda x: np.pad(x, 2, "maximum"),
        lambda x: np.pad(x.astype(np.int64), 3, "minimum"),
        lambda x: np.isclose(x, x + 1e-9),
        lambda x: np.isclose([np.inf, np.nan, 1.0], [np.inf, np.nan, np.inf], equal_nan=True) & (x[:, :3] < 9.0),
        lambda x: np.where(x.astype(np.int8), x, 0.0),
        lambda x: np.zeros_like(x, shape=(2,)) + np.empty_like(x[0], np.float32).shape[0],
        lambda x: np.vstack([x, x], dtype=np.float32),
    ],
)
def test_numpys_function_of_an_array_without_a_transpose(function: Function) -> None:
    assert_as_numpy(function, M)


def test_questions_about_forms_are_answered_as_by_numpy() -> None:
    questions: list[Function] = [
        np.shape,
        np.ndim,
        np.size,
        lambda x: np.size(x, 1),
        lambda x: np.size(x, (0, 1)),
        lambda x: np.result_type(x, np.float32),
        lambda x: np.can_cast(x, np.float32),
        np.iscomplexobj,
        np.isrealobj,
        np.common_type,
        np.min_scalar_type,
        lambda x: bool(np.allclose(x, x + 1e-12)),
        lambda x: bool(np.array_equal(x, x)),
        lambda x: bool(np.array_equal(x, x[0])),
        lambda x: bool(np.array_equiv(x, x[0])),
        lambda x: bool(np.array_equiv(x[:, :2], x)),
        lambda x: np.array_repr(x, precision=2),
        np.array_str,
        lambda x: np.array2string(x, separator=","),
    ]
    for question in questions:
        found: list[Any] = []
        mm.grad(lambda x, question=question, found=found: found.append(question(x)) or np.sum(x))(M)
        assert found == [question(M)]


def test_what_does_not_fit_is_named() -> None:
    wide: Any = "wide"
    refused: list[tuple[Function, type[Exception], str]] = [
        (lambda x: np.pad(x, 1, "median"), OptionError, "mode='median'"),
        (lambda x: np.sort(x, kind=wide), OptionError, "sort with kind='wide': it is none of None, 'quicksort'"),
        (lambda x: np.partition(x, 1, kind=wide), OptionError, "none of 'introselect'"),
        (lambda x: np.pad(x, -1), ShapeError, "negative"),
        (lambda x: np.pad(x[:0], 1, "edge"), ShapeError, "axis 0 has no elements"),
        (lambda x: np.pad(x.astype(np.int64), 1, "mean"), DtypeError, "numpy rounds it"),
        (lambda x: x[np.array([True, False])], IndexingError, r"a mask of shape \(2,\) on axes of shape \(3,\)"),
        (lambda x: np.rot90(x, 1, (0, -2)), ShapeError, r"axes=\(0, -2\): one axis has no plane"),
        (lambda x: windows(x, 3), ShapeError, "window_shape=3 needs a side for each of 2 axes"),
        (lambda x: windows(x, (4, 1)), ShapeError, r"of shape \(3, 4\): a window of 4 on axis 0 does not fit"),
        (lambda x: np.delete(x, 9, 0), IndexingError, "delete along an axis of 3 elements"),
        (lambda x: np.concatenate([x, x], dtype=np.int64, casting="safe"), DtypeError, "casting='safe'"),
        (lambda x: np.where(x > 0, x), ShapeError, "both x and y"),
        (lambda x: np.block([[x], []]), ShapeError, "nested equally deep"),
        (lambda x: np.average(x[:0], 1), ShapeError, "there is nothing to average"),
        (lambda x: np.average(x[:0], 0, x[:0]), ShapeError, "no weights add up to 0"),
        *[(lambda x: np.matvec(x[0], x[0]), ShapeError, "the first has matrices")] * hasattr(np, "matvec"),
        *[(lambda x: np.vecmat(x[0], x[0]), ShapeError, "the second has matrices")] * hasattr(np, "vecmat"),
    ]
    for function, kind, message in refused:
        with pytest.raises(kind, match=message):
            inside(function, M)
    with pytest.raises(TracingError, match="shape of the result would depend on values"):
        mm.compile(lambda x: x[x > 0.0])(M)


# Updates


def written(x: Any, key: Any, values: Any) -> Any:
    changed = np.array(x)
    changed[key] = values
    return changed


KEYS: list[Any] = [
    0,
    (1, slice(None, None, -2)),
    (..., None, 2),
    [2, 0],
    ([0, 1], slice(1, 3)),
    np.array([True, False, True]),
    M > 0.0,
    (slice(None), [1, 1]),
]


@pytest.mark.parametrize("place", range(len(KEYS)))
def test_an_update_is_what_an_assignment_makes(place: int) -> None:
    key = KEYS[place]
    values = np.cos(np.arange(float(M[key].size))).reshape(M[key].shape)
    for found in (mm.at(M)[key].set(values), inside(lambda x, v: mm.at(x)[key].set(v), M, values)):
        assert_array_equal(found, written(M, key, values))
    added = np.array(M)
    np.add.at(added, key, values)
    assert_allclose(inside(lambda x, v: mm.at(x)[key].add(v), M, values), added, rtol=1e-15)
    to_x, to_v = mm.grad(lambda x, v: np.sum(np.square(mm.at(x)[key].set(v))), (0, 1))(M, values)
    stays = written(np.ones(M.shape), key, 0.0)
    assert_array_equal(to_x, 2.0 * M * stays)
    last = written(
        np.arange(float(M.size)).reshape(M.shape) * 0.0 - 1.0, key, np.arange(float(values.size)).reshape(values.shape)
    )
    chosen = np.isin(np.arange(values.size), last).reshape(values.shape)
    assert_array_equal(to_v, 2.0 * values * chosen)


UPDATES = {"add": np.add, "multiply": np.multiply, "max": np.maximum, "min": np.minimum}


@pytest.mark.parametrize("name", UPDATES)
@pytest.mark.parametrize("count", [0, 1, 9])
def test_a_position_that_occurs_often_takes_all_values_as_in_numpy(name: str, count: int) -> None:
    rows, columns = np.cos(np.arange(count)) > 0.0, np.arange(count) ** 2 % 4 - 4
    values, x = np.sin(3.0 * np.arange(count)), M[:2]
    expected = np.array(x)
    UPDATES[name].at(expected, (rows.astype(int), columns), values)

    def update(x: Any, i: Any, j: Any, v: Any) -> Any:
        return getattr(mm.at(x)[i, j], name)(v)

    operands = x, rows.astype(int), columns, values
    for found in (update(*operands), mm.compile(update)(*operands)):
        assert_allclose(found, expected, rtol=1e-14)
    gradient = mm.grad(lambda x, v: mm.sum(update(x, *operands[1:3], v) ** 3), (0, 1))
    step = 1e-6 * np.cos(np.arange(x.size)).reshape(x.shape), 1e-6 * np.cos(5.0 * np.arange(count))
    there, back = (gradient(x + sign * step[0], values + sign * step[1]) for sign in (1.0, -1.0))
    _, second = mm.jvp(gradient, (x, values), step)
    for end, begin, derivative in zip(there, back, second, strict=True):
        assert_allclose(derivative, (end - begin) / 2.0, rtol=1e-6, atol=1e-12)
    change = np.sum(update(x + step[0], *operands[1:3], values + step[1]) ** 3) - np.sum(
        update(x - step[0], *operands[1:3], values - step[1]) ** 3
    )
    slopes = gradient(x, values)
    assert_allclose(2.0 * sum(np.sum(g * u) for g, u in zip(slopes, step, strict=True)), change, rtol=1e-6, atol=1e-13)


@pytest.mark.parametrize("positions", [[1, 0], [1, 1]])
def test_values_of_another_dtype_are_converted_after_an_update_as_in_numpy(positions: list[int]) -> None:
    """3 times 1/3 is 1, whether the positions are known or not, and whether one occurs twice."""
    for x, values in (
        (np.array([5, 2, 7], np.int8), np.array([200, 3])),
        (np.array([0.1, 3, 0], np.float32), np.array([1 / 3, 3.0])),
    ):
        expected = np.array(x)
        np.multiply.at(expected, positions, values)
        for known in (True, False):
            found = mm.compile(lambda x, i, v, k=known: mm.at(x)[positions if k else i].multiply(v))(
                x, np.array(positions), values
            )
            assert found.dtype == x.dtype
            assert_array_equal(found, expected)
        assert_array_equal(mm.at(x)[positions].multiply(values), expected)


def test_an_update_broadcasts_keeps_the_dtype_and_leaves_its_operand() -> None:
    x = np.zeros((2, 3), np.float32)
    found = mm.at(x)[:, 1:].set(np.float64(2.5))
    assert found.dtype == np.float32
    assert_array_equal(found, [[0, 2.5, 2.5]] * 2)
    assert_array_equal(x, 0.0)
    assert_array_equal(mm.at(np.arange(3))[1].add(5), [0, 6, 2])
    assert_array_equal(mm.at(M)[1].multiply(2.0), written(M, 1, M[1] * 2.0))
    assert_array_equal(mm.at(M)[:, 1].max(0.0), written(M, (slice(None), 1), np.maximum(M[:, 1], 0.0)))
    assert_array_equal(mm.at(M)[:, 1].min(0.0), written(M, (slice(None), 1), np.minimum(M[:, 1], 0.0)))
    with pytest.raises(ShapeError, match=r"do not broadcast to the elements, of shape \(4,\)"):
        mm.at(M)[0].set(np.zeros(3))


@pytest.mark.parametrize("update", ["add", "multiply", "max", "min"])
@pytest.mark.parametrize("key", [1, slice(1, 3), [0, 0], [True, False, True]])
def test_an_update_that_does_not_fit_is_refused_as_numpys_statement_is(update: str, key: Any) -> None:
    for x, values in (
        (np.arange(3), 1.5),
        (np.arange(3), np.full(1, 0.5, np.float32)),
        (np.array([True, False, True]), 2),
        (np.arange(3, dtype=np.uint8), np.array([2])),
    ):
        part = np.atleast_1d(x[key])
        with pytest.raises(TypeError):
            UPDATES[update](part, values, out=part)
        ways: list[Any] = [lambda f: f, mm.compile]
        for way in ways:
            with pytest.raises(
                DtypeError, match=rf"at\(x\)\[i\]\.{update}\(v\) on dtype {x.dtype.name}: .*does not fit"
            ):
                way(lambda x, v: getattr(mm.at(x)[key], update)(v))(x, values)
    with pytest.raises(DtypeError, match=r"scatter_add on dtype int64: the result, of dtype float64, does not fit"):
        mm.scatter_add(np.arange(3), np.array([0, 0]), np.array([1.5, 1.0]))
    # An assignment cuts, as numpy's does; a Python number adapts.
    assert_array_equal(mm.at(np.arange(3))[1].set(1.5), [0, 1, 2])
    assert_array_equal(mm.at(np.arange(3, dtype=np.uint8))[1].add(2), [0, 3, 2])


@given(array_shapes(min_dims=1, max_dims=3, max_side=4), st.data())
def test_an_update_at_traced_positions_is_the_same(shape: tuple[int, ...], data: st.DataObject) -> None:
    x = np.arange(float(np.prod(shape))).reshape(shape)
    places = np.array(
        data.draw(st.lists(st.integers(-shape[0], shape[0] - 1), unique_by=lambda i: i % shape[0])), np.int64
    )
    values = -1.0 - np.arange(float(x[places].size)).reshape(x[places].shape)
    update = mm.compile(lambda x, i, v: mm.at(x)[i].set(v))
    assert_array_equal(update(x, places, values), written(x, places, values))


@pytest.mark.parametrize("dtype", ["bool", "int8", "int64", "float64"])
def test_positions_that_occur_twice_and_are_traced(dtype: str) -> None:
    x, i = np.array([1, 0, 0, 5]).astype(dtype), np.array([1, -1, 1, 0])
    v = np.array([3, 0, 7, 0]).astype(dtype)
    added = x.copy()
    np.add.at(added, i, v)
    ways: list[Any] = [lambda f: f, mm.compile, lambda f: lambda *xs: mm.vmap(f)(*[np.stack([x, x]) for x in xs])[1]]
    for way in ways:
        assert_array_equal(way(lambda x, i, v: mm.at(x)[i].set(v))(x, i, v), written(x, i, v), strict=True)
        assert_array_equal(way(lambda x, i, v: mm.at(x)[i].add(v))(x, i, v), added, strict=True)
        assert_array_equal(way(mm.scatter_add)(x, i, v), added, strict=True)


def test_pieces_whose_functions_mix_elements() -> None:
    x = np.array([1.0, 3.0, -2.0])
    pieces: Any = [lambda v: v - v.mean(), lambda v: np.where(v == v.max(), v, 0.0), lambda v: v * np.argsort(v)]
    for function in pieces:
        call: Any = lambda x, f=function: np.piecewise(x, [x > 0], [f, -1.0])  # noqa: E731
        assert_array_equal(mm.vjp(call, x)[0], call(x))
        with pytest.raises(TracingError, match="piecewise, of a function that mixes elements, where an Array"):
            mm.compile(call)(x)
    called: Any = lambda x: np.piecewise(x, [x > 2, x < 0], [lambda v, k: v * k, lambda v, k: np.exp(v + k), 7], 3)  # noqa: E731
    assert_array_equal(mm.compile(called)(np.array([1, 3, -2])), called(np.array([1, 3, -2])), strict=True)


def test_an_assignment_names_the_update() -> None:
    def assign(x: Any) -> Any:
        x[0] = 1.0
        return x

    with pytest.raises(TracingError, match=r"x = minimeta\.at\(x\)\[\.\.\.\]\.set\(v\)"):
        inside(assign, M)
