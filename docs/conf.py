"""How Sphinx makes the site of these pages: ``make docs`` writes it to build/docs."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "newtond"
copyright = "the newtond authors, Apache-2.0"
html_title = "newtond"
extensions = ["myst_parser", "site_reference", "site_links"]
exclude_patterns = ["Thumbs.db"]
nitpicky = True
smartquotes = False  # primes are derivatives

myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # which levels a page has is its own affair
highlight_language = "none"

html_theme = "furo"
html_show_sphinx = False
html_copy_source = False
html_static_path = ["static"]
html_css_files = ["site.css"]
html_theme_options = {"light_css_variables": {"font-stack": "system-ui, sans-serif"}}
