"""The derivatives of random programs, of first and second order: a fault of the engine or of the checker shows here."""

from collections import Counter

from drawing import share
from hypothesis import given

from minimeta.autodiff.primitive import registry
from minimeta.errors import GradientMismatch, Inconclusive, Nondifferentiable, VacuousCheck
from minimeta.testing import Specimen, check_gradients, programs

DIFFERENTIABLE = [primitive for primitive in registry.values() if primitive.differentiable and not primitive.partial]


def test_random_programs_have_their_derivatives() -> None:
    verdicts: Counter[str] = Counter()

    @share(0.8)
    @given(specimen=programs(primitives=DIFFERENTIABLE))
    def look(specimen: Specimen) -> None:
        def function(operands: tuple[object, ...]) -> object:
            return specimen.function(*operands)

        try:
            check_gradients(function, specimen.operands)
            verdicts["passes"] += 1
        except (Nondifferentiable, VacuousCheck, Inconclusive) as verdict:
            verdicts[verdict.fault] += 1
        except GradientMismatch as mismatch:
            if not any(f"library    {number}\n" in str(mismatch) for number in ("nan", "inf", "-inf")):
                raise
            verdicts["overflow"] += 1  # Towers of powers leave float32.

    look()
    assert verdicts["passes"] > 0.2 * verdicts.total(), verdicts
    assert verdicts["precision"] + verdicts["overflow"] < 0.02 * verdicts.total(), verdicts
