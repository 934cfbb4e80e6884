"""Code written for the array API standard runs on Arrays, and is differentiated."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import minimeta as mm
from minimeta import array_api as xp
from minimeta.autodiff.array import Array
from minimeta.errors import ConfigurationError, TracingError


def log_density(x: Any, mean: Any, covariance: Any) -> Any:
    """Return that of a normal distribution, in the standard's functions alone."""
    space = x.__array_namespace__(api_version="2024.12")
    factor = space.linalg.cholesky(covariance)
    z = space.linalg.solve(factor, (x - mean)[:, space.newaxis])
    logarithms = space.log(space.linalg.diagonal(factor))
    return -0.5 * space.sum(z * z) - space.sum(logarithms) - 0.5 * x.shape[0] * space.log(space.asarray(2.0 * space.pi))


def test_a_function_of_the_standard_is_differentiated() -> None:
    covariance = np.array([[2.0, 0.3], [0.3, 1.0]])
    x, mean = np.array([0.5, -0.2]), np.array([0.1, 0.4])
    precision = np.linalg.inv(covariance)
    to_x, to_mean = mm.grad(log_density, (0, 1))(x, mean, covariance)
    assert_allclose(to_x, -precision @ (x - mean), rtol=1e-12)
    assert_allclose(to_mean, precision @ (x - mean), rtol=1e-12)
    assert_allclose(mm.hessian(log_density)(x, mean, covariance), -precision, rtol=1e-12)


def test_the_namespace_is_that_of_the_standards_versions() -> None:
    assert mm.grad(lambda x: x * (x.__array_namespace__() is xp))(1.0) == 1.0
    with pytest.raises(ConfigurationError, match=r"version '2019\.1'"):
        xp.zeros(2).__array_namespace__(api_version="2019.1")
    with pytest.raises(ConfigurationError, match="every Array is on the 'cpu'"):
        xp.zeros(2, device="cuda")
    assert xp.zeros(2).to_device("cpu").device == "cpu"


def test_what_is_created_is_an_array() -> None:
    made = [xp.arange(3), xp.linspace(0.0, 1.0, 3), xp.eye(2), xp.full((2,), 3), xp.asarray([[1, 2]]), xp.ones(2)]
    expected = [np.arange(3), np.linspace(0.0, 1.0, 3), np.eye(2), np.full(2, 3), np.array([[1, 2]]), np.ones(2)]
    for x, y in zip(made, expected, strict=True):
        assert type(x) is Array and (x.dtype, x.shape) == (y.dtype, y.shape)
        assert_array_equal(np.asarray(x), y)
    info = xp.__array_namespace_info__()
    assert info.default_device() in info.devices()
    assert set(info.dtypes(kind="integral")) == {f"{u}int{n}" for u in ("", "u") for n in (8, 16, 32, 64)}


@given(st.lists(st.integers(0, 3), min_size=1), st.booleans())
def test_a_descending_order_keeps_equals_in_place(numbers: list[int], descending: bool) -> None:
    order = np.asarray(xp.argsort(xp.asarray(numbers), descending=descending))
    expected = sorted(range(len(numbers)), key=lambda i: -numbers[i] if descending else numbers[i])
    assert_array_equal(order, expected)
    assert_array_equal(np.asarray(xp.sort(xp.asarray(numbers), descending=descending)), np.array(numbers)[expected])


def test_arrays_go_through_dlpack_unless_a_derivative_would_be_lost() -> None:
    x = np.arange(6.0).reshape(2, 3)[:, ::2]
    array = xp.from_dlpack(x)
    assert type(array) is Array
    back = np.from_dlpack(array)
    back[0, 0] = 9.0  # It is a copy.
    assert_array_equal(np.asarray(array), x)
    assert array.__dlpack_device__() == (1, 0)
    with pytest.raises(TracingError, match="derivative would be lost"):
        mm.grad(lambda x: np.sum(np.from_dlpack(x)))(x)
    assert float(mm.grad(lambda x: x * float(np.from_dlpack(mm.stop_gradient(x))))(3.0)) == 3.0


def test_limits_of_dtypes_are_pythons_numbers() -> None:
    limits = xp.finfo(xp.zeros(2, dtype=xp.float32))
    assert type(limits.eps) is float and limits.eps == 2.0**-23 and limits.bits == 32
    assert xp.iinfo(xp.int16).max == 2**15 - 1


def test_bits_are_shifted() -> None:
    x = np.array([1, 5, 12])
    assert_array_equal(np.asarray(xp.asarray(x) << 2), x << 2)
    assert_array_equal(np.asarray(xp.asarray(x) >> 1), x >> 1)
    assert_array_equal(np.asarray(3 << xp.asarray(x)), 3 << x)
    assert_array_equal(np.asarray(100 >> xp.asarray(x)), 100 >> x)


def test_whole_numbers_keep_the_dtype_that_is_asked_for() -> None:
    x = np.array([200, 100], np.uint8)
    total = xp.sum(xp.asarray(x), dtype=xp.uint8)
    assert total.dtype == np.uint8 and int(total) == np.sum(x, dtype=np.uint8)
    product = xp.linalg.vecdot(xp.asarray(x), xp.asarray(x))
    assert product.dtype == np.uint8 and int(product) == np.vecdot(x, x)
    assert (
        xp.linalg.tensordot is not None
        and mm.grad(lambda x: np.linalg.tensordot(x, x, axes=1))(np.ones(2)).sum() == 4.0
    )
    assert_array_equal(mm.grad(lambda x: np.sum(np.linalg.matmul(x, x)))(np.eye(2)), np.full((2, 2), 2.0))


def test_a_number_of_pythons_takes_the_dtype_of_an_array() -> None:
    x = np.array([1.0, -2.0], np.float32)
    assert mm.vjp(lambda x: np.copysign(x, -1.0), x)[0].dtype == np.float32
    assert mm.vjp(lambda x: np.copysign(3.0, x), x)[0].dtype == np.float32
