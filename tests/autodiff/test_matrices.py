"""numpy.linalg of Arrays: the values are numpy's, the derivatives those of the complex step, the errors teach."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from drawing import share
from every_way import inside
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

import minimeta as mm
from minimeta.errors import ConfigurationError, LinearAlgebraError, ShapeError
from minimeta.testing import check_gradients

RNG = np.random.default_rng(0)
SQUARE = RNG.normal(size=(3, 3)) / 2 + np.diag([1.0, 2.0, 3.0])
BATCH = RNG.normal(size=(2, 3, 3)) / 4 + np.diag([1.0, 2.0, 3.0])
POSITIVE = BATCH @ np.swapaxes(BATCH, -1, -2) + np.eye(3)
TALL = RNG.normal(size=(4, 2))
WIDE = RNG.normal(size=(2, 2, 3))
VECTOR = np.array([0.5, -2.0, 1.5])

linalg: Any = np.linalg

# Each is called on numpy arrays, where numpy computes, and on Arrays.
FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[NDArray[Any], ...]]] = {
    "solve a vector": (linalg.solve, (BATCH, VECTOR)),
    "solve a stack": (linalg.solve, (SQUARE, WIDE.swapaxes(-1, -2))),
    "inv": (linalg.inv, (BATCH,)),
    "det": (linalg.det, (BATCH,)),
    "slogdet": (lambda a: linalg.slogdet(a)[1] * linalg.slogdet(-a).sign, (BATCH,)),
    "cholesky": (linalg.cholesky, (POSITIVE,)),
    "upper cholesky": (lambda a: linalg.cholesky(a, upper=True), (POSITIVE,)),
    "qr of tall": (lambda a: linalg.qr(a).Q * 2.0, (TALL,)),
    "qr of wide": (lambda a: linalg.qr(a)[0] @ np.sin(linalg.qr(a)[1]), (WIDE,)),
    "triangle of qr": (lambda a: linalg.qr(a, "r"), (TALL,)),
    "eigh": (lambda a: linalg.eigh(a).eigenvectors * linalg.eigh(a)[0][..., None, :], (POSITIVE,)),
    "eigvalsh": (lambda a: linalg.eigvalsh(a, UPLO="U"), (POSITIVE,)),
    "svd": (lambda a: linalg.svd(a).U @ np.cos(linalg.svd(a).Vh), (BATCH,)),
    "reduced svd": (lambda a: np.sin(linalg.svd(a, full_matrices=False)[0]), (TALL,)),
    "values of svd": (lambda a: linalg.svd(a, compute_uv=False), (WIDE,)),
    "svdvals": (linalg.svdvals, (WIDE,)),
    "pinv": (linalg.pinv, (WIDE,)),
    "pinv of symmetric": (lambda a: linalg.pinv(a, hermitian=True), (BATCH,)),
    "svd of symmetric": (lambda a: linalg.svd(a, hermitian=True)[0] * linalg.svd(a, hermitian=True)[2], (BATCH,)),
    "lstsq": (lambda a, b: linalg.lstsq(a, b)[0], (TALL, np.arange(4.0))),
    "residuals": (lambda a, b: linalg.lstsq(a, b, 1e-9)[1], (TALL, RNG.normal(size=(4, 2)))),
    "third power": (lambda a: linalg.matrix_power(a, 3), (BATCH,)),
    "power -2": (lambda a: linalg.matrix_power(a, -2), (BATCH,)),
    "norm": (lambda x: linalg.norm(x, axis=0, keepdims=True), (TALL,)),
    "norm inf": (lambda x: linalg.norm(x, np.inf, axis=1), (TALL,)),
    "norm -inf": (lambda x: linalg.norm(x, -np.inf, axis=-1, keepdims=True), (TALL,)),
    "norm 1": (lambda x: linalg.norm(x, 1, 0), (TALL,)),
    "norm 3": (lambda x: linalg.norm(x, 3, axis=1), (TALL,)),
    "norm of a matrix": (lambda x: linalg.norm(x, 1), (TALL,)),
    "norms of matrices": (lambda x: linalg.norm(x, -1, axis=(2, 0), keepdims=True), (WIDE,)),
    "norm of rows": (lambda x: linalg.norm(x, np.inf, axis=(0, 2)), (WIDE,)),
    "nuclear norm": (lambda x: linalg.norm(x, "nuc", axis=(-2, -1)), (WIDE,)),
    "spectral norm": (lambda x: linalg.norm(x, 2), (TALL,)),
    "least singular value": (lambda x: linalg.norm(x, -2), (TALL,)),
    "Frobenius norm": (lambda x: linalg.norm(x, "fro", axis=(1, 2), keepdims=True), (WIDE,)),
    "vector_norm": (lambda x: linalg.vector_norm(x, axis=1, ord=2.5), (TALL,)),
    "vector_norm of all": (lambda x: linalg.vector_norm(x, ord=1), (WIDE,)),
    "matrix_norm": (lambda x: linalg.matrix_norm(x, ord=-np.inf, keepdims=True), (WIDE,)),
    "cond": (linalg.cond, (WIDE,)),
    "cond 1": (lambda x: linalg.cond(x, 1), (BATCH,)),
    "multi_dot": (lambda a, b, c: linalg.multi_dot([a, b, b, c]), (VECTOR, SQUARE, RNG.normal(size=(3, 1)))),
    "quadratic form": (lambda a, b: linalg.multi_dot([a, b, a]), (VECTOR, SQUARE)),
    "tensorsolve": (
        lambda a, b: linalg.tensorsolve(a, b, axes=(0, 1)),
        (RNG.normal(size=(2, 3, 6)), RNG.normal(size=6)),
    ),
    "tensorinv": (lambda a: linalg.tensorinv(a, ind=1), (RNG.normal(size=(6, 2, 3)),)),
    "trace": (lambda a: linalg.trace(a, offset=1), (WIDE,)),
    "diagonal": (lambda a: linalg.diagonal(a, offset=-1), (BATCH,)),
    "outer": (linalg.outer, (VECTOR, VECTOR[:2])),
    "cross": (lambda a, b: linalg.cross(a, b, axis=1), (BATCH, BATCH[:1] + 1.0)),
    "vecdot": (lambda a, b: linalg.vecdot(a, b, axis=0), (TALL, TALL[:, :1])),
    "matrix_transpose": (linalg.matrix_transpose, (WIDE,)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_are_numpys_and_the_same_bits_compiled(name: str) -> None:
    function, operands = FUNCTIONS[name]
    expected = np.asarray(function(*operands))
    found = inside(function, *operands)
    assert found.shape == expected.shape
    assert_allclose(found, expected, rtol=1e-12, atol=1e-13)
    loss = mm.grad(lambda *x: mm.sum(np.sin(function(*x))), tuple(range(len(operands))))
    for eager, compiled in zip(loss(*operands), mm.compile(loss)(*operands), strict=True):
        assert_array_equal(eager, compiled)
    single = [x.astype(np.float32) for x in operands]
    assert inside(function, *single).dtype == np.float32


#: Those that are made of others; the primitives have their derivatives checked in test_primitives.py.
COMPOSED = ("norm", "vector", "matrix_", "cond", "multi", "quad", "tensor", "power", "qr of wide", "third", "cross")


@pytest.mark.parametrize(
    "name", [name for name in FUNCTIONS if any(part in name for part in (*COMPOSED, "diag", "trace"))]
)
def test_derivatives_of_what_is_composed(name: str) -> None:
    function, operands = FUNCTIONS[name]
    check_gradients(function, *operands, order=1)


@pytest.mark.parametrize("name", ["solve a stack", "cholesky", "qr of tall", "eigh", "svd", "pinv"])
def test_each_task_of_a_vmap_is_computed_as_if_alone(name: str) -> None:
    function, operands = FUNCTIONS[name]
    operands = tuple(np.array(x[0] if x.ndim == 3 else x) for x in operands)
    gradient = mm.grad(lambda *x: mm.sum(np.sin(function(*x))))
    batch = [np.stack([x, 1.5 * x, x / 2]) for x in operands]
    each = [gradient(*[x[i] for x in batch]) for i in range(3)]
    assert_array_equal(mm.vmap(gradient)(*batch), np.stack(each))
    assert_array_equal(mm.compile(mm.vmap(gradient))(*batch), np.stack(each))


@share(0.1)
@given(batch=st.lists(st.integers(0, 2), max_size=2), n=st.integers(0, 2), k=st.integers(0, 2))
def test_empty_matrices_are_numpys(batch: list[int], n: int, k: int) -> None:
    a, b = np.broadcast_to(np.eye(n) * 2.0, (*batch, n, n)), np.ones((*batch, n, k))
    for function in (
        linalg.inv,
        linalg.det,
        linalg.cholesky,
        lambda a: linalg.eigh(a)[1],
        lambda a: linalg.slogdet(a)[1],
    ):
        expected, found = function(a), inside(function, a)
        assert_allclose(found, expected)
        assert mm.grad(lambda a, f=function: mm.sum(f(a)) * 0.0)(a).shape == a.shape
    for function in (
        lambda b: linalg.qr(b)[1],
        linalg.pinv,
        lambda b: linalg.svd(b, full_matrices=False)[0],
    ):
        assert inside(function, b).shape == function(b).shape
    assert_allclose(inside(linalg.solve, a, b), linalg.solve(a, b))


# Conventions


def test_derivatives_along_symmetric_changes_are_those_of_algebra() -> None:
    a = POSITIVE[0]
    by_factor = mm.grad(lambda a: 2.0 * mm.sum(np.log(linalg.diagonal(linalg.cholesky(a)))))(a)
    by_values = mm.grad(lambda a: mm.sum(np.log(linalg.eigvalsh(a))))(a)
    for gradient in (by_factor, by_values):
        assert_allclose((gradient + gradient.T) / 2, np.linalg.inv(a), rtol=1e-13, atol=1e-14)


#: Functions that read one triangle of a matrix, and whether it is the upper one.
ONE_TRIANGLE: dict[str, tuple[Callable[..., Any], bool]] = {
    "cholesky": (linalg.cholesky, False),
    "upper cholesky": (lambda a: linalg.cholesky(a, upper=True), True),
    "eigh": (lambda a: linalg.eigh(a)[1] * linalg.eigh(a)[0], False),
    "upper eigh": (lambda a: linalg.eigh(a, "U")[1] * linalg.eigh(a, UPLO="u")[0], True),
    "eigvalsh": (linalg.eigvalsh, False),
    "upper eigvalsh": (lambda a: linalg.eigvalsh(a, "U"), True),
}


@pytest.mark.parametrize("turned", [False, True])
def test_values_below_the_cutoff_move_those_above(turned: bool) -> None:
    a = np.diag([3.0, 2.0, 0.1])
    assert_allclose(
        mm.grad(lambda a: mm.sum(linalg.pinv(a, rcond=0.3)))(a)[1, 2], (1 + 0.1 / 2) / (4 - 0.01), rtol=1e-13
    )
    a = np.concatenate([a, [[0.1, 0.2, -0.1]]]) + 0.01 * np.arange(12.0).reshape(4, 3) ** 1.5
    a = np.array(a.T if turned else a)
    for function in (linalg.pinv, lambda a, rcond: linalg.lstsq(a, np.arange(1.0, len(a) + 1), rcond)[0]):
        y, vjp = mm.vjp(lambda a, f=function: f(a, rcond=0.3), a)
        assert_allclose(y, function(a, rcond=0.3))
        step = 1e-6 * np.cos(np.arange(12.0)).reshape(a.shape)
        slope = (function(a + step, rcond=0.3) - function(a - step, rcond=0.3)) / 2
        weights = np.sin(np.arange(1.0, y.size + 1)).reshape(y.shape)
        assert_allclose(np.sum(vjp(weights) * step), np.sum(weights * slope), rtol=1e-7)


@pytest.mark.parametrize("name", ONE_TRIANGLE)
def test_the_triangle_that_numpy_reads_is_read(name: str) -> None:
    function, is_upper = ONE_TRIANGLE[name]
    a = SQUARE + 0.1 * np.arange(9.0).reshape(3, 3)
    assert_allclose(inside(function, a), function(a), rtol=1e-12, atol=1e-14)
    check_gradients(function, a, order=2)
    gradient = mm.grad(lambda a: mm.sum(np.sin(function(a))))(a)
    assert not (np.tril(gradient, -1) if is_upper else np.triu(gradient, 1)).any()


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e-200])
def test_repeated_values_have_no_vectors_to_differentiate(scale: float) -> None:
    a = scale * np.eye(3)
    assert_allclose(mm.grad(lambda a: mm.sum(linalg.eigvalsh(a)))(a), np.eye(3), atol=1e-15)
    assert_allclose(mm.grad(lambda a: mm.sum(linalg.svdvals(a)))(a), np.eye(3), atol=1e-15)
    for function in (lambda a: linalg.eigh(a)[1][0, 1], lambda a: linalg.svd(a)[0][0, 1]):
        for gradient in (mm.grad(function), mm.compile(mm.grad(function))):
            with pytest.raises(LinearAlgebraError, match=r"number \d and \d have no derivative: both are.*eigvalsh"):
                gradient(a)


def test_vectors_that_do_not_share_a_value_have_derivatives() -> None:
    a = np.diag([1.0, 2.0, 2.0])
    found = mm.grad(lambda a: linalg.eigh(a)[1][1, 0] ** 2 + linalg.eigh(a)[1][2, 0])(a)
    assert np.isfinite(found).all()


def test_the_exponential() -> None:
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    for angle in (0.3, 20.0):
        expected = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        assert_allclose(mm.linalg.expm(angle * turn), expected, atol=1e-13)
    for order, value in enumerate([np.sin(2.0), np.cos(2.0), -np.sin(2.0), -np.cos(2.0)]):
        function: Any = lambda t: mm.linalg.expm(t * turn)[0, 1]  # noqa: E731
        for _ in range(order):
            function = mm.grad(function)
        assert_allclose(function(2.0), value, rtol=1e-13)


@pytest.mark.parametrize("lower", [False, True])
def test_a_system_is_solved_by_the_factor_of_cholesky(lower: bool) -> None:
    def solved(a: Any, b: Any) -> Any:
        return mm.linalg.cho_solve(mm.linalg.cho_factor(a, lower), b)

    b = WIDE.swapaxes(-1, -2)
    assert_allclose(solved(POSITIVE, b), np.linalg.solve(POSITIVE, b), rtol=1e-13)
    check_gradients(solved, POSITIVE[0], VECTOR)


def test_factors_of_elimination() -> None:
    a = BATCH[:, ::-1]
    factors, pivots = mm.compile(mm.linalg.lu_factor)(a)
    for i in range(2):
        order = [0, 1, 2]
        for row, other in enumerate(pivots[i]):
            order[row], order[other] = order[other], order[row]
        left, right = np.tril(factors[i], -1) + np.eye(3), np.triu(factors[i])
        assert np.all(np.abs(left) <= 1)
        assert_allclose(left @ right, a[i][order], rtol=1e-13, atol=1e-15)
    gradient = mm.grad(lambda a: mm.sum(np.log(np.abs(linalg.diagonal(mm.linalg.lu_factor(a)[0])))))(a)
    assert_allclose(gradient, np.swapaxes(np.linalg.inv(a), -1, -2), rtol=1e-12)


def test_a_large_triangle_is_solved_in_blocks() -> None:
    a = np.tril(RNG.normal(size=(130, 130))) / 20 + np.eye(130)
    b = RNG.normal(size=(130, 2))
    garbage = a + np.triu(RNG.normal(size=(130, 130)), 1)
    assert_allclose(a @ mm.linalg.solve_triangular(garbage, b, lower=True), b, rtol=1e-10, atol=1e-12)
    assert_allclose(a.T @ mm.linalg.solve_triangular(garbage.T, b), b, rtol=1e-10, atol=1e-12)


def test_a_large_factor_has_the_cotangent_of_its_definition() -> None:
    """A change H of A changes L by L h(L^-1 H L^-T), with half of the diagonal in h."""
    root, w, h = RNG.normal(size=(3, 130, 130))
    a = root @ root.T + 130 * np.eye(130)
    factor = np.linalg.cholesky(a)
    half = np.linalg.solve(factor, np.linalg.solve(factor, h + h.T).T)
    change = factor @ (np.tril(half) - np.diag(np.diagonal(half)) / 2)
    gradient = mm.grad(lambda a: mm.sum(w * np.linalg.cholesky(a)))(a)
    assert_allclose(np.sum(gradient * np.tril(h + h.T)), np.sum(w * change), rtol=1e-10)
    assert not np.triu(gradient, 1).any()


# What cannot be computed


def second_derivative_of_det(a: Any) -> Any:
    def first(a: Any) -> Any:
        return mm.sum(mm.square(mm.grad(lambda a: mm.sum(linalg.det(a)))(a)))

    return mm.square(mm.grad(first)(a))


@pytest.mark.parametrize("rank", [0, 1, 2, 3])
def test_determinants_of_singular_matrices_have_two_derivatives(rank: int) -> None:
    a = RNG.normal(size=(2, 3, rank)) @ RNG.normal(size=(2, rank, 3))
    rest = a.copy()
    gradient = mm.grad(lambda a: mm.sum(linalg.det(a)))
    for i, j in np.ndindex(3, 3):
        minor = np.linalg.det(np.delete(np.delete(a, i, 1), j, 2))
        rest[:, i, j] = (-1.0) ** (i + j) * minor
    assert_allclose(gradient(a), rest, rtol=1e-12, atol=1e-14)
    assert_array_equal(mm.compile(gradient)(a), gradient(a))
    # A determinant is a polynomial of degree 3: its second differences are the second derivatives.
    h, g = RNG.normal(size=(2, 3, 3)), RNG.normal(size=(2, 3, 3))
    found = mm.hvp(lambda a: mm.sum(linalg.det(a)), (a,), (h,))
    det = np.linalg.det
    mixed = (det(a + h + g) - det(a + h - g) - det(a - h + g) + det(a - h - g)) / 4.0
    assert_allclose(np.sum(mm.tree.flatten(found)[0][0] * g, (1, 2)), mixed, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("transform", [mm.grad, lambda f: mm.compile(mm.grad(f)), lambda f: mm.grad(mm.compile(f))])
def test_what_lapack_refuses_backwards_ends_with_the_line_of_the_function(transform: Callable[..., Any]) -> None:
    def function(a: Any) -> Any:
        return linalg.slogdet(a)[1]

    with pytest.raises(LinearAlgebraError, match="Singular matrix") as caught:
        transform(function)(np.ones((2, 2)))
    line = function.__code__.co_firstlineno + 1
    assert str(caught.value).endswith(f"\n  in the backward pass of {__file__}:{line}, in function")
    assert str(caught.value).count("\n") == 1
    assert str(caught.value).startswith("the derivative of slogdet: inv of shape (2, 2): ")


@pytest.mark.parametrize("transform", [lambda f: f, mm.compile, lambda f: mm.compile(f, enabled=False)])
def test_what_lapack_refuses(transform: Callable[..., Any]) -> None:
    indefinite = np.stack([np.eye(4), np.diag([1.0, 1.0, -1.0, 1.0])])
    zero = np.stack([np.eye(2), np.zeros((2, 2))])
    with pytest.raises(np.linalg.LinAlgError, match=r"matrix \[1\] is not positive definite.* minor of 3 rows"):
        transform(mm.grad(lambda a: mm.sum(linalg.cholesky(a))))(indefinite)
    for name, function in {"inv": linalg.inv, "solve": lambda a: linalg.solve(a, np.ones(2))}.items():
        with pytest.raises(np.linalg.LinAlgError, match=rf"{name} of shape \(2, 2, 2\): Singular matrix \[1\].*pinv"):
            transform(mm.grad(lambda a, f=function: mm.sum(f(a))))(zero)
    with pytest.raises(LinearAlgebraError, match=r"its first element is not positive\. Add"):
        transform(mm.grad(lambda a: mm.sum(linalg.cholesky(a))))(-np.eye(2))
    for function in (second_derivative_of_det, lambda a: linalg.slogdet(a)[1]):
        with pytest.raises(np.linalg.LinAlgError, match=r"inv of shape .*Singular matrix"):
            transform(mm.grad(lambda a, f=function: mm.sum(f(a))))(zero)
    with pytest.raises(LinearAlgebraError, match=r"zero on its diagonal has no inverse; element \[1, 1\] is"):
        transform(lambda a: mm.linalg.solve_triangular(a, np.ones(2)))(np.array([[1.0, 0.0], [1.0, 0.0]]))
    with pytest.raises(LinearAlgebraError, match=r"did not converge; there is a NaN"):
        transform(mm.grad(lambda a: mm.sum(linalg.svdvals(a))))(np.full((2, 2), np.nan))


@pytest.mark.parametrize(
    ("function", "shapes", "message"),
    [
        (linalg.inv, [(2, 3)], r"inv of shape \(2, 3\): it needs square matrices"),
        (linalg.det, [(3,)], r"det of shape \(3,\): it needs matrices"),
        (linalg.solve, [(2, 2), (3,)], r"solve of shapes \(2, 2\) and \(3,\): the right-hand side needs 2 rows"),
        (linalg.solve, [(2, 2, 2), (3, 2, 2)], "the leading axes do not broadcast"),
        (linalg.lstsq, [(1, 2, 2), (2,)], "it takes one matrix"),
        (lambda x: linalg.norm(x, 2), [(1, 2, 2)], "it needs one axis, of vectors, or two"),
        (lambda x: linalg.multi_dot([x]), [(2, 2)], "it takes two matrices or more"),
        (lambda x: linalg.tensorinv(x, 1), [(2, 2, 2)], "the system is not square"),
        (linalg.outer, [(2, 2), (2,)], "both must be vectors"),
        (linalg.vecdot, [(3,), (1,)], "vectors of 3 and 1 elements"),
        (linalg.cross, [(2,), (2,)], "vectors have 3 elements"),
    ],
)
def test_shapes_that_do_not_fit(function: Callable[..., Any], shapes: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        mm.vjp(function, *map(np.ones, shapes))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (linalg.svd, "further columns can be any.*full_matrices=False"),
        (lambda x: linalg.qr(x, mode="complete"), "have a derivative; the columns that 'complete' adds"),
        (lambda x: linalg.norm(x, "wide"), "ord='wide'.*it is none of fro, nuc"),
        (lambda x: linalg.norm(x, "fro", axis=0), "ord='fro': it must be a number"),
        (lambda x: linalg.eigh(x @ x.T, UPLO="X"), "it must be 'L' or 'U'"),
    ],
)
def test_what_has_no_derivative_is_refused(function: Callable[..., Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"(?s){message}.*\n  at {__file__}:"):
        mm.vjp(function, np.ones((3, 2)))


@pytest.mark.parametrize("ord", [1, 2, np.inf])
def test_the_norm_of_no_elements_is_0(ord: float) -> None:
    for shape, axis in (((0,), None), ((0, 0), None), ((2, 0), 1), ((2, 0, 3), (1, 2))):
        found, pullback = mm.vjp(lambda x, axis=axis: linalg.norm(x, ord, axis), np.ones(shape))
        assert_array_equal(found, np.zeros(shape[:1] if axis else ()))
        assert pullback(np.ones(found.shape))[0].shape == shape


def test_the_rank_is_a_constant() -> None:
    a = np.stack([np.eye(3), np.diag([1.0, 1.0, 0.0])])
    assert_array_equal(inside(linalg.matrix_rank, a), [3, 2])
    assert_array_equal(mm.grad(lambda a: mm.sum(linalg.matrix_rank(a)[:, None, None] * a))(a)[1], np.full((3, 3), 2.0))
    x, _, rank, values = mm.linalg.lstsq(TALL, np.ones(4))
    assert rank == 2
    assert np.asarray(rank).dtype.name == "int32"
    assert_allclose(x, np.linalg.lstsq(TALL, np.ones(4))[0])
    assert_allclose(values, np.linalg.svd(TALL)[1])
