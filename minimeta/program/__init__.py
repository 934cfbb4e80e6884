"""A computation written down once and replayed."""

from typing import TYPE_CHECKING, Any

from minimeta.program.compile import Compiled, compile
from minimeta.program.jacobians import hessian, jacobian
from minimeta.program.passes import PASSES, optimise
from minimeta.program.program import Traced, trace
from minimeta.program.reference import interpret
from minimeta.program.vmap import vmap

if TYPE_CHECKING:
    from minimeta.program.loading import load

__all__ = [
    "PASSES",
    "Compiled",
    "Traced",
    "compile",
    "hessian",
    "interpret",
    "jacobian",
    "load",
    "optimise",
    "trace",
    "vmap",
]


def __getattr__(name: str) -> Any:
    if name != "load":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from minimeta.program.loading import load  # noqa: PLC0415 (only what reads programs needs it)

    globals()["load"] = load
    return load
