"""A progress bar for notebooks: a callback of :func:`minimeta.training.fit`.

The rate is that of the steps after the first one, which also compiles, so the time left is honest
from the second step on.
"""

from __future__ import annotations

import html
import time
from typing import Any

import numpy as np

from minimeta.errors import MissingExtraError
from minimeta.training.fit import Report
from minimeta.training.state import TrainingState

_SECONDS_BETWEEN = 0.5


class NotebookProgress:
    """Show steps, loss, metrics and the time left below a notebook's cell.

    Parameters
    ----------
    iterations
        The number of steps of the training.

    Raises
    ------
    MissingExtraError
        If IPython is not installed.

    Examples
    --------
    In a notebook::

        fit(learner, tasks, adam(), iterations=500, meta_batch=4, seed=0, callbacks=[NotebookProgress(500)])
    """

    def __init__(self, iterations: int) -> None:
        try:
            from IPython.display import display  # noqa: PLC0415 (needs the notebook extra)
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                "a notebook's progress bar needs IPython, which is not installed: pip install 'minimeta[notebook]'"
            ) from error
        self._display: Any = display
        self._iterations = iterations
        self._handle: Any = None
        self._began: tuple[int, float] = (0, 0.0)
        self._shown = 0.0
        self._said = ""
        self._step = 0

    def __call__(self, state: TrainingState, report: Report) -> None:
        """Show a step, at most two a second, and the last."""
        now = time.monotonic()
        if self._handle is not None and now - self._shown < _SECONDS_BETWEEN and state.step < self._iterations:
            return
        means = {"loss": report.losses, **report.metrics}
        said = [f"{name} {float(np.mean(values)):.4g}" for name, values in means.items()]
        self._step, self._shown = state.step, now
        if self._handle is None:
            self._began = state.step, now
            self._said = ", ".join(said)
            self._handle = self._display(self, display_id=True)
            return
        rate = (state.step - self._began[0]) / max(now - self._began[1], 1e-9)
        left = (self._iterations - state.step) / rate
        self._said = ", ".join([*said, f"{rate:.3g} steps/s", f"{left:.0f} s left"])
        self._handle.update(self)

    def __repr__(self) -> str:
        return f"step {self._step} of {self._iterations}: {self._said}"

    def _repr_html_(self) -> str:
        return (
            f'<progress value="{self._step}" max="{self._iterations}"></progress> '
            f"{self._step} of {self._iterations}: {html.escape(self._said)}"
        )
