"""The use of what was learned: a trained learner adapts to a few examples of a user's and predicts others."""

from minimeta.prediction.loading import load
from minimeta.prediction.trained import TrainedLearner

__all__ = ["TrainedLearner", "load"]
