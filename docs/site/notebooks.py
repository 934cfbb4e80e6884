"""Each page of the book as a Jupyter notebook, next to it on the site.

    python docs/site/notebooks.py build/site/docs/book/01-chain-rule.ipynb

runs one from top to bottom, and fails where it does.
"""

import base64
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

CHAPTERS = re.compile(r"docs/book/(solutions/)?[01]\d-[\w-]+")
LINK = '\n\n<p class="notebook"><a href="{name}.ipynb" download>This page as a Jupyter notebook</a></p>\n\n'


def notebook(page: Path) -> Any:
    """Return a page as a notebook: a cell for each Python block, and one for the text between two."""
    text = page.read_text(encoding="utf-8")
    text = re.sub(r"^```math\n(.*?)^```$", r"$$\n\1$$", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"(?<!!)\[([^]]+)\]\((?!https?:)[^)]+\)", r"\1", text)  # A notebook has no neighbours.
    cells = []
    for i, part in enumerate(re.split(r"^```python\n(.*?)\n```$", text, flags=re.MULTILINE | re.DOTALL)):
        if part.strip():
            cells.append(new_code_cell(part) if i % 2 else with_pictures(part.strip(), page.parent))
            cells[-1]["id"] = f"cell-{len(cells)}"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel})


def with_pictures(text: str, folder: Path) -> Any:
    """Return a cell of text that carries its pictures."""
    pictures = {}
    for path in re.findall(r"!\[[^]]*\]\(([^)]+)\)", text):
        content = base64.b64encode((folder / path).read_bytes()).decode()
        pictures[Path(path).name] = {"image/svg+xml" if path.endswith(".svg") else "image/png": content}
        text = text.replace(f"({path})", f"(attachment:{Path(path).name})")
    return new_markdown_cell(text, **({"attachments": pictures} if pictures else {}))


def add_link(app: Any, docname: str, source: list[str]) -> None:
    """Offer the notebook under the title of its page."""
    if CHAPTERS.fullmatch(docname):
        title, _, rest = source[0].partition("\n\n")
        source[0] = title + LINK.format(name=Path(docname).name) + rest


def write_notebooks(app: Any, error: Exception | None) -> None:
    """Write a notebook for each chapter and its solutions."""
    if error is None and app.builder.format == "html":
        for docname in filter(CHAPTERS.fullmatch, app.env.found_docs):
            nbformat.write(notebook(Path(app.env.doc2path(docname))), Path(app.outdir) / f"{docname}.ipynb")


def setup(app: Any) -> dict[str, bool]:
    """Connect the above."""
    app.connect("source-read", add_link)
    app.connect("build-finished", write_notebooks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


if __name__ == "__main__":
    from nbclient import NotebookClient

    for name in sys.argv[1:]:
        NotebookClient(nbformat.read(name, as_version=4), timeout=300).execute()
        print(f"{name} runs")
