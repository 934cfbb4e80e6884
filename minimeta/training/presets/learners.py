"""The settings of each learner, whatever the benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from minimeta.errors import ConfigurationError
from minimeta.learners import MAML, MetaLearner, MetaLSTM, Reptile, outer_step
from minimeta.optim import Optimiser, adam, clip_elements, clip_global_norm, linear_decay, sgd
from minimeta.tasks import Shuffled, TaskDistribution
from minimeta.training.configuration import require
from minimeta.training.presets.parts import LearnerSettings, Problem


@dataclass(frozen=True)
class MAMLSettings(LearnerSettings):
    """MAML.

    Raises
    ------
    ConfigurationError
        If a value is out of range.
    """

    inner_learning_rate: float = 0.01
    """Step size of adaptation."""
    inner_steps: int = 1
    """Adaptation steps in training."""
    step_weights: tuple[float, ...] = ()
    """Weights of the query losses after each adaptation step (Antoniou et al. 2019); none for the last loss alone."""
    learned_rates: bool = False
    """Whether to learn the step size, one for each parameter (Meta-SGD, Li et al. 2017)."""
    adapts: Literal["all", "all_but_offsets", "last_layer"] = "all"
    """Which parameters adapt; `last_layer` is ANIL (Raghu et al. 2020)."""
    learning_rate: float = 0.001
    """Step size of Adam on the meta-parameters."""
    final_step: float = 1.0
    """Fraction of that step size which is left at the end of a linear decay over all iterations."""
    largest_element: float = 0.0
    """Largest absolute value of an element of the meta-gradient; larger ones are clipped. 0 for no limit."""

    name: ClassVar[str] = "maml"
    order: ClassVar[Literal[1, 2]] = 2

    def __post_init__(self) -> None:
        require(self, names="inner_steps", at_least=1)
        require(self, names="inner_learning_rate learning_rate", above=0)
        require(self, names="largest_element step_weights", at_least=0)
        require(self, names="final_step", at_least=0, at_most=1)
        if self.step_weights and len(self.step_weights) != self.inner_steps:
            raise ConfigurationError(
                f"step_weights must be one for each of {self.inner_steps} inner_steps, or none, "
                f"not {' '.join(map(str, self.step_weights))}"
            )

    @property
    def scheduled(self) -> bool:
        """Whether the outer step size decays."""
        return self.final_step != 1

    def learner(self, problem: Problem) -> MetaLearner:
        """Build MAML."""
        return MAML(
            problem.model,
            problem.loss,
            self.inner_learning_rate,
            self.inner_steps,
            order=self.order,
            metrics=problem.metrics,
            step_weights=self.step_weights or None,
            learned_rates=self.learned_rates,
            adapts={
                "all": None,
                "all_but_offsets": _is_no_offset,
                "last_layer": (problem.last_layer,),
            }[self.adapts],
        )

    def optimiser(self, iterations: int) -> Optimiser:
        """Build Adam, with clipping and decay if the settings ask for them."""
        optimiser = adam(self.learning_rate)
        if self.largest_element:
            optimiser = clip_elements(optimiser, self.largest_element)
        return linear_decay(optimiser, iterations, self.final_step) if self.scheduled else optimiser


class FirstOrderMAMLSettings(MAMLSettings):
    """First-order MAML: MAML whose meta-gradient treats inner gradients as constants."""

    name: ClassVar[str] = "fomaml"
    order: ClassVar[Literal[1, 2]] = 1


def _is_no_offset(path: str) -> bool:
    return not path.endswith("offset")


@dataclass(frozen=True)
class ReptileSettings(LearnerSettings):
    """Reptile.

    Raises
    ------
    ConfigurationError
        If a value is out of range.
    """

    inner_optimiser: Literal["sgd", "adam"] = "adam"
    """The optimiser of adaptation; `adam` is without momentum (beta1 = 0)."""
    shared_state: bool = True
    """Whether the state of that optimiser lasts from task to task; a batch of tasks leaves its mean."""
    inner_learning_rate: float = 0.001
    """Step size of adaptation."""
    inner_steps: int = 5
    """Adaptation steps in training."""
    inner_batch: int = 10
    """Examples of a mini-batch in training."""
    evaluation_batch: int = 5
    """Examples of a mini-batch in evaluation."""
    outer_step_size: float = 1.0
    """How far the first outer step moves towards the adapted parameters: 1 for all the way."""
    final_step: float = 0.0
    """Fraction of that step size which is left at the end of a linear decay over all iterations."""

    name: ClassVar[str] = "reptile"

    def __post_init__(self) -> None:
        require(self, names="inner_steps inner_batch evaluation_batch", at_least=1)
        require(self, names="inner_learning_rate outer_step_size", above=0)
        require(self, names="final_step", at_least=0, at_most=1)

    @property
    def scheduled(self) -> bool:
        """The outer step size decays."""
        return True

    def learner(self, problem: Problem) -> MetaLearner:
        """Build Reptile."""
        rate = self.inner_learning_rate
        return Reptile(
            problem.model,
            problem.loss,
            sgd(rate) if self.inner_optimiser == "sgd" else adam(rate, beta1=0.0),
            self.inner_steps,
            self.inner_batch,
            self.evaluation_batch,
            self.shared_state,
            problem.metrics,
        )

    def optimiser(self, iterations: int) -> Optimiser:
        """Build the outer step."""
        return outer_step(self.outer_step_size, iterations, self.final_step)

    def presented(self, tasks: TaskDistribution) -> TaskDistribution:
        """Return the tasks with their support sets in random order, for mini-batches."""
        return Shuffled(tasks)


@dataclass(frozen=True)
class LSTMSettings(LearnerSettings):
    """The LSTM meta-learner.

    Raises
    ------
    ConfigurationError
        If a value is out of range.
    """

    order: Literal[1, 2] = 1
    """Whether the meta-gradient treats inner losses and gradients as constants (1) or differentiates them too (2)."""
    inner_steps: int = 8
    """Adaptation steps in training, each on the whole support set."""
    lstm_hidden: int = 20
    """Width of the first layer."""
    recurrence: Literal["pre_sigmoid", "post_sigmoid"] = "pre_sigmoid"
    """Whether the gates see their previous values from before or from after the sigmoid."""
    gradient: Literal["mean", "divided"] = "mean"
    """The inner gradient: of the mean loss, or `divided` by the number of support examples once more."""
    forget_bias: tuple[float, ...] = (4.0, 5.0)
    """Range of the initial bias of the forget gate."""
    input_bias: tuple[float, ...] = (-5.0, -4.0)
    """Range of the initial bias of the input gate: an initial learning rate of 0.007 to 0.018."""
    statistics: Literal["batch", "running"] = "running"
    """How evaluation normalises query examples: by their own batch, or by running statistics of the support set."""
    statistics_weight: float = 0.9
    """Weight of the newest batch in running statistics."""
    learning_rate: float = 0.001
    """Step size of Adam on the meta-parameters."""
    largest_gradient: float = 0.25
    """Largest norm of the meta-gradient; a longer one is scaled down to it."""

    name: ClassVar[str] = "lstm"

    def __post_init__(self) -> None:
        require(self, names="inner_steps lstm_hidden", at_least=1)
        require(self, names="learning_rate largest_gradient", above=0)
        require(self, names="statistics_weight", above=0, at_most=1)

    def learner(self, problem: Problem) -> MetaLearner:
        """Build the LSTM meta-learner."""
        return MetaLSTM(
            problem.model,
            problem.loss,
            self.inner_steps,
            self.order,
            self.lstm_hidden,
            self.recurrence,
            divide_gradient=self.gradient == "divided",
            forget_bias=self.forget_bias,
            input_bias=self.input_bias,
            momentum=self.statistics_weight if self.statistics == "running" else None,
            metrics=problem.metrics,
        )

    def optimiser(self, iterations: int) -> Optimiser:
        """Build Adam on clipped gradients."""
        return clip_global_norm(adam(self.learning_rate), self.largest_gradient)
