"""The recipes of docs/prediction.md for TensorBoard and MLflow run as written, and what they log is read back.

Skipped where tensorboardX or MLflow is not installed.
"""

import re
import struct
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

from minimeta import nn, optim
from minimeta.learners import MAML
from minimeta.tasks import Sinusoid
from minimeta.training import fit

PAGE = (Path(__file__).parents[2] / "docs" / "prediction.md").read_text(encoding="utf-8")
LEARNER = MAML(nn.mlp((1, 4, 1)), nn.mean_squared_error, 0.01)


def run(word: str) -> dict[str, Any]:
    """Run the indented block that has a word in it; return its names, and the mean losses of each step."""
    (block,) = [block for block in re.findall(r"(?:^ {4}.*\n|^\n)+", PAGE, re.MULTILINE) if word in block]
    space: dict[str, Any] = {"fit": fit, "learner": LEARNER, "tasks": Sinusoid(), "optim": optim}
    exec(dedent(block).replace("iterations=1000", "iterations=3"), space)
    return space


def losses() -> list[float]:
    found: list[float] = []
    arguments: dict[str, Any] = {"iterations": 3, "meta_batch": 4, "seed": 0}
    fit(LEARNER, Sinusoid(), optim.adam(), **arguments, callbacks=[lambda _, x: found.append(float(x.losses.mean()))])
    return found


def test_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = pytest.importorskip("tensorboardX.proto.event_pb2")
    monkeypatch.chdir(tmp_path)
    run("SummaryWriter")["writer"].close()
    (file,) = Path("runs/board").iterdir()
    content, logged = file.read_bytes(), []
    while content:  # a length of 8 bytes and its checksum of 4, an event, and its checksum
        (length,) = struct.unpack("<Q", content[:8])
        event = events.Event.FromString(content[12 : 12 + length])
        logged += [(event.step, value.simple_value) for value in event.summary.value if value.tag == "loss"]
        content = content[16 + length :]
    np.testing.assert_allclose(logged, list(enumerate(losses(), 1)), rtol=1e-6)


@pytest.mark.filterwarnings("ignore")  # its own, of other libraries
def test_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "runs").as_uri())
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow = pytest.importorskip("mlflow")
    run("mlflow")
    identifier = mlflow.last_active_run().info.run_id
    logged = [(each.step, each.value) for each in mlflow.MlflowClient().get_metric_history(identifier, "loss")]
    np.testing.assert_allclose(logged, list(enumerate(losses(), 1)), rtol=1e-6)
