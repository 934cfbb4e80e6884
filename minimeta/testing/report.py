"""Report: what a gradient check that passed has seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from minimeta.testing.comparison import Compared
from minimeta.testing.directions import described


@dataclass(frozen=True)
class Order:
    """What was found for one order.

    Attributes
    ----------
    order, oracle
        Which, and what it was compared with.
    directions
        How many.
    error
        The largest difference, relative to the largest sum of the magnitudes that were added up.
    bounds
        The largest difference, in bounds.
    arbitrated, undecided
        How many directions the limit of derivatives next to the point decided, and how many nothing
        did: they are lost in rounding, or leave the range of the dtype.
    lost
        Along what these are.
    still
        Along what the oracle saw nothing change, or nothing but rounding, and the derivative is taken
        for 0.
    alone
        Whether the function alone confirms a second derivative; None at order 1.
    only_here
        That the derivative is wrong farther away, where it is.
    """

    order: int
    oracle: str
    directions: int
    error: float
    bounds: float
    arbitrated: int
    undecided: int
    lost: tuple[str, ...] = ()
    still: tuple[str, ...] = ()
    alone: bool | None = None
    only_here: str = ""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was not decided, in sentences."""
        found = []
        if self.lost:
            found.append(f"nothing decides about {_listed(self.lost)}: rounding leaves no digit, or the range ends")
        if self.still:
            found.append(f"nothing changes along {_listed(self.still)}, to all digits: the derivative is taken for 0")
        if self.alone is False:
            found.append("the function alone does not show it; it is the derivative of what is right around the point")
        if self.only_here:
            found.append(self.only_here)
        return tuple(found)


@dataclass(frozen=True)
class Report:
    """What a check that passed has seen.

    Attributes
    ----------
    orders
        One entry for each order.
    identities
        The names of those that hold.
    constant
        Arguments that the output does not depend on.
    held
        How many ``stop_gradient`` of the function were respected.
    reason
        Why the function could not be traced, if it could not.
    kind
        Of a meta-gradient: ``"second order"``, ``"first order"`` or ``"direction"``.
    """

    orders: tuple[Order, ...]
    identities: tuple[str, ...]
    constant: tuple[str, ...] = ()
    held: int = 0
    reason: str = ""
    kind: str = ""

    @property
    def oracle(self) -> str:
        """What the first order was compared with."""
        return self.orders[0].oracle if self.orders else "none"

    def __str__(self) -> str:
        rows = [
            f"order {row.order}: {row.oracle}, {row.directions} directions, relative error {row.error:.1e} "
            f"({row.bounds:.2g} bounds)"
            + (f", {row.arbitrated} by limits" if row.arbitrated else "")
            + (f", {row.undecided} undecided" if row.undecided else "")
            + "".join(f"\n  {note}" for note in row.notes)
            for row in self.orders
        ]
        rows.append(f"identities: {', '.join(self.identities)}")
        if self.constant:
            rows.append(f"the output does not depend on {', '.join(self.constant)}")
        if self.held:
            rows.append(f"{self.held} stop_gradient held constant")
        if self.reason:
            rows.append(f"not traced: {self.reason}")
        return "\n".join([self.kind, *rows] if self.kind else rows)


_SHOWN = 4
"""How many directions are listed."""


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} others" if rest > 0 else "")


def summary(
    order: int,
    oracle: str,
    rows: Sequence[Compared],
    names: Sequence[str],
    alone: bool | None = None,
    only_here: str = "",
) -> Order:
    """Return what was found for one order, along all directions."""
    seen = [row for row in rows if not row.undecided]
    weight = max((row.weight for row in seen), default=0.0)
    error = max((row.difference for row in seen), default=0.0) / (weight or 1.0)
    bounds = max((row.bounds for row in seen), default=0.0)
    arbitrated = sum(row.arbitrated for row in rows)
    lost = tuple(described(row.direction, names) for row in rows if row.undecided and not row.still)
    still = tuple(described(row.direction, names) for row in rows if row.still)
    undecided = len(rows) - len(seen)
    return Order(order, oracle, len(rows), error, bounds, arbitrated, undecided, lost, still, alone, only_here)
