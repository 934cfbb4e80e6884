"""The site: how Sphinx makes it of the pages in docs/, of the docstrings and of the source.

    nox -s site

writes ``build/site``; ``sphinx-build -W -c docs/site . build/site`` is the bare command. The folder
of the sources is the repository, so that links which work on a code host work on the site.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(Path(__file__).parent), str(ROOT)]

project = "minimeta"
author = "The minimeta authors"
copyright = author
root_doc = "README"
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "mathematics",
    "notebooks",
    "pages",
    "reference",
    "source_pages",
]
include_patterns = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/*.md",
    "docs/book/*.md",
    "docs/book/solutions/*.md",
    "docs/book/figures/*.py",
    "docs/site/**.rst",
    "minimeta/**.py",
    "csrc/*.cpp",
    "csrc/*.hpp",
]
exclude_patterns = [
    *(".*", "build", "dist", "runs", "tests", "benchmarks", "findings", "**/__pycache__"),
    *(
        f"csrc/{header.name}" for header in (ROOT / "csrc").glob("*.hpp") if header.with_suffix(".cpp").exists()
    ),  # on one page
]

# Pages
myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = ["math"]
myst_disable_syntax = ["myst_line_comment", "myst_block_break", "myst_target"]  # A line may begin with %5.
myst_heading_anchors = 4
suppress_warnings = ["myst.header", "misc.highlighting_failure"]

# Docstrings
default_role = "literal"
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_default_options = {"members": True}
napoleon_google_docstring = False
napoleon_use_ivar = True

# What it looks like
html_theme = "furo"
html_title = "minimeta"
html_static_path = ["static"]
html_css_files = ["style.css"]
html_copy_source = False
html_show_sphinx = False
html_math_renderer = "mathml"
