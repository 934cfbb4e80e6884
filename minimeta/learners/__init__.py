"""The meta-learners: one contract, a page of its paper each."""

from minimeta.learners.learner import MetaGradient, MetaLearner
from minimeta.learners.lstm import MetaLSTM
from minimeta.learners.maml import MAML
from minimeta.learners.reptile import Reptile

__all__ = ["MAML", "MetaGradient", "MetaLSTM", "MetaLearner", "Reptile"]
