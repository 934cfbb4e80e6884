"""fused_products: the bits of instructions one by one, whatever factors lie like, and one array in place of three."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from drawing import share
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray

import minimeta as mm
from minimeta.kernels import native
from minimeta.program import PASSES, Traced, optimise, split, trace
from minimeta.program.executor import Executable

ONE_BY_ONE = tuple(name for name in PASSES if name not in ("split", "fuse", "products"))


@pytest.fixture(autouse=True, scope="module")
def _short_products_count_as_long() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(split, "_LONG", 2**12)
        yield


def run(program: Traced, arrays: list[NDArray[Any]], threads: int = 1) -> list[bytes]:
    before = mm.get_num_threads()
    try:
        mm.set_num_threads(threads)
        return [y.tobytes() for y in Executable(program, poison=True).run(arrays)]
    finally:
        mm.set_num_threads(before)


def names(program: Traced) -> list[str]:
    return [step.primitive.name for step in program.steps if not step.primitive.view]


def gate(w: Any, x: Any, v: Any, h: Any, b: Any) -> Any:
    return mm.tanh(w @ x + v @ h + b[:, None])


def gate_arrays(rows: int = 24, columns: int = 505) -> list[NDArray[Any]]:
    rng = np.random.default_rng(0)
    shapes = [(rows, 4), (4, columns), (rows, 20), (20, columns), (rows,)]
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


@st.composite
def sums_of_products(draw: st.DrawFn) -> tuple[Callable[..., Any], list[NDArray[Any]]]:
    """Elementwise functions of one or two products, whose factors are transposed or cut, and of other arrays."""
    rows, columns = draw(st.integers(2, 9)), draw(st.sampled_from([512, 959, 961]))
    terms = [draw(st.integers(1, 128)) for _ in range(2)]
    turned = [draw(st.booleans()) for _ in range(4)]
    is_cut, is_kept, is_product = draw(st.booleans()), draw(st.booleans()), draw(st.booleans())
    dtype = draw(st.sampled_from(["float32", "float64"]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    shapes = [side for k in terms for side in ((rows, k), (k, columns))] + [(rows, columns), (rows, 1), (columns,)]
    arrays = [rng.normal(size=shape).astype(dtype) for shape in shapes]
    arrays[:4] = [np.ascontiguousarray(a.T) if turn else a for a, turn in zip(arrays[:4], turned, strict=True)]

    def function(w: Any, x: Any, v: Any, y: Any, whole: Any, row: Any, column: Any) -> Any:
        w, x, v, y = (a.T if turn else a for a, turn in zip((w, x, v, y), turned, strict=True))
        second = v @ y if is_product else whole * 2.0
        z = mm.tanh(w @ x + second + row) * column
        if is_cut:
            z = mm.where(z > whole, z, -z)[:1]
        return (z, mm.square(z) - 1.0) if is_kept else z

    return function, arrays


@given(sums_of_products())
@share(0.4)
def test_the_bits_are_those_of_single_instructions(drawn: tuple[Callable[..., Any], list[NDArray[Any]]]) -> None:
    function, arrays = drawn
    traced = trace(function, *arrays)
    program = optimise(traced)
    program.check()
    assert "fused_products" in names(program)
    expected = run(optimise(traced, ONE_BY_ONE), arrays)
    assert run(program, arrays) == expected
    assert run(program, arrays, threads=7) == expected


def test_a_sum_of_products_with_a_bias_and_a_function_is_one_step() -> None:
    arrays = gate_arrays()
    program = optimise(trace(gate, *arrays))
    assert names(program) == ["fused_products"]
    w, x, v, h, b = (a.astype(np.float64) for a in arrays)
    (result,) = Executable(program).run(arrays)
    assert_allclose(result, np.tanh(w @ x + v @ h + b[:, None]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("function", "arrays", "because"),
    [
        (lambda w, x: (w @ x, mm.exp(w @ x)), gate_arrays()[2:4], "it is a result"),
        (lambda w, x: mm.sum(mm.exp(w @ x) * (w @ x), 1), gate_arrays()[2:4], "a sum reads what the group computes"),
        (lambda w, x: mm.exp(w @ x), [np.ones((24, 129)), np.ones((129, 505))], "it has many terms"),
        (lambda w, x: mm.exp(w @ x), [np.ones((20, 4)), np.ones((4, 21))], "it is short"),
        (lambda w, x: mm.exp(w @ x), [np.ones((100, 4)), np.ones((4, 20))], "it is narrow"),
        (lambda w, x: mm.exp(w @ x), [np.ones((129, 4)), np.ones((4, 505))], "it has many rows"),
        (lambda w, x: mm.exp(w @ x), [np.ones((1, 4)), np.ones((4, 1001))], "it is a product by a vector"),
        (lambda w, x: mm.exp(w @ x), [np.ones((3, 8, 4)), np.ones((3, 4, 90))], "there are several"),
    ],
)
def test_a_product_stays_by_itself_if(function: Any, arrays: Any, because: str) -> None:
    program = optimise(trace(function, *arrays))
    kept = because == "a sum reads what the group computes"
    assert ("fused_products" in names(program)) == kept, because


def test_tasks_of_a_vmap_and_gradients_have_the_bits_too() -> None:
    arrays = gate_arrays(columns=90)
    stacked = [np.stack([a, a[::-1]]) for a in arrays]
    function = mm.vmap(mm.grad(lambda *a: mm.sum(gate(*a)), argnums=(0, 1, 2, 3, 4)))
    traced = trace(function, *stacked)
    assert run(optimise(traced), stacked, threads=2) == run(optimise(traced, ONE_BY_ONE), stacked)


@pytest.mark.skipif(native is None, reason="there are no kernels")
@pytest.mark.parametrize(
    ("product", "operation", "sums", "problem"),
    [
        ((0, 3, False, False), ("exp", (3,)), (), "a factor is no operand"),
        ((0, 0, False, False), ("exp", (3,)), (), "shapes must be"),
        ((1, 0, False, False), ("exp", (3,)), (), "a product has two long axes"),
        ((0, 0, False, True), ("add", (3, 2)), (), "equal shapes"),
        ((0, 0, False, True), ("add", (3,)), (), "another number of operands"),
        ((0, 0, False, True), ("exp", (3,)), ((3, 1, False, False),), "products come without sums"),
    ],
)
def test_the_kernel_refuses_what_does_not_fit(product: Any, operation: Any, sums: Any, problem: str) -> None:
    assert native
    builder = native.Builder(True, False)
    operands = tuple(builder.add_operand("float32", shape) for shape in [(2, 3), (1, 2), (3, 2)])
    with pytest.raises(ValueError, match=problem):
        builder.add_fused(operands, (operation,), (4,), sums, (), (product,))
