"""The reference is made of the docstrings.

``.. operations::`` documents every operation, in a section for each page of them. An indented block
in the prose of a docstring is a formula or an example, and is shown as it is.
"""

from importlib import import_module
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import nested_parse_with_titles

from minimeta.autodiff.operations import PUBLIC


class Operations(SphinxDirective):  # type: ignore[misc]
    """Expand into sections of ``autofunction``."""

    def run(self) -> list[nodes.Node]:
        """Return the sections."""
        lines = []
        for page, names in PUBLIC.items():
            title = page.replace("_", " ").capitalize()
            first, *_ = (import_module(f"minimeta.autodiff.operations.{page}").__doc__ or "").split("\n\n")
            lines += ["", title, "-" * len(title), "", *first.splitlines(), "", ".. currentmodule:: minimeta", ""]
            lines += [f".. autofunction:: {name}" for name in names.split()]
        container = nodes.Element()
        nested_parse_with_titles(self.state, StringList(lines, "minimeta/autodiff/operations"), container)
        return list(container.children)


def show_indented_blocks(app: Any, what: str, name: str, found: Any, options: Any, lines: list[str]) -> None:
    """Mark the indented blocks of a docstring as code, up to its sections."""
    prose = next((i - 1 for i, line in enumerate(lines) if line and not line.strip("-")), len(lines))
    marked: list[str] = []
    before, last = "", ""  # the line before this one, and the last that was not empty
    for line in lines[:prose]:
        if line.startswith("    ") and not before and not last.startswith((" ", "- ", "..")) and last[-2:] != "::":
            marked += [".. code-block:: " + ("pycon" if ">>>" in line else "text"), ""]
        marked.append(line)
        before, last = line, line or last
    lines[:prose] = marked


def skip_fields(app: Any, what: str, name: str, found: Any, skip: bool, options: Any) -> bool | None:
    """Leave out the fields of named tuples, which the docstrings of their classes list."""
    return True if (getattr(found, "__doc__", None) or "").startswith("Alias for field number") else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("operations", Operations)
    app.connect("autodoc-skip-member", skip_fields)
    app.connect("autodoc-process-docstring", show_indented_blocks, priority=100)  # before napoleon
    return {"parallel_read_safe": True, "parallel_write_safe": True}
