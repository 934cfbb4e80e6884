"""Operations of a user: one that numpy computes, elementwise or not, and one that is composed of others."""

import doctest
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import minimeta as mm
import minimeta.learners.lstm
from minimeta.autodiff.primitive import Draw, registry
from minimeta.autodiff.protocols import ANSWERS
from minimeta.errors import ConfigurationError, ShapeError, TracingError
from minimeta.kernels import native
from minimeta.program import trace
from minimeta.testing import check_gradients, check_primitive


def same_form(x: Any, axis: int) -> mm.Form:
    if not 0 <= axis < len(x.shape):
        raise ShapeError(f"sum_up_to_each of shape {x.shape}: there is no axis {axis}")
    return mm.Form(x.shape, x.dtype)


def draw_one(draw: Draw) -> Any:
    shape = draw.shape(1)
    return (draw.array(shape),), {"axis": draw.integer(0, len(shape) - 1)}


def sums_from_the_end(g: Any, y: Any, x: Any, axis: int) -> Any:
    return mm.flip(sum_up_to_each(mm.flip(g, axis), axis=axis), axis)


#: The library answers for these, too: it steps aside for the tests below alone.
THEIRS = {function: ANSWERS.pop(function) for function in (np.cumsum, np.sinh, np.cosh)}


# A numpy kernel: everything there is to know stands above its specification.
@mm.primitive(
    rules=(sums_from_the_end,),
    shape=same_form,
    sample=draw_one,
    answers=np.cumsum,
)
def sum_up_to_each(x: Any, *, axis: int = 0) -> Any:
    """Return the sums of the elements up to each."""
    return np.cumsum(x, axis)


def slope_of_sinh(g: Any, y: Any, x: Any) -> Any:
    return g * hyperbolic_cosine(x)


@mm.primitive(rules=(slope_of_sinh,), elementwise=True, answers=np.sinh)
def hyperbolic_sine(x: Any) -> Any:
    """Return the hyperbolic sine."""
    return np.sinh(x)


@mm.primitive(rules=(lambda g, y, x: g * hyperbolic_sine(x),), elementwise=True, answers=np.cosh)
def hyperbolic_cosine(x: Any) -> Any:
    """Return the hyperbolic cosine."""
    return np.cosh(x)


@mm.primitive(
    rules=lambda g, z, x, y: [mm.matmul(g, mm.transpose(y)), mm.matmul(mm.transpose(x), g)],
    shape=lambda x, y: mm.Form((x.shape[0], y.shape[1]), x.dtype),
)
def product(x: Any, y: Any) -> Any:
    """Return the product of two matrices: one function has the cotangents of both."""
    return np.einsum("ij,jk->ik", x, y)


@mm.primitive(rules=(), shape=lambda x: mm.Form(x.shape[:-1], np.int64))
def nearest(x: Any) -> Any:
    """Return where the smallest element is, a constant to every derivative."""
    return np.argmin(np.real(x), axis=-1)


# One that is composed of others is a function.
def logit(x: Any) -> Any:
    return mm.log(x) - mm.log1p(-x)


OWN = {function: ANSWERS.pop(function) for function in THEIRS}
ANSWERS.update(THEIRS)


@pytest.fixture(autouse=True)
def answered(monkeypatch: pytest.MonkeyPatch) -> None:
    for function, operation in OWN.items():
        monkeypatch.setitem(ANSWERS, function, operation)


X = np.array([[0.2, 0.5, -0.4], [0.3, 0.1, 0.6]])


def function(x: Any) -> Any:
    y = np.cumsum(x, axis=1) * np.sinh(x) + mm.sigmoid(hyperbolic_cosine(sum_up_to_each(x)))
    return mm.sum(product(y, mm.transpose(x))) + mm.sum(logit(mm.sigmoid(x)) ** 2)


def in_numpy(x: Any) -> Any:
    y = np.cumsum(x, 1) * np.sinh(x) + 1 / (1 + np.exp(-np.cosh(np.cumsum(x, 0))))
    return np.sum(y @ x.T) + np.sum(x**2)


def test_eagerly_it_is_numpy() -> None:
    for operation, reference in ((hyperbolic_sine, np.sinh), (sum_up_to_each, lambda x: np.cumsum(x, 0))):
        result = operation(X)
        assert type(result) is np.ndarray
        assert_array_equal(result, reference(X), strict=True)
        assert_array_equal(operation(X.astype("f4")), reference(X.astype("f4")), strict=True)
        assert_array_equal(np.asarray(mm.stop_gradient(operation(mm.Array(X)))), reference(X))
    assert_array_equal(hyperbolic_sine([1, 2]), np.sinh([1.0, 2.0]))
    assert_allclose(function(X), in_numpy(X))


def test_gradients_are_right_to_second_order() -> None:
    step = 1e-200
    expected = np.empty_like(X)
    for place in np.ndindex(X.shape):
        moved = X.astype(complex)
        moved[place] += step * 1j
        expected[place] = in_numpy(moved).imag / step
    assert_allclose(mm.grad(function)(X), expected, rtol=1e-12)
    check_gradients(function, X, order=2)


@pytest.mark.parametrize("operation", [sum_up_to_each, hyperbolic_sine, hyperbolic_cosine])
def test_the_checker_draws_operands(operation: Any) -> None:
    if operation is sum_up_to_each:
        check_primitive(operation)
    else:
        with pytest.raises(ConfigurationError, match=f"{operation.__name__} has no sample="):
            check_primitive(operation.primitive)


@pytest.mark.parametrize("f", [function, mm.grad(function), mm.grad(lambda x: mm.sum(mm.grad(function)(x) ** 2))])
def test_compiled_it_has_the_same_bits(f: Any) -> None:
    assert_array_equal(mm.compile(f)(X), mm.compile(f, enabled=False)(X), strict=True)


def test_in_a_vmap() -> None:
    tasks = np.stack([X, X + 0.1, X * 0.7])
    mapped = mm.vmap(mm.grad(function))
    for run in (mapped, mm.compile(mapped)):
        assert_array_equal(run(tasks), np.stack([mm.grad(function)(x) for x in tasks]))


def test_printed_and_written_as_python() -> None:
    program = trace(function, X)
    assert "sum_up_to_each" in str(program)
    text = program.to_python()
    assert "np.sinh(x0)" in text
    assert "minimeta." not in "\n".join(row.partition("#")[0] for row in text.split("\n"))
    namespace: dict[str, Any] = {}
    exec(text, namespace)
    assert_allclose(namespace["program"](X)[0], in_numpy(X))


def test_it_has_the_manners_of_a_function() -> None:
    assert (hyperbolic_sine.__name__, hyperbolic_sine.__doc__, hyperbolic_sine.__module__) == (
        "hyperbolic_sine",
        "Return the hyperbolic sine.",
        __name__,
    )
    assert not {"hyperbolic_sine", "hyperbolic_cosine", "sum_up_to_each"} & set(registry)
    assert_array_equal(sum_up_to_each(x=X, axis=1), np.cumsum(X, 1))
    untyped: Any = sum_up_to_each
    for arguments, keywords, message in (
        ((X, X), {}, "too many positional arguments"),
        ((X,), {"axes": 1}, "unexpected keyword argument 'axes'"),
        ((), {"axis": 1}, "missing a required argument: 'x'"),
    ):
        with pytest.raises(TypeError, match=message):
            untyped(*arguments, **keywords)
    with pytest.raises(ShapeError, match="there is no axis 2"):
        sum_up_to_each(X, axis=2)
    message = r"np.cumsum of an Array: .*unexpected argument 'dtype'.*sum_up_to_each\(x: "
    with pytest.raises(TracingError, match=message):
        mm.grad(lambda x: np.cumsum(x, dtype=np.float32).sum())(X)
    assert_array_equal(mm.grad(lambda x: np.cumsum(x, 1).sum())(X), [[3.0, 2.0, 1.0]] * 2)


def test_the_example_of_its_docstring() -> None:
    (example,) = doctest.DocTestFinder().find(mm.primitive, globs={})
    assert example.examples
    assert doctest.DocTestRunner().run(example, clear_globs=False).failed == 0
    for x in (X, X[0], X[None]):
        assert_array_equal(mm.compile(example.globs["bell"])(x), np.exp(-x * x), strict=True)
        assert_array_equal(example.globs["sum_to_the_end"](x, axis=0)[0], np.flip(x, 0).cumsum(0)[-1], strict=True)


def test_of_any_number_of_operands_there_is_one_at_least() -> None:
    @mm.primitive(rules=lambda g, y, *xs: (g,) * len(xs), elementwise=True)
    def total(*xs: Any) -> Any:
        return sum(xs)

    assert_array_equal(total(X, X), 2.0 * X)
    with pytest.raises(ShapeError, match="total of no arrays: give at least one"):
        total()


def test_the_names_of_parameters() -> None:
    @mm.primitive(rules=(lambda g, y, x, primitive: g * primitive,), shape=lambda x, primitive: x)
    def scaled(x: Any, *, primitive: float) -> Any:
        return x * primitive

    assert_array_equal(scaled(X, primitive=2.0), 2.0 * X)
    check_gradients(mm.compile(lambda x: scaled(x, primitive=2.0)), X)
    with pytest.raises(ConfigurationError, match="primitive run: a parameter cannot be named 'body'"):

        @mm.primitive(rules=(), shape=lambda x, body: x)
        def run(x: Any, *, body: Any) -> Any:
            return x


def test_without_rules_it_is_a_constant() -> None:
    assert_array_equal(nearest(X), [2, 1])
    gradient = mm.grad(lambda x: mm.sum(x * mm.astype(nearest(x), x.dtype)[:, None]))(X)
    assert_array_equal(gradient, np.broadcast_to([[2.0], [1.0]], X.shape))


def test_what_is_missing_is_said_when_it_is_defined() -> None:
    def tanh(x: Any) -> Any:
        return np.tanh(x)

    def double(x: Any) -> Any:
        return x + x

    with pytest.raises(ConfigurationError, match="there is an operation named 'tanh' already"):
        mm.primitive(rules=(), elementwise=True)(tanh)
    with pytest.raises(ConfigurationError, match="primitive double: it needs shape="):
        mm.primitive(rules=())(double)
    with pytest.raises(ConfigurationError, match=r"primitive double: minimeta has an operation for np.add already"):
        mm.primitive(rules=(), elementwise=True, answers=np.add)(double)
    with pytest.raises(ConfigurationError, match="primitive double: 2 rules for 1 operands"):
        mm.primitive(rules=(None, None), elementwise=True)(double)


ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "kernel"),
    [("sum_pool_input", "pooling"), ("pool_put", "pooling"), ("softplus", "transcendental")],
)
def test_an_operation_with_a_kernel_is_one_row_in_each_language(name: str, kernel: str) -> None:
    # The lists of public names are apart.
    files = [
        *ROOT.glob("minimeta/autodiff/**/[!_]*.py"),
        *ROOT.glob("minimeta/program/*.py"),
        *ROOT.glob("minimeta/[_k]*.py*"),
    ]
    files += [file for file in ROOT.glob("csrc/*.[ch]pp") if file.stem != kernel]
    word = re.compile(rf"\b_?{name}\b")
    places = sorted(file.relative_to(ROOT).as_posix() for file in files if word.search(file.read_text()))
    assert len(places) == 2, places
    assert places[0].startswith("csrc/")
    assert places[1].startswith("minimeta/autodiff/operations/")


@pytest.mark.skipif(native is None, reason="there are no kernels")
def test_every_kernel_is_that_of_a_primitive() -> None:
    assert native
    kernels = {name: found for name in dir(native) if type(found := getattr(native, name)) is native.Operation}
    assert kernels
    of_special = {"erf": mm.special.erf.primitive}
    for name, found in kernels.items():
        primitive = of_special.get(name) or registry[name]
        assert (primitive.kernel is found and primitive.native) or primitive.most_side == native.MOST_SIDE
    assert not hyperbolic_sine.primitive.native


def test_the_checker_says_what_it_takes() -> None:
    with pytest.raises(ConfigurationError, match="'logit' has no primitive; it takes operations"):
        check_primitive(logit)  # type: ignore[arg-type]
