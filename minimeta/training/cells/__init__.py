"""The cells of the papers' tables: a learner, its settings, and the number it should come to.

Each is one training under a name, ``minimeta reproduce NAME``. What several cells share is the preset of their learner
and benchmark (:mod:`minimeta.training.presets`), whose every setting says what paper and released code have; a cell
says which of the two it follows where they differ. Where the paper is silent or the number is known to hang on it, that
is the code:

    MAML on images    batch-norm offsets are meta-learned and do not adapt; losses are ``per_shot``, ``ways`` times the
                      mean; 100 classes choose the model
    Reptile           factor and offset of batch norm adapt; the state of the inner Adam is shared; nothing is chosen
    LSTM              the gates are given their values before the sigmoid; running statistics begin anew with each task

A cell whose name has a word more is a variation: other settings, named in its note, beside the paper's own.
"""

from __future__ import annotations

import dataclasses

from minimeta.training.cells.cell import Cell, Published
from minimeta.training.cells.mini_imagenet import mini_imagenet
from minimeta.training.cells.omniglot import omniglot
from minimeta.training.cells.sinusoid import sinusoid
from minimeta.training.presets import LearnerName, Preset

CELLS: dict[str, Cell] = {cell.name: cell for cell in [*sinusoid(), *omniglot(), *mini_imagenet()]}
"""All cells, by name."""


def cell_of(learner: LearnerName, preset: Preset) -> Cell | None:
    """Return the cell that a training is of, whatever its length, its seed and how it is measured; None if of none."""
    for cell in CELLS.values():
        free = {name: getattr(preset, name) for name in ("iterations", "seed", "evaluation")}
        if (
            learner == cell.learner
            and type(preset) is type(cell.preset)
            and preset == dataclasses.replace(cell.preset, **free)
            and preset.evaluation.shots == cell.preset.evaluation.shots
        ):
            return cell
    return None


__all__ = ["CELLS", "Cell", "Published", "cell_of"]
