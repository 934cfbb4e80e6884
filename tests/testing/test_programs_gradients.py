"""The derivatives of random programs, of first and second order: a fault of the engine or of the checker shows here."""

from collections import Counter

import numpy as np
from drawing import share
from hypothesis import given

from minimeta.errors import Inconclusive, Nondifferentiable, VacuousCheck
from minimeta.testing import Specimen, check_gradients, programs

VERDICTS: Counter[str] = Counter()


@share(1)
@given(specimen=programs(instructions=6))
def look(specimen: Specimen) -> None:
    def function(operands: tuple[object, ...]) -> object:
        return specimen.function(*operands)

    try:
        with np.errstate(all="ignore"):
            check_gradients(function, specimen.operands)
        VERDICTS["passes"] += 1
    except (Nondifferentiable, VacuousCheck, Inconclusive) as verdict:
        VERDICTS[verdict.fault] += 1


def test_random_programs_have_their_derivatives() -> None:
    look()
    assert VERDICTS["passes"] > 0.3 * VERDICTS.total(), VERDICTS
    assert VERDICTS["precision"] < 0.1 * VERDICTS.total(), VERDICTS
