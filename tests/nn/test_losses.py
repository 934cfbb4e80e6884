"""Losses against their formulas, and what they refuse."""

from typing import Any

import numpy as np
import pytest
from drawing import Drawing, drawings, share
from hypothesis import given
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

import minimeta as mm
from minimeta.errors import ConfigurationError, DtypeError, IndexingError, ShapeError
from minimeta.nn import accuracy, cross_entropy, mean_squared_error
from minimeta.program import interpret, trace


def weights_of(logits: NDArray[Any]) -> NDArray[Any]:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


@share(0.3)
@given(drawing=drawings())
def test_mean_squared_error(drawing: Drawing) -> None:
    shape = tuple(side + 1 for side in drawing.shape())
    predictions, targets = drawing.array(shape), drawing.array(shape)
    assert_allclose(mean_squared_error(predictions, targets), np.mean((predictions - targets) ** 2), rtol=1e-13)
    gradient = mm.grad(mean_squared_error)(predictions, targets)
    assert_allclose(gradient, 2 * (predictions - targets) / predictions.size, rtol=1e-13)


def test_mean_squared_error_does_not_broadcast() -> None:
    with pytest.raises(ShapeError, match=r"shapes \(3, 1\) and \(3,\): they must be equal"):
        mean_squared_error(np.zeros((3, 1)), np.zeros(3))


@share(0.3)
@given(drawing=drawings())
def test_cross_entropy(drawing: Drawing) -> None:
    classes = drawing.integer(1, 5)
    shape = tuple(side + 1 for side in drawing.shape(0, 2))
    logits = drawing.array((*shape, classes))
    labels = drawing.indices(shape, classes) % classes
    losses = -np.log(np.take_along_axis(weights_of(logits), labels[..., None], -1)[..., 0])
    for reduction, expected in {
        "none": losses,
        "mean": np.mean(losses),
        "sum": np.sum(losses),
        "per_shot": np.sum(losses) / (labels.size / classes),
    }.items():
        assert_allclose(cross_entropy(logits, labels, reduction), expected, rtol=1e-12, atol=1e-13)  # type: ignore[arg-type]
    one_hot = np.eye(classes)[labels]
    gradient = mm.grad(cross_entropy)(logits, labels)
    assert_allclose(gradient, (weights_of(logits) - one_hot) / labels.size, rtol=1e-11, atol=1e-13)


def test_the_mean_is_the_default_reduction() -> None:
    logits, labels = np.array([[1.0, 2.0], [0.5, 0.0]]), np.array([0, 1])
    assert cross_entropy(logits, labels) == cross_entropy(logits, labels, "mean")


@pytest.mark.parametrize("size", [1e3, 1e30])
def test_cross_entropy_of_large_logits_is_finite(size: float) -> None:
    logits = size * np.array([[1.0, -1.0], [1.0, -1.0]])
    assert_array_equal(cross_entropy(logits, [0, 1], "none"), [0.0, 2 * size])
    gradient = mm.grad(lambda x: cross_entropy(x, np.array([0, 1]), "sum"))(logits)
    assert_array_equal(gradient, [[0.0, 0.0], [1.0, -1.0]])


def derivatives(logits: NDArray[Any], label: int, v: NDArray[Any]) -> tuple[Any, ...]:
    """Cross-entropy, its gradient and its Hessian times ``v``, each entry a sum of terms that do not cancel."""
    x, v = logits.astype(np.longdouble), v.astype(np.longdouble)
    powers = np.exp(x - x[label])
    others = np.delete(powers, label).sum()
    p = powers / (1 + others)
    gradient = p.copy()
    gradient[label] = -others / (1 + others)
    differences = v[:, None] - v
    return np.log1p(others), gradient, p * (p * differences).sum(1)


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("logits", [(20, 0, 1), (12, 0, -3), (40, 0, 1), (3, 2, 1), (0.5, 0, 0.5), (0, 20, 20)])
def test_a_probability_near_one_keeps_the_digits_of_the_others(logits: tuple[float, ...], label: int) -> None:
    v = np.array([1, -0.5, 2])
    for dtype in (np.float32, np.float64):
        x = np.array(logits, dtype)

        def loss(x: Any, label: int = label) -> Any:
            return cross_entropy(x, np.array(label))

        def along(x: Any, of: Any = loss, v: NDArray[Any] = v) -> Any:
            return mm.sum(mm.grad(of)(x) * v.astype(x.dtype))

        expected = derivatives(x, label, v)
        rtol = 32 * float(np.finfo(dtype).eps)
        for compiled in (False, True):
            do: Any = mm.compile if compiled else lambda f: f
            assert_allclose(do(loss)(x), expected[0], rtol=rtol)
            assert_allclose(do(mm.grad(loss))(x), expected[1], rtol=rtol)
            assert_allclose(do(mm.grad(along))(x), expected[2], rtol=rtol)


@share(0.3)
@given(drawing=drawings())
def test_accuracy(drawing: Drawing) -> None:
    classes, examples = drawing.integer(1, 4), drawing.integer(1, 8)
    logits = np.round(drawing.array((examples, classes)))
    labels = drawing.indices((examples,), classes) % classes
    expected = np.mean(logits.argmax(-1) == labels)
    assert_allclose(accuracy(logits, labels), expected, rtol=1e-15)
    assert accuracy(logits.astype(np.float32), labels).dtype == np.float32
    # It is a constant to every derivative.
    gradient = mm.grad(lambda x: mm.sum(x) * accuracy(x, labels))(logits)
    assert_allclose(gradient, np.full(logits.shape, expected), rtol=1e-15)


@pytest.mark.parametrize("function", [cross_entropy, accuracy])
def test_labels_are_validated(function: Any) -> None:
    logits = np.zeros((2, 3))
    with pytest.raises(DtypeError, match="labels of dtype float64: labels are integers"):
        function(logits, np.array([0.0, 1.0]))
    with pytest.raises(DtypeError, match="labels of dtype bool"):
        function(logits, np.array([True, False]))
    with pytest.raises(ShapeError, match=r"logits of shape \(2, 3\) with labels of shape \(3,\): expected \(2,\)"):
        function(logits, np.array([0, 1, 2]))
    with pytest.raises(ShapeError, match=r"expected \(2,\)"):
        function(logits, np.eye(3, dtype=np.int64)[[0, 1]])
    with pytest.raises(ShapeError):
        function(np.zeros(()), np.zeros((), np.int64))
    with pytest.raises(IndexingError, match=f"{function.__name__}: label 3 is out of range for 3 classes, 0 to 2"):
        function(logits, np.array([0, 3]))
    with pytest.raises(IndexingError, match="label -1 is out of range"):
        function(logits, np.array([-1, 1]))
    for dtype in ("uint8", "int32"):
        assert np.isfinite(function(logits, np.array([0, 2], dtype)))


@pytest.mark.parametrize("label", [3, 1000, -1])
@pytest.mark.parametrize(
    "transformed",
    [
        lambda loss: loss,
        mm.grad,
        mm.vmap,
        mm.compile,
        lambda loss: mm.compile(loss, check_finite=True),
        lambda loss: mm.compile(mm.grad(loss)),
        lambda loss: mm.compile(mm.vmap(mm.grad(loss))),
        lambda loss: mm.grad(lambda x, labels: mm.sum(mm.vmap(loss)(x, labels))),
    ],
)
def test_a_label_out_of_range_is_named_in_every_mode(transformed: Any, label: int) -> None:
    def loss(x: Any, labels: Any) -> Any:
        return cross_entropy(x, labels)  # the line to find

    labels = np.array([[0, 1], [2, 0], [1, label]])
    with pytest.raises(IndexingError) as caught:
        transformed(loss)(np.zeros((3, 2, 3)), labels)
    said, where = str(caught.value).splitlines()
    assert said == f"cross_entropy: label {label} is out of range for 3 classes, 0 to 2"
    assert where.endswith(f"test_losses.py:{loss.__code__.co_firstlineno + 1}, in loss")


def test_an_unknown_reduction_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="reduction='average' is not one of 'mean', 'sum', 'per_shot', 'none'"):
        cross_entropy(np.zeros((2, 3)), np.array([0, 1]), "average")  # type: ignore[arg-type]


def test_labels_may_be_traced() -> None:
    logits, labels = np.random.default_rng(0).normal(size=(4, 3)), np.array([0, 2, 1, 1])
    program = trace(cross_entropy, logits, labels)
    assert_allclose(interpret(program, logits, labels), cross_entropy(logits, labels), rtol=1e-14)
    other = np.array([1, 1, 0, 2])
    assert_allclose(interpret(program, logits, other), cross_entropy(logits, other), rtol=1e-14)
