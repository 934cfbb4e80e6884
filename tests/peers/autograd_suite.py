"""The test files of HIPS/autograd, run against minimeta through numpy's protocols.

The tests are written for ``autograd.numpy``. Here that name is numpy itself, and ``autograd.grad``
and its like are minimeta's: so every function that a test differentiates meets minimeta's Arrays as
any user's numpy code does. ``check_grads`` is ``minimeta.testing.check_gradients``, which is
stricter than what it stands in for. The suite is fetched from PyPI and not part of this repository.

    python tests/peers/autograd_suite.py [-k EXPRESSION]

prints how many tests pass, and the reasons of the others. It needs ``pip``, ``pytest`` and, for
``test_scipy.py``, scipy.
"""

from __future__ import annotations

import collections
import functools
import importlib
import os
import subprocess
import sys
import tarfile
import tempfile
import types
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minimeta as mm
from minimeta.testing import Nondifferentiable, check_gradients

SUITE = "autograd==1.9.1"

#: What tests autograd's own machinery, which has no counterpart here.
OWN = {
    "test_core.py": "the tracer without numpy",
    "test_vspaces.py": "vector spaces",
    "test_tests.py": "messages of its checker",
    "test_performance.py": "its speed",
    "test_ufunc_dispatch.py::test_grad_through": "xarray",
    "test_ufunc_dispatch.py::test_grad_through_box": "xarray",
    "test_misc.py::test_const_graph": "a cache of its graphs",
    "test_misc.py::test_flatten_complex": "complex arguments",
    "test_wrappers.py::test_deprecated": "names it has dropped",
    "test_wrappers.py::test_wrapped_name_and_docs": "names of its functions",
    "test_wrappers.py::test_custom_where": "its variant of where",
    "test_numpy.py::test_make_diagonal": "a function of its own",
    "test_numpy.py::test_diagonal": "a function of its own",
    "test_linalg.py::test_pinv": "a function of its own",
    "test_direct.py::test_holomorphic": "complex arguments",
    "test_scipy.py::test_norm_": "distributions of scipy.stats",
    "test_scipy.py::test_mvn": "distributions of scipy.stats",
    "test_scipy.py::test_dirichlet": "distributions of scipy.stats",
    "test_scipy.py::test_beta_": "distributions of scipy.stats",
    "test_scipy.py::test_gamma_": "distributions of scipy.stats",
    "test_scipy.py::test_poisson": "distributions of scipy.stats",
    "test_scipy.py::test_t_": "distributions of scipy.stats",
    "test_scipy.py::test_chi2": "distributions of scipy.stats",
    "test_scipy.py::test_convolve": "scipy.signal, and an option of its own",
    "test_scipy.py::test_odeint": "scipy.integrate",
    "test_fft.py::test_rfftn_odd_not_implemented": "what it does not implement",
    "test_wrappers.py::test_dtypes": "float16 and longdouble",
    "test_logic.py::test_no_": "functions without a rule, by its decorator",
    "test_logic.py::test_unimplemented_falseyness": "a table of its rules",
}

#: Functions of scipy's that nothing answers for, by the tests of test_scipy.py.
UNANSWERED = {
    "betainc", "gammainc", "gammaincc", "polygamma", "jn", "yn", "gammasgn", "rgamma", "multigammaln", "j0", "j1",
    "y0", "y1", "iv", "ive", "erfcinv", "sqrtm", "solve_sylvester", "solve_banded",
}  # fmt: skip

Transform = Callable[..., Any]


def main(arguments: Sequence[str]) -> int:
    """Fetch the suite, run it in a temporary folder, and print the table."""
    with tempfile.TemporaryDirectory() as folder:
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "autograd"]
        subprocess.run([*download, "--dest", folder, SUITE], check=True)
        (archive,) = Path(folder).glob("autograd-*.tar.gz")
        with tarfile.open(archive) as package:
            package.extractall(folder, filter="data")
        (tests,) = Path(folder).glob("autograd-*/tests")
        options = ["-q", "-p", "autograd_suite", "-p", "no:cacheprovider", "--tb=no", "--no-header", "-W", "ignore"]
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
        run = [sys.executable, "-m", "pytest", *options, f"--rootdir={tests}", str(tests), *arguments]
        return subprocess.run(run, cwd=tests, env=environment, check=False).returncode


# autograd's functions, in minimeta's


def _real(x: Any) -> Any:
    """Return a tree of numbers as float arrays; Python's numbers are float64 there."""

    def leaf(x: Any) -> Any:
        if isinstance(x, mm.Array):
            return x
        x = np.asarray(x)
        if x.dtype.kind == "c":
            raise ComplexArgumentError
        return x if x.dtype in (np.float32, np.float64) else x.astype(np.float64)

    return mm.tree.map(leaf, x)


class ComplexArgumentError(Exception):
    """The test differentiates with respect to complex numbers."""


def unary_to_nary(operator: Transform) -> Transform:
    """Turn an operator on functions of one argument into one that takes the number of the argument, or several."""

    @functools.wraps(operator)
    def nary(function: Callable[..., Any], argnum: Any = 0, *settings: Any, **named: Any) -> Callable[..., Any]:
        def transformed(*arguments: Any, **keywords: Any) -> Any:
            places = [argnum] if isinstance(argnum, int) else list(argnum)

            def unary(x: Any) -> Any:
                given = list(arguments)
                for place, each in zip(places, [x] if isinstance(argnum, int) else x, strict=True):
                    given[place] = each
                return function(*given, **keywords)

            unary.__name__ = getattr(function, "__name__", "function")
            chosen = tuple(_real(arguments[place]) for place in places)
            return operator(unary, chosen[0] if isinstance(argnum, int) else chosen, *settings, **named)

        return transformed

    return nary


def _ones(y: Any) -> Any:
    return mm.tree.map(lambda leaf: np.ones(np.shape(leaf), leaf.dtype), y)


def _check_size(y: Any) -> None:
    if sum(np.size(leaf) for leaf in mm.tree.flatten(y)[0]) != 1:
        raise TypeError("grad is of a function with one number")
    if any(np.asarray(leaf).dtype.kind not in "fc" for leaf in mm.tree.flatten(y)[0] if not isinstance(leaf, mm.Array)):
        raise TypeError("grad is of a function with a float")


def grad(function: Transform, x: Any) -> Any:
    y, pullback = mm.vjp(function, x)
    _check_size(y)
    return pullback(_ones(y))[0]


def value_and_grad(function: Transform, x: Any) -> Any:
    y, pullback = mm.vjp(function, x)
    _check_size(y)
    return y, pullback(_ones(y))[0]


def grad_and_aux(function: Transform, x: Any) -> Any:
    y, pullback, aux = mm.vjp(function, x, has_aux=True)
    return pullback(_ones(y))[0], aux


def elementwise_grad(function: Transform, x: Any) -> Any:
    y, pullback = mm.vjp(function, x)
    return pullback(_ones(y))[0]


def make_vjp(function: Transform, x: Any) -> Any:
    y, pullback = mm.vjp(function, x)
    return lambda g: pullback(g)[0], y


def make_jvp(function: Transform, x: Any) -> Any:
    return lambda v: mm.jvp(function, (x,), (v,))


def deriv(function: Transform, x: Any) -> Any:
    return mm.jvp(function, (x,), (_ones(x),))[1]


def make_hvp(function: Transform, x: Any) -> Any:
    return lambda v: mm.hvp(function, (x,), (v,))[0], None


def hessian_tensor_product(function: Transform, argnum: int = 0) -> Any:
    return lambda x, v: mm.hvp(function, (_real(x),), (v,))[0]


def tensor_jacobian_product(function: Transform, argnum: int = 0) -> Any:
    def product(*arguments: Any) -> Any:
        x, v = arguments
        # The leading axes of the result meet the tensor's, and the others stay.
        return jacobian(lambda x: np.tensordot(v, function(x), axes=np.ndim(v)))(x)

    return product


def make_ggnvp(function: Transform, g: Transform = lambda y: 0.5 * np.sum(y**2, axis=-1)) -> Any:
    def at(x: Any) -> Any:
        def product(v: Any) -> Any:
            y, forward = mm.jvp(function, (x,), (v,))
            return mm.vjp(function, x)[1](mm.hvp(g, (y,), (forward,))[0])[0]

        return product

    return at


def flatten(value: Any) -> Any:
    if not mm.tree.flatten(value)[0]:
        return np.zeros(0), lambda vector: value
    return mm.tree.ravel(value)


def _zero(x: Any) -> Any:
    return sum(0.0 * mm.sum(leaf) for leaf in mm.tree.flatten(x)[0])


def check_grads(function: Transform, x: Any, modes: Sequence[str] = ("fwd", "rev"), order: int = 2) -> None:
    CHECKED.append(function)
    if not any(np.asarray(y).dtype.kind == "f" for y in mm.tree.flatten(function(x))[0]):
        mm.grad(lambda x: (_zero(x), function(x)), has_aux=True)(x)  # an answer without a derivative
        return
    try:
        check_gradients(function, x, order=order, may_be_constant=True)
    except Nondifferentiable:
        pytest.skip("a kink, where autograd has a convention and our checker no derivative")


CHECKED: list[Any] = []


def combo_check(function: Transform, *settings: Any, **named: Any) -> Callable[..., None]:
    """Check every combination of the arguments that is real."""

    def check(*arguments: Any, **keywords: Any) -> None:
        choices = [[(name, value) for value in values] for name, values in keywords.items()]
        for given in product(*arguments):
            for chosen in product(*choices):
                if not any(map(np.iscomplexobj, mm.tree.flatten(given)[0])):
                    check_grads_nary(function, *settings, **named)(*given, **dict(chosen))

    return check


check_grads_nary = unary_to_nary(check_grads)
jacobian = unary_to_nary(lambda function, x: mm.jacobian(function)(x))


def check_equivalent(x: Any, y: Any) -> None:
    for one, other in zip(mm.tree.flatten(x)[0], mm.tree.flatten(y)[0], strict=True):
        assert np.shape(one) == np.shape(other)
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


def _sequence(kind: type) -> type:
    class Meta(type):
        def __instancecheck__(cls, instance: Any) -> bool:
            return isinstance(instance, kind)

        def __call__(cls, *arguments: Any, **keywords: Any) -> Any:
            return kind(*arguments, **keywords)

    return Meta(kind.__name__, (), {})


def _same(*unused: Any, **named: Any) -> Any:
    raise NotImplementedError("autograd's own")


NARY = {
    each.__name__: unary_to_nary(each)
    for each in (grad, value_and_grad, grad_and_aux, elementwise_grad, make_vjp, make_jvp, deriv, make_hvp)
} | {
    "holomorphic_grad": _same,
    "jacobian": jacobian,
    "hessian": unary_to_nary(lambda function, x: mm.hessian(function)(x)),
    "checkpoint": mm.rematerialize,
}
CONTAINERS = {"isinstance": lambda x, kind: isinstance(np.zeros(0) if isinstance(x, mm.Array) else x, kind)} | {
    kind.__name__: _sequence(kind) for kind in (tuple, list, dict)
}
MODULES: dict[str, dict[str, Any]] = {
    "": NARY
    | CONTAINERS
    | {
        "hessian_tensor_product": hessian_tensor_product,
        "tensor_jacobian_product": tensor_jacobian_product,
        "make_ggnvp": make_ggnvp,
    },
    "builtins": CONTAINERS,
    "test_util": {
        "check_grads": check_grads_nary,
        "combo_check": combo_check,
        "check_equivalent": check_equivalent,
        "scalar_close": lambda x, y: bool(np.isclose(x, y, 1e-6, 1e-6)),
    },
    "core": {"make_vjp": make_vjp, "primitive_vjps": {}, "vspace": _same, "primitive": _same},
    "extend": {"primitive": _same, "defvjp": _same},
    "tracer": {"primitive": lambda function: function, "isbox": lambda x: isinstance(x, mm.Array)},
    "misc": {"flatten": flatten, "const_graph": _same},
    "wrap_util": {"unary_to_nary": unary_to_nary},
    "util": {},
}


def _install() -> None:
    """Let ``import autograd`` find the functions above, and numpy and scipy under its names."""
    for name, contents in MODULES.items():
        path = f"autograd.{name}".rstrip(".")
        module = sys.modules[path] = types.ModuleType(path)
        module.__path__ = []
        vars(module).update(contents)
        if name:
            setattr(sys.modules["autograd"], name, module)
    aliases = ["numpy", "numpy.random", "numpy.linalg", "numpy.fft"]
    if importlib.util.find_spec("scipy"):
        aliases += ["scipy", *(f"scipy.{name}" for name in ("signal", "special", "stats", "linalg", "integrate"))]
        stats = importlib.import_module("scipy.stats")
        sys.modules["autograd.scipy.stats.multivariate_normal"] = stats.multivariate_normal
    for name in aliases:
        sys.modules[f"autograd.{name}"] = importlib.import_module(name)
        if "." not in name:
            setattr(sys.modules["autograd"], name, sys.modules[name])


# The run: a plugin of pytest


def pytest_configure(config: pytest.Config) -> None:
    _install()


def _why_not(item: pytest.Item) -> str | None:
    place = f"{Path(str(item.fspath)).name}::{item.name}"
    if place.removeprefix("test_scipy.py::test_") in UNANSWERED:
        return "a function of scipy's that nothing answers for"
    return next((reason for name, reason in OWN.items() if place.startswith(name)), None)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Any:
    CHECKED.clear()
    if reason := _why_not(item):
        pytest.skip(reason)
    outcome = yield
    if "combo" in item.function.__code__.co_names and not CHECKED:  # type: ignore[attr-defined]
        pytest.skip("complex")
    if outcome.excinfo and isinstance(outcome.excinfo[1], ComplexArgumentError):
        pytest.skip("complex")


RESULTS: dict[str, list[tuple[str, str]]] = collections.defaultdict(list)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = (yield).get_result()
    if call.when == "call":
        error = call.excinfo.value if call.excinfo else None
        lines = str(error).splitlines() if error else []
        reason = f"{type(error).__name__}: {lines[0] if lines else ''}"
        RESULTS[report.outcome].append((item.nodeid.removeprefix("tests/"), reason))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the failures by reason, and the score."""
    write = terminalreporter.write_line
    reasons = collections.defaultdict(list)
    for test, reason in RESULTS["failed"]:
        reasons[reason[:150]].append(test)
    for reason, tests in sorted(reasons.items(), key=lambda each: -len(each[1])):
        write(f"{len(tests):4}  {reason}")
        for test in tests:
            write(f"        {test}")
    left_out = collections.Counter(reason for _, reason in RESULTS["skipped"])
    for reason, count in left_out.most_common():
        write(f"{count:4}  left out: {reason}")
    passed, failed = len(RESULTS["passed"]), len(RESULTS["failed"])
    write(f"{passed} of {passed + failed} tests in scope pass: {100 * passed / max(passed + failed, 1):.1f} %")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
