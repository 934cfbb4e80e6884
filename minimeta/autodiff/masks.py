"""Masks: which elements of a cotangent belong to a branch that was taken.

In ``where(x > 0, sqrt(x), 0.0)`` an element at ``x = 0`` takes the other branch. There is no path
from that square root to the result, so it has no derivative. But the chain rule multiplies before
it knows: the cotangent 0 by the slope of the square root, which is infinite, and that is NaN. The
same happens to ``log(x)`` under ``maximum``, to missing data under a mask, and to the elements that
an index leaves out.

A zero alone does not tell: that of ``(sqrt(x) + 0.0)**2`` at ``x = 0`` is a limit, and calling it 0
would hide a wrong derivative (the right one is 1; NaN says so). So a cotangent carries a mask, from
the operation that chose, backwards:

    through elementwise functions       as it is, and each share is 0 where the mask does not hold
    through moves and sums              as the operation's own pull moves it: taken is what goes to something taken
    through reductions of axes          spread over the elements that were reduced; of softmax, over rows
    through products up to each element spread over all elements before
    through the square of a magnitude   along the path by which each share was handed on (magnitudes.py)
    where two shares of an Array meet   the elements of either; of an unmasked share, everything

A matrix product, a Fourier transform and the like mix elements with factors of both signs, whose
sum may be 0 by chance. They end the mask: there 0 times infinity is NaN as before.
What is masked is masked again whenever it is multiplied, and these masks are operations, so the
same holds when the backward pass is itself differentiated: at every order. Without a choice in the
function nothing of this is computed, and nothing is masked that only adds and moves. A mask is
computed when it is first needed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Container, Iterable
from typing import Any

import numpy as np

from minimeta.autodiff.array import Array
from minimeta.autodiff.primitive import Shares
from minimeta.autodiff.protocols import ANSWERS


class Mask:
    """A condition on the elements of a cotangent, computed when it is first asked for.

    Parameters
    ----------
    combine
        What makes it, from the conditions of the sources.
    sources
        The masks that it is made of.
    """

    __slots__ = ("_combine", "_condition", "_sources")

    def __init__(self, combine: Callable[..., Any], *sources: Mask) -> None:
        self._combine: Callable[..., Any] | None = combine
        self._sources = sources
        self._condition: Any = None

    @property
    def condition(self) -> Any:
        """Where an element may be other than 0; None if everywhere.

        A stack of our own: a long function has chains of masks that are deeper than Python's.
        """
        pending = [self]
        while pending:
            mask = pending[-1]
            if mask._combine is None:
                pending.pop()
            elif unknown := [source for source in mask._sources if source._combine is not None]:
                pending += unknown
            else:
                known = mask._combine(*[source._condition for source in mask._sources])
                mask._condition = None if type(known) is np.ndarray and known.all() else known
                mask._combine, mask._sources = None, ()  # What they refer to is not needed any more.
        return self._condition


def _either(x: Mask, y: Mask) -> Mask:
    return x if x is y else Mask(lambda a, b: None if a is None or b is None else ANSWERS[np.logical_or](a, b), x, y)


def _both(x: Mask, y: Mask) -> Mask:
    return Mask(lambda a, b: b if a is None else a if b is None else ANSWERS[np.logical_and](a, b), x, y)


class Handed(list[tuple[Array, Any]]):
    """Shares that a pull handed past the operands, to what these were computed from.

    Attributes
    ----------
    paths
        Of each, the Arrays from the result to the one that it is of: its mask takes the same way.
    """

    __slots__ = ("paths",)

    def __init__(self, found: Iterable[tuple[Array, Any, tuple[Array, ...]]]) -> None:
        found = list(found)
        super().__init__([(x, share) for x, share, _ in found])
        self.paths = [path for _, _, path in found]


def masked(
    shares: Shares, cotangent: Any, y: Array, totals: Container[int], masks: dict[int, Mask]
) -> list[tuple[Array, Any]]:
    """Return the shares of a cotangent with 0 where no branch was taken, and note down their masks.

    Parameters
    ----------
    shares, cotangent, y
        What the pull of ``y`` made of its cotangent.
    totals
        The ids of the Arrays that have shares of others already.
    masks
        The masks of cotangents, by the ids of their Arrays; that of ``y`` is taken out, those of
        the shares come in.
    """
    own = masks.pop(y.id, None)
    paths = shares.paths if type(shares) is Handed else None
    found, met = [], set()
    for i, (x, share) in enumerate(shares):
        if share is None or type(x) is not Array:
            continue
        mask = own
        for result, operand in itertools.pairwise((y, x) if paths is None else paths[i]):
            mask = _of_operand(mask, cotangent, result, operand)
        if mask is not None and not _is_flat(y) and mask.condition is not None:
            found.append((x, ANSWERS[np.where](mask.condition, share, 0.0)))
        else:
            found.append((x, share))
        other = masks.get(x.id)
        if x.id not in totals and x.id not in met:
            if mask is not None:
                masks[x.id] = mask
        elif mask is not None and other is not None:
            masks[x.id] = _either(mask, other)
        else:
            masks.pop(x.id, None)
        met.add(x.id)
    return found


def _of_operand(mask: Mask | None, cotangent: Any, y: Array, x: Array) -> Mask | None:
    """Return the mask of an operand's cotangent: what the result's makes of it, and the result's own choice."""
    carried, chosen = _carried(mask, cotangent, y, x), _chosen(cotangent, y, x)
    return carried if chosen is None else chosen if carried is None else _both(chosen, carried)


def _is_flat(y: Array) -> bool:
    """Whether no share is a product with a slope that may be infinite, so that a cotangent of 0 stays 0."""
    primitive = y.primitive
    if primitive is None or primitive.linear or primitive.chosen is not None:
        return True
    factors = {"multiply": y.inputs, "divide": y.inputs[1:]}.get(primitive.name, ())
    scalars = [x.value for x in factors if x.weak and x.transformation is None and x.size]
    return bool(scalars and np.isfinite(scalars[0].flat[0]) and (primitive.name == "multiply" or scalars[0].flat[0]))


def _chosen(cotangent: Any, y: Array, x: Array) -> Mask | None:
    """Return where ``y`` depends on this operand at all, if it chooses among its operands or their elements."""
    primitive = y.primitive
    if primitive is None or primitive.chosen is None:
        return None
    place = next((i for i, operand in enumerate(y.inputs) if operand is x), None)
    rule = None if place is None or place >= len(primitive.chosen) else primitive.chosen[place]
    if rule is None or sum([operand is x for operand in y.inputs]) > 1:
        return None
    return Mask(lambda: rule(cotangent, y, *y.inputs, **(y.params or {})))


def _carried(mask: Mask | None, cotangent: Any, y: Array, x: Array) -> Mask | None:
    """Return the mask of an operand's cotangent that follows from that of the result's."""
    primitive = y.primitive
    if mask is None or primitive is None or isinstance(cotangent, tuple):
        return None
    if primitive.elementwise:
        return mask
    move = primitive.carried
    if move is None and (primitive.signed or not primitive.linear):
        return None

    def compute(condition: Any) -> Any:
        if condition is None:
            return None
        taken = ANSWERS[np.astype](condition, y.dtype)
        if move is not None:
            moved = move(taken, y, x, **(y.params or {}))
        else:
            shares = [share for part, share in primitive.pull(taken, y, {x.id}) if part is x and share is not None]
            moved = sum(shares[1:], start=shares[0]) if shares else None  # An operand may be there twice.
        return None if moved is None else ANSWERS[np.not_equal](moved, 0.0)

    return Mask(compute, mask)
