"""Replays: a program made ready to run has the bits of its kernels run one by one, in memory of its own."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from minimeta.autodiff.steps import Program, by_kernel, run
from minimeta.kernels import native
from minimeta.program.executor import Executable

Leaves = list[NDArray[Any]]

compiled = pytest.mark.skipif(native is None, reason="there are no kernels")
"""For what only the extension promises."""


def bits(values: Leaves) -> list[tuple[Any, ...]]:
    return [(y.shape, y.dtype, y.tobytes()) for y in map(np.asarray, values)]


def one_by_one(program: Program, leaves: Leaves) -> list[tuple[Any, ...]]:
    return bits(run(program, leaves, by_kernel))


def executables(program: Program) -> list[Executable]:
    return [
        Executable(program, reuse_memory=reuse, poison=poison) for reuse in (True, False) for poison in (True, False)
    ]


def assert_replays(program: Program, leaves: Leaves) -> None:
    """Replayed in every way, twice, the program gives the bits of its kernels, in memory of its own."""
    before, expected = bits(leaves), one_by_one(program, leaves)
    for executable in executables(program):
        assert executable.native == (native is not None)
        for _ in range(2):
            outputs = executable.run(leaves)
            assert bits(outputs) == expected
            for i, y in enumerate(outputs):
                assert y.flags.writeable and y.flags.c_contiguous and y.flags.owndata
                assert not any(np.shares_memory(y, other) for other in [*leaves, *outputs[:i]])
                y.fill(1)  # what is done to a result is not seen by the next run
    assert bits(leaves) == before
