"""``minimeta gradcheck``."""

import dataclasses
import json

import pytest

from minimeta.autodiff.operations import transcendental
from minimeta.autodiff.primitive import registry
from minimeta.cli import main
from minimeta.testing import Inconclusive, PrimitiveReport, check_primitive


def test_a_row_for_each_primitive(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gradcheck", "tanh", "argmax", "--examples", "2"]) == 0
    printed, errors = capsys.readouterr()
    head, tanh, argmax, last = printed.splitlines()
    assert head.split() == ["primitive", "oracle", "order", "1", "order", "2", "ulps"]
    assert tanh.startswith("tanh             complex step") and argmax.split() == ["argmax", "none", "-", "-", "0.00"]
    assert last.startswith("2 right, 0 wrong, 0 inconclusive: ") and errors == ""


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gradcheck", "sin", "--examples", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["status"] == "complete"
    assert found["faults"] == found["inconclusive"] == {} and found["primitives"][0]["name"] == "sin"


def test_a_wrong_primitive_is_an_error(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = dataclasses.replace(transcendental.sin.primitive, name="wrong_sin", rules=(lambda g, y, x: g * x,))
    monkeypatch.setitem(registry, "wrong_sin", wrong)
    assert main(["gradcheck", "wrong_sin"]) == 1
    printed = capsys.readouterr().out
    assert "wrong_sin        GradientMismatch" in printed and "culprit    wrong_sin" in printed
    assert printed.splitlines()[-1].startswith("0 right, 1 wrong, 0 inconclusive: ")


def test_what_nothing_decides_is_not_wrong(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def check(name: str, *drawn: int) -> PrimitiveReport:
        if name == "sin":
            raise Inconclusive("rounding leaves nothing", fault="precision", order=1)
        return check_primitive(name, *drawn)

    monkeypatch.setattr("minimeta.cli.gradcheck.check_primitive", check)
    assert main(["gradcheck", "sin", "cos", "--examples", "1"]) == 1
    printed = capsys.readouterr().out
    assert "sin              Inconclusive" in printed
    assert printed.splitlines()[-1].startswith("1 right, 0 wrong, 1 inconclusive: ")
    assert main(["gradcheck", "sin", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert list(found["inconclusive"]) == ["sin"] and found["faults"] == {}


def test_names_and_counts_are_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gradcheck", "sine"]) == 2
    assert "'sine' is no primitive; did you mean 'sin'?" in capsys.readouterr().err
    assert main(["gradcheck", "nothing like it"]) == 2
    assert "no primitive; there are " in capsys.readouterr().err
    assert main(["gradcheck", "--examples", "0"]) == 2
