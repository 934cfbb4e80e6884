"""Random operands and random programs for property tests, drawn and shrunk by hypothesis.

Needs the extra ``test``; ``import minimeta`` does not load it.
"""

from minimeta.errors import MissingExtraError

try:
    import hypothesis as hypothesis
except ModuleNotFoundError:
    raise MissingExtraError(
        "minimeta.testing needs hypothesis, which is not installed: pip install 'minimeta[test]'"
    ) from None

from minimeta.testing.operands import Drawing, arrays, samples, spread
from minimeta.testing.programs import Specimen, programs

__all__ = ["Drawing", "Specimen", "arrays", "programs", "samples", "spread"]
