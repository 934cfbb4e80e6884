"""The mutation test of the checker: every planted fault is caught and blamed rightly, and nothing sound is accused."""

from typing import Any

import pytest
from checkers import minimeta_operations
from gradient_cases import FAULTS, SOUND, Case

import minimeta as mm
from minimeta.autodiff.apply import apply
from minimeta.autodiff.array import is_float
from minimeta.autodiff.primitive import Pull, registry
from minimeta.testing import (
    GradientMismatch,
    Inconclusive,
    Nondifferentiable,
    Seeded,
    VacuousCheck,
    check_gradients,
    check_vjp,
)
from minimeta.testing.primitives import of_floats

LIBRARY = minimeta_operations()


def check(case: Case, **options: Any) -> Any:
    built = case.build(LIBRARY)
    arguments = tuple(x.copy() if case.pair else x for x in case.arguments)
    return check_vjp(*built, *arguments, **options) if case.pair else check_gradients(built, *arguments, **options)


def test_there_are_enough() -> None:
    assert len(FAULTS) >= 40 and len(SOUND) >= 40
    for cases in (FAULTS, SOUND):
        assert len({case.name for case in cases}) == len(cases)


@pytest.mark.parametrize("case", FAULTS, ids=lambda case: case.name)
@pytest.mark.parametrize("seed", range(3))
def test_a_fault_is_caught(case: Case, seed: int) -> None:
    with pytest.raises(GradientMismatch) as caught:
        check(case, seed=seed)
    assert (caught.value.fault, caught.value.order) == (case.fault, case.order)
    assert caught.value.culprit == (case.culprit if case.fault == "value" else "")


# That a right rule is not accused whatever is drawn is a property of its own: test_random_rules.py.
@pytest.mark.parametrize("case", SOUND, ids=lambda case: case.name)
@pytest.mark.parametrize("seed", range(2))
def test_what_is_sound_is_not_accused(case: Case, seed: int) -> None:
    if case.verdict == "kink":
        with pytest.raises(Nondifferentiable) as caught:
            check(case, seed=seed)
        assert caught.value.fault == "kink"
        return
    if case.verdict == "inconclusive":
        with pytest.raises(Inconclusive):
            check(case, seed=seed)
        return
    if case.verdict == "constant":
        with pytest.raises(VacuousCheck):
            check(case, seed=seed)
    report = check(case, seed=seed, may_be_constant=case.verdict == "constant")
    assert [row.order for row in report.orders] == [1, 2]


def broken(pull: Pull) -> Pull:
    """The derivative of a primitive, off by a hundredth."""
    return lambda cotangent, y, needed: [(x, None if g is None else g * 1.01) for x, g in pull(cotangent, y, needed)]


@pytest.mark.parametrize("name", [name for name, primitive in registry.items() if primitive.differentiable])
def test_a_primitive_with_a_wrong_rule_is_to_blame_wherever_it_is(name: str) -> None:
    primitive = registry[name]
    for example in range(100):
        operands, params = primitive.sample(Seeded(7, example))
        if apply(primitive, *operands, **params).size and all(x.size for x in operands):
            break
    pull = primitive.pull
    inner = of_floats(primitive, operands, params)
    object.__setattr__(primitive, "pull", broken(pull))
    try:
        with pytest.raises(GradientMismatch) as caught:
            check_gradients(lambda *xs: mm.tan(inner(*xs) / 100.0), *filter(is_float, operands))
    finally:
        object.__setattr__(primitive, "pull", pull)
    assert (caught.value.culprit, caught.value.order) == (name, 1)
