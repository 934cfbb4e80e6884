"""Every public operation has its test."""

from pathlib import Path

from numpy_calls import CALLS, VALUES_KNOWN

import minimeta as mm

FAMILIES = (
    *("convolution", "elementwise", "integers", "linear_algebra"),
    *("pooling", "positions", "reductions", "shaping"),
)


def test_every_public_operation_has_its_test() -> None:
    files = [Path(__file__).with_name(f"test_{name}.py") for name in FAMILIES]
    source = "".join(file.read_text() for file in files)
    of_numpy = Path(__file__).with_name("test_numpy_shapes.py").read_text()
    called = {call.name for call in CALLS} | set(VALUES_KNOWN)
    called |= {name for name in mm.operations.NAMES if f"mm.{name}" in source or f"np.{name}" in of_numpy}
    assert [name for name in mm.operations.NAMES if name not in called] == []
