"""Explanation: what a wrong derivative's error says, from the number to the line of code."""

from __future__ import annotations

from typing import Any

import numpy as np

from minimeta.autodiff.regions import CUSTOM_VJP
from minimeta.errors import GradientMismatch, MinimetaError
from minimeta.program.source import source
from minimeta.testing.comparison import Compared
from minimeta.testing.directions import described
from minimeta.testing.localise import Culprit, culprit
from minimeta.testing.replay import Kink, released
from minimeta.testing.subject import Subject

_MOST = 8
"""How many elements of a value are shown."""

_LONGEST = 4000
"""How many characters of code are shown."""


def explained(
    row: Compared,
    subject: Subject,
    order: int,
    called: str,
    reproduce: str,
    parts: Kink | None = None,
    nearby: bool = False,
    blame: Subject | None = None,
) -> GradientMismatch:
    """Return the error of a derivative that is wrong along a direction.

    Parameters
    ----------
    row
        The numbers.
    subject, order, called, reproduce
        Whose derivative it is, of which order, what the function is called, and how to check it
        again.
    parts
        A part of the function that has a kink where the whole has none.
    nearby
        Whether the subject is not at the point that was given.
    blame
        The function in which the culprit is looked for, if it is not the subject: one that is right
        at the point alone.
    """
    derivative = "derivative" if order == 1 else f"derivative of order {order}"
    lines = [
        f"the {derivative} of {called} is wrong" + (" at a point nearby" if nearby else ""),
        *(f"  at         {name} = {_shown(x)}" for name, x in zip(subject.names, subject.point, strict=True) if nearby),
        f"  direction  {described(row.direction, subject.names)}",
        f"  library    {row.found!r}",
        f"  oracle     {row.expected!r} +- {row.bound:.1e}, by the {subject.oracle}",
    ]
    if blame is not None:
        lines[-1] += " of the function alone"
        lines.append("             The derivative of lower order is right at the point and not around it")
    where = blame or subject
    found = None if where.program is None else culprit(where.program, where.point, cut=parts is None and blame is None)
    if found is not None:
        lines += _culprit(found)
    elif parts is not None:
        lines += _kinks(parts, row)
    program = _program(found) if found else ""
    lines += _section("smallest failing program", program, "program")
    lines += _section("reproduce", reproduce, "reproduce")
    step = found.step if found else parts.step if parts else None
    return GradientMismatch(
        "\n".join(lines),
        fault="kinks" if parts and not found else "value",
        order=order,
        oracle=subject.oracle,
        culprit=step.primitive.name if step else "",
        line=step.origin.line if step else "",
        program=program,
        reproduce=reproduce,
    )


def _section(title: str, text: str, attribute: str) -> list[str]:
    if not text:
        return []
    if len(text) > _LONGEST:
        return [f"  {title}: {len(text)} characters, in the error's attribute {attribute!r}"]
    return [f"  {title}", *(f"    {row}" for row in text.splitlines())]


def _culprit(found: Culprit) -> list[str]:
    step = found.step
    if step is None:
        name = "none alone: contributions to a value that is used several times are not added up"
    else:
        name = step.primitive.name
        if step.primitive is CUSTOM_VJP:
            code = getattr(step.params["rule"], "__code__", None)
            name += f", whose rule is at {code.co_filename}:{code.co_firstlineno}" if code else ""
    lines = [f"  culprit    {name}"]
    if step is not None and step.origin.line:
        lines.append(f"             {step.origin}")
    lines.append(f"             its derivative is {found.found!r}, and should be {found.expected!r}")
    lines += [f"             operand {i} = {_shown(x)}" for i, x in enumerate(found.operands)]
    return lines


def _kinks(parts: Kink, row: Compared) -> list[str]:
    lines = [
        "  culprit    none: the function is smooth, though made of kinks, and what is made part by part is wrong here",
        f"             {parts.step.primitive.name} {parts.reason}{f', {parts.where}' if parts.where else ''}",
    ]
    if not np.isfinite(row.found):
        lines += [
            "             What is not taken still spreads its NaN or infinity where elements are mixed (a product of",
            "             matrices, softmax, relu). Make its argument harmless first: where(mask, x, 1.0) @ w",
        ]
    return lines


def _shown(x: Any) -> str:
    x = np.asarray(x)
    if x.size <= _MOST:
        return " ".join(repr(x).split())
    return f"{x.dtype}{list(x.shape)}, from {float(np.min(x)):.3g} to {float(np.max(x)):.3g}"


def _program(found: Culprit) -> str:
    try:
        return source(released(found.program)).partition("\n\n\n")[2]
    except MinimetaError:  # An operation of the user's own has no expression in numpy.
        step = found.step
        return f"{step.primitive.name}, which has no expression in numpy" if step else "it has no expression in numpy"
