"""Setting: how a check is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict


class Options(TypedDict, total=False):
    """The options of every check: see :func:`~minimeta.testing.check_gradients`."""

    rtol: float
    atol: float
    seed: int
    may_be_constant: bool


@dataclass(frozen=True)
class Setting:
    """How a check is made.

    Attributes
    ----------
    called, reproduce
        The function's name, and the statements that make the check again.
    eps
        The unit in the last place of what is computed.
    highest
        The highest order that is checked.
    rtol, atol, seed, may_be_constant
        The :class:`Options`.
    """

    called: str
    reproduce: str
    eps: float
    highest: int = 1
    rtol: float = 0.0
    atol: float = 0.0
    seed: int = 0
    may_be_constant: bool = False
