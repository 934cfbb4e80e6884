"""Axes, sides and counts are integers, as numpy has them; what is none is refused and not rounded."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minimeta as mm
from minimeta.errors import DtypeError

X = np.arange(6.0).reshape(2, 3)

untyped: Any = np
"""numpy, for arguments that are wrong on purpose."""

NAMES = (
    *("sum", "prod", "max", "min", "mean", "std", "var", "median", "nansum", "argmax", "argmin", "cumsum", "cumprod"),
    *("sort", "argsort", "flip", "expand_dims", "diff", "all", "any", "count_nonzero", "ptp", "average", "gradient"),
)


def over(name: str) -> Callable[[Any, Any], Any]:
    return lambda x, axis: getattr(np, name)(x, axis=axis)


OVER_AN_AXIS: dict[str, Callable[[Any, Any], Any]] = {
    **{name: over(name) for name in NAMES},
    "squeeze": lambda x, axis: np.squeeze(x[None], axis),
    "take": lambda x, axis: np.take(x, 0, axis),
    "repeat": lambda x, axis: np.repeat(x, 2, axis),
    "roll": lambda x, axis: np.roll(x, 1, axis),
    "concatenate": lambda x, axis: np.concatenate([x, x], axis),
    "stack": lambda x, axis: np.stack([x, x], axis),
    "split": lambda x, axis: np.split(x, 1, axis)[0],
    "swapaxes": lambda x, axis: np.swapaxes(x, axis, 1),
    "moveaxis": lambda x, axis: np.moveaxis(x, axis, 1),
    "transpose": lambda x, axis: np.transpose(x, (axis, 1)),
    "norm": lambda x, axis: np.linalg.norm(x, axis=axis),
    "add.reduce": lambda x, axis: np.add.reduce(x, axis=axis),
    "rfft": lambda x, axis: np.abs(np.fft.rfft(x, axis=axis)),
    "tensordot": lambda x, axis: np.tensordot(x, x, (axis, 0)),
}


@pytest.mark.parametrize("name", OVER_AN_AXIS)
@pytest.mark.parametrize("axis", [0.7, 1.9, 0.0, "0", True, np.float64(0), np.bool_(False)], ids=repr)
def test_an_axis_is_an_integer(name: str, axis: Any) -> None:
    with pytest.raises(TypeError, match=r"integer|iterable"):
        mm.vmap(lambda x: OVER_AN_AXIS[name](x, axis))(X[None])


@pytest.mark.parametrize("name", OVER_AN_AXIS)
@pytest.mark.parametrize("axis", [np.int8(0), np.array(0)], ids=repr)
def test_an_axis_is_any_integer(name: str, axis: Any) -> None:
    found = mm.vmap(lambda x: OVER_AN_AXIS[name](x, axis))(X[None])[0]
    np.testing.assert_allclose(found, OVER_AN_AXIS[name](X, 0), rtol=1e-14)


def test_axes_that_are_equal_as_keys_are_not_taken_for_each_other() -> None:
    mm.sum(mm.grad(lambda x: np.sum(np.sum(x, axis=(0, 1))))(X))  # 1 == 1.0 == True, where a cache has them as keys
    for axis in ((0, 1.0), (0, True), (0, "1")):
        with pytest.raises(DtypeError, match=re.escape(f"sum with axis={axis[1]!r}: an integer is needed, not a ")):
            mm.sum(X, axis=axis)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: untyped.reshape(x, (2.0, 3)),
        lambda x: x.reshape("6"),
        lambda x: untyped.broadcast_to(x, (2.5, 2, 3)),
        lambda x: untyped.tile(x, 1.5),
        lambda x: untyped.resize(x, (2.0, 2)),
        lambda x: untyped.tensordot(x, x, ((0.0,), (0,))),
        lambda x: untyped.full_like(x, x[0, 0], shape=(2.0,)),
    ],
)  # fmt: skip
def test_sides_and_counts_are_integers(function: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError):
        function(X)
    with pytest.raises(TypeError):
        mm.grad(lambda x: untyped.sum(function(x)))(X)
