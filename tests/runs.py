"""Small trainings by ``minimeta train``: their flags, and their files."""

import json
from pathlib import Path

SINUSOID = [
    "--hidden", "6", "--meta-batch", "3", "--iterations", "6",
    "--evaluation.tasks", "4", "--evaluation.steps", "2", "--evaluation.queries", "5",
]  # fmt: skip
CHARACTERS = [
    "--hidden", "8", "8", "--meta-batch", "2", "--iterations", "3", "--ways", "3",
    "--evaluation.tasks", "3", "--evaluation.steps", "2",
]  # fmt: skip
VALIDATED = [*CHARACTERS, "--iterations", "4", "--evaluation.validation-tasks", "3"]
SMALL = {
    "reptile": ["--inner-steps", "2", "--shots", "3", "--inner-batch", "2"],
    "lstm": ["--inner-steps", "2", "--lstm-hidden", "3"],
    "finetuning": ["--inner-steps", "2", "--rates", "0.01", "0.1"],
    "pretraining": ["--rates", "0.01", "0.1"],
}
"""Flags that make a run of each learner small, in addition to those of its task."""
FILES = {
    "configuration.toml",
    "environment.json",
    "metrics.jsonl",
    "checkpoint.npz",
    "results.json",
    "results.md",
    "adaptation.png",
    "learning.png",
}


def steps_recorded(folder: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
