"""Write docs/numpy.md: every public callable of numpy's, and what becomes of it when it is called on an Array.

    python docs/numpy_page.py

What answers is read from the table of answers, and whether it has a derivative is found by calling it on an Array that
is being differentiated. What is refused has its reason in the table of remedies. Nothing of it is written down twice.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import minimeta as mm
from minimeta.autodiff.array import Array
from minimeta.autodiff.complex_numbers import ComplexArray
from minimeta.autodiff.protocols import found
from minimeta.autodiff.remedies import REMEDIES

PAGE = Path(__file__).parent / "numpy.md"
VERSION = ".".join(np.__version__.split(".")[:2])
MODULES = {"np": np, "np.linalg": np.linalg, "np.fft": np.fft}

X = np.array([[2.0, 0.3, 0.1], [0.3, 3.0, 0.2], [0.1, 0.2, 4.0]])
EYE = np.eye(3)

#: What a function is called with until a call is taken.
CALLS: list[Callable[[Any, Any], Any]] = [
    lambda f, x: f(x),
    lambda f, x: f(x, x),
    lambda f, x: f(x[0]),
    lambda f, x: f(x[0], x[1]),
    lambda f, x: f([x, x]),
    lambda f, x: f(x, 1),
    lambda f, x: f(x, 0, 1),
    lambda f, x: f(x, 0.5),
    lambda f, x: f(0.5 * x - 0.6),
    lambda f, x: f(x, (3, 3)),
    lambda f, x: f(x > 0, x),
    lambda f, x: f(x, [0], 0),
    lambda f, x: f(x, 1, 2.0),
    lambda f, x: f(x.astype(np.int64)),
    lambda f, x: f(x.astype(np.int64), 1),
]

#: What makes arrays, and is handed an Array by the argument `like`.
MAKERS = ("array", "asanyarray", "asarray", "ascontiguousarray", "asfortranarray", "require")

#: Calls of functions that none of these fits.
OWN_CALLS: dict[str, Callable[[Any], Any]] = {
    "np.apply_along_axis": lambda x: np.apply_along_axis(np.sum, 0, x),
    "np.apply_over_axes": lambda x: np.apply_over_axes(np.sum, x, [0]),
    "np.bincount": lambda x: np.bincount([0, 1, 1], x[0]),
    "np.choose": lambda x: np.choose([0, 1, 0], [x, x]),
    "np.clip": lambda x: np.clip(x, 0.0, 9.0),
    "np.cross": lambda x: np.cross(x, x[0]),
    "np.dsplit": lambda x: np.dsplit(x[None], 3),
    "np.einsum": lambda x: np.einsum("ij,jk", x, x),
    "np.full": lambda x: np.full(3, x[0, 0], like=x),
    "np.full_like": lambda x: np.full_like(x, x[0, 0]),
    "np.fft.irfft": lambda x: np.fft.irfft(x[0]),
    "np.imag": lambda x: np.imag(np.fft.rfft(x)),
    "np.interp": lambda x: np.interp(x[0], [0.0, 1.0, 5.0], x[1]),
    "np.linalg.matrix_power": lambda x: np.linalg.matrix_power(x, 3),
    "np.linalg.multi_dot": lambda x: np.linalg.multi_dot([x, x, x]),
    "np.linalg.tensorinv": lambda x: np.linalg.tensorinv(x, 1),
    "np.linalg.tensorsolve": lambda x: np.linalg.tensorsolve(x, x[0]),
    "np.piecewise": lambda x: np.piecewise(x, [x > 1.0], [np.sin, np.cos]),
    "np.polyfit": lambda x: np.polyfit(x[0], x[1], 1),
    "np.ravel_multi_index": lambda x: np.ravel_multi_index(np.argsort(x, 0), (3, 3, 3)),
    "np.select": lambda x: np.select([x > 1.0], [x]),
    "np.take_along_axis": lambda x: np.take_along_axis(x, np.argsort(EYE, 0), 0),
    "np.unpackbits": lambda x: np.unpackbits(np.packbits(x > 0)),
    "np.unravel_index": lambda x: np.unravel_index(np.argsort(x), (3, 3)),
    "np.where": lambda x: np.where(x > 0, x, 0.0),
    **{f"np.{name}": lambda x, name=name: getattr(np, name)([x[0], x[1]], like=x) for name in MAKERS},  # type: ignore[misc]
}


def callables() -> Iterator[tuple[str, Any]]:
    """The public callables of numpy's by name, those of each module in the order of the alphabet."""
    for prefix, module in MODULES.items():
        for name in sorted(dir(module), key=str.lower):
            function = getattr(module, name) if not name.startswith("_") else None
            if callable(function) and not (isinstance(function, type) and issubclass(function, BaseException)):
                yield f"{prefix}.{name}", function


def has_derivative(name: str, function: Any) -> bool:
    """Whether some result of a call depends on an Array that is being differentiated.

    Raises
    ------
    ValueError
        No call is taken: it needs one of its own.
    """
    calls = [OWN_CALLS[name]] if name in OWN_CALLS else [lambda x, call=call: call(function, x) for call in CALLS]
    answered = False
    for call in calls:
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                depends = _depends(call)
        except Exception:  # It was called in a way that it does not take.
            continue
        answered = True
        if depends:
            return True
    if not answered:
        raise ValueError(f"no call of {name} is taken; write one into OWN_CALLS")
    return False


def _depends(call: Callable[[Any], Any]) -> bool:
    depends: list[bool] = []

    def function(x: Any) -> Any:
        result = call(x)
        parts = result if isinstance(result, (tuple, list)) else [result]
        parts = [half for y in parts for half in ((y.real, y.imag) if isinstance(y, ComplexArray) else (y,))]
        depends.append(
            any(isinstance(y, Array) and y.dtype.kind == "f" and y.transformation is not None for y in parts)
        )
        return mm.sum(x)

    mm.grad(function)(X)
    return depends[0]


def fate(name: str, function: Any) -> tuple[str, str]:
    """What becomes of a callable, in a word, and what answers or why nothing does."""
    bare = name.removeprefix("np.")
    answer = found(function)
    if answer is function:
        return "constant", "numpy itself, of numbers (`like=`)"
    if answer is not None:
        kind = "differentiable" if has_derivative(name, function) else "constant"
        return kind, f"`{_title(answer)}`"
    if bare in REMEDIES:
        return "refused", REMEDIES[bare]
    if isinstance(function, type):
        if issubclass(function, np.generic):
            return "no array", "a dtype"
        return "no array", "a class of numpy's, which an Array is never handed to"
    if not isinstance(function, np.ufunc) and not hasattr(function, "_implementation"):
        return "no array", "it is not asked of an Array: what it is given, or makes, are values"
    return "refused", "it has no derivative here; `custom_vjp` calls it on values and takes a rule"


def _title(answer: Any) -> str:
    module = answer.__module__.removeprefix("minimeta.autodiff.operations.").removeprefix("minimeta.autodiff.")
    name: str = answer.__name__
    for place, public in (("minimeta", mm), ("minimeta.linalg", mm.linalg), ("minimeta.fft", mm.fft)):
        if getattr(public, name, None) is answer:
            return f"{place}.{name}"
    return f"{module}.{name}" if name != "<lambda>" else module


def page() -> str:
    """The text of docs/numpy.md."""
    rows = [(name, *fate(name, function)) for name, function in callables()]
    count = {
        kind: sum(row[1] == kind for row in rows) for kind in ("differentiable", "constant", "refused", "no array")
    }
    lines = [
        "# numpy's functions on Arrays",
        "",
        "Inside a transformation (`grad`, `vjp`, `vmap`, `compile`, ...) numpy's functions are handed Arrays.",
        "This page lists every public callable of `numpy`, `numpy.linalg` and `numpy.fft`, and what",
        f"becomes of it then, in numpy {VERSION}. `python docs/numpy_page.py` writes it.",
        "",
        "- **differentiable**: an operation of minimeta's answers, and has derivatives of every order "
        f"({count['differentiable']}).",
        f"- **constant**: it is answered, and its result is a constant to every derivative ({count['constant']}).",
        f"- **refused**: by an error that says what to write instead ({count['refused']}).",
        f"- **no array**: it takes none, and works as ever ({count['no array']}).",
    ]
    for prefix in MODULES:
        lines += ["", f"## {prefix}", "", "| callable | on an Array | by, or why not |", "|---|---|---|"]
        lines += [
            f"| `{name}` | {kind} | {text.replace('|', chr(92) + '|')} |"
            for name, kind, text in rows
            if name.rpartition(".")[0] == prefix
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
