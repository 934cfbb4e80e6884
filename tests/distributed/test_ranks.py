"""Training by ranks of MPI, which ``mpiexec`` starts, has the bits of training alone."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from minimeta import nn, optim
from minimeta.cli import main
from minimeta.learners import MAML
from minimeta.tasks import Sinusoid
from minimeta.training import fit

pytest_plugins = ["undrawn"]

pytest.importorskip("mpi4py", reason="needs the extra mpi")
MPIEXEC = Path(sys.executable).with_name("mpiexec")
pytestmark = pytest.mark.skipif(not MPIEXEC.exists(), reason="needs an MPI library in the environment: mpich")
SETTINGS = ["--iterations", "20", "--evaluation.tasks", "20", "--meta-batch", "7", "--checkpoint-every", "5"]

PROGRAM = """
import os, signal, threading
from pathlib import Path

import numpy as np
from mpi4py import MPI

from minimeta import nn, optim
from minimeta.distributed import Job, workers_for
from minimeta.learners import MAML
from minimeta.tasks import Sinusoid
from minimeta.training import fit

HERE, RANK = Path(__file__).parent, MPI.COMM_WORLD.Get_rank()


def fails_on_rank_1(rank):
    def function(x):
        if rank == 1:
            raise MemoryError("too large")
        return x

    return function


def stop():
    raise ValueError(f"stopped on {RANK}")


def error_of(function, *arguments, **settings):
    try:
        function(*arguments, **settings)
    except Exception as error:
        return f"{type(error).__name__} {error}"


def train(iterations, rate, folder):
    learner = MAML(nn.mlp((1, 4, 1)), nn.mean_squared_error, rate)
    settings = {"iterations": iterations, "meta_batch": 3, "seed": 0, "folder": folder, "callbacks": [stop_for_a_while]}
    return fit(learner, Sinusoid(), optim.adam(), **settings, workers=MPI.COMM_WORLD)


def stop_for_a_while(state, report):
    happened.append(f"step {state.step}")
    if state.step == 1:
        os.kill(PIDS[1], signal.SIGSTOP)
        threading.Timer(1.0, go_on).start()


def go_on():
    happened.append("rank 1 goes on")
    os.kill(PIDS[1], signal.SIGCONT)


PIDS, happened = MPI.COMM_WORLD.allgather(os.getpid()), []

called = []
with workers_for(MPI.COMM_WORLD) as workers:
    said = [error_of(workers.compute, Job.of(fails_on_rank_1, RANK), [(1,), (2,), (3,)])]
    said.append(workers.together(lambda: called.append(RANK) or f"made by {RANK}"))
    said += [f"called on {called}", error_of(workers.together, stop)]
train(2, 0.01, HERE / f"folder{RANK}")
state = train(4, 0.01, HERE / f"folder{RANK}")
said.append(", ".join(happened))
said.append(f"{state.step} {state.meta_parameters[0]['bias'].tolist()}")
said.append(error_of(train, 6, 0.02, HERE / f"folder{RANK}"))
(HERE / f"said{RANK}").write_text("\\n".join(said))
"""


def started(ranks: int, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a program on some ranks; no rank may leave the others waiting."""
    return subprocess.run(
        [MPIEXEC, "-n", str(ranks), sys.executable, *words],
        env={**os.environ, "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def train(ranks: int, folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    return started(ranks, "-m", "minimeta", *training(folder), "--workers", "mpi", *flags)


def training(folder: Path) -> list[str]:
    return ["train", "maml", "sinusoid", *SETTINGS, "--out", str(folder)]


def contents(folder: Path) -> list[bytes]:
    with zipfile.ZipFile(folder / "checkpoint.npz") as archive:
        arrays = [archive.read(name) for name in sorted(archive.namelist())]
    return [*arrays, (folder / "results.md").read_bytes(), (folder / "metrics.jsonl").read_bytes()]


INTERRUPTED = """
import os, signal, sys

from minimeta.cli import main, progress

count = progress.TrainingBar.__call__


def interrupt(bar, state, report):
    count(bar, state, report)
    if state.step == 2:
        os.kill(os.getpid(), signal.SIGINT)


progress.TrainingBar.__call__ = interrupt
words = ["train", "maml", "sinusoid", "--meta-batch", "2", "--out", sys.argv[1]]
for apart in words, [*words, "--seeds", "0-1"]:
    assert main(apart) == 2
sys.exit(main([*words, "--workers", "mpi"]))
"""


def test_ranks_that_know_of_each_other_say_how_to_go_on_and_others_are_refused(tmp_path: Path) -> None:
    folder, program = tmp_path / "run", tmp_path / "program.py"
    program.write_text(INTERRUPTED)
    done = started(2, str(program), str(folder))
    assert done.stderr.count("mpiexec started 2 of these commands (PMI_SIZE=2)") == 4, done.stderr
    assert (
        f"To share one, its tasks are computed by ranks of MPI: mpiexec -n 2 minimeta {folder} --workers mpi"
        in done.stderr
    )
    assert f"  mpiexec -n 2 minimeta train maml sinusoid --out {folder} --resume --workers mpi" in done.stderr


def test_ranks_train_go_on_and_evaluate_as_one_process(tmp_path: Path, undrawn: None) -> None:
    for ranks, flags in (3, ["--iterations", "10"]), (2, ["--iterations", "20", "--resume"]):
        done = train(ranks, tmp_path / "run", *flags)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("run folder:") == 1
    assert main(training(tmp_path / "alone")) == 0
    assert contents(tmp_path / "run") == contents(tmp_path / "alone")


def test_ranks_agree_on_results_errors_and_one_folder(tmp_path: Path) -> None:
    """Each rank is given another folder, as on machines without a common disk: the first one's is used."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = started(2, str(program))
    assert done.returncode == 0, done.stderr
    learner = MAML(nn.mlp((1, 4, 1)), nn.mean_squared_error, 0.01)
    alone = fit(learner, Sinusoid(), optim.adam(), iterations=4, meta_batch=3, seed=0)
    first, other = ((tmp_path / f"said{rank}").read_text().splitlines() for rank in range(2))
    ends = "rank 1 raised MemoryError('too large')", "made by 0"
    trained = f"4 {alone.meta_parameters[0]['bias'].tolist()}"
    happened = "step 1, rank 1 goes on, step 2, step 3, step 4"
    assert first[:6] == [
        f"WorkerError {ends[0]}",
        ends[1],
        "called on [0]",
        "ValueError stopped on 0",
        happened,
        trained,
    ]
    stopped = "WorkerError rank 0 ended: ValueError('stopped on 0')"
    assert other[:6] == [f"WorkerError {ends[0]}", ends[1], "called on []", stopped, "", trained]
    assert "inner_learning_rate is 0.01 there and 0.02 here" in "".join(first[6:])
    assert other[6].startswith("WorkerError rank 0 ended: CheckpointError(")
    assert (tmp_path / "folder0" / "checkpoint.npz").exists() and not (tmp_path / "folder1").exists()


def test_a_refusal_on_the_first_rank_ends_all(tmp_path: Path) -> None:
    (tmp_path / "something").touch()
    done = started(2, "-m", "minimeta", "evaluate", str(tmp_path), "--workers", "mpi")
    assert done.returncode != 0
    assert "there is no run in" in done.stderr
