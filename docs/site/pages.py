"""What pages have on the site and not on a code host: a table of contents, and live figures that open."""

import shutil
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import download_reference, pending_xref
from sphinx.application import Sphinx

ROOT = Path(__file__).parent.parent.parent
CONTENTS = {
    "The book": ["docs/book/README", "docs/book/notation", "docs/book/*"],
    "Guides": ["docs/overview", "docs/*"],
    "Reference": ["docs/site/reference/minimeta", "docs/site/reference/operations", "docs/site/reference/*"],
    "The project": ["CONTRIBUTING", "CHANGELOG"],
}
FRONT = '<!doctype html><title>minimeta</title><meta http-equiv="refresh" content="0; url=README.html">'


def add_contents(app: Sphinx, docname: str, source: list[str]) -> None:
    """Add the table of contents to the first page, and nothing to others; solutions are reached from chapters."""
    if docname == app.config.root_doc:
        for caption, entries in CONTENTS.items():
            source[0] += "\n\n".join(
                ["\n\n```{toctree}\n:hidden:\n:glob:\n:caption: " + caption, "\n".join(entries), "```"]
            )
    elif docname.startswith("docs/book/solutions/"):
        source[0] = f"---\norphan: true\n---\n{source[0]}"


def mend_links(app: Sphinx, doctree: nodes.document) -> None:
    """Let links to live figures open them, and leave the text alone of links to what the site lacks.

    Sphinx would offer the figures as downloads. That what is linked exists in the repository is a
    matter of the tests.
    """
    for link in list(doctree.findall(download_reference)):
        if link["reftarget"].endswith(".html"):
            link.replace_self(nodes.reference("", "", *link.children, refuri=link["reftarget"], internal=True))
    for link in list(doctree.findall(pending_xref)):
        folder = Path(app.env.doc2path(app.env.docname)).parent / link["reftarget"]
        missing = link.get("refdomain") == "doc" and link["reftarget"] not in app.env.found_docs
        if link["reftype"] == "myst" and (missing or folder.is_dir()):
            link.replace_self(link.children)


def copy_live_figures(app: Sphinx, error: Exception | None) -> None:
    """Copy the live figures to where the links lead, and let the folder open with the first page."""
    if error is None and app.builder.format == "html":
        for page in (ROOT / "docs").rglob("*.html"):
            copy = Path(app.outdir) / page.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(page, copy)
        (Path(app.outdir) / "index.html").write_text(FRONT, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the above."""
    app.connect("source-read", add_contents)
    app.connect("doctree-read", mend_links)
    app.connect("build-finished", copy_live_figures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
