"""Arguments to differentiate with respect to: by position or by name, and refused where there is no derivative."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import minimeta as mm
from minimeta.autodiff.apply import context
from minimeta.errors import DtypeError, ShapeError
from minimeta.program import trace

Function = Callable[..., Any]


POINT = np.array([0.3, -1.2, 0.7])


@pytest.mark.parametrize(("argnums", "expected"), [(0, 216.0), (1, 432.0), (-1, 432.0), (-2, 216.0)])
def test_argnums_may_count_from_either_end(argnums: int, expected: float) -> None:
    assert mm.grad(lambda x, y: x * x * y**3, argnums)(4.0, 3.0) == pytest.approx(expected)


def named(x: Any, y: Any = 3.0, /, z: Any = 5.0, *, k: Any = 7.0) -> Any:
    return x * y**2 * z**3 * k**4


SLOPES = {"x": 9 * 125 * 2401.0, "y": 2 * 3 * 125 * 2401.0, "z": 9 * 3 * 25 * 2401.0, "k": 9 * 125 * 4 * 343.0}


@pytest.mark.parametrize("wrap", [lambda f: f, mm.compile, lambda f: mm.compile(f, enabled=False)])
@pytest.mark.parametrize(
    "transform", [mm.grad, mm.jacobian, lambda f, n: lambda *a, **k: mm.value_and_grad(f, n)(*a, **k)[1]]
)
def test_arguments_may_be_named(wrap: Any, transform: Any) -> None:
    for how in ("positions", "a keyword"):
        z = {"positions": ((5.0,), {}), "a keyword": ((), {"z": 5.0})}[how]
        for place in ("x", "y", "z", "k", 0, 1, 2, np.int64(2), np.uint8(1)):
            name = place if isinstance(place, str) else "xyz"[place]
            found = transform(wrap(named), place)(1.0, 3.0, *z[0], **z[1], k=7.0)
            assert found == pytest.approx(SLOPES[name], rel=1e-14)


def test_several_arguments_may_be_named() -> None:
    expected = (SLOPES["k"], SLOPES["x"], SLOPES["z"])
    several: Any
    for several in (("k", 0, "z"), ["k", "x", np.int64(2)]):
        for function in (named, mm.compile(named)):
            found = mm.grad(function, several)(1.0, 3.0, z=5.0, k=7.0)
            assert isinstance(found, tuple) and found == pytest.approx(expected, rel=1e-14)
    assert len(mm.grad(named, range(2))(1.0, 2.0)) == 2
    assert mm.hessian(lambda x, y: x * y**3, "y")(2.0, y=3.0) == 36.0
    assert mm.hessian(mm.compile(lambda x, y: x * y**3), "y")(2.0, 3.0) == 36.0

    class Line:
        def at(self, x: Any, w: Any) -> Any:
            return w * x

    assert mm.grad(Line().at, "w")(2.0, 3.0) == 2.0
    assert mm.grad(lambda **named: named["a"] * named["b"], "a")(a=2.0, b=3.0) == 3.0
    assert mm.grad(mm.grad(named, "z"), "y")(1.0, 3.0, 5.0) == pytest.approx(2 * 3 * 3 * 25 * 2401.0)


@pytest.mark.parametrize(
    ("argnums", "error", "message"),
    [
        ("w", ShapeError, "grad: no argument 'w' is in the call, which passes 'x', 'y', 'k'"),
        ("z", ShapeError, "no argument 'z' is in the call, which passes 'x', 'y', 'k'"),
        (("x", 0), ShapeError, "names an argument twice"),
        (("k", "k"), ShapeError, "names an argument twice"),
        (1.0, DtypeError, "1.0 is neither the position nor the name of an argument"),
        (None, DtypeError, "None is neither the position nor the name"),
        (2, ShapeError, "argument 2, but the function was called with 2 arguments"),
    ],
)
def test_names_of_no_argument_are_refused(argnums: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        mm.grad(named, argnums)(1.0, 2.0, k=1.0)


def test_a_named_argument_that_holds_no_floats_is_named() -> None:
    with pytest.raises(DtypeError, match=r"grad with respect to argument .k.*int"):
        mm.grad(named, "k")(1.0, 2.0, k=1)
    with pytest.raises(DtypeError, match="argument 'k' is None"):
        mm.grad(named, "k")(1.0, 2.0, k=None)


def test_several_argnums_give_a_tuple_in_their_order() -> None:
    def function(x: Any, y: Any, z: Any, power: int = 1) -> Any:
        return (x + 2 * y + 3 * z) ** power

    assert mm.grad(function, (2, 0))(1.0, 1.0, 1.0) == (3.0, 1.0)
    assert mm.grad(function, (-1, 1))(1.0, 1.0, 1.0) == (3.0, 2.0)
    assert mm.grad(function, [1])(1.0, 1.0, 1.0) == (2.0,)
    assert mm.grad(function, ())(1.0, 1.0, 1.0) == ()
    assert mm.grad(function, (0,))(1.0, 0.0, 0.0, power=3) == (3.0,)


def test_arguments_that_are_not_differentiated_may_be_anything() -> None:
    def function(x: Any, mode: str, table: dict[str, Any], index: int) -> Any:
        return x[index] * table[mode]

    assert_array_equal(mm.grad(function)(np.ones(2), "a", {"a": 2.0, "b": object()}, 1), [0.0, 2.0])


@dataclasses.dataclass(frozen=True)
class Layer:
    weight: Any
    bias: Any
    name: str = dataclasses.field(default="layer", metadata={"static": True})


# Errors


@pytest.mark.parametrize(
    ("arguments", "argnums", "message"),
    [
        ((1,), 0, "argument 0, of dtype int64"),
        ((True,), 0, "argument 0, of dtype bool"),
        ((1.0, np.arange(3)), 1, "argument 1, of dtype int64"),
        ((1.0, {"a": [1.0, np.zeros(2, np.uint8)]}), (0, 1), "argument 1 at 'a/1', of dtype uint8"),
        (([Layer(1.0, 2)],), -1, "argument 0 at '0/bias', of dtype int64"),
        ((1j,), 0, "argument 0, of complex numbers: pass their parts"),
        ((np.zeros(2, complex),), 0, "argument 0, of complex numbers: pass their parts"),
        ((np.zeros(2, np.float16),), 0, "argument 0, which is an array of dtype float16: .*Convert with astype"),
        (("text",), 0, "argument 0, which is a str, where numbers are expected"),
        (({"w": np.array(["1"])},), 0, "argument 0 at 'w', which is an array of strings, where numbers"),
        ((1.0, np.ma.array([1.0])), 1, "argument 1, which is a masked array: the mask would be lost; fill it"),
    ],
    ids=repr,
)
def test_arguments_that_are_no_floats_are_named(arguments: Any, argnums: Any, message: str) -> None:
    with pytest.raises(DtypeError, match=message):
        mm.grad(lambda *xs: 1.0, argnums)(*arguments)


def test_integers_are_named_by_every_transformation() -> None:
    with pytest.raises(DtypeError, match="vjp with respect to argument 1 at '0', of dtype int64: derivatives are with"):
        mm.vjp(lambda x, y: x, 1.0, (2,))
    with pytest.raises(DtypeError, match="jvp with respect to argument 1, of dtype int64"):
        mm.jvp(lambda x, y: x, (1.0, 2), (1.0, 1.0))
    with pytest.raises(DtypeError, match="jacobian with respect to argument 'y', of dtype int64"):
        mm.jacobian(lambda x, y: x, "y")(1.0, y=2)
    with pytest.raises(DtypeError, match="vmap: argument '1/w' is an array of strings"):
        mm.vmap(lambda x, y: x)(np.ones(1), {"w": np.array(["a"])})


TRANSFORMATIONS: dict[str, Callable[[Any], Any]] = {
    **{name: getattr(mm, name) for name in ("grad", "value_and_grad", "jacobian", "hessian", "vmap")},
    **{name: getattr(mm, name) for name in ("compile", "custom_vjp", "rematerialize")},
    "vjp": lambda f: mm.vjp(f, 1.0),
    "jvp": lambda f: mm.jvp(f, (1.0,), (1.0,)),
    "hvp": lambda f: mm.hvp(f, (1.0,), (1.0,)),
    "trace": lambda f: trace(f, 1.0),
}


@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_what_is_no_function_is_not_transformed(name: str) -> None:
    for value in (3.0, "f", np.ones(2)):
        with pytest.raises(DtypeError, match=f"^{name} needs a function, and was given a value of type .*: pass f"):
            TRANSFORMATIONS[name](value)
    with pytest.raises(DtypeError, match="grad needs a function, and was given nothing"):
        mm.grad(argnums=1)  # type: ignore[call-arg]


class Square:
    """A function, and a method, that is no Python function."""

    def __call__(self, x: Any) -> Any:
        return x * x

    def method(self, x: Any) -> Any:
        return x * x


@pytest.mark.parametrize("function", [Square(), Square().method, functools.partial(pow, exp=2), np.square])
def test_whatever_can_be_called_is_transformed(function: Function) -> None:
    assert mm.grad(function)(3.0) == mm.compile(mm.grad(function))(3.0) == 6.0


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x, r"returns shape \(3,\): it must return a scalar, of shape \(\). Reduce it with sum or mean"),
        (lambda x: mm.sum(x, keepdims=True), r"returns shape \(1,\)"),
        (lambda x: (mm.sum(x), 1.0), "returns a tuple.*has_aux=True"),
        (lambda x: {"loss": mm.sum(x)}, "returns a dict"),
        (lambda x: None, "returns a None"),
    ],
)
def test_a_gradient_needs_a_scalar(function: Function, message: str) -> None:
    for run in (lambda: mm.grad(function)(POINT), lambda: trace(mm.grad(function), POINT)):
        with pytest.raises(ShapeError, match=message):
            run()


def test_a_gradient_needs_a_float() -> None:
    with pytest.raises(DtypeError, match="returns dtype int64: it must return a float; convert with astype"):
        mm.grad(mm.argmax)(POINT)
    with pytest.raises(DtypeError, match="returns dtype bool"):
        mm.grad(lambda x: x > 0)(1.0)


def test_has_aux_needs_a_pair() -> None:
    for function in (mm.sum, lambda x: (mm.sum(x), 1, 2), lambda x: [mm.sum(x), 1]):
        with pytest.raises(ShapeError, match="must return a pair"):
            mm.grad(function, has_aux=True)(POINT)


@pytest.mark.parametrize("argnums", [(0, 0), (0, -2), (1, 0, 1)])
def test_an_argument_named_twice_is_refused(argnums: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="names an argument twice"):
        mm.grad(lambda x, y: x * y, argnums)(1.0, 2.0)


def test_errors_end_with_the_users_line() -> None:
    def function(x: Any) -> Any:
        return mm.grad(lambda y: y)(x)

    with pytest.raises(ShapeError) as caught:
        mm.grad(function)(POINT)
    line = function.__code__.co_firstlineno + 1
    assert str(caught.value).endswith(f"\n  at {__file__}:{line}, in function")


def test_an_exception_leaves_no_trace_behind() -> None:
    def fail(*_: Any) -> Any:
        raise KeyError

    failing = mm.custom_vjp(lambda x: x * 1.0, fail)
    calls: list[Function] = [
        mm.grad(fail),
        mm.grad(lambda x: mm.grad(fail)(x)),  # noqa: PLW0108
        mm.grad(failing),
        mm.grad(lambda x: mm.grad(failing)(x) * x),
        lambda x: trace(fail, x),
        lambda x: trace(mm.grad(failing), x),
        mm.grad(mm.rematerialize(fail)),
        lambda x: mm.jvp(failing, (x,), (x,)),
    ]
    for call in calls:
        with pytest.raises(KeyError):
            call(1.0)
        assert context.walking == ()
        assert type(mm.sin(1.0)) is np.ndarray
        assert mm.grad(mm.grad(lambda x: x**3))(2.0) == 12.0


def test_a_caught_exception_inside_a_function_does_no_harm() -> None:
    def function(x: Any) -> Any:
        try:
            mm.grad(lambda y: y + np.zeros(2))(x)
        except ShapeError:
            return x * x
        raise AssertionError

    assert mm.grad(mm.grad(function))(3.0) == 2.0
