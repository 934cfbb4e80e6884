"""finish: the bits of instructions one by one, for layers and steps of any shape, and where they do not go on."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compiled_functions import bits_of
from drawing import share
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import minimeta as mm
from minimeta.autodiff.apply import apply
from minimeta.autodiff.operations.arithmetic import RELU_SLOPE
from minimeta.kernels import built, level, native
from minimeta.program import PASSES, optimise, trace
from minimeta.program.executor import Executable

ONE_BY_ONE = tuple(name for name in PASSES if name not in ("finish", "fuse"))


def names(function: Callable[..., Any], *arguments: Any) -> list[str]:
    program = optimise(trace(function, *arguments))
    return [step.primitive.name for step in program.steps if not step.primitive.view]


def whole(*shape: int) -> NDArray[Any]:
    return np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)


@st.composite
def layers_and_steps(draw: st.DrawFn) -> tuple[Callable[..., Any], list[NDArray[Any]]]:
    """A layer read once or twice, a step in place or not, sums, or the way back through a relu with the gradient of a
    bias, of factors that lie in any way; with NaN and -0 there.
    """
    rows, columns, terms = (draw(st.sampled_from(sides)) for sides in ((2, 5, 96, 130), (16, 17, 67), (1, 7, 128, 300)))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    dtype = draw(st.sampled_from(["float32", "float64"]))
    turned = draw(st.tuples(st.booleans(), st.booleans()))
    shapes = [(rows, terms), (terms, columns), draw(st.sampled_from([(rows, columns), (columns,), (rows, 1), ()]))]
    x, y, z = (rng.normal(size=shape).astype(dtype) for shape in shapes)
    special = draw(st.sampled_from([0.0, -0.0, np.nan, np.inf]))
    x.flat[draw(st.integers(0, x.size - 1))] = special
    y.flat[draw(st.integers(0, y.size - 1))] = special
    rate = np.asarray(draw(st.sampled_from([0.01, -3.0, 0.0])), dtype)
    kind = draw(st.integers(0, 9))
    keepdims = draw(st.booleans())

    def function(x: Any, y: Any, z: Any, rate: Any) -> Any:
        c = (x.T if turned[0] else x) @ (y.T if turned[1] else y)
        if kind == 0:
            return mm.relu(z + c)
        if kind == 1:
            layer = c + z
            return mm.tanh(layer), mm.square(layer)
        if kind == 2:
            return z - rate * c
        if kind == 3:
            return mm.exp(z) - c * 0.02  # in place of the exponential
        if kind < 6:
            return mm.relu(c + c) if kind == 4 else (c, c + z)
        if kind == 6:
            return (mm.relu if keepdims else mm.negative)(
                z + (c + mm.sin(x.T if turned[0] else x) @ mm.sin(y.T if turned[1] else y))
            )
        h = mm.relu(mm.sin(c - 1.0))
        for term in (h, z)[: kind - 7]:
            c = term + c
        d = apply(RELU_SLOPE, h, c)
        return d @ d.T, mm.sum(d, 0, keepdims=keepdims)

    return function, [x.T if turned[0] else x, y.T if turned[1] else y, z, rate]


@given(layers_and_steps())
@share(0.5)
def test_the_bits_are_those_of_single_instructions(drawn: tuple[Callable[..., Any], list[NDArray[Any]]]) -> None:
    function, arrays = drawn
    arrays = [np.ascontiguousarray(x) if x.ndim else x for x in arrays]
    traced = trace(function, *arrays)
    program = optimise(traced)
    program.check()
    expected = bits_of(optimise(traced, ONE_BY_ONE), arrays)
    assert all(bits_of(program, arrays, level=each) == expected for each in built() or [level])


def slope(h: Any, cotangent: Any) -> Any:
    return apply(RELU_SLOPE, *mm.broadcast_arrays(h, cotangent))


X, Y, B, Z = whole(10, 64), whole(64, 40), whole(40), whole(10, 40)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x, y, b, z: mm.relu(b + x @ y), ["finished_product"]),
        (lambda x, y, b, z: z - 0.1 * (x @ y), ["finished_product"]),
        (lambda x, y, b, z: z - (x @ y) * mm.sum(b), ["sum", "finished_product"]),
        (lambda x, y, b, z: mm.tanh(x @ y + b), ["matmul", "fused"]),  # a group that runs anyway
        (lambda x, y, b, z: z - mm.square(z) * (x @ y), ["matmul", "fused"]),  # a rate for each element
        (lambda x, y, b, z: 0.1 * (x @ y) - z, ["matmul", "fused"]),
        (lambda x, y, b, z: z.T @ slope(z, x @ y), ["finished_product", "matmul"]),
        (lambda x, y, b, z: z.T @ slope(z, b + (z + x @ y)), ["finished_product", "matmul"]),
        (lambda x, y, b, z: z.T @ slope(z, z + (b + (z + x @ y))), ["matmul", "fused", "matmul"]),  # too many
        (lambda x, y, b, z: slope(z, x @ y), ["matmul", "relu_slope"]),  # which no product reads
        (lambda x, y, b, z: z.T @ slope(x @ y, z), ["matmul", "relu_slope", "matmul"]),
        (lambda x, y, b, z: mm.tanh(b + (x @ y + x @ mm.sin(y))), ["sin", "matmul", "finished_product", "fused"]),
        (lambda x, y, b, z: (x @ y + z[:, :1]) + mm.relu(x @ y + z[:, :1]), ["matmul", "fused"]),
        (lambda x, y, b, z: mm.relu(x @ y[:, :15] + b[:15]), ["matmul", "fused"]),  # the vectors are not full
        (lambda x, y, b, z: mm.relu(x @ y[:, :1] + b[:1]), ["matmul", "fused"]),
        (lambda x, y, b, z: mm.relu(mm.stack([x] * 2) @ mm.stack([y] * 2) + b), None),
    ],
)
def test_a_product_goes_on_where_that_saves_an_instruction(function: Callable[..., Any], expected: Any) -> None:
    found = names(function, X, Y, B, Z)
    assert found == expected if expected else "finished_product" not in found


@pytest.mark.parametrize("rows", [97, 192, 401])
def test_a_sum_of_long_products_is_made_in_place(rows: int) -> None:
    def function(x: Any, u: Any, y: Any, v: Any) -> Any:
        return mm.tanh(x @ y + u @ v)

    arrays = [whole(rows, 100), whole(3, rows, 7)[1], whole(100, 100), whole(7, 100)]
    program = optimise(traced := trace(function, *arrays))
    assert names(function, *arrays) == ["matmul", "finished_product", "tanh"]
    if native:
        assert Executable(program).arena_bytes < 2 * rows * 100 * 4  # one array, to whole cache lines
    assert bits_of(program, arrays) == bits_of(optimise(traced, ONE_BY_ONE), arrays)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: mm.exp(x @ y) + mm.sin(x) @ y,  # which is a group
        lambda x, y: x @ y + np.ones((200, 64), np.float32),
        lambda x, y: mm.relu(x[:1] @ y + y[0]),  # a vector's product, in an order of its own
        lambda x, y: x[:, :15] @ y[:15, :15] + mm.sin(x)[:, :15] @ y[:15, :15],
    ],
)
def test_long_products_go_on_with_nothing_else(function: Callable[..., Any]) -> None:
    assert "finished_product" not in names(function, whole(200, 64), whole(64, 64))


@pytest.mark.parametrize("shape", [(97, 129, 16), (90, 140, 500), (2, 2048, 1027), (520, 40, 40)])
@pytest.mark.parametrize("threads", [1, 3])
def test_large_products_go_on_wherever_threads_cut_them(shape: tuple[int, int, int], threads: int) -> None:
    """Also in the last columns of a thread or of a block, which are fewer than a vector has."""
    rows, terms, columns = shape

    def step(w: Any, x: Any, b: Any, g: Any) -> Any:
        layer = mm.relu(x @ w + b)
        back = slope(x, g @ w.T)
        return layer, back @ back.T, mm.sum(back, 0), w - 0.5 * (x.T @ g)

    arrays = [whole(terms, columns), whole(1, rows, terms)[0], whole(columns), whole(rows, columns)]
    traced = trace(step, *arrays)
    assert names(step, *arrays).count("finished_product") == 3
    assert bits_of(optimise(traced), arrays, threads) == bits_of(optimise(traced, ONE_BY_ONE), arrays)


def test_a_product_of_many_groups_of_terms_does_not_go_on() -> None:
    assert names(lambda x, y, b: mm.relu(x @ y + b), whole(2, 2049), whole(2049, 16), whole(16)) == ["matmul", "fused"]


def test_a_step_is_taken_in_place() -> None:
    def descend(w: Any, x: Any) -> Any:
        for _ in range(4):
            w = w - 0.1 * (x.T @ mm.tanh(x @ w))
        return w

    traced = trace(descend, Y, X)
    program = optimise(traced)
    if native:
        assert Executable(program).arena_bytes <= Y.nbytes + 2 * Z.nbytes  # weights, and a layer before and after tanh
    assert bits_of(program, [Y, X]) == bits_of(optimise(traced, ONE_BY_ONE), [Y, X])


@pytest.mark.skipif(native is None, reason="there are no kernels")
@pytest.mark.parametrize(
    ("factors", "others", "finish", "problem"),
    [
        (("x", "y"), ("z", "r"), "add", "number of operands"),
        (("x", "y"), ("z",), "step", "number of operands"),
        (("x", "y"), (), "", "number of finishes"),
        (("x", "y"), ("z",) * 4, "add add add mask", "number of finishes"),
        (("x", "y"), ("z", "z", "r"), "add step", "number of finishes"),
        (("y", "x"), ("z",), "add", "shapes must be"),
        (("x", "y"), ("x",), "relu", "equal shapes"),
        (("x", "y"), ("z", "z"), "step", "one number"),
        (("x", "column"), ("thin",), "add", "contiguous rows"),
        (("long", "tall"), ("z",), "add", "not small"),
        (("batch", "batch"), ("batch",), "add", "contiguous rows"),
        (("many", "y"), ("many_z",), "add", "one block"),
    ],
)
def test_the_kernel_refuses_what_the_pass_never_asks_for(
    factors: tuple[str, str], others: tuple[str, ...], finish: str, problem: str
) -> None:
    assert native
    builder = native.Builder(True, False)
    shapes = {"x": (10, 64), "y": (64, 40), "z": (10, 40), "r": (), "column": (64, 1), "thin": (10, 1)}
    shapes |= {"long": (10, 2049), "tall": (2049, 40), "batch": (2, 3, 3), "many": (97, 64), "many_z": (97, 40)}
    value = {name: builder.add_operand("float32", shape) for name, shape in shapes.items()}
    numbers = tuple(value[name] for name in others)
    with pytest.raises((ValueError, TypeError), match=problem):
        builder.add_finished_product(
            (value[factors[0]], value[factors[1]]), False, False, numbers, tuple(finish.split()), True, False
        )
