"""Elementwise functions: ``y[i] = f(x[i], ...)`` for every index ``i``.

The Jacobian of such a function is diagonal, so the cotangent of each operand is the result's
cotangent ``g`` times ``df/dx``, element by element: the pages
:mod:`~minimeta.autodiff.operations.arithmetic`, ``transcendental`` and ``logic`` are tables of
functions and derivatives. Operands are promoted to one dtype by numpy's rules (Python scalars
adapt) and broadcast to one shape by explicit ``broadcast_to`` primitives, whose own derivative is
the sum over the broadcast axes; no rule needs to think of shapes.

All functions take arrays of any shape and return an array of the broadcast shape; they raise a
ShapeError where shapes do not broadcast. Integers and truth values compute by numpy's rules, wrap
around, and have no derivative; where numpy would make float16 of them, or has no result, there is a
DtypeError. Where a function has a kink or a pole, its docstring says which value the derivative is
given.

This page declares such functions: a decorator for one operand, one for two, one for comparisons.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from minimeta.autodiff.array import Form
from minimeta.autodiff.definition import Binary, Operation, Unary, operation
from minimeta.autodiff.primitive import Domain, Draw, Rule, Sample


def same_form(*operands: Any) -> Form:
    """Return the form of a result of the operands' shape and dtype."""
    return Form(operands[0].shape, operands[-1].dtype)


def truth_values(*operands: Any) -> Form:
    """Return the form of a result of the operands' shape that says whether something holds."""
    return Form(operands[0].shape, np.bool_)


def one_each(y: Any, *operands: Any, **params: Any) -> int:
    """Count one floating-point operation for each element of the result."""
    return math.prod(y.shape)


def draw(*domains: Domain) -> Sample:
    """Sample one array for each domain, all of one shape; "bool" is truth values, "whole" and "exponent" integers."""

    def sample(draw: Draw) -> tuple[tuple[NDArray[Any], ...], dict[str, Any]]:
        shape = draw.shape()
        draws: dict[Domain, Callable[[], NDArray[Any]]] = {
            "bool": lambda: draw.booleans(shape),
            "whole": lambda: draw.indices(shape, 100),
            "exponent": lambda: draw.indices(shape, 5),
        }
        return tuple(draws.get(domain, lambda domain=domain: draw.array(shape, domain))() for domain in domains), {}

    return sample


def elementwise(
    rules: tuple[Rule | None, ...], domains: tuple[Domain, ...], **facts: Any
) -> Callable[[Callable[..., Any]], Operation[...]]:
    """Declare an elementwise operation: rules for its operands, domains to sample them from, and further facts."""
    return operation(
        **{"shape": same_form, "flops": one_each, "scalar": True, **facts},
        rules=rules,
        sample=draw(*domains),
        elementwise=True,
    )


def unary(rule: Rule | None, domain: Domain = "real", **facts: Any) -> Callable[[Callable[[Any], Any]], Unary]:
    """Declare a function of one operand; one without a rule is a constant to every derivative."""
    rules = () if rule is None else (rule,)
    return cast("Callable[[Callable[[Any], Any]], Unary]", elementwise(rules, (domain,), **facts))


def binary(
    *rules: Rule | None, domains: tuple[str, str] = ("real", "real"), **facts: Any
) -> Callable[[Callable[[Any, Any], Any]], Binary]:
    """Declare a function of two operands, with a rule for each; one without rules is a constant to every derivative."""
    return cast("Callable[[Callable[[Any, Any], Any]], Binary]", elementwise(rules, domains, **facts))


#: What truth values are to powers and remainders (:attr:`Primitive.promotes`).
TRUTHS_AS_INT8 = {"b": "int8"}
