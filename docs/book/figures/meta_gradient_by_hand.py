"""The meta-gradient of a network with three layers, derived by hand, in numpy alone.

With ``h_0 = x``, layers ``z_k = h_{k-1} W_k + 1 b_k^T`` and ``h_k = max(z_k, 0)``, and the mean of
the squares of ``e = z_3 - y`` as the loss, the parts of docs/book/meta-gradient.md compute

    1, 4   the errors, on the support set at theta, and on the query set at theta'
    2, 5   their gradients g and v
    3, 6   the step theta' = theta - alpha g, and u = -alpha v
    7, 8   the change of parts 1 and 2 along u, which is H u
    9      v + H u

Every quantity on the way has a name: its formula in TeX.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Tree = dict[str, Any]
RATE = 0.01


class Quantity(NamedTuple):
    """A quantity of the derivation.

    Attributes
    ----------
    part
        Which part of the page it belongs to, from 1.
    layer
        1 to 3, or 4 for the loss.
    formula
        In TeX.
    value
        Computed by the formula.
    """

    part: int
    layer: int
    formula: str
    value: NDArray[Any]


class Derivation:
    """The parts one after another; ``found`` collects their quantities.

    Parameters
    ----------
    theta
        Weights ``w1``, ``w2``, ``w3`` and biases ``b1``, ``b2``, ``b3``.
    support, query
        Inputs ``x`` and targets ``y``.
    """

    def __init__(self, theta: Tree, support: Tree, query: Tree) -> None:
        self.found: list[Quantity] = []
        self.theta, self.count = theta, len(support["y"])
        self.h, e = self.forward(1, "", theta, support)
        self.z, g = self.backward(2, "", "g", theta, self.h, e)
        after = {name: self._step(name, value, g[name]) for name, value in theta.items()}
        h, e = self.forward(4, "'", after, query)
        _, v = self.backward(5, "'", "v", after, h, e)
        u = {name: self._share(name, slope) for name, slope in v.items()}
        product = self.changed_backward(u, *self.changed_forward(u))
        for name, slope in v.items():
            k, p = _tex(name)
            self._note(9, k, rf"\bar {p[0]}_{k} = v_{{{p}}} + (H u)_{{{p}}}", slope + product[name])

    def _note(self, part: int, layer: int, formula: str, value: Any) -> Any:
        self.found.append(Quantity(part, layer, formula, np.asarray(value)))
        return value

    def forward(self, part: int, prime: str, theta: Tree, data: Tree) -> tuple[list[Any], Any]:
        """Derive the layers and the errors."""
        h = [data["x"]]
        for k in (1, 2, 3):
            here, below = f"{prime}_{k}", _below(k, prime)
            product = self._note(part, k, f"{below} W{here}", h[-1] @ theta[f"w{k}"])
            bias = self._note(part, k, rf"1 {{b{here}}}^\top", np.broadcast_to(theta[f"b{k}"], product.shape))
            z = self._note(part, k, rf"z{here} = {below} W{here} + 1 {{b{here}}}^\top", product + bias)
            if k < 3:
                h.append(self._note(part, k, rf"h{here} = \max(z{here}, 0)", np.maximum(z, 0)))
        return h, self._note(part, 4, rf"e{prime} = z{prime}_3 - y", z - data["y"])

    def backward(self, part: int, prime: str, g: str, theta: Tree, h: list[Any], e: Any) -> tuple[dict[int, Any], Tree]:
        """Derive the cotangents of the layers, by the layers, and those of the parameters."""
        twice = self._note(part, 4, f"2 e{prime}", 2 * e)
        z = {3: self._note(part, 4, rf"\bar z{prime}_3 = 2 e{prime} / n", twice / self.count)}
        slopes: Tree = {}
        for k in (3, 2, 1):
            here, below = f"{prime}_{k}", _below(k, prime)
            slopes[f"b{k}"] = self._note(part, k, rf"{g}_{{b_{k}}} = {{\bar z{here}}}^\top 1", z[k].sum(0))
            slopes[f"w{k}"] = self._note(part, k, rf"{g}_{{W_{k}}} = {{{below}}}^\top \bar z{here}", h[k - 1].T @ z[k])
            if k > 1:
                up = self._note(part, k, rf"\bar {below} = \bar z{here} {{W{here}}}^\top", z[k] @ theta[f"w{k}"].T)
                formula = rf"\bar z{prime}_{k - 1} = \bar {below} \odot [{below} > 0]"
                z[k - 1] = self._note(part, k - 1, formula, up * (h[k - 1] > 0))
        return z, slopes

    def _step(self, name: str, value: Any, slope: Any) -> Any:
        k, p = _tex(name)
        scaled = self._note(3, k, rf"\alpha g_{{{p}}}", RATE * slope)
        return self._note(3, k, rf"{p[0]}'_{k} = {p} - \alpha g_{{{p}}}", value - scaled)

    def _share(self, name: str, slope: Any) -> Any:
        k, p = _tex(name)
        negative = self._note(6, k, rf"-v_{{{p}}}", -slope)
        return self._note(6, k, rf"u_{{{p}}} = -\alpha v_{{{p}}}", RATE * negative)

    def changed_forward(self, u: Tree) -> tuple[list[Any], Any]:
        """Derive how part 1 changes along u: the changes of the layers, and of the last cotangent."""
        dh: list[Any] = [None]
        for k in (1, 2, 3):
            below = _below(k)
            formula = rf"{below} u_{{W_{k}}}"
            dz = self._note(7, k, formula, self.h[k - 1] @ u[f"w{k}"])
            if k > 1:
                other = self._note(7, k, rf"\dot {below} W_{k}", dh[-1] @ self.theta[f"w{k}"])
                formula += rf" + \dot {below} W_{k}"
                dz = self._note(7, k, formula, dz + other)
            bias = self._note(7, k, rf"1 u_{{b_{k}}}^\top", np.broadcast_to(u[f"b{k}"], dz.shape))
            dz = self._note(7, k, rf"\dot z_{k} = {formula} + 1 u_{{b_{k}}}^\top", dz + bias)
            if k < 3:
                dh.append(self._note(7, k, rf"\dot h_{k} = \dot z_{k} \odot [h_{k} > 0]", dz * (self.h[k] > 0)))
        part = self._note(7, 4, r"\dot z_3 / n", dz / self.count)
        return dh, self._note(7, 4, r"\dot{\bar z}_3 = 2 \dot z_3 / n", 2 * part)

    def changed_backward(self, u: Tree, dh: list[Any], dz: Any) -> Tree:
        """Derive how part 2 changes along u: the changes of the cotangents, and of the gradient."""
        product: Tree = {}
        for k in (3, 2, 1):
            below = _below(k)
            product[f"b{k}"] = self._note(8, k, rf"(H u)_{{b_{k}}} = {{\dot{{\bar z}}_{k}}}^\top 1", dz.sum(0))
            first, second = rf"{{{below}}}^\top \dot{{\bar z}}_{k}", rf"{{\dot {below}}}^\top \bar z_{k}"
            term = self.h[k - 1].T @ dz
            if k > 1:
                other = self._note(8, k, second, dh[k - 1].T @ self.z[k])
                term = self._note(8, k, first, term) + other
                first += f" + {second}"
            product[f"w{k}"] = self._note(8, k, rf"(H u)_{{W_{k}}} = {first}", term)
            if k > 1:
                first, second = rf"\dot{{\bar z}}_{k} {{W_{k}}}^\top", rf"\bar z_{k} {{u_{{W_{k}}}}}^\top"
                term = self._note(8, k, first, dz @ self.theta[f"w{k}"].T)
                other = self._note(8, k, second, self.z[k] @ u[f"w{k}"].T)
                up = self._note(8, k, rf"\dot{{\bar h}}_{k - 1} = {first} + {second}", term + other)
                formula = rf"\dot{{\bar z}}_{k - 1} = \dot{{\bar h}}_{k - 1} \odot [{below} > 0]"
                dz = self._note(8, k - 1, formula, up * (self.h[k - 1] > 0))
        return product


def _below(k: int, prime: str = "") -> str:
    return f"h{prime}_{k - 1}" if k > 1 else "x"


def _tex(name: str) -> tuple[int, str]:
    """Return the layer of a parameter, and its symbol: 2 and ``W_2`` for ``w2``."""
    return int(name[1]), f"{'W' if name[0] == 'w' else 'b'}_{name[1]}"
