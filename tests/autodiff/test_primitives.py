"""Every registered primitive, checked because it is registered.

The oracles: the numpy reference for values, and for derivatives of first and second order those of
``minimeta.testing``.
"""

from typing import Any

import numpy as np
import pytest
from drawing import layouts, samples, share
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

import minimeta as mm
from minimeta.autodiff.apply import apply
from minimeta.autodiff.array import Array, Form
from minimeta.autodiff.primitive import Primitive, registry
from minimeta.program import interpret, trace
from minimeta.testing import check_primitive
from minimeta.testing.operands import Seeded
from minimeta.testing.primitives import check_derivatives, in_dtype

Floats = NDArray[Any]


EVERY = list(registry.values())


DIFFERENTIABLE = [primitive for primitive in EVERY if primitive.differentiable]


PRODUCTS = ("matmul", "conv2d", "conv2d_input", "conv2d_weight")
TRANSFORMS = ("fourier", "of_real", "to_real")  # Where an infinity of theirs is a NaN is left open.


SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-40, 1e30])


every = pytest.mark.parametrize("primitive", EVERY, ids=str)


every_differentiable = pytest.mark.parametrize("primitive", DIFFERENTIABLE, ids=str)


def is_float(x: Floats) -> bool:
    return x.dtype.kind == "f"


def reference(primitive: Primitive, *operands: Any, **params: Any) -> Floats:
    with np.errstate(all="ignore"):
        return np.asarray(primitive.reference(*operands, **params))


# Values


@every
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@share(0.1)
@given(data=st.data())
def test_kernel_equals_the_reference(primitive: Primitive, dtype: str, data: st.DataObject) -> None:
    operands, params = data.draw(samples(primitive))
    operands = in_dtype(operands, dtype)
    form = primitive.shape(*operands, **params)
    expected = reference(primitive, *operands, **params)
    actual = primitive.kernel(*operands, **params)
    assert (actual.shape, actual.dtype) == (form.shape, form.dtype) == (expected.shape, expected.dtype)
    tolerance = 64 * float(np.finfo(dtype).eps)
    assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("primitive", [p for p in EVERY if not p.partial], ids=str)
@share(0.1)
@given(data=st.data())
def test_kernel_equals_the_reference_at_special_values(primitive: Primitive, data: st.DataObject) -> None:
    operands, params = data.draw(samples(primitive))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    transforms = primitive.name in TRANSFORMS
    special = [value for value in SPECIAL if np.isfinite(value)] if transforms else SPECIAL
    operands = tuple(
        np.where(rng.random(x.shape) < 0.5, rng.choice(special, x.shape), x) if is_float(x) else x for x in operands
    )
    scale: Any = 1.0
    if primitive.name in PRODUCTS:
        # Terms of 1e30 may cancel, and a sum is as exact as its terms are large.
        magnitude = reference(primitive, *map(np.abs, operands), **params)
        scale = 1.0 + np.where(np.isfinite(magnitude), magnitude, 0.0)
    if transforms:
        scale = 1.0 + sum(np.sum(np.abs(x)) for x in operands)
    expected = reference(primitive, *operands, **params)
    assert_allclose(primitive.kernel(*operands, **params) / scale, expected / scale, rtol=1e-13, atol=1e-13)


@every
@share(0.1)
@given(data=st.data())
def test_abstract_evaluation_gives_shape_and_dtype(primitive: Primitive, data: st.DataObject) -> None:
    operands, params = data.draw(samples(primitive))
    forms = tuple(Form(x.shape, x.dtype) for x in operands)
    program = trace(lambda *xs: apply(primitive, *xs, **params), *forms)
    expected = reference(primitive, *operands, **params)
    found = program.steps[-1].form
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    assert_array_equal(interpret(program, *operands), expected)


@every
@share(0.1)
@given(data=st.data())
def test_numpy_in_and_numpy_out(primitive: Primitive, data: st.DataObject) -> None:
    operands, params = data.draw(samples(primitive))
    before = [x.tobytes() for x in operands]
    result = apply(primitive, *operands, **params)
    assert type(result) is np.ndarray
    assert result.flags.writeable and result.flags.c_contiguous and result.flags.aligned
    assert not any(np.may_share_memory(result, x) for x in operands)
    assert [x.tobytes() for x in operands] == before
    result[...] = 0
    assert [x.tobytes() for x in operands] == before


@pytest.mark.parametrize("primitive", [p for p in EVERY if not p.partial], ids=str)  # Repeated rows are singular.
@share(0.1)
@given(data=st.data())
def test_bits_do_not_depend_on_the_memory_layout(primitive: Primitive, data: st.DataObject) -> None:
    operands, params = data.draw(samples(primitive))
    pairs = [data.draw(layouts(x)) for x in operands]
    plain = apply(primitive, *(x for x, _ in pairs), **params)
    other = apply(primitive, *(x for _, x in pairs), **params)
    assert (other.shape, other.dtype) == (plain.shape, plain.dtype)
    assert other.tobytes() == plain.tobytes()
    assert other.flags.writeable and other.flags.c_contiguous
    for before, after in pairs:
        assert_array_equal(before, after)


@pytest.mark.parametrize("primitive", [p for p in DIFFERENTIABLE if p.elementwise and not p.partial], ids=str)
def test_a_single_element_has_its_bits_in_reverse(primitive: Primitive) -> None:
    operands, params = primitive.sample(Seeded(0))
    for x in np.linspace(1.01, 1.99, 50, dtype=np.float32):
        single = [np.full(2, x, np.float32 if is_float(each) else each.dtype)[:1] for each in operands]
        plain = apply(primitive, *single, **params)
        assert apply(primitive, *(each[::-1] for each in single), **params).tobytes() == plain.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "primitive",
    [p for p in DIFFERENTIABLE if p.elementwise and p.name not in ("where", "relu_slope", "power", "ldexp")],
    ids=str,
)
def test_nan_stays_where_it_is(primitive: Primitive, dtype: str) -> None:
    for place in range(len(primitive.rules)):  # type: ignore[arg-type]
        operands = [np.full(9, 1.5 if primitive.name == "arccosh" else 0.5, dtype) for _ in primitive.rules]  # type: ignore[union-attr]
        operands[place][4] = np.nan
        assert_array_equal(np.isnan(apply(primitive, *operands)), np.arange(9) == 4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "name", ["sum", "mean", "max", "min", "variance", "norm", "logsumexp", "softmax", "log_softmax"]
)
def test_nan_spreads_over_its_own_reduction(name: str, dtype: str) -> None:
    x = np.linspace(-1, 1, 12, dtype=dtype).reshape(3, 4)
    x[1, 2] = np.nan
    result = np.isnan(getattr(mm, {"variance": "var"}.get(name, name))(x, axis=1))
    expected = np.array([False, True, False])
    assert_array_equal(result, expected if result.ndim == 1 else np.broadcast_to(expected[:, None], (3, 4)))


# Derivatives


@every
def test_everything_that_is_promised(primitive: Primitive) -> None:
    report = check_primitive(primitive, examples=2)
    assert report.oracle == ("complex step" if primitive.differentiable else "none")


class _Smallest(Seeded):
    """Draws sides of 1, and as many axes as are asked for: what is linear in one element, and in more is not."""

    def integer(self, low: int, high: int) -> int:
        return min(max(1, low), high)

    def shape(self, low: int = 0, high: int = 3) -> tuple[int, ...]:
        return (1,) * max(1, low)


@pytest.mark.parametrize("primitive", [p for p in DIFFERENTIABLE if not p.elementwise], ids=str)
def test_derivatives_where_all_sides_are_1(primitive: Primitive) -> None:
    check_derivatives(primitive, *primitive.sample(_Smallest(0)))


@every_differentiable
@share(0.03)
@given(data=st.data())
def test_derivatives_of_both_orders(primitive: Primitive, data: st.DataObject) -> None:
    operands, params = data.draw(samples(primitive))
    assume(np.isfinite(reference(primitive, *operands, **params)).all())
    check_derivatives(primitive, operands, params)


@pytest.mark.parametrize("primitive", [p for p in EVERY if not p.differentiable], ids=str)
@share(0.1)
@given(data=st.data())
def test_a_result_without_derivative_is_a_constant(primitive: Primitive, data: st.DataObject) -> None:
    operands, params = data.draw(samples(primitive))
    seen: list[Array] = []

    def function(x: Any) -> Any:
        # Each operand depends on x: floats through a product, truth values and integers through a comparison.
        moved = [x * v if is_float(v) else v * mm.greater(x, 0.0) for v in operands]
        seen.append(apply(primitive, *moved, **params))
        return x

    mm.grad(function)(1.0)
    (result,) = seen
    assert isinstance(result, Array)
    assert result.transformation is None and not result.inputs
    assert_array_equal(result.value, reference(primitive, *operands, **params))


# The registry


def test_clip_is_among_the_primitives_and_needs_no_bounds() -> None:
    assert_array_equal(mm.clip(1.5), 1.5)
    assert registry["clip"] in DIFFERENTIABLE


def test_a_name_is_registered_once() -> None:
    from minimeta.autodiff.primitive import register  # noqa: PLC0415

    with pytest.raises(ValueError, match="'add' is registered already"):
        register("add", shape=None, reference=None, rules=(), sample=None, kernel=None)
