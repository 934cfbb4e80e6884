"""What a check says where it passes, and where it does not."""

from typing import Any

import numpy as np
import pytest
from drawing import share
from hypothesis import given
from hypothesis import strategies as st

import minimeta as mm
from minimeta import nn
from minimeta.autodiff import graph
from minimeta.errors import ConfigurationError
from minimeta.testing import (
    Constrained,
    GradientMismatch,
    Nondifferentiable,
    VacuousCheck,
    check_gradients,
)

POINT = np.array([0.3, -1.2, 0.7])


def nearly_tanh(x: Any) -> Any:
    return mm.custom_vjp(mm.tanh, lambda g, y, x: (g * (1.001 - y * y),))(x)


def test_a_report_says_what_was_seen() -> None:
    report = check_gradients(lambda x, y: mm.sum(mm.sin(x) * mm.stop_gradient(x)), POINT, 2.0, order=3)
    assert report.oracle == "complex step"
    assert [row.order for row in report.orders] == [1, 2, 3]
    assert all(row.error < 1e-14 and row.bounds < 1 for row in report.orders)
    assert report.constant == ("y",) and report.held == 1
    assert {"linearity", "symmetry", "compiled", "threads", "adjointness"} <= set(report.identities)
    text = str(report)
    assert "order 3: complex step" in text and "does not depend on y" in text and "1 stop_gradient" in text


def test_outputs_that_numpy_joined_are_outputs() -> None:
    report = check_gradients(lambda x: {"pair": np.array([x[0] ** 2, x[1] * x[2]])}, POINT)
    assert report.oracle == "complex step" and not report.constant


@pytest.mark.parametrize("point", [(0.0, -1.5), (0.0, 1.5), (2.0, 0.0), (-2.0, 0.0)])
def test_angles_on_an_axis(point: tuple[float, float]) -> None:
    # pi in float64 has a sine of 1e-16, which the oracle must not take for a slope.
    check_gradients(lambda x: np.arctan2(x[0], x[1]), np.array(point))
    check_gradients(lambda y: np.arctan2(0.0, y) * y, np.array(-1.5))


def test_what_cannot_be_traced_is_compared_with_central_differences() -> None:
    def branching(x: Any) -> Any:
        return mm.sum(x * x * x) if float(mm.stop_gradient(x[0])) > 0 else mm.sum(mm.sin(x))

    report = check_gradients(branching, POINT)
    assert report.oracle == "central difference" and "while tracing" in report.reason
    assert all(row.error < 1e-9 for row in report.orders)
    with pytest.raises(GradientMismatch) as caught:
        check_gradients(lambda x: branching(nearly_tanh(x)), POINT)
    assert (caught.value.oracle, caught.value.order) == ("central difference", 1)


def test_a_kink_is_found_without_a_trace_too() -> None:
    def untraceable(x: Any) -> Any:
        float(mm.stop_gradient(x[0]))
        return mm.sum(mm.absolute(x))

    check_gradients(untraceable, POINT)
    check_gradients(lambda x: untraceable(x) + mm.sum(x), POINT)
    with pytest.raises(Nondifferentiable):  # The central difference, and the library, say 1 here.
        check_gradients(lambda x: untraceable(x) + mm.sum(x), np.array([0.0, 1.0]))
    with pytest.raises(Nondifferentiable) as caught:
        check_gradients(untraceable, np.array([0.0, 1.0]))
    assert caught.value.oracle == "central difference"


def test_a_kink_that_no_axis_shows() -> None:
    # At the corner of x = y = 0 both axes are smooth, and the diagonal is not.
    def corner(x: Any, y: Any) -> Any:
        return mm.sum(mm.minimum(mm.maximum(x, y), 0.0 * x)) + mm.sum(x)

    with pytest.raises(Nondifferentiable):
        check_gradients(corner, np.zeros(3), np.zeros(3))


def test_a_derivative_made_of_tied_parts_is_wrong_where_the_whole_is_smooth() -> None:
    def first(x: Any, y: Any) -> Any:  # it is x
        return mm.sum(mm.maximum(x, mm.minimum(x, y)))

    check_gradients(first, POINT, POINT + np.array([1.0, -1.0, 0.5]))
    with pytest.raises(GradientMismatch, match="smooth, though made of kinks") as caught:
        check_gradients(first, np.ones(2), np.ones(2))
    assert (caught.value.fault, caught.value.culprit) == ("kinks", "minimum")


def test_a_kink_names_its_instruction() -> None:
    with pytest.raises(Nondifferentiable, match=r"order 1 .*, where relu has two sides\n  at .*test_checker.py"):
        check_gradients(lambda x: mm.sum(mm.sin(mm.relu(x * x - x))), np.array([0.5, 1.0]))
    with pytest.raises(Nondifferentiable, match=r"order 2 .* where relu has two sides"):
        check_gradients(lambda x: mm.sum(mm.relu(x) ** 2), np.array([0.0, 1.0]))
    with pytest.raises(Nondifferentiable, match="where norm is singular"):
        check_gradients(lambda x: mm.norm(x) * mm.cos(x[0]), np.zeros(2))


@share(0.4)
@given(st.floats(-3, 3).filter(lambda x: x == 0 or abs(x) > 1e-100), st.integers(1, 4))
def test_powers_of_a_magnitude_have_kinks_at_0_up_to_their_order(x: float, power: int) -> None:
    def function(x: Any) -> Any:
        return x * mm.absolute(x) ** power if power % 2 else mm.absolute(x) ** (power - 1)

    # x |x|^(2k-1) has 2k - 1 derivatives at 0 that are continuous; |x|^(2k-1) has 2k - 2.
    smooth = power if power % 2 else power - 2
    if x != 0 or smooth >= 2:
        check_gradients(function, x, may_be_constant=True)
    else:
        with pytest.raises(Nondifferentiable) as caught:
            check_gradients(function, x, may_be_constant=True)
        assert caught.value.order == smooth + 1


def test_a_number_that_is_none_may_stand_where_nothing_reads_it() -> None:
    point = np.array([1.0, -1.0])
    check_gradients(lambda x: mm.sum(mm.log(x)[:1]), point)
    check_gradients(lambda x: mm.sum(mm.sqrt(x)[:1]), point)
    # A product of matrices mixes elements: 0 / (2 sqrt(-1)) is NaN, and right is 0.
    with pytest.raises(GradientMismatch, match=r"sqrt is singular(.|\n)*What is not taken still spreads") as caught:
        check_gradients(lambda x: mm.sum((mm.sqrt(x)[:, None] @ np.ones((1, 2)))[0]), point)
    assert caught.value.culprit == "sqrt" and "library    nan" in str(caught.value)


def test_nothing_to_test() -> None:
    with pytest.raises(VacuousCheck, match="no argument that is a float"):
        check_gradients(lambda i: i, 3)
    with pytest.raises(VacuousCheck, match="returns no floats"):
        check_gradients(lambda x: x > 0, POINT)
    with pytest.raises(VacuousCheck, match="may_be_constant=True"):
        check_gradients(lambda x: mm.sum(mm.stop_gradient(x)), POINT)
    with pytest.raises(ConfigurationError, match="order=0"):
        check_gradients(mm.sin, POINT, order=0)
    with pytest.raises(Nondifferentiable, match="infinite or NaN"):
        check_gradients(mm.log, np.array([-1.0, 1.0]))


def test_a_mismatch_names_the_instruction_and_reproduces_itself() -> None:
    def loss(w: Any, x: Any) -> Any:
        hidden = nearly_tanh(w @ x)  # the culprit
        return mm.sum(mm.exp(hidden))

    arguments = (np.array([[0.5, -0.25, 1.5]]), POINT)
    with pytest.raises(GradientMismatch) as caught:
        check_gradients(loss, *arguments, seed=3)
    error = caught.value
    assert (error.culprit, error.order, error.fault, error.oracle) == ("custom_vjp", 1, "value", "complex step")
    assert "test_checker.py" in error.line and "in nearly_tanh" in error.line
    message = str(error)
    assert "direction  w[" in message and "operand 0 = array([1.5" in message

    scope: dict[str, Any] = {}
    exec(error.program, {"np": np}, scope)
    namespace: dict[str, Any] = {"np": np, "loss": loss}
    statements = error.reproduce.splitlines()
    assert statements[-1].startswith("check_gradients(loss, ") and statements[-1].endswith(", order=2, seed=3)")
    with pytest.raises(GradientMismatch) as again:
        exec(error.reproduce, namespace)
    assert str(again.value) == message


def test_the_smallest_program_runs_and_has_the_value() -> None:
    with pytest.raises(GradientMismatch) as caught:
        check_gradients(lambda x: mm.sum(mm.sin(nearly_tanh(x)) * x), POINT)
    scope: dict[str, Any] = {"np": np}
    exec(caught.value.program, scope)
    np.testing.assert_allclose(scope["program"](POINT)[0], np.tanh(POINT), rtol=1e-15)
    assert "np.sin" not in caught.value.program


@pytest.mark.parametrize(
    "wrap",
    [
        mm.rematerialize,
        mm.compile,
        mm.vmap,
        lambda f: mm.rematerialize(mm.vmap(f)),
    ],
)
def test_the_culprit_is_found_inside_of_bodies(wrap: Any) -> None:
    with pytest.raises(GradientMismatch) as caught:
        check_gradients(lambda x: mm.sum(wrap(lambda y: mm.sin(nearly_tanh(y) * 2.0))(x)), POINT)
    assert caught.value.culprit == "custom_vjp"
    assert "whose rule is at" in str(caught.value)


def test_lost_contributions_are_no_instructions_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "_sum", lambda total, contribution: contribution)
    with pytest.raises(GradientMismatch, match="none alone") as caught:
        check_gradients(lambda x: mm.exp(mm.sin(x) * mm.cos(x)), POINT)
    assert caught.value.culprit == ""
    assert "np.exp" not in caught.value.program and "v1 * v2" in caught.value.program


def test_constrained_points_are_reproduced_too() -> None:
    point = {"s": Constrained(np.eye(2), "symmetric"), "n": [1, None], "x": np.linspace(0, 1, 100)}
    with pytest.raises(GradientMismatch) as caught:
        check_gradients(lambda p: mm.sum(nearly_tanh(p["s"])) * mm.sum(p["x"]), point)
    namespace: dict[str, Any] = {"function": lambda p: mm.sum(nearly_tanh(p["s"])) * mm.sum(p["x"])}
    with pytest.raises(GradientMismatch) as again:
        exec(caught.value.reproduce, namespace)
    assert again.value.culprit == "custom_vjp"


def test_tolerances_only_loosen() -> None:
    def nearly(x: Any) -> Any:
        return nearly_tanh(x)

    check_gradients(nearly, POINT, rtol=0.1, order=1)
    check_gradients(nearly, POINT, atol=0.1, order=1)
    with pytest.raises(GradientMismatch):
        check_gradients(nearly, POINT, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1, 30, 3000])
@pytest.mark.parametrize("seed", range(3))
def test_the_bound_is_near_and_does_not_grow_with_size(dtype: str, size: int, seed: int) -> None:
    x = np.linspace(0.1, 2.0, size).astype(dtype)
    report = check_gradients(lambda x: mm.sum(mm.sin(x) / (1.0 + x)), x, seed=seed)
    assert max(row.bounds for row in report.orders) < 0.5
    slightly = mm.custom_vjp(mm.sin, lambda g, y, x: (g * mm.cos(x) * (1 + 1e5 * float(np.finfo(dtype).eps)),))
    with pytest.raises(GradientMismatch):
        check_gradients(lambda x: mm.sum(slightly(x) / (1.0 + x)), x, seed=seed)


@pytest.mark.parametrize("kind", ["symmetric", "positive definite", "orthogonal"])
def test_constrained_arguments_stay_in_their_set(kind: str) -> None:
    seen = []

    def function(x: Any) -> Any:
        seen.append(x)
        return mm.sum(mm.sin(x) @ x)

    z = np.random.default_rng(0).normal(size=(3, 3))
    check_gradients(function, Constrained(z, kind))
    value = mm.vjp(lambda z: Constrained(z, kind).value(), z)[0]
    if kind == "orthogonal":
        np.testing.assert_allclose(value @ value.T, np.eye(3), atol=1e-14)
    else:
        np.testing.assert_array_equal(value, value.T)
    if kind == "positive definite":
        assert np.linalg.eigvalsh(value).min() >= 1


def test_a_loss_of_the_papers_network() -> None:
    model = nn.mlp((1, 40, 40, 1), dtype=np.float64)
    x = np.linspace(-5, 5, 10)[:, None]

    def loss(parameters: Any) -> Any:
        return nn.mean_squared_error(model.apply(parameters, x), np.sin(x))

    parameters = model.init(np.random.default_rng(0))
    assert check_gradients(loss, parameters, order=2).oracle == "complex step"


def test_what_is_made_from_a_function_is_not_called_by_its_name() -> None:
    def cubed(x: Any) -> Any:
        return x**3

    wrong = mm.custom_vjp(cubed, lambda g, y, x: (g * x,))
    with pytest.raises(GradientMismatch) as caught:
        check_gradients(wrong, 2.0)
    assert "check_gradients(function, " in str(caught.value)
