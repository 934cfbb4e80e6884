"""``minimeta data``: get a data set once, so that it is there ever after. Nothing else downloads anything."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from minimeta.tasks import omniglot
from minimeta.tasks.omniglot_archives import OFFICIAL

if TYPE_CHECKING:
    from minimeta.cli.arguments import DataOptions


def data_omniglot(options: DataOptions) -> int:
    """Make sure that Omniglot is there, say where, and return the exit code.

    Raises
    ------
    MinimetaError
        Files are missing or not what they should be, a download fails, the extra ``data`` is not installed.
    """
    path = omniglot.fetch(options.data, options.source)
    if options.json:
        print(json.dumps({"status": "complete", "omniglot": str(path)}))
    else:
        print(f"Omniglot, {OFFICIAL.characters} characters by 20 people, 28 x 28, is in {path}")
    return 0
