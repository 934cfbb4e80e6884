"""Networks as anybody writes them, in numpy's words: rows of the table, as those of :mod:`programs`.

What they have and the papers' networks have not: the exact GELU, rows of a table that are chosen by indices, rows
added up where the edges of a graph lead, and pixels that are read where a network says.
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


@program("graph-attention", 0.8, ("jax", "torch"))
def graph_attention(lib: Library) -> Step:
    """Graph attention, 256 nodes of 32 features, 2,000 edges, a softmax over those that end in a node."""
    rng = np.random.default_rng(0)
    begins, ends = (lib.array(rng.integers(0, 256, 2000)) for _ in range(2))
    nodes, target = lib.array(draw(256, 32)), lib.array(draw(256, 32))
    nothing = lib.array(np.zeros((256, 32), np.float32))

    def loss(w: Any, of_begin: Any, of_end: Any) -> Any:
        x = nodes @ w
        score = (x @ of_begin)[begins] + (x @ of_end)[ends]
        weights = lib.np.exp(lib.np.where(score > 0.0, score, 0.2 * score))
        shares = weights / lib.rows_added(nothing[:, 0], ends, weights)[ends]
        return lib.np.mean((lib.np.tanh(lib.rows_added(nothing, ends, shares[:, None] * x[begins])) - target) ** 2)

    return lib.gradient(loss, draw(32, 32, scale=0.2), draw(32, scale=0.2), draw(32, scale=0.1))


@program("warp", 0.6, ("jax", "torch"))
def warped_images(lib: Library) -> Step:
    """Spatial transformer: 8 images of 32 x 32 x 3, warped by bilinear interpolation."""
    line = np.linspace(-1.0, 1.0, 32)
    pixels = np.stack([*np.meshgrid(line, line), np.ones((32, 32))], -1).reshape(-1, 3).astype(np.float32)
    grid, identity, which = (
        lib.array(pixels),
        lib.array(np.eye(3, 2, dtype=np.float32)),
        lib.array(np.arange(8)[:, None]),
    )
    codes, target = lib.array(draw(8, 16)), lib.array(draw(8, 1024, 3))

    def loss(images: Any, w: Any, b: Any, u: Any, c: Any) -> Any:
        moves = identity + 0.1 * (lib.np.tanh(codes @ w + b) @ u + c).reshape(8, 3, 2)
        places = lib.np.clip((grid @ moves + 1.0) * 15.5, 0.0, 30.999)
        corners = lib.np.floor(places)
        column, row = (lib.whole(corners[..., i]) for i in (0, 1))
        right, down = ((places - corners)[..., i, None] for i in (0, 1))
        above, below = (
            (1.0 - right) * images[which, r, column] + right * images[which, r, column + 1] for r in (row, row + 1)
        )
        return lib.np.mean(((1.0 - down) * above + down * below - target) ** 2)

    return lib.gradient(loss, draw(8, 32, 32, 3), *network(16, 32, 6))
