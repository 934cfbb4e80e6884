#!/usr/bin/env bash
# torch 2.13.0: the gradient of layer_norm's weights, taken under torch.func.vmap, has a wrong derivative by its input.
#
# Expected: vmap computes what a loop over the examples computes, and so do derivatives of it.
# Happens: the first gradients are right, under vmap, too. The derivative of the weights' gradient by the input of
# layer_norm is right in a loop, and by vmap where the norm is written by hand; by vmap of layer_norm it is wrong, in
# float64, without an error. MAML with layer_norm, whose tasks vmap computes, so gets wrong meta-gradients.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv environment
environment/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 torch==2.13.0

cat > seen.py <<'PYTHON'
import torch
from torch.func import grad, vmap

torch.manual_seed(0)
x, weight, bias = (torch.randn(4, 5, dtype=torch.float64) for _ in range(3))


def by_hand(x, shape, weight, bias, eps=1e-5):
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + eps) * weight + bias


def gradient_of_weight(norm):
    return grad(lambda x, weight, bias: (norm(x, (5,), weight, bias) ** 3).sum(), 1)


def by_loop(norm):
    return lambda x: torch.stack([gradient_of_weight(norm)(*row) for row in zip(x, weight, bias)])


def by_vmap(norm):
    return lambda x: vmap(gradient_of_weight(norm))(x, weight, bias)


layer_norm = torch.nn.functional.layer_norm
ways = {
    "layer_norm in a loop": by_loop(layer_norm),
    "the norm by hand under vmap": by_vmap(by_hand),
    "layer_norm under vmap": by_vmap(layer_norm),
}


def squares(gradient):
    return lambda x: (gradient(x) ** 2).sum()


# The oracle of the second derivatives is the central difference of what all agree about: the first ones.
step, differences = 1e-5, torch.zeros_like(x)
for place in range(x.numel()):
    change = torch.zeros_like(x)
    change.view(-1)[place] = step
    f = squares(ways["layer_norm under vmap"])
    differences.view(-1)[place] = (f(x + change) - f(x - change)) / (2 * step)

first = ways["layer_norm in a loop"](x)
for name, gradient in ways.items():
    is_first = torch.allclose(gradient(x), first)
    is_second = torch.allclose(grad(squares(gradient))(x), differences, rtol=1e-4, atol=1e-4)
    print(f"{name}: gradient {'right' if is_first else 'wrong'}, its derivative {'right' if is_second else 'wrong'}")
PYTHON
environment/bin/python seen.py | tee seen.txt

diff seen.txt - <<'EXPECTED' && echo "as described" || { echo "something else than described" >&2; exit 1; }
layer_norm in a loop: gradient right, its derivative right
the norm by hand under vmap: gradient right, its derivative right
layer_norm under vmap: gradient right, its derivative wrong
EXPECTED
