"""A new Python process, for events that happen once in a process: imports, warnings, forks."""

import os
import subprocess
import sys
from pathlib import Path

import minimeta

PACKAGE = Path(minimeta.__file__).parent


def run(program: str, folder: Path = PACKAGE.parent, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program with warnings as errors, and without variables that choose kernels except those given."""
    chosen = ("CI", "MINIMETA_ISA", "OMP_NUM_THREADS")
    inherited = {name: value for name, value in os.environ.items() if name not in chosen}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=folder,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
