"""Several runs by one command: their seeds and settings, their summary, and an interruption of all."""

import json
import os
import re
import shlex
import signal
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from background import MINIMETA, SMALL, start, training, wait_for

from minimeta.cli import main
from minimeta.cli.summary import quantile, summarised, summary_table
from minimeta.cli.sweep import is_sweep, parse_seeds, parse_sweep
from minimeta.errors import ConfigurationError
from minimeta.files import write_atomically
from minimeta.storage.run_folder import RunFolder
from minimeta.storage.sealed import sealed

TRAIN = ["train", "maml", "sinusoid"]


def parsed(folder: Path, *flags: str) -> Any:
    return parse_sweep(TRAIN, ["--out", str(folder), *flags], lambda flags: None)


@pytest.mark.parametrize(
    ("text", "seeds"), [("0-3", [0, 1, 2, 3]), ("5", [5]), ("0,3,7-9", [0, 3, 7, 8, 9]), ("4-4", [4])]
)
def test_seeds(text: str, seeds: list[int]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "-1", "3-1", "a", "0-", "1,,2", "0-3,2", "1.5"])
def test_what_is_no_list_of_seeds_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"--seeds .* (should be whole numbers|has a seed twice)"):
        parse_seeds(text)


def test_runs_are_all_combinations(tmp_path: Path) -> None:
    found = parsed(tmp_path / "s", "--seeds=1,2", "--grid", "a_b=1,2", "--grid=c=x,y", "--iterations", "3", "--json")
    assert [(run.variant, run.seed) for run in found.runs] == [
        (f"a_b={a},c={c}", seed) for a in "12" for c in "xy" for seed in (1, 2)
    ]
    assert found.runs[3].folder.path == tmp_path / "s" / "a_b=1,c=y" / "seed2"
    assert found.runs[3].flags == ("--a-b", "1", "--c", "y", "--seed", "2")
    assert (found.flags, found.json, found.resume, found.at_once) == (("--iterations", "3"), True, False, 1)


def test_a_cluster_takes_one_run_after_another(tmp_path: Path) -> None:
    found = parsed(tmp_path, "--seeds", "0-9", "--workers", "dask")
    assert (found.at_once, found.flags) == (1, ("--workers", "dask"))
    assert parsed(tmp_path, "--seeds", "0-9", "--workers", "4").at_once == 4


def test_a_grid_of_points_is_no_sweep() -> None:
    assert not is_sweep(["--grid-points", "50", "--seed", "3"])
    assert is_sweep(["--grid", "steps=1,2"]) and is_sweep(["--seeds=0-3"])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--seeds", "0-1", "--seed", "3"], "--seed is for a single one"),
        (["--grid", "50"], "--grid 50 should be a setting and its values"),
        (["--grid", "=1"], "--grid =1 should be a setting and its values"),
        (["--grid", "a=1,"], "--grid a=1, should be"),
        (["--seeds", "0", "--workers", "0"], "--workers should be at least 1"),
        (["--seeds"], "--seeds needs a value"),
        (["--seeds", "0-1", "--resume", "--out", "nowhere"], "there are no runs in nowhere; leave out --resume"),
    ],
)
def test_wrong_flags_are_refused(flags: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parsed(tmp_path, *flags)


def test_wrong_settings_are_refused_before_any_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TRAIN, "--grid", "inner_steps=0,1", "--out", str(tmp_path / "s")]) == 2
    assert "inner_steps must be at least 1" in capsys.readouterr().err
    assert main([*TRAIN, "--grid", "inner_steps=2,5", "--out", str(tmp_path / "s")]) == 2
    assert "step_weights must be one for each of 5 inner_steps, or none, not 0.5 0.5" in capsys.readouterr().err
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    assert main([*TRAIN, "--seeds", "0-1", "--out", str(tmp_path / "full")]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


def written(folder: Path, mean: list[float | None], metric: str = "loss", validation: list[float] | None = None) -> Any:
    folder.mkdir(parents=True)
    write_atomically(folder / "configuration.toml", "")
    results = {
        "seed": 0,
        "metric": metric,
        "steps": list(range(len(mean))),
        "mean": mean,
        "validation": [{"mean": each} for each in validation or []],
    }
    write_atomically(folder / "results.json", sealed(results))
    return RunFolder(folder)


def test_the_summary_is_over_seeds(tmp_path: Path) -> None:
    values = [[3.0, 1.0], [2.0, 1.5], [4.0, 1.25]]
    runs = [("", written(tmp_path / str(place), list(mean))) for place, mean in enumerate(values)]
    (found,) = summarised([*runs, ("", RunFolder(tmp_path / "failed"))])
    for place, column in enumerate(zip(*values, strict=True)):
        assert found["mean"][place] == pytest.approx(statistics.mean(column))
        assert found["interval"][place] == pytest.approx(4.3027 * statistics.stdev(column) / 3**0.5)
        assert (found["least"][place], found["most"][place]) == (min(column), max(column))
    assert (found["chosen_by"], found["judged"]) == ("test", pytest.approx(1.25))
    head, rows = summary_table([found])
    assert head == ["settings", "seeds", "after 0", "after 1", "spread", "by test"]
    assert rows == [["as given", "3", "3.0000 ± 2.4842", "1.2500 ± 0.6210", "1.0000 to 1.5000", "1.2500"]]


def test_quantiles_are_those_of_student() -> None:
    stats = pytest.importorskip("scipy.stats", reason="scipy is an extra")
    freedoms = np.arange(1, 100)
    assert np.allclose([quantile(each) for each in freedoms.tolist()], stats.t.ppf(0.975, freedoms), atol=3e-3)


def test_a_folder_of_runs_is_no_run(tmp_path: Path) -> None:
    written(tmp_path / "seed0", [1.0])
    with pytest.raises(ConfigurationError, match=r"it has runs inside, such as .*seed0: .*--seeds or --grid again"):
        RunFolder(tmp_path).require_run()


@pytest.mark.parametrize("metric", ["accuracy", "return", "loss"])
def test_variants_are_sorted_by_validation(metric: str, tmp_path: Path) -> None:
    runs = [
        (name, written(tmp_path / name, [mean], metric, validation))
        for name, mean, validation in [("a", 0.5, [0.1, 0.6]), ("b", 0.9, [0.3, 0.2]), ("c", None, [0.7, 0.8])]
    ]
    found = summarised(runs)
    assert {each["chosen_by"] for each in found} == {"validation"}
    assert "".join(each["variant"] for each in found) == ("abc" if metric == "loss" else "cab")


def test_a_sweep_is_interrupted_and_goes_on_as_one(tmp_path: Path) -> None:
    folder, alone = tmp_path / "a sweep", tmp_path / "alone"
    words = [*TRAIN, "--out", str(folder), *SMALL, "--iterations", "100", "--seeds", "3-4"]
    with start([*MINIMETA, *words, "--json"]) as process:
        wait_for((folder / "seed3" / "checkpoint.npz").exists, process)
        process.send_signal(signal.SIGINT)
        printed, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    report = json.loads(printed)
    assert report["status"] == "interrupted"
    resumed = shlex.split(report["resume"])[1:]
    assert resumed[-1] == "--resume" and "--seeds" in resumed

    assert main(resumed) == 0
    assert main(training(alone, "--iterations", "100", "--seed", "4")) == 0
    for file in ("metrics.jsonl", "checkpoint.npz", "results.md"):
        assert (folder / "seed4" / file).read_bytes() == (alone / file).read_bytes(), file
    (summary,) = json.loads((folder / "summary.json").read_text())
    assert summary["seeds"] == [3, 4] and len(summary["mean"]) == 2
    assert re.search(r"\| as given \| 2 \|", (folder / "summary.md").read_text())


def test_a_sweep_that_loses_a_run_says_so_and_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    words = [*TRAIN, "--out", str(folder), *SMALL, "--iterations", "100", "--seeds", "0-1"]
    with start([*MINIMETA, *words, "--json"]) as process:
        wait_for((folder / "seed0" / "checkpoint.npz").exists, process)
        (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(child), signal.SIGKILL)
        printed, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    report = json.loads(printed)
    assert (report["status"], report["missing"]) == ("incomplete", [str(folder / "seed0")])
    assert [each["seeds"] for each in report["variants"]] == [[1]]
    assert "failed with exit code -9" in errors and report["resume"] in errors

    assert main(shlex.split(report["resume"])[1:]) == 0
    (summary,) = json.loads((folder / "summary.json").read_text())
    assert summary["seeds"] == [0, 1]


def test_a_sweep_whose_runs_all_fail_has_no_table(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder, words = tmp_path / "sweep", ["train", "maml", "omniglot", "--data", str(tmp_path / "none")]
    assert main([*words, "--seeds", "0-1", "--out", str(folder)]) == 1
    printed, errors = capfd.readouterr()
    assert not printed
    assert errors.count("failed with exit code 1") == 2
    assert f"not in the summary: {folder / 'seed0'}, {folder / 'seed1'}; this goes on:" in errors
