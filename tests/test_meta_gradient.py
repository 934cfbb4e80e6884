"""docs/book/meta-gradient.md says of every instruction what it is, and is right."""

import re

import meta_gradient
import meta_gradient_by_hand
import pytest

TEXT = meta_gradient.PAGE.read_text(encoding="utf-8")
ROWS = re.findall(r"^\| !\[[a-z ]+\]\S+ \| `(%\d+) = .*?` \|", TEXT, re.MULTILINE)


def test_the_tables_and_the_drawing_are_those_of_the_program() -> None:
    assert meta_gradient.page(TEXT) == TEXT
    assert meta_gradient.picture(TEXT) == meta_gradient.PICTURE.read_text(encoding="utf-8")
    for phase in meta_gradient.SQUARES:
        name = f"{phase.replace(' ', '_')}.svg"
        assert (meta_gradient.FIGURES / name).read_text(encoding="utf-8") == meta_gradient.square(phase)
    assert len(meta_gradient.PICTURE.read_bytes()) < 60_000


def test_every_instruction_is_in_a_table_once_and_in_print() -> None:
    program, _ = meta_gradient.run(TEXT)
    printed = re.findall(r"^  (%\d+) = ", str(program), re.MULTILINE)
    assert sorted(ROWS, key=lambda name: int(name[1:])) == printed


def test_an_equation_that_an_instruction_does_not_have_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    program, arguments = meta_gradient.run(TEXT)
    monkeypatch.setattr(meta_gradient_by_hand, "RATE", 0.02)
    with pytest.raises(ValueError, match="%54 is no quantity of the derivation"):
        meta_gradient.annotated(program, arguments)
