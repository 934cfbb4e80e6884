"""Photographs of things that do not exist: solids under a light, from any side, in class folders.

    python docs/photographs.py FOLDER [classes] [photographs of each]

A thing is a superquadric (Barr 1981) with a striped coat,

    p(u, v) = (a c(v, e) c(u, f),  b c(v, e) s(u, f),  d s(v, e)),    c(w, e) = sign(cos w) |cos w|^e,  s likewise
    normal  = (c(v, 2 - e) c(u, 2 - f) / a,  c(v, 2 - e) s(u, 2 - f) / b,  s(v, 2 - e) / d), normalised

Its class decides the axes a, b, d, the exponents e, f, both colours and the stripes. Each photograph
turns it at random, moves the light, the camera and the white of the paper, and adds grain. A pixel
shows the nearest point of the surface, as bright as max(0, normal . light).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 48
U, V = np.meshgrid(np.linspace(-np.pi, np.pi, 320), np.linspace(-np.pi / 2, np.pi / 2, 160))


def power(x: NDArray[Any], exponent: float) -> NDArray[Any]:
    """Return ``sign(x) |x|^exponent``."""
    return np.asarray(np.sign(x) * np.abs(x) ** exponent)


class Thing:
    """One thing, of which any number of photographs can be taken."""

    def __init__(self, rng: np.random.Generator) -> None:
        axes, (e, f) = rng.uniform(0.35, 1, 3), rng.uniform(0.3, 1.7, 2)
        self.points = _surface(axes, e, f)
        normals = _surface(1 / axes, 2 - e, 2 - f)
        self.normals = normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-9)
        stripes = np.sin(rng.integers(0, 5) * U + rng.integers(0, 7) * V + rng.uniform(0, 6)) > rng.uniform(-0.8, 0.8)
        colours = rng.uniform(0.05, 0.95, (2, 3))
        self.colours = colours[stripes.astype(int)].reshape(-1, 3)

    def photograph(self, rng: np.random.Generator) -> Image.Image:
        """Take a photograph."""
        turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        points, normals = self.points @ turn, self.normals @ turn
        light = rng.normal(size=3) + np.array([0, 0, 2])
        shade = 0.3 + 0.7 * np.maximum(0, normals @ (light / np.linalg.norm(light)))
        paper = rng.uniform(0.75, 1)
        picture = np.full((SIDE, SIDE, 3), paper) * np.linspace(1, rng.uniform(0.7, 1), SIDE)[:, np.newaxis, np.newaxis]
        nearest_last = np.argsort(points[:, 2])
        size, centre = SIDE * rng.uniform(0.28, 0.4), SIDE / 2 + rng.uniform(-3, 3, 2)
        at = np.clip(np.rint(points[nearest_last, :2] * size + centre), 0, SIDE - 1).astype(int)
        picture[at[:, 1], at[:, 0]] = (self.colours * shade[:, np.newaxis])[nearest_last]
        picture = picture * rng.uniform(0.8, 1.1) + rng.normal(0, 0.03, picture.shape)
        return Image.fromarray(np.rint(255 * picture.clip(0, 1)).astype(np.uint8))


def _surface(axes: NDArray[Any], e: float, f: float) -> NDArray[Any]:
    """Return the points of a superquadric, shape ``(points, 3)``."""
    ring = power(np.cos(V), e)
    points = (ring * power(np.cos(U), f), ring * power(np.sin(U), f), power(np.sin(V), e))
    return np.asarray(np.stack(points, -1).reshape(-1, 3) * axes)


def write(folder: Path, classes: int = 60, photographs: int = 20) -> None:
    """Write photographs of `classes` things into class folders."""
    for number in range(classes):
        rng = np.random.default_rng(number)
        thing = Thing(rng)
        (folder / f"thing{number:02}").mkdir(parents=True)
        for shot in range(photographs):
            thing.photograph(rng).save(folder / f"thing{number:02}" / f"{shot:02}.jpg", quality=90)


if __name__ == "__main__":
    write(Path(sys.argv[1]), *map(int, sys.argv[2:]))
