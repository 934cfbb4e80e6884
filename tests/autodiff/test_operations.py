"""Every public operation has its test."""

from pathlib import Path

import minimeta as mm

FAMILIES = (
    *("convolution", "elementwise", "integers", "linear_algebra"),
    *("pooling", "positions", "reductions", "shaping"),
)


def test_every_public_operation_has_its_test() -> None:
    files = [Path(__file__).with_name(f"test_{name}.py") for name in FAMILIES]
    source = "".join(file.read_text() for file in files)
    missing = [name for name in mm.operations.__all__ if f"mm.{name}" not in source]
    assert not missing
