"""``minimeta predict``: from a run and files of a user's own to classes, probabilities and what matters."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from runs import CHARACTERS, SMALL

import minimeta as mm
from minimeta.cli import main
from minimeta.tasks import strokes
from minimeta.training import TrainingState, checkpoint

pytest_plugins = ["drawn_strokes", "trained_runs"]

LEARNERS = ["maml", "reptile", "lstm", "nearest"]
OWN = """
from minimeta import nn
from minimeta.learners import MAML

learner = MAML(nn.mlp((3, 4, 2)), nn.cross_entropy, 0.1, 1)
"""


@pytest.fixture(scope="module")
def runs(characters: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run of each learner on strokes."""
    folder = tmp_path_factory.mktemp("runs")
    for learner in LEARNERS:
        flags = [
            *CHARACTERS,
            *SMALL.get(learner, []),
            "--iterations",
            "1",
            "--evaluation.tasks",
            "1",
            "--evaluation.every",
            "1",
        ]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(strokes, "draw", lambda: characters)
            assert main(["train", learner, "strokes", "--out", str(folder / learner), *flags]) == 0
    return folder


@pytest.fixture(scope="module")
def images(characters: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of drawings as files, dark on white, two of each to learn from and two to ask about."""
    root = tmp_path_factory.mktemp("images")
    ink = characters[:3, :4]
    for part, numbers in (("support", (0, 1)), ("query", (2, 3))):
        for label, drawings in zip(("arc", "bow", "cup"), ink, strict=True):
            (root / part / label).mkdir(parents=True)
            for number in numbers:
                grey = 255 - np.rint(drawings[number] * (255 / 225)).astype(np.uint8)
                Image.fromarray(grey).save(root / part / label / f"{number}.png")
    shutil.copytree(root / "query" / "cup", root / "loose")
    return root


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return report


def drawn(folder: Path) -> tuple[Any, list[str]]:
    paths = sorted(folder.glob("*/*.png"))
    ink = [1 - np.asarray(Image.open(path)) / np.float32(255) for path in paths]
    return np.stack(ink), [path.parent.name for path in paths]


@pytest.mark.parametrize("learner", LEARNERS)
def test_every_learner_predicts_as_in_python(
    learner: str, runs: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["predict", str(runs / learner), "--support", str(images / "support"), "--query", str(images / "query")]
    assert main([*words, "--json", "--matter", "6", "--out", str(tmp_path / "predictions.csv")]) == 0
    report = said(capsys)

    known = mm.load(runs / learner).adapt(*drawn(images / "support"))
    queries, truth = drawn(images / "query")
    rows, predicted = report["predictions"], known.predict(queries).tolist()
    assert [row["class"] for row in rows] == predicted
    shares = [list(row["probabilities"].values()) for row in rows]
    np.testing.assert_allclose(shares, known.predict_proba(queries), rtol=1e-4, atol=1e-6)
    assert [row["truth"] for row in rows] == truth and report["accuracy"] == known.score(queries, truth)
    assert [row["query"] for row in rows[:2]] == ["arc/2.png", "arc/3.png"]
    for row, influence in zip(rows, known.influence(queries), strict=True):
        found = [abs(each["influence"]) for each in row["matters"]]
        np.testing.assert_allclose(found, np.sort(np.abs(influence))[::-1], rtol=1e-2, atol=1e-4)
    table = list(csv.DictReader((tmp_path / "predictions.csv").read_text().splitlines()))
    assert [line["class"] for line in table] == predicted
    assert {"matters 1", "influence 6", "p(arc)"} <= table[0].keys()


def test_a_table_and_a_figure(runs: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figure = tmp_path / "predictions.png"
    words = ["predict", str(runs / "maml"), "--support", str(images / "support"), "--query", str(images / "loose")]
    assert main([*words, "--plot", str(figure)]) == 0
    printed = capsys.readouterr().out
    assert (
        "maml: 2 steps on 6 examples of 3 classes" in " ".join(printed.split())
        and "2.png" in printed
        and "matters" in printed
    )
    assert max(map(len, printed.splitlines()[1:])) <= 80
    assert np.asarray(Image.open(figure).convert("L")).mean() > 200, "drawings are dark on white, as their files are"


def test_regression_from_tables(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = np.linspace(-4, 4, 6)
    (tmp_path / "support.csv").write_text("x,y\n" + "".join(f"{a},{np.sin(a)}\n" for a in x))
    (tmp_path / "query.csv").write_text("x\n1.5\n-2\n")
    (tmp_path / "known.csv").write_text("x,y\n1.5,1\n-2,0\n")
    words = ["predict", str(trained), "--support", str(tmp_path / "support.csv"), "--json", "--query"]
    assert (
        main([*words, str(tmp_path / "query.csv"), "--evaluation.steps", "1", "--plot", str(tmp_path / "curve.svg")])
        == 0
    )
    report = said(capsys)
    known = mm.load(trained).adapt(x, np.sin(x), steps=1)
    assert [row["prediction"] for row in report["predictions"]] == known.predict([[1.5], [-2]])[:, 0].tolist()
    assert report["steps"] == 1 and (tmp_path / "curve.svg").read_text().count("<svg") == 1
    assert report["predictions"][0]["matters"][0]["example"].startswith("support.csv, line ")
    assert main([*words, str(tmp_path / "known.csv")]) == 0
    assert said(capsys)["r2"] == pytest.approx(mm.load(trained).adapt(x, np.sin(x)).score([1.5, -2], [1, 0]))


def test_a_run_of_your_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my_learner.py").write_text(OWN)
    space: dict[str, Any] = {}
    exec(OWN, space)
    learner, rng = space["learner"], np.random.default_rng(0)
    x, y, queries = rng.normal(size=(4, 3)), ["a", "b", "a", "b"], rng.normal(size=(2, 3))
    np.savez("support.npz", X=x, y=y)
    np.savez("query.npz", X=queries)
    Path("run").mkdir()
    checkpoint.save("run/checkpoint.npz", TrainingState(0, learner.init(rng), ()), {})
    words = ["predict", "run", "--support", "support.npz", "--query", "query.npz", "--json"]
    assert main(words) == 2
    assert "of a learner of your own" in said(capsys)["error"]
    assert main([*words, "--learner", "my_learner:nothing"]) == 2
    assert "should be a module and a name in it" in said(capsys)["error"]
    assert main([*words, "--learner", "my_learner:learner"]) == 0
    known = mm.load("run", learner).adapt(x, y)
    assert [row["class"] for row in said(capsys)["predictions"]] == known.predict(queries).tolist()


def without_two_classes(root: Path) -> list[str]:
    shutil.rmtree(root / "support" / "arc")
    shutil.rmtree(root / "support" / "bow")
    return []


def without_one_class(root: Path) -> list[str]:
    shutil.rmtree(root / "support" / "arc")
    return []


def another_class(root: Path) -> list[str]:
    (root / "query" / "arc").rename(root / "query" / "zig")
    return []


def loose(root: Path) -> list[str]:
    shutil.copy(root / "support" / "arc" / "0.png", root / "support")
    return []


def another_size(root: Path) -> list[str]:
    np.savez(root / "query.npz", X=np.zeros((2, 9, 9)))
    return ["--query", str(root / "query.npz")]


def no_targets(root: Path) -> list[str]:
    np.savez(root / "support.npz", X=np.zeros((2, 28, 28)))
    return ["--support", str(root / "support.npz")]


def no_image(root: Path) -> list[str]:
    (root / "nothing").mkdir()
    return ["--query", str(root / "nothing")]


def words_in_a_table(root: Path) -> list[str]:
    (root / "support.csv").write_text("x,y\none,2\n")
    return ["--support", str(root / "support.csv")]


def without_checkpoint(root: Path) -> list[str]:
    (root / "run" / "checkpoint.npz").unlink()
    return []


def without_anything(root: Path) -> list[str]:
    shutil.rmtree(root / "run")
    return []


def cut_short(root: Path) -> list[str]:
    path = root / "run" / "checkpoint.npz"
    path.write_bytes(path.read_bytes()[:-100])
    return []


def of_a_newer_version(root: Path) -> list[str]:
    path = root / "run" / "checkpoint.npz"
    arrays = dict(np.load(path))
    header = json.loads(str(arrays["header"]))
    np.savez(path, **{**arrays, "header": np.array(json.dumps({**header, "format": 2}))})
    return []


@pytest.mark.parametrize(
    ("spoil", "code", "message"),
    [
        (without_two_classes, 2, "the support set has 1 class (cup) alone"),
        (without_one_class, 2, "2 classes (bow, cup), and this learner was trained on tasks of 3"),
        (another_class, 2, "has the class zig, of which the support set has no example"),
        (loose, 2, "holds images outside of class folders, such as 0.png"),
        (another_size, 1, "query: examples have shape (9, 9), and this learner was trained on (28, 28, 1)"),
        (no_image, 1, "there are no images in"),
        (no_targets, 1, "a support set needs targets"),
        (words_in_a_table, 1, "support.csv, line 2: 'one' is not a number"),
        (without_checkpoint, 1, "there is no checkpoint"),
        (without_anything, 2, "there is no run in"),
        (cut_short, 1, "is truncated or damaged"),
        (of_a_newer_version, 1, "is of format 2, and this version of minimeta reads format 1"),
    ],
)
def test_what_does_not_fit_is_named(
    spoil: Callable[[Path], list[str]],
    code: int,
    message: str,
    runs: Path,
    images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = tmp_path / "all"
    shutil.copytree(images, root)
    shutil.copytree(runs / "maml", root / "run")
    more = spoil(root)
    words = ["predict", str(root / "run"), "--support", str(root / "support"), "--query", str(root / "query")]
    assert main([*words, *more, "--matter", "0", "--json"]) == code
    error = said(capsys)["error"]
    assert message in error and "<module>" not in error
