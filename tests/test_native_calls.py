"""Calls of kernels: how arguments come, and that nothing unsafe is done."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from native_arrays import Array
from numpy.testing import assert_array_equal

if TYPE_CHECKING:
    from minimeta import _native


@pytest.fixture(scope="module", autouse=True)
def every_level(native: Any) -> None:
    """Run every test on every level; the stub's name stands for the level's extension."""
    globals()["_native"] = native


F: Array = np.ones((2, 3), "f4")


D: Array = np.ones((2, 3))


N: Array = np.ones((2, 3), np.int64)


B: Array = np.ones((2, 3), bool)


IMAGES: Array = np.ones((1, 4, 4, 2))


KERNEL: Array = np.ones((3, 3, 2, 1))


HUGE = 2**62


NONE = (0, 0, 0, 0)


def misaligned() -> Array:
    return np.zeros(17, np.uint8)[1:].view(np.float64)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda native: native.add([1.0], D), TypeError),
        (lambda native: native.add(D, F), TypeError),
        (lambda native: native.divide(N, N), TypeError),
        (lambda native: native.exp(D.astype(complex)), TypeError),
        (lambda native: native.exp(D.astype(">f8")), TypeError),
        (lambda native: native.exp(misaligned()), TypeError),
        (lambda native: native.add(D, D.T), ValueError),
        (lambda native: native.logical_or(N, N), TypeError),
        (lambda native: native.logical_not(N), TypeError),
        (lambda native: native.where(N, D, D), TypeError),
        (lambda native: native.where(B.T, D, D), ValueError),
        (lambda native: native.where(B, D, F), TypeError),
        (lambda native: native.clip(D, D, F), TypeError),
        (lambda native: native.astype(D, dtype="complex64"), TypeError),
        (lambda native: native.sum(N.astype("i4"), axes=(0,), keepdims=False), TypeError),
        (lambda native: native.sum(D, axes=(2,), keepdims=False), ValueError),
        (lambda native: native.sum(D, axes=(-1,), keepdims=False), ValueError),
        (lambda native: native.sum(D, axes=(1, 0), keepdims=False), ValueError),
        (lambda native: native.sum(D, axes=(0, 0), keepdims=False), ValueError),
        (lambda native: native.sum(D, axes=[0], keepdims=False), TypeError),
        (lambda native: native.sum(D, axes=("a",), keepdims=False), TypeError),
        (lambda native: native.sum(D, axes=(2**70,), keepdims=False), ValueError),
        (lambda native: native.softmax(D, axes=(3,)), ValueError),
        (lambda native: native.max(np.ones((2, 0)), axes=(1,), keepdims=False), ValueError),
        (lambda native: native.argmax(np.ones((2, 0)), axis=1, keepdims=False), ValueError),
        (lambda native: native.argmax(D, axis=2, keepdims=False), ValueError),
        (lambda native: native.argmax(D.astype("i4"), axis=0, keepdims=False), TypeError),
        (lambda native: native.matmul(D, D), ValueError),
        (lambda native: native.matmul(D[0], D), ValueError),
        (lambda native: native.matmul(np.ones((2, 2, 2)), np.ones((3, 2, 2))), ValueError),
        (lambda native: native.matmul(D, F.T), TypeError),
        (lambda native: native.matmul(N, N.T), TypeError),
        (lambda native: native.gather(D), ValueError),
        (lambda native: native.gather(D, np.ones(1, "i4")), TypeError),
        (lambda native: native.gather(D, np.array([2])), IndexError),
        (lambda native: native.gather(D, np.array([0]), np.array([-4])), IndexError),
        (lambda native: native.gather(D, np.array([0]), np.array([0, 1])), ValueError),
        (lambda native: native.gather(D[0], np.array([0]), np.array([0])), ValueError),
        (lambda native: native.scatter_add(D, np.array([0, 9]), shape=(5, 3)), IndexError),
        (lambda native: native.scatter_add(D, np.array([0]), shape=(5, 3)), ValueError),
        (lambda native: native.scatter_add(D, np.array([0, 1]), shape=(5, 4)), ValueError),
        (lambda native: native.scatter_add(N, np.array([0, 1]), shape=(5, 3)), TypeError),
        (lambda native: native.scatter_add(D, np.array([0, 1]), shape=(-5, 3)), ValueError),
        (lambda native: native.conv2d(D, D, strides=(1, 1), padding=NONE), ValueError),
        (lambda native: native.conv2d(IMAGES, D, strides=(1, 1), padding=NONE), ValueError),
        (lambda native: native.conv2d(IMAGES, IMAGES, strides=(1, 1), padding=NONE), ValueError),
        (lambda native: native.conv2d(IMAGES, KERNEL.astype("f4"), strides=(1, 1), padding=NONE), TypeError),
        (lambda native: native.conv2d(IMAGES, KERNEL, strides=(0, 1), padding=NONE), ValueError),
        (lambda native: native.conv2d(IMAGES, KERNEL, strides=(1,), padding=NONE), ValueError),
        (lambda native: native.conv2d(IMAGES, KERNEL, strides=(1, 1), padding=(0, 0, -1, 0)), ValueError),
        (lambda native: native.conv2d(IMAGES[:, :1], KERNEL, strides=(1, 1), padding=NONE), ValueError),
        (lambda native: native.conv2d(IMAGES, KERNEL[:0], strides=(1, 1), padding=NONE), ValueError),
        (lambda native: native.conv2d(IMAGES, KERNEL, strides=(1, 1), padding=(HUGE, HUGE, 0, 0)), ValueError),
        (lambda native: native.conv2d(IMAGES, KERNEL, strides=(HUGE, 1), padding=(HUGE, 0, 0, 0)), ValueError),
        (lambda native: native.conv2d_input(IMAGES, KERNEL, strides=(1, 1), padding=NONE, size=(4, 4)), ValueError),
        (
            lambda native: native.conv2d_input(IMAGES[..., :1], KERNEL, strides=(1, 1), padding=NONE, size=(4, 4)),
            ValueError,
        ),
        (lambda native: native.conv2d_input(IMAGES, KERNEL, strides=(1, 1), padding=NONE, size=(4,)), ValueError),
        (lambda native: native.conv2d_weight(IMAGES, IMAGES, strides=(1, 1), padding=NONE, size=(3, 3)), ValueError),
        (
            lambda native: native.conv2d_weight(IMAGES, IMAGES[:0], strides=(1, 1), padding=NONE, size=(1, 1)),
            ValueError,
        ),
        (lambda native: native.conv2d_weight(IMAGES, IMAGES, strides=(1, 1), padding=NONE, size=(1,)), ValueError),
        (lambda native: native.max_cell(D, window=(1, 1), strides=(1, 1), padding=NONE), ValueError),
        (lambda native: native.sum_pool(IMAGES.astype(int), window=(1, 1), strides=(1, 1), padding=NONE), TypeError),
        (lambda native: native.sum_pool(IMAGES, window=(1,), strides=(1, 1), padding=NONE), ValueError),
        (lambda native: native.sum_pool(IMAGES, window=(1, 1), strides=(1, 1), padding=(0, 0)), ValueError),
        (lambda native: native.sum_pool(IMAGES, window=(5, 1), strides=(1, 1), padding=NONE), ValueError),
        (lambda native: native.sum_pool(IMAGES, window=(0, 1), strides=(1, 1), padding=NONE), ValueError),
        (lambda native: native.sum_pool(IMAGES, window=(1, 1), strides=(1, 0), padding=NONE), ValueError),
        (lambda native: native.max_cell(IMAGES, window=(2, 2), strides=(1, 1), padding=(0, 2, 0, 0)), ValueError),
        (lambda native: native.max_cell(IMAGES, window=(2, 2), strides=(1, 1), padding=(0, 0, -1, 0)), ValueError),
        (
            lambda native: native.max_cell(IMAGES[:, :0], window=(2, 2), strides=(1, 1), padding=(1, 1, 1, 1)),
            ValueError,
        ),
        (
            lambda native: native.sum_pool(IMAGES, window=(HUGE, 1), strides=(1, 1), padding=(HUGE - 1, 0, 0, 0)),
            ValueError,
        ),
        (
            lambda native: native.max_cell(
                IMAGES, window=(2**16, 2**17), strides=(1, 1), padding=(2**16 - 1, 0, 2**17 - 1, 0)
            ),
            ValueError,
        ),
        (
            lambda native: native.pool_take(
                IMAGES, IMAGES.astype(np.uint8), window=(1, 2), strides=(1, 1), padding=NONE
            ),
            ValueError,
        ),
        (
            lambda native: native.pool_take(
                IMAGES, IMAGES.astype(np.int64), window=(1, 1), strides=(1, 1), padding=NONE
            ),
            TypeError,
        ),
        (
            lambda native: native.pool_put(
                IMAGES, IMAGES.astype(np.uint8)[:0], window=(1, 1), strides=(1, 1), padding=NONE, size=(4, 4)
            ),
            ValueError,
        ),
        (
            lambda native: native.pool_put(
                IMAGES, IMAGES.astype(np.uint8), window=(17, 17), strides=(1, 1), padding=NONE, size=(20, 20)
            ),
            TypeError,
        ),
        (
            lambda native: native.pool_put(
                IMAGES, IMAGES.astype(np.uint8), window=(1, 1), strides=(1, 1), padding=NONE, size=(4, 5)
            ),
            ValueError,
        ),
        (
            lambda native: native.sum_pool_input(IMAGES, window=(1, 1), strides=(1, 1), padding=NONE, size=(4, 5)),
            ValueError,
        ),
        (
            lambda native: native.sum_pool_input(IMAGES, window=(1, 1), strides=(1, 1), padding=NONE, size=(4,)),
            ValueError,
        ),
        (
            lambda native: native.sum_pool_input(IMAGES, window=(1, 1), strides=(1, 1), padding=NONE, size=(HUGE, 4)),
            ValueError,
        ),
        (lambda native: native.concatenate(axis=0), ValueError),
        (lambda native: native.concatenate(D, D.T, axis=0), ValueError),
        (lambda native: native.concatenate(D, F, axis=0), TypeError),
        (lambda native: native.concatenate(D, axis=2), ValueError),
        (lambda native: native.pad(D, shape=(2, 3), starts=(0, 1), steps=(1, 1)), ValueError),
        (lambda native: native.pad(D, shape=(2, 3), starts=(0, 0), steps=(1, 0)), ValueError),
        (lambda native: native.pad(D, shape=(2,), starts=(0,), steps=(1,)), ValueError),
        (lambda native: native.pad(D, shape=(HUGE, HUGE), starts=(0, 0), steps=(1, 1)), ValueError),
        (lambda native: native.slice(D, starts=(0, 2), sizes=(1, 2), steps=(1, 1)), ValueError),
        (lambda native: native.slice(D, starts=(0, 1), sizes=(1, 3), steps=(1, -1)), ValueError),
        (lambda native: native.slice(D, starts=(0, -1), sizes=(1, 1), steps=(1, 1)), ValueError),
        (lambda native: native.slice(D, starts=(0, 0), sizes=(1, -1), steps=(1, 1)), ValueError),
        (lambda native: native.slice(D, starts=(0, 0), sizes=(1, 2), steps=(1, 2**63 - 1)), ValueError),
        (lambda native: native.slice(D, starts=(0, 0), sizes=(1, 2), steps=(1, -(2**63))), ValueError),
        (lambda native: native.transpose(D, axes=(0, 0)), ValueError),
        (lambda native: native.transpose(D, axes=(0,)), ValueError),
        (lambda native: native.transpose(D, axes=(0, 2)), ValueError),
        (lambda native: native.broadcast_to(D, shape=(3,)), ValueError),
        (lambda native: native.broadcast_to(D, shape=(2, 4)), ValueError),
        (lambda native: native.broadcast_to(D, shape=(-1, 2, 3)), ValueError),
        (lambda native: native.broadcast_to(np.ones(()), shape=(HUGE, HUGE)), ValueError),
        (lambda native: native.reshape(D, shape=(5,)), ValueError),
        (lambda native: native.reshape(D, shape=(-1,)), ValueError),
        (lambda native: native.reshape(np.ones((0,)), shape=(HUGE, HUGE, 0)), ValueError),
    ],
)
def test_what_is_not_safe_is_refused(call: Callable[[Any], object], error: type[Exception]) -> None:
    with pytest.raises(error):
        call(_native)


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("place", [0, 17, 39])
@pytest.mark.parametrize("bad", [-4, 3, -(2**63), 2**63 - 1])
def test_an_index_out_of_bounds_is_named_wherever_it_is(bad: int, place: int, step: int) -> None:
    indices = np.resize(np.arange(-3, 3), 40 * step)[::step]
    assert_array_equal(_native.gather(D[0], indices), D[0][indices])
    indices[place] = bad
    with pytest.raises(IndexError, match=f"index {bad} is out of bounds for axis 0 with size 3"):
        _native.gather(D[0], indices)


def test_operands_come_by_place_and_parameters_by_name() -> None:
    assert repr(_native.sum) == "<kernel sum>"
    assert _native.sum.__name__ == "sum"
    assert_array_equal(_native.sum(D, keepdims=True, axes=(0,)), D.sum(0, keepdims=True))  # in any order
    for call, error, message in (
        (lambda: _native.sum(D, D), ValueError, "sum of 2 operands"),
        (lambda: _native.add(D), ValueError, "add of 1 operands"),
        (lambda: _native.sum(D), TypeError, "sum: axes is missing"),
        (lambda: _native.sum(D, axes=(0,), axis=0), TypeError, "sum was given a parameter that it does not have"),
        (lambda: _native.add(x=D, y=D), ValueError, "add of 0 operands"),
        (type(_native.add), TypeError, "cannot create"),
    ):
        with pytest.raises(error, match=message):
            call()


def test_large_work_releases_the_lock_and_still_refuses() -> None:
    x = np.ones((300, 300))
    assert_array_equal(_native.matmul(x, x), np.full((300, 300), 300.0))
    assert_array_equal(_native.add(x, x), x + x)
    indices = np.zeros(100_000, np.int64)
    indices[-1] = 300
    with pytest.raises(IndexError, match="index 300"):
        _native.gather(x, indices)
