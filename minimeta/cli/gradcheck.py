"""``minimeta gradcheck``: check the derivatives of every operation on this machine."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated

import tyro

from minimeta import cli
from minimeta.autodiff import operations
from minimeta.autodiff.primitive import registry
from minimeta.cli.options import JsonOption
from minimeta.errors import ConfigurationError, GradientCheckError, Inconclusive
from minimeta.testing import PrimitiveReport, check_primitive

_COLUMNS = "{:16} {:14} {:>9} {:>9} {:>6}"


@dataclass(frozen=True)
class GradcheckOptions(JsonOption):
    """Check the derivatives of operations, to second order, on drawn operands."""

    primitives: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Their names (default: all of them)."""
    examples: int = 8
    """Number of drawn operands for each."""
    seed: int = 0
    """Decides the operands."""


def gradcheck(options: GradcheckOptions) -> int:
    """Check primitives, print a row for each, and return the exit code."""
    if options.examples < 1:
        raise ConfigurationError(f"--examples must be at least 1, not {options.examples}")
    if not options.json:
        print(_COLUMNS.format("primitive", "oracle", "order 1", "order 2", "ulps"))
    reports: list[PrimitiveReport] = []
    faults: dict[str, str] = {}
    inconclusive: dict[str, str] = {}
    operations.load_pages()
    for name in options.primitives or registry:
        try:
            reports.append(check_primitive(name, options.examples, options.seed))
            row = _row(reports[-1])
        except GradientCheckError as error:
            (inconclusive if isinstance(error, Inconclusive) else faults)[name] = str(error)
            row = f"{name:16} {type(error).__name__}\n{error}"
        if not options.json:
            print(row, flush=True)
    counted = f"{len(reports)} right, {len(faults)} wrong, {len(inconclusive)} inconclusive"
    found = {
        "primitives": [dataclasses.asdict(report) for report in reports],
        "faults": faults,
        "inconclusive": inconclusive,
    }
    done = options.answer(found, lambda: f"{counted}: the worst relative errors, and ulps from the reference")
    return cli.ERROR if faults or inconclusive else done


def _row(report: PrimitiveReport) -> str:
    errors = [f"{error:.1e}" for error in report.errors] or ["-", "-"]
    return _COLUMNS.format(report.name, report.oracle, *errors, f"{report.ulps:.2f}")
