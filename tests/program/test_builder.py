"""What the extension is handed a program by, step for step: it refuses what the executor never asks for."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from minimeta.kernels import native

pytestmark = pytest.mark.skipif(native is None, reason="there are no kernels")


@pytest.mark.parametrize(
    ("name", "operands", "parameters", "problem"),
    [
        ("nothing", (0,), {}, "no kernel named nothing"),
        ("add", (0,), {}, "add of 1 operands"),
        ("gather", (), {}, "gather of 0 operands"),
        ("sum", (0,), {"keepdims": True}, "axes is missing"),
        ("sin", (7,), {}, "range"),
    ],
)
def test_a_step_is_checked_when_it_is_added(name: str, operands: Any, parameters: Any, problem: str) -> None:
    assert native
    builder = native.Builder(True, False)
    builder.add_operand("float64", (2, 3))
    with pytest.raises((ValueError, TypeError, IndexError), match=problem):
        builder.add_step(name, operands, parameters)


@pytest.mark.parametrize("name", ["operand", "view", "part", "output"])
def test_only_results_with_memory_of_their_own_become_parts_or_outputs(name: str) -> None:
    assert native
    builder = native.Builder(True, False)
    x = builder.add_operand("float64", (2, 3))
    (y,), (part,) = (builder.add_step("sin", (x,), {}) for _ in range(2))
    (view,) = builder.add_step("transpose", (y,), {"axes": (1, 0)})
    builder.concatenate_in_place((part,), 0)
    value = {"operand": x, "view": view, "part": part, "output": y}[name]
    others = (y,) if name == "output" else ()
    with pytest.raises(ValueError, match="concatenate_in_place: parts must be results of steps"):
        builder.concatenate_in_place((*others, value), 0)
    assert builder.own((*others, value)) != (*others, value)
    with pytest.raises(ValueError, match="no memory of its own"):
        builder.build((*others, value))


def test_a_result_of_another_shape_is_an_output_without_a_copy() -> None:
    assert native
    builder = native.Builder(True, False)
    (y,) = builder.add_step("sin", (builder.add_operand("float64", (2, 3)),), {})
    (z,) = builder.add_step("reshape", (y,), {"shape": (6,)})
    assert builder.own((z,)) == (z,)
    both = builder.own((y, z))  # in one memory
    assert both[0] == y and both[1] != z
    x = np.linspace(0, 1, 6).reshape(2, 3)
    found = builder.build(both).run([x])
    assert [each.shape for each in found] == [(2, 3), (6,)]
    assert_array_equal(found[0].ravel(), found[1])


def test_steps_of_one_kind_share_a_kernel_only_where_their_operands_have_one_form() -> None:
    assert native
    builder = native.Builder(True, False)
    x, y = (builder.add_operand(dtype, (2, 3)) for dtype in ("float64", "float32"))
    (turned,) = builder.add_step("transpose", (x,), {"axes": (1, 0)})
    sums = [(x, 0, False), (x, 0, False), (x, 1, False), (x, 0, True), (turned, 0, False), (y, 0, False)]
    results = [builder.add_step("sum", (z,), {"axes": (axis,), "keepdims": kept})[0] for z, axis, kept in sums]
    numbers = np.arange(6.0).reshape(2, 3)
    found = builder.build(builder.own(tuple(results))).run([numbers, numbers.astype(np.float32)])
    values = {x: numbers, turned: numbers.T, y: numbers.astype(np.float32)}
    for sum_, (z, axis, kept) in zip(found, sums, strict=True):
        assert_array_equal(sum_, values[z].sum(axis, keepdims=kept), strict=True)


def test_no_result_lies_where_an_operand_is_that_a_group_sums() -> None:
    """The terms of a block are added after its results are written."""
    assert native
    x = np.ones((2**14, 256), np.float32)  # 16 MiB: no cache holds it
    builder = native.Builder(True, False)
    (opposite,) = builder.add_step("negative", (builder.add_operand("float32", x.shape),), {})
    square, total = builder.add_fused((opposite,), (("square", (0,)),), (1,), ((0, 1, False, False),))
    (largest,) = builder.add_step("max", (square,), {"axes": (0, 1), "keepdims": False})
    found = builder.build((largest, total)).run([x])
    assert found[0] == 1.0
    assert_array_equal(found[1], np.full(256, -(2.0**14)))
