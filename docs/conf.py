"""Sphinx: `sphinx-build -W -b html docs docs/_build/html`. Needs no network, and the pages load nothing from one."""

from __future__ import annotations

import os
from pathlib import Path

import ndzarr

project = "ndzarr"
author = "ndzarr developers"
copyright = "ndzarr developers"
version = release = ndzarr.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc"]
exclude_patterns = ["_build", "_templates", "changes/[0-9]*"]

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

# Every code cell runs in every build; a cell that raises fails it.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_in_temp = True
nb_execution_timeout = 120
nb_merge_streams = True
# Cells run in a directory of their own; two pages import what they show.
os.environ["NDZARR_EXAMPLES"] = str(Path(__file__).parent / "examples")

autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
python_maximum_signature_line_length = 100
default_role = "literal"  # docstrings write code as Markdown does
smartquotes = False  # nor curly quotes around what is typed

html_theme = "pydata_sphinx_theme"
html_title = "ndzarr"
html_theme_options = {
    "navbar_center": [],  # the sidebar lists the pages, by groups
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
templates_path = ["_templates"]
html_static_path = ["_static"]
html_css_files = ["look.css"]
html_sidebars = {"**": ["pages"]}
html_show_sourcelink = False
