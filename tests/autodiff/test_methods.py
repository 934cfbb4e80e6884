"""numpy's methods do on Arrays what they do on numpy's arrays; what Arrays lack says what to write instead."""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import minimeta as mm
from minimeta.autodiff.array import Array
from minimeta.autodiff.protocols import ANSWERS
from minimeta.autodiff.remedies import REMEDIES
from minimeta.errors import MissingAttributeError, TracingError
from minimeta.program import interpret, trace

Function = Callable[..., Any]

X = np.linspace(-1.5, 2.0, 24).reshape(2, 3, 4)

METHODS: list[Function] = [
    lambda x: x.T,
    lambda x: x.mT,
    lambda x: x.transpose(),
    lambda x: x.transpose(2, 0, 1),
    lambda x: x.transpose((2, 0, 1)),
    lambda x: x.transpose([0, -1, 1]),
    lambda x: x[0, 0].transpose(0),
    lambda x: x.reshape(6, 4),
    lambda x: x.reshape((6, -1)),
    lambda x: x.reshape(-1),
    lambda x: x[:1, 0, 0].reshape(()),
    lambda x: x.astype(np.float32),
    lambda x: x.astype("int64"),
    lambda x: x.astype(np.float64, copy=False),
    lambda x: x.astype(dtype=np.float32, copy=False),
    lambda x: x.sum(),
    lambda x: x.sum(1),
    lambda x: x.sum(axis=(0, -1), keepdims=True),
    lambda x: x.mean(axis=0),
    lambda x: x.max(axis=-1, keepdims=True),
    lambda x: x.min(),
    lambda x: x.var(),
    lambda x: x.var(axis=0, ddof=1),
    lambda x: x.all(),
    lambda x: x.any(axis=0),
    lambda x: x.argmax(),
    lambda x: x.argmin(-1),
    lambda x: x.argsort(0),
    lambda x: (x > 0).astype(np.int64).choose([x, 2.0 * x]),
    lambda x: x.cumprod(1),
    lambda x: x.cumsum(axis=-1),
    lambda x: x.prod(axis=(0, 2)),
    lambda x: x.round(1),
    lambda x: x[0, 0].searchsorted(0.5),
    lambda x: x.std(axis=0, ddof=1),
    lambda x: x.argmax(1),
    lambda x: x.clip(-1.0, 1.0),
    lambda x: x.clip(min=0.0),
    lambda x: x.clip(max=np.full(4, 0.5)),
    lambda x: x.copy(),
    lambda x: x.copy(order="C"),
    lambda x: np.copy(x, order="K", subok=True),
    lambda x: x.astype(np.float32, order="K", casting="same_kind", subok=False),
    lambda x: x.astype(np.float64, "C", "safe", True, False) ** 2,
    lambda x: x.compress([False, True], axis=1, out=None),
    lambda x: x.clip(0.0, 1.0, dtype=np.float64, casting="safe", order="K", where=True),
    lambda x: x.clip(None, 1, dtype=np.float32),
    lambda x: x[0].dot(np.ones((4, 2))),
    lambda x: x.flatten(),
    lambda x: x.ravel(),
    lambda x: x[None, :, :1].squeeze(),
    lambda x: x[None].squeeze(axis=0),
    lambda x: x.swapaxes(0, -1),
    lambda x: x.take([1, -1, 1]),
    lambda x: x.take([1, 0], axis=2),
    lambda x: x.real,
    lambda x: x.imag + 0.0 * x,
    lambda x: x.conj(),
    lambda x: x.conjugate(),
    lambda x: x.sum() + x.nbytes + x.itemsize + len(x.device),
    lambda x: (x > 0.0).flatten(),
]


@pytest.mark.parametrize("method", METHODS, ids=range(len(METHODS)))
def test_methods_are_numpys(method: Function) -> None:
    expected = np.asarray(method(X))
    for found in (mm.vjp(method, X)[0], interpret(trace(method, X), X), mm.compile(method)(X)):
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        assert_allclose(found, expected, rtol=1e-13, atol=1e-13)
    if expected.dtype == np.float64:
        weights = np.linspace(1.0, 2.0, expected.size).reshape(expected.shape)
        step = 1e-6 * np.cos(np.arange(X.size)).reshape(X.shape)
        slope = np.sum(weights * (method(X + step) - method(X - step))) / 2.0
        for gradient in (mm.grad, lambda f: mm.compile(mm.grad(f))):
            assert_allclose(np.sum(gradient(lambda x: mm.sum(weights * method(x)))(X) * step), slope, rtol=1e-6)


def test_methods_take_what_their_functions_take() -> None:
    assert Array.squeeze.__doc__ == "See :func:`numpy.squeeze`."
    for call, message in [
        (lambda x: x.sum(order="C"), r"np\.sum of an Array.*'order'"),
        (lambda x: np.copy(x, order="F"), r"copy\(\.\.\., order='F'\) of an Array: .*drop order="),
        (lambda x: x.copy("F"), r"copy\(\.\.\., order='F'\) of an Array: .*drop order="),
        (lambda x: x.flatten(axis=0), r"np\.ravel of an Array.*'axis'"),
        (lambda x: x.reshape(4, 6, copy=None, like=1), r"np\.reshape of an Array.*'like'"),
        (lambda x: x.astype(np.float32, order="F"), r"astype\(\.\.\., order='F'\) of an Array: .*drop order="),
        (lambda x: x.astype(np.float32, casting="safe"), r"casting='safe'\): float64 is not cast to it"),
        (lambda x: (x + 1j).astype(np.complex64, casting="no"), r"casting='no'\): complex128 is not cast to it"),
        (lambda x: x.compress([True], out=np.ones(1)), r"np\.compress\(\.\.\., out=\.\.\.\): .*; drop out="),
    ]:
        with pytest.raises(TypeError, match=message):
            mm.vjp(call, X)


@pytest.mark.parametrize("name", [name for name in dir(np.ndarray) if not name.startswith("_")])
def test_every_attribute_of_numpys_arrays_is_there_or_has_a_remedy(name: str) -> None:
    def ask(x: Any) -> Any:
        if name in REMEDIES:
            assert not hasattr(x, name), f"Arrays have {name}: take it out of remedies.py"
            with pytest.raises(MissingAttributeError) as caught:
                getattr(x, name)
            assert f"has no attribute {name!r}: {REMEDIES[name]}\n  at {__file__}" in str(caught.value)
        else:
            assert hasattr(x, name), f"numpy's arrays have {name!r}: give Arrays a method, or remedies.py a line"
        return x

    mm.vjp(ask, X)
    trace(ask, X)


def test_a_remedy_makes_room_for_a_users_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    name = next(name for name in REMEDIES if hasattr(np, name) and hasattr(np.ndarray, name))
    monkeypatch.setitem(ANSWERS, getattr(np, name), lambda x, *, scale: scale * x)
    assert_array_equal(mm.grad(lambda x: mm.sum(getattr(x, name)(scale=3.0)))(X), np.full(X.shape, 3.0))


def test_remedies_are_of_what_numpy_has() -> None:
    for name in REMEDIES:
        assert hasattr(np.ndarray, name) or operator.attrgetter(name)(np)


def test_an_unknown_attribute_is_an_attribute_error() -> None:
    def ask(x: Any) -> Any:
        with pytest.raises(AttributeError, match="'Array' object has no attribute 'foo'"):
            x.foo  # noqa: B018
        with pytest.raises(AttributeError, match="foo"):
            x.foo = 1.0
        return x

    assert issubclass(MissingAttributeError, AttributeError)
    mm.vjp(ask, X)


MASK = np.array([True, False, True])
SQUARE = np.array([[4.0, 1.0, 3.0], [2.0, 6.0, 5.0], [9.0, 8.0, 7.0]])
_N = np.arange(3)


# What remedies.py says to write, next to what it stands for.
WRITTEN: dict[str, tuple[Function, Function]] = {
    "compress": (lambda x: x[np.flatnonzero(MASK)], lambda x: x.compress(MASK, 0)),
    "diagonal": (lambda x: x[_N, _N], lambda x: x.diagonal()),
    "flat": (lambda x: x.ravel(), lambda x: np.array(x.flat)),
    "repeat": (lambda x: np.take(x, np.repeat(_N, 2), 1), lambda x: x.repeat(2, 1)),
    "trace": (lambda x: np.sum(x[_N, _N]), lambda x: x.trace()),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_to_be_written_instead_is_right(name: str) -> None:
    written, meant = WRITTEN[name]
    expected = meant(SQUARE)
    found = mm.vjp(written, SQUARE)[0]
    assert found.dtype == np.asarray(expected).dtype
    assert_allclose(found, expected, rtol=1e-13)


def test_a_numpy_function_without_an_answer_has_the_methods_remedy() -> None:
    with pytest.raises(TracingError, match=r"np\.put of an Array is not supported: .*write x = at\(x\)"):
        mm.vjp(lambda x: np.put(x, [0], 1.0), X)
