"""The compiled kernels, or the reason why they are not there.

``native`` is the extension built from ``csrc/``. It needs a fused multiply-add, which on x86 means the level
x86-64-v3 (AVX2, FMA: every processor since about 2015). With ``MINIMETA_ISA=reference``, or on an older processor,
``native`` is ``None`` and every operation is computed by its numpy reference: the same mathematics, slower, and equal
to rounding only.
"""

import os
import platform
import warnings
from types import ModuleType


def _processor_is_able() -> bool:
    """Whether this processor runs the extension's instructions."""
    if platform.machine().lower() not in {"x86_64", "amd64"}:
        return True
    from numpy._core._multiarray_umath import (  # type: ignore[import-not-found]  # noqa: PLC0415 (only asked on x86)
        __cpu_features__ as features,
    )

    return bool(features.get("AVX2") and features.get("FMA3"))


def _load() -> tuple[ModuleType | None, str]:
    requested = os.environ.get("MINIMETA_ISA", "")
    if requested not in {"", "native", "reference"}:
        raise ImportError(
            f"MINIMETA_ISA={requested!r} is not known; leave it unset, or set it to 'reference' for numpy"
        )
    if requested == "reference":
        return None, "reference"
    if not _processor_is_able():
        warnings.warn(
            "minimeta: this processor has no AVX2 and FMA; every operation is computed by its numpy reference",
            RuntimeWarning,
            stacklevel=2,
        )
        return None, "reference"
    try:
        # Not `from minimeta import _native`, whose error would be a circular import's.
        import minimeta._native as extension  # noqa: PLC0415 (its absence is explained below)
    except ModuleNotFoundError as error:
        raise ImportError(
            "minimeta's C++ kernels are not built: this is the source tree without its extension. Run\n"
            "    pip install -e .\n"
            "in the folder that holds pyproject.toml (it needs a C++17 compiler and Python's headers), or set "
            "MINIMETA_ISA=reference to compute with numpy alone."
        ) from error
    return extension, "native"


native, level = _load()
