"""ResNet-12 against its equations."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import minimeta as mm
from minimeta.errors import ConfigurationError, ShapeError
from minimeta.learners import MAML, Reptile
from minimeta.nn import Model, cross_entropy, resnet12
from minimeta.nn.initialisers import he
from minimeta.optim import sgd
from minimeta.tasks.task import Examples, Task

SMALL: dict[str, Any] = {"input_shape": (16, 18, 2), "classes": 3, "widths": (2, 3, 4, 5), "dtype": np.float64}


def convolved(x: Any, w: Any) -> Any:
    side = len(w) // 2
    x = np.pad(x, ((0, 0), (side, side), (side, side), (0, 0)))
    patches = np.lib.stride_tricks.sliding_window_view(x, w.shape[:2], (1, 2))
    return np.einsum("nuvcij,ijcd->nuvd", patches, w)


def normalised(part: Any, h: Any) -> Any:
    h = convolved(h, part["weight"])
    h = h - h.mean((0, 1, 2))
    return h / np.sqrt((h**2).mean((0, 1, 2)) + 1e-5) * part["scale"] + part["offset"]


def lrelu(x: Any) -> Any:
    return np.maximum(x, 0.1 * x)


def by_hand(parameters: Any, x: Any, readout: str) -> Any:
    *blocks, last = parameters
    for block in blocks:
        h = normalised(block["second"], lrelu(normalised(block["first"], x)))
        h = lrelu(normalised(block["third"], lrelu(h)) + normalised(block["shortcut"], x))
        rows, columns = h.shape[1] // 2, h.shape[2] // 2
        h = h[:, : 2 * rows, : 2 * columns].reshape(len(h), rows, 2, columns, 2, -1)
        x = h.max((2, 4))
    features = x.mean((1, 2)) if readout == "mean" else x.reshape(len(x), -1)
    return features @ last["weight"] + last["bias"]


def shifted(model: Model) -> Any:
    """Parameters, no two of which are equal."""
    rng = np.random.default_rng(0)
    return mm.tree.map(lambda p: p + rng.normal(0, 0.1, p.shape).astype(p.dtype), model.init(rng))


@pytest.mark.parametrize("readout", ["mean", "flatten"])
def test_resnet12(readout: Any) -> None:
    model = resnet12(**SMALL, readout=readout)
    parameters, x = shifted(model), np.random.default_rng(1).normal(size=(4, 16, 18, 2))
    assert_allclose(model.apply(parameters, x), by_hand(parameters, x, readout), rtol=1e-9, atol=1e-10)
    compiled = mm.compile(model.apply)
    assert_array_equal(compiled(parameters, x), model.apply(parameters, x))


def test_the_sizes_of_the_paper() -> None:
    # Lee et al. 2019's network without its last layer has 12,424,320 parameters in the authors' code.
    parameters = resnet12((84, 84, 3), 5, readout="flatten").init(np.random.default_rng(0))
    assert sum(leaf.size for leaf in mm.tree.flatten(parameters[:-1])[0]) == 12_424_320
    assert parameters[-1]["weight"].shape == (640 * 5 * 5, 5)
    assert [block["third"]["weight"].shape for block in parameters[:-1]] == [
        (3, 3, width, width) for width in (64, 160, 320, 640)
    ]
    assert [block["shortcut"]["weight"].shape[:3] for block in parameters[:-1]] == [
        (1, 1, inputs) for inputs in (3, 64, 160, 320)
    ]


def test_initial_parameters() -> None:
    parameters = resnet12(**SMALL).init(np.random.default_rng(0))
    assert_array_equal(parameters[0]["first"]["weight"], he(np.random.default_rng(0), (3, 3, 2, 2), np.float64, 1.0))
    for block in parameters[:-1]:
        assert list(block) == ["first", "second", "third", "shortcut"]
        assert all(np.all(part["scale"] == 1) and np.all(part["offset"] == 0) for part in block.values())
    assert np.all(parameters[-1]["bias"] == 0)


def test_statistics_are_handed_out_and_taken() -> None:
    model, x = resnet12(**SMALL), np.random.default_rng(0).normal(size=(4, 16, 18, 2))
    parameters = shifted(model)
    assert model.apply_with_statistics is not None
    outputs, statistics = model.apply_with_statistics(parameters, x, None)
    assert_array_equal(outputs, model.apply(parameters, x))
    assert len(statistics) == 16
    h = convolved(x, parameters[0]["shortcut"]["weight"])
    assert_allclose(statistics[3][0].ravel(), h.mean((0, 1, 2)), rtol=1e-10)
    assert_allclose(statistics[3][1].ravel(), h.var((0, 1, 2)), rtol=1e-10)
    assert_allclose(model.apply_with_statistics(parameters, x, statistics)[0], outputs, rtol=1e-11)
    alone = model.apply_with_statistics(parameters, x[:1], statistics)[0]
    assert_allclose(alone, outputs[:1], rtol=1e-10)


def task(tasks: int | None = None) -> Task:
    rng = np.random.default_rng(2)
    size = () if tasks is None else (tasks,)

    def examples(count: int) -> Examples:
        inputs = rng.normal(size=(*size, count, 16, 18, 2))
        return Examples(inputs, np.broadcast_to(np.arange(count) % 3, (*size, count)).copy())

    return Task(examples(6), examples(3))


def test_derivatives_are_right_to_the_second() -> None:
    # The complex step, through the equations above; once more by a central difference of it.
    model, x = resnet12(**SMALL), np.random.default_rng(5).normal(size=(4, 16, 18, 2))
    rng, start = np.random.default_rng(3), shifted(model)
    u, v = (mm.tree.map(lambda p: rng.normal(size=p.shape), start) for _ in range(2))

    def loss(parameters: Any) -> Any:
        return mm.sum(mm.sin(model.apply(parameters, x)))

    def slope(at: float) -> float:
        moved = mm.tree.map(lambda p, u, v: p + at * u + 1e-30j * v, start, u, v)
        return float(np.sin(by_hand(moved, x, "mean")).sum().imag / 1e-30)

    value, tangent = mm.jvp(loss, (start,), (v,))
    assert_allclose(value, np.sin(by_hand(start, x, "mean")).sum(), rtol=1e-10)
    assert_allclose(tangent, slope(0.0), rtol=1e-9)
    curvature = mm.hvp(mm.compile(loss), (start,), (v,))
    along = sum((h * d).sum() for h, d in zip(mm.tree.flatten(curvature)[0], mm.tree.flatten(u)[0], strict=True))
    assert_allclose(along, (slope(1e-8) - slope(-1e-8)) / 2e-8, rtol=1e-5)


@pytest.mark.parametrize("learner", ["maml", "fomaml", "reptile"])
def test_a_batch_of_tasks_is_the_tasks_one_by_one(learner: str) -> None:
    model = resnet12(**SMALL)
    chosen = (
        Reptile(model, cross_entropy, sgd(0.05), inner_steps=2, batch_size=3)
        if learner == "reptile"
        else MAML(model, cross_entropy, 0.05, inner_steps=1, order=1 if learner == "fomaml" else 2)
    )
    parameters, tasks = chosen.init(np.random.default_rng(0)), task(2)
    batch = mm.compile(mm.vmap(chosen.meta_gradient, in_axes=(None, 0)))(parameters, tasks)
    for i in range(2):
        alone = chosen.meta_gradient(parameters, mm.tree.map(lambda x, i=i: x[i], tasks))
        for one, other in zip(mm.tree.flatten(batch.gradient)[0], mm.tree.flatten(alone.gradient)[0], strict=True):
            assert_array_equal(one[i], other)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"widths": (2, 3, 4)}, r"widths=\(2, 3, 4\) must be four"),
        ({"widths": (2, 3, 4, 0)}, "must be four"),
        ({"classes": 0}, "classes=0 positive"),
        ({"readout": "sum"}, "readout='sum' must be one of"),
        ({"input_shape": (84, 15, 3)}, "images of 84 x 15 cannot be halved four times"),
        ({"dropout": 1.0}, "resnet12: dropout=1.0 must be in"),
        ({"initialiser": "zero"}, "no initialiser is named 'zero'"),
    ],
)
def test_settings_are_checked(settings: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        resnet12(**settings)


def test_images_of_another_shape_are_refused() -> None:
    model = resnet12(**SMALL)
    with pytest.raises(ShapeError, match=r"resnet12: inputs have shape \(1, 18, 16, 2\), expected \(N, 16, 18, 2\)"):
        model.apply(model.init(np.random.default_rng(0)), np.ones((1, 18, 16, 2)))


def test_dropout_leaves_features_out() -> None:
    model = resnet12(**SMALL, dropout=0.5)
    parameters, x = shifted(model), np.random.default_rng(1).normal(size=(4, 16, 18, 2))
    assert model.draw is not None
    noise = model.draw(np.random.default_rng(0), x)
    assert noise.shape == (4, 5)
    bias = parameters[-1]["bias"]
    assert_allclose(model.apply(parameters, x, np.zeros_like(noise)), np.broadcast_to(bias, (4, 3)))
    kept = model.apply(parameters, x, np.ones_like(noise)) - bias
    assert_allclose(kept, 2 * (model.apply(parameters, x) - bias), rtol=1e-11)
