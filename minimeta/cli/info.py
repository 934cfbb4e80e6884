"""``minimeta info``: what is installed, and which data is found."""

from __future__ import annotations

import importlib.metadata
import platform
import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minimeta import __version__, kernels
from minimeta.cli.options import JsonOption
from minimeta.errors import MissingDataError
from minimeta.files import data_folder
from minimeta.tasks import omniglot

EXTRAS = {
    "cli": ("tyro", "rich"),
    "data": ("pooch", "pillow"),
    "plot": ("matplotlib",),
    "sklearn": ("scikit-learn",),
    "scipy": ("scipy",),
    "safetensors": ("safetensors",),
    "rl": ("gymnasium", "mujoco"),
    "notebook": ("ipykernel", "nbclient"),
    "dask": ("distributed",),
    "mpi": ("mpi4py",),
}


@dataclass(frozen=True)
class InfoOptions(JsonOption):
    """Report what is installed and which data is found."""

    data: Path | None = None
    """Folder of the data (default: $MINIMETA_DATA, or the user's cache)."""


def info(options: InfoOptions) -> int:
    """Print a report of the installation."""
    try:
        data, missing = {"omniglot": [str(path) for path in omniglot.find(options.data)]}, ""
    except MissingDataError as error:
        data, missing = {}, str(error)
    extras = {extra: {package: _installed(package) for package in packages} for extra, packages in EXTRAS.items()}
    report = {
        "minimeta": __version__,
        "kernels": kernels.level,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "extras": extras,
        "data_folder": str(data_folder(options.data)),
        "data": data,
    }
    text = [f"minimeta {__version__}, kernels {kernels.level}", f"Python {report['python']}, numpy {np.__version__}"]
    for extra, versions in extras.items():
        listed = ", ".join(f"{package} {found or 'missing'}" for package, found in versions.items())
        remedy = f" (pip install 'minimeta[{extra}]')" if None in versions.values() else ""
        text.append(_filled(f"extra {extra}: {listed}{remedy}"))
    text.append(f"data folder: {report['data_folder']}")
    text += [f"data {name}: {', '.join(paths)}" for name, paths in data.items()]
    text += ["data strokes: needs no files", *map(_filled, missing.splitlines())]
    return options.answer(report, lambda: "\n".join(text))


def _filled(line: str) -> str:
    return line if len(line) <= 80 else textwrap.fill(line, 80, break_long_words=False, break_on_hyphens=False)


def _installed(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
