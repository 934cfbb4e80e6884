"""The meta-learners: one contract, a page of its paper each."""

from minimeta.learners.learner import MetaGradient, MetaLearner
from minimeta.learners.maml import MAML

__all__ = ["MAML", "MetaGradient", "MetaLearner"]
