"""minimeta: gradients of any order and optimisation-based meta-learning on numpy arrays.

    >>> import minimeta as mm
    >>> mm.grad(mm.grad(mm.sin))(0.5)
    array(-0.47942554)

Outside of a transformation everything is numpy in and numpy out. Here are the derivatives and all
operations; networks are in ``minimeta.nn``, optimisers in ``minimeta.optim``, meta-learners in
``minimeta.learners``, task distributions in ``minimeta.tasks``, reinforcement learning in
``minimeta.rl``, and training loops in ``minimeta.training``. ``minimeta.optimize`` minimises by
scipy's methods, and ``minimeta.testing`` checks gradients. These packages are imported when they
are first asked for.
"""

from minimeta import starting  # noqa: F401 (first of all, for the command)

# isort: split
from importlib import import_module
from threading import RLock
from typing import TYPE_CHECKING

from minimeta import errors
from minimeta.autodiff import (
    Array,
    Form,
    custom_vjp,
    grad,
    hvp,
    jvp,
    operations,
    rematerialize,
    tree,
    value_and_grad,
    vjp,
)
from minimeta.autodiff.user_primitive import primitive
from minimeta.threads import get_num_threads, set_num_threads

__version__ = "0.1.0"

__all__ = [
    "Array",
    "Form",
    "compile",
    "custom_vjp",
    "errors",
    "get_num_threads",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "load",
    "operations",
    "primitive",
    "rematerialize",
    "save",
    "set_num_threads",
    "tree",
    "value_and_grad",
    "vjp",
    "vmap",
]
if TYPE_CHECKING:
    from minimeta import fft, learners, linalg, nn, optim, prediction, rl, special, storage, tasks, testing, training  # noqa: F401
    from minimeta.autodiff.operations import *  # noqa: F403
    from minimeta.prediction import load
    from minimeta.program import compile, hessian, jacobian, vmap
    from minimeta.storage import save
else:
    __all__ += operations.NAMES  # noqa: PLE0605 (type checkers read the imports above)

    PACKAGES = [
        "fft",
        "learners",
        "linalg",
        "nn",
        "optim",
        "optimize",
        "prediction",
        "program",
        "rl",
        "special",
        "storage",
        "tasks",
        "testing",
        "training",
    ]

    PACKAGE_OF = {"load": "prediction", "save": "storage"}
    PACKAGE_OF |= dict.fromkeys(("compile", "hessian", "jacobian", "vmap"), "program")

    # Where two threads wait for what the other imports, Python hands out modules that are half imported.
    ONE_AT_A_TIME = RLock()

    def __getattr__(name):
        if name in operations.NAMES:
            found = getattr(operations, name)
        elif name in PACKAGE_OF:
            found = getattr(__getattr__(PACKAGE_OF[name]), name)
        elif name in PACKAGES:
            with ONE_AT_A_TIME:
                found = import_module(f"{__name__}.{name}")
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = found
        return found

    def __dir__():
        return sorted({*globals(), *__all__})
