"""Results of transformations: trees of numpy arrays that share no memory, on every thread."""

import dataclasses
import threading
from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

import minimeta as mm
from minimeta.autodiff.array import Array

Floats = NDArray[Any]


POINT = np.array([0.3, -1.2, 0.7])


MATRIX = np.array([[0.5, -0.2, 1.1], [0.9, 0.4, -0.6]])


def loss(x: Any) -> Any:
    """A scalar function in which everything interacts."""
    h = mm.tanh(MATRIX @ x)
    return mm.logsumexp(h * h) + mm.sum(mm.sin(x)) * mm.norm(x)


def test_has_aux_returns_numpy() -> None:
    def function(x: Any) -> tuple[Any, dict[str, Any]]:
        return x * x, {"double": 2.0 * x, "text": "kept", "given": x, "none": None}

    gradient, aux = mm.grad(function, has_aux=True)(3.0)
    assert gradient == 6.0
    (value, same), _ = mm.value_and_grad(function, has_aux=True)(3.0)
    assert value == 9.0
    for found in (aux, same):
        assert found["double"] == 6.0 and found["given"] == 3.0 and found["text"] == "kept" and found["none"] is None
        assert type(found["double"]) is np.ndarray and type(found["given"]) is np.ndarray
    output, pullback, aux = mm.vjp(function, 3.0, has_aux=True)
    assert output == 9.0 and aux["double"] == 6.0 and pullback(1.0) == (6.0,)


def test_has_aux_inside_another_transformation_keeps_the_derivative() -> None:
    def outer(x: Any) -> Any:
        gradient, aux = mm.grad(lambda y: (x * y * y, x * y), has_aux=True)(2.0)
        return gradient * aux

    assert mm.grad(outer)(3.0) == pytest.approx(48.0)  # (4x)(2x) = 8x^2


def test_a_function_that_does_not_depend_on_its_argument() -> None:
    for function in (
        lambda x: 1.0,
        lambda x: np.float64(2.0),
        lambda x: np.array(3.0),
        lambda x: mm.stop_gradient(x[0]),
    ):
        value, gradient = mm.value_and_grad(function)(np.ones(2, np.float32))
        assert type(value) is np.ndarray
        assert_array_equal(gradient, [0.0, 0.0])
        assert gradient.dtype == np.float32 and gradient.flags.writeable


# Trees


class Pair(NamedTuple):
    left: Any
    right: Any


@dataclasses.dataclass(frozen=True)
class Layer:
    weight: Any
    bias: Any
    name: str = dataclasses.field(default="layer", metadata={"static": True})


def test_gradients_are_trees_like_the_arguments() -> None:
    tree: dict[str, Any] = {
        "layers": [Layer(MATRIX, POINT[:2], "first"), Layer(POINT, None, "second")],
        "pair": Pair(2.0, (np.float32(0.5),)),
        "empty": {},
        "none": None,
        "ordered": OrderedDict(b=np.ones(2), a=np.ones(1)),
    }

    def function(tree: Any) -> Any:
        first, second = tree["layers"]
        assert isinstance(tree["pair"], Pair) and isinstance(first, Layer) and first.name == "first"
        hidden = first.weight @ second.weight + first.bias
        return mm.sum(hidden * hidden) * tree["pair"].left * tree["pair"].right[0] + mm.sum(tree["ordered"]["b"])

    gradient = mm.grad(function)(tree)
    hidden = MATRIX @ POINT + POINT[:2]
    assert list(gradient) == list(tree)
    assert isinstance(gradient["layers"][0], Layer) and gradient["layers"][0].name == "first"
    assert_allclose(gradient["layers"][0].weight, 2 * np.outer(hidden, POINT), rtol=1e-14)
    assert_allclose(gradient["layers"][0].bias, 2 * hidden, rtol=1e-14)
    assert_allclose(gradient["layers"][1].weight, 2 * MATRIX.T @ hidden, rtol=1e-14)
    assert gradient["layers"][1].bias is None and gradient["none"] is None and gradient["empty"] == {}
    assert isinstance(gradient["pair"], Pair)
    assert_allclose(gradient["pair"].left, np.sum(hidden**2) * 0.5, rtol=1e-6)
    assert gradient["pair"].right[0].dtype == np.float32
    assert type(gradient["ordered"]) is OrderedDict and list(gradient["ordered"]) == ["b", "a"]
    assert_array_equal(gradient["ordered"]["b"], [1.0, 1.0])
    assert_array_equal(gradient["ordered"]["a"], [0.0])


# Results


def test_results_share_no_memory() -> None:
    x, y = POINT.copy(), POINT.copy()

    def function(x: Any, y: Any) -> Any:
        return x, y, x, mm.reshape(x, (3, 1)), x[::-1]

    output, pullback = mm.vjp(function, x, y)
    cotangents = tuple(np.ones(part.shape) for part in output)
    gradients = pullback(cotangents)
    value, gradient = mm.value_and_grad(lambda x, y: mm.sum(x) + mm.sum(y), (0, 1))(x, y)
    arrays = [x, y, *output, *cotangents, *gradients, value, *gradient, *mm.jvp(lambda x: x, (x,), (y,))]
    for i, one in enumerate(arrays):
        assert type(one) is np.ndarray and one.flags.writeable and one.flags.c_contiguous
        assert not any(np.may_share_memory(one, other) for other in arrays[:i])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_have_the_dtype_of_their_argument(dtype: str) -> None:
    x = POINT.astype(dtype)
    other = np.ones(3, "float64" if dtype == "float32" else "float32")
    for function in (lambda x: mm.sum(x * x), lambda x: mm.sum(x * other), lambda x: mm.sum(mm.astype(x, other.dtype))):
        assert mm.grad(function)(x).dtype == dtype
        assert mm.hessian(function)(x).dtype == dtype


def test_names_and_documentation_of_functions_are_kept() -> None:
    assert mm.grad(loss).__name__ == "loss"
    assert mm.rematerialize(loss).__doc__ == loss.__doc__
    assert mm.custom_vjp(loss, loss).__name__ == "loss"  # type: ignore[attr-defined]


# Threads


def test_threads_compute_what_one_thread_computes() -> None:
    def work(seed: int) -> list[Floats]:
        rng = np.random.default_rng(seed)
        weight, x = rng.normal(size=(5, 5)), rng.normal(size=5)

        def function(x: Any) -> Any:
            for _ in range(5):
                x = mm.tanh(weight @ x) + mm.grad(lambda y: mm.sum(mm.sin(y) * y))(x)
            return mm.sum(x * x)

        return [g for _ in range(5) for g in (mm.grad(function)(x), mm.hvp(function, (x,), (x,))[0])]

    expected = [work(seed) for seed in range(6)]
    found: dict[int, list[Floats]] = {}
    start = threading.Barrier(6)

    def run(seed: int) -> None:
        start.wait()
        found[seed] = work(seed)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, gradients in enumerate(expected):
        for ours, theirs in zip(found[seed], gradients, strict=True):
            assert ours.tobytes() == theirs.tobytes()


def test_inside_is_an_array_and_outside_is_numpy() -> None:
    seen: list[type] = []

    def function(x: Any) -> Any:
        inner = mm.grad(lambda y: y * x)(1.0)
        constant = mm.grad(lambda y: y * y)(1.0)
        seen.extend([type(x), type(inner), type(constant)])
        return inner * constant

    assert type(mm.grad(function)(2.0)) is np.ndarray
    assert seen == [Array, Array, np.ndarray]
