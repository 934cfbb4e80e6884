"""In-place operators beside what was taken of an array before: numpy's copies keep, and its views are refused.

Each expression is taken of ``y``, and then ``y`` is changed, or what was taken. The oracle is numpy: what it computes,
and whether the two share memory.
"""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import minimeta as mm
from minimeta.errors import TracingError

COPIES = (
    "{}[0, 1] | {}[0][1] | {}[[0, 1]] | {}[np.argmax({}.real[:, 0]), np.argmax({}.real[0])] | np.take({}, 1, axis=0)"
    " | {}.take(np.argmax({}.real[0]), axis=1) | +{} | np.positive({}) | np.conj({}) | {} + 0 | 0 + {} | {} - 0"
    " | {} ** 1 | {} * 1 | {}.flatten() | np.repeat({}, 1, axis=1) | np.repeat({}[:, :1], 2, axis=1) | {}.repeat(2)"
    " | np.tile({}, 1) | np.tile({}[:1, :1], 3) | np.roll({}, 0) | np.roll({}, 3, axis=0) | {}.astype({}.dtype)"
    " | {}.real + 1j * {}.imag | {}.real + 1.0 | np.copy({})[0] | {}.mean() | np.stack([{}, {}])[0]"
)
VIEWS = (
    "{} | {}[0] | {}[:1] | {}[0, ...] | {}[0, 1, ...] | {}[np.argmax({}.real[:, 0])] | {}.real | {}[0].real | {}.T"
    " | {}[0][np.argmax({}.real[0]), ...] | np.squeeze({}[:1, :1]) | {}[:1, :1].reshape(()) | np.squeeze({}[0][:1])"
    " | {}.reshape(-1) | {}.ravel()[1:] | np.einsum('ii->i', {}) | np.einsum('ij->ji', {}) | np.diagonal({})"
    " | {}.astype({}.dtype, copy=False) | np.rot90({}, 0) | np.broadcast_to({}, (2, 3, 3))"
)
REAL_COPIES = (
    " | np.array({}) | np.array([{}])[0] | np.round({}, 1) | np.trunc({}) | np.copysign({}, {}) | np.sort({})"
    " | np.fmax({}, {}) | np.partition({}, 1) | np.full((3, 3), {}) | {}[np.array(1)] | {}.flat[:]"
    " | np.reshape({}, -1, copy=True) | np.meshgrid({}[0], {}[0])[1] | np.meshgrid({}[0], sparse=True)[0]"
)
REAL_VIEWS = (
    " | {}.conj() | np.astype({}, {}.dtype, copy=False) | np.lib.stride_tricks.sliding_window_view({}, 2, axis=1)"
    " | np.lib.stride_tricks.sliding_window_view({}[0], 3) | np.meshgrid({}[0], copy=False)[0]"
)
COMPLEX_COPIES = " | {}.conj() | {}.imag + {}.real"
COMPLEX_VIEWS = " | {}.imag | {}.imag[0] | {}[::-1].real"

X = np.array([[3.0, 1.0, 2.0], [5.0, 8.0, 4.0], [9.0, 7.0, 6.5]])


def parts(result: Any) -> tuple[Any, ...]:
    """Return the real numbers that a result is made of."""
    return tuple(part + 0.0 for value in result for part in (value.real, value.imag))


@pytest.mark.parametrize("factor", [2.0, 2.0j])
@pytest.mark.parametrize("changed", ["y", "taken"])
def test_copies_keep_and_views_are_refused(changed: str, factor: complex) -> None:
    own = (COPIES + REAL_COPIES, VIEWS + REAL_VIEWS) if np.isrealobj(factor) else ()
    for expressions, shared in zip(own or (COPIES + COMPLEX_COPIES, VIEWS + COMPLEX_VIEWS), (False, True), strict=True):
        for expression in expressions.split(" | "):
            place: dict[str, Any] = {"np": np}
            source = f"def function(y):\n taken = {expression.replace('{}', 'y')}\n {changed} *= 2.0\n return y, taken"
            exec(source, place)

            def through(x: Any, function: Any = place["function"]) -> Any:
                result = function(x * factor)
                return parts(result) if np.iscomplexobj(factor) else tuple(np.multiply(each, 1.0) for each in result)

            memory = X * factor
            taken = eval(expression.replace("{}", "memory"), {"np": np, "memory": memory})
            assert np.shares_memory(taken, memory) == shared, expression
            runs: list[Any] = [lambda f: mm.vjp(f, X)[0], lambda f: mm.compile(f)(X)]
            for run in runs:
                if shared:
                    with pytest.raises((TracingError, ValueError)) as caught:
                        run(through)
                    assert "in numpy; here nothing is ever written to" in str(caught.value), expression
                else:
                    for found, expected in zip(run(through), through(X), strict=True):
                        assert_allclose(found, expected, rtol=1e-12, err_msg=expression)


def test_an_operand_of_the_statement_is_read_before_the_array_changes() -> None:
    def function(x: Any) -> Any:
        z = x * (2.0 + 1.0j)
        z += z[0]
        z -= z[:, :1]
        z *= z.T
        z /= z.real + 3.0
        z += np.conj(z)[::-1]
        z *= z[0, 1]
        z -= z.imag
        element = z[2, 1]
        z -= element
        return parts([z, element])

    for found in (mm.vjp(function, X)[0], mm.compile(function)(X)):
        for mine, numpys in zip(found, function(X), strict=True):
            assert_allclose(mine, numpys, rtol=1e-12, atol=1e-12)


def test_nan_to_num_is_not_asked_to_change_its_argument() -> None:
    with pytest.raises(TracingError, match=r"copy=False\): an Array is never written to"):
        mm.grad(lambda x: np.sum(np.nan_to_num(x, copy=False)))(X)


def test_a_complex_result_goes_where_the_value_was() -> None:
    class Kept:
        value: Any = None

    def function(x: Any) -> Any:
        Kept.value = x * 1j
        kept = Kept()
        kept.value *= 2.0  # numpy changes what the class holds.
        return np.sum(Kept.value.imag)

    with pytest.raises(TracingError, match=r"z \*= ... of complex numbers"):
        mm.grad(function)(X)


def test_parts_of_numbers_of_the_users_are_its_own() -> None:
    numbers = X * 1j

    def function(x: Any) -> Any:
        z = x + numbers
        numbers.imag[...] = 0.0
        return np.sum(z.imag * x)

    np.testing.assert_array_equal(mm.grad(function)(X), X)
