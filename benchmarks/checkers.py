"""The gradient checkers of four libraries: each as the operations that cases are written in, and one call.

A checker is asked with the defaults of its library, in float64 where the case is, for reverse mode and second order.
It answers ``"passes"`` or ``"accuses"``; minimeta has more to say. What cannot be asked raises something else.

    python benchmarks/checkers.py LIBRARY        verdicts for all cases, one object of JSON

needs the library alone, and numpy.
"""

from __future__ import annotations

import inspect
import json
import sys
import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from gradient_cases import FAULTS, SOUND, Case

Check = Callable[[Case], str]

NUMPY_NAMES = [
    "sin",
    "cos",
    "exp",
    "log",
    "sqrt",
    "abs",
    "tanh",
    "where",
    "maximum",
    "reshape",
    "sum",
    "transpose",
    "max",
]
"""What jax and autograd call as numpy does, and cases use."""


def minimeta_operations() -> SimpleNamespace:
    """What cases are written in."""
    import minimeta as mm  # noqa: PLC0415 (each library is imported where it is asked)

    return SimpleNamespace(
        **{name: getattr(mm, name) for name in mm.operations.NAMES},
        custom=mm.custom_vjp,
        hold=mm.stop_gradient,
        constant=np.asarray,
        single=lambda x: mm.astype(x, np.float32),
        double=lambda x: mm.astype(x, np.float64),
        known=lambda x: float(mm.stop_gradient(x)),
        backwards=slice(None, None, -1),
    )


def minimeta() -> Check:
    from minimeta import testing  # noqa: PLC0415

    library = minimeta_operations()
    says = {
        testing.GradientMismatch: "accuses",
        testing.Nondifferentiable: "kink",
        testing.Inconclusive: "inconclusive",
        testing.VacuousCheck: "constant",
    }

    def check(case: Case) -> str:
        built = case.build(library)
        try:
            if case.pair:
                testing.check_vjp(*built, *(x.copy() for x in case.arguments))
            else:
                testing.check_gradients(built, *case.arguments)
        except testing.GradientCheckError as verdict:
            return says[type(verdict)]
        return "passes"

    return check


def torch() -> Check:
    import torch  # noqa: PLC0415
    from torch.autograd.gradcheck import GradcheckError  # noqa: PLC0415

    torch.set_num_threads(1)

    def custom(function: Callable[..., Any], rule: Callable[..., Any]) -> Any:
        class Custom(torch.autograd.Function):  # type: ignore[misc]
            @staticmethod
            def forward(ctx: Any, *xs: Any) -> Any:
                y = function(*xs)
                ctx.save_for_backward(*xs, y)
                return y.clone()

            @staticmethod
            def backward(ctx: Any, g: Any) -> Any:
                *xs, y = ctx.saved_tensors
                return rule(g, y, *xs)

        return Custom.apply

    def elsewhere(function: Callable[..., Any], vjp: Callable[..., Any]) -> Any:
        return custom(
            lambda x: torch.from_numpy(function(x.numpy())),
            lambda g, y, x: (torch.from_numpy(vjp(g.numpy(), x.numpy())),),
        )

    library = SimpleNamespace(
        custom=custom,
        constant=torch.from_numpy,
        hold=lambda x: x.detach(),
        single=lambda x: x.float(),
        double=lambda x: x.double(),
        known=lambda x: x.item(),
        backwards=[3, 2, 1, 0],
        sum=lambda x, axis=None: x.sum() if axis is None else x.sum(axis),
        transpose=lambda x: x.T,
        norm=torch.linalg.vector_norm,
        max=lambda x: x.max(),
        **{
            name: getattr(torch, name)
            for name in ("sin", "cos", "exp", "log", "sqrt", "abs", "tanh", "where", "maximum", "reshape")
        },
    )

    def check(case: Case) -> str:
        function = elsewhere(*case.build(library)) if case.pair else case.build(library)
        tensors = [torch.from_numpy(np.array(x)) for x in case.arguments]
        tensors = [x.requires_grad_() if x.is_floating_point() else x for x in tensors]
        try:
            torch.autograd.gradcheck(function, tensors)
            if not case.pair:
                torch.autograd.gradgradcheck(function, tensors)
        except GradcheckError:
            return "accuses"
        return "passes"

    return check


def jax() -> Check:
    import jax  # noqa: PLC0415
    from jax import numpy as jnp  # noqa: PLC0415
    from jax.test_util import check_grads  # noqa: PLC0415

    jax.config.update("jax_enable_x64", True)

    def custom(function: Callable[..., Any], rule: Callable[..., Any]) -> Any:
        own = jax.custom_vjp(function)
        own.defvjp(lambda *xs: (function(*xs), (function(*xs), xs)), lambda kept, g: rule(g, kept[0], *kept[1]))
        return own

    def elsewhere(function: Callable[..., Any], vjp: Callable[..., Any]) -> Any:
        def called(f: Callable[..., Any], *xs: Any) -> Any:
            form = jax.ShapeDtypeStruct(xs[0].shape, xs[0].dtype)
            return jax.pure_callback(lambda *values: f(*map(np.array, values)), form, *xs)

        return custom(lambda x: called(function, x), lambda g, y, x: (called(vjp, g, x),))

    library = SimpleNamespace(
        custom=custom,
        constant=jnp.asarray,
        hold=jax.lax.stop_gradient,
        single=lambda x: x.astype(jnp.float32),
        double=lambda x: x.astype(jnp.float64),
        known=float,
        backwards=slice(None, None, -1),
        norm=jnp.linalg.norm,
        **{name: getattr(jnp, name) for name in NUMPY_NAMES},
    )

    def check(case: Case) -> str:
        function = elsewhere(*case.build(library)) if case.pair else case.build(library)
        whole = [x for x in case.arguments if x.dtype.kind != "f"]
        floats = [jnp.asarray(x) for x in case.arguments if x.dtype.kind == "f"]
        try:
            check_grads(lambda *xs: function(*xs, *whole), floats, order=1 if case.pair else 2, modes=("rev",))
        except (AssertionError, ValueError) as error:
            if isinstance(error, ValueError) and "shape" not in str(error):
                raise
            return "accuses"
        return "passes"

    return check


def autograd() -> Check:
    from autograd import numpy as anp  # noqa: PLC0415
    from autograd.extend import defvjp, primitive  # noqa: PLC0415
    from autograd.test_util import check_grads  # noqa: PLC0415
    from autograd.tracer import getval  # noqa: PLC0415

    def custom(function: Callable[..., Any], rule: Callable[..., Any]) -> Any:
        own = primitive(function)

        def backward(place: int) -> Callable[..., Any]:
            return lambda y, *xs: lambda g: rule(g, y, *xs)[place]

        defvjp(own, *map(backward, range(len(inspect.signature(rule).parameters) - 2)))
        return own

    def elsewhere(function: Callable[..., Any], vjp: Callable[..., Any]) -> Any:
        return custom(function, lambda g, y, x: (vjp(g, x),))

    library = SimpleNamespace(
        custom=custom,
        constant=np.asarray,
        hold=getval,
        single=lambda x: x.astype(np.float32),
        double=lambda x: x.astype(np.float64),
        known=lambda x: float(getval(x)),
        backwards=slice(None, None, -1),
        norm=anp.linalg.norm,
        **{name: getattr(anp, name) for name in NUMPY_NAMES},
    )

    def check(case: Case) -> str:
        function = elsewhere(*case.build(library)) if case.pair else case.build(library)
        whole = [x for x in case.arguments if x.dtype.kind != "f"]
        floats = [np.array(x) if x.ndim else float(x) for x in case.arguments if x.dtype.kind == "f"]
        try:
            order, every = 1 if case.pair else 2, tuple(range(len(floats)))
            np.random.seed(0)  # noqa: NPY002 (what its checker draws from)
            check_grads(lambda *xs: function(*xs, *whole), every, modes=["rev"], order=order)(*floats)
        except AssertionError:
            return "accuses"
        return "passes"

    return check


LIBRARIES = {"minimeta": minimeta, "torch": torch, "jax": jax, "autograd": autograd}


def verdicts(check: Check) -> dict[str, str]:
    """What a checker says of every case, by name."""
    found = {}
    for case in (*FAULTS, *SOUND):
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                found[case.name] = check(case)
        except Exception as error:  # Whatever a library raises is why it cannot be asked.
            found[case.name] = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    return found


if __name__ == "__main__":
    print(json.dumps(verdicts(LIBRARIES[sys.argv[1]]())))
