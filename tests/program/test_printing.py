"""Programs in C and in JavaScript: they compile without a warning, and compute what the references compute."""

import ctypes
import functools
import itertools
import json
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from traced_functions import TRACED, sinusoid

import minimeta as mm
from minimeta.autodiff.apply import apply
from minimeta.autodiff.primitive import registry
from minimeta.errors import ConfigurationError, TracingError
from minimeta.program import Traced, interpret, trace
from minimeta.program.printing import c_source, javascript_source
from minimeta.program.printing.elementwise import ROWS
from minimeta.program.printing.loops import LOOPS, VIEWS
from minimeta.testing.operands import Seeded

GCC, NODE = shutil.which("gcc"), shutil.which("node")
needs_gcc = pytest.mark.skipif(GCC is None, reason="there is no gcc")
needs_node = pytest.mark.skipif(NODE is None, reason="there is no node")
FLAGS = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-shared", "-fPIC"]

COVERED = sorted(({name for rows in ROWS.values() for name in rows} | LOOPS.keys() | VIEWS.keys()) & registry.keys())

#: Units in the last place by which a result may differ: none but rounding, and what glibc states of its functions.
BASIC = "add subtract multiply divide negative reciprocal square sqrt absolute sign relu relu_slope equal not_equal"
BASIC += (
    " greater greater_equal less less_equal maximum minimum clip where fmod ldexp logical_and logical_or logical_not"
)
EXACT = {name for name, primitive in registry.items() if primitive.exact} - {"pool_put", "scatter_add"}


class Case(NamedTuple):
    """A primitive on operands."""

    name: str
    primitive: str
    program: Traced
    operands: tuple[NDArray[Any], ...]


def case(name: str, primitive: str, operands: Sequence[NDArray[Any]], params: Mapping[str, Any]) -> Case:
    program = trace(lambda *x: apply(registry[primitive], *x, **params), *operands)
    return Case(name, primitive, program, tuple(np.array(x, order="C") for x in operands))


@functools.cache
def cases() -> list[Case]:
    """Samples of every primitive that is covered, in both precisions; integers and truth values where it takes them."""
    found = []
    for name in COVERED:
        for seed in range(2):
            operands, params = registry[name].sample(Seeded(seed))
            for dtype in (np.float64, np.float32):
                narrow = [x.astype(dtype) if x.dtype.kind == "f" else x for x in operands]
                found.append(case(f"{name}_{seed}_{np.dtype(dtype).name}", name, narrow, params))
    return found + [each for dtype in ("int64", "int32", "uint8", "bool") for each in whole_cases(np.dtype(dtype))]


def whole_cases(dtype: np.dtype[Any]) -> list[Case]:
    """Every elementwise primitive that takes integers, or truth values, of a dtype."""
    rng, found = np.random.default_rng(0), []
    x, y = (rng.integers(0, 2 if dtype.kind == "b" else 100, (2, 3)).astype(dtype) for _ in range(2))
    counts = {"clip": 3, "negative": 1, "square": 1, "absolute": 1, "sign": 1, "logical_not": 1}
    for name in sorted(ROWS[dtype.kind].keys() & registry.keys()):
        if dtype.kind in registry[name].accepts:
            operands = [x > y, x, y] if name == "where" else [x, y, x][: counts.get(name, 2)]
            found.append(case(f"{name}_{dtype.name}", name, operands, {}))
    return found


def build(source: str, folder: Path, *flags: str) -> Any:
    """The library that a file of C is compiled to."""
    path = folder / "program.c"
    path.write_text(source)
    assert GCC
    command = [GCC, *FLAGS, *(flags or ["-O1"]), str(path), "-o", str(folder / "program.so"), "-lm"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:3000]
    return ctypes.CDLL(str(folder / "program.so"))


def call(function: Any, program: Traced, operands: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """The results of a compiled program; those of a refused one are an IndexError."""
    forms = program.forms()
    outputs = [np.full(forms[i].shape, 1).astype(forms[i].dtype) for i in program.outputs]
    step = function(*(ctypes.c_void_p(x.ctypes.data) for x in (*operands, *outputs)))
    if step:
        raise IndexError(step)
    return outputs


def run_in_node(source: str, calls: Sequence[tuple[str, Traced, Sequence[NDArray[Any]]]], folder: Path) -> Any:
    """The results of functions of a script, each on operands."""
    kinds = {"bool": "Uint8", "int64": "Float64", "uint64": "Float64"}
    rows = []
    for name, _, operands in calls:
        arrays = [
            f"new {kinds.get(x.dtype.name, x.dtype.name.title())}Array({json.dumps(x.ravel().tolist())})"
            for x in operands
        ]
        rows.append(f"print({name}({', '.join(arrays)}));")
    path = folder / "program.js"
    head = "function print(found) { console.log(JSON.stringify(found.map((y) => Array.from(y, String)))); }\n"
    path.write_text(source + head + "\n".join(rows))
    assert NODE
    done = subprocess.run([NODE, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:3000]
    found = []
    for line, (_, program, _) in zip(done.stdout.splitlines(), calls, strict=True):
        forms = [program.forms()[i] for i in program.outputs]
        numbers = [[float(y.replace("Infinity", "inf")) for y in output] for output in json.loads(line)]
        found.append(
            [np.array(y).astype(form.dtype).reshape(form.shape) for y, form in zip(numbers, forms, strict=True)]
        )
    return found


def error(found: NDArray[Any], expected: NDArray[Any]) -> float:
    """The largest error, in units in the last place of the result, or of 1 where it is smaller."""
    if expected.dtype.kind != "f":
        return 0.0 if np.array_equal(found, expected) else np.inf
    spacing = np.finfo(expected.dtype).eps * np.maximum(np.abs(expected.astype(np.float64)), 1.0)
    with np.errstate(invalid="ignore"):
        difference = np.abs(found.astype(np.float64) - expected.astype(np.float64))
    same = (found == expected) | (np.isnan(found) & np.isnan(expected))
    return float(np.max(np.where(same, 0.0, difference / spacing), initial=0.0))


def bound(primitive: str) -> float:
    """How many units in the last place a result may differ by."""
    if primitive in EXACT:
        return 0.0
    return 1.0 if primitive in BASIC.split() else 4.0 if registry[primitive].elementwise else 8.0


@needs_gcc
def test_every_primitive_in_c_is_its_reference(tmp_path: Path) -> None:
    library = build(c_source({each.name: each.program for each in cases()}), tmp_path)
    for case in cases():
        (found,) = call(getattr(library, case.name), case.program, case.operands)
        expected = np.asarray(interpret(case.program, *case.operands))
        assert error(found, expected) <= bound(case.primitive), case.name


@needs_node
def test_every_primitive_in_javascript_is_its_reference(tmp_path: Path) -> None:
    source = javascript_source({each.name: each.program for each in cases()})
    results = run_in_node(source, [(case.name, case.program, case.operands) for case in cases()], tmp_path)
    for case, (found,) in zip(cases(), results, strict=True):
        expected = np.asarray(interpret(case.program, *case.operands))
        # 1e-12, and of float32 as many units in the last place.
        most = 1e-12 / np.finfo(np.float64).eps if expected.dtype == np.float64 else 64.0
        assert error(found, expected) <= most, case.name


def test_what_has_no_row_is_refused_by_name() -> None:
    refused = [name for name in sorted(registry) if name not in COVERED]
    assert refused
    for name in refused:
        operands, params = registry[name].sample(Seeded(0))
        program = trace(lambda *x, name=name, params=params: apply(registry[name], *x, **params), *operands)
        for write in (program.to_c, program.to_javascript):
            with pytest.raises(TracingError, match=rf"to_\w+: there is no row for {name}"):
                write()


def every_kind(w: Any, x: Any, places: Any) -> Any:
    """Bodies, tasks, rules, indices, views of views, and several results."""
    twice = mm.custom_vjp(mm.sin, lambda g, y, x: (g * mm.cos(x),))

    def of_one(x: Any, w: Any) -> Any:
        return mm.sum(mm.rematerialize(lambda v: mm.tanh(v @ w))(x)), twice(x) * w[:, 0], mm.outer(x, x)

    total, rows, squares = mm.vmap(of_one, (0, None), ("sum", 0, "sum"))(x, w)
    return {
        "total": total,
        "rows": rows[places][:, ::-1],
        "squares": squares.T + 1.0,
        "operand": w,
        "constant": np.ones(2),
    }


@functools.cache
def examples() -> list[tuple[str, Traced, list[NDArray[Any]]]]:
    rng = np.random.default_rng(3)
    found = []
    for count in (1, 5, 16, 37):
        arguments = rng.normal(size=(3, 2)), rng.normal(size=(count, 3)), np.array([0, -1, count - 1])
        found.append((f"tasks_{count}", trace(every_kind, *arguments), list(arguments)))
        slope = mm.grad(lambda w, x, p: mm.sum(every_kind(w, x, p)["rows"]) + every_kind(w, x, p)["total"])
        found.append((f"slope_{count}", trace(slope, *arguments), list(arguments)))
    for i, example in enumerate(TRACED):
        leaves = [np.asarray(x) for x in mm.tree.flatten(example.arguments)[0]]
        found.append((f"whole_{i}", trace(example.function, *example.arguments), leaves))

    def quadratic(w: Any, x: Any) -> Any:
        def loss(w: Any) -> Any:
            return mm.mean(mm.softplus(x @ w) * mm.logsumexp(x, 1)) + mm.norm(w)

        value, gradient = mm.value_and_grad(loss)(w)
        return value, gradient, mm.hvp(loss, (w,), (gradient,))

    arguments2 = rng.normal(size=5), rng.normal(size=(300, 5))
    found.append(("value_gradient_and_product", trace(quadratic, *arguments2), list(arguments2)))
    big = rng.normal(size=(7, 300)), rng.normal(size=(300, 19))
    found.append(("long_chains", trace(lambda x, y: (x @ y, mm.sum(x), mm.sum(x @ y, 0)), *big), list(big)))
    return found


def assert_close(name: str, found: Sequence[NDArray[Any]], program: Traced, operands: Sequence[NDArray[Any]]) -> None:
    expected = mm.tree.flatten(interpret(program, *mm.tree.unflatten(program.arguments, operands)))[0]
    for one, other in zip(found, expected, strict=True):
        size = max(1.0, float(np.max(np.abs(other), initial=0.0)))
        assert np.max(np.abs(one - other), initial=0.0) <= 3000 * np.finfo(other.dtype).eps * size, name


@needs_gcc
def test_whole_programs_run_in_c(tmp_path: Path) -> None:
    library = build(c_source({name: program for name, program, _ in examples()}), tmp_path, "-O0")
    for name, program, operands in examples():
        for _ in range(2):  # Nothing is left behind that changes a second call.
            assert_close(name, call(getattr(library, name), program, operands), program, operands)


@needs_gcc
def test_a_group_puts_into_images_in_c(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minimeta.program.fuse._LONG_IMAGES", 1)
    x, scale = np.random.default_rng(0).normal(size=(5, 8, 8, 3)), np.float64(2)
    gradient = mm.grad(lambda x, s: mm.sum(mm.square(mm.max_pool(mm.sin(x) * s, 2))), (0, 1))
    program = trace(gradient, x, scale)
    library = build(c_source({"gradient": program}), tmp_path, "-O0")
    operands = [x, np.asarray(scale)]
    assert_close("gradient", call(library.gradient, program, operands), program, operands)


@needs_node
def test_whole_programs_run_in_javascript(tmp_path: Path) -> None:
    source = javascript_source({name: program for name, program, _ in examples()})
    for (name, program, operands), found in zip(examples(), run_in_node(source, examples(), tmp_path), strict=True):
        assert_close(name, found, program, operands)


@needs_gcc
def test_the_meta_step_of_the_sinusoid_is_that_of_the_kernels(tmp_path: Path) -> None:
    example = sinusoid(2)
    program = trace(example.function, *example.arguments)
    library = build(program.to_c("meta_step"), tmp_path, "-O1", *(["-mfma"] if "fma" in cpu() else []))
    operands = [np.asarray(x) for x in mm.tree.flatten(example.arguments)[0]]
    expected = mm.tree.flatten(mm.compile(example.function)(*example.arguments))[0]
    for one, other in zip(call(library.meta_step, program, operands), expected, strict=True):
        spacing = np.maximum(np.spacing(np.abs(other)), np.spacing(np.float32(1e-3)))
        assert np.max(np.abs(one - other) / spacing) <= (1.0 if "fma" in cpu() else 300.0)


def cpu() -> str:
    """What the processor can do."""
    path = Path("/proc/cpuinfo")
    return path.read_text() if path.exists() else ""


def whole_programs() -> list[Case]:
    """Functions of integers that overflow between two operations, or have no elements."""
    x, y = np.array([60007, 200, 3], np.int64), np.array([70001, 100, 2], np.int64)
    found = []
    for dtype in ("uint8", "uint16", "uint32", "int8", "int16", "int32"):
        for name, of in {
            "product": lambda x, y: (x * y > y, mm.square(x) > x, x * y * x),
            "sums": lambda x, y: (x + y > x, -x > y, x - y > x),
            "largest": lambda x, y: (mm.max(x), mm.min(y), mm.max(x > y)),
        }.items():
            operands = x.astype(dtype), y.astype(dtype)
            found.append(Case(f"{name}_{dtype}", name, trace(of, *operands), operands))
    of_none = trace(lambda x: (x @ np.zeros((3, 0)), mm.concatenate([np.zeros(0) * mm.sum(x), x])), np.ones(3))
    return [*found, Case("of_none", "none", of_none, (np.ones(3),))]


@needs_gcc
@needs_node
def test_integers_wrap_around_and_arrays_may_be_empty(tmp_path: Path) -> None:
    programs = whole_programs()
    source = javascript_source({each.name: each.program for each in programs})
    in_node = run_in_node(source, [(each.name, each.program, each.operands) for each in programs], tmp_path)
    library = build(c_source({each.name: each.program for each in programs}), tmp_path)
    for each, found in zip(programs, in_node, strict=True):
        expected = interpret(each.program, *each.operands)
        in_c = call(getattr(library, each.name), each.program, each.operands)
        for one, other, wanted in zip(found, in_c, expected, strict=True):
            np.testing.assert_array_equal(one, wanted, each.name)
            np.testing.assert_array_equal(other, wanted, each.name)


@needs_gcc
def test_an_index_out_of_range_ends_the_function(tmp_path: Path) -> None:
    program = trace(lambda x, i: x[i], np.ones(3), np.array([0]))
    library = build(program.to_c(), tmp_path)
    assert call(library.program, program, (np.arange(3.0), np.array([-3])))[0] == [0.0]
    for wrong in (3, -4):
        with pytest.raises(IndexError):
            call(library.program, program, (np.arange(3.0), np.array([wrong])))


def test_the_file_says_what_its_parameters_are() -> None:
    program = trace(lambda w, x: {"loss": mm.sum(w["a"] * x)}, {"a": np.ones(2, np.float32)}, np.ones(2, np.float32))
    for text in (program.to_c("loss"), program.to_javascript("loss")):
        assert re.search(r"x0: w/a, float32\[2\]\n.*x1: x, float32\[2\]\n.*y0: loss, float32\[\]\n", text)
        assert "test_printing.py:" in text  # the user's lines
    for name in ("2x", "a-b", "", "f(){}"):
        with pytest.raises(ConfigurationError, match="no name of a function"):
            program.to_c(name)
    for write, name in itertools.product((program.to_c, program.to_javascript), ("const", "for")):
        with pytest.raises(ConfigurationError, match=f"'{name}' has a meaning"):
            write(name)
    named = trace(lambda p: p["*/ a\nb"], {"*/ a\nb": np.ones(2)})
    assert "x0: p/ * / a?b, float64[2]" in named.to_c()
    assert "x0: p/ * / a?b, float64[2]" in named.to_javascript()


@needs_gcc
def test_names_of_the_library_are_refused_by_name() -> None:
    """The oracle is what the compiler's own headers declare and define."""

    def preprocessed(headers: str, dialect: str, flag: str) -> str:
        source = "".join(f"#include <{name}.h>\n" for name in headers.split())
        command = [str(GCC), f"-std={dialect}", "-E", flag, "-x", "c", "-"]
        return subprocess.run(command, input=source, capture_output=True, text=True, check=True).stdout

    own, every = "math stdint", "assert complex ctype errno fenv inttypes locale math setjmp signal stdarg stdint stdio"
    every += " stdlib string time wchar wctype"
    texts = preprocessed(own, "gnu17", "-P"), preprocessed(every, "c99", "-P")
    declared = {name for text in texts for name in re.findall(r"\b([a-z]\w*) *\(", text)}
    defined = {name for name in re.findall(r"#define (\w+)", preprocessed(own, "gnu17", "-dM")) if name[0] != "_"}
    types = set(re.findall(r"typedef [^;]*?\b(\w+);", preprocessed(own, "gnu17", "-P")))
    assert {"printf", "y1", "sinl"} <= declared and {"NAN", "UINT8_MAX"} <= defined and "float_t" in types
    program = trace(mm.max, np.ones(2))
    for name in declared | defined | {name for name in types if name[0] != "_"} | {"max_float64", "FMA_double"}:
        with pytest.raises(ConfigurationError, match=f"'{name}' has a meaning in the language or its library"):
            program.to_c(name)
    for name in ("loss", "total", "memory", "string", "is_small", "max_loss", "LOSS", "print"):
        assert f"\nint {name}(" in program.to_c(name)
