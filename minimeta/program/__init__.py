"""A computation written down once and replayed."""

from minimeta.program.program import Program, trace
from minimeta.program.reference import interpret

__all__ = ["Program", "interpret", "trace"]
