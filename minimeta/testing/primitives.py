"""check_primitive: everything that is promised of an operation.

A primitive says how to draw operands that it takes. On drawn ones, sides of 0 and 1 and no axes
among them:

    form            shape and dtype are those of the shape rule, in float32 and float64
    value           the kernel is within a few units in the last place of the reference
    purity          operands are not written to, and the result shares no memory with them
    layout          strided, reversed, transposed and read-only operands give the same bits
    derivatives     of first and second order, by the oracles and identities of ``check_gradients``
    precision       cotangents of float32 operands are float32, and those of float64 to its rounding
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff import operations
from minimeta.autodiff.apply import apply
from minimeta.autodiff.array import is_float
from minimeta.autodiff.definition import Operation
from minimeta.autodiff.primitive import Primitive, registry
from minimeta.errors import ConfigurationError, GradientMismatch
from minimeta.testing.checker import check_gradients
from minimeta.testing.identities import same_bits
from minimeta.testing.operands import Seeded, laid_out
from minimeta.testing.report import Report

Operands = tuple[NDArray[Any], ...]

_ULPS = 64.0


@dataclass(frozen=True)
class PrimitiveReport:
    """What was found of a primitive.

    Attributes
    ----------
    name
        Its name.
    oracle
        What its derivatives were compared with; ``"none"`` if it has none.
    errors
        The worst relative errors of the first and second order.
    ulps
        The largest distance of kernel and reference, in units in the last place of the largest
        element.
    examples
        On how many drawn operands.
    """

    name: str
    oracle: str
    errors: tuple[float, ...]
    ulps: float
    examples: int


def check_primitive(primitive: Primitive | Operation[...] | str, examples: int = 8, seed: int = 0) -> PrimitiveReport:
    """Check an operation on drawn operands.

    Parameters
    ----------
    primitive
        An operation (such as ``minimeta.sin``), its primitive, or the name of one in the registry.
    examples
        On how many operands.
    seed
        Of the draws.

    Returns
    -------
    PrimitiveReport

    Raises
    ------
    GradientMismatch
        Something that is promised does not hold; ``fault`` says what.
    ConfigurationError
        There is no primitive of this name, or the function has none.
    """
    if isinstance(primitive, str):
        operations.load_pages()
        if primitive not in registry:
            near = difflib.get_close_matches(primitive, registry, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(registry)}"
            raise ConfigurationError(f"check_primitive: {primitive!r} is no primitive; {hint}")
        primitive = registry[primitive]
    if not isinstance(primitive, Primitive):
        if not isinstance(made := getattr(primitive, "primitive", None), Primitive):
            raise ConfigurationError(
                f"check_primitive: {getattr(primitive, '__name__', primitive)!r} has no primitive; it takes operations "
                "made by minimeta.primitive, and check_gradients takes any function"
            )
        primitive = made
    ulps = 0.0
    errors = [0.0, 0.0] if primitive.differentiable else []
    oracle = "none"
    for example in range(examples):
        drawing = Seeded(seed, example)
        operands, params = primitive.sample(drawing)
        for dtype in ("float32", "float64"):
            ulps = max(ulps, check_values(primitive, in_dtype(operands, dtype), params))
        check_layouts(primitive, operands, params, drawing.rng())
        if primitive.differentiable and np.isfinite(apply(primitive, *operands, **params)).all():
            report = check_derivatives(primitive, operands, params)
            check_derivatives(primitive, in_dtype(operands, "float32"), params, order=1)
            oracle = report.oracle
            errors = [max(pair) for pair in zip(errors, (row.error for row in report.orders), strict=True)]
    return PrimitiveReport(primitive.name, oracle, tuple(errors), ulps, examples)


def check_derivatives(primitive: Primitive, operands: Operands, params: dict[str, Any], order: int = 2) -> Report:
    """Check the derivatives of a primitive at some operands; the report."""
    function = of_floats(primitive, operands, params)
    return check_gradients(function, *filter(is_float, operands), order=order, may_be_constant=True)


def of_floats(primitive: Primitive, operands: Operands, params: dict[str, Any]) -> Callable[..., Any]:
    """Return the primitive as a function of its float operands alone."""

    def function(*floats: Any) -> Any:
        remaining = iter(floats)
        return apply(primitive, *(next(remaining) if is_float(x) else x for x in operands), **params)

    function.__name__ = primitive.name
    return function


def in_dtype(operands: Operands, dtype: str) -> Operands:
    """Return the operands, their floats in another dtype."""
    return tuple(x.astype(dtype) if is_float(x) else x for x in operands)


def check_values(primitive: Primitive, operands: Operands, params: dict[str, Any]) -> float:
    """Check a primitive's value, and what it does with memory; its distance from the reference, in ulps."""
    before = [x.copy() for x in operands]
    result = apply(primitive, *operands, **params)
    with np.errstate(all="ignore"):
        expected = np.asarray(primitive.reference(*operands, **params))
    form = primitive.shape(*operands, **params)
    _require(
        primitive,
        "form",
        (result.shape, result.dtype) == (form.shape, form.dtype) == (expected.shape, expected.dtype),
        f"the result is {result.dtype}{list(result.shape)}, the shape rule says {form!r}",
    )
    _require(primitive, "mutation", all(map(same_bits, operands, before)), "an operand was written to")
    shared = any(np.may_share_memory(result, x) for x in operands)
    _require(primitive, "aliasing", not shared, "the result shares memory with an operand")
    if not is_float(result) or result.size == 0:
        _require(primitive, "value", same_bits(result, expected), "the kernel's value is not the reference's")
        return 0.0
    finite = np.isfinite(expected)
    special = same_bits(np.where(finite, 0.0, result), np.where(finite, 0.0, expected))
    _require(primitive, "value", special, "the kernel is NaN or infinite elsewhere than the reference")
    distances = np.abs(result[finite].astype(np.float64) - expected[finite])
    unit = float(np.finfo(result.dtype).eps) * max(1.0, float(np.max(np.abs(expected[finite]), initial=0)))
    ulps = float(np.max(distances, initial=0)) / unit
    _require(primitive, "value", ulps <= _ULPS, f"the kernel is {ulps:.0f} ulps from the reference")
    return ulps


def check_layouts(primitive: Primitive, operands: Operands, params: dict[str, Any], rng: np.random.Generator) -> None:
    """Check that where operands lie in memory changes no bit."""
    plain = apply(primitive, *operands, **params)
    other = apply(primitive, *(laid_out(rng, x) for x in operands), **params)
    _require(primitive, "layout", same_bits(plain, other), "operands that are laid out otherwise give other bits")


def _require(primitive: Primitive, fault: str, holds: bool, message: str) -> None:
    if not holds:
        raise GradientMismatch(f"{primitive.name}: {message}", fault=fault, culprit=primitive.name)
