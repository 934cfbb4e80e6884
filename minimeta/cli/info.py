"""``minimeta info``: what is installed, and which data is found."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minimeta import __version__, kernels
from minimeta.cli.options import JsonOption
from minimeta.errors import MissingDataError
from minimeta.files import data_folder
from minimeta.tasks import omniglot

EXTRAS = {"cli": ("tyro", "rich"), "data": ("pooch", "pillow"), "plot": ("matplotlib",)}


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
    report = {
        "minimeta": __version__,
        "kernels": kernels.level,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "extras": {extra: {package: _installed(package) for package in packages} for extra, packages in EXTRAS.items()},
        "data_folder": str(data_folder(options.data)),
        "data": data,
    }
    if options.json:
        print(json.dumps(report))
        return 0
    print(f"minimeta {report['minimeta']}, kernels {report['kernels']}")
    print(f"Python {report['python']}, numpy {report['numpy']}")
    for extra, packages in EXTRAS.items():
        versions = {package: _installed(package) for package in packages}
        absent = None in versions.values()
        listed = ", ".join(f"{package} {found or 'missing'}" for package, found in versions.items())
        print(f"extra {extra}: {listed}" + (f" (pip install 'minimeta[{extra}]')" if absent else ""))
    print(f"data folder: {report['data_folder']}")
    for name, paths in data.items():
        print(f"data {name}: {', '.join(paths)}")
    print("data strokes: needs no files" + (f"\n{missing}" if missing else ""))
    return 0


def _installed(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
