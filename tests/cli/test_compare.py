"""``minimeta compare``: kept results over their seeds, against Python's statistics."""

from __future__ import annotations

import json
import shutil
import statistics
from pathlib import Path
from typing import Any

import pytest

from minimeta.cli import main
from minimeta.cli.compare import CompareOptions, compare
from minimeta.errors import ConfigurationError

KEPT = Path(__file__).parents[2] / "docs" / "results"


def kept(pattern: str) -> list[Path]:
    found = sorted(KEPT.glob(pattern))
    assert found
    return found


def test_settings_that_differ_are_columns_and_seeds_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    paths = kept("sinusoid-maml-released-*.json") + kept("sinusoid-maml-steps-*.json")
    assert main(["compare", "--json", *map(str, paths)]) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert report["settings"] == ["inner_learning_rate", "inner_steps", "step_weights", "initialiser"]
    assert [each["settings"]["inner_learning_rate"] for each in report["variants"]] == [0.01, 0.001]  # the best first
    for row, name in zip(report["variants"], ["maml-steps", "maml-released"], strict=True):
        results = [json.loads(path.read_text()) for path in kept(f"sinusoid-{name}-*.json")]
        last = [each["mean"][-1] for each in results]
        assert row["seeds"] == [0, 1, 2]
        assert row["mean"][-1] == pytest.approx(statistics.mean(last))
        assert (row["least"][-1], row["most"][-1]) == (min(last), max(last))


def test_the_table_says_what_differs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *map(str, kept("sinusoid-lstm*.json"))]) == 0
    printed = capsys.readouterr().out
    assert "6 runs" in printed and "learner" not in printed and "by test" in printed


def test_runs_that_cannot_be_compared_are_refused(tmp_path: Path) -> None:
    (one,) = kept("sinusoid-maml-7*seed0.json")
    shutil.copy(one, tmp_path / "again.json")
    for runs, message in [
        ((), "needs the folders of runs"),
        ((one, tmp_path / "again.json"), "have the same settings and seed: leave one out"),
        ((one, *kept("omniglot-5w1s-maml-fast-*seed1.json")), "compare them apart"),
        ((tmp_path,), "there is no run in"),
    ]:
        with pytest.raises(ConfigurationError, match=message):
            compare(CompareOptions(runs=runs))
    (tmp_path / "other.json").write_text("{}")
    assert main(["compare", str(tmp_path / "other.json")]) == 1
