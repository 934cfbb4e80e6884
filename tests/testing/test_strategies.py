"""What is drawn is of its domain, and a property-based test finds what is wrong and no more."""

import sys
from typing import Any

import numpy as np
import pytest
from fresh_python import run
from hypothesis import given
from hypothesis import strategies as st

import minimeta as mm
from minimeta.errors import ConfigurationError
from minimeta.testing import (
    Constrained,
    GradientMismatch,
    VacuousCheck,
    arrays,
    broadcastable,
    gradients,
    like,
    one_hot,
    orthogonal,
    positive_definite,
    simplex,
    symmetric,
)
from minimeta.testing.property import PROFILES


@given(
    st.sampled_from([("real", -3, 3), ("nonzero", -3, 3), ("positive", 0, 3), ("unit", -1, 1), ((2.0, 5.0), 2, 5)]),
    st.sampled_from(["float32", "float64"]),
    st.booleans(),
    st.data(),
)
def test_arrays(domain: Any, dtype: str, layout: bool, data: st.DataObject) -> None:
    name, low, high = domain
    x = data.draw(arrays((3, 4), dtype, name, layout=layout))
    assert x.shape == (3, 4) and x.dtype == dtype
    assert np.all((low < x) & (x < high)) and np.all(np.abs(x) > 0.01)
    assert len(np.unique(x)) == 12
    assert np.unique(data.draw(arrays((3, 4), dtype, name, ties="force"))).size < 12


@given(arrays(None), broadcastable(3))
def test_shapes(x: Any, row: Any) -> None:
    assert x.ndim <= 3 and all(side <= 4 for side in x.shape)
    assert np.broadcast_shapes(*(y.shape for y in row)) is not None and len(row) == 3


@given(like({"w": np.ones((2, 3), np.float32), "n": 3, "b": [0.5, None]}))
def test_trees_like_a_template(tree: Any) -> None:
    assert tree["w"].shape == (2, 3) and tree["w"].dtype == np.float32
    assert tree["n"] == 3 and tree["b"][1] is None and np.shape(tree["b"][0]) == ()


@given(symmetric(3), positive_definite(3), orthogonal(3), simplex(4), one_hot(5, 2))
def test_constrained(s: Constrained, p: Constrained, q: Constrained, w: Constrained, e: Constrained) -> None:
    values = [np.asarray(mm.vjp(lambda z, x=x: Constrained(z, x.kind).value(), x.free)[0]) for x in (s, p, q, w)]
    np.testing.assert_array_equal(values[0], values[0].T)
    assert np.linalg.eigvalsh(values[1]).min() >= 1 - 1e-12
    np.testing.assert_allclose(values[2] @ values[2].T, np.eye(3), atol=1e-12)
    assert values[3].min() > 0 and values[3].sum() == pytest.approx(1)
    one = np.asarray(e.value())
    assert one.shape == (2, 5) and np.all(one.sum(1) == 1) and np.all((one == 0) | (one == 1))


@gradients(w=arrays((2, 3)), x=arrays((3,), domain="positive", layout=True))
def test_a_function_is_a_test(w: Any, x: Any) -> Any:
    return mm.sum(mm.tanh(w @ mm.log(x)))


@gradients(pair=broadcastable(), order=1, may_be_constant=True)
def test_broadcasting_is_summed(pair: Any) -> Any:
    return pair[0] * pair[1]


@gradients(p=positive_definite(2), q=simplex(3), labels=one_hot(3, 2))
def test_constrained_arguments(p: Any, q: Any, labels: Any) -> Any:
    return mm.sum(mm.sin(p)) * mm.sum(labels * mm.log(q))


@gradients(x=arrays((4,), ties="any"), order=2)
def test_points_without_a_derivative_are_drawn_again(x: Any) -> Any:
    return mm.max(x)


def test_a_fault_is_found_and_shrunk() -> None:
    @gradients(x=arrays(None))
    def wrong(x: Any) -> Any:
        return mm.custom_vjp(mm.sin, lambda g, y, x: (g * mm.where(x > 1.0, 1.0, mm.cos(x)),))(x)

    with pytest.raises(GradientMismatch) as caught:
        wrong()
    assert caught.value.culprit == "custom_vjp"
    assert ".reshape(())" in caught.value.reproduce  # the simplest shape that has an element


def test_arguments_are_given_by_name() -> None:
    @gradients(second=arrays((2,)), first=arrays((3,)))
    def wrong(first: Any, second: Any) -> Any:
        assert (first.shape, second.shape) == ((3,), (2,))
        own = mm.custom_vjp(mm.sin, lambda g, y, x: (g * x,))
        return mm.sum(first * first) + mm.sum(own(second))

    with pytest.raises(GradientMismatch, match=r"direction  second\["):
        wrong()


def test_what_tests_nothing_says_so() -> None:
    @gradients(x=arrays((3,), ties="force"))
    def tied(x: Any) -> Any:
        return mm.max(x) * mm.max(0.0 * x)

    @gradients(x=arrays((3,), domain=(0.0, 0.0)))
    def kinked(x: Any) -> Any:
        return mm.relu(x)

    @gradients(x=arrays((3,)))
    def constant(x: Any) -> Any:
        return mm.sum(mm.stop_gradient(x))

    for test in (tied, kinked, constant):
        with pytest.raises(VacuousCheck):
            test()


def test_profiles_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(PROFILES) == ["dev", "ci", "nightly"]
    with pytest.raises(ConfigurationError, match="profile='daily' is none of dev, ci, nightly"):
        gradients(profile="daily", x=arrays(()))
    monkeypatch.setenv("MINIMETA_PROFILE", "ci")
    count = []

    @gradients(x=arrays((2,)), order=1)
    def counted(x: Any) -> Any:
        count.append(1)
        return mm.sum(x * x)

    counted()
    assert len(count) >= PROFILES["ci"]


def test_without_hypothesis_seeds_are_fixed() -> None:
    program = (
        "import sys\n"
        "sys.modules['hypothesis'] = None\n"
        "import minimeta as mm\n"
        "from minimeta.testing import arrays, check_primitive, gradients\n"
        "@gradients(x=arrays((3,)))\n"
        "def right(x):\n"
        "    return mm.sum(mm.sin(x))\n"
        "right()\n"
        "print(check_primitive('sin', 2).oracle, arrays((2,)).example(3).shape)\n"
    )
    done = run(program)
    assert (done.stdout, done.stderr) == ("complex step (2,)\n", "")


def test_hypothesis_is_loaded_when_it_is_needed() -> None:
    done = run("import minimeta.testing, sys; print('hypothesis' in sys.modules)")
    assert done.stdout == "False\n"
    assert "hypothesis" in sys.modules
