"""``--workers``: the run is that of one process, and says what the workers' messages cost."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from runs import SINUSOID

from minimeta.cli import main
from minimeta.cli.workers import Collective, started
from minimeta.distributed.jobs import Call

pytest_plugins = ["undrawn"]


def test_the_collectives_share_leaves_out_the_step_that_compiles(capsys: pytest.CaptureFixture[str]) -> None:
    workers: Any = SimpleNamespace(count=3, last=None)
    collective, nothing = Collective(workers), Collective(None)
    for seconds, computing in (60.0, 1.0), (0.02, 0.01), (0.06, 0.05):
        assert collective.record == {} or seconds == 0.06
        workers.last = Call(seconds, computing)
        for each in collective, nothing:
            each(Any, Any)  # type: ignore[arg-type]
    assert collective.record == {"workers": 3, "milliseconds": 40.0, "share": 0.25} and nothing.record == {}
    for each in collective, nothing:
        each.show()
    assert capsys.readouterr().err == "workers: 3, 40 ms a step, of which 25% is sending and waiting\n"


def test_a_run_by_two_processes_is_that_of_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], undrawn: None
) -> None:
    shared, alone = tmp_path / "shared", tmp_path / "alone"
    assert main(["train", "maml", "sinusoid", "--out", str(shared), *SINUSOID, "--workers", "2"]) == 0
    said = re.search(r"workers: 2, [\d.]+ ms a step, of which \d+% is sending and waiting", capsys.readouterr().err)
    session = json.loads((shared / "results.json").read_text())["environment"]
    assert said and session["collective"]["workers"] == 2 and 0 <= session["collective"]["share"] <= 1
    assert main(["train", "maml", "sinusoid", "--out", str(alone), *SINUSOID]) == 0
    for name in ("metrics.jsonl", "results.md"):
        assert (shared / name).read_bytes() == (alone / name).read_bytes()


@pytest.mark.parametrize(
    ("name", "launcher"),
    [
        ("OMPI_COMM_WORLD_SIZE", "mpiexec"),
        ("PMI_SIZE", "mpiexec"),
        ("MV2_COMM_WORLD_SIZE", "mpiexec"),
        ("SLURM_STEP_NUM_TASKS", "srun"),
    ],
)
def test_one_of_several_ranks_is_refused(
    name: str, launcher: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["train", "maml", "sinusoid", "--out", str(tmp_path / "run")]
    monkeypatch.setattr("sys.argv", ["minimeta", *words])
    monkeypatch.setenv(name, "4")
    for flags in [], ["--workers", "2"], ["--seeds", "0-1"]:
        assert main([*words, *flags]) == 2
        assert f"{launcher} -n 4 minimeta {' '.join(words)} --workers mpi" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    monkeypatch.setenv(name, "1")
    with started(None) as workers:
        assert workers is None
