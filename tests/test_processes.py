"""Functions and arrays go to a pool of processes and come back with the same bits."""

import copy
import functools
import multiprocessing
import pickle
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import pytest

import minimeta as mm
from minimeta import nn, optim, program
from minimeta.autodiff.primitive import registry
from minimeta.autodiff.steps import by_kernel
from minimeta.learners import MAML, FineTuning, MetaLearner, MetaLSTM, NearestNeighbour, Reptile
from minimeta.learners.reptile import outer_step
from minimeta.tasks import Sinusoid, Task
from minimeta.training import PRESETS, fit

MODEL = nn.mlp((1, 8, 8, 1), activation="tanh", batch_norm=True)
LOSS = nn.mean_squared_error


def is_no_bias(path: str) -> bool:
    return not path.endswith("bias")


LEARNERS: dict[str, MetaLearner] = {
    "maml": MAML(MODEL, LOSS, 0.01, 2, metrics={"error": LOSS}),
    "fomaml": MAML(MODEL, LOSS, 0.01, 2, order=1, adapts=is_no_bias),
    "meta-sgd": MAML(MODEL, LOSS, 0.01, 2, learned_rates=True, adapts="2"),
    "maml with adam": MAML(MODEL, LOSS, inner_optimiser=optim.clip_global_norm(optim.adam(0.01), 1.0)),
    "reptile": Reptile(MODEL, LOSS, optim.momentum(0.02), 3, 5),
    "lstm": MetaLSTM(MODEL, LOSS, 2, momentum=0.5),
    "fine-tuning": FineTuning(MODEL, LOSS, (0.01, 0.1), 2),
    "nearest neighbour": NearestNeighbour(LOSS),
}
OPTIMISERS: dict[str, optim.Optimiser] = {
    "sgd": optim.sgd(0.1),
    "momentum": optim.momentum(0.1),
    "adam": optim.adam(),
    "clip_global_norm": optim.clip_global_norm(optim.adam(), 0.1),
    "clip_elements": optim.clip_elements(optim.sgd(0.5), 0.1),
    "linear_decay": optim.linear_decay(optim.adam(), 10),
}
BY_PART = {"reptile": outer_step(0.5, 20), "by_part": optim.by_part(initial=optim.adam(), inner_state=optim.sgd(1.0))}


def smooth(x: Any, y: Any = 2.0) -> Any:
    return mm.sum(mm.sin(x) * x**3) * y


def mapped(x: Any, w: Any = 3.0) -> Any:
    return mm.sin(x) * w


@mm.custom_vjp
def doubled(x: Any) -> Any:
    return x * 2.0


@doubled.rule
def _(cotangent: Any, output: Any, x: Any) -> Any:
    return (cotangent * 3.0,)


def with_rule(x: Any) -> Any:
    return mm.sin(x)


def its_rule(cotangent: Any, output: Any, x: Any) -> Any:
    return (cotangent * 5.0,)


def on_values(x: Any) -> Any:
    return np.cumsum(x, axis=-1)


def looks_like(x: Any) -> Any:
    return np.empty(x.shape, x.dtype)


def rule_of_inverse(cotangent: Any, output: Any, x: Any) -> Any:
    return (-(output.T @ cotangent @ output.T),)


CALLED: dict[str, Any] = {
    "inverse": mm.custom_vjp(np.linalg.inv, rule_of_inverse),
    "your own": mm.custom_vjp(on_values, its_rule, on_values=True),
    "like": mm.custom_vjp(on_values, its_rule, like=looks_like),
}

FUNCTIONS: dict[str, Any] = {
    "rematerialize": mm.rematerialize(smooth),
    "gradient of your own rule": mm.grad(doubled),
    "gradient of a function with a rule": mm.vmap(mm.grad(mm.custom_vjp(with_rule, its_rule))),
    "grad": mm.grad(smooth),
    "grad by name": mm.grad(smooth, argnums=("y", "x")),
    "value and grad of a gradient": mm.jacobian(mm.grad(smooth)),
    "hessian": mm.hessian(smooth),
    "vmap": mm.vmap(mapped, in_axes=[0, None]),
    "vmap of a gradient": mm.vmap(mm.grad(mapped), out_axes="sum"),
    "compile": mm.compile(smooth),
    "compile of a gradient": mm.compile(mm.grad(smooth), check=True),
    "gradient of a compiled one": mm.grad(mm.compile(smooth)),
    "loss": functools.partial(nn.cross_entropy, np.eye(3, dtype=np.float32), reduction="sum"),
}


def bits(tree: Any) -> list[Any]:
    return [(x.dtype.str, x.shape, x.tobytes()) for x in map(np.asarray, mm.tree.flatten(tree)[0])]


def learn(learner: MetaLearner, task: Task, compiled: bool) -> list[Any]:
    meta_parameters = learner.init(np.random.default_rng(3))
    meta_gradient = learner.meta_gradient
    return bits((mm.compile(meta_gradient) if compiled else meta_gradient)(meta_parameters, task))


def update(optimiser: optim.Optimiser, parameters: Any, steps: int) -> list[Any]:
    state = optimiser.init(parameters)
    for _ in range(steps):
        parameters, state = optimiser.update(parameters, state, parameters)
    return bits((parameters, state))


def call(function: Any, *arguments: Any) -> list[Any]:
    return bits(function(*arguments))


def train(experiment: Any, steps: int) -> list[Any]:
    learner, tasks, optimiser = experiment.learner, experiment.training_tasks, experiment.optimiser
    return bits(fit(learner, tasks, optimiser, iterations=steps, meta_batch=2, seed=5))


@pytest.fixture(scope="module", params=[m for m in ("spawn", "fork") if m in multiprocessing.get_all_start_methods()])
def pool(request: pytest.FixtureRequest) -> Iterator[ProcessPoolExecutor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of a fork with threads
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(request.param)) as executor:
            yield executor


def test_learners_compute_the_same_bits_in_another_process(pool: ProcessPoolExecutor) -> None:
    batch = Sinusoid(shots=5, queries=5).sample(np.random.default_rng(0), 1)
    task = mm.tree.map(lambda x: x[0], batch)
    futures = {name: pool.submit(learn, learner, task, True) for name, learner in LEARNERS.items()}
    for name, learner in LEARNERS.items():
        assert futures[name].result(timeout=120) == learn(learner, task, compiled=True), name


def test_optimisers_do_so_too(pool: ProcessPoolExecutor) -> None:
    flat: Any = {"a": np.array([3.0, -4.0], np.float32), "b": np.array(0.5, np.float32)}
    parts: Any = {"initial": flat, "inner_state": {"m": np.ones(2, np.float32)}}
    cases = [(optimiser, flat) for optimiser in OPTIMISERS.values()]
    cases += [(optimiser, parts) for optimiser in BY_PART.values()]
    futures = [pool.submit(update, *case, 3) for case in cases]
    assert [future.result(timeout=120) for future in futures] == [update(*case, 3) for case in cases]


def test_so_do_transformed_functions_and_losses(pool: ProcessPoolExecutor) -> None:
    x = np.linspace(0.1, 2.0, 3)
    arguments: dict[str, Any] = {"vmap": (x, 2.0), "grad by name": (x, 3.0), "loss": (np.arange(3),)}
    arguments["gradient of your own rule"] = (2.0,)
    futures = {name: pool.submit(call, f, *arguments.get(name, (x,))) for name, f in FUNCTIONS.items()}
    for name, function in FUNCTIONS.items():
        assert futures[name].result(timeout=120) == call(function, *arguments.get(name, (x,))), name


def test_functions_that_are_called_on_values_do_so_too(pool: ProcessPoolExecutor) -> None:
    x = np.array([[[2.0, 1.0], [0.5, 3.0]]])
    for name, called in CALLED.items():
        for function in (called, mm.compile(called), mm.vmap(called), mm.compile(mm.vmap(mm.jacobian(called)))):
            assert pool.submit(call, function, x).result(timeout=120) == call(function, x), name


def test_experiments_train_there(pool: ProcessPoolExecutor) -> None:
    experiment = PRESETS["maml", "sinusoid"].experiment()
    assert pool.submit(train, experiment, 3).result(timeout=300) == train(experiment, 3)


def test_presets_models_and_tasks_pickle() -> None:
    for preset in PRESETS.values():
        again = pickle.loads(pickle.dumps(preset))
        assert again == preset
    model = nn.conv4((16, 16, 1), 3, filters=2)
    again = pickle.loads(pickle.dumps(model))
    x = np.random.default_rng(0).normal(size=(2, 16, 16, 1)).astype(np.float32)
    parameters = model.init(np.random.default_rng(1))
    assert bits(parameters) == bits(again.init(np.random.default_rng(1)))
    assert bits(model.apply(parameters, x)) == bits(again.apply(parameters, x))
    assert model.apply_with_statistics is not None
    assert bits(model.apply_with_statistics(parameters, x, None)) == bits(
        again.apply_with_statistics(parameters, x, None)
    )
    assert pickle.loads(pickle.dumps(Sinusoid())) == Sinusoid()


@mm.primitive(elementwise=True, rules=(lambda g, y, x: g * mm.exp(x),))
def own(x: Any) -> Any:
    return np.exp(x)


def test_programs_and_primitives_pickle_by_name() -> None:
    def whole(x: Any) -> Any:
        return mm.sum(mm.sin(mm.rematerialize(own)(x)) * doubled(x))

    x = np.linspace(0.1, 0.7, 6).reshape(2, 3)
    for function in (
        whole,
        mm.grad(whole),
        mm.vmap(mm.grad(whole)),
        mm.custom_vjp(on_values, its_rule, like=on_values),
    ):
        traced = program.trace(function, x)
        for one in (traced, program.optimise(traced)):
            again = pickle.loads(pickle.dumps(one))
            assert str(again) == str(one)
            assert bits(again.run(by_kernel, x)) == bits(one.run(by_kernel, x))
    for made in (*registry.values(), own.primitive):
        assert pickle.loads(pickle.dumps(made)) is made
    nameless = mm.primitive(elementwise=True, rules=())(lambda x: x)
    assert copy.deepcopy(nameless.primitive) is nameless.primitive
    with pytest.raises(pickle.PicklingError, match="define the operation at the top of a module"):
        pickle.dumps(nameless.primitive)


def test_what_cannot_be_sent_is_pythons_affair() -> None:
    for hopeless in (nn.mlp((1, 2, 1), activation=lambda x: x), MAML(MODEL, lambda y, t: y, 0.1), mm.grad(lambda x: x)):
        with pytest.raises((pickle.PicklingError, AttributeError), match="<lambda>"):
            pickle.dumps(hopeless)
