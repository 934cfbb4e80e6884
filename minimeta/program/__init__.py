"""A computation written down once and replayed."""

from minimeta.program.passes import PASSES, optimise
from minimeta.program.program import Program, trace
from minimeta.program.reference import interpret

__all__ = ["PASSES", "Program", "interpret", "optimise", "trace"]
