"""Pieces of networks next to PyTorch's, with the same weights: values, gradients, and one of second order.

Skipped where PyTorch is not installed: ``pip install torch`` in an environment of its own.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import minimeta as mm
from minimeta import nn
from minimeta.learners import MAML
from minimeta.tasks.task import Examples, Task

torch = pytest.importorskip("torch")
F = torch.nn.functional


def same(ours: Callable[..., Any], theirs: Callable[..., Any], *arguments: Any) -> None:
    """Compare values, and gradients of a sum of their sines, in every argument."""
    leaves, structure = mm.tree.flatten(arguments)
    tensors = [torch.tensor(leaf, requires_grad=True) for leaf in leaves]
    y = theirs(*mm.tree.unflatten(structure, tensors))

    def function(*arguments: Any) -> Any:
        y = ours(*arguments)
        return mm.sum(mm.sin(y)), y

    places = tuple(range(len(arguments)))
    for enabled in (False, True):
        compiled = mm.compile(function, enabled=enabled)
        value, gradients = mm.value_and_grad(compiled, places, has_aux=True)(*arguments)
        assert_allclose(value[1], y.detach().numpy(), rtol=1e-10, atol=1e-12)
        expected = torch.autograd.grad(y.sin().sum(), tensors, retain_graph=True)
        for mine, other in zip(mm.tree.flatten(gradients)[0], expected, strict=True):
            assert_allclose(mine, other.numpy(), rtol=1e-9, atol=1e-11)


def drawn(tree: Any) -> Any:
    """The tree with all its numbers drawn again."""
    rng = np.random.default_rng(0)
    return mm.tree.map(lambda p: rng.normal(0, 0.5, p.shape), tree)


def images_first(x: Any) -> Any:
    """Channels last, as ours are."""
    return x.movedim(1, -1)


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm"])
def test_recurrent_cells(name: str) -> None:
    cell = getattr(nn, name)(3, 4, dtype=np.float64)
    parameters = drawn(cell.init(np.random.default_rng(0)))
    # PyTorch has the gates of an LSTM in the order i, f, n, o, and two biases.
    order = {"rnn": [0], "gru": [0, 1, 2], "lstm": [0, 1, 3, 2]}[name]
    layer = getattr(torch.nn, name.upper())(3, 4, batch_first=True).double()

    def theirs(parameters: Any, x: Any) -> Any:
        def sorted_gates(w: Any) -> Any:
            parts = w.split(4, -1)
            return torch.cat([parts[i] for i in order], -1)

        second = torch.zeros(4 * len(order), dtype=torch.float64)
        if name == "gru":
            second = torch.cat([second[:8], parameters["candidate_bias"]])
        given = {
            "weight_ih_l0": sorted_gates(parameters["input"]).T,
            "weight_hh_l0": sorted_gates(parameters["hidden"]).T,
            "bias_ih_l0": sorted_gates(parameters["bias"]),
            "bias_hh_l0": second,
        }
        return torch.func.functional_call(layer, given, (x,))[0]

    x = np.random.default_rng(1).normal(size=(2, 5, 3))
    same(lambda parameters, x: nn.unroll(cell, parameters, x)[0], theirs, parameters, x)


@pytest.mark.parametrize("causal", [False, True])
def test_multi_head_attention(causal: bool) -> None:
    model = nn.multi_head_attention(6, 3, dtype=np.float64)
    layer = torch.nn.MultiheadAttention(6, 3, batch_first=True).double()
    parameters, x = drawn(model.init(np.random.default_rng(0))), np.random.default_rng(1).normal(size=(2, 4, 6))
    lengths = np.array([4, 3])
    mask = nn.padding_mask(lengths, 4) & (nn.causal_mask(4) if causal else True)

    def theirs(parameters: Any, x: Any) -> Any:
        parts = [parameters[name] for name in ("query", "key", "value")]
        given = {
            "in_proj_weight": torch.cat([part["weight"].T for part in parts]),
            "in_proj_bias": torch.cat([part["bias"] for part in parts]),
            "out_proj.weight": parameters["output"]["weight"].T,
            "out_proj.bias": parameters["output"]["bias"],
        }
        hidden = {"key_padding_mask": torch.tensor(np.arange(4) >= lengths[:, None]), "need_weights": False}
        if causal:
            hidden["attn_mask"] = torch.tensor(~nn.causal_mask(4))
        return torch.func.functional_call(layer, given, (x, x, x), hidden)[0]

    same(lambda parameters, x: model.apply(parameters, x, mask=mask), theirs, parameters, x)


@pytest.mark.parametrize("stride", [1, 2])
def test_convolutions(stride: int) -> None:
    rng = np.random.default_rng(0)
    x, rows = rng.normal(size=(2, 7, 6, 4)), rng.normal(size=(2, 7, 4))
    w, w1, wt, b = (rng.normal(size=shape) for shape in ((3, 3, 2, 6), (3, 4, 6), (3, 3, 6, 4), (6,)))
    same(
        lambda x, w, b: nn.conv(x, w, b, strides=stride, padding=1, groups=2),
        lambda x, w, b: images_first(
            F.conv2d(x.movedim(-1, 1), w.permute(3, 2, 0, 1), b, stride=stride, padding=1, groups=2)
        ),
        *(x, w, b),
    )
    same(
        lambda x, w, b: nn.conv1d(x, w, b, stride=stride, padding=1),
        lambda x, w, b: images_first(F.conv1d(x.movedim(-1, 1), w.permute(2, 1, 0), b, stride=stride, padding=1)),
        *(rows, w1, b),
    )
    same(
        lambda x, w, b: nn.conv_transpose(x, w, b, strides=stride, padding=1),
        lambda x, w, b: images_first(
            F.conv_transpose2d(x.movedim(-1, 1), w.permute(3, 2, 0, 1), b, stride=stride, padding=1)
        ),
        *(x, wt, b),
    )


def test_normalisations() -> None:
    rng = np.random.default_rng(0)
    x, scale, offset = rng.normal(size=(3, 4, 5, 6)), rng.normal(size=6), rng.normal(size=6)
    same(
        lambda x, s, o: nn.group_norm(x, 3, scale=s, offset=o),
        lambda x, s, o: images_first(F.group_norm(x.movedim(-1, 1), 3, s, o)),
        *(x, scale, offset),
    )
    same(
        lambda x, s, o: nn.instance_norm(x, scale=s, offset=o),
        lambda x, s, o: images_first(F.instance_norm(x.movedim(-1, 1), weight=s, bias=o)),
        *(x, scale, offset),
    )


def resnet12(parameters: Any, x: Any) -> Any:
    *blocks, last = parameters
    x = x.movedim(-1, 1)

    def part(layer: Any, h: Any) -> Any:
        h = F.conv2d(h, layer["weight"].permute(3, 2, 0, 1), padding=layer["weight"].shape[0] // 2)
        return F.batch_norm(h, None, None, layer["scale"], layer["offset"], training=True)

    for block in blocks:
        h = F.leaky_relu(part(block["first"], x), 0.1)
        h = part(block["third"], F.leaky_relu(part(block["second"], h), 0.1)) + part(block["shortcut"], x)
        x = F.max_pool2d(F.leaky_relu(h, 0.1), 2)
    return x.mean((2, 3)) @ last["weight"] + last["bias"]


def test_resnet12_and_its_meta_gradient() -> None:
    rng = np.random.default_rng(1)
    model = nn.resnet12((16, 17, 2), 3, widths=(2, 3, 4, 5), dtype=np.float64)
    parameters = mm.tree.map(lambda p: p + rng.normal(0, 0.1, p.shape), model.init(rng))
    support, query = rng.normal(size=(2, 6, 16, 17, 2))
    same(model.apply, resnet12, parameters, support)

    labels = np.arange(6) % 3
    task = Task(Examples(support, labels), Examples(query, labels))
    leaves, structure = mm.tree.flatten(parameters)
    for order in (1, 2):
        learner = MAML(model, nn.cross_entropy, 0.05, inner_steps=2, order=order)
        mine = learner.meta_gradient(parameters, task)
        start = fast = [torch.tensor(leaf, requires_grad=True) for leaf in leaves]
        for _ in range(2):
            loss = F.cross_entropy(resnet12(mm.tree.unflatten(structure, fast), torch.tensor(support)), *target(labels))
            steps = torch.autograd.grad(loss, fast, create_graph=order == 2)
            fast = [p - 0.05 * step for p, step in zip(fast, steps, strict=True)]
        loss = F.cross_entropy(resnet12(mm.tree.unflatten(structure, fast), torch.tensor(query)), *target(labels))
        assert_allclose(mine.loss, loss.item(), rtol=1e-9)
        for one, other in zip(mm.tree.flatten(mine.gradient)[0], torch.autograd.grad(loss, start), strict=True):
            assert_allclose(one, other.numpy(), rtol=1e-6, atol=1e-9)


def target(labels: Any) -> tuple[Any, ...]:
    return (torch.tensor(labels),)
