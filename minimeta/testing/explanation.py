"""Explanation: what a wrong derivative's error says, from the number to the line of code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minimeta.errors import GradientMismatch, MinimetaError
from minimeta.program.source import source
from minimeta.testing.comparison import Compared
from minimeta.testing.localise import Culprit, culprit
from minimeta.testing.replay import released
from minimeta.testing.subject import Subject

_MOST = 8
"""How many elements of a value are shown."""

_LONGEST = 4000
"""How many characters of code are shown."""


def explained(row: Compared, subject: Subject, order: int, called: str, reproduce: str) -> GradientMismatch:
    """The error of a derivative that is wrong along a direction."""
    derivative = "derivative" if order == 1 else f"derivative of order {order}"
    lines = [
        f"the {derivative} of {called} is wrong",
        f"  direction  {_direction(row.direction, subject.names)}",
        f"  library    {row.found!r}",
        f"  oracle     {row.expected!r} +- {row.bound:.1e}, by the {subject.oracle}",
    ]
    found = None if subject.line is None else culprit(subject.line, subject.point)
    if found is not None:
        lines += _culprit(found)
    program = _program(found) if found else ""
    lines += _section("smallest failing program", program, "program")
    lines += _section("reproduce", reproduce, "reproduce")
    step = found.step if found else None
    return GradientMismatch(
        "\n".join(lines),
        fault="value",
        order=order,
        oracle=subject.oracle,
        culprit=step.primitive.name if step else "",
        line=step.line if step else "",
        program=program,
        reproduce=reproduce,
    )


def _section(title: str, text: str, attribute: str) -> list[str]:
    if not text:
        return []
    if len(text) > _LONGEST:
        return [f"  {title}: {len(text)} characters, in the error's attribute {attribute!r}"]
    return [f"  {title}", *(f"    {row}" for row in text.splitlines())]


def _direction(direction: Sequence[Any], names: Sequence[str]) -> str:
    moving = [(name, np.asarray(u)) for name, u in zip(names, direction, strict=True) if np.any(u)]
    if len(moving) == 1 and np.count_nonzero(moving[0][1]) == 1:
        name, u = moving[0]
        position = ", ".join(str(int(i[0])) for i in np.nonzero(np.atleast_1d(u)))
        return f"{name}[{position}]" if u.ndim else name
    return f"all elements of {', '.join(name for name, _ in moving)}"


def _culprit(found: Culprit) -> list[str]:
    step = found.step
    if step is None:
        name = "none alone: contributions to a value that is used several times are not added up"
    else:
        name = step.primitive.name
        if "rule" in step.params:
            code = getattr(step.params["rule"], "__code__", None)
            name += f", whose rule is at {code.co_filename}:{code.co_firstlineno}" if code else ""
    lines = [f"  culprit    {name}"]
    if step is not None and step.line:
        lines.append(f"             {'in the backward pass of' if step.backward else 'at'} {step.line}")
    lines.append(f"             its derivative is {found.found!r}, and should be {found.expected!r}")
    lines += [f"             operand {i} = {_shown(x)}" for i, x in enumerate(found.operands)]
    return lines


def _shown(x: Any) -> str:
    x = np.asarray(x)
    if x.size <= _MOST:
        return " ".join(repr(x).split())
    return f"{x.dtype}{list(x.shape)}, from {float(np.min(x)):.3g} to {float(np.max(x)):.3g}"


def _program(found: Culprit) -> str:
    try:
        return source(released(found.line)).partition("\n\n\n")[2]
    except MinimetaError:  # An operation of the user's own has no expression in numpy.
        step = found.step
        return f"{step.primitive.name}, which has no expression in numpy" if step else "it has no expression in numpy"
