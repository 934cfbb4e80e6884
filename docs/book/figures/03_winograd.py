"""The price of fewer multiplications.

One pixel of an image is made larger and larger. The weight that it meets is zero, so it does not
matter to the result in the middle. By the definition its error stays at some roundings. By
Winograd's products of sums the error grows with the pixel, since sums with it are rounded to its
size. Beyond a factor of 256 the kernel sees the pixel, and computes by the definition.
"""

import numpy as np
import style
from matplotlib.figure import Figure
from numpy.typing import NDArray

import minimeta as mm

CHANNELS = 32


def draw() -> Figure:
    """Draw the error of both ways against the size of the pixel."""
    rng = np.random.default_rng(0)
    image = rng.choice([-1.0, 1.0], (1, 8, 8, CHANNELS)) * rng.uniform(1.0, 1.1, (1, 8, 8, CHANNELS))
    weights = rng.normal(size=(3, 3, CHANNELS, CHANNELS))
    weights[1, 1] = 0.0
    ratios = 2.0 ** np.arange(13)
    errors = np.array([_errors(image, weights, ratio) for ratio in ratios])
    figure, (axes,) = style.new(height=3.0)
    axes.loglog(ratios, errors[:, 0], ".-", base=2, label="the kernel of conv2d")
    axes.loglog(ratios, errors[:, 1], ".-", base=2, label="the definition")
    axes.set_yscale("log", base=10)
    axes.minorticks_off()
    axes.set(
        xlabel="size of one pixel, next to others of size 1", ylabel="relative error", xticks=2.0 ** np.arange(0, 13, 4)
    )
    axes.legend()
    return figure


def _errors(image: NDArray[np.float64], weights: NDArray[np.float64], ratio: float) -> tuple[float, float]:
    """Return the largest error of the kernel and of the definition at the pixel, over channels."""
    image = image.copy()
    image[0, 3, 3] *= ratio
    single, taps = image.astype(np.float32), weights.astype(np.float32)
    window, matrix = single[0, 2:5, 2:5].reshape(1, -1), taps.reshape(-1, CHANNELS)
    exact = window.astype(np.float64) @ matrix.astype(np.float64)
    size = abs(window) @ abs(matrix)
    kernel, definition = mm.conv2d(single, taps)[0, 3, 3], mm.matmul(window, matrix)
    return float((abs(kernel - exact) / size).max()), float((abs(definition - exact) / size).max())
