"""The meta-learners: one contract, a page of its paper each."""

from minimeta.learners.baselines import FineTuning, NearestNeighbour
from minimeta.learners.learner import MetaGradient, MetaLearner, Phases
from minimeta.learners.lstm import MetaLSTM
from minimeta.learners.maml import MAML
from minimeta.learners.reptile import Reptile, outer_step

__all__ = [
    "MAML",
    "FineTuning",
    "MetaGradient",
    "MetaLSTM",
    "MetaLearner",
    "NearestNeighbour",
    "Phases",
    "Reptile",
    "outer_step",
]
