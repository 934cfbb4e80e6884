"""Training on a real cluster of Dask, whose workers are processes, has the bits of training alone."""

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from shared_training import TASKS, sha

from minimeta import nn, optim
from minimeta.errors import ConfigurationError, WorkerError
from minimeta.learners import MAML
from minimeta.training import TrainingState, fit

distributed = pytest.importorskip("distributed", reason="needs the extra dask")
pytestmark = pytest.mark.filterwarnings("default")  # Dask's own, about ports and its event loop


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def trained(workers: Any, **settings: Any) -> TrainingState:
    # A lambda goes to the workers, too.
    learner = MAML(nn.mlp((1, 5, 1)), lambda outputs, targets: ((outputs - targets) ** 2).mean(), 0.01, 1)
    return fit(learner, TASKS, optim.adam(), iterations=5, meta_batch=20, seed=3, workers=workers, **settings)


def test_workers_that_stop_for_a_while_are_waited_for(client: Any) -> None:
    """As where their network is lost for some seconds: nothing tells them from others until they answer."""
    happened: list[str] = []

    def go_on() -> None:
        happened.append("go on")
        for pid in pids:
            os.kill(pid, signal.SIGCONT)

    def stop(state: TrainingState, report: Any) -> None:
        happened.append(f"step {state.step}")
        if state.step == 2:
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            threading.Timer(2.0, go_on).start()

    pids = client.run(os.getpid).values()
    assert sha(trained(client, callbacks=[stop])) == sha(trained(None))
    assert happened == ["step 1", "step 2", "go on", "step 3", "step 4", "step 5"]


def test_a_killed_worker_changes_no_bit(client: Any) -> None:
    pids: list[int] = []

    def kill(state: TrainingState, report: Any) -> None:
        if state.step == 2:
            pids.extend(client.run(os.getpid).values())
            os.kill(pids[0], signal.SIGKILL)

    with pytest.warns(RuntimeWarning, match=r"a worker of Dask ended \(tcp://127\.0\.0\.1:\d+\)"):
        found = trained(client, callbacks=[kill])
    assert sha(found) == sha(trained(None))
    assert len(pids) == 2
    assert sha(trained(client.get_executor())) == sha(trained(None))


def test_a_scheduler_that_does_not_answer_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from minimeta.cli import workers  # noqa: PLC0415 (needs the extra cli)

    monkeypatch.setattr(workers, "SECONDS_TO_ANSWER", 0.5)
    with (
        pytest.raises(WorkerError, match=r"no scheduler of Dask answers at tcp://127.0.0.1:1"),
        workers.started("dask://127.0.0.1:1"),
    ):
        pass
    with pytest.raises(ConfigurationError, match="--workers many should be"), workers.started("many"):
        pass
