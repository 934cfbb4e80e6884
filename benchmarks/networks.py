"""Networks as anybody writes them, in numpy's words: rows of the table, as those of :mod:`programs`.

What they have and the papers' networks have not: the exact GELU, rows of a table that are chosen by indices, and rows
added up where the edges of a graph lead.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from libraries import Library, Step
from programs import draw, network, program

EXAMPLES, LENGTH, FEATURES, HEADS = 16, 64, 64, 4


@program("transformer", 0.7, ("jax", "torch", "torch compile"))
def transformer_block(lib: Library) -> Step:
    """Transformer block with a causal mask, layer norm and exact GELU, 16 x 64 x 64."""
    side = FEATURES // HEADS
    table, positions, head = draw(50, FEATURES), draw(LENGTH, FEATURES), draw(FEATURES, 50, scale=1 / 8)
    heads, back = draw(3, HEADS, FEATURES, side, scale=1 / 8), draw(HEADS, side, FEATURES, scale=1 / 8)
    norms = [np.ones(FEATURES, np.float32), draw(FEATURES, scale=0.1)] * 2
    tokens = lib.array(np.random.default_rng(0).integers(0, 50, (EXAMPLES, LENGTH)))
    seen = lib.array(np.tril(np.ones((LENGTH, LENGTH), bool)))
    target = lib.array(draw(EXAMPLES, LENGTH, 50))

    def loss(table: Any, positions: Any, heads: Any, back: Any, head: Any, *rest: Any) -> Any:
        (scale, offset, last_scale, last_offset), (up, up_bias, down, down_bias) = rest[:4], rest[4:]
        x = table[tokens] + positions
        y = lib.layer_norm(x, scale, offset)
        q, k, v = (lib.np.einsum("btf,hfd->bhtd", y, heads[i]) for i in range(3))
        scores = lib.np.where(seen, lib.np.einsum("bhtd,bhsd->bhts", q, k) * side**-0.5, -1e9)
        mixed = lib.np.einsum("bhts,bhsd->bhtd", lib.softmax(scores, -1), v)
        x = x + lib.np.einsum("bhtd,hdf->btf", mixed, back)
        h = lib.layer_norm(x, last_scale, last_offset) @ up + up_bias
        x = x + (0.5 * h * (1 + lib.erf(h * 0.5**0.5))) @ down + down_bias
        return lib.np.mean((lib.softmax(x @ head, -1) - target) ** 2)

    return lib.gradient(loss, table, positions, heads, back, head, *norms, *network(FEATURES, 4 * FEATURES, FEATURES))


@program("graph", 0.7, ("jax", "torch"))
def graph_network(lib: Library) -> Step:
    """Graph network, 300 nodes of 32 features, 1,500 edges, two rounds."""
    rng = np.random.default_rng(0)
    begins, ends = (lib.array(rng.integers(0, 300, 1500)) for _ in range(2))
    nodes, target = lib.array(draw(300, 32)), lib.array(draw(300, 1))
    nothing = lib.array(np.zeros((300, 32), np.float32))

    def loss(*parameters: Any) -> Any:
        x = nodes
        for w, b, u, c in (parameters[:4], parameters[4:8]):
            messages = lib.np.tanh(lib.np.concatenate([x[begins], x[ends]], 1) @ w + b)
            received = lib.rows_added(nothing, ends, messages)
            x = lib.np.tanh(lib.np.concatenate([x, received], 1) @ u + c)
        return lib.np.mean((x @ parameters[8] - target) ** 2)

    return lib.gradient(loss, *(p for _ in range(4) for p in network(64, 32)), draw(32, 1, scale=0.2))
