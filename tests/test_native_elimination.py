"""Small linear systems, inverses and determinants, against LAPACK, and where there are none."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import minimeta as mm

shapes = pytest.mark.parametrize("batch", [(), (3,), (2, 0), (2, 5)])
sides = pytest.mark.parametrize("n", [0, 1, 2, 5, 16])


@shapes
@sides
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_small_matrices_as_by_lapack(native: Any, batch: tuple[int, ...], n: int, dtype: str) -> None:
    rng = np.random.default_rng(n)
    a = np.asarray(rng.normal(size=(*batch, n, n)) + 2 * np.eye(n)[::-1]).astype(dtype)
    b = rng.normal(size=(*batch, n, 3)).astype(dtype)
    tolerance = 2e4 * float(np.finfo(dtype).eps)
    for found, expected in (
        (native.solve(a, b), np.linalg.solve(a, b)),
        (native.inv(a), np.linalg.inv(a)),
        (native.det(a), np.linalg.det(a)),
        (native.slogdet(a), np.stack(np.linalg.slogdet(a), -1)),
    ):
        assert_allclose(found, expected, rtol=tolerance, atol=tolerance, strict=True)


def test_rows_are_exchanged_where_a_pivot_is_zero_or_small(native: Any) -> None:
    a = np.array([[0.0, 2.0, 1.0], [1e-20, 1.0, 0.0], [4.0, 0.0, 0.0]])
    assert_allclose(a @ native.solve(a, np.eye(3)), np.eye(3), atol=1e-12)
    assert native.det(a) == pytest.approx(-4.0)
    assert_allclose(native.slogdet(a), [-1.0, np.log(4.0)])


def test_a_singular_matrix_has_a_determinant_and_no_inverse(native: Any) -> None:
    stack = np.stack([np.eye(2), np.ones((2, 2))])
    assert_array_equal(native.det(stack), [1.0, 0.0])
    assert_array_equal(native.slogdet(stack), [[1.0, 0.0], [0.0, -np.inf]])
    with pytest.raises(np.linalg.LinAlgError, match=r"^inv: a matrix is singular"):
        native.inv(stack)
    with pytest.raises(np.linalg.LinAlgError, match=r"^solve: a matrix is singular"):
        native.solve(stack, stack)


@pytest.mark.parametrize(("dtype", "large"), [("float32", 2.0**80), ("float64", 2.0**700)])
def test_a_determinant_is_in_range_where_its_parts_are_not(native: Any, dtype: str, large: float) -> None:
    for pivots in ([large, large, 1 / large, 3 / large], [1 / large, 3 / large, -large, large]):
        assert native.det(np.diag(pivots).astype(dtype)) == np.prod(np.sign(pivots)) * 3
    assert native.det(np.diag([large, -large]).astype(dtype)) == -np.inf
    assert native.det(np.diag([1 / large, 1 / large]).astype(dtype)) == 0


@pytest.mark.parametrize("last", [-1.0, np.inf, np.nan])
def test_the_determinant_of_a_singular_matrix_is_plus_zero(native: Any, last: float) -> None:
    found = native.det(np.array([[0.0, 1.0], [0.0, last]]))
    assert found == 0 and not np.signbit(found)


def test_an_error_names_the_matrix_and_the_line_compiled_and_mapped() -> None:
    stack = np.stack([np.eye(2), np.ones((2, 2))])
    inverses = mm.compile(lambda a: np.linalg.inv(a + 0.0))
    for _ in range(2):
        with pytest.raises(mm.errors.LinearAlgebraError, match=r"Singular matrix \[1\].*\n.*test_native_elimination"):
            inverses(stack)
    with pytest.raises(mm.errors.LinearAlgebraError, match="Singular matrix: it has no inverse"):
        mm.compile(mm.vmap(np.linalg.inv))(stack)


def test_what_is_no_small_square_is_refused(native: Any) -> None:
    with pytest.raises(ValueError, match="square"):
        native.inv(np.ones((2, 3)))
    with pytest.raises(ValueError, match="at most 16 rows"):
        native.det(np.eye(17))
    with pytest.raises(ValueError, match="as many rows"):
        native.solve(np.eye(2), np.ones((3, 1)))
