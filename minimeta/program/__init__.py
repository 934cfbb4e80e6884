"""A computation written down once and replayed."""

from minimeta.program.compile import Compiled, compile
from minimeta.program.passes import PASSES, optimise
from minimeta.program.program import Traced, trace
from minimeta.program.reference import interpret
from minimeta.program.vmap import vmap

__all__ = ["PASSES", "Compiled", "Traced", "compile", "interpret", "optimise", "trace", "vmap"]
