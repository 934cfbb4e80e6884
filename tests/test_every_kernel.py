"""Every function of the extension gives the same bits for all layouts, threads and levels, and keeps to its bounds."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from drawing import share
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from native_calls import CALLS
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from minimeta import kernels

Array = NDArray[Any]

FLOATS = ("float32", "float64")
OTHERS = {"set_num_threads", "get_num_threads", "round_trip", "multiply_adds", "Builder", "Call", "Operation"}
OTHERS |= {"Program", "FAR_BYTES", "FUSED_BLOCK", "FUSED_VALUES", "FUSED_WIDTH", "MOST_SIDE", "kept_bytes"}

every_function = pytest.mark.parametrize("name", CALLS)
seeds = st.integers(0, 2**32 - 1)
shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5) | st.sampled_from([(40, 9), (3, 70), (1100,)])


def assert_same_bits(result: Any, expected: Any) -> None:
    result, expected = np.asarray(result), np.asarray(expected)
    assert (result.shape, result.dtype) == (expected.shape, expected.dtype)
    assert result.tobytes() == expected.tobytes()


def outcome(function: Callable[..., Any], operands: Sequence[Array], arguments: dict[str, Any]) -> Any:
    """The result; of a matrix that repeated rows made singular, what is said of it."""
    try:
        return function(*operands, **arguments)
    except np.linalg.LinAlgError as error:
        return str(error)


def test_the_table_has_every_function(native: Any) -> None:
    assert {name for name in dir(native) if not name.startswith("_")} == set(CALLS) | OTHERS


def place(size: int, step: int) -> tuple[int, slice]:
    """The length of an axis of memory, and which part of it ``size`` elements in steps take: never the ends."""
    if size == 0 or step == 0:
        return 3, slice(1, 1 + min(size, 1))
    span = abs(step) * (size - 1)
    return span + 3, slice(1, span + 2, step) if step > 0 else slice(span + 1, 0, step)


@st.composite
def surrounded(draw: st.DrawFn, x: Array) -> tuple[Array, Array]:
    """An operand like x, laid out in some way, and the memory that it lies in: else all ones, that is NaN, -1, true.

    Axes are permuted, reversed, stepped and (where the step is 0) repeated; the stride of an axis of size 0 or 1 says
    nothing and may be anything.
    """
    axes = draw(st.permutations(range(x.ndim)))
    steps = [draw(st.sampled_from([1, 1, 1, 2, 3, -1, -2, 0])) for _ in axes]
    places = [place(x.shape[axis], step) for axis, step in zip(axes, steps, strict=True)]
    memory = np.full([length for length, _ in places] + [x.itemsize], 0xFF, np.uint8).view(x.dtype)[..., 0]
    keys: tuple[Any, ...] = tuple(key for _, key in places)
    part = memory[(*keys, ...)].transpose(np.argsort(axes))
    part[...] = x[tuple(slice(size) for size in part.shape)]
    operand = np.broadcast_to(part, x.shape)
    if draw(st.booleans()):
        huge = draw(st.sampled_from([2**62, -(2**62)]))
        strides = [huge if size < 2 else stride for size, stride in zip(x.shape, operand.strides, strict=True)]
        operand = as_strided(operand, x.shape, strides, writeable=draw(st.booleans()))
    return operand, memory


@every_function
@share(0.25)
@given(shape=shapes, dtype=st.sampled_from(FLOATS), seed=seeds, data=st.data())
def test_a_layout_changes_no_bit_and_nothing_around_it_is_read_or_written(
    native: Any, name: str, shape: tuple[int, ...], dtype: str, seed: int, data: st.DataObject
) -> None:
    operands, arguments = CALLS[name](np.random.default_rng(seed), shape, dtype)
    placed = [data.draw(surrounded(x)) for x in operands]
    before = [memory.tobytes() for _, memory in placed]
    result = outcome(getattr(native, name), [x for x, _ in placed], arguments)
    assert_same_bits(result, outcome(getattr(native, name), [x.copy() for x, _ in placed], arguments))
    assert [memory.tobytes() for _, memory in placed] == before


class Subclass(NDArray[Any]):
    """An array like any other."""


@every_function
def test_a_subclass_is_an_array(native: Any, name: str) -> None:
    operands, arguments = CALLS[name](np.random.default_rng(0), (3, 4), "float32")
    result = getattr(native, name)(*(x.view(Subclass) for x in operands), **arguments)
    assert type(result) is np.ndarray
    assert_same_bits(result, getattr(native, name)(*operands, **arguments))


def misaligned(x: Array) -> Array:
    memory = np.zeros(x.nbytes + 1, np.uint8)
    result = memory[1:].view(x.dtype).reshape(x.shape)
    result[...] = x
    return result


REFUSED: dict[str, Callable[[Array], Any]] = {
    "must be a numpy array, not list": lambda x: x.tolist(),
    "must be a numpy array, not numpy.(float|int|uint|bool)": lambda x: x.flat[0],
    "must be aligned": misaligned,
    "must have the native byte order": lambda x: x.astype(x.dtype.newbyteorder()),
    "has a dtype no kernel knows: object": lambda x: x.astype(object),
    "has a dtype no kernel knows: .*'x'": lambda x: x.astype([("x", x.dtype)]),
    "has a dtype no kernel knows: float16": lambda x: x.astype("float16"),
    "has a dtype no kernel knows: complex128": lambda x: x.astype("complex128"),
    "has a dtype no kernel knows: complex64": lambda x: x.astype("complex64"),
    "has a dtype no kernel knows: <U": lambda x: x.astype(str),
    "has a dtype no kernel knows: datetime64": lambda x: x.astype("int64").astype("M8[s]"),
}


@every_function
@pytest.mark.parametrize("problem", REFUSED)
def test_what_no_kernel_reads_is_refused(native: Any, name: str, problem: str) -> None:
    operands, arguments = CALLS[name](np.random.default_rng(1), (2, 3), "float64")
    for i, operand in enumerate(operands):
        if operand.itemsize == 1 and ("aligned" in problem or "order" in problem):
            continue  # one byte has neither
        bad = [*operands[:i], REFUSED[problem](operand), *operands[i + 1 :]]
        with pytest.raises(TypeError, match=f"^{name}: .* {problem}"):
            getattr(native, name)(*bad, **arguments)


@pytest.fixture
def threads(native: Any) -> Iterator[Callable[[int], None]]:
    """Return a function that sets the number of threads for one test."""
    before = native.get_num_threads()
    yield native.set_num_threads
    native.set_num_threads(before)


#: Shapes large enough to be shared between threads; others than the usual for what is slower or faster.
LARGE = {"matmul": [(300, 400), (3, 100, 130), (1, 5000), (2000, 3)]}


@every_function
@pytest.mark.parametrize("dtype", FLOATS)
def test_the_number_of_threads_changes_no_bit(
    native: Any, threads: Callable[[int], None], name: str, dtype: str
) -> None:
    for shape in LARGE.get(name, [(520, 401), (3, 70, 1000)]):
        operands, arguments = CALLS[name](np.random.default_rng(2), shape, dtype)
        for laid_out in (operands, [np.asfortranarray(x) for x in operands]):
            results = []
            for count in (1, 2, 7):
                threads(count)
                results.append(getattr(native, name)(*laid_out, **arguments))
            assert_same_bits(results[1], results[0])
            assert_same_bits(results[2], results[0])


def wild(rng: np.random.Generator, x: Array) -> Array:
    """Random bits: floats of all sizes, infinities, NaN."""
    if x.dtype.kind != "f":
        return x
    return np.asarray(rng.integers(0, 256, (*x.shape, x.itemsize), np.uint8)).view(x.dtype)[..., 0]


@pytest.mark.skipif(not {"v3", "v4"} <= set(kernels.built()), reason="one level alone was built")
@given(shape=shapes, dtype=st.sampled_from(FLOATS), seed=seeds, wildly=st.booleans())
def test_levels_give_the_same_bits(shape: tuple[int, ...], dtype: str, seed: int, wildly: bool) -> None:
    rng = np.random.default_rng(seed)
    for name, draw in CALLS.items():
        operands, arguments = draw(rng, shape, dtype)
        if wildly:
            operands = tuple(wild(rng, x) for x in operands)
        v3, v4 = (outcome(getattr(kernels.load(level), name), operands, arguments) for level in ("v3", "v4"))
        # All NaN are one: which of two operands' NaN an addition hands on, the language leaves open.
        assert_same_bits(
            *(np.where(np.isnan(y), np.nan, y) if np.asarray(y).dtype.kind == "f" else y for y in (v3, v4))
        )


def test_sizes_that_no_memory_holds(native: Any) -> None:
    none = np.zeros((0, 2**59))
    assert native.add(none, none).shape == none.shape
    assert native.transpose(none, axes=(1, 0)).shape == (2**59, 0)
    assert native.reshape(none, shape=(2**57, 3, 0)).shape == (2**57, 3, 0)
    assert native.matmul(np.zeros((0, 0)), none).shape == (0, 2**59)
    exceeding: list[Callable[[], Any]] = [
        lambda: native.sum(none, axes=(0,), keepdims=False),
        lambda: native.norm(none, axes=(0,), keepdims=False),
        lambda: native.matmul(np.zeros((2**29, 0)), np.zeros((0, 2**29))),
        lambda: native.scatter_add(np.zeros((0, 4)), np.zeros(0, np.int64), shape=(2**57, 4)),
    ]
    for call in exceeding:
        with pytest.raises(MemoryError):
            call()
    overflowing: list[Callable[[], Any]] = [
        lambda: native.concatenate(none, none, axis=1),
        lambda: native.matmul(np.zeros((2**40, 0)), np.zeros((0, 2**40))),
        lambda: native.gather(none, np.zeros((16, 0), np.int64)),
        lambda: native.scatter_add(np.zeros((0, 4)), np.zeros(0, np.int64), shape=(2**61, 4)),
        lambda: native.pad(none, shape=(0, 2**60), starts=(0, 0), steps=(1, 1)),
    ]
    for call in overflowing:
        with pytest.raises(ValueError, match="too large"):
            call()


def test_few_elements_of_a_huge_view(native: Any) -> None:
    view = native.broadcast_to(np.ones(1), shape=(2**59,))
    assert native.gather(view, np.array([2**59 - 1, -(2**59)])).tolist() == [1, 1]
    assert native.slice(view, starts=(2**59 - 1,), sizes=(2,), steps=(1 - 2**59,)).tolist() == [1, 1]
    with pytest.raises(IndexError, match="index 576460752303423488"):
        native.gather(view, np.array([2**59]))
    with pytest.raises(MemoryError):
        native.copy(view)
    with pytest.raises(ValueError, match="too large"):
        native.broadcast_to(view, shape=(2, 2**59, 2))
