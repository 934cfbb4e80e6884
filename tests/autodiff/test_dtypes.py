"""Results of numpy's functions have numpy's dtypes and values, whatever dtypes their operands have."""

import itertools
import warnings
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy_calls import CALLS, Call, draw

import minimeta as mm
from minimeta.errors import DtypeError, MinimetaError

DTYPES = ("float32", "float64", "int8", "int16", "int64", "bool")

#: How many leading coefficients are zero depends on values: numpy drops them.
SHAPED_BY_VALUES = {"polymul"}


def combinations(call: Call) -> list[tuple[str, ...]]:
    """Dtypes for the operands: all alike; of two operands, every pair, of more, a few."""
    count = len(call.operands)
    whole = any(operand.endswith(":whole") for operand in call.operands)
    dtypes = [dtype for dtype in DTYPES if not (whole and dtype.startswith("float"))]
    if count < 3:
        return list(itertools.product(dtypes, repeat=count))
    rng = np.random.default_rng(zlib.crc32(call.name.encode()))
    return [(dtype,) * count for dtype in dtypes] + [tuple(rng.choice(dtypes, count)) for _ in range(6)]


def of_dtype(x: Any, dtype: str) -> Any:
    if dtype == "bool":
        return x > 0.3
    return np.round(np.clip(2.0 * x, -5.0, 5.0)).astype(dtype) if dtype.startswith("int") else x.astype(dtype)


def computed(function: Any, operands: Any) -> Any:
    """What a function returns, or the exception that it raises."""
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(*operands)
    except Exception as error:
        return error


@pytest.mark.parametrize("call", CALLS, ids=[f"{i}-{call.name}" for i, call in enumerate(CALLS)])
def test_dtypes_are_numpys(call: Call) -> None:
    rng = np.random.default_rng(zlib.crc32(call.name.encode()))
    drawn = draw(call, rng, 2, 4)
    for dtypes in combinations(call):
        operands = [of_dtype(x, dtype) for x, dtype in zip(drawn, dtypes, strict=True)]
        expected = computed(call.function, operands)
        found = computed(mm.compile(call.function, enabled=False), operands)
        if isinstance(expected, Exception):
            assert not isinstance(found, Exception) or isinstance(found, MinimetaError), (dtypes, found)
            continue
        expected = np.asarray(expected)
        if isinstance(found, DtypeError) and (expected.dtype == np.float16 or "float16" in str(found)):
            continue  # numpy makes it of bool and int8, in the end or on the way.
        assert not isinstance(found, Exception), (dtypes, found)
        if "bool" in dtypes and call.name in SHAPED_BY_VALUES:
            assert found.dtype == expected.dtype, dtypes
            continue
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape), dtypes
        if expected.dtype.kind != "f":
            assert_array_equal(found, expected, err_msg=str(dtypes))
            continue
        rounding = 1e-4 if "float32" in (*dtypes, found.dtype.name) else 1e-10
        scale = max(1.0, float(np.max(np.abs(expected), initial=0.0, where=np.isfinite(expected))))
        assert_allclose(found, expected, rtol=rounding, atol=rounding * scale, err_msg=str(dtypes))
