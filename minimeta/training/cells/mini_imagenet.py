"""Few-shot miniImageNet: table 1 of each paper. The images are the user's own."""

from __future__ import annotations

from collections.abc import Iterator

from minimeta.training.cells.cell import FINN, NICHOL, RAVI, Cell, percent, replaced
from minimeta.training.cells.lstm import lstm
from minimeta.training.presets import LearnerName

_PRINTED: dict[str, dict[int, tuple[float, float]]] = {
    "maml": {1: (48.70, 1.84), 5: (63.11, 0.92)},
    "fomaml": {1: (48.07, 1.75), 5: (63.15, 0.91)},
    "reptile": {1: (47.07, 0.26), 5: (62.74, 0.37)},
    "reptile, transductive": {1: (49.97, 0.32), 5: (65.99, 0.58)},
    "lstm": {1: (43.44, 0.77), 5: (60.60, 0.71)},
    "nearest": {1: (41.08, 0.70), 5: (51.04, 0.65)},
}


def mini_imagenet() -> Iterator[Cell]:
    """All cells of miniImageNet."""
    bring = "needs miniImageNet: --data FOLDER, with train.csv, val.csv and test.csv"
    for shots in (1, 5):
        name = f"miniimagenet-5w{shots}s"
        learner: LearnerName
        for learner in ("maml", "fomaml"):
            preset = replaced(
                learner,
                "images",
                {"shots": shots, "queries": shots, "validate_every": 1000},
                shots=shots,
                adapts="all_but_offsets",
                reduction="per_shot",
                # The code cuts at 10 the gradient of a loss summed over 75 queries and divided by shots.
                largest_element=10 * shots / 15,
            )
            published = (percent(10, *_PRINTED[learner][shots]),)
            yield Cell(f"{name}-{learner}", learner, preset, published, f"{FINN}, table 1", bring)
        preset = replaced("reptile", "images", {"shots": shots}, evaluation_batch=5 if shots == 1 else 15)
        both = (
            percent(50, *_PRINTED["reptile"][shots], transductive=False),
            percent(50, *_PRINTED["reptile, transductive"][shots]),
        )
        yield Cell(f"{name}-reptile", "reptile", preset, both, f"{NICHOL}, table 1", bring)
        preset = lstm("images", shots)
        published = (percent(preset.evaluation.steps, *_PRINTED["lstm"][shots]),)
        yield Cell(f"{name}-lstm", "lstm", preset, published, f"{RAVI}, table 1", bring)
        preset = replaced("finetuning", "images", {"shots": shots}, shots=shots, queries=15)
        note = f"{bring}; {RAVI} tune a network that has learned all training classes, this one is random"
        yield Cell(f"{name}-finetuning", "finetuning", preset, note=note)
        preset = replaced("nearest", "images", {"shots": shots}, shots=shots)
        published = (percent(0, *_PRINTED["nearest"][shots]),)
        note = f"{bring}; the paper's neighbours are of learned features, these of pixels"
        yield Cell(f"{name}-nearest", "nearest", preset, published, f"{RAVI}, table 1", note)
