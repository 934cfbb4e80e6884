"""Who else sees an Array: frames that a debugger looks at, and variables that are looked at here."""

import sys
import types
import weakref
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import minimeta as mm
from minimeta.errors import TracingError

# One by one

X = np.array([1.0, 2.0, 3.0])


def test_a_debugger_has_frames_copy_their_variables_and_nothing_more_is_refused() -> None:
    def function(x: Any) -> Any:
        y = x * 1.0
        y *= 2.0
        y += y[::-1]
        return np.sum(y * y)

    def tracer(frame: types.FrameType, event: str, argument: Any) -> Any:
        return tracer if frame.f_code is function.__code__ and frame.f_locals is not None else None

    expected, before = mm.grad(function)(X), sys.gettrace()
    sys.settrace(tracer)
    try:
        found = mm.grad(function)(X)
    finally:
        sys.settrace(before)
    assert_array_equal(found, expected)


def test_variables_are_looked_at_and_not_kept() -> None:
    def function(x: Any) -> Any:
        y = x * 1.0
        s = y * 3.0
        kept = weakref.ref(s)
        y += 1.0
        del s
        assert kept() is None
        given = locals()
        s = y * 3.0
        y += 1.0
        assert given["x"] is x
        return np.sum(y)

    def without(x: Any) -> Any:
        y = x * 1.0
        s = y * 3.0
        kept = weakref.ref(s)
        y += 1.0
        del s
        assert kept() is None
        return np.sum(y)

    with pytest.raises(TracingError, match="given sees it, too"):
        mm.grad(function)(X)
    assert_array_equal(mm.grad(without)(X), np.ones(3))
