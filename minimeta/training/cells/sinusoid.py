"""Sinusoid regression: table 2 of Finn et al. 2017, and what has no table."""

from __future__ import annotations

from typing import Any

from minimeta.training.cells.cell import FINN, Cell, Published, replaced


def sinusoid() -> list[Cell]:
    """All cells of the sinusoid."""
    one_step: dict[str, Any] = {"inner_steps": 1, "step_weights": ()}
    table = (Published(1, 0.67), Published(5, 0.38), Published(10, 0.35))
    third_party = (Published(1, 0.763, 0.139),)
    zigolox = "a third party (Zigolox/Meta-Learning-OptML-Project), which trains with 5 shots and 4 tasks a step"
    steps = "half the loss is that after one step, half that after two"
    pretrained = (Published(1, 2.41), Published(5, 2.23), Published(10, 2.19))
    return [
        Cell("sinusoid-maml", "maml", replaced("maml", "sinusoid", **one_step), table, f"{FINN}, table 2"),
        Cell(
            "sinusoid-maml-steps",
            "maml",
            replaced("maml", "sinusoid"),
            table,
            f"{FINN}, table 2",
            steps,
        ),
        Cell(
            "sinusoid-maml-released",
            "maml",
            replaced("maml", "sinusoid", **one_step, initialiser="truncated_normal", inner_learning_rate=0.001),
            table,
            f"{FINN}, table 2",
            "inner rate and initial weights of the released code's documented command",
        ),
        Cell(
            "sinusoid-fomaml",
            "fomaml",
            replaced("fomaml", "sinusoid", **one_step),
            third_party,
            zigolox,
        ),
        Cell("sinusoid-fomaml-steps", "fomaml", replaced("fomaml", "sinusoid"), third_party, zigolox, steps),
        Cell(
            "sinusoid-reptile",
            "reptile",
            replaced("reptile", "sinusoid"),
            note="third parties print 0.04 to 0.06, of one single task",
        ),
        *(
            Cell(
                f"sinusoid-lstm{name}",
                "lstm",
                replaced("lstm", "sinusoid", order=order, iterations=70_000),
                note="to be compared with sinusoid-finetuning, and with 3.01 without adaptation",
            )
            for name, order in (("", 1), ("-order2", 2))
        ),
        Cell(
            "sinusoid-pretraining",
            "pretraining",
            replaced("pretraining", "sinusoid", iterations=70_000),
            pretrained,
            f"{FINN}, table 2",
        ),
        Cell("sinusoid-finetuning", "finetuning", replaced("finetuning", "sinusoid", {"shots": 10})),
    ]
