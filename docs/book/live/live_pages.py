"""The live figures: pages of HTML that compute what they show, by programs printed as JavaScript.

    python docs/book/live/live_pages.py [sinusoid ...]

Each page is made by a file ``NAME_page.py``, which has a function ``page``, and a script ``NAME.js``.
The programs are traced from functions of numpy and minimeta and run in the reader's browser. There
is no server, and nothing is loaded: a page is one file. Without its script it has a picture.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from minimeta.explanation.walkthrough import page, without_folders
from minimeta.files import write_atomically
from minimeta.program import Traced
from minimeta.program.printing import javascript_source

HERE = Path(__file__).parent
if __name__ == "__main__":
    sys.path.append(str(HERE.parent / "figures"))  # The tests, too, name both folders.

NAMES = ("sinusoid", "quadratic", "differences", "walk")


def live(name: str, title: str, body: str, programs: Mapping[str, Traced], data: Any) -> str:
    """Return a page: what all of them share, its own script, programs and data.

    Parameters
    ----------
    name
        Of the page's script.
    title, body
        The heading, and the HTML below it.
    programs
        What the script finds in ``programs``, by name.
    data
        What it finds in ``data``; representable in JSON.
    """
    table = ", ".join(programs)
    script = [
        without_folders(javascript_source(programs)),
        f"const programs = {{ {table} }};",
        f"const data = {json.dumps(data)};",
        (HERE / "live.js").read_text("utf-8"),
        (HERE / f"{name}.js").read_text("utf-8"),
    ]

    style = (HERE / "live.css").read_text("utf-8")
    return page(title, f"<h1>{title}</h1>\n{body}", style, "\n".join(script))


def slider(name: str, said: str, low: float, high: float, step: float, value: float) -> str:
    """Return a slider with its name, which shows its number."""
    return (
        f'<label><span>{said}</span><input type="range" name="{name}" min="{low}" max="{high}" step="{step}" '
        f'value="{value}"><output data-number="{name}"></output></label>'
    )


def choice(name: str, said: str, options: Mapping[str, str]) -> str:
    """Return a list to choose from."""
    items = "".join(f'<option value="{key}">{text}</option>' for key, text in options.items())
    return f'<label><span>{said}</span><select name="{name}">{items}</select></label>'


def numbers(rows: Sequence[tuple[str, str]]) -> str:
    """Return a table of numbers: what each is, and its name."""
    cells = "".join(f'<tr><th>{said}</th><td><output data-number="{name}"></output></td></tr>' for said, name in rows)
    return f"<table>{cells}</table>"


def picture(figure: Figure, said: str) -> str:
    """Return a figure for those whose browser runs no script."""
    style = importlib.import_module("style")
    with tempfile.TemporaryDirectory() as folder:
        style.save(figure, Path(folder) / "figure.svg")
        text = (Path(folder) / "figure.svg").read_text("utf-8")
    return still(text[text.index("<svg") :], said)


def still(svg: str, said: str) -> str:
    """Return a drawing for those whose browser runs no script."""
    return f"<noscript>\n<figure>{svg}<figcaption>{said}</figcaption></figure>\n</noscript>"


def made(name: str) -> str:
    """Return a page by its name."""
    make: Callable[[], str] = importlib.import_module(f"{name}_page").page
    return make()


if __name__ == "__main__":
    for each in sys.argv[1:] or NAMES:
        write_atomically(HERE / f"{each}.html", made(each))
        print(f"{each}.html")
