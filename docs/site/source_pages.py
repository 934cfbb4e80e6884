"""A page for each source file, with an anchor for each definition: links from the book end there.

A link to ``../../minimeta/autodiff/graph.py`` leads to the file on a code host, and to its page here.
Functions and classes of the reference link to their lines on the same pages.
"""

import inspect
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.parsers import Parser

ROOT = Path(__file__).parent.parent.parent
LANGUAGES = {".py": "python", ".cpp": "cpp", ".hpp": "cpp"}
DEFINITION = re.compile(r"^(?:@.*\n(?:(?: .*|\)|\]).*\n)*)*(?:def|class|(?=\w+(?:: [^=\n]+)? = )) ?(\w+)", re.MULTILINE)


class SourceParser(Parser):  # type: ignore[misc]
    """Show a file as it is, in one block for each definition."""

    supported = ("source",)

    def parse(self, inputstring: str, document: nodes.document) -> None:
        """Fill the document of a file; a header stands before its source."""
        path = Path(document["source"]).relative_to(ROOT)
        environment = document.settings.env
        environment.metadata[environment.docname].update({"orphan": True, "hide-toc": True})
        page = nodes.section("", nodes.title("", str(path)), ids=["file"], classes=["source"])
        if path.suffix == ".cpp" and (header := (ROOT / path).with_suffix(".hpp")).exists():
            page += blocks(header.read_text(encoding="utf-8"), "cpp")
        page += blocks(inputstring, LANGUAGES[path.suffix])
        document += page


def blocks(text: str, language: str) -> Iterator[nodes.literal_block]:
    """Yield a block of code for each definition of a file, with the definition's name as its anchor."""
    starts = {0: ""}
    if language == "python":
        starts |= {found.start(): found[1] for found in DEFINITION.finditer(text)}
    for (start, name), end in zip(starts.items(), [*list(starts)[1:], len(text)], strict=True):
        part = text[start:end]
        block = nodes.literal_block(part, part, language=language, linenos=True)
        block["highlight_args"] = {"linenostart": text.count("\n", 0, start) + 1}
        block["ids"] = [name] if name else []
        yield block


def linkcode_resolve(domain: str, info: dict[str, str]) -> str | None:
    """Return the address of a definition, from a page of the reference."""
    try:
        found: Any = inspect.unwrap(attrgetter(info["fullname"])(import_module(info["module"])))
        file, name = Path(sys.modules[found.__module__].__file__ or ""), found.__qualname__.partition(".")[0]
        page = "minimeta" / file.relative_to(ROOT / "minimeta").with_suffix("")
    except (AttributeError, KeyError, ValueError):  # no function or class, or none of the library's own
        return None
    return f"../../../{page}.html#{name}"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the parser and the links."""
    for suffix in LANGUAGES:
        app.add_source_suffix(suffix, "source")
    app.add_source_parser(SourceParser)
    app.setup_extension("sphinx.ext.linkcode")
    app.config.linkcode_resolve = linkcode_resolve
    return {"parallel_read_safe": True, "parallel_write_safe": True}
