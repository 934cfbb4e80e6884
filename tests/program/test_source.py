"""A program as Python: what is written runs with numpy alone and computes what the references compute."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from drawing import samples, share, spread
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from random_programs import programs
from traced_functions import TRACED, Example

import minimeta as mm
from minimeta.autodiff.array import Form
from minimeta.autodiff.primitive import Primitive, registry
from minimeta.autodiff.steps import Program, Step
from minimeta.errors import ShapeError, TracingError
from minimeta.program import Traced, interpret, optimise, trace

Function = Callable[..., Any]


def written(program: Traced) -> Function:
    """The function that a program's source defines."""
    namespace: dict[str, Any] = {}
    exec(program.to_python(), namespace)
    function: Function = namespace["program"]
    return function


def of_one_step(primitive: Primitive, operands: Any, params: dict[str, Any]) -> Traced:
    forms = tuple(Form(x.shape, x.dtype) for x in operands)
    step = Step(primitive, tuple(range(len(operands))), params, (primitive.shape(*forms, **params),))
    structure = mm.tree.flatten(tuple(operands))[1]
    return Traced.of(Program(forms, (), (step,), (len(operands),)), structure, mm.tree.flatten([0.0])[1])


@pytest.mark.parametrize("name", sorted(registry))
@share(0.1)
@given(data=st.data())
def test_each_primitive_is_its_reference(name: str, data: st.DataObject) -> None:
    operands, params = data.draw(samples(registry[name]))
    program = of_one_step(registry[name], operands, params)
    program.check()
    (found,), (expected,) = written(program)(*operands), interpret(program, *operands)
    assert np.dtype(found.dtype) == expected.dtype
    assert np.shape(found) == expected.shape
    assert_array_equal(found, expected)


@share(0.2)
@given(function=programs())
def test_random_programs_run_as_source(function: Function) -> None:
    x = spread(np.random.default_rng(5), (2, 3), "unit")
    for traced in (function, mm.grad(function)):
        program = trace(traced, x)
        assert_array_equal(written(program)(x)[0], interpret(program, x))


@pytest.mark.parametrize("traced", TRACED, ids=lambda traced: traced.name)
def test_whole_meta_gradients_run_as_source(traced: Example) -> None:
    program = trace(traced.function, *traced.arguments)
    expected = mm.tree.flatten(interpret(program, *traced.arguments))[0]
    found = written(program)(*mm.tree.flatten(traced.arguments)[0])
    for one, other in zip(found, expected, strict=True):
        assert_array_equal(one, other)


def test_a_vmap_of_no_tasks_runs_as_source() -> None:
    function = mm.vmap(lambda x, w: (mm.sin(x), x @ w), (0, None), (0, "sum"))
    arguments = np.zeros((0, 3)), np.zeros((3, 2), np.float32)
    for found, expected in zip(written(trace(function, *arguments))(*arguments), function(*arguments), strict=True):
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        assert_array_equal(found, expected)


@pytest.mark.parametrize("count", range(1, 41))
def test_the_sums_of_a_vmap_are_grouped_as_they_are_where_they_run(count: int) -> None:
    x = spread(np.random.default_rng(count), (count, 3), "real").astype(np.float32)
    weight = np.float32(0.3)
    f = mm.vmap(lambda x, w: (mm.sum(x * x) * w, x * w), (0, None), "sum")
    program = trace(f, x, weight)
    total, vector = written(program)(x, weight)
    of_references = interpret(program, x, weight)
    assert_array_equal(total, of_references[0])
    assert_array_equal(vector, of_references[1])
    assert_array_equal(vector, f(x, weight)[1])  # No kernel but the sum over tasks is in it.
    assert vector.dtype == total.dtype == np.float32


def test_calls_of_numpys_functions_run_as_source() -> None:
    inverse = mm.custom_vjp(np.linalg.inv, lambda g, y, x: (-(y.T @ g @ y.T),))
    logarithm = mm.custom_vjp(np.linalg.slogdet, lambda g, y, x: (g[1] * inverse(x).T,))
    x = np.stack([np.diag([1.0, 2.0]) + 0.1, np.diag([3.0, 5.0]) - 0.2])
    for f in (lambda x: inverse(x) @ x, lambda x: logarithm(x).logabsdet, mm.grad(lambda x: mm.sum(inverse(x)))):
        program = trace(mm.vmap(f), x)
        assert_array_equal(written(program)(x)[0], interpret(program, x))
    own = mm.custom_vjp(lambda x: np.linalg.inv(x), lambda g, y, x: (g,), on_values=True)  # noqa: PLW0108
    with pytest.raises(TracingError, match="is called on values, and is not a function of numpy's"):
        trace(own, x[0]).to_python()


def test_lines_name_where_they_come_from() -> None:
    def function(x: Any) -> Any:
        return mm.sum(mm.sin(x))

    line = f"  # {__file__}:{function.__code__.co_firstlineno + 1}, in function\n"
    assert f"v1 = np.sin(x0){line}" in trace(function, np.ones(3)).to_python()
    fused = optimise(trace(lambda x: mm.exp(mm.sin(x)), np.ones(3))).to_python()
    assert "v1 = np.sin(x0)  # " in fused
    assert ", = program_fused_1(x0)\n" in fused  # Its instructions say which lines they are of.


def test_constants_are_read_back_to_the_bit() -> None:
    tables = [
        np.array([[0.1, -0.0, np.inf], [np.nan, 1e-310, -np.inf]]),
        np.array([1 / 3, 1e-40], np.float32),
        np.full((2, 2), -0.0),
        np.full(3, np.nan),
        np.zeros((0, 2)),
        np.array(7),
        np.array([True, False]),
    ]
    found = written(trace(lambda x: tables, 1.0))(1.0)
    for one, other in zip(found, tables, strict=True):
        assert (one.shape, one.dtype, one.tobytes()) == (other.shape, other.dtype, other.tobytes())


def test_a_reference_whose_source_is_unknown_is_named() -> None:
    namespace: dict[str, Any] = {"np": np, "table": {}}
    exec("def reference(x):\n    return np.sin(x)\n", namespace)
    primitive = dataclasses.replace(registry["sin"], name="unheard_of", reference=namespace["reference"])
    with pytest.raises(TracingError, match="the source of reference, by which unheard_of is computed"):
        of_one_step(primitive, (np.ones(2),), {}).to_python()


def test_a_reference_that_uses_what_cannot_be_written_is_named() -> None:
    table = {1: 2}

    def reference(x: Any) -> Any:
        return x * table[1]

    primitive = dataclasses.replace(registry["sin"], name="scaled", reference=reference)
    with pytest.raises(TracingError, match=r"scaled uses \{1: 2\}, which has no expression"):
        of_one_step(primitive, (np.ones(2),), {}).to_python()


def test_references_are_written_with_the_modules_and_functions_they_use() -> None:
    factor, kind = 3.0, np.float32

    def helper(x: Any, power: int = 2) -> Any:
        """A docstring is left out."""
        if len(x.shape) > 64:
            raise ShapeError("too many axes")
        return kind(math.pi) * x**power

    def reference(*operands: Any, scale: float) -> Any:
        total = sum(helper(x) for x in operands)
        return total * factor * scale

    primitive = dataclasses.replace(registry["concatenate"], reference=reference, shape=lambda x, y, scale: Form.of(x))
    x, y = np.arange(3.0), np.ones(3)
    program = of_one_step(primitive, (x, y), {"scale": 0.5})
    text = program.to_python()
    assert "import math\n" in text
    assert "raise ValueError('too many axes')" in text
    assert "docstring" not in text
    assert_array_equal(written(program)(x, y)[0], reference(x, y, scale=0.5), strict=True)
