"""How near products are to the exact ones: as near as numpy's, however many terms there are.

The oracle computes in the 64 bits of a long double, or in float64.
"""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from test_products import windows

Array = NDArray[Any]

pytestmark = pytest.mark.skipif(
    np.finfo(np.longdouble).nmant < 63, reason="long double is no wider than double here, which it judges"
)


def distance(result: Array, exact: Array, magnitude: Array) -> float:
    """The root mean square of the error, of the sum of the terms' magnitudes."""
    return float(np.sqrt(np.mean(np.square((result - exact) / magnitude))))


DRAWS = {
    "uniform": lambda rng, *shape: rng.uniform(size=shape),
    "normal": lambda rng, *shape: rng.normal(size=shape),
    "of many magnitudes": lambda rng, *shape: np.exp(2 * rng.normal(size=shape)),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
@pytest.mark.parametrize(
    "shape",
    [
        (1, 64, 1),
        (1, 300, 1),
        (1, 5_000, 1),
        (30, 300, 1),
        (1, 300, 30),
        (40, 300, 40),
        (6, 700, 5),
        (4, 5_000, 3),
        (1, 5_000, 30),
        (30, 5_000, 1),
        (2, 100_000, 2),
    ],
)
def test_the_error_is_at_most_numpys(native: Any, dtype: type, draw: Any, shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(0)
    m, k, n = shape
    errors = []
    for _ in range(max(1, 20_000 // k)):
        x, y = draw(rng, m, k).astype(dtype), draw(rng, k, n).astype(dtype)
        exact, magnitude = (f(x).astype("g") @ f(y).astype("g") for f in (np.positive, np.abs))
        errors.append([distance(z, exact, magnitude) for z in (native.matmul(x, y), x @ y)])
    ours, numpys = np.mean(errors, axis=0)
    assert ours <= 1.2 * numpys


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_the_error_of_a_dot_product_does_not_grow_with_its_length(native: Any, draw: Any) -> None:
    rng = np.random.default_rng(0)
    for k in (10_000, 100_000, 1_000_000):
        x, y = draw(rng, 1, k).astype(np.float32), draw(rng, k, 1).astype(np.float32)
        exact, magnitude = (f(x).astype("g") @ f(y).astype("g") for f in (np.positive, np.abs))
        assert abs(native.matmul(x, y) - exact) <= 5e-7 * magnitude


def test_the_weights_gradient_of_very_many_places(native: Any) -> None:
    rng = np.random.default_rng(0)
    x, g = (rng.uniform(size=(1000, 28, 28, 1)).astype(np.float32) for _ in range(2))
    result = native.conv2d_weight(x, g, strides=(1, 1), padding=(1, 1, 1, 1), size=(3, 3))
    exact = windows(x.astype("d"), (3, 3), (1, 1), (1, 1, 1, 1)).reshape(-1, 9).T @ g.astype("d").reshape(-1, 1)
    assert np.max(abs(result.reshape(9, 1) / exact - 1)) <= 5e-7


def test_a_convolution_as_long_as_its_image(native: Any) -> None:
    rng = np.random.default_rng(0)
    x, w = (rng.uniform(size=shape).astype(np.float32) for shape in ((1, 1, 200_000, 4), (1, 200_000, 4, 1)))
    once, none = (1, 1), (0, 0, 0, 0)
    y = native.conv2d(x, w, strides=once, padding=none)
    assert abs(y.item() / np.vdot(x.astype("d"), w.astype("d")) - 1) <= 5e-7
    g = rng.uniform(size=(1, 1, 200_000, 1)).astype(np.float32)
    weight = native.conv2d_weight(x, g, strides=once, padding=none, size=(1, 1))
    exact = x.astype("d").reshape(-1, 4).T @ g.astype("d").reshape(-1, 1)
    assert np.max(abs(weight.reshape(4, 1) / exact - 1)) <= 5e-7
