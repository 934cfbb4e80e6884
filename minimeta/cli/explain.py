"""``minimeta explain``: a page of HTML about your function and its gradient.

minimeta explain my_module:loss --shape w=3 --shape x=10,3 --shape y=10
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import numpy as np
import tyro
from numpy.typing import NDArray

from minimeta.autodiff import tree
from minimeta.cli.options import JsonOption
from minimeta.counts import whole_number
from minimeta.errors import ComputationError, ConfigurationError, MinimetaError, raising_line
from minimeta.explanation.walkthrough import walkthrough
from minimeta.files import write_atomically
from minimeta.training.configuration import suggestion

Several: TypeAlias = tyro.conf.UseAppendAction[tuple[str, ...]]
_EXAMPLE = "as in: minimeta explain my_module:loss --shape w=3 --shape x=10,3"


@dataclass(frozen=True)
class ExplainOptions(JsonOption):
    """Write a page about a scalar function and its gradient: formulas, program, graph, values, backward pass."""

    function: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODULE:FUNCTION")]
    """The module is looked for in this folder first, then where Python finds it."""
    shape: Several = ()
    """NAME=SIDES, the shape of an argument: x=3, w=4,2, or a= for one number; of an array in a tree: p/0/bias=40."""
    dtype: Several = ()
    """NAME=DTYPE, or the DTYPE of all (default: float64). The gradient is with respect to floats."""
    at: Several = ()
    """NAME=NUMBERS, the elements of an argument in rows (default: drawn from a normal distribution)."""
    seed: int = 0
    """Decides what is drawn."""
    out: Path | None = None
    """File to write (default: FUNCTION.html)."""


def explain(options: ExplainOptions) -> int:
    """Write the page, say where it is, and return the exit code."""
    # What the function prints is no part of the answer.
    with contextlib.redirect_stdout(sys.stderr), _errors_of(options.function):
        function = _found(options.function)
        arguments = _point(function, options)
        text = walkthrough(function, arguments)
    path = options.out or Path(f"{options.function.partition(':')[2]}.html")
    write_atomically(path, text)
    report = {"page": str(path), "function": options.function, "shapes": _shapes(arguments)}
    return options.answer(report, lambda: f"page: {path}")


@contextlib.contextmanager
def _errors_of(place: str) -> Iterator[None]:
    """Say which function raised an error, and in which line."""
    try:
        yield
    except (MinimetaError, OSError, MemoryError):
        raise
    except Exception as error:
        line = "" if isinstance(error, SyntaxError) else raising_line(error)
        raise ComputationError(f"explain: {place} raised {type(error).__name__}: {error}", line) from error


def _shapes(arguments: Any) -> dict[str, list[int]]:
    return {path: list(x.shape) for path, x in zip(tree.paths(arguments), tree.flatten(arguments)[0], strict=True)}


def _found(place: str) -> Callable[..., Any]:
    """Return a function by its module and its name in it."""
    module, _, name = place.partition(":")
    if not module or not name or module.endswith(".py"):
        raise ConfigurationError(f"explain: {place!r} should be MODULE:FUNCTION, the module without .py, {_EXAMPLE}")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found = importlib.import_module(module)
    except ImportError as error:
        raise ConfigurationError(
            f"explain: the module {module!r} cannot be imported ({error}); run the command in the folder of its file"
        ) from error
    finally:
        sys.path.pop(0)
    function = getattr(found, name, None)
    if function is None:
        names = [key for key, value in vars(found).items() if inspect.isfunction(value)]
        raise ConfigurationError(f"explain: {module} has no function {name!r}.{suggestion(name, names)}")
    if not inspect.isfunction(function):
        raise ConfigurationError(f"explain: {place} is no function but {type(function).__name__}; put it into one")
    return function


def _point(function: Callable[..., Any], options: ExplainOptions) -> dict[str, Any]:
    """Return the arguments of the function: given, or drawn."""
    parameters = inspect.signature(function).parameters.values()
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if not names:
        raise ConfigurationError(
            f"explain: {function.__name__} has no arguments with a name, so none can be given a shape; call it from a "
            "function that has"
        )
    shapes = {path: _sides(text) for path, text in _named("shape", options.shape, names)}
    numbers = {path: _numbers(path, text) for path, text in _named("at", options.at, names)}
    dtypes = dict(_named("dtype", [text for text in options.dtype if "=" in text], names))
    otherwise = ["float64", *(text for text in options.dtype if "=" not in text)][-1]
    paths = sorted(shapes | numbers, key=lambda path: names.index(_root(path)))
    roots = set(map(_root, paths))
    missing = [p.name for p in parameters if p.name in names and p.default is p.empty and p.name not in roots]
    if missing or not paths:
        wanted = " ".join(f"--shape {name}=..." for name in missing or names)
        raise ConfigurationError(
            f"explain: {function.__name__} takes {', '.join(names) or 'nothing'}; say the shapes, as in {wanted} "
            "(x=10,3 are 10 rows of 3, a= is one number, and p/0/bias=40 is in a list of dicts)"
        )
    rng = np.random.default_rng(whole_number("explain", "seed", options.seed, 0))
    found = {}
    for path in paths:
        given = numbers.get(path)
        shape = shapes.get(path, () if given is None or given.size == 1 else given.shape)
        if given is not None and given.size != np.prod(shape):
            raise ConfigurationError(f"explain: --at {path} has {given.size} numbers, not those of shape {shape}")
        values = rng.normal(size=shape) if given is None else given.reshape(shape)
        dtype = dtypes.get(path, dtypes.get(_root(path), otherwise))
        found[path] = _converted(path, values, dtype, given is None)
    if not any(x.dtype.kind == "f" for x in found.values()):
        raise ConfigurationError("explain: no argument is of floats, so there is no gradient; give one a float --dtype")
    return _nested(found)


def _root(path: str) -> str:
    return path.partition("/")[0]


def _nested(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Return the trees of arrays by their paths; keys that count from 0 make a list."""
    found: dict[str, Any] = {}
    for path, x in arrays.items():
        inside: Any = found
        *way, last = path.split("/")
        for key in way:
            inside = inside.setdefault(key, {}) if isinstance(inside, dict) else None
        if not isinstance(inside, dict) or last in inside:
            raise ConfigurationError(f"explain: {path} is an array and a tree of others; give the shapes of its arrays")
        inside[last] = x
    return {name: _lists(x) for name, x in found.items()}


def _lists(x: Any) -> Any:
    if not isinstance(x, dict):
        return x
    inside = {key: _lists(each) for key, each in x.items()}
    counted = [str(i) for i in range(len(inside))]
    return [inside[key] for key in counted] if sorted(inside) == sorted(counted) else inside


def _named(flag: str, texts: Iterable[str], names: list[str]) -> Iterable[tuple[str, str]]:
    """Yield the names and the values of NAME=VALUE."""
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigurationError(f"explain: --{flag} {text} should be NAME=..., one of {', '.join(names)}")
        if _root(name) not in names:
            raise ConfigurationError(
                f"explain: --{flag} {text}: there is no argument {_root(name)!r}.{suggestion(_root(name), names)}"
            )
        yield name, value


def _sides(text: str) -> tuple[int, ...]:
    try:
        sides = tuple(int(side) for side in text.strip("()").split(",") if side.strip())
    except ValueError:
        sides = (-1,)
    if any(not 0 <= side < 2**31 for side in sides):
        raise ConfigurationError(f"explain: the shape {text!r} should be sides with commas, such as 10,3")
    return sides


def _numbers(name: str, text: str) -> NDArray[np.float64]:
    try:
        return np.array([float(each) for each in text.split(",")])
    except ValueError as error:
        raise ConfigurationError(f"explain: --at {name}={text} should be numbers with commas: {error}") from error


def _converted(name: str, values: NDArray[Any], dtype: str, drawn: bool) -> NDArray[Any]:
    """Return values of a dtype; integers that are drawn are 0 or 1."""
    try:
        kind = np.dtype(dtype)
    except TypeError:
        kind = np.dtype(object)
    if kind.kind not in "fiub" or kind.itemsize > 8 or kind == np.float16:
        raise ConfigurationError(f"explain: the dtype {dtype!r} of {name} should be float64, float32, int64 or bool")
    if kind.kind == "f":
        return values.astype(kind)
    with np.errstate(invalid="ignore"):
        found = (values > 0 if drawn else values).astype(kind)
    if not drawn and not np.array_equal(found, values):
        raise ConfigurationError(f"explain: --at {name}={','.join(f'{x:g}' for x in values.flat)} are no {dtype}")
    return found
