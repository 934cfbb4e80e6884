"""Whatever has the four methods is trained, evaluated and saved, and none of it depends on which learner it is."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import minimeta as mm
from minimeta import nn, optim
from minimeta.errors import CheckpointError, NonFiniteError
from minimeta.learners import (
    MAML,
    FineTuning,
    MetaGradient,
    MetaLearner,
    MetaLSTM,
    NearestNeighbour,
    Reptile,
    outer_step,
)
from minimeta.tasks import Examples, Sinusoid, Task, TaskDistribution
from minimeta.training import TrainingState, checkpoint, evaluate, fit, initial_state

MODEL = nn.mlp((1, 6, 1), activation="tanh")
LOSS = nn.mean_squared_error
CLIPPED = optim.clip_global_norm(optim.adam(), 0.25)


class Prototypes:
    """A user's learner, which has the contract and nothing else: Snell et al. 2017 (arXiv:1703.05175).

    A class is the mean of its support examples' features; a query is of the class whose mean is nearest.
    """

    ways = 3
    features = nn.mlp((2, 8, 4))

    def init(self, rng: np.random.Generator) -> Any:
        return self.features.init(rng)

    def adapt(self, meta_parameters: Any, support: Examples, steps: int) -> tuple[Any, ...]:
        members = mm.astype(mm.equal(np.arange(self.ways)[:, None], support.targets), np.float32)
        means = members @ self.features.apply(meta_parameters, support.inputs) / mm.sum(members, 1, keepdims=True)
        return ((meta_parameters, means),) * (steps + 1)

    def predict(self, adapted: Any, inputs: Any) -> Any:
        parameters, means = adapted
        return -mm.sum(mm.square(self.features.apply(parameters, inputs)[:, None] - means), -1)

    def meta_gradient(self, meta_parameters: Any, task: Task) -> MetaGradient:
        def loss(meta_parameters: Any) -> Any:
            adapted = self.adapt(meta_parameters, task.support, 0)[0]
            return nn.cross_entropy(self.predict(adapted, task.query.inputs), task.query.targets)

        value, gradient = mm.value_and_grad(loss)(meta_parameters)
        return MetaGradient(value, {}, gradient)


class Blobs:
    """Three classes, each a cloud around a random point of the plane."""

    def sample(self, rng: np.random.Generator, count: int) -> Task:
        labels = np.tile(np.arange(3).repeat(4), (count, 1))
        centres = rng.normal(size=(count, 3, 2)).repeat(4, axis=1)
        sets = (centres + rng.normal(0, 0.3, (2, count, 12, 2))).astype(np.float32)
        return Task(*(Examples(inputs, labels) for inputs in sets))


LEARNERS: dict[str, tuple[MetaLearner, optim.Optimiser]] = {
    "maml": (MAML(MODEL, LOSS, 0.01, 2), optim.adam()),
    "fomaml": (MAML(MODEL, LOSS, 0.01, 2, order=1), optim.adam()),
    "maml, many losses": (MAML(MODEL, LOSS, 0.01, 2, step_weights=(0.5, 0.5)), optim.adam()),
    "meta-sgd": (
        MAML(MODEL, LOSS, 0.01, learned_rates=True),
        optim.by_part(initial=optim.adam(), rates=optim.sgd(1e-4)),
    ),
    "anil": (MAML(MODEL, LOSS, 0.01, adapts=("1",)), optim.adam()),
    "maml with adam": (MAML(MODEL, LOSS, inner_steps=2, inner_optimiser=optim.adam(0.01, beta1=0.0)), optim.adam()),
    "reptile": (Reptile(MODEL, LOSS, optim.sgd(0.02), 3, 5), outer_step(0.5, 20)),
    "reptile with adam": (Reptile(MODEL, LOSS, optim.adam(0.01, beta1=0.0), 3, 5, 5), outer_step(0.5, 20)),
    "lstm": (MetaLSTM(MODEL, LOSS, 3), CLIPPED),
    "lstm, order 2": (MetaLSTM(MODEL, LOSS, 3, 2, recurrence="post_sigmoid"), CLIPPED),
    "pre-training": (
        FineTuning(MODEL, LOSS, (0.01, 0.1), 2, pretrain=True),
        optim.by_part(initial=optim.adam(), losses=optim.sgd(0.1)),
    ),
    "fine-tuning": (FineTuning(MODEL, LOSS, (0.01, 0.1), 2), optim.sgd(0.1)),
    "nearest neighbour": (NearestNeighbour(LOSS), optim.sgd(0.1)),
    "a user's": (Prototypes(), optim.adam()),
}
each = pytest.mark.parametrize("name", LEARNERS)


def problem(name: str) -> tuple[MetaLearner, optim.Optimiser, TaskDistribution, Any]:
    own = name == "a user's"
    return (*LEARNERS[name], Blobs() if own else Sinusoid(), nn.accuracy if own else LOSS)


def bits(state: TrainingState) -> list[Any]:
    leaves = mm.tree.flatten((state.meta_parameters, state.optimiser_state))[0]
    return [(leaf.dtype.str, leaf.shape, leaf.tobytes()) for leaf in leaves]


@each
def test_a_run_is_decided_by_its_seed_compiled_or_not_interrupted_or_not(name: str, tmp_path: Path) -> None:
    learner, optimiser, tasks, _ = problem(name)

    def run(iterations: int, state: TrainingState | None = None, compiled: bool = True) -> TrainingState:
        return fit(
            learner, tasks, optimiser, iterations=iterations, meta_batch=2, seed=3, state=state, compiled=compiled
        )

    whole = run(4)
    assert bits(whole) == bits(run(4, compiled=False))
    checkpoint.save(tmp_path / "half.npz", run(2), {"learner": name})
    half = checkpoint.load(tmp_path / "half.npz", initial_state(learner, optimiser, 0), {"learner": name})
    assert bits(run(4, half)) == bits(whole)
    if name != "nearest neighbour":
        assert bits(run(1)) != bits(initial_state(learner, optimiser, 3))


@each
def test_evaluation_measures_every_step(name: str) -> None:
    learner, _, tasks, metric = problem(name)
    meta = learner.init(np.random.default_rng(0))
    results = [
        evaluate(learner, meta, tasks, metric=metric, steps=3, count=5, compiled=compiled) for compiled in (True, False)
    ]
    assert results[0].values.shape == (5, 4) and np.isfinite(results[0].values).all()
    assert_array_equal(results[0].values, results[1].values)
    task = tasks.sample(np.random.default_rng([0, 2, 2]), 1)[0]
    adapted = learner.adapt(meta, task.support, 3)[2]
    by_hand = metric(learner.predict(adapted, task.query.inputs), task.query.targets)
    np.testing.assert_allclose(results[0].values[2, 2], by_hand, rtol=1e-6)


def test_a_learner_of_ones_own_learns() -> None:
    state = fit(Prototypes(), Blobs(), optim.adam(0.01), iterations=60, meta_batch=8, seed=0)
    before, after = (
        evaluate(Prototypes(), meta, Blobs(), metric=nn.accuracy, steps=0, count=100).mean[0]
        for meta in (Prototypes().init(np.random.default_rng([0, 0, 1])), state.meta_parameters)
    )
    assert after > before and after > 0.8


@pytest.mark.parametrize("other", ["maml", "reptile", "lstm", "meta-sgd", "pre-training"])
def test_a_checkpoint_of_another_learner_is_refused(other: str, tmp_path: Path) -> None:
    learner, optimiser = LEARNERS["reptile with adam"]
    path = tmp_path / "checkpoint.npz"
    checkpoint.save(path, initial_state(learner, optimiser, 0), {"learner": "reptile with adam", "seed": 0})
    template = initial_state(*LEARNERS[other], 0)
    with pytest.raises(CheckpointError, match=f"another run:\n  learner is reptile with adam there and {other} here"):
        checkpoint.load(path, template, {"learner": other, "seed": 0})
    # Even under its name: the meta-parameters are others.
    with pytest.raises(CheckpointError, match=r"holds other parameters than this run: it lacks .* and adds \["):
        checkpoint.load(path, template, {"learner": "reptile with adam", "seed": 0})


@dataclasses.dataclass
class Poisoned:
    """Sinusoids of which one task of one step holds a NaN."""

    drawn: int = -1  # fit asks once more in its first step, for one task more

    def sample(self, rng: np.random.Generator, count: int) -> Task:
        batch = Sinusoid().sample(rng, count)
        if self.drawn == 2:
            batch.support.targets[1, 0] = np.nan
        self.drawn += 1
        return batch


@pytest.mark.parametrize("name", ["maml", "reptile", "reptile with adam", "lstm", "lstm, order 2", "meta-sgd"])
def test_a_loss_that_is_not_finite_names_step_and_task(name: str) -> None:
    learner, optimiser = LEARNERS[name]
    states: list[TrainingState] = []
    with pytest.raises(NonFiniteError, match="step 2, task 1: the loss is nan"):
        fit(
            learner,
            Poisoned(),
            optimiser,
            iterations=5,
            meta_batch=3,
            seed=0,
            callbacks=[lambda state, report: states.append(state)],
        )
    assert [state.step for state in states] == [1, 2]
    assert bits(states[-1]) == bits(fit(learner, Sinusoid(), optimiser, iterations=2, meta_batch=3, seed=0))
