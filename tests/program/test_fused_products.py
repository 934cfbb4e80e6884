"""fused_products: the bits of instructions one by one, whatever factors lie like, and arrays that are not written."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from compiled_functions import bits_of
from drawing import share
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

import minimeta as mm
from minimeta.kernels import built, native
from minimeta.program import PASSES, Traced, fused_products, optimise, split, trace
from minimeta.program.executor import Executable

ONE_BY_ONE = tuple(name for name in PASSES if name not in ("split", "fuse", "products"))


@pytest.fixture(autouse=True, scope="module")
def _short_products_count_as_long() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(split, "_LONG", 2**12)
        patch.setattr(fused_products, "_MANY", 2**9)
        yield


def names(program: Traced) -> list[str]:
    return [step.primitive.name for step in program.steps if not step.primitive.view]


def whole(rows: int, columns: int, dtype: str = "float32", seed: int = 0) -> NDArray[Any]:
    return np.random.default_rng(seed).normal(size=(rows, columns)).astype(dtype)


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
    expected = bits_of(optimise(traced, ONE_BY_ONE), arrays)
    assert bits_of(program, arrays) == expected
    assert bits_of(program, arrays, threads=7) == expected


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
    assert bits_of(optimise(traced), stacked, threads=2) == bits_of(optimise(traced, ONE_BY_ONE), stacked)


@st.composite
def sums_over_columns(draw: st.DrawFn) -> tuple[Callable[..., Any], list[NDArray[Any]]]:
    """What reads the results of elementwise functions: products, contractions and sums, of one or of several joined."""
    rows = draw(st.integers(2, 9))
    columns = draw(st.sampled_from([512, 1025, 2048, 2049, 4100, 7 * 2048 + 1537]))  # one piece, several, with a rest
    parts, sides = draw(st.integers(1, 3)), [draw(st.integers(2, 24)) for _ in range(3)]
    dtype = draw(st.sampled_from(["float32", "float64"]))
    is_product, is_turned, is_kept = (draw(st.booleans()) for _ in range(3))
    wanted = draw(st.lists(st.sampled_from(["later", "one", "two", "sum", "column"]), min_size=1, unique=True))
    shapes = [(rows, 3), (3, columns), (rows, columns), (sides[0], parts * rows), *((n, columns) for n in sides[1:])]
    arrays = [whole(*shape, dtype, seed) for seed, shape in enumerate(shapes)]
    if is_turned:
        arrays[4] = np.ascontiguousarray(arrays[4].T)

    def function(w: Any, x: Any, v: Any, m: Any, y: Any, z: Any) -> Any:
        u = mm.tanh(w @ x + v if is_product else v * 2.0)
        found = [u * (k + 1.0) for k in range(parts)]
        all_ = np.concatenate(found)
        results = {
            "later": lambda: m @ all_,
            "one": lambda: all_ @ (y if is_turned else y.T),
            "two": lambda: all_ @ z.T,
            "sum": lambda: mm.sum(all_, 1),
            "column": lambda: mm.sum(all_, 1, keepdims=True),
        }
        return [results[name]() for name in wanted] + [found[0] - 1.0] * is_kept

    return function, arrays


@given(sums_over_columns())
@share(0.4)
def test_what_reads_the_results_has_the_bits_too(drawn: tuple[Callable[..., Any], list[NDArray[Any]]]) -> None:
    function, arrays = drawn
    traced = trace(function, *arrays)
    program = optimise(traced)
    program.check()
    expected = bits_of(optimise(traced, ONE_BY_ONE), arrays)
    assert bits_of(program, arrays) == expected
    assert bits_of(program, arrays, threads=3) == expected
    for level in built():
        assert [y.tobytes() for y in Executable(program, level=level).run(arrays)] == expected


def joined_gradients(w: Any, x: Any, m: Any, y: Any) -> Any:
    """As in the backward pass of a cell: what only one matrix holds, and what is computed with it."""
    u = w @ x
    both = np.concatenate([mm.tanh(u), mm.exp(u)])
    return m @ both, both @ y.T, both @ x.T, mm.sum(both, 1)


def joined_arrays(columns: int = 600) -> list[NDArray[Any]]:
    return [whole(8, 4), whole(4, columns, seed=1), whole(5, 16, seed=2), whole(6, columns, seed=3)]


def test_one_value_has_several_sums() -> None:
    def function(w: Any, x: Any) -> Any:
        u = mm.tanh(x)
        return mm.sum(u, 1), mm.sum(u, 1, keepdims=True), w @ u

    w, x = whole(9, 4, "float64", 0), whole(4, 2**14, "float64", 1)
    compiled = mm.compile(function)
    for scale in (1.0, 2.0):  # The memory of one run's results holds those of another.
        flat, column, _ = compiled(w, scale * x)
        assert_allclose(flat, np.tanh(scale * x).sum(1), rtol=1e-12, atol=1e-12)
        assert_array_equal(column[:, 0], flat)


def test_a_matrix_that_only_products_and_sums_read_is_not_written() -> None:
    arrays = joined_arrays()
    program = optimise(trace(joined_gradients, *arrays))
    assert names(program) == ["fused_products"]
    (step,) = (step for step in program.steps if step.primitive.name == "fused_products")
    assert [form.shape for form in step.results] == [(5, 600), (16, 6), (16, 4), (16,)]
    w, x, m, y = (a.astype(np.float64) for a in arrays)
    both = np.concatenate([np.tanh(w @ x), np.exp(w @ x)])
    expected = m @ both, both @ y.T, both @ x.T, both.sum(1)
    for found, wanted in zip(Executable(program).run(arrays), expected, strict=True):
        assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("function", "inside", "because"),
    [
        (lambda u, m, y: (u, u @ y.T), ["matmul", "exp", "matmul"], "a result is read as well"),
        (
            lambda u, m, y: (u, mm.exp(m[:, 8:] @ u)),
            ["matmul", "exp", "matmul", "exp"],
            "its reader computes a product",
        ),
        (
            lambda u, m, y: mm.exp(m @ np.concatenate([u, u + 1.0])),
            ["matmul", "exp", "add", "concatenate", "matmul"],
            "a product is shorter than what is not written for it",
        ),
        (lambda u, m, y: u @ mm.square(y * mm.sum(u)).T, None, "its other factor is computed later"),
        (lambda u, m, y: np.concatenate([u, y]) @ y.T, None, "a part is none of its results"),
        (lambda u, m, y: [(both := np.concatenate([u, u + 1.0])), both @ y.T], None, "what is joined is a result"),
        (lambda u, m, y: y @ u.T, None, "it is the right factor"),
        (lambda u, m, y: u @ y[:1].T, None, "it is a product by a vector"),
        (lambda u, m, y: mm.sum(u, 0), None, "the sum is over rows"),
    ],
)
def test_only_what_can_be_computed_block_by_block_is(function: Any, inside: Any, because: str) -> None:
    arrays = joined_arrays()
    traced = trace(lambda w, x, m, y: function(mm.exp(w @ x), m, y), *arrays)
    program = optimise(traced)
    bodies = [step.body for step in program.steps if step.primitive.name == "fused_products" and step.body]
    found = [step.primitive.name for body in bodies for step in body.steps]
    assert (found == inside) if inside else (found.count("matmul") <= 1 and "sum" not in found), because
    assert bits_of(program, arrays) == bits_of(optimise(traced, ONE_BY_ONE), arrays)


@pytest.mark.skipif(native is None, reason="there are no kernels")
@pytest.mark.parametrize(
    ("kinds", "problem"),
    [
        ({"products": ((0, 4, False, False),)}, "a factor is no operand"),
        ({"products": ((0, 0, False, False),)}, "shapes must be"),
        ({"products": ((1, 0, False, False),)}, "a product has two long axes"),
        ({"products": ((0, 0, False, True),), "operations": (("add", (4, 2)),)}, "equal shapes"),
        ({"operations": (("add", (3,)),)}, "another number of operands"),
        ({"operations": (("sum", (3,)),)}, "sum is not elementwise"),
        ({"operations": ()}, "at least one operation"),
        ({"joined": ((0, 4),)}, "a part is no result of an operation"),
        ({"joined": ((4, 4),), "values": ()}, "a joined value has parts that are no results"),
        ({"joined": ((4,),), "values": (4,)}, "a joined value has parts that are no results"),
        ({"later": ((3, 0, False, False),)}, "has an operand on its left"),
        ({"later": ((0, 4, False, True),)}, "has an operand on its left"),
        ({"contractions": ((0, 3, False, True),)}, "a contraction has what is computed on its left"),
        ({"contractions": ((4, 3, True, False),)}, "a contraction has what is computed on its left"),
        ({"contractions": ((4, 2, False, False),)}, "shapes must be"),
        ({"sums": ((0, False),)}, "a sum is of what is computed"),
    ],
)
def test_the_kernel_refuses_what_does_not_fit(kinds: dict[str, Any], problem: str) -> None:
    assert native
    builder = native.Builder(True, False)
    operands = tuple(builder.add_operand("float32", shape) for shape in [(2, 3), (1, 2), (3, 2), (2, 2)])
    empty = dict.fromkeys(("products", "joined", "later", "contractions", "sums"), ())
    given = {**empty, "operations": (("exp", (3,)),), "values": (), **kinds}
    with pytest.raises(ValueError, match=problem):
        builder.add_fused_products(operands, **given)
