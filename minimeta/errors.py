"""Every error that minimeta raises.

An error teaches: it names the operation, the argument and the shapes, says what to do instead, and,
where the cause is a line of a user's function, ends with that line. All classes derive from
:class:`MinimetaError` and from the built-in exception that numpy users already catch in the same
situation.
"""

import os
import sys
from typing import Any

import numpy as np

_PACKAGE = os.path.dirname(__file__) + os.sep  # noqa: PTH120 (pathlib is slow to import)
_COMMAND = os.sep + "minimeta"  # the script that pip writes for the command


def is_internal(code: Any) -> bool:
    """Return whether a code object belongs to minimeta."""
    return bool(code.co_filename.startswith(_PACKAGE))


def user_line() -> str:
    """Return the innermost line of the call stack outside of minimeta, its command, contextlib, numpy,
    runpy and scipy, as ``file:line, in function``.

    Returns
    -------
    str
        Empty if every frame is internal, as in a call from C.
    """
    frame = sys._getframe(1)
    while frame is not None:
        if _is_of_user(frame):
            return f"{frame.f_code.co_filename}:{frame.f_lineno}, in {frame.f_code.co_name}"
        if frame.f_back is None:
            break
        frame = frame.f_back
    return ""


def raising_line(error: BaseException) -> str:
    """Return the line of :func:`user_line` that an error which was caught came from."""
    line, traceback = "", error.__traceback__
    while traceback is not None:
        if _is_of_user(traceback.tb_frame):
            code = traceback.tb_frame.f_code
            line = f"{code.co_filename}:{traceback.tb_lineno}, in {code.co_name}"
        traceback = traceback.tb_next
    return line


def _is_of_user(frame: Any) -> bool:
    module = str(frame.f_globals.get("__name__", ""))
    if is_internal(frame.f_code) or module.partition(".")[0] in ("contextlib", "numpy", "runpy", "scipy"):
        return False
    return not frame.f_code.co_filename.endswith(_COMMAND)


class MinimetaError(Exception):
    """Base class of every error of the library."""


class ComputationError(MinimetaError):
    """Base class of the errors of an operation or a transformation; its message ends with the user's line."""

    def __init__(self, message: str, line: str | None = None) -> None:
        line = user_line() if line is None else line
        Exception.__init__(self, f"{message}\n  at {line}" if line else message)  # numpy's AxisError takes an axis.

    def moved(self, origin: Any) -> "ComputationError":
        """Return the same error with another last line, that of the value it is about, or whose derivative."""
        message = str(self).rpartition("\n  at ")[0] or str(self)
        prefix = f"the derivative of {origin.derived}: " if origin.derived else ""
        return _restore(type(self), (f"{prefix}{message}\n  {origin}",))

    def __reduce__(self) -> tuple[Any, ...]:
        # A pickled copy already ends with the line.
        return _restore, (type(self), self.args)


def _restore(kind: type[ComputationError], arguments: tuple[Any, ...]) -> ComputationError:
    error = kind.__new__(kind)
    Exception.__init__(error, *arguments)
    return error


class ShapeError(ComputationError, ValueError):
    """Shapes or axes that do not fit the operation."""


class AxisError(ShapeError, np.exceptions.AxisError):
    """An axis that an array does not have."""

    axis = ndim = None  # as of numpy's error, where it is made of a message
    __str__ = Exception.__str__


class DtypeError(ComputationError, TypeError):
    """A dtype that the operation or the transformation cannot take."""


class IntegerError(DtypeError, OverflowError):
    """A Python integer that does not fit into the dtype of what it meets."""


class IndexingError(ComputationError, IndexError):
    """An index that is out of bounds or of a kind that is not supported."""


class LinearAlgebraError(ComputationError, np.linalg.LinAlgError):
    """A matrix that has no inverse, no factor or no derivative: singular, not positive definite, or with ties."""


class TracingError(ComputationError, TypeError):
    """A use of an Array that would lose its derivative, or that needs a value while only shapes are known."""


class MissingAttributeError(ComputationError, AttributeError):
    """An attribute of numpy's arrays that Arrays lack."""


class LeakedArrayError(ComputationError, RuntimeError):
    """An Array was used after the transformation that made it had ended."""


class NonFiniteError(MinimetaError, ArithmeticError):
    """A loss or a parameter became NaN or infinite."""


class DataError(MinimetaError, ValueError):
    """A data file that is truncated or holds something else, or a task that the data cannot supply."""


class MissingDataError(MinimetaError, FileNotFoundError):
    """A data file that is missing from the place where it was expected."""


class CheckpointError(MinimetaError, ValueError):
    """A checkpoint, or a record of a run, that is truncated, damaged, of another format, or of another run."""


class StorageError(MinimetaError, OSError):
    """A run that cannot be written: its disk is full, its folder vanished, or another process writes it."""


class WorkerError(MinimetaError, RuntimeError):
    """A process that computes for this one ended or raised in the middle of a step."""


class ConfigurationError(MinimetaError, ValueError):
    """A setting that is unknown or out of range."""


class OptionError(ComputationError, ConfigurationError):
    """An option of an operation that is none of those there are."""


class MissingExtraError(MinimetaError, ImportError):
    """An optional dependency is absent; the message names the extra to install."""


# Verdicts of the gradient checker


class GradientCheckError(MinimetaError, AssertionError):
    """Base class of the verdicts of a gradient check that does not pass.

    Attributes
    ----------
    fault
        What is wrong, in one or two words: ``"value"``, ``"linearity"``, ``"kink"``, ...
    order
        The order of the derivative in question; 0 for the function itself.
    oracle
        What the derivative was compared with.
    culprit
        The name of the primitive at fault; empty if none was found.
    line
        The user's line that calls it; empty if there is none.
    program
        The smallest wrong program, as Python; empty if none was found.
    reproduce
        Statements that repeat the check; empty if they are not known.
    """

    def __init__(
        self,
        message: str,
        *,
        fault: str = "",
        order: int = 0,
        oracle: str = "",
        culprit: str = "",
        line: str = "",
        program: str = "",
        reproduce: str = "",
    ) -> None:
        super().__init__(message)
        self.fault = fault
        self.order = order
        self.oracle = oracle
        self.culprit = culprit
        self.line = line
        self.program = program
        self.reproduce = reproduce


class GradientMismatch(GradientCheckError):  # noqa: N818 (a verdict)
    """A derivative is wrong: it differs from the oracle's, or it breaks an identity that derivatives obey."""


class Nondifferentiable(GradientCheckError):  # noqa: N818 (a verdict)
    """There is no derivative at this point: a kink, a jump, or a singular point."""


class Inconclusive(GradientCheckError):  # noqa: N818 (a verdict)
    """The error of the oracle, or of rounding, is too large to tell a right derivative from a wrong one."""


class VacuousCheck(GradientCheckError):  # noqa: N818 (a verdict)
    """Nothing was tested: no floats to differentiate, or an output that does not depend on them."""
