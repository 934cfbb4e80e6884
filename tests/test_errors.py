"""Every error belongs to the library, is one that numpy users catch, and names the user's line."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import minimeta as mm
from minimeta import errors
from minimeta.errors import ComputationError, MinimetaError, user_line

BUILTIN: dict[str, type[Exception]] = {
    "ShapeError": ValueError,
    "DtypeError": TypeError,
    "IntegerError": OverflowError,
    "AxisError": np.exceptions.AxisError,
    "IndexingError": IndexError,
    "TracingError": TypeError,
    "MissingAttributeError": AttributeError,
    "LeakedArrayError": RuntimeError,
    "NonFiniteError": ArithmeticError,
    "DataError": ValueError,
    "MissingDataError": FileNotFoundError,
    "CheckpointError": ValueError,
    "ConfigurationError": ValueError,
    "OptionError": ValueError,
    "MissingExtraError": ImportError,
}


def classes() -> dict[str, type[Exception]]:
    """The errors of the module that are raised, not derived from."""
    found = {
        name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)
    }
    return {name: kind for name, kind in found.items() if kind not in (MinimetaError, ComputationError)}


def test_every_error_has_a_builtin_base() -> None:
    assert set(classes()) >= set(BUILTIN)
    for name, kind in classes().items():
        assert issubclass(kind, MinimetaError)
        builtins = [base for base in kind.__mro__ if base.__module__ == "builtins"]
        assert builtins[0] is not Exception
        assert name not in BUILTIN or issubclass(kind, BUILTIN[name])
        assert kind.__doc__


def test_the_line_is_the_innermost_that_is_the_users() -> None:
    def inner() -> str:
        return user_line()

    line = inner.__code__.co_firstlineno + 1
    assert inner() == f"{__file__}:{line}, in inner"


def test_the_script_of_the_command_is_not_the_users() -> None:
    found: dict[str, Any] = {"user_line": user_line}
    exec(compile("line = user_line()", "/somewhere/bin/minimeta", "exec"), found)
    assert found["line"].startswith(__file__)


def test_frames_of_numpy_are_not_the_users() -> None:
    def function(x: Any) -> Any:
        return np.apply_along_axis(lambda row: mm.reshape(row, 7), 0, np.ones((2, 2)))

    with pytest.raises(errors.ShapeError) as caught:
        function(1.0)
    assert str(caught.value).endswith(f"\n  at {__file__}:{function.__code__.co_firstlineno + 1}, in <lambda>")


def test_frames_of_a_decorator_are_not_the_users() -> None:
    with pytest.raises(errors.ShapeError, match="returns shape") as caught:
        mm.compile(mm.grad(mm.square))(np.ones(2))
    assert f"at {__file__}" in str(caught.value)


def test_a_message_without_a_line_stays_as_it_is() -> None:
    assert str(errors.ConfigurationError("x must be positive")) == "x must be positive"


def test_a_message_ends_with_the_line() -> None:
    def function() -> Any:
        return mm.reshape(np.zeros(3), 4)

    with pytest.raises(ValueError, match=r"reshape of shape \(3,\) to \(4,\)") as caught:
        function()
    message = str(caught.value)
    assert message.endswith(f"\n  at {__file__}:{function.__code__.co_firstlineno + 1}, in function")
    assert message.count("\n") == 1


def test_a_copied_error_says_its_line_once() -> None:
    error = errors.ShapeError("sizes differ")
    for copied in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
        assert type(copied) is errors.ShapeError
        assert str(copied) == str(error)
    assert str(error).count("test_errors.py") == 1
