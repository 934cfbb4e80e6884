"""A conv4 of ours runs in PyTorch with our parameters, and with its parameters here: the code of docs/torch.md.

Skipped where PyTorch or safetensors is not installed: ``pip install torch safetensors`` in an environment of its own.
"""

import re
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

import minimeta as mm
from minimeta import nn

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.torch")

PAGE = (Path(__file__).parents[2] / "docs" / "torch.md").read_text(encoding="utf-8")


def page_code() -> dict[str, Any]:
    """Run the page's PyTorch, up to where it reads a file."""
    (block,) = re.findall(r"(?:^ {4}.*\n|^\n)*^ {4}class Conv4.*\n(?:^ {4}.*\n|^\n)*", PAGE, re.MULTILINE)
    space: dict[str, Any] = {}
    exec(dedent(block).partition("network = Conv4()")[0], space)
    return space


def test_outputs_are_equal_to_rounding_both_ways(tmp_path: Path) -> None:
    model = nn.conv4((28, 28, 1), classes=5, filters=8, downsampling="max_pool")
    rng = np.random.default_rng(0)
    ours = mm.tree.map(lambda p: p + rng.normal(0, 0.1, p.shape).astype(p.dtype), model.init(rng))
    images = rng.normal(size=(6, 28, 28, 1)).astype(np.float32)
    asked = torch.tensor(images).permute(0, 3, 1, 2)

    mm.save(tmp_path / "conv4.safetensors", ours)
    network = page_code()["Conv4"]()
    network.load_state_dict(safetensors.load_file(tmp_path / "conv4.safetensors"))
    np.testing.assert_allclose(network(asked).detach().numpy(), model.apply(ours, images), rtol=1e-4, atol=1e-5)

    theirs = page_code()["Conv4"]()
    safetensors.save_file(theirs.state_dict(), tmp_path / "theirs.safetensors")
    parameters = mm.load(tmp_path / "theirs.safetensors", like=ours)
    np.testing.assert_allclose(model.apply(parameters, images), theirs(asked).detach().numpy(), rtol=1e-4, atol=1e-5)
