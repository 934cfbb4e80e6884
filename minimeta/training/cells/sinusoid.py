"""Sinusoid regression: table 2 of Finn et al. 2017, and what has no table."""

from __future__ import annotations

from minimeta.training.cells.cell import FINN, Cell, Published, replaced


def sinusoid() -> list[Cell]:
    """All cells of the sinusoid."""
    table = (Published(1, 0.67), Published(5, 0.38), Published(10, 0.35))
    pretrained = (Published(1, 2.41), Published(5, 2.23), Published(10, 2.19))
    return [
        Cell("sinusoid-maml", "maml", replaced("maml", "sinusoid"), table, f"{FINN}, table 2"),
        Cell(
            "sinusoid-maml-steps",
            "maml",
            replaced("maml", "sinusoid", inner_steps=5, step_weights=(0.5, 0.0, 0.0, 0.0, 0.5), final_step=0.0),
            table,
            f"{FINN}, table 2",
            "trained for what is tested: half the loss is that after one step, half that after five; the outer rate "
            "falls to 0",
        ),
        Cell(
            "sinusoid-maml-released",
            "maml",
            replaced("maml", "sinusoid", initialiser="truncated_normal", inner_learning_rate=0.001),
            table,
            f"{FINN}, table 2",
            "inner rate and initial weights of the released code's documented command",
        ),
        Cell(
            "sinusoid-fomaml",
            "fomaml",
            replaced("fomaml", "sinusoid"),
            (Published(1, 0.763, 0.139),),
            "a third party (Zigolox/Meta-Learning-OptML-Project), which trains with 5 shots and 4 tasks a step",
        ),
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
