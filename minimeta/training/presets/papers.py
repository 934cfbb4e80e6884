"""What the papers and their released codes say, as data, and what each preset makes of it.

A :class:`Said` is one setting: the value that the preset has, and what paper and code have. If the
value follows one of the two, the text begins with it; a value with no source is ours. The tables
are layered, each over those before:

    what holds for the learner  |  what holds for the benchmark  |  what the learner does on that benchmark

Sources: C. Finn, P. Abbeel, S. Levine, *Model-Agnostic Meta-Learning for Fast Adaptation of Deep
Networks*, ICML 2017, with cbfinn/maml; A. Nichol, J. Achiam, J. Schulman, *On First-Order
Meta-Learning Algorithms*, 2018 (arXiv:1803.02999), with openai/supervised-reptile and, for
sinusoids, a gist of its last author; S. Ravi, H. Larochelle, *Optimization as a Model for Few-Shot
Learning*, ICLR 2017, with twitter-research/meta-learning-lstm; for the LSTM on sinusoids, M.
Huisman et al., *Stateless Neural Meta-Learning using Second-Order Gradients*, 2022.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple


class Said(NamedTuple):
    """A setting of a preset.

    Attributes
    ----------
    value
        What the preset uses.
    paper, code
        What the paper, and the code its authors released, say; empty where they say nothing.
    """

    value: Any
    paper: str = ""
    code: str = ""

    @property
    def follows(self) -> tuple[bool, bool]:
        """Whether the value is the paper's, and whether it is the code's: the text begins with it."""
        written = _written(self.value)
        return (
            re.match(rf"{re.escape(written)}(?![\d.])", self.paper) is not None,
            re.match(rf"{re.escape(written)}(?![\d.])", self.code) is not None,
        )

    def source(self, of: str = "") -> str:
        """Return what paper and code say, in one line.

        If the value is that of one of them alone, the line says so. If they speak of another
        benchmark, `of`, it has the name.
        """
        whose = f" of {of}" if of else ""
        differ = self.paper and self.code and self.follows[0] != self.follows[1]
        said = zip(("paper", "released code"), (self.paper, self.code), self.follows, strict=True)
        return "; ".join(
            f"{source}{whose}{' (followed)' if differ and followed else ''}: {words}"
            for source, words, followed in said
            if words
        )


def _written(value: Any) -> str:
    """Return a value as the texts of papers and codes have it."""
    if isinstance(value, tuple):
        return " ".join(map(_written, value))
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return f"{value:g}" if isinstance(value, float) else str(value)


Table = dict[str, Said]
"""Settings by name."""

# ---- what holds for a learner on every benchmark

_MAML: Table = {
    "adapts": Said("all", code="all but offsets of batch normalisation, which are meta-learned alone"),
    "learning_rate": Said(0.001, code="Adam, 0.001"),
    "final_step": Said(1.0, code="1: constant"),
    "largest_element": Said(0.0, code="0, and 10 for miniImageNet, of a loss summed over the query set"),
}
_REPTILE: Table = {
    "shared_state": Said(True, code="True: one optimiser for all tasks, and for evaluation"),
}
_LSTM: Table = {
    "order": Said(1, paper="1", code="1"),
    "lstm_hidden": Said(20, paper="20", code="20"),
    "recurrence": Said("pre_sigmoid", paper="post_sigmoid", code="pre_sigmoid"),
    "gradient": Said("mean", code="divided by the number of support examples once more"),
    "forget_bias": Said((4.0, 5.0), code="4 5"),
    "input_bias": Said((-5.0, -4.0), code="-5 -4"),
    "statistics": Said("running", paper="running", code="running, reset for each task"),
    "statistics_weight": Said(0.9, code="0.9 (1-shot), 0.95 (5-shot)"),
    "learning_rate": Said(0.001, paper="Adam, 0.001", code="Adam, 0.001"),
    "largest_gradient": Said(0.25, paper="0.25", code="0.25"),
    "meta_batch": Said(1, paper="1", code="1"),
}
_FINE_TUNING: Table = {"meta_batch": Said(10), "iterations": Said(100), "evaluation.steps": Said(10)}
_NEAREST: Table = {
    "meta_batch": Said(1), "iterations": Said(1), "evaluation.steps": Said(0), "evaluation.side_by_side": Said(False),
}  # fmt: skip

# ---- what holds for a benchmark with every learner

_EVALUATION: Table = {
    "evaluation.transductive": Said(True, code="MAML: True; Reptile: both are reported"),
    "evaluation.validate_every": Said(0, code="MAML: 1,000; Reptile: never"),
}
# More queries than the papers' narrow the interval and leave the mean where it is.
_SINUSOID: Table = _EVALUATION | {
    "shots": Said(10, paper="10", code="10"),
    "queries": Said(10, code="as many as shots"),
    "hidden": Said((40, 40), paper="40 40", code="40 40"),
    "activation": Said("relu", paper="relu", code="relu"),
    "initialiser": Said("he", code="truncated normal, standard deviation 0.01"),
    "evaluation.shots": Said(5, paper="5 (table 2)"),
    "evaluation.queries": Said(100),
    "evaluation.steps": Said(10, paper="10 (table 2)", code="10"),
}
_IMAGES: Table = _EVALUATION | {
    "ways": Said(5, paper="5", code="5"),
    "shots": Said(1, paper="1", code="1"),
    "queries": Said(1, code="as many as shots"),
    "fixed_turns": Said(False, code="False"),
    "hidden": Said((256, 128, 64, 64), paper="256 128 64 64", code="256 128 64 64"),
    "scale": Said(False, code="False"),
    "initialiser": Said(
        "released", code="mlp: truncated normal, standard deviation 0.01; conv4: Glorot, normal in the last layer"
    ),
    "reduction": Said("mean", code="MAML: per_shot, `ways` times the mean; others: mean"),
}
_CHARACTERS: Table = _IMAGES | {
    "rotations": Said(True, paper="multiples of 90 degrees", code="drawn per class and task"),
    "network": Said("mlp", paper="both", code="conv4; mlp with --conv=False"),
    "filters": Said(64, paper="64", code="64"),
    "downsampling": Said("stride", paper="stride", code="stride"),
    "pool_padding": Said("VALID", code="there is no pooling"),
    "readout": Said("mean", code="mean"),
    "evaluation.rotations": Said(True, code="MAML: test classes are turned too; Reptile: they are not"),
}
_OMNIGLOT: Table = {
    "split": Said(
        "reptile",
        paper="1200 to train on, the rest to test on",
        code="MAML: 1100, 100 to choose by, 423; Reptile: 1200, 423",
    ),
}
_OWN_IMAGES: Table = _IMAGES | {
    "size": Said(84, paper="84", code="84"),
    "channels": Said(3, paper="3", code="3"),
    "rotations": Said(False, code="False"),
    "network": Said("conv4", paper="conv4", code="conv4"),
    "filters": Said(32, paper="32", code="32"),
    "downsampling": Said("max_pool", paper="max_pool", code="max_pool"),
    "pool_padding": Said("VALID", code="MAML, LSTM: VALID; Reptile: SAME"),
    "readout": Said("flatten", code="flatten"),
    "evaluation.rotations": Said(False, code="False"),
}

# ---- what a learner does on a benchmark

_MAML_ON_SINUSOIDS: Table = {
    "inner_learning_rate": Said(0.01, paper="0.01", code="0.001 by default, and in the documented command"),
    # The paper trains for the loss after one step alone and tests after ten, so the later steps are
    # left to chance: seeds agree after one step and are a quarter apart after five. Half the loss
    # after a second step mends that, and costs nothing after the first.
    "inner_steps": Said(2, paper="1", code="1"),
    "step_weights": Said((0.5, 0.5), paper="the last alone", code="the last alone"),
    "learning_rate": Said(0.001, paper="Adam", code="Adam, 0.001"),
    "meta_batch": Said(25, code="25"),
    "iterations": Said(70_000, code="70,000"),
}
_MAML_ON_CHARACTERS: Table = {
    "inner_learning_rate": Said(0.4, paper="0.4 (20-way: 0.1)", code="0.4 (20-way: 0.1), of a loss that is per_shot"),
    "inner_steps": Said(1, paper="1; 5 for 20 ways", code="1; 5 for 20 ways"),
    "meta_batch": Said(32, paper="32; 16 for 20 ways", code="32; 16 for 20 ways"),
    "iterations": Said(1_000, paper="60,000", code="60,000"),
    "evaluation.steps": Said(3, paper="3; 5 for 20 ways", code="10, all reported"),
}
_MAML_ON_IMAGES: Table = {
    "queries": Said(15, code="15"),
    "inner_learning_rate": Said(0.01, paper="0.01", code="0.01, of a loss that is per_shot"),
    "inner_steps": Said(5, paper="5", code="5"),
    "meta_batch": Said(4, paper="4 (1-shot), 2 (5-shot)", code="4"),
    "iterations": Said(60_000, paper="60,000", code="60,000"),
    "evaluation.steps": Said(10, paper="10", code="10"),
    "evaluation.queries": Said(1, code="as many as shots"),
}
_REPTILE_ON_SINUSOIDS: Table = {
    "shots": Said(50, code="all 50 points of the grid"),
    "phases": Said("whole_circle", paper="whole_circle", code="whole_circle"),
    "grid_points": Said(50, code="50"),
    "hidden": Said((64, 64), paper="64 64", code="64 64"),
    "activation": Said("tanh", paper="relu", code="tanh: slightly better, it says"),
    "initialiser": Said("he", code="the default of a framework"),
    "inner_optimiser": Said("sgd", code="sgd"),
    "inner_learning_rate": Said(0.02, code="0.02"),
    "inner_steps": Said(5, code="5: one pass over 50 points in mini-batches of 10"),
    "inner_batch": Said(10, code="10"),
    "evaluation_batch": Said(10, code="10"),
    "outer_step_size": Said(0.1, code="0.1"),
    "final_step": Said(0.0, code="0"),
    "meta_batch": Said(1, code="1"),
    "iterations": Said(30_000, code="30,000"),
    "evaluation.shots": Said(10, paper="10", code="10"),
    "evaluation.steps": Said(32, paper="32", code="32"),
}
_REPTILE_BY_ADAM: Table = {
    "scale": Said(True, code="True, adapted like the rest"),
    "inner_optimiser": Said("adam", paper="Adam, beta1 = 0", code="Adam, beta1 = 0"),
    "inner_learning_rate": Said(0.001, paper="0.001", code="0.001; 0.0005 for 20 ways"),
    "inner_batch": Said(10, paper="10", code="10; 20 for 20 ways"),
    "outer_step_size": Said(1.0, paper="1", code="1"),
    "final_step": Said(0.0, paper="0", code="0"),
    "meta_batch": Said(5, paper="5", code="5, one after another"),
    "queries": Said(1, code="none: training reports no loss"),
    "evaluation.steps": Said(50, paper="50", code="50"),
    "evaluation.every": Said(10),
    "evaluation.rotations": Said(False, code="False"),
}
_REPTILE_ON_CHARACTERS: Table = _REPTILE_BY_ADAM | {
    "shots": Said(10, code="10 (train-shots)"),
    "rotations": Said(True, code="training classes alone"),
    "fixed_turns": Said(True, code="True: 4,800 classes for training"),
    "network": Said("conv4", paper="conv4", code="conv4"),
    "readout": Said("flatten", code="flatten"),
    "initialiser": Said("released", code="Glorot, the default of its framework"),
    "inner_steps": Said(5, paper="5", code="5; 10 for 20 ways"),
    "evaluation_batch": Said(5, paper="5", code="5; 10 for 20 ways"),
    "iterations": Said(2_000, paper="100,000", code="100,000; 200,000 for 20 ways"),
}
_REPTILE_ON_IMAGES: Table = _REPTILE_BY_ADAM | {
    "shots": Said(15, code="15 (train-shots)"),
    "pool_padding": Said("SAME", code="SAME"),
    "inner_learning_rate": Said(0.001, paper="0.001", code="0.001"),
    "inner_batch": Said(10, paper="10", code="10"),
    "inner_steps": Said(8, paper="8", code="8"),
    "evaluation_batch": Said(5, paper="5 (1-shot), 15 (5-shot)", code="5 (1-shot), 15 (5-shot)"),
    "iterations": Said(100_000, paper="100,000", code="100,000"),
    "evaluation.transductive": Said(False, paper="both", code="both"),
}
_LSTM_ON_SINUSOIDS: Table = {
    "inner_steps": Said(8, code="8"),
    "iterations": Said(10_000, code="70,000"),
    "evaluation.shots": Said(10),
    "evaluation.steps": Said(8),
}
# Running statistics are those of the support set, so both ways of predicting are one.
_LSTM_BY_CONVOLUTIONS: Table = {
    "queries": Said(15, paper="15", code="15"),
    "network": Said("conv4", paper="conv4", code="conv4"),
    "filters": Said(32, paper="32", code="32"),
    "readout": Said("flatten", code="flatten"),
    "scale": Said(True, code="True; factor and offset are cell state too"),
    "evaluation.queries": Said(15, paper="15", code="15"),
    "evaluation.side_by_side": Said(False),
}
_LSTM_ON_CHARACTERS: Table = _LSTM_BY_CONVOLUTIONS | {
    "inner_steps": Said(8, paper="12 (1-shot), 5 (5-shot)", code="12 (1-shot), 8 (5-shot)"),
    "iterations": Said(1_000, code="75,000 (1-shot), 50,000 (5-shot)"),
    "evaluation.steps": Said(8),
}
_LSTM_ON_IMAGES: Table = _LSTM_BY_CONVOLUTIONS | {
    "inner_steps": Said(12, paper="12 (1-shot), 5 (5-shot)", code="12 (1-shot), 8 (5-shot)"),
    "iterations": Said(75_000, code="75,000 (1-shot), 50,000 (5-shot)"),
    "evaluation.steps": Said(12),
}
_PRETRAINING: Table = {
    "rates": Said((0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02), paper="tuned automatically"),
    "learning_rate": Said(0.001, paper="Adam", code="Adam, 0.001"),
    "meta_batch": Said(25, code="25"),
    "iterations": Said(5_000, code="70,000"),
}
_AS_MANY_QUERIES_AS_THE_LSTM: Table = {"evaluation.queries": Said(15)}

TABLES: dict[tuple[str, str], tuple[str, Table]] = {
    ("maml", "sinusoid"): (
        "Sinusoid regression, Finn et al. 2017, section 5.1: 1-40-40-1 network, ten points a wave.",
        _MAML | _SINUSOID | _MAML_ON_SINUSOIDS,
    ),
    ("reptile", "sinusoid"): (
        "Sinusoid regression, Nichol et al. 2018: phases of the whole circle, the settings of the author's gist.",
        _REPTILE | _SINUSOID | _REPTILE_ON_SINUSOIDS,
    ),
    ("lstm", "sinusoid"): (
        "Sinusoid regression with the LSTM meta-learner, Huisman et al.: 8 steps on the network of Finn et al.",
        _LSTM | _SINUSOID | _LSTM_ON_SINUSOIDS,
    ),
    ("pretraining", "sinusoid"): (
        "Joint pre-training on all waves, then fine-tuning: a baseline of Finn et al. 2017.",
        _SINUSOID | _PRETRAINING,
    ),
    ("finetuning", "sinusoid"): (
        "Each wave learned from random parameters at the best fixed rate.",
        _SINUSOID | _FINE_TUNING,
    ),
    ("nearest", "sinusoid"): ("Each wave guessed by its nearest known point.", _SINUSOID | _NEAREST),
    ("maml", "omniglot"): (
        "N-way K-shot Omniglot, Finn et al. 2017, section 5.2, with the network of either kind.",
        _MAML | _CHARACTERS | _OMNIGLOT | _MAML_ON_CHARACTERS,
    ),
    ("reptile", "omniglot"): (
        "N-way K-shot Omniglot, Nichol et al. 2018, section 6: 5-way 1-shot by the options of its released code.",
        _REPTILE | _CHARACTERS | _OMNIGLOT | _REPTILE_ON_CHARACTERS,
    ),
    ("lstm", "omniglot"): (
        "N-way K-shot Omniglot with the LSTM meta-learner, by Ravi and Larochelle's settings for miniImageNet.",
        _LSTM | _CHARACTERS | _OMNIGLOT | _LSTM_ON_CHARACTERS,
    ),
    ("finetuning", "omniglot"): (
        "N-way K-shot Omniglot, each task learned from random parameters at the best fixed rate.",
        _CHARACTERS | _OMNIGLOT | _FINE_TUNING,
    ),
    ("nearest", "omniglot"): (
        "N-way K-shot Omniglot, each character taken for the one whose pixels are nearest.",
        _CHARACTERS | _OMNIGLOT | _NEAREST,
    ),
    ("maml", "images"): (
        "N-way K-shot images, Finn et al. 2017, section 5.2: 5-way 1-shot miniImageNet.",
        _MAML | _OWN_IMAGES | _MAML_ON_IMAGES,
    ),
    ("reptile", "images"): (
        "N-way K-shot images, Nichol et al. 2018, section 6: 5-way 1-shot miniImageNet by the options of its code.",
        _REPTILE | _OWN_IMAGES | _REPTILE_ON_IMAGES,
    ),
    ("lstm", "images"): (
        "N-way K-shot images with the LSTM meta-learner, Ravi and Larochelle 2017: 5-way 1-shot miniImageNet.",
        _LSTM | _OWN_IMAGES | _LSTM_ON_IMAGES,
    ),
    ("finetuning", "images"): (
        "N-way K-shot images, each task learned from random parameters at the best fixed rate.",
        _OWN_IMAGES | _FINE_TUNING | _AS_MANY_QUERIES_AS_THE_LSTM,
    ),
    ("nearest", "images"): (
        "N-way K-shot images, each taken for the one whose pixels are nearest.",
        _OWN_IMAGES | _NEAREST | _AS_MANY_QUERIES_AS_THE_LSTM,
    ),
}
"""The title and the settings of each preset by learner and task.

First-order MAML has those of MAML, and strokes those of Omniglot.
"""
