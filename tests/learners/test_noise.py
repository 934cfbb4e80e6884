"""Learners that draw: what is drawn is decided by seed, step and task, and the gradient is that of the mask drawn."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

import minimeta as mm
from minimeta import nn, optim
from minimeta.errors import ConfigurationError
from minimeta.learners import MAML, FineTuning, MetaGradient, MetaLearner, MetaLSTM, Reptile, outer_step
from minimeta.tasks import Examples, Sinusoid, Task
from minimeta.training import TrainingState, batches, evaluate, fit
from minimeta.training.fit import Report
from minimeta.training.randomness import noise_generator

RATE = 0.25
MODEL = nn.mlp((1, 8, 8, 1), activation="tanh", dropout=RATE)
LOSS = nn.mean_squared_error
NORMALISED = nn.mlp((1, 8, 1), batch_norm=True, dropout=RATE)

LEARNERS: dict[str, tuple[MetaLearner, optim.Optimiser]] = {
    "maml": (MAML(MODEL, LOSS, 0.01, 2), optim.adam()),
    "fomaml": (MAML(MODEL, LOSS, 0.01, 2, order=1), optim.adam()),
    "maml, many losses": (MAML(MODEL, LOSS, 0.01, 2, step_weights=(0.5, 0.5)), optim.adam()),
    "reptile": (Reptile(MODEL, LOSS, optim.sgd(0.02), 3, 4), outer_step(0.5, 20)),
    "lstm": (MetaLSTM(MODEL, LOSS, 3), optim.adam()),
    "lstm, running statistics": (MetaLSTM(NORMALISED, LOSS, 3, momentum=0.1), optim.adam()),
    "pre-training": (
        FineTuning(MODEL, LOSS, (0.01, 0.1), 2, pretrain=True),
        optim.by_part(initial=optim.adam(), losses=optim.sgd(0.1)),
    ),
}
each = pytest.mark.parametrize("name", LEARNERS)


def bits(state: TrainingState) -> list[Any]:
    leaves = mm.tree.flatten((state.meta_parameters, state.optimiser_state))[0]
    return [(leaf.dtype.str, leaf.shape, leaf.tobytes()) for leaf in leaves]


def run(name: str, iterations: int, state: TrainingState | None = None, **settings: Any) -> TrainingState:
    learner, optimiser = LEARNERS[name]
    given: dict[str, Any] = {"meta_batch": 3, "seed": 3} | settings
    return fit(learner, Sinusoid(), optimiser, iterations=iterations, state=state, **given)


@each
def test_a_run_with_noise_is_decided_by_its_seed_compiled_or_not_interrupted_or_not(name: str) -> None:
    before = mm.get_num_threads()
    try:
        mm.set_num_threads(1)
        whole = run(name, 4)
        mm.set_num_threads(2)
        assert bits(run(name, 4)) == bits(whole)
    finally:
        mm.set_num_threads(before)
    assert bits(run(name, 4, compiled=False)) == bits(whole)
    assert bits(run(name, 4, run(name, 2))) == bits(whole)


@each
def test_noise_is_for_training_alone(name: str) -> None:
    learner, _ = LEARNERS[name]
    model = nn.mlp((1, 8, 1), batch_norm=True) if "statistics" in name else nn.mlp((1, 8, 8, 1), activation="tanh")
    sober = type(learner)(**{**vars(learner), "model": model})
    meta = learner.init(np.random.default_rng(0))
    found, expected = (
        evaluate(each, meta, Sinusoid(), metric=LOSS, steps=2, count=4).values for each in (learner, sober)
    )
    assert_array_equal(found, expected)
    # And without noise in the task a meta-gradient is that of the model without dropout.
    task = Sinusoid().sample(np.random.default_rng(0), 1)[0]
    ours, theirs = (mm.tree.flatten(each.meta_gradient(meta, task))[0] for each in (learner, sober))
    assert all(np.array_equal(x, y) for x, y in zip(ours, theirs, strict=True))
    rng = np.random.default_rng(0)
    noisy = Task(task.support, task.query, noise=learner.draw(rng, task))  # type: ignore[attr-defined]
    assert any(
        not np.array_equal(x, y)
        for x, y in zip(mm.tree.flatten(learner.meta_gradient(meta, noisy))[0], ours, strict=True)
    )


@each
def test_every_mask_that_is_drawn_is_used(name: str) -> None:
    learner, _ = LEARNERS[name]
    meta, task = learner.init(np.random.default_rng(0)), Sinusoid().sample(np.random.default_rng(0), 1)[0]
    noise = learner.draw(np.random.default_rng(0), task)  # type: ignore[attr-defined]
    masks, structure = mm.tree.flatten(noise)

    def result(masks: list[Any]) -> list[bytes]:
        given = Task(task.support, task.query, noise=mm.tree.unflatten(structure, masks))
        return [np.asarray(x).tobytes() for x in mm.tree.flatten(learner.meta_gradient(meta, given))[0]]

    expected = result(masks)
    for place, mask in enumerate(masks):
        assert result([*masks[:place], ~mask, *masks[place + 1 :]]) != expected


def test_all_losses_on_the_query_set_have_its_noise() -> None:
    # With weights (1, 0) the objective after two steps is that after one.
    model = nn.mlp((1, 8, 1), activation="tanh", dropout=RATE, dtype=np.float64)
    two, one = MAML(model, LOSS, 0.1, 2, step_weights=(1.0, 0.0)), MAML(model, LOSS, 0.1, 1)
    meta = two.init(np.random.default_rng(0))
    task = Sinusoid(dtype=np.float64).sample(np.random.default_rng(0), 1)[0]
    noise = two.draw(np.random.default_rng(0), task)
    assert noise is not None
    found = two.meta_gradient(meta, Task(task.support, task.query, noise=noise)).gradient
    shorter = Task(task.support, task.query, noise=noise._replace(steps=noise.steps[:1]))
    for x, y in zip(*(mm.tree.flatten(g)[0] for g in (found, one.meta_gradient(meta, shorter).gradient)), strict=True):
        assert_allclose(x, y, rtol=1e-12, atol=1e-14)


class Remembering:
    """What is a mask here is there to be looked at: a user's learner, which has the contract and nothing else."""

    def init(self, rng: np.random.Generator) -> Any:
        return {"w": np.zeros(())}

    def draw(self, rng: np.random.Generator, task: Task) -> Any:
        return {"kept": rng.random(task.query.inputs.shape) >= RATE, "first": rng.random()}

    def adapt(self, meta_parameters: Any, support: Examples, steps: int) -> tuple[Any, ...]:
        return (meta_parameters,) * (steps + 1)

    def predict(self, adapted: Any, inputs: Any) -> Any:
        return adapted["w"] * inputs

    def meta_gradient(self, meta_parameters: Any, task: Task) -> MetaGradient:
        kept = mm.astype(task.noise["kept"], np.float64)
        metrics = {f"kept {i}": kept[i, 0] for i in range(10)} | {"first": task.noise["first"]}
        return MetaGradient(mm.sum(kept), metrics, {"w": mm.mean(kept)})


@pytest.mark.parametrize("compiled", [True, False])
def test_each_task_of_each_step_has_numbers_of_its_own(compiled: bool) -> None:
    reports: list[Report] = []
    fit(
        Remembering(),
        Sinusoid(),
        optim.sgd(1.0),
        iterations=3,
        meta_batch=4,
        seed=5,
        compiled=compiled,
        callbacks=[lambda state, report: reports.append(report)],
    )
    masks = set()
    for step, report in enumerate(reports):
        for task in range(4):
            rng = np.random.default_rng([5, step, 4, task])
            kept = rng.random((10, 1)) >= RATE
            found = [report.metrics[f"kept {i}"][task] for i in range(10)]
            assert_array_equal(found, kept[:, 0])
            assert report.metrics["first"][task] == rng.random()
            masks.add(report.metrics["first"][task])
    assert len(masks) == 12


class Answering(Remembering):
    """Draws given values for each task of each step, in order."""

    def __init__(self, *answers: Any) -> None:
        self.answers = answers

    def draw(self, rng: np.random.Generator, task: Task) -> Any:
        _, step, _, index = rng.bit_generator.seed_seq.entropy  # type: ignore[attr-defined]
        return self.answers[2 * step + index]

    def meta_gradient(self, meta_parameters: Any, task: Task) -> MetaGradient:
        noise = [mm.sum(x) for x in mm.tree.flatten(task.noise)[0]]
        return MetaGradient(sum(noise, mm.sum(task.query.targets)), {}, meta_parameters)


def train(
    learner: Any, iterations: int = 2, state: TrainingState | None = None, compiled: bool = True
) -> TrainingState:
    settings: dict[str, Any] = {"meta_batch": 2, "seed": 5, "compiled": compiled}
    return fit(learner, Sinusoid(), optim.sgd(1.0), iterations=iterations, state=state, **settings)


ONE, TWO = np.ones(1), np.ones(2)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (
            (None, ONE),
            r"None for task 0 of step 0.*|a ndarray \(itself: float64\[1\]\) for task 1 of step 0, and None ",
        ),
        ((ONE, None), r"None for task 1 of step 0, and a ndarray \(itself: float64\[1\]\) for task 0 of step 0"),
        ((ONE, ONE, None, None), r"None for task 0 of step 1, and a ndarray .* for task 0 of step 0"),
        ((None, None, None, ONE), r"a ndarray .* for task 1 of step 1, and None for task 0 of step 0"),
        ((ONE, TWO), r"\(itself: float64\[2\]\) for task 1 of step 0, and .*float64\[1\]\) for task 0 of step 0"),
        ((ONE, ONE, ONE, TWO), r"float64\[2\]\) for task 1 of step 1, and .*float64\[1\]\) for task 0 of step 1"),
        ((ONE, ONE > 0), r"\(itself: bool\[1\]\) for task 1 of step 0"),
        (({"a": ONE, "b": ONE}, {"a": ONE, "b": None}), r"a dict .* for task 1 of step 0, and a dict \(b: "),
        (((ONE, ONE), [ONE, ONE]), r"a list .* for task 1 of step 0, and a tuple"),
    ],
)
def test_what_is_drawn_has_one_form(answers: tuple[Any, ...], message: str, compiled: bool) -> None:
    with pytest.raises(ConfigurationError, match=rf"fit: Answering\.draw returned .*{message}.* or None, always"):
        train(Answering(*answers), compiled=compiled)


def test_a_model_that_draws_for_some_tasks_is_refused() -> None:
    # None for the query set of one task would be None for that of all, or numpy's error.
    def draw(rng: np.random.Generator, inputs: Any) -> Any:
        assert MODEL.draw is not None
        return MODEL.draw(rng, inputs) if rng.random() < 0.5 else None

    sometimes = MAML(MODEL._replace(draw=draw), LOSS, 0.1)
    with pytest.raises(ConfigurationError, match=r"fit: MAML\.draw returned .* for task \d of step \d, and "):
        train(sometimes, 5)


def test_a_learner_of_ones_own_may_always_draw_nothing_or_a_tree_of_nothing() -> None:
    class Sober(Answering):
        def meta_gradient(self, meta_parameters: Any, task: Task) -> MetaGradient:
            assert task.noise is None
            return super().meta_gradient(meta_parameters, task)

    train(Sober(*[None] * 4))
    train(Sober(*[{}] * 4))


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("begun", [False, True], ids=["from the start", "resumed"])
def test_a_learner_that_draws_from_elsewhere_is_refused(begun: bool, compiled: bool) -> None:
    class Elsewhere(Remembering):
        rng = np.random.default_rng(0)

        def draw(self, rng: np.random.Generator, task: Task) -> Any:
            return {**super().draw(rng, task), "first": self.rng.random()}

    class Globally(Remembering):
        def draw(self, rng: np.random.Generator, task: Task) -> Any:
            return {**super().draw(rng, task), "first": np.random.random()}  # noqa: NPY002 (a user's)

    state = train(Remembering(), 1) if begun else None
    for learner in (Elsewhere(), Globally()):
        place = rf"fit: {type(learner).__name__}\.draw was called twice for task 0 of step {int(begun)}, with equal gen"
        with pytest.raises(ConfigurationError, match=rf"{place}.* takes every random number from its rng"):
            train(learner, 2, state, compiled)


def test_an_array_that_is_filled_anew_for_each_task_will_do() -> None:
    class Filling(Remembering):
        def __init__(self) -> None:
            self.noise = {"kept": np.empty((10, 1), bool), "first": np.empty(())}

        def draw(self, rng: np.random.Generator, task: Task) -> Any:
            drawn = super().draw(rng, task)
            for name, array in self.noise.items():
                array[...] = drawn[name]
            return self.noise

    assert bits(train(Filling())) == bits(train(Remembering()))


def test_learners_of_ours_are_asked_where_their_model_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    # To seed a generator for each task takes longer than a small step.
    seeded: list[int] = []

    def counted(seed: int, step: int, task: int) -> np.random.Generator:
        seeded.append(task)
        return noise_generator(seed, step, task)

    class Jittering(MAML):
        def draw(self, rng: np.random.Generator, task: Task) -> Any:
            return super().draw(rng, task)

    monkeypatch.setattr(batches, "noise_generator", counted)
    sober = nn.mlp((1, 8, 1))
    for learner, times in ((MAML(sober, LOSS, 0.1), 0), (MAML(MODEL, LOSS, 0.1), 6), (Jittering(sober, LOSS, 0.1), 6)):
        seeded.clear()
        train(learner)
        assert len(seeded) == times


# The gradient of one step, by hand

Parameters = tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]


def outputs_and_hidden(parameters: Parameters, x: NDArray[Any], kept: NDArray[Any]) -> tuple[Any, Any]:
    weight, bias, last, last_bias = parameters
    h = np.tanh(x @ weight + bias)
    return (h * kept / (1 - RATE)) @ last + last_bias, h


def adapted(parameters: Parameters, x: NDArray[Any], y: NDArray[Any], kept: NDArray[Any], rate: float) -> Parameters:
    """One step of gradient descent on the mean squared error, its derivative written down; complex numbers welcome."""
    weight, bias, last, last_bias = parameters
    outputs, h = outputs_and_hidden(parameters, x, kept)
    of_outputs = 2 * (outputs - y) / outputs.size
    of_sum = (of_outputs @ last.T) * kept / (1 - RATE) * (1 - h * h)
    gradients = (
        x.T @ of_sum,
        of_sum.sum(0),
        (h * kept / (1 - RATE)).T @ of_outputs,
        of_outputs.sum(0),
    )
    weight, bias, last, last_bias = (p - rate * g for p, g in zip(parameters, gradients, strict=True))
    return weight, bias, last, last_bias


@pytest.mark.parametrize("compiled", [True, False])
def test_the_gradient_of_a_step_is_that_of_its_masks(compiled: bool) -> None:
    # By the complex step: the derivative along e of a function of real numbers is Im f(x + ihe) / h.
    model = nn.mlp((1, 5, 1), activation="tanh", dropout=RATE, dtype=np.float64)
    learner, tasks = MAML(model, LOSS, 0.1, inner_steps=2), Sinusoid(dtype=np.float64)
    start = fit(learner, tasks, optim.sgd(1.0), iterations=0, meta_batch=2, seed=7)
    after = fit(learner, tasks, optim.sgd(1.0), iterations=1, meta_batch=2, seed=7, compiled=compiled)
    leaves = [
        (layer[name], moved[name])
        for layer, moved in zip(start.meta_parameters, after.meta_parameters, strict=True)
        for name in ("weight", "bias")
    ]

    batch = tasks.sample(np.random.default_rng([7, 0]), 2)
    masks = []
    for task in range(2):
        rng = np.random.default_rng([7, 0, 4, task])
        masks.append([rng.random((10, 5)) >= RATE for _ in range(3)])  # two steps on the support set, and the query set

    def mean_loss(parameters: Any) -> Any:
        total: Any = 0.0
        for task, kept in enumerate(masks):
            support, query = batch[task].support, batch[task].query
            phi = parameters
            for mask in kept[:2]:
                phi = adapted(phi, support.inputs, support.targets, mask, 0.1)
            difference = outputs_and_hidden(phi, query.inputs, kept[2])[0] - query.targets
            total = total + np.mean(difference * difference) / 2
        return total

    for number, (leaf, moved) in enumerate(leaves):
        for place in np.ndindex(*leaf.shape):
            shifted = [before.astype(complex) for before, _ in leaves]
            shifted[number][place] += 1e-30j
            slope = mean_loss(tuple(shifted)).imag / 1e-30
            assert_allclose(leaf[place] - moved[place], slope, rtol=1e-11, atol=1e-13)


def test_dropout_learns() -> None:
    waves, learner = Sinusoid(interval=(-2, 2), amplitude=(1, 3)), None
    model = nn.mlp((1, 40, 1), activation="tanh", dropout=0.1)
    learner = MAML(model, LOSS, inner_learning_rate=0.1)
    state = fit(learner, waves, optim.adam(0.02), iterations=100, meta_batch=8, seed=0)
    result = evaluate(learner, state.meta_parameters, waves, metric=LOSS, steps=1, count=100)
    assert result.mean[1] + result.interval[1] < waves.unadapted_error() / 2


def test_a_model_whose_learner_does_not_draw_is_refused() -> None:
    class Forgetful:
        init, adapt, predict = Remembering.init, Remembering.adapt, Remembering.predict
        meta_gradient = Remembering.meta_gradient
        features = MODEL

    with pytest.raises(
        ConfigurationError, match=r"Forgetful\.features is a model that draws random numbers, and would be"
    ):
        fit(Forgetful(), Sinusoid(), optim.sgd(1.0), iterations=1, meta_batch=1, seed=0)
