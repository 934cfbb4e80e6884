"""minimize: known optima, scipy's own path with analytic derivatives, trees, bounds and constraints."""

import builtins
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import minimeta as mm
from minimeta.errors import ConfigurationError, DtypeError, MissingExtraError, ShapeError
from minimeta.optimize import Constraint, minimize

optimize = pytest.importorskip("scipy.optimize", reason="scipy is an extra")

START = np.array([-1.2, 1.0, 0.7])


def rosenbrock(v: Any) -> Any:
    return mm.sum(100.0 * (v[1:] - v[:-1] ** 2) ** 2 + (1.0 - v[:-1]) ** 2)


METHODS = ["BFGS", "L-BFGS-B", "CG", "Newton-CG", "trust-ncg", "trust-krylov", "trust-exact", "dogleg", "SLSQP"]


@pytest.mark.parametrize("method", [*METHODS, "Nelder-Mead", "trust-constr"])
def test_the_path_is_scipys_with_analytic_derivatives(method: str) -> None:
    given: dict[str, Any] = {"jac": optimize.rosen_der} if method != "Nelder-Mead" else {}
    if method in ("Newton-CG", "trust-ncg", "trust-krylov", "trust-constr"):
        given["hessp"] = optimize.rosen_hess_prod
    if method in ("trust-exact", "dogleg"):
        given["hess"] = optimize.rosen_hess
    start = START if method != "dogleg" else np.array([1.02, 1.03, 1.06])  # where the Hessian is positive
    expected = optimize.minimize(optimize.rosen, start, method=method, **given)
    found = minimize(rosenbrock, start, method=method)
    assert found.success
    assert_allclose(found.parameters, np.ones(3), atol=1e-3)
    assert_allclose(found.parameters, expected.x, atol=1e-4)
    assert abs(found.iterations - expected.nit) <= 2  # Rounding may decide about the last steps.
    assert_allclose(found.value, rosenbrock(found.parameters))
    assert_allclose(found.gradient, optimize.rosen_der(found.parameters), atol=1e-9)


def test_trees_keep_their_form_and_arguments_are_passed() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 3)), rng.normal(size=20)

    def loss(p: Any, x: Any, y: Any) -> Any:
        return mm.mean((x @ p["weight"] + p["bias"][0] - y) ** 2)

    initial = {"weight": np.zeros(3), "bias": [np.float32(0.0)]}
    seen: list[Any] = []
    found = minimize(loss, initial, (x, y), method="trust-ncg", tolerance=1e-6, callback=seen.append)
    exact = np.linalg.lstsq(np.column_stack([x, np.ones(20)]), y, rcond=None)[0]
    assert_allclose(found.parameters["weight"], exact[:3], atol=1e-5)
    assert_allclose(found.parameters["bias"][0], exact[3], atol=1e-5)
    assert found.parameters["bias"][0].dtype == np.float32
    assert found.gradient.keys() == initial.keys()
    assert seen[-1].keys() == initial.keys()


def test_bounds_are_trees() -> None:
    def distance(p: Any) -> Any:
        return mm.sum((p["a"] - np.array([2.0, -3.0])) ** 2) + (p["b"] - 5.0) ** 2

    initial = {"a": np.zeros(2), "b": 0.0}
    low, high = {"a": np.array([-1.0, -1.0]), "b": None}, {"a": 1.0, "b": 2.0}
    for method in (None, "trust-constr", "TNC"):
        found = minimize(distance, initial, method=method, bounds=(low, high))
        most = 1e-3 if method == "trust-constr" else 1e-9  # A barrier keeps it off the bounds.
        assert_allclose(found.parameters["a"], [1.0, -1.0], atol=most)
        assert_allclose(found.parameters["b"], 2.0, atol=most)
    assert_allclose(minimize(distance, initial, bounds=(None, 0.5)).parameters["b"], 0.5)
    with pytest.raises(ShapeError, match=r"bounds of shape \(3,\) for a of shape \(2,\)"):
        minimize(distance, initial, bounds=({"a": np.zeros(3), "b": None}, None))
    with pytest.raises(ConfigurationError, match="lowest value is above its highest"):
        minimize(distance, initial, bounds=(1.0, -1.0))
    with pytest.raises(ConfigurationError, match="must be a pair"):
        minimize(distance, initial, bounds=1.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", [None, "trust-constr", "COBYLA"])
def test_constraints_have_exact_derivatives(method: str | None) -> None:
    """The point of a circle that is nearest to another point, in the upper half; and a largest entropy."""

    def distance(p: Any, center: Any) -> Any:
        return mm.sum((p["at"] - center) ** 2)

    circle = Constraint(lambda p, _: mm.sum(p["at"] ** 2), 1.0, 1.0)
    above = Constraint(lambda p, _: {"y": p["at"][1]}, 0.8)
    options = {"maxiter": 2000}
    found = minimize(
        distance,
        {"at": np.array([0.1, 0.9])},
        (np.array([3.0, 4.0]),),
        method=method,
        constraints=[circle],
        options=options,
    )
    assert_allclose(found.parameters["at"], [0.6, 0.8], atol=1e-3)
    found = minimize(
        distance,
        {"at": np.array([0.1, 0.9])},
        (np.array([4.0, 3.0]),),
        method=method,
        constraints=[circle, above],
        options=options,
    )
    assert_allclose(found.parameters["at"], [0.6, 0.8], atol=1e-3)


def test_what_does_not_fit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DtypeError, match="a leaf has dtype int64, and only floats vary"):
        minimize(mm.sum, np.arange(3))
    with pytest.raises(ShapeError, match="must return a scalar"):
        minimize(lambda p: p, np.ones(3))
    original = builtins.__import__

    def without_scipy(name: str, *rest: Any) -> Any:
        if name.startswith("scipy"):
            raise ImportError(name)
        return original(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_scipy)
    with pytest.raises(MissingExtraError, match=r"minimeta\[scipy\]"):
        minimize(rosenbrock, START)


@pytest.mark.parametrize("method", ["BFGS", "trust-constr"])
def test_what_a_callback_returns_is_ignored(method: str) -> None:
    seen: list[Any] = []

    def follow(p: Any) -> Any:
        seen.append(p)
        return p > 0

    assert minimize(rosenbrock, START, method=method, callback=follow).success
    assert len(seen) > 3


def test_other_settings_are_refused() -> None:
    constraint = Constraint(mm.sum, 1.0, 1.0)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"method": "BFSG"}, "there is no method 'bfsg'; there are bfgs, cg"),
        ({"arguments": START}, "arguments is a ndarray, and should be a tuple"),
        ({"constraints": constraint}, r"a list of Constraint\(function, low, high\)"),
        ({"constraints": [{"type": "eq", "fun": mm.sum}]}, r"a list of Constraint\(function, low, high\)"),
        ({"constraints": [Constraint(mm.sum, np.nan)]}, "limits of constraint 0 have nan"),
        ({"bounds": (np.nan, None)}, "bounds have nan in them"),
    ]
    for settings, message in wrong:
        with pytest.raises(ConfigurationError, match=message):
            minimize(rosenbrock, START, **settings)
    with pytest.raises(ConfigurationError, match="nothing to vary"):
        minimize(mm.sum, np.zeros(0))
