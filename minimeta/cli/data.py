"""``minimeta data``: get a data set once, or split one's own once, so that it is there ever after.

Nothing else downloads anything.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from minimeta.tasks import image_splits, omniglot
from minimeta.tasks.image_lists import LISTS
from minimeta.tasks.omniglot_archives import OFFICIAL

if TYPE_CHECKING:
    from minimeta.cli.arguments import DataOptions, SplitOptions


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


def data_split(options: SplitOptions) -> int:
    """Write lists that split images of one's own, say which, and return the exit code.

    Raises
    ------
    MinimetaError
        There are no images, too few classes, or other lists.
    """
    folder, classes, copies = image_splits.write_lists(
        options.source, options.fractions, seed=options.seed, ways=options.ways
    )
    if options.json:
        report = {"status": "complete", "folder": str(folder), **classes._asdict(), "copies": list(map(str, copies))}
        print(json.dumps(report))
        return 0
    counts = ", ".join(f"{len(names)} for {part}" for part, names in classes._asdict().items())
    print(f"{sum(map(len, classes))} classes: {counts}, in {', '.join(LISTS)} in {folder}")
    if copies:
        print(f"left off, since they are copies of other files of their class: {', '.join(map(str, copies))}")
    return 0
