"""Calls of numpy's functions that compute, and how to draw what they are called with: a table.

An operand is drawn by a word: its sides, a colon, and its domain. A side is a letter: of 0 to 4, or from 1 on if it is
a capital; the same letter is the same side. ``...`` is any shape. The domain "real" may be left out.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from drawing import spread

Function = Callable[..., Any]


class Call(NamedTuple):
    """A function of numpy's, a function that calls it, words for its operands, and whether derivatives are checked."""

    name: str
    function: Function
    operands: tuple[str, ...]
    differentiable: bool = True
    checked: bool = True


def draw(call: Call, rng: np.random.Generator, low: int = 0, high: int = 5) -> tuple[Any, ...]:
    """Operands for a call, with sides from ``low`` on, below ``high``."""
    sides: dict[str, int] = {}

    def shape(word: str) -> tuple[int, ...]:
        if word == "...":
            word = "abc"[: sides.setdefault("...", int(rng.integers(low, max(high - 1, low + 1))))]
        for letter in word:
            sides.setdefault(letter, int(rng.integers(max(low, letter.isupper()), high)))
        return tuple(sides[letter] for letter in word)

    found: list[Any] = []
    for operand in call.operands:
        word, _, domain = operand.partition(":")
        if domain == "whole":
            found.append(rng.integers(0, 6, shape(word)))
            continue
        bounds = tuple(map(float, domain.split(","))) if "," in domain else domain or "real"
        x = spread(rng, shape(word), bounds)  # type: ignore[arg-type]
        found.append(np.sort(x, -1) if word and word[-1] == "K" else x)
    return tuple(found)


CALLS: list[Call] = []

#: Calls whose results have shapes that depend on values.
VALUES_KNOWN: dict[str, Function] = {
    "argwhere": lambda x: np.argwhere(x > 0),
    "flatnonzero": lambda x: np.flatnonzero(x > 0),
    "histogram_bin_edges": lambda x: np.histogram_bin_edges(x, 5),
    "intersect1d": lambda x: np.intersect1d(np.round(x), [1.0, 2.0]),
    "nonzero": lambda x: np.nonzero(x > 0),
    "setdiff1d": lambda x: np.setdiff1d(np.round(x), [1.0, 2.0]),
    "setxor1d": lambda x: np.setxor1d(np.round(x), [1.0, 2.0]),
    "union1d": lambda x: np.union1d(np.round(x), [1.0, 2.0]),
    "unique": lambda x: np.unique(np.round(x), return_counts=True),
    "unique_all": lambda x: tuple(np.unique_all(np.round(x))),
    "unique_counts": lambda x: np.unique_counts(np.round(x)).counts,
    "unique_inverse": lambda x: np.unique_inverse(np.round(x)).inverse_indices,
    "unique_values": lambda x: np.sort(np.unique_values(np.round(x))),
}


def _elementwise(names: str, domain: str = "real", differentiable: bool = True, count: int = 1) -> None:
    for name in names.split():
        CALLS.append(Call(name, getattr(np, name), (f"...:{domain}",) * count, differentiable))


def _of(name: str, *operands: str, differentiable: bool = True, checked: bool = True) -> Callable[[Function], None]:
    """Enter a function that calls numpy's function of this name."""
    return lambda function: CALLS.append(Call(name, function, operands, differentiable, checked))


_elementwise("arctan arcsinh sinh cosh exp2 cbrt positive fabs degrees radians deg2rad rad2deg nan_to_num")
_elementwise("arcsin arccos arctanh", "unit")
_elementwise("log2 log10", "positive")
_elementwise("arccosh", "1.2,3")
_elementwise("hypot arctan2 logaddexp logaddexp2 fmod fmax fmin copysign remainder", count=2)
_elementwise("float_power", "positive", count=2)
_elementwise("floor ceil rint trunc fix round sign signbit spacing isnan isinf isfinite", differentiable=False)
_elementwise("isneginf isposinf iscomplex isreal logical_not", differentiable=False)
_elementwise("nextafter floor_divide logical_and logical_or logical_xor", differentiable=False, count=2)
_of("modf", "...")(lambda x: np.modf(x)[0] * 2.0 + np.modf(x)[1])
_of("frexp", "...")(lambda x: np.frexp(x)[0] * (1.0 + np.frexp(x)[1]))
_of("ldexp", "...")(lambda x: np.ldexp(x, 3))
_of("divmod", "...", "...")(lambda x, y: np.divmod(x, y)[1])
_of("heaviside", "...", "...")(lambda x, y: np.heaviside(np.where(x > 0, 0.0, x), y))
_of("round", "...", differentiable=False)(lambda x: np.round(x, 1))

_elementwise("gcd lcm left_shift right_shift bitwise_and bitwise_or bitwise_xor", "whole", False, 2)
_elementwise("bitwise_count invert prod cumsum var nansum square floor", "whole", False)
for _name in ["sort", "median", "ptp", "diff"]:
    _of(_name, "AB:whole", differentiable=False)(getattr(np, _name))
_of("tensordot", "ab:whole", "bc:whole", differentiable=False)(lambda x, y: np.tensordot(x, y, 1))

_of("ones_like", "ab")(lambda x: x * np.ones_like(x))

# Reductions
_of("sum", "ab")(lambda x: np.sum(x, 0, initial=2.0, where=x > 0))
_of("sum", "ab")(lambda x: np.sum(x, dtype=np.float64))
_of("take_along_axis", "ab")(lambda x: np.take_along_axis(x, np.arange(x.size)[::-2], None))
_of("take", "Ab")(lambda x: x.compress(np.arange(len(x)) % 2 == 0, axis=0))
_of("mean", "Ab")(lambda x: np.mean(x, 0, where=np.arange(x.shape[0])[:, None] < 1))
_of("max", "ab")(lambda x: np.max(x, 0, initial=-0.5, where=x > 0))
_of("min", "ab")(lambda x: np.min(x, (0, 1), initial=7.0))
_of("prod", "...")(np.prod)
_of("prod", "abc")(lambda x: np.prod(x, (0, -1), keepdims=True))
_of("prod", "ab")(lambda x: np.prod(x, 0, initial=2.0, where=x > 0))
_of("std", "Ab")(lambda x: np.std(x, 0))
_of("std", "ABc")(lambda x: np.std(x, (0, 1), keepdims=True, ddof=0.5))
_of("var", "Ab")(lambda x: np.var(x, -2, ddof=0.5, where=np.arange(x.shape[0])[:, None] < 2))
_of("std", "Ab")(lambda x: np.std(x, 0, where=np.arange(x.shape[0])[:, None] < 3))
_of("ptp", "Ab")(lambda x: np.ptp(x, 0))
_of("average", "Ab", "Ab:positive")(lambda x, w: np.average(x, 0, w))
_of("average", "aB", "B:positive")(lambda x, w: np.average(x, 1, w, keepdims=True))
_of("average", "AB")(lambda x: np.average(x, returned=True)[0])
_of("cov", "Ab")(lambda x: np.cov(x, ddof=0) if x.shape[1] else x)
_of("cov", "A", "A")(lambda x, y: np.cov(x, y, bias=True))
_of("cov", "AB", "B:positive")(lambda x, w: np.cov(x, aweights=w, ddof=0))
_of("corrcoef", "AA")(lambda x: np.corrcoef(np.concatenate([x, x**2 + 1.0], 1) * np.linspace(1.0, 2.0, 2 * len(x))))
_of("cumsum", "...")(np.cumsum)
_of("cumsum", "abc")(lambda x: np.cumsum(x, -2))
_of("cumprod", "...")(np.cumprod)
_of("cumprod", "abc")(lambda x: np.cumprod(x, 1))
_of("cumulative_sum", "ab")(lambda x: np.cumulative_sum(x, axis=1, include_initial=True))
_of("cumulative_prod", "ab")(lambda x: np.cumulative_prod(x, axis=0, include_initial=True))
_of("all", "ab", differentiable=False)(lambda x: np.all(x > 0, 0, where=x < 2))
_of("any", "ab", differentiable=False)(lambda x: np.any(x > 0, (0, 1), keepdims=True))
_of("argmin", "Ab", differentiable=False)(lambda x: np.argmin(x, 0, keepdims=True))
_of("count_nonzero", "ab", differentiable=False)(lambda x: np.count_nonzero(x > 0, axis=1))


def _missing(x: Any) -> Any:
    """NaN in every third place."""
    places = np.arange(x.size).reshape(x.shape)
    return np.where(places % 3 == 1, np.nan, x)


for _name in ["nansum", "nanprod", "nancumsum", "nancumprod"]:
    _of(_name, "ab")(lambda x, name=_name: getattr(np, name)(_missing(x), 1))
for _name in ["nanmean", "nanvar", "nanstd", "nanmax", "nanmin", "nanmedian"]:
    _of(_name, "aB")(lambda x, name=_name: getattr(np, name)(_missing(x), 1))
    _of(_name, "BAA")(lambda x, name=_name: getattr(np, name)(_missing(x), (0, 1, 2), keepdims=True))
_of("nanquantile", "BA")(lambda x: np.nanquantile(_missing(x), np.array([[0.2, 0.9], [0.0, 1.0]], x.dtype)))
_of("nanpercentile", "BA")(lambda x: np.nanpercentile(_missing(x), 30.0, keepdims=True))
_of("nanargmax", "BA", differentiable=False)(lambda x: np.nanargmax(_missing(x)))
_of("nanargmin", "BA", differentiable=False)(lambda x: np.nanargmin(_missing(x)))

# Order
_of("sort", "...")(lambda x: np.sort(x) if x.ndim else np.sort(x, None))
_of("sort", "abc")(lambda x: np.sort(x, 1))
_of("sort", "ab")(lambda x: np.sort(x, None))
_of("partition", "B")(lambda x: np.partition(x, 0)[0])
_of("argsort", "ab", differentiable=False)(lambda x: np.argsort(x, 0))
_of("argpartition", "B", differentiable=False)(lambda x: np.argpartition(x, 0)[0])
_of("lexsort", "Ab", differentiable=False)(lambda x: np.lexsort(x))  # noqa: PLW0108 (an Array, not a class)
_of("searchsorted", "K", "ab", differentiable=False)(lambda x, v: np.searchsorted(x, v, side="right"))
_of("digitize", "ab", "K", differentiable=False)(np.digitize)
_of("median", "AB")(np.median)
_of("median", "aBc")(lambda x: np.median(x, -2, keepdims=True))
_of("quantile", "AB")(lambda x: np.quantile(x, 0.3))
_of("quantile", "ABc")(lambda x: np.quantile(x, np.array([[0.1, 0.5], [1.0, 0.0]], x.dtype), (0, 1), keepdims=True))
for _method in (
    *("inverted_cdf", "averaged_inverted_cdf", "closest_observation", "interpolated_inverted_cdf", "hazen"),
    *("weibull", "median_unbiased", "normal_unbiased", "lower", "higher", "midpoint", "nearest"),
):
    _of("quantile", "aB", checked=False)(lambda x, method=_method: np.quantile(x, [0.15, 0.72], 1, method=method))
_of("percentile", "aB")(lambda x: np.percentile(x, [15, 40.0], 1))
_of("isin", "ab", differentiable=False)(lambda x: np.isin(np.round(x), [1.0, 2.0]))

# Contractions
_of("tensordot", "abc", "bcd")(np.tensordot)
_of("tensordot", "abc", "cda")(lambda x, y: np.tensordot(x, y, ((0, 2), (2, 0))))
_of("tensordot", "ab", "cd")(lambda x, y: np.tensordot(x, y, 0))
_of("inner", "ab", "cdb")(np.inner)
_of("inner", "ab", "")(np.inner)
_of("dot", "abc", "dce")(np.dot)
_of("dot", "ab", "b")(np.dot)
_of("vdot", "ab", "ab")(np.vdot)
_of("vecdot", "aBc", "Bc")(np.vecdot)
_of("matvec", "abc", "c")(lambda x, y: np.matvec(x, y))  # noqa: PLW0108 (since numpy 2.2)
_of("vecmat", "b", "abc")(lambda x, y: np.vecmat(x, y))  # noqa: PLW0108
_of("kron", "ab", "cde")(np.kron)
_of("outer", "ab", "c")(np.outer)
_of("cross", "ab", "ab")(lambda x, y: np.cross(x[:1].sum() + np.ones((2, 3)) * [1, 2, 4], y[:1].sum() * np.eye(3)[0]))
for _name, _text, *_words in [
    ("matrices", "ij,jk->ik", "ij", "jk"),
    ("batch", "bij,bjk->bik", "bij", "bjk"),
    ("attention", "bqhd,bkhd->bhqk", "bqhd", "bkhd"),
    ("trace", "ii", "ii"),
    ("diagonal", "iji->ij", "iji"),
    ("implicit", "ba,cb", "ba", "cb"),
    ("sums", "ij->j", "ij"),
    ("outer", "i,j", "i", "j"),
    ("elements", "ij,ij->ij", "ij", "ij"),
    ("rows", "ij,ij->i", "ij", "ij"),
    ("alone", "ij,jk->k", "ij", "jk"),
    ("three", "ij,jk,kl->il", "ij", "jk", "kl"),
    ("dots", "...ij,jk->...ik", "abij", "jk"),
    ("of different", "i...,i...->...", "iab", "ib"),
    ("scalar", ",ij->ji", "", "ij"),
]:
    _of("einsum", *_words)(lambda *x, text=_text: np.einsum(text, *x))
_of("einsum", "ij", "jk", "kl", "lm")(lambda *x: np.einsum("ij,jk,kl,lm->im", *x, optimize="optimal"))
_of("einsum", "ij", "jk", "ik")(lambda *x: np.einsum("ij,jk,ik", *x, optimize=True))
_of("einsum", "ij", "jk")(lambda x, y: np.einsum(x, [0, 1], y, [1, 2], [2, 0]))
for _mode in ("full", "same", "valid"):
    _of("convolve", "A", "B")(lambda x, y, mode=_mode: np.convolve(x, y, mode))
    _of("correlate", "A", "B")(lambda x, y, mode=_mode: np.correlate(x, y, mode))

# Calculus
_of("diff", "aB")(lambda x: np.diff(np.concatenate([x, x * x], 1), 2))
_of("diff", "ab")(lambda x: np.diff(x, axis=0, prepend=1.0, append=x[:1]))
_of("ediff1d", "ab")(lambda x: np.ediff1d(x, to_begin=[1.0, 2.0]) if x.dtype == np.float64 else x)
_of("trapezoid", "ab", "b")(np.trapezoid)
_of("trapezoid", "ab")(lambda y: np.trapezoid(y, dx=0.5, axis=0))
_of("unwrap", "ab")(lambda x: np.unwrap(4.0 * x))
_of("interp", "ab", "K", "K")(lambda x, xp, fp: np.interp(x, xp, fp))  # noqa: PLW0108
_of("interp", "ab", "K", "K")(lambda x, xp, fp: np.interp(x, xp, fp, left=-1.0, right=fp[0], period=None))
_of("interp", "a", "K", "K")(lambda x, xp, fp: np.interp(x, xp, fp, period=7.0))
_of("gradient", "ab")(lambda x: np.gradient(np.concatenate([x, x * x, 2.0 * x]), 0.5, axis=0) if len(x) else x)
_of("gradient", "A", "A:positive")(
    lambda f, h: np.gradient(np.stack([f, f * f, 2.0 * f]), np.cumsum(np.stack([h] * 3)[:, 0]), axis=0)
)
_of("gradient", "A")(lambda x: np.gradient(np.stack([x, 2 * x, x * x]), axis=(0,), edge_order=2))
_of("polyval", "a", "bc")(np.polyval)
_of("polyadd", "a", "b")(np.polyadd)
_of("polysub", "a", "b")(np.polysub)
_of("polymul", "A", "B")(np.polymul)
_of("polyder", "A")(np.polyder)
_of("polyint", "A")(lambda p: np.polyint(p, 2, [1.0, 2.0]))
_of("select", "ab", "ab")(lambda x, y: np.select([x > 1, y > 0], [x * y, x], 3.0))
_of("piecewise", "ab")(lambda x: np.piecewise(x, [x < 0, x > 1], [lambda x: 3.0 - x, lambda x: x * x, 5.0]))
_of("choose", "ab", "ab")(lambda x, y: np.choose((x > 0).astype(np.int64), [x, y]))

_of("polydiv", "A", "A")(lambda u, v: np.polydiv(np.concatenate([u, u]), v)[0])
_of("vander", "A")(lambda x: np.vander(x, 3) + np.vander(x, 3, increasing=True))
_of("poly", "a")(np.poly)
_of("sinc", "...")(np.sinc)
_of("i0", "...")(np.i0)
_of("amax", "AB")(lambda x: np.amax(x, 0))
_of("amin", "AB")(lambda x: np.amin(x, 0))
_of("around", "ab", differentiable=False)(lambda x: np.around(x, 1))

_of("bincount", "C")(lambda w: np.bincount(np.arange(len(w)) % 2, w, 3))
_of("histogram", "C")(lambda w: np.histogram(np.arange(len(w)) * 0.7, 3, (0, 2), weights=w)[0])

# Methods of ufuncs
_of("add", "ab")(np.add.reduce)
_of("multiply", "ab")(lambda x: np.multiply.accumulate(x, 1))
_of("subtract", "aB")(lambda x: np.subtract.reduce(x, 1))
_of("maximum", "Ab")(lambda x: np.maximum.reduce(x, 0))
_of("maximum", "Ab")(lambda x: np.maximum.accumulate(x, 0))
_of("multiply", "ab", "c")(np.multiply.outer)
_of("hypot", "ab", "c")(np.hypot.outer)
_of("add", "A")(lambda x: np.add.reduceat(x, [0, 0]))
_of("add", "ab", "ab")(lambda x, y: np.add(x, y, dtype=np.float64, order="C", casting="same_kind"))

# Arguments of other dtypes than the array's
_of("sum", "ab")(lambda x: np.sum(x, 0, initial=np.float64(2.5)))
_of("prod", "ab")(lambda x: np.prod(x, initial=np.float64(2.5)))
_of("max", "ab")(lambda x: np.max(x, 0, initial=np.float64(0.5)))
_of("min", "ab")(lambda x: np.min(x, initial=0.5))
_of("nan_to_num", "ab")(lambda x: np.nan_to_num(_missing(x), nan=np.float64(2.5)))
_of("nan_to_num", "ab")(lambda x: np.nan_to_num(x, nan=2.5))
_of("trapezoid", "aB")(lambda x: np.trapezoid(x, dx=2.5))
_of("trapezoid", "aB", "aB")(np.trapezoid)
_of("choose", "ab", "ab")(lambda x, y: np.choose((x > 0).astype(np.int64), [y, 0.5]))
_of("select", "ab", "ab")(lambda x, y: np.select([x > 0], [y], 0))
_of("ediff1d", "ab")(lambda x: np.ediff1d(x, to_begin=[1, 2], to_end=np.int8(3)))
_of("diff", "aB")(lambda x: np.diff(x, prepend=np.int8(1)))
_of("heaviside", "ab", checked=False)(lambda x: np.heaviside(2.5, x))
_of("copysign", "ab", "ab")(lambda x, y: np.copysign(x, y) + np.copysign(1.5, y))
_of("linspace", "a", "a")(lambda x, y: np.linspace(x, y, 3))
_of("linspace", "a")(lambda x: np.linspace(0, x, 3, endpoint=False))
_of("geomspace", "a:positive", "a:positive")(lambda x, y: np.geomspace(x + 1, y + 1, 3))
_of("logspace", "a")(lambda x: np.logspace(0, x, 3))
_of("reciprocal", "ab:positive")(lambda x: np.reciprocal(x + 1))
_of("matmul", "ab", "bc")(np.matmul)
_of("matmul", "b", "abc")(np.matmul)

# Arguments that are rarely given
_of("reshape", "abc")(lambda x: np.reshape(x, (x.shape[2], x.shape[0] * x.shape[1]), order="F"))
_of("ravel", "abc")(lambda x: np.ravel(x, "F") * x.flatten("C") + x.reshape(x.size, order="F"))
_of("take", "AB")(lambda x: np.take(x, [7, -1, -9], axis=1, mode="wrap") * np.take(x, [-2, 0, 9], 1, mode="clip"))
_of("var", "Ab")(lambda x: np.var(x, 0, mean=np.mean(x, 0, keepdims=True)))
_of("std", "Ab")(lambda x: np.std(x, 0, ddof=0.5, mean=np.mean(x, 0, keepdims=True), keepdims=True))
_of("quantile", "AB")(
    lambda x: np.quantile(x, [0.0, 0.4, 1.0], 1, weights=np.arange(x.shape[1]) + 1, method="inverted_cdf")
)
_of("percentile", "B")(lambda x: np.percentile(x, 30.0, weights=np.arange(len(x)) % 2 + 1, method="inverted_cdf"))
_of("einsum", "ij", "jk")(lambda x, y: np.einsum("ij,jk", x, y, dtype=np.float64, casting="same_kind"))

CALLS = [call for call in CALLS if hasattr(np, call.name)]
