"""What each learner needs to know, whatever the benchmark; a benchmark's preset says which values its paper has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from minimeta.learners import MAML, MetaLearner, MetaLSTM, Reptile, outer_step
from minimeta.optim import Optimiser, adam, clip_elements, clip_global_norm, linear_decay, sgd
from minimeta.tasks import Shuffled, TaskDistribution
from minimeta.training.configuration import require, setting
from minimeta.training.presets.experiment import LearnerName, Preset, Problem


@dataclass(frozen=True)
class MAMLSettings(Preset):
    """MAML, and first-order MAML, which is MAML that differentiates once."""

    inner_learning_rate: float = 0.01
    """Step size of adaptation."""
    inner_steps: int = 1
    """Adaptation steps in training."""
    step_weights: tuple[float, ...] = ()
    """Weights of the query losses after each step of adaptation (Antoniou et al. 2019); none for the last one alone."""
    learned_rates: bool = False
    """Whether the step size is learned, one for each parameter (Meta-SGD, Li et al. 2017)."""
    adapts: Literal["all", "all_but_offsets", "last_layer"] = setting(
        "all", code="all but offsets of batch normalisation, which are meta-learned alone"
    )
    """Which parameters adapt; `last_layer` is ANIL (Raghu et al. 2020)."""
    learning_rate: float = 0.001
    """Step size of Adam on the meta-parameters."""
    final_step: float = setting(1.0, code="1: constant")
    """What that step falls to, on a straight line over all iterations, as a fraction of what it begins with."""
    largest_element: float = setting(0.0, code="0, and 10 for miniImageNet, of a loss summed over the query set")
    """What elements of the meta-gradient are cut off at; 0 for nowhere."""

    learners: ClassVar[tuple[LearnerName, ...]] = ("maml", "fomaml")

    @property
    def scheduled(self) -> bool:
        """Whether a step depends on how many there will be in all."""
        return self.final_step != 1

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, names="inner_steps", at_least=1)
        require(self, names="inner_learning_rate learning_rate", above=0)
        require(self, names="largest_element step_weights", at_least=0)
        require(self, names="final_step", at_least=0, at_most=1)

    def learner(self, name: LearnerName, problem: Problem) -> MetaLearner:
        """Build MAML, of order 1 or 2."""
        return MAML(
            problem.model,
            problem.loss,
            self.inner_learning_rate,
            self.inner_steps,
            order=1 if name == "fomaml" else 2,
            metrics=problem.metrics,
            step_weights=self.step_weights or None,
            learned_rates=self.learned_rates,
            adapts={
                "all": None,
                "all_but_offsets": _is_no_offset,
                "last_layer": (problem.last_layer,),
            }[self.adapts],
        )

    def optimiser(self) -> Optimiser:
        """Adam, on elements that are cut off, by steps that fall, if at all."""
        optimiser = adam(self.learning_rate)
        if self.largest_element:
            optimiser = clip_elements(optimiser, self.largest_element)
        return linear_decay(optimiser, self.iterations, self.final_step) if self.scheduled else optimiser


def _is_no_offset(path: str) -> bool:
    return not path.endswith("offset")


@dataclass(frozen=True)
class ReptileSettings(Preset):
    """Reptile."""

    inner_optimiser: Literal["sgd", "adam"] = "adam"
    """What takes the steps of adaptation; `adam` is without momentum (beta1 = 0)."""
    shared_state: bool = setting(True, code="True: one optimiser for all tasks, and for evaluation")
    """Whether its state lasts from task to task; over the tasks of a batch it is averaged."""
    inner_learning_rate: float = 0.001
    """Its step size."""
    inner_steps: int = 5
    """Adaptation steps in training."""
    inner_batch: int = 10
    """Examples of a mini-batch in training."""
    evaluation_batch: int = 5
    """Examples of a mini-batch in evaluation."""
    outer_step_size: float = 1.0
    """How far the parameters move towards what the tasks make of them, in the beginning."""
    final_step: float = 0.0
    """What the outer step falls to, on a straight line over all iterations, as a fraction of what it begins with."""

    learners: ClassVar[tuple[LearnerName, ...]] = ("reptile",)

    @property
    def scheduled(self) -> bool:
        """Whether a step depends on how many there will be in all."""
        return True

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, names="inner_steps inner_batch evaluation_batch", at_least=1)
        require(self, names="inner_learning_rate outer_step_size", above=0)
        require(self, names="final_step", at_least=0, at_most=1)

    def learner(self, name: LearnerName, problem: Problem) -> MetaLearner:
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

    def optimiser(self) -> Optimiser:
        """The outer step."""
        return outer_step(self.outer_step_size, self.iterations, self.final_step)

    def presented(self, tasks: TaskDistribution) -> TaskDistribution:
        """The tasks, their support sets in random order, for mini-batches."""
        return Shuffled(tasks)


@dataclass(frozen=True)
class LSTMSettings(Preset):
    """The LSTM meta-learner."""

    order: Literal[1, 2] = setting(1, paper="1", code="1")
    """Whether losses and gradients are constants of the meta-gradient (1), or differentiated too (2)."""
    inner_steps: int = 8
    """Adaptation steps in training, each on the whole support set."""
    lstm_hidden: int = setting(20, paper="20", code="20")
    """Width of the first layer."""
    recurrence: Literal["pre_sigmoid", "post_sigmoid"] = setting(
        "pre_sigmoid", paper="post_sigmoid", code="pre_sigmoid"
    )
    """What the gates are given of the step before: their values before or after the sigmoid."""
    gradient: Literal["mean", "divided"] = setting("mean", code="divided by the number of support examples once more")
    """The gradient of the mean loss, as it is or `divided`."""
    forget_bias: tuple[float, ...] = setting((4.0, 5.0), code="4 5")
    """Range of the initial bias of the forget gate."""
    input_bias: tuple[float, ...] = setting((-5.0, -4.0), code="-5 -4")
    """Range of the initial bias of the input gate: an initial learning rate of 0.007 to 0.018."""
    statistics: Literal["batch", "running"] = setting(
        "running", paper="running", code="running, begun anew with each task"
    )
    """What batch normalisation of query examples uses in evaluation: their own, or averages over the support set."""
    statistics_weight: float = setting(0.9, code="0.9 (1-shot), 0.95 (5-shot)")
    """Weight of the newest batch in running statistics."""
    learning_rate: float = setting(0.001, paper="Adam, 0.001", code="Adam, 0.001")
    """Step size of Adam on the meta-parameters."""
    largest_gradient: float = setting(0.25, paper="0.25", code="0.25")
    """Norm that the meta-gradient is clipped to."""

    learners: ClassVar[tuple[LearnerName, ...]] = ("lstm",)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, names="inner_steps lstm_hidden", at_least=1)
        require(self, names="learning_rate largest_gradient", above=0)
        require(self, names="statistics_weight", above=0, at_most=1)

    def learner(self, name: LearnerName, problem: Problem) -> MetaLearner:
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

    def optimiser(self) -> Optimiser:
        """Adam on clipped gradients."""
        return clip_global_norm(adam(self.learning_rate), self.largest_gradient)
