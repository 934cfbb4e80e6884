"""Finished convolutions: the bits of instructions one by one, for images and windows of any small shape, and where they
do not go on.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compiled_functions import bits_of
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import minimeta as mm
from minimeta.autodiff.apply import apply
from minimeta.autodiff.operations.arithmetic import RELU_SLOPE
from minimeta.autodiff.operations.convolution import conv2d_input, conv2d_weight
from minimeta.kernels import built, level, native
from minimeta.program import PASSES, optimise, trace

ONE_BY_ONE = tuple(name for name in PASSES if name not in ("finish", "fuse"))

FORMS = ("conv2d", "conv2d_input", "conv2d_weight")
FINISHES = ("sum", "sums", "slope", "slope of sums", "step")


def convolved(form: str, x: Any, w: Any, g: Any, strides: Any, padding: Any = "SAME") -> Any:
    """The partial contraction of images, windows and what belongs to positions that has none of the first's form."""
    if form == "conv2d":
        return mm.conv2d(x, w, strides, padding)
    if form == "conv2d_input":
        return conv2d_input(g, w, x.shape[1:3], strides, padding)
    return conv2d_weight(x, g, w.shape[:2], strides, padding)


def finished(finish: str, c: Any, z: Any, h: Any, rate: Any) -> Any:
    if finish == "step":
        return z - rate * c
    if "sum" in finish:
        c = z + c
    if "sums" in finish:
        c = c + h
    return apply(RELU_SLOPE, h, c) if "slope" in finish else c


def bits_at_every_level(function: Callable[..., Any], arrays: list[NDArray[Any]], threads: int = 1) -> None:
    traced = trace(function, *arrays)
    program = optimise(traced)
    program.check()
    assert "finished_convolution" in [step.primitive.name for step in program.steps]
    expected = bits_of(optimise(traced, ONE_BY_ONE), arrays)
    assert all(bits_of(program, arrays, threads, each) == expected for each in built() or [level])


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[Callable[..., Any], list[NDArray[Any]]]:
    """Every form and finish; windows that miss pixels, or zeros that no pixel meets; with NaN, infinity and -0."""
    form, finish = draw(st.sampled_from(FORMS)), draw(st.sampled_from(FINISHES))
    sides, taps, strides = (
        draw(st.tuples(st.integers(*ends), st.integers(*ends))) for ends in ((4, 9), (1, 4), (2, 5))
    )
    padding: Any = draw(st.sampled_from(["SAME", "VALID", ((2, 3), (0, 1))]))
    images, few, many = draw(st.integers(1, 4)), draw(st.sampled_from([1, 3, 8])), draw(st.sampled_from([16, 17, 40]))
    i, o = (many, few) if form == "conv2d_input" else (few, many)
    dtype, rng = draw(st.sampled_from(["float32", "float64"])), np.random.default_rng(draw(st.integers(0, 99)))
    x, w = (rng.normal(size=shape).astype(dtype) for shape in ((images, *sides, i), (*taps, i, o)))
    g = rng.normal(size=np.shape(mm.conv2d(x, w, strides, padding))).astype(dtype)
    for array in (x, w, g):
        array.flat[rng.integers(array.size)] = draw(st.sampled_from([1.0, -0.0, np.nan, np.inf]))
    z = rng.normal(size={"conv2d": g, "conv2d_input": x, "conv2d_weight": w}[form].shape).astype(dtype)
    rate = np.asarray(0.3, dtype)

    def function(x: Any, w: Any, g: Any, z: Any, h: Any, rate: Any) -> Any:
        return finished(finish, convolved(form, x, w, g, strides, padding), z, h, rate)

    return function, [x, w, g, z, np.flip(z).copy(), rate]


@given(convolutions())
def test_the_bits_are_those_of_single_instructions(drawn: tuple[Callable[..., Any], list[NDArray[Any]]]) -> None:
    bits_at_every_level(*drawn)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("images", [2, 9])
def test_many_sums_are_finished_in_parts_or_in_memory(form: str, images: int) -> None:
    """Sums of several chains; of nine images, and of 5 x 5 taps, they are more than one group."""
    taps, i, o = (5, 100, 200) if images == 9 else (3, 64, 64)
    rng = np.random.default_rng(0)
    x, w, g = (
        rng.normal(size=shape).astype(np.float32)
        for shape in ((images, 29, 29, i), (taps, taps, i, o), (images, 15, 15, o))
    )
    z = rng.normal(size={"conv2d": g, "conv2d_input": x, "conv2d_weight": w}[form].shape).astype(np.float32)

    def function(x: Any, w: Any, g: Any, z: Any) -> Any:
        return finished("slope of sums", convolved(form, x, w, g, 2), z, z, 1.0)

    bits_at_every_level(function, [x, w, g, z], threads=2)


def images(*shape: int) -> NDArray[Any]:
    return np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)


X, W, Z = images(2, 7, 7, 3), images(3, 3, 3, 16), images(2, 4, 4, 16)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x, w, z: z + mm.conv2d(x, w, 2), ["finished_convolution"]),
        (lambda x, w, z: apply(RELU_SLOPE, z, mm.conv2d(x, w, 2)), ["finished_convolution"]),
        (lambda x, w, z: z - mm.conv2d(x, w, 2) * 0.1, ["finished_convolution"]),
        (
            lambda x, w, z: z + mm.conv2d(x, w, 2) + mm.conv2d(-x, w, 2),
            ["finished_convolution", "negative", "finished_convolution"],
        ),
        (lambda x, w, z: z + mm.conv2d(x, w, (2, 1))[:, :, :4], ["conv2d", "add"]),  # which may go by Winograd's way
        (lambda x, w, z: z[..., :15] + mm.conv2d(x, w[..., :15], 2), ["conv2d", "add"]),  # the vectors are not full
        (lambda x, w, z: mm.conv2d(x, w, 2) + z[0, 0, 0], ["conv2d", "add"]),  # a bias, which repeats
        (lambda x, w, z: (c := mm.conv2d(x, w, 2), z + c), ["conv2d", "add"]),  # it is read elsewhere
        (lambda x, w, z: (c := mm.conv2d(x, w, 2)) + c, ["conv2d", "add"]),
        (lambda x, w, z: mm.conv2d(x, w, 2) - z, ["conv2d", "subtract"]),
        (lambda x, w, z: z - mm.conv2d(x, w, 2) * mm.sin(z), ["conv2d", "fused"]),  # a rate for each element
        (lambda x, w, z: apply(RELU_SLOPE, mm.conv2d(x, w, 2), z), ["conv2d", "relu_slope"]),
    ],
)
def test_a_convolution_goes_on_where_that_saves_a_passage(function: Callable[..., Any], expected: list[str]) -> None:
    program = optimise(trace(function, X, W, Z))
    assert [step.primitive.name for step in program.steps if not step.primitive.view] == expected


@pytest.mark.skipif(native is None, reason="there are no kernels")
@pytest.mark.parametrize(
    ("others", "finish", "problem"),
    [
        (("z", "r"), "add", "number of finishes"),
        (("z",), "step", "number of finishes"),
        ((), "", "number of finishes"),
        (("z",) * 4, "add add add mask", "number of finishes"),
        (("x",), "add", "equal shapes"),
        (("z", "z"), "step", "one number"),
        (("r",), "add", "equal shapes"),
    ],
)
def test_the_kernel_refuses_what_the_pass_never_asks_for(others: tuple[str, ...], finish: str, problem: str) -> None:
    assert native
    builder = native.Builder(True, False)
    shapes = {"x": (2, 4, 4, 3), "w": (2, 2, 3, 16), "z": (2, 2, 2, 16), "r": ()}
    value = {name: builder.add_operand("float32", shape) for name, shape in shapes.items()}
    numbers = tuple(value[name] for name in others)
    parameters = {"strides": (2, 2), "padding": (0, 0, 0, 0)}
    with pytest.raises((ValueError, TypeError), match=problem):
        builder.add_finished_convolution("conv2d", (value["x"], value["w"]), parameters, numbers, tuple(finish.split()))
