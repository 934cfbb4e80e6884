"""Training by ranks of MPI, which ``mpiexec`` starts, has the bits of training alone."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("mpi4py", reason="needs the extra mpi")
MPIEXEC = Path(sys.executable).with_name("mpiexec")
pytestmark = pytest.mark.skipif(not MPIEXEC.exists(), reason="needs an MPI library in the environment: mpich")
SETTINGS = ["--iterations", "20", "--evaluation.tasks", "20", "--meta-batch", "7", "--checkpoint-every", "5"]


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
    workers = ["--workers", "mpi"] if ranks else []
    command = ["-m", "minimeta", "train", "maml", "sinusoid", *SETTINGS, "--out", str(folder), *workers, *flags]
    return started(max(ranks, 1), *command)


def contents(folder: Path) -> list[bytes]:
    with zipfile.ZipFile(folder / "checkpoint.npz") as archive:
        arrays = [archive.read(name) for name in sorted(archive.namelist())]
    return [*arrays, (folder / "results.md").read_bytes(), (folder / "metrics.jsonl").read_bytes()]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "alone"
    done = train(0, folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_ranks_train_go_on_and_evaluate_as_one_process(alone: Path, tmp_path: Path) -> None:
    for ranks, flags in (3, ["--iterations", "10"]), (2, ["--iterations", "20", "--resume"]):
        done = train(ranks, tmp_path / "run", *flags)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("run folder:") == 1
    assert contents(tmp_path / "run") == contents(alone)


def test_an_error_of_one_rank_ends_all(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import numpy as np\n"
        "from mpi4py import MPI\n"
        "from minimeta import errors\n"
        "from minimeta.distributed import Job, workers_for\n"
        "def make(rank):\n"
        "    def function(x):\n"
        "        if rank == 1:\n"
        "            raise MemoryError('too large')\n"
        "        return x\n"
        "    return function\n"
        "with workers_for(MPI.COMM_WORLD) as workers:\n"
        "    try:\n"
        "        workers.compute(Job.of(make, MPI.COMM_WORLD.Get_rank()), [(1,), (2,), (3,)])\n"
        "    except errors.WorkerError as error:\n"
        "        print(error, flush=True)\n"
    )
    done = started(2, str(program))
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == ["rank 1 raised MemoryError('too large')"] * 2


def test_a_refusal_on_the_first_rank_ends_all(tmp_path: Path) -> None:
    (tmp_path / "something").touch()
    done = started(2, "-m", "minimeta", "evaluate", str(tmp_path), "--workers", "mpi")
    assert done.returncode != 0
    assert "there is no run in" in done.stderr


def test_what_follows_a_step_runs_on_one_rank_and_ends_all(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "from mpi4py import MPI\n"
        "from minimeta.distributed import workers_for\n"
        "rank = MPI.COMM_WORLD.Get_rank()\n"
        "def stop():\n"
        "    raise ValueError(f'stopped on {rank}')\n"
        "with workers_for(MPI.COMM_WORLD) as workers:\n"
        "    assert workers.agreed({'rank': rank}) == {'rank': 0}\n"
        "    workers.together(lambda: print('called on', rank, flush=True))\n"
        "    try:\n"
        "        workers.together(stop)\n"
        "    except Exception as error:\n"
        "        print(rank, type(error).__name__, error, flush=True)\n"
    )
    done = started(2, str(program))
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == [
        "0 ValueError stopped on 0",
        "1 WorkerError rank 0 ended: ValueError('stopped on 0')",
        "called on 0",
    ]
