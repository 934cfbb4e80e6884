"""In-place operators do what numpy does, or are refused: idioms, one by one."""

import operator
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import minimeta as mm
from minimeta.autodiff import sharing
from minimeta.errors import DtypeError, ShapeError, TracingError

Function = Callable[..., Any]


def triple(v: Any) -> Any:
    """A helper that changes its argument."""
    v *= 3.0
    return v


# One by one

X = np.array([1.0, 2.0, 3.0])


IDIOMS: list[tuple[Function, Function]] = []


def idiom(plain: Function) -> Callable[[Function], Function]:
    """Pair a function that changes arrays in place with the same without."""

    def pair(function: Function) -> Function:
        IDIOMS.append((function, plain))
        return function

    return pair


@idiom(lambda x: np.sum(x) + np.sum(x * x) + np.sum(x**3))
def loss_plus_term(x: Any) -> Any:
    loss = np.sum(x)
    first = loss
    loss += np.sum(x * x)
    loss += np.sum(x**3)
    return loss + 0.0 * first


@idiom(lambda x: np.sum((x[0] * x + x[1] * x + x[2] * x) ** 2))
def total_plus_array(x: Any) -> Any:
    total = 0.0
    for part in [x[i] * x for i in range(3)]:
        total += part
    return np.sum(total**2)


@idiom(lambda x: np.sum((2.0 * x) ** 2) + np.sum(x[:2] ** 2))
def total_of_zeros_plus_array(x: Any) -> Any:
    total, other = np.zeros(3), np.zeros(2).reshape(2, 1)
    for _ in range(2):
        total += x
    other += x[:2, None]
    return np.sum(total**2) + np.sum(other**2)


@idiom(lambda x: np.sum(np.tanh(np.reshape(x * 2.0, (3, 1)) + np.zeros((3, 3)) + x)))
def bias(x: Any) -> Any:
    h = (x * 2.0).reshape(3, 1)
    h *= 1.0
    h = h + np.zeros((3, 3))
    h += x
    return np.sum(np.tanh(h))


@idiom(lambda x: np.sum(((x - np.mean(x)) / np.sqrt(np.var(x) + 0.1) * 2.0) ** 3))
def normalisation(x: Any) -> Any:
    y = x.copy()
    y -= y.mean()
    y /= np.sqrt(np.var(y) + 0.1)
    y *= 2.0
    return np.sum(y**3)


def descended(x: Any, steps: int) -> Any:
    w = x * 1.0
    for _ in range(steps):
        w = w - 0.1 * 3.0 * w**2
    return np.sum(w**2)


@idiom(lambda x: descended(x, 4))
def inner_descent(x: Any) -> Any:
    w = x * 1.0
    for _ in range(4):
        w -= 0.1 * mm.grad(lambda w: mm.sum(w**3))(w)
    return np.sum(w**2)


@idiom(lambda x: descended(x, 3))
def inner_descent_of_trees(x: Any) -> Any:
    layers = [{"w": x * 1.0}]
    for _ in range(3):
        value, slopes = mm.value_and_grad(lambda layers: mm.sum(layers[0]["w"] ** 3))(layers)
        for layer, slope in zip(layers, slopes, strict=True):
            layer["w"] -= 0.1 * slope["w"]
    return np.sum(layers[0]["w"] ** 2) + 0.0 * value


def with_momentum(x: Any) -> Any:
    w, v = x * 1.0, 0.0 * x
    for _ in range(3):
        v = 0.9 * v + 2.0 * w
        w = w - 0.1 * v
    return np.sum(w**3)


@idiom(with_momentum)
def momentum(x: Any) -> Any:
    state = types.SimpleNamespace(w=x * 1.0, v=np.zeros(3))
    for _ in range(3):
        state.v *= 0.9
        state.v += 2.0 * state.w
        state.w -= 0.1 * state.v
    return np.sum(state.w**3)


@idiom(lambda x: np.sum(x * 3.0 * (x + 1.0)))
def read_before(x: Any) -> Any:
    y = x * 1.0
    s = y * 3.0
    y += 1.0
    return np.sum(s * y)


@idiom(lambda x: np.sum((2.0 * x + 2.0 * x[::-1]) ** 2))
def itself(x: Any) -> Any:
    y = x.copy()
    y += y
    y += y[::-1]
    return np.sum(y * y)


@idiom(lambda x: np.sum((x @ np.ones((3, 3))) ** 2) + 3.0 * np.sum(x))
def product(x: Any) -> Any:
    y = np.stack([x, x])
    y @= np.ones((3, 3))
    total = np.eye(3)
    total @= np.outer(x, np.ones(3))
    return np.sum(y[0] * y[1]) + np.sum(total)


@idiom(lambda x: np.sum(x * np.array([0.0, 1.0, 0.0])))
def masks(x: Any) -> Any:
    mask = np.array([1.0, 2.0, 3.0]) + 0.0 * x > 1.5
    mask &= np.array([True, True, False])
    mask |= mask
    mask = (mask[None, ::-1] & True).reshape(3)[::-1]
    mask &= np.array([True, True, True])
    return np.sum(np.where(mask, x, 0.0))


@pytest.mark.parametrize(("function", "plain"), IDIOMS, ids=[function.__name__ for function, _ in IDIOMS])
def test_idioms_are_answered(function: Function, plain: Function) -> None:
    for transformed in (mm.grad, mm.hessian):
        expected = transformed(plain)(X)
        assert_allclose(transformed(function)(X), expected, rtol=1e-12, atol=1e-12)
        assert_allclose(mm.compile(transformed(function))(X), expected, rtol=1e-12, atol=1e-12)
        assert_allclose(mm.vmap(transformed(function))(np.stack([X, -X]))[0], expected, rtol=1e-12, atol=1e-12)
    steps = [(plain(X + 1e-6 * row) - plain(X - 1e-6 * row)) / 2e-6 for row in np.eye(3)]
    assert_allclose(mm.grad(function)(X), steps, rtol=1e-6, atol=1e-6)


def named(x: Any) -> Any:
    y = x * 1.0
    z = y
    z *= 2.0
    return np.sum(y)


def viewed(view: Function) -> Function:
    def function(x: Any) -> Any:
        y = x * 1.0
        z = view(y)
        z *= 2.0
        return np.sum(y)

    return function


def under_a_view(x: Any) -> Any:
    y = x * 1.0
    z = y[::-1]
    y *= 2.0
    return np.sum(z * x)


def helped(x: Any) -> Any:
    y = x * 1.0
    triple(y)
    return np.sum(y)


def its_argument(x: Any) -> Any:
    x *= 2.0
    return np.sum(x)


def parts_of_a_list(x: Any) -> Any:
    parts = [x * 1.0, x * 2.0]
    for part in parts:
        part *= 2.0  # noqa: PLW2901 (what is tested)
    return np.sum(parts[0])


def rows(x: Any) -> Any:
    y = np.stack([x, x])
    for row in y:
        row *= 2.0  # noqa: PLW2901 (what is tested)
    return np.sum(y)


def hidden_in_a_default(x: Any) -> Any:
    y = x * 1.0

    def read(y: Any = y) -> Any:
        return np.sum(y)

    y *= 2.0
    return read()


def of_a_constant(x: Any) -> Any:
    y = mm.stop_gradient(x)
    z = y[1:]
    z *= 2.0
    return np.sum(x * y)


def of_a_comparison(x: Any) -> Any:
    mask = x > 1.5
    seen = mask[::-1]
    mask &= x < 2.5
    return np.sum(np.where(seen, x, 0.0))


def total_under_a_view(x: Any) -> Any:
    total = np.zeros(3)
    seen = total[1:]
    total += x
    return np.sum(seen * x[1:])


def row_of_a_total(x: Any) -> Any:
    total = np.zeros((2, 3))
    total[0] += x
    return np.sum(total)


def view_of_a_total(x: Any) -> Any:
    total = np.zeros((2, 3))
    part = total[0]
    part += x
    return np.sum(total)


def called(x: Any) -> Any:
    y = x * 1.0
    operator.imul(y, 2.0)  # type: ignore[no-untyped-call]
    return np.sum(y)


def called_by_its_name(x: Any) -> Any:
    total = np.zeros(3)
    total.__iadd__(x)
    return np.sum(total)


def called_by_its_name_of_an_array(x: Any) -> Any:
    return (x * 1.0).__iadd__(2.0)


def element(x: Any) -> Any:
    y = x.copy()
    s = y[0]
    y[0] = 7.0
    return s * y[1]


def row(x: Any) -> Any:
    y = np.stack([x, x])
    y[0] += x
    return np.sum(y)


def of_a_custom_rule(x: Any) -> Any:
    def rule(g: Any, y: Any, x: Any) -> Any:
        z = x[1:]
        z *= 2.0
        return (g * x,)

    return mm.sum(mm.custom_vjp(lambda x: x * x, rule)(x))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (named, r"z \*= ... on an Array of shape \(3,\): y sees it, too.* Write z = z \* ..., which"),
        (viewed(lambda y: y[1:3]), "y sees it, too"),
        (viewed(lambda y: y.reshape(3, 1)), "y sees it, too"),
        (viewed(lambda y: y[None].ravel()), "y sees it, too"),
        (viewed(lambda y: np.swapaxes(y[None], 0, 1)), "y sees it, too"),
        (viewed(lambda y: y[None].T), "y sees it, too"),
        (viewed(lambda y: np.split(y, 3)[1]), "y sees it, too"),
        (viewed(lambda y: np.squeeze(y[None])), "y sees it, too"),
        (viewed(mm.custom_vjp(lambda v: v[1:], lambda g, y, v: (None,))), "y sees it, too"),
        (viewed(mm.rematerialize(lambda v: v)), "y sees it, too"),
        (under_a_view, r"y \*= .*z sees it, too"),
        (helped, r"v \*= .*y in helped sees it, too"),
        (its_argument, "it is an argument, which the caller sees, too"),
        (parts_of_a_list, r"part \*= .*parts sees it, too"),
        (rows, r"row \*= .*y sees it, too"),
        (hidden_in_a_default, "it is held by something else, too"),
        (of_a_constant, r"z \*= "),
        (of_a_comparison, "mask &= "),
        (total_under_a_view, r"total \+= ... on a numpy array of shape \(3,\) with an Array: it is held by something"),
        (
            row_of_a_total,
            r"total\[...\] \+= v on an array of shape \(2, 3\).*total = minimeta\.at\(total\)\[...\]\.add\(v\)",
        ),
        (view_of_a_total, r"it is a view of another array.*join them with stack"),
        (called, r"an in-place operator of an Array of shape \(3,\), called as a function"),
        (called_by_its_name_of_an_array, "an in-place operator of an Array of shape .*, called as a function"),
        (called_by_its_name, r"np\.add\(..., out=...\): an Array is never written to; drop out="),
        (element, "cannot be changed in place"),
        (row, r"y\[...\] \+= v on an array of shape \(2, 3\).*Write y = minimeta\.at\(y\)\[...\]\.add\(v\)\n"),
        (of_a_custom_rule, r"z \*= "),
    ],
)
def test_what_somebody_else_would_see_is_refused(function: Function, message: str) -> None:
    gradient = mm.grad(function)
    for run in (gradient, mm.compile(gradient), mm.hessian(function)):
        with pytest.raises(TracingError, match=message):
            run(X)
    with pytest.raises(TracingError, match=message):
        mm.vmap(gradient)(X[None])


def test_the_refusal_ends_with_the_line() -> None:
    with pytest.raises(TracingError) as caught:
        mm.grad(named)(X)
    assert str(caught.value).endswith(f"\n  at {__file__}:{named.__code__.co_firstlineno + 3}, in named")


def in_place_sum(y: Any, v: Any) -> Any:
    own = y + 0
    own += v
    return own


def test_shape_and_dtype_are_the_targets_as_in_numpy() -> None:
    x, wide = X.astype(np.float32), np.linspace(0.1, 0.3, 3)

    def total(x: Any) -> Any:
        total = np.zeros(3, np.float32)
        total += mm.astype(x, np.float64) * wide
        return total

    for function in (lambda x: in_place_sum(x * np.float32(2.0), wide), total):
        expected = np.zeros(3, np.float32)
        expected += x * wide if function is total else x * np.float32(2.0) + wide
        for found in (mm.vjp(function, x)[0], mm.compile(lambda x, f=function: mm.vjp(f, x)[0])(x)):
            assert found.dtype == np.float32
            assert_array_equal(found, expected)
        assert mm.grad(lambda x, f=function: mm.sum(f(x)))(x).dtype == np.float32

    with pytest.raises(ShapeError, match=r"own \+= ... on shape \(3,\): the result, of shape \(2, 3\), does not fit"):
        mm.grad(lambda x: mm.sum(in_place_sum(x * 1.0, np.ones((2, 3)))))(X)
    with pytest.raises(DtypeError, match=r"own \+= ... on dtype int64: the result, of dtype float64, does not fit"):
        mm.grad(lambda x: mm.sum(in_place_sum(np.zeros(3, np.int64), x)))(X)


def test_where_references_are_not_counted_everything_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for own in ("OWN", "_OPERAND", "OWN_TWICE", "_OWN_NUMPY"):
        monkeypatch.setattr(sharing, own, 0)
    for function in (bias, total_of_zeros_plus_array, itself):
        with pytest.raises(TracingError, match="held by something else"):
            mm.grad(function)(X)
    assert_array_equal(mm.grad(loss_plus_term)(X), 1.0 + 2.0 * X + 3.0 * X**2)
