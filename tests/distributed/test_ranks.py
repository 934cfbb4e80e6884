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


def said(folder: Path) -> list[str]:
    """What each of two ranks wrote down; on standard output mpiexec may join their lines."""
    return [(folder / f"said{rank}").read_text() for rank in range(2)]


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
        "from pathlib import Path\n"
        "from mpi4py import MPI\n"
        "from minimeta import errors\n"
        "from minimeta.distributed import Job, workers_for\n"
        "def make(rank):\n"
        "    def function(x):\n"
        "        if rank == 1:\n"
        "            raise MemoryError('too large')\n"
        "        return x\n"
        "    return function\n"
        "rank = MPI.COMM_WORLD.Get_rank()\n"
        "with workers_for(MPI.COMM_WORLD) as workers:\n"
        "    try:\n"
        "        workers.compute(Job.of(make, rank), [(1,), (2,), (3,)])\n"
        "    except errors.WorkerError as error:\n"
        "        Path(__file__).with_name(f'said{rank}').write_text(str(error))\n"
    )
    done = started(2, str(program))
    assert done.returncode == 0, done.stderr
    assert said(tmp_path) == ["rank 1 raised MemoryError('too large')"] * 2


def test_a_refusal_on_the_first_rank_ends_all(tmp_path: Path) -> None:
    (tmp_path / "something").touch()
    done = started(2, "-m", "minimeta", "evaluate", str(tmp_path), "--workers", "mpi")
    assert done.returncode != 0
    assert "there is no run in" in done.stderr


def test_what_follows_a_step_runs_on_one_rank_and_ends_all(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "from pathlib import Path\n"
        "from mpi4py import MPI\n"
        "from minimeta.distributed import workers_for\n"
        "called = []\n"
        "rank = MPI.COMM_WORLD.Get_rank()\n"
        "def stop():\n"
        "    raise ValueError(f'stopped on {rank}')\n"
        "with workers_for(MPI.COMM_WORLD) as workers:\n"
        "    assert workers.agreed({'rank': rank}) == {'rank': 0}\n"
        "    workers.together(lambda: called.append(rank))\n"
        "    try:\n"
        "        workers.together(stop)\n"
        "    except Exception as error:\n"
        "        said = f'{called} {type(error).__name__} {error}'\n"
        "        Path(__file__).with_name(f'said{rank}').write_text(said)\n"
    )
    done = started(2, str(program))
    assert done.returncode == 0, done.stderr
    assert said(tmp_path) == [
        "[0] ValueError stopped on 0",
        "[] WorkerError rank 0 ended: ValueError('stopped on 0')",
    ]
