"""Squares of magnitudes are smooth where magnitudes are not.

The oracle is algebra: the square of a norm is a sum of squares, whose derivatives are polynomials.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

import minimeta as mm
from minimeta.autodiff.array import Array
from minimeta.autodiff.operations import magnitudes
from minimeta.learners import MAML
from minimeta.nn import Model
from minimeta.tasks.task import Examples, Task

Function = Callable[[Any], Any]


def halves(v: Any) -> Any:
    return mm.reshape(v, (2, 2))


#: A function made of magnitudes of four numbers, and the same without.
PAIRS: dict[str, tuple[Function, Function]] = {
    "norm": (lambda v: mm.norm(v) ** 2, lambda v: mm.sum(v**2)),
    "norm of numpy": (lambda v: np.linalg.norm(v) ** 2.0, lambda v: mm.sum(v**2)),
    "half": (lambda v: 0.5 * mm.norm(v) ** 2, lambda v: 0.5 * mm.sum(v**2)),
    "product": (lambda v: mm.norm(v) * mm.norm(v), lambda v: mm.sum(v**2)),
    "itself": (lambda v: (y := mm.norm(v)) * y, lambda v: mm.sum(v**2)),
    "half times itself": (lambda v: 0.5 * mm.norm(v) * mm.norm(v), lambda v: 0.5 * mm.sum(v**2)),
    "times a multiple": (lambda v: mm.norm(v) * (-2.0 * mm.norm(v)), lambda v: -2.0 * mm.sum(v**2)),
    "divided times itself": (lambda v: (y := mm.norm(v)) / 4.0 * y, lambda v: 0.25 * mm.sum(v**2)),
    "mean of one": (lambda v: mm.mean(mm.norm(v)) ** 2, lambda v: mm.sum(v**2)),
    "sum of one": (lambda v: mm.sum(3.0 * mm.norm(v)[None]) ** 2, lambda v: 9.0 * mm.sum(v**2)),
    "axis": (lambda v: mm.sum(mm.norm(halves(v), axis=1) ** 2), lambda v: mm.sum(v**2)),
    "keepdims": (
        lambda v: mm.sum(mm.norm(halves(v), axis=1, keepdims=True) ** 2 * np.array([[2.0], [3.0]])),
        lambda v: mm.sum(halves(v) ** 2 * np.array([[2.0], [3.0]])),
    ),
    "absolute": (lambda v: mm.sum(abs(v) ** 2), lambda v: mm.sum(v**2)),
    "square of absolute": (lambda v: mm.sum(np.square(np.abs(v))), lambda v: mm.sum(v**2)),
    "absolutes": (lambda v: mm.sum(abs(v) * abs(v)), lambda v: mm.sum(v**2)),
    "root": (lambda v: mm.sqrt(mm.sum(v**2)) ** 2, lambda v: mm.sum(v**2)),
    "scaled": (lambda v: (3.0 * mm.norm(v) / 2.0) ** 2, lambda v: 2.25 * mm.sum(v**2)),
    "negative": (lambda v: (-mm.norm(v)) ** 2, lambda v: mm.sum(v**2)),
    "kernel": (
        lambda v: mm.exp(-((mm.norm(v) / np.array([3.0, 2.0])) ** 2) / 2.0)[1],
        lambda v: mm.exp(-mm.sum(v**2) / 8.0),
    ),
    "part": (lambda v: mm.norm(halves(v), axis=1)[1] ** 2, lambda v: mm.sum(halves(v)[1] ** 2)),
    "norm of norms": (lambda v: mm.norm(mm.norm(halves(v), axis=1)) ** 2, lambda v: mm.sum(v**2)),
    "norm of stacked norms": (
        lambda v: mm.norm(mm.stack([mm.norm(v[:1]), mm.norm(v[1:])])) ** 2,
        lambda v: mm.sum(v**2),
    ),
    "divided by what varies": (
        lambda v: (mm.norm(v[1:]) / (2.0 + v[0])) ** 2,
        lambda v: mm.sum(v[1:] ** 2) / (2.0 + v[0]) ** 2,
    ),
    "times what varies": (
        lambda v: (mm.norm(v) * mm.exp(v[0])) ** 2,
        lambda v: mm.sum(v**2) * mm.exp(2.0 * v[0]),
    ),
    "norm times norm, squared": (
        lambda v: (mm.norm(v[:2]) * mm.norm(v[2:])) ** 2,
        lambda v: mm.sum(v[:2] ** 2) * mm.sum(v[2:] ** 2),
    ),
    "chosen": (
        lambda v: mm.sum(mm.where(np.array([True, False, True, True]), abs(v), v) ** 2),
        lambda v: mm.sum(v**2),
    ),
    "square of a square": (lambda v: (mm.norm(v) ** 2) ** 2, lambda v: mm.sum(v**2) ** 2),
}
POINTS = [np.zeros(4), np.array([0.0, 0.0, 3.0, -4.0]), np.array([1.0, -2.0, 0.0, 0.5])]


@pytest.mark.parametrize("name", PAIRS)
def test_derivatives_of_squares_are_right_everywhere(name: str) -> None:
    made, plain = PAIRS[name]
    u = np.array([1.0, -0.5, 2.0, 0.25])

    def third(f: Function) -> Function:
        return mm.grad(lambda v: mm.sum(mm.hvp(f, (v,), (u,))[0] * u))

    for v in POINTS:
        assert_allclose(mm.compile(made)(v), plain(v), rtol=1e-14)
        for transform in (mm.grad, mm.hessian, third):
            expected = transform(plain)(v)
            found = transform(made)(v)
            assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
            assert_array_equal(mm.compile(transform(made))(v), mm.compile(transform(made), enabled=False)(v))
            assert_allclose(mm.compile(transform(made))(v), expected, rtol=1e-12, atol=1e-12)
        assert_allclose(mm.hvp(made, (v,), (u,))[0], mm.hvp(plain, (v,), (u,))[0], rtol=1e-12, atol=1e-12)
    batch = np.stack(POINTS)
    mapped = mm.vmap(mm.hessian(made))(batch)
    assert_allclose(mapped, [mm.hessian(plain)(v) for v in POINTS], rtol=1e-12, atol=1e-12)
    # The derivative of a vmap, twice.
    total = mm.hessian(mm.vmap(made, out_axes="sum"))(batch)
    for i, v in enumerate(POINTS):
        assert_allclose(total[i, :, i], mm.hessian(plain)(v), rtol=1e-12, atol=1e-12)
    assert_allclose(mm.hessian(mm.rematerialize(made))(POINTS[0]), mm.hessian(plain)(POINTS[0]), atol=1e-12)


@given(v=arrays(np.float64, 4, elements=st.floats(-3, 3)), name=st.sampled_from(list(PAIRS)))
def test_at_any_point(v: Any, name: str) -> None:
    made, plain = PAIRS[name]
    assert_allclose(mm.grad(made)(v), mm.grad(plain)(v), rtol=1e-9, atol=1e-9)
    assert_allclose(mm.hessian(made)(v), mm.hessian(plain)(v), rtol=1e-9, atol=1e-9)


def test_a_product_of_multiples_whose_factor_is_an_argument() -> None:
    def f(v: Any, k: Any) -> Any:
        return k * mm.norm(v) * mm.norm(v) + mm.norm(v) * (mm.norm(v) / (2.0 + k))

    def plain(v: Any, k: Any) -> Any:
        return (k + 1.0 / (2.0 + k)) * mm.sum(v**2)

    for k in (0.0, -0.5, 3.0):
        for v in (np.zeros(2), np.array([3.0, -4.0])):
            for of in (mm.hessian, lambda g: mm.jacobian(mm.hessian(g), argnum=1)):
                for found in (of(f)(v, k), mm.compile(of(f))(v, k), mm.vmap(of(f))(v[None], np.array([k]))[0]):
                    assert_allclose(found, of(plain)(v, k), rtol=1e-13, atol=1e-13)
                assert_array_equal(mm.compile(of(f))(v, k), mm.compile(of(f), enabled=False)(v, k))
    v = np.array([3e-20, 4e-20], np.float32)
    slope = mm.grad(lambda v: np.float32(1e20) * (np.float32(1e20) * mm.norm(v) * mm.norm(v)))(v)
    assert_allclose(slope, [6e20, 8e20], rtol=1e-6)


def test_the_value_is_the_squares() -> None:
    v = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    for x in v:
        for made in (lambda x: mm.norm(x) ** 2, lambda x: mm.norm(x) * mm.norm(x)):
            value, gradient = mm.value_and_grad(made)(x)
            assert value == np.square(mm.norm(x)) == mm.compile(made)(x) and value.dtype == np.float32
            assert_array_equal(gradient, 2 * x)


def test_a_maml_step_through_half_a_squared_norm() -> None:
    model = Model(lambda rng: {"w": np.zeros(2)}, lambda p, x: p["w"])
    learner = MAML(model, lambda w, target: 0.5 * mm.norm(w) ** 2 if target.shape == (1,) else mm.sum(w), 0.1)
    task = Task(Examples(np.zeros(1), np.zeros(1)), Examples(np.zeros(1), np.zeros(2)))
    # theta' = theta - 0.1 theta, and L_Q is linear with slopes 1.
    for gradient in (learner.meta_gradient, mm.compile(learner.meta_gradient)):
        assert_allclose(gradient({"w": np.zeros(2)}, task).gradient["w"], [0.9, 0.9], rtol=1e-15)


def test_conventions_at_the_kink_itself_are_as_they_were() -> None:
    for f in (mm.norm, lambda v: mm.sum(abs(v)), lambda v: mm.norm(v) * mm.norm(2.0 * v) / 2.0):
        assert_array_equal(mm.grad(f)(np.zeros(2)), np.zeros(2))
        assert_array_equal(mm.hessian(f)(np.zeros(2)), np.zeros((2, 2)))
    assert mm.grad(mm.sqrt)(0.0) == np.inf


def test_a_root_below_zero_stays_not_a_number() -> None:
    value, slope = mm.value_and_grad(lambda x: mm.sqrt(x) ** 2)(-1.0)
    assert np.isnan(value) and np.isnan(slope)
    assert mm.value_and_grad(lambda x: mm.sqrt(x) ** 2)(0.0) == (0.0, 1.0)


def test_an_inner_derivative_ends_at_its_argument() -> None:
    # d/dy y^2 = 2 y at y = norm(v): a multiple of the norm, which has a kink.
    def slope(v: Any) -> Any:
        return mm.grad(lambda y: y**2)(mm.norm(v))

    assert_array_equal(mm.grad(slope)(np.zeros(2)), np.zeros(2))
    assert_allclose(mm.grad(slope)(np.array([3.0, 4.0])), [1.2, 1.6], rtol=1e-15)
    square = mm.hessian(lambda v: mm.value_and_grad(lambda y: y**2)(mm.norm(v))[0])(np.zeros(2))
    assert_array_equal(square, 2 * np.eye(2))


def test_looking_for_a_magnitude_ends() -> None:
    def f(x: Any) -> Any:
        for _ in range(200):
            x = x * x * 0.5 + 1.0 if x.shape == () else x
            x = (0.1 * x) * x
        return x**2

    assert np.isfinite(mm.grad(f)(0.5))
    assert not magnitudes.is_square(Array(np.ones(2)), Array(np.ones(2)))


def test_a_factor_is_not_squared_by_itself() -> None:
    f32 = np.float32

    def wide(v: Any) -> Any:
        return mm.astype(v, np.float64)

    small = np.array([3e-20, 4e-20], f32)
    single: list[Function] = [
        lambda v: (mm.norm(v) / f32(1e-20)) ** 2,
        lambda v: (mm.norm(v) / f32(1e-10) / f32(1e-10)) ** 2,
        lambda v: mm.sum((abs(v) * f32(1e20)) ** 2),
        lambda v: mm.sum((mm.reshape(abs(v), (2, 1)) * f32(1e20)) ** 2),
        lambda v: mm.sum((wide(abs(v)) * 1e20) ** 2),
        lambda v: mm.sum((abs(wide(v)) * 1e20) ** 2),
        lambda v: mm.sum((mm.norm(v) * np.array([0.6e20, 0.8e20], f32)) ** 2),
        lambda v: mm.sum((abs(v)[np.array([0, 0, 1, 1])] * np.array([0.6e20, 0.8e20, 0.0, 1e20], f32)) ** 2),
    ]
    for f in single:
        for gradient in (mm.grad(f), mm.compile(mm.grad(f))):
            assert gradient(small).dtype == f32
            assert_allclose(gradient(small), [6e20, 8e20], rtol=1e-6)
            assert_array_equal(gradient(0 * small), [0, 0])
        assert_allclose(mm.vmap(mm.grad(f))(np.stack([small, 0 * small])), [[6e20, 8e20], [0.0, 0.0]], rtol=1e-6)

    # x^2, by way of factors that are 1 together.
    double: list[Function] = [
        lambda x: (abs(x) * 1e200 * 1e-200) ** 2,
        lambda x: (abs(x) * 1e-200 * 1e200) ** 2,
        lambda x: (abs(x) / 1e200 / 1e-200) ** 2,
        lambda x: (mm.sqrt(x**2) * 1e200 * 1e-200) ** 2,
    ]
    for f in double:
        for x in (3.0, 0.0, -2.0):
            for gradient in (mm.grad(f), mm.compile(mm.grad(f))):
                assert_allclose(gradient(x), 2 * x, rtol=1e-14)
            assert_allclose(mm.vmap(mm.hessian(f))(np.array([x])), [2.0], rtol=1e-14)
            assert_allclose(mm.grad(mm.hessian(f))(x), 0.0, atol=1e-14)


def test_a_large_magnitude_times_what_is_zero() -> None:
    slopes = mm.grad(lambda v, z: (mm.norm(v) * z) ** 2, argnums=(0, 1))(np.array([3e200, 4e200]), 0.0)
    assert_array_equal(slopes[0], [0.0, 0.0])
    assert slopes[1] == 0.0
    # The slope by z is -2 norm(v)^2 / z^3, and norm(v)^2 itself is out of range.
    slope = mm.grad(lambda z: (mm.norm(np.array([3e200, 4e200])) / z) ** 2)(1e200)
    assert_allclose(slope, -5e-199, rtol=1e-14)
    both = mm.grad(lambda v, z: (mm.norm(v) / z) ** 2, argnums=(0, 1))(np.array([3e200, 4e200]), 1e200)
    assert_allclose(both[0], [6e-200, 8e-200], rtol=1e-14)


@pytest.mark.parametrize(
    "two", [2, 2.0, np.float64(2), np.float32(2), np.int64(2), np.uint8(2), np.array(2), np.array(2.0)], ids=repr
)
def test_every_number_two_is_the_exponent_of_a_square(two: Any) -> None:
    assert_array_equal(mm.hessian(lambda v: mm.norm(v) ** two)(np.zeros(2)), 2 * np.eye(2))
    assert_array_equal(mm.hessian(lambda x: abs(x) ** two)(0.0), 2.0)
    operands: list[Any] = [3.0, 3, np.float32(3), *(np.array([3, 5]).astype(d) for d in ("f4", "f8", "i1", "i8", "u1"))]
    for x in operands:
        if type(two) is float and np.asarray(x).itemsize == 1:
            continue  # numpy's float16
        expected = np.asarray(np.power(x, two))
        for found in (mm.power(x, two), mm.compile(lambda x: mm.power(x, two))(x)):
            assert_array_equal(found, expected)
            assert found.dtype == expected.dtype
