"""numpy's functions that compute: their values, shapes and dtypes in every way to run them, and their derivatives."""

import warnings
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy_calls import CALLS, VALUES_KNOWN, Call, draw

import minimeta as mm
from minimeta.autodiff.operations import FURTHER
from minimeta.autodiff.protocols import ANSWERS
from minimeta.errors import TracingError
from minimeta.program import interpret, trace
from minimeta.testing import check_gradients
from minimeta.testing.operands import laid_out

#: Operations of numpy's that are primitives are checked as such (test_primitives.py).
CHECKED = [
    call
    for call in CALLS
    if call.differentiable and call.checked and not hasattr(ANSWERS[getattr(np, call.name)], "primitive")
]
every = pytest.mark.parametrize("call", CALLS, ids=[f"{i}-{call.name}" for i, call in enumerate(CALLS)])


def seeds(call: Call, count: int) -> list[np.random.Generator]:
    own = zlib.crc32(call.name.encode())
    return [np.random.default_rng([own, i]) for i in range(count)]


@every
def test_values_are_numpys(call: Call) -> None:
    for i, rng in enumerate(seeds(call, 3)):
        operands = [laid_out(rng, x.astype(["f4", "f8"][i % 2]) if x.dtype.kind == "f" else x) for x in draw(call, rng)]
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of rows that are all NaN
            expected = np.asarray(call.function(*operands))
        eager = mm.compile(call.function, enabled=False)(*operands)
        is_float = operands[0].dtype.kind == "f"
        inside = (
            mm.vjp(call.function, *operands)[0] if is_float else interpret(trace(call.function, *operands), *operands)
        )
        compiled = mm.compile(call.function)(*operands)
        assert (eager.shape, eager.dtype) == (expected.shape, expected.dtype)
        tolerance = 64 * np.finfo(operands[0].dtype).eps if is_float else 1e-15
        scale = max(1.0, float(np.max(np.abs(expected.astype(np.float64)), initial=0.0, where=np.isfinite(expected))))
        assert_allclose(inside, expected, rtol=tolerance, atol=tolerance * scale)
        for found in (eager, compiled):
            assert (found.dtype, found.tobytes()) == (inside.dtype, inside.tobytes())
        if i == 0:
            tasks = [np.stack([x, x]) for x in operands]
            for y in mm.vmap(call.function)(*tasks):
                assert_array_equal(y, inside)


@pytest.mark.parametrize("call", CHECKED, ids=[f"{i}-{call.name}" for i, call in enumerate(CHECKED)])
def test_derivatives(call: Call) -> None:
    (rng,) = seeds(call, 1)
    operands = draw(call, rng, 2, 3)
    check_gradients(lambda *xs: _weighed(call.function(*xs)), *operands, order=2)


def _weighed(y: Any) -> Any:
    weights = np.cos(np.arange(y.size)).reshape(y.shape)
    return mm.sum(weights * mm.exp(0.3 * y))


@pytest.mark.parametrize("call", [c for c in CALLS if not c.differentiable], ids=lambda call: call.name)
def test_what_has_no_derivative_is_a_constant(call: Call) -> None:
    (rng,) = seeds(call, 1)
    operands = draw(call, rng, low=1)

    def function(*xs: Any) -> Any:
        assert getattr(call.function(*xs), "transformation", None) is None
        return mm.sum(mm.square(xs[0]) * 1.0)

    if operands[0].dtype.kind == "f":
        assert_array_equal(mm.grad(function)(*operands), 2.0 * operands[0])


@pytest.mark.parametrize("name", VALUES_KNOWN)
def test_what_depends_on_values_is_known_where_they_are(name: str) -> None:
    x = np.array([[1.2, -0.4, 0.9], [2.1, 2.3, -3.0]])
    found = mm.tree.flatten(mm.vjp(VALUES_KNOWN[name], x)[0])[0]
    for one, other in zip(found, mm.tree.flatten(VALUES_KNOWN[name](x))[0], strict=True):
        assert_array_equal(one, other, strict=True)
    with pytest.raises(TracingError, match=r"while tracing: how many there are depends on values"):
        mm.compile(VALUES_KNOWN[name])(x)


#: Names of numpy's that have the same meaning as others.
SAME = {"deg2rad": "radians", "rad2deg": "degrees", "invert": "bitwise_not", "amax": "max", "amin": "min"}


def test_every_name_is_numpys() -> None:
    for call in CALLS:
        name = SAME.get(call.name, "round" if call.name == "around" else call.name)
        assert ANSWERS[getattr(np, call.name)].__name__.strip("_") == name
        assert hasattr(mm, name) or any(name in names.split() for names in FURTHER.values())
