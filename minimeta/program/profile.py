"""Measure where the time of a program goes: by kind of instruction, and by the user's line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from minimeta.program.executor import Instruction


class Share(NamedTuple):
    """A part of the time.

    Attributes
    ----------
    name
        The kind of instruction, or the user's line.
    instructions
        How many there are; those of a body count once, whatever the number of indices.
    seconds
        On all threads together, for one run of the program.
    """

    name: str
    instructions: int
    seconds: float


@dataclass(frozen=True)
class Profile:
    """The time of a program's instructions; it prints as two tables.

    Attributes
    ----------
    kinds, lines
        The shares of each kind of instruction and of each line of the user's, the largest first.
    seconds
        Their sum: what all threads did together, and more than passed on the clock where there are
        several.
    """

    kinds: tuple[Share, ...]
    lines: tuple[Share, ...]
    seconds: float

    def __str__(self) -> str:
        rows = [f"{self.seconds * 1e3:10.3f} ms on all threads together, for one run"]
        for shares in (self.kinds, self.lines):
            rows.append("")
            for share in shares:
                part = share.seconds / self.seconds if self.seconds else 0.0
                rows.append(f"{share.seconds * 1e3:10.3f} ms {part:6.1%} {share.instructions:6d}  {share.name}")
        return "\n".join(rows)


def summarised(instructions: Sequence[Instruction], times: Sequence[Any], runs: int) -> Profile:
    """Return the profile of several runs, given the nanoseconds of :meth:`Executable.watch`."""
    rows = list(_flat(instructions, times))
    return Profile(
        _shares([(kind, spent) for kind, _, spent in rows], runs),
        _shares([(line, spent) for _, line, spent in rows], runs),
        sum(spent for _, _, spent in rows) / runs / 1e9,
    )


def _flat(instructions: Sequence[Instruction], times: Sequence[Any]) -> Iterator[tuple[str, str, int]]:
    """Yield the instructions that take time: those of a body, in place of the one that runs it."""
    for instruction, (nanoseconds, body) in zip(instructions, times, strict=True):
        if body is None:
            yield instruction.name, instruction.origin.line or "(no line)", nanoseconds
        else:
            yield from _flat(instruction.body, body)


def _shares(spent_on: Sequence[tuple[str, int]], runs: int) -> tuple[Share, ...]:
    found: dict[str, tuple[int, int]] = {}
    for name, spent in spent_on:
        count, total = found.get(name, (0, 0))
        found[name] = count + 1, total + spent
    shares = [Share(name, count, total / runs / 1e9) for name, (count, total) in found.items()]
    return tuple(sorted(shares, key=lambda share: -share.seconds))
