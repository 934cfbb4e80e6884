"""The use of what was learned: a trained learner adapts to a few examples of a user's and predicts others."""

from typing import TYPE_CHECKING, Any

from minimeta.prediction.loading import load
from minimeta.prediction.trained import TrainedLearner

if TYPE_CHECKING:
    from minimeta.prediction.estimators import FewShotClassifier, FewShotRegressor

__all__ = ["FewShotClassifier", "FewShotRegressor", "TrainedLearner", "load"]


def __getattr__(name: str) -> Any:
    if name not in ("FewShotClassifier", "FewShotRegressor"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from minimeta.prediction import estimators  # noqa: PLC0415 (needs the sklearn extra)

    return getattr(estimators, name)
