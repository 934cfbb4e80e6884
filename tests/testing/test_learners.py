"""Meta-gradients of learners of all kinds, built in and a user's, right and wrong."""

import dataclasses
from typing import Any

import numpy as np
import pytest

import minimeta as mm
from minimeta import nn, optim
from minimeta.errors import ConfigurationError
from minimeta.learners import MAML, FineTuning, MetaGradient, MetaLSTM, Reptile
from minimeta.tasks import Examples, Task
from minimeta.testing import GradientMismatch, check_meta_gradient

MODEL = nn.mlp((1, 3, 1), activation="tanh")
MSE = nn.mean_squared_error


def wave() -> Task:
    inputs = np.random.default_rng(3).uniform(-2, 2, (2, 4, 1))
    return Task(Examples(inputs[0], np.sin(inputs[0])), Examples(inputs[1], np.sin(inputs[1])))


LEARNERS: dict[str, tuple[Any, str]] = {
    "MAML": (MAML(MODEL, MSE, 0.1, 2), "second order"),
    "first-order MAML": (MAML(MODEL, MSE, 0.1, 2, order=1), "first order"),
    "Meta-SGD": (MAML(MODEL, MSE, 0.1, 2, learned_rates=True), "second order"),
    "ANIL": (MAML(MODEL, MSE, 0.1, 2, adapts=("1",)), "second order"),
    "MAML, no steps": (MAML(MODEL, MSE, 0.1, 0, order=1), "second order"),
    "LSTM": (MetaLSTM(MODEL, MSE, inner_steps=2, order=2), "second order"),
    "first-order LSTM": (MetaLSTM(MODEL, MSE, inner_steps=2, order=1), "first order"),
    "Reptile": (Reptile(MODEL, MSE, optim.sgd(0.1), 2), "direction"),
    "Reptile with Adam": (Reptile(MODEL, MSE, optim.adam(0.1, beta1=0.0), 2), "direction"),
}


@pytest.mark.parametrize("name", LEARNERS)
def test_every_learner_to_second_order(name: str) -> None:
    learner, kind = LEARNERS[name]
    report = check_meta_gradient(learner, wave(), kind=kind)
    assert report.kind == kind and [row.order for row in report.orders] == [1, 2]
    assert (report.held > 0) == (kind == "first order")


def test_what_is_no_gradient_has_to_be_declared() -> None:
    with pytest.raises(GradientMismatch, match="Reptile is not the gradient") as caught:
        check_meta_gradient(LEARNERS["Reptile"][0], wave(), order=1)
    assert caught.value.fault == "meta-gradient"
    for name, kind in (("MAML", "first order"), ("first-order MAML", "second order"), ("LSTM", "direction")):
        with pytest.raises(GradientMismatch, match=f"and not {kind}"):
            check_meta_gradient(LEARNERS[name][0], wave(), kind=kind, order=1)


def test_fine_tuning_learns_by_the_gradient_of_another_loss() -> None:
    learner = FineTuning(MODEL, MSE, rates=(0.1,), inner_steps=1)

    def query_loss(meta_parameters: Any, task: Task) -> Any:
        return MSE(MODEL.apply(meta_parameters["initial"], task.query.inputs), task.query.targets)

    check_meta_gradient(learner, wave(), objective=query_loss, kind="direction")


@dataclasses.dataclass(frozen=True)
class OneStep:
    """A user's learner, its meta-gradient off by a factor."""

    factor: float = 1.0

    def init(self, rng: np.random.Generator) -> Any:
        return {"w": rng.normal(size=3)}

    def adapt(self, meta_parameters: Any, support: Examples, steps: int) -> tuple[Any, ...]:
        slope = mm.grad(lambda w: mm.sum(mm.sin(w * support.inputs)))(meta_parameters["w"])
        return (meta_parameters, {"w": meta_parameters["w"] - 0.1 * slope})

    def predict(self, adapted: Any, inputs: Any) -> Any:
        return adapted["w"] * inputs

    def loss(self, meta_parameters: Any, task: Task) -> Any:
        outputs = self.predict(self.adapt(meta_parameters, task.support, 1)[-1], task.query.inputs)
        return MSE(outputs, task.query.targets)

    def meta_gradient(self, meta_parameters: Any, task: Task) -> MetaGradient:
        value, gradient = mm.value_and_grad(self.loss)(meta_parameters, task)
        return MetaGradient(value, {}, mm.tree.map(lambda g: g * self.factor, gradient))


def test_a_learner_of_ones_own_right_and_wrong() -> None:
    rng = np.random.default_rng(0)
    task = Task(Examples(rng.normal(size=3), rng.normal(size=3)), Examples(rng.normal(size=3), rng.normal(size=3)))
    assert check_meta_gradient(OneStep(), task, objective=OneStep().loss).kind == "second order"
    with pytest.raises(GradientMismatch, match="not the gradient of its objective"):
        check_meta_gradient(OneStep(1 + 1e-9), task, objective=OneStep().loss)


def test_a_learner_that_cannot_be_traced() -> None:
    class Untraceable(OneStep):
        def loss(self, meta_parameters: Any, task: Task) -> Any:
            assert float(mm.stop_gradient(meta_parameters["w"][0])) < np.inf
            return super().loss(meta_parameters, task)

    rng = np.random.default_rng(0)
    task = Task(Examples(rng.normal(size=3), rng.normal(size=3)), Examples(rng.normal(size=3), rng.normal(size=3)))
    report = check_meta_gradient(Untraceable(), task, objective=Untraceable().loss)
    assert (report.oracle, report.kind) == ("central difference", "second order")
    with pytest.raises(GradientMismatch, match="not the gradient of its objective"):
        check_meta_gradient(Untraceable(1.001), task, objective=Untraceable().loss)


def test_kinds_are_known() -> None:
    with pytest.raises(ConfigurationError, match="kind='third order' is none of"):
        check_meta_gradient(OneStep(), None, kind="third order")
