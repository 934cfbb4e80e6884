"""The compiled kernels for this processor, or the reason why there are none.

The extension is built from ``csrc/`` for one *level* or several. A level is an instruction set: ``v3``
(x86-64-v3: AVX2 and FMA, every x86 processor since about 2015), ``v4`` (x86-64-v4: AVX-512), or
``arm64``. Levels differ in the width of their vectors, and no operation acts across lanes, so all
give the same bits (except for the sign and payload of a NaN, which C++ leaves open). ``native`` is
the best level that was built and that this processor runs, and ``level`` is its name;
``MINIMETA_ISA=v3`` asks for one by name.

If there is none, ``native`` is ``None``, ``level`` is ``reference``, and the numpy references
compute every operation: more slowly, with results that are equal up to rounding. Importing minimeta
then warns, or fails if ``CI`` is set so that tests do not silently run without kernels.
``MINIMETA_ISA=reference`` asks for the references without a warning.
"""

import importlib.util
import os
import platform
import warnings
from types import ModuleType

_V3 = ("AVX2", "FMA3")
_X86 = {"v4": (*_V3, "AVX512F", "AVX512CD", "AVX512BW", "AVX512DQ", "AVX512VL"), "v3": _V3}
_ARM: dict[str, tuple[str, ...]] = {"arm64": ()}

#: This machine's levels, the best first, and the processor features that each needs, by numpy's
#: names.
LEVELS = {"x86_64": _X86, "amd64": _X86, "arm64": _ARM, "aarch64": _ARM}.get(platform.machine().lower(), {})

HOW_TO_BUILD = (
    "Run\n"
    "    pip install -e .\n"
    "in the folder that holds pyproject.toml (it needs a C++17 compiler and Python's headers)"
)


def lacking(level: str) -> list[str]:
    """Return the features of a level that this processor lacks."""
    from numpy._core._multiarray_umath import (  # type: ignore[import-not-found]  # noqa: PLC0415 (only read here)
        __cpu_features__ as features,
    )

    return [feature for feature in LEVELS[level] if not features.get(feature)]


def able() -> list[str]:
    """Return the levels that this processor runs, the best first."""
    return [level for level in LEVELS if not lacking(level)]


def built() -> list[str]:
    """Return the levels that this processor runs and that were built, the best first."""
    return [level for level in able() if importlib.util.find_spec(f"minimeta._native_{level}")]


def load(level: str) -> ModuleType | None:
    """Return the extension of a level, or ``None`` if it was not built."""
    name = f"minimeta._native_{level}"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return None


def _choose() -> tuple[ModuleType | None, str]:
    requested = os.environ.get("MINIMETA_ISA", "")
    if requested == "reference":
        return None, "reference"
    if requested:
        return _requested(requested), requested
    for level in able():
        if native := load(level):
            return native, level

    problem = (
        f"minimeta's C++ kernels are not built: there is no {' or '.join(f'_native_{each}' for each in able())} "
        f"next to {__file__}. {HOW_TO_BUILD}"
        if able()
        else "minimeta has no C++ kernels for this processor: they need AVX2 and FMA, or arm64"
    )
    if os.environ.get("CI"):
        raise ImportError(f"{problem}. With CI set, computing in numpy must be requested: MINIMETA_ISA=reference")
    warnings.warn(
        f"{problem}. Until then numpy computes everything, more slowly; set MINIMETA_ISA=reference to choose that",
        RuntimeWarning,
        stacklevel=2,
    )
    return None, "reference"


def _requested(level: str) -> ModuleType:
    if level not in LEVELS:
        raise ImportError(
            f"MINIMETA_ISA={level!r} is unknown on this machine; leave it unset for the best level, or "
            f"set it to {', '.join([*LEVELS, 'reference'])}"
        )
    if missing := lacking(level):
        raise ImportError(f"MINIMETA_ISA={level!r}: this processor cannot run it, it lacks {', '.join(missing)}")
    native = load(level)
    if native is None:
        levels = f"{HOW_TO_BUILD}; with several levels, CMAKE_ARGS='-DMINIMETA_LEVELS={';'.join(LEVELS)}' before it"
        raise ImportError(f"MINIMETA_ISA={level!r}: minimeta's C++ kernels are not built for it. {levels}")
    return native


native, level = _choose()
