"""Settings: frozen dataclasses whose fields are checked, and files of TOML.

The fields of a dataclass are the only list of what can be set: command-line flags, configuration
files and their checks all follow from it. A setting within a table is written with a dot,
``evaluation.steps``, as its flag is.
"""

from __future__ import annotations

import difflib
import json
import math
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from minimeta.errors import ConfigurationError

RENAMED = {"grid": "grid_points"}
"""Settings that had another name when a run or a file was written, by that name."""


def require(
    configuration: Any,
    *,
    names: str,
    at_least: float = -math.inf,
    above: float = -math.inf,
    at_most: float = math.inf,
    below: float = math.inf,
) -> None:
    """Refuse settings that are out of range.

    Parameters
    ----------
    configuration
        The dataclass, in its ``__post_init__``.
    names
        The fields, separated by spaces; of a tuple, every element is checked.
    at_least, above, at_most, below
        The bounds. NaN is always refused, and so is an infinity.

    Raises
    ------
    ConfigurationError
        Naming the field, its value and the bounds.
    """
    bounds = {"at least": at_least, "above": above, "at most": at_most, "below": below}
    said = " and ".join(f"{word} {bound}" for word, bound in bounds.items() if math.isfinite(bound))
    kinds = get_type_hints(type(configuration))
    for name in names.split():
        value = getattr(configuration, name)
        counts = int in (kinds[name], *get_args(kinds[name]))
        for number in value if isinstance(value, tuple) else (value,):
            if counts and type(number) is not int:
                raise ConfigurationError(f"{name} must be an integer, {said}, not {number!r}")
            if not (math.isfinite(number) and at_least <= number <= at_most and above < number < below):
                raise ConfigurationError(f"{name} must be {said}, not {number}")


def checked(value: Any, kind: Any, what: str) -> Any:
    """Return a value as the type that its field is annotated with.

    Parameters
    ----------
    value
        A number, a string, or a list of these, as TOML has them.
    kind
        The annotation: int, float, bool, str, a Literal, or a tuple of one of these.
    what
        Names the setting and its source in the message.

    Raises
    ------
    ConfigurationError
        If the value is of another type; the message says what it should be.
    """
    if get_origin(kind) is tuple:
        if isinstance(value, list | tuple):
            return tuple(checked(item, get_args(kind)[0], what) for item in value)
        raise ConfigurationError(f"{what} should be a list, not {value!r}")
    if get_origin(kind) is Literal:
        if value in get_args(kind):
            return value
        raise ConfigurationError(f"{what} should be one of {', '.join(map(str, get_args(kind)))}, not {value!r}")
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise ConfigurationError(f"{what} should be of type {kind.__name__}, not {value!r}")
    return value


def suggestion(name: str, names: Iterable[str]) -> str:
    """Return a sentence with the nearest name, or with all of them."""
    names = list(names)
    near = difflib.get_close_matches(name, names, n=1)
    return f" Did you mean {near[0]!r}?" if near else f" There are {', '.join(names)}."


def nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings by name with those of a table, which have a dot, in a dict of their own."""
    tables: dict[str, Any] = {}
    for name, value in settings.items():
        table, _, field = name.rpartition(".")
        (tables.setdefault(table, {}) if table else tables)[field] = value
    return tables


def flattened(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of tables by name; the inverse of :func:`nested`."""
    settings: dict[str, Any] = {}
    for name, value in tables.items():
        is_table = isinstance(value, Mapping)
        settings |= {f"{name}.{field}": each for field, each in value.items()} if is_table else {name: value}
    return settings


def read_toml(path: str | Path) -> dict[str, Any]:
    """Read a configuration file, and return its settings by name.

    Raises
    ------
    ConfigurationError
        If the file is missing or is not TOML.
    """
    try:
        return flattened(tomllib.loads(Path(path).read_text("utf-8-sig")))  # some editors begin UTF-8 with a mark
    except FileNotFoundError:
        raise ConfigurationError(f"there is no configuration file {path}") from None
    except (ValueError, RecursionError) as error:  # not TOML, not text, an endless number, or nested too deep
        raise ConfigurationError(f"{path} is not a TOML file: {error}") from error


def to_toml(settings: Mapping[str, Any], comments: Mapping[str, str]) -> str:
    """Write settings as TOML.

    Parameters
    ----------
    settings
        Values by name; those of a table, whose names have a dot, come last.
    comments
        What to write after a value, by name.
    """
    text = ""
    for name, value in settings.items():
        table, _, field = name.rpartition(".")
        if table and f"\n[{table}]\n" not in text:
            text += f"\n[{table}]\n"
        said = comments.get(name)
        text += f"{field} = {_toml_value(value)}" + (f"  # {said}\n" if said else "\n")
    return text


def _toml_value(value: Any) -> str:
    """Write a value as JSON, which for numbers, strings, booleans and arrays of these is nearly
    TOML.

    TOML has no surrogate pairs, and escapes one more character.
    """
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
