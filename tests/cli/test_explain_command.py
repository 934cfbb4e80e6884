"""``minimeta explain``."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from minimeta.cli import main

MODULE = """
import minimeta as mm

number = 3.0

def loss(w, x, power=2):
    return mm.sum((x @ w) ** power)

def chosen(x, i):
    return x[i]

def of_tree(p, x):
    return mm.sum(p[1]["bias"] * x) + p[0]["scale"] ** 2

def of_any(*x):
    return x[0]

def twice(x):
    return 2.0 * x

def talks(x):
    print("I was here")
    return mm.sum(x)

def fails(x):
    return {}[3]

squares = lambda x: mm.sum(x * x)
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A module in the folder that the command runs in."""
    (tmp_path / "functions_of_mine.py").write_text(MODULE)
    (tmp_path / "no_python.py").write_text("1 +")
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("functions_of_mine", None)


def explain(words: str) -> int:
    return main(["explain", *words.split()])


def test_a_page_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert explain("functions_of_mine:loss --at w=1,2 --at x=1,0,3,1 --shape x=2,2") == 0
    assert capsys.readouterr().out == "page: loss.html\n"
    text = Path("loss.html").read_text("utf-8")
    assert "<h1>loss(w, x)</h1>" in text and "functions_of_mine.py:7, in loss" in text
    assert "value = 26 " in text  # 1 + 25


def test_what_is_drawn_depends_on_the_seed_alone(capsys: pytest.CaptureFixture[str]) -> None:
    texts = []
    for number, seed in enumerate((0, 0, 1)):
        words = f"functions_of_mine:loss --shape w=3 --shape x=2,3 --dtype float32 --seed {seed} --out {number}.html"
        assert explain(f"{words} --json") == 0
        assert json.loads(capsys.readouterr().out)["shapes"] == {"w": [3], "x": [2, 3]}
        texts.append(Path(f"{number}.html").read_text("utf-8"))
    assert texts[0] == texts[1] != texts[2]
    assert "float32[2, 3]" in texts[0] and "float64" not in texts[0]


def test_a_dtype_of_one_argument(capsys: pytest.CaptureFixture[str]) -> None:
    assert explain("functions_of_mine:chosen --shape x=3 --at i=2 --dtype i=int64 --dtype float32") == 0
    text = Path("chosen.html").read_text("utf-8")
    assert 'i = 2 <span class="form">int64[]' in text and "float32[3]" in text
    assert capsys.readouterr().err == ""


def test_arguments_may_be_trees(capsys: pytest.CaptureFixture[str]) -> None:
    words = "functions_of_mine:of_tree --shape p/1/bias=2 --at p/0/scale=3 --dtype p=float32 --at x=4,5 --json"
    assert explain(words) == 0
    shapes = {"p/0/scale": [], "p/1/bias": [2], "x": [2]}
    assert json.loads(capsys.readouterr().out)["shapes"] == shapes
    text = Path("of_tree.html").read_text("utf-8")
    assert '<span class="bar">p/1/bias</span> = [4, 5] <span class="form">float32[2]' in text
    assert '<span class="bar">p/0/scale</span> = 6 ' in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("functions_of_mine:of_tree --shape p=2 --shape p/0=2 --shape x=2", "p/0 is an array and a tree of others"),
        ("functions_of_mine:of_tree --shape p/0=2 --shape p=2 --shape x=2", "p is an array and a tree of others"),
        ("functions_of_mine:of_tree --shape q/0=2", "there is no argument 'q'"),
        ("loss --shape w=3", "'loss' should be MODULE:FUNCTION, the module without .py, as in: minimeta explain"),
        ("functions_of_mine.py:loss", "the module without .py"),
        ("no_such_module:loss", "cannot be imported (No module named 'no_such_module'); run the command in the folder"),
        ("functions_of_mine:lose", "functions_of_mine has no function 'lose'. Did you mean 'loss'?"),
        ("functions_of_mine:number", "functions_of_mine:number is no function but float; put it into one"),
        ("functions_of_mine:loss", "loss takes w, x, power; say the shapes, as in --shape w=... --shape x=... "),
        ("functions_of_mine:loss --shape w=3", "say the shapes, as in --shape x=... "),
        ("functions_of_mine:of_any --shape x=3", "of_any has no arguments with a name, so none can be given a shape"),
        ("functions_of_mine:loss --shape 3", "--shape 3 should be NAME=..., one of w, x, power"),
        ("functions_of_mine:loss --shape y=3", "--shape y=3: there is no argument 'y'. There are w, x, power."),
        ("functions_of_mine:loss --shape w=a", "the shape 'a' should be sides with commas, such as 10,3"),
        ("functions_of_mine:loss --shape w=-3", "the shape '-3' should be sides"),
        ("functions_of_mine:loss --at w=a", "--at w=a should be numbers with commas"),
        ("functions_of_mine:twice --at x=1,2 --shape x=3", "--at x has 2 numbers, not those of shape (3,)"),
        ("functions_of_mine:twice --at x=1 --dtype complex128", "the dtype 'complex128' of x should be float64"),
        ("functions_of_mine:twice --at x=1 --dtype no", "the dtype 'no' of x should be float64"),
        ("functions_of_mine:twice --at x=1 --dtype int64", "no argument is of floats, so there is no gradient"),
        ("functions_of_mine:chosen --shape x=3 --at i=1.5,2 --dtype i=int64", "--at i=1.5,2 are no int64"),
        ("functions_of_mine:chosen --shape x=3 --at i=-1 --dtype i=uint8", "--at i=-1 are no uint8"),
        ("functions_of_mine:chosen --shape x=3 --at i=nan --dtype i=int64", "--at i=nan are no int64"),
        ("functions_of_mine:twice --shape x=9999999999999999999999", "the shape '9999999999999999999999' should be"),
        ("functions_of_mine:twice --shape x=3 --seed -1", "explain: seed=-1 must be at least 0"),
    ],
)
def test_wrong_words_are_explained(words: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(words) == 2
    printed, errors = capsys.readouterr()
    assert said in errors and printed == ""
    assert list(Path().glob("*.html")) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("functions_of_mine:loss --shape w=3 --shape x=2,4", "matmul of shapes (2, 4) and (3,)"),
        ("functions_of_mine:twice --shape x=3", "it must return a scalar"),
        ("functions_of_mine:fails --shape x=3", "explain: functions_of_mine:fails raised KeyError: 3\n  at "),
        (
            "functions_of_mine:chosen --shape x=3 --at i=7 --dtype i=int64",
            "raised IndexError: index 7 is out of bounds",
        ),
        ("no_python:f --shape x=3", "explain: no_python:f raised SyntaxError: "),
        ("functions_of_mine:talks --shape x=3 --out .", "Is a directory: '.'"),
    ],
)
def test_the_function_may_refuse(words: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(words) == 1
    assert said in capsys.readouterr().err


def test_what_the_function_prints_is_no_part_of_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    assert explain("functions_of_mine:talks --shape x=3 --json") == 0
    printed, errors = capsys.readouterr()
    assert json.loads(printed)["page"] == "talks.html" and errors == "I was here\n"


def test_the_page_has_the_name_that_was_given() -> None:
    assert explain("functions_of_mine:squares --shape x=3") == 0  # It calls itself <lambda>.
    assert "value = " in Path("squares.html").read_text("utf-8")
