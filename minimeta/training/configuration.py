"""Settings: frozen dataclasses that can be read from, and written to, TOML.

A configuration is a frozen dataclass of numbers, strings, tuples and one level of nested dataclasses. Its fields are
the only list of what can be set: command-line flags, configuration files and their checks all follow from it. A field
made by :func:`setting` also says where its value comes from, the paper or the code released with it, since a
reproduction lives and dies by such details.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from minimeta.errors import ConfigurationError

Configuration = TypeVar("Configuration")


def setting(default: Any, *, paper: str = "", code: str = "") -> Any:
    """Declare a field and where its value comes from.

    Parameters
    ----------
    default
        The value the preset uses.
    paper, code
        What the paper, and the code its authors released, say; empty where they say nothing.
    """
    return dataclasses.field(default=default, metadata={"paper": paper, "code": code})


def replace(configuration: Configuration, values: Mapping[str, Any], where: str) -> Configuration:
    """Return the configuration with some values replaced, each checked.

    Parameters
    ----------
    configuration
        A frozen dataclass.
    values
        New values by field name; nested mappings for nested dataclasses.
    where
        Names the source of the values in error messages.

    Raises
    ------
    ConfigurationError
        If a name is unknown (the message suggests one) or a value is of the wrong kind.
    """
    kinds = get_type_hints(type(configuration))
    names = [field.name for field in dataclasses.fields(configuration)]  # type: ignore[arg-type]
    changes = {}
    for name, value in values.items():
        if name not in names:
            raise ConfigurationError(f"{where}: there is no setting {name!r}.{suggestion(name, names)}")
        if dataclasses.is_dataclass(kinds[name]):
            if not isinstance(value, Mapping):
                raise ConfigurationError(f"{where}: {name} should be a table [{name}], not {value!r}")
            changes[name] = replace(getattr(configuration, name), value, f"{where}, [{name}]")
        else:
            changes[name] = _checked(value, kinds[name], f"{where}: {name}")
    return dataclasses.replace(configuration, **changes)  # type: ignore[type-var]


def suggestion(name: str, names: list[str]) -> str:
    """Return a sentence with the nearest name, or with all of them."""
    near = difflib.get_close_matches(name, names, n=1)
    return f" Did you mean {near[0]!r}?" if near else f" There are {', '.join(names)}."


def read_toml(path: str | Path) -> dict[str, Any]:
    """Read a configuration file.

    Raises
    ------
    ConfigurationError
        If the file is missing or is not TOML.
    """
    try:
        return tomllib.loads(Path(path).read_text("utf-8-sig"))  # editors begin UTF-8 with a mark
    except FileNotFoundError:
        raise ConfigurationError(f"there is no configuration file {path}") from None
    except (ValueError, RecursionError) as error:  # no TOML, no text, a number of thousands of digits, too deep
        raise ConfigurationError(f"{path} is not a TOML file: {error}") from error


def to_toml(configuration: Any, sources: str = "", **first: str) -> str:
    """Write a configuration as TOML, with where each value comes from as a comment.

    Parameters
    ----------
    configuration
        A frozen dataclass.
    sources
        The benchmark that the sources speak of, where it is another one.
    first
        Strings to put before its fields.
    """
    lines = [f"{name} = {_toml_value(value)}" for name, value in first.items()]
    tables = []
    for field in dataclasses.fields(configuration):
        value = getattr(configuration, field.name)
        if dataclasses.is_dataclass(value):
            tables.append(f"\n[{field.name}]\n{to_toml(value, sources)}")
            continue
        line = f"{field.name} = {_toml_value(value)}"
        said = provenance(field, sources)
        lines.append(f"{line}  # {said}" if said else line)
    return "\n".join(lines) + "\n" + "".join(tables)


def _toml_value(value: Any) -> str:
    """Write a value as JSON does, which for numbers, strings, booleans and arrays of these is nearly TOML.

    TOML has no surrogate pairs, and wants one more character escaped.
    """
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def provenance(field: dataclasses.Field[Any], of: str = "") -> str:
    """Return what the paper and its released code say of a field, in one line; of another benchmark, by name."""
    whose = f" of {of}" if of else ""
    return "; ".join(
        f"{source}{whose}: {field.metadata[key]}"
        for key, source in (("paper", "paper"), ("code", "released code"))
        if field.metadata.get(key)
    )


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
    for name in names.split():
        value = getattr(configuration, name)
        for number in value if isinstance(value, tuple) else (value,):
            if not (math.isfinite(number) and at_least <= number <= at_most and above < number < below):
                raise ConfigurationError(f"{name} must be {said}, not {number}")


def _checked(value: Any, kind: Any, what: str) -> Any:
    """Return the value as the kind a field is annotated with, or say what it should be."""
    if get_origin(kind) is tuple:
        if isinstance(value, list | tuple):
            return tuple(_checked(item, get_args(kind)[0], what) for item in value)
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
