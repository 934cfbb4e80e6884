"""What Finn et al. 2017 and their released code say of reinforcement learning, in the form of ``papers``.

The figures' own runs differ from the shipped scripts: 20 tasks a step in 2D navigation, where the
script has 40.
"""

from __future__ import annotations

from minimeta.training.presets.papers import Said, Table

_POLICY: Table = {
    "hidden": Said((100, 100), paper="100 100", code="100 100"),
    "activation": Said("relu", paper="relu", code="relu"),
    "test_tasks": Said("released", code="40 tasks of np.random.seed(1)"),
    "episodes": Said(20, paper="20", code="20: collects 20 times the horizon, so more episodes where they end early"),
    "discount": Said(0.99, code="0.99"),
    "decay": Said(1.0, code="1"),
    "estimator": Said("surrogate", paper="surrogate", code="surrogate"),
    "evaluation.shots": Said(40, paper="40", code="as many steps as 40 episodes without an early end"),
    "evaluation.tasks": Said(40, code="40"),
    "evaluation.validate_every": Said(0, paper="the best average return of training is kept", code="0"),
}
_OUTER: Table = {
    "outer": Said("trpo", paper="trpo", code="trpo"),
    "bound": Said(0.01, code="0.01; 0.02 for the figure of the cheetah's direction"),
    "curvature": Said("exact", paper="by differences", code="by differences of step 1 / |theta|"),
}
_NAVIGATION: Table = _POLICY | {
    "horizon": Said(100, paper="100", code="100"),
    "inner_learning_rates": Said((0.5, 0.25), paper="0.1, then 0.05", code="0.5 0.25"),
    "meta_batch": Said(20, paper="20", code="20 for the figure, 40 in the script"),
    "iterations": Said(100, paper="500", code="100"),
    "evaluation.steps": Said(4, paper="4", code="4"),
}
_CHEETAH: Table = _POLICY | {
    "inner_learning_rates": Said((0.1, 0.05), paper="0.1 0.05", code="0.1 0.05"),
    "meta_batch": Said(40, paper="40", code="40"),
    "evaluation.steps": Said(3, paper="3", code="3"),
    "evaluation.shots": Said(20, code="as many steps as 20 episodes"),
}
_DIRECTION: Table = _CHEETAH | {"iterations": Said(100, paper="500", code="100 for the figure, 800 in the script")}
_VELOCITY: Table = _CHEETAH | {"iterations": Said(475, paper="500", code="475 for the figure, 800 in the script")}
_ADAPTING: Table = {"inner_steps": Said(1, paper="1", code="1")}
_SEEN: Table = {"sees_goal": Said(True), "evaluation.steps": Said(0)}
_UNTRAINED: Table = {"iterations": Said(1), "meta_batch": Said(1)}
_BOLD: Table = _OUTER | {"bound": Said(0.02, code="0.02 for the figure, 0.01 in the script")}
_FEW: Table = {"episodes": Said(20, paper="20", code="10 for the figure, 20 in the script")}

# What the baselines of the figures adapt by: the released code's rates, and for navigation a random network of tanh.
_RATES: dict[str, tuple[Table, Table]] = {
    "navigation": ({}, {"activation": Said("tanh", code="tanh, for the random network alone")}),
    "cheetah-direction": (
        {"inner_learning_rates": Said((0.2, 0.1), code="0.2 0.1")},
        {"inner_learning_rates": Said((1.0, 0.5), code="1 0.5, or 0.5 0.25")},
    ),
    "cheetah-velocity": (
        {"inner_learning_rates": Said((0.02, 0.01), code="0.02 0.01")},
        {"inner_learning_rates": Said((0.1, 0.05), code="0.1 0.05")},
    ),
}

_BENCHMARKS: dict[str, tuple[str, Table, Table]] = {
    "navigation": ("2D navigation, Finn et al. 2017, section 5.3: walk to a goal", _NAVIGATION, _OUTER),
    "cheetah-direction": ("Half-cheetah, Finn et al. 2017, section 5.3: run in a direction", _DIRECTION, _BOLD),
    "cheetah-velocity": ("Half-cheetah, Finn et al. 2017, section 5.3: run at a velocity", _VELOCITY | _FEW, _OUTER),
}


def _tables() -> dict[tuple[str, str], tuple[str, Table]]:
    found: dict[tuple[str, str], tuple[str, Table]] = {}
    for name, (title, table, outer) in _BENCHMARKS.items():
        found["maml", name] = (f"{title}.", table | outer | _ADAPTING)
        found["reptile", name] = (f"{title}, with Reptile.", table | {"inner_steps": Said(2)})
        of_pretrained, of_random = _RATES[name]
        found["pretraining", name] = (
            f"{title}, one policy for all tasks, then adapted.",
            table | outer | of_pretrained,
        )
        found["oracle", name] = (f"{title} that the policy sees.", table | outer | _SEEN)
        found["finetuning", name] = (f"{title}, adapted from random parameters.", table | _UNTRAINED | of_random)
    return found


TABLES: dict[tuple[str, str], tuple[str, Table]] = _tables()
"""The title and the settings of each preset by learner and task. First-order MAML has those of MAML."""
