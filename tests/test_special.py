"""scipy's special functions of Arrays: values and derivatives are mpmath's."""

import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import mpmath  # type: ignore[import-untyped]
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import minimeta as mm
from minimeta.errors import MissingExtraError

scipy_special: Any = pytest.importorskip("scipy.special", reason="scipy is an extra")

REAL = (-2.5, -0.3, 0.7, 3.0)
UNIT = (0.05, 0.4, 0.93)
POSITIVE = (0.2, 1.0, 4.5)


def log_ndtr(x: Any) -> Any:
    return mpmath.log(mpmath.ncdf(x))


ONE: dict[str, tuple[Callable[[Any], Any], tuple[float, ...]]] = {
    "erf": (mpmath.erf, REAL),
    "erfc": (mpmath.erfc, REAL),
    "erfcx": (lambda x: mpmath.exp(x**2) * mpmath.erfc(x), (-1.0, 0.5, 2.0)),
    "erfinv": (mpmath.erfinv, UNIT),
    "ndtr": (mpmath.ncdf, REAL),
    "ndtri": (lambda p: mpmath.sqrt(2) * mpmath.erfinv(2 * p - 1), UNIT),
    "log_ndtr": (log_ndtr, (-30.0, -1.0, 2.0)),
    "gammaln": (lambda x: mpmath.log(abs(mpmath.gamma(x))), (*POSITIVE, -1.5)),
    "gamma": (mpmath.gamma, (*POSITIVE, -1.5)),
    "digamma": (mpmath.digamma, (*POSITIVE, -0.5)),
    "expit": (lambda x: 1 / (1 + mpmath.exp(-x)), REAL),
    "log_expit": (lambda x: -mpmath.log1p(mpmath.exp(-x)), REAL),
    "logit": (lambda x: mpmath.log(x / (1 - x)), UNIT),
    "entr": (lambda x: -x * mpmath.log(x), POSITIVE),
    "i0": (lambda x: mpmath.besseli(0, x), REAL),
    "i1": (lambda x: mpmath.besseli(1, x), REAL),
    "i0e": (lambda x: mpmath.exp(-abs(x)) * mpmath.besseli(0, x), REAL),
    "i1e": (lambda x: mpmath.exp(-abs(x)) * mpmath.besseli(1, x), REAL),
    "expm1": (mpmath.expm1, REAL),
    "log1p": (mpmath.log1p, UNIT),
}

TWO: dict[str, Callable[[Any, Any], Any]] = {
    "beta": mpmath.beta,
    "betaln": lambda a, b: mpmath.log(mpmath.beta(a, b)),
    "xlogy": lambda x, y: x * mpmath.log(y),
    "xlog1py": lambda x, y: x * mpmath.log1p(y),
    "rel_entr": lambda x, y: x * mpmath.log(x / y),
    "kl_div": lambda x, y: x * mpmath.log(x / y) - x + y,
}


@pytest.mark.parametrize("name", ONE)
def test_functions_of_one_number(name: str) -> None:
    exact, points = ONE[name]
    of_scipy, x = getattr(scipy_special, name), np.array(points)
    function: Any = of_scipy
    with mpmath.workdps(30):
        for order in range(3):
            expected = [float(mpmath.diff(exact, mpmath.mpf(point), order)) for point in points]
            assert_allclose(mm.vjp(function, x)[0], expected, rtol=2e-13, atol=1e-15)
            assert_array_equal(mm.compile(function)(x), mm.vjp(function, x)[0])
            previous = function
            function = mm.grad(lambda x, f=previous: mm.sum(f(x)))
    assert_allclose(getattr(mm.special, name)(x), of_scipy(x), rtol=1e-14)
    assert mm.grad(lambda x: mm.sum(of_scipy(x)))(x.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("name", TWO)
def test_functions_of_two_numbers(name: str) -> None:
    x, y = np.array([0.3, 2.0]), np.array([1.5, 0.7])
    function = getattr(scipy_special, name)
    hessian = mm.jacobian(mm.grad(lambda z: mm.sum(function(z[0], z[1]))))(np.stack([x, y]))
    gradient = mm.grad(lambda x, y: mm.sum(function(x, y)), (0, 1))(x, y)
    with mpmath.workdps(30):
        for i in range(2):
            point = (mpmath.mpf(x[i]), mpmath.mpf(y[i]))
            assert_allclose(mm.vjp(function, x, y)[0][i], float(TWO[name](*point)), rtol=1e-13)
            for a in range(2):
                orders = [0, 0]
                orders[a] += 1
                assert_allclose(gradient[a][i], float(mpmath.diff(TWO[name], point, tuple(orders))), rtol=1e-12)
                for b in range(2):
                    both = list(orders)
                    both[b] += 1
                    expected = float(mpmath.diff(TWO[name], point, tuple(both)))
                    assert_allclose(hessian[a, i, b, i], expected, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("n", [0, 1, 3])
def test_polygamma(n: int) -> None:
    with mpmath.workdps(30):
        for order in range(3):
            expected = float(mpmath.psi(n + order, mpmath.mpf(1.7)))
            function: Any = lambda x: mm.special.polygamma(n, x)  # noqa: E731
            for _ in range(order):
                function = mm.grad(function)
            assert_allclose(function(1.7), expected, rtol=1e-13)


def test_nothing_times_the_logarithm_of_nothing_is_nothing() -> None:
    zero = np.zeros(2)
    for function in (scipy_special.xlogy, scipy_special.xlog1py, scipy_special.rel_entr):
        assert_array_equal(mm.vjp(function, zero, zero + 1)[0], zero)
        assert_array_equal(mm.grad(lambda y, f=function: mm.sum(f(zero, y)))(zero), zero)


@pytest.mark.parametrize("name", ["xlogy", "xlog1py"])
def test_second_derivatives_of_nothing_times_a_logarithm(name: str) -> None:
    of_scipy, shift = getattr(scipy_special, name), float(name == "xlog1py")
    hessian = mm.hessian(lambda v: of_scipy(v[0], v[1]))(np.array([0.0, 2.0]))
    assert_allclose(hessian, [[0.0, 1 / (2.0 + shift)], [1 / (2.0 + shift), 0.0]])
    assert_allclose(mm.grad(mm.grad(lambda x: of_scipy(x, x + 1.0 - shift)))(0.0), 2.0)


def test_sums_of_exponentials_with_weights() -> None:
    x, b = np.array([[1.0, 800.0, 799.0], [0.0, -1.0, 2.0]]), np.array([1.0, 2.0, 0.5])
    expected = scipy_special.logsumexp(x, axis=1, b=b, keepdims=True)
    assert_allclose(mm.special.logsumexp(x, axis=1, b=b, keepdims=True), expected, rtol=1e-14)
    assert_allclose(mm.special.logsumexp(x), scipy_special.logsumexp(x), rtol=1e-14)
    gradient = mm.grad(lambda x: mm.sum(mm.special.logsumexp(x, 1, b)))(x)
    assert_allclose(gradient, b * np.exp(x - expected), rtol=1e-12)
    assert_allclose(mm.special.softmax(x, axis=0), scipy_special.softmax(x, axis=0), rtol=1e-14)


def test_what_scipy_computes_of_numpy_arrays_alone_is_on_the_page() -> None:
    with pytest.raises(TypeError):
        mm.grad(lambda x: scipy_special.polygamma(1, x)[0])(np.ones(2))
    assert_allclose(mm.grad(lambda x: mm.special.softmax(x)[0])(np.zeros(2)), [0.25, -0.25])


def test_scipy_is_imported_when_its_functions_are_met(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import sys, minimeta\nassert 'scipy' not in sys.modules\nminimeta.special\nassert 'scipy' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    monkeypatch.setitem(sys.modules, "scipy", None)
    monkeypatch.delitem(sys.modules, "minimeta.special", raising=False)
    with pytest.raises(MissingExtraError, match=r"minimeta\[scipy\]"):
        import minimeta.special  # noqa: F401, PLC0415


def test_a_probability_far_in_the_tail() -> None:
    slope = mm.grad(scipy_special.log_ndtr)(-1e5)
    assert math.isclose(slope, 1e5 + 1e-5, rel_tol=1e-14)
