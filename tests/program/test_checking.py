"""The types of a program: what tracing writes is well typed, and what is not is refused by name."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from drawing import share, spread
from hypothesis import given
from random_programs import programs

import minimeta as mm
from minimeta.autodiff.array import Form
from minimeta.errors import TracingError
from minimeta.program import trace


@share(0.3)
@given(function=programs())
def test_what_is_traced_is_well_typed(function: Any) -> None:
    x = spread(np.random.default_rng(5), (2, 3), "unit")
    for traced in (function, mm.grad(function), mm.grad(lambda x: mm.sum(mm.grad(function)(x) ** 2))):
        trace(traced, x).check()


def test_a_program_that_is_not_well_typed_is_refused() -> None:
    program = trace(lambda x, w: mm.sin(x @ w), np.ones((2, 3)), np.ones((3, 4)))
    product, sine = program.steps
    for changes, message in (
        ({"steps": (sine, product)}, "%2 = sin uses %2, which is not computed yet"),
        ({"steps": (product, sine._replace(operands=(0,)))}, "and not float64"),
        ({"steps": (product._replace(operands=(1, 0)), sine)}, "matmul does not take"),
        ({"steps": (product._replace(results=(Form((2, 4), np.float32),)), sine)}, "and not float32"),
        ({"outputs": (4,)}, "output %4 does not exist"),
    ):
        with pytest.raises(TracingError, match=message):
            dataclasses.replace(program, **changes).check()


def test_the_body_of_a_region_is_checked_too() -> None:
    program = trace(mm.rematerialize(lambda x: mm.sin(x) * 2.0), np.ones(3))
    (region,) = program.steps
    assert region.body is not None
    wrong = dataclasses.replace(region.body, steps=region.body.steps[::-1])
    with pytest.raises(TracingError, match=r"rematerialize does not take .*which is not computed yet"):
        dataclasses.replace(program, steps=(region._replace(body=wrong),)).check()


def test_a_product_of_integers_is_not_well_typed() -> None:
    program = trace(lambda x: x @ x, np.ones((2, 2)))
    whole = Form((2, 2), np.int64)
    wrong = dataclasses.replace(program, operands=(whole,), steps=(program.steps[0]._replace(results=(whole,)),))
    with pytest.raises(TracingError, match="matmul of int64: it needs float32 or float64"):
        wrong.check()
