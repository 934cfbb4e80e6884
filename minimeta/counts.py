"""Whole numbers: how many tasks, steps or examples. 2.5 of them are an error, and so is True."""

import operator
from typing import Any, SupportsIndex

from minimeta.errors import ConfigurationError


def whole_number(caller: str, name: str, value: SupportsIndex, least: int, most: int | None = None) -> int:
    """Return a setting that counts something as a Python integer.

    Raises
    ------
    ConfigurationError
        If it is not an integer, or out of range.
    """
    bounds = f"from {least} to {most}" if most is not None else f"at least {least}"
    try:
        if isinstance(value, bool):  # Python takes them for 0 and 1
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise ConfigurationError(f"{caller}: {name}={value!r} must be an integer, {bounds}") from None
    if number < least or (most is not None and number > most):
        raise ConfigurationError(f"{caller}: {name}={number} must be {bounds}")
    return number


def check_counts(owner: Any, names: str, caller: str = "") -> None:
    """Refuse counts, the attributes `names` of an owner, that are no integers or below 1.

    Raises
    ------
    ConfigurationError
        If one of them is; the error names the caller, by default the owner's class.
    """
    for name in names.split():
        whole_number(caller or type(owner).__name__, name, getattr(owner, name), 1)
