"""Errors of sums and of the exponential.

Left: the error of a sum of K random float32, as a multiple of u times the sum of their magnitudes;
the largest of 16 sums. One chain (numpy's running sum) gets worse with every term. Chains of 128 (a
product with a column of ones) get worse up to 128, and lanes and a tree hardly at all.

Right: the largest error of the exponential within each of 60 intervals, in units in the last place.
If log 2 is one float32, the reduced argument has an error that grows with n, and so has the result.
"""

from typing import Any

import numpy as np
import style
from matplotlib.figure import Figure
from numpy.typing import NDArray

import minimeta as mm

U = 2.0**-24
LOG_2 = np.float32(np.log(2))


def sums(x: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """Return the sums of rows, in three orders."""
    ones = np.ones((x.shape[1], 2), np.float32)
    return {
        "one chain": np.cumsum(x, axis=1, dtype=np.float32)[:, -1],
        "chains of 128": np.asarray(mm.matmul(x, ones))[:, 0],
        "lanes and a tree": np.asarray(mm.sum(x, axis=1)),
    }


def exp_by_one_constant(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the exponential, with an argument that was reduced in float32."""
    n = np.rint(x / LOG_2)
    r = np.float32(x - n * LOG_2)
    found: NDArray[np.float32] = np.ldexp(np.exp(r.astype(np.float64)), n.astype(int)).astype(np.float32)
    return found


def draw() -> Figure:
    """Draw both errors."""
    figure, (left, right) = style.new(2, width=7.2)
    rng = np.random.default_rng(0)
    counts = 2 ** np.arange(4, 18)
    errors: dict[str, list[float]] = {}
    for count in counts.tolist():
        x = rng.uniform(0, 1, (16, count)).astype(np.float32)
        true = x.sum(axis=1, dtype=np.float64)
        for name, found in sums(x).items():
            errors.setdefault(name, []).append(float(np.max(np.abs(found - true) / (U * true))))
    for name, values in errors.items():
        left.plot(counts, np.maximum(values, 0.1), label=name)
    left.set(xscale="log", yscale="log", xlabel="terms", ylabel="error / (u × sum)")
    left.legend()

    ends = np.linspace(-80, 80, 61)
    x = rng.uniform(ends[:-1, np.newaxis], ends[1:, np.newaxis], (60, 2000)).astype(np.float32)
    true = np.exp(x.astype(np.float64))
    unit = np.spacing(true.astype(np.float32))
    for name, found in {"log 2 in one part": exp_by_one_constant(x), "in two parts": np.asarray(mm.exp(x))}.items():
        right.plot((ends[1:] + ends[:-1]) / 2, np.max(np.abs(found - true) / unit, axis=1), label=name)
    right.set(yscale="log", xlabel="x", ylabel="error of $e^x$, ulp")
    right.legend(loc=(0.42, 0.2))
    for axes in (left, right):
        axes.minorticks_off()
    return figure
