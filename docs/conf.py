"""Sphinx's configuration for the documentation: ``./dev docs`` builds it.

The source directory is the checkout, so that the links between ``docs`` and files such as CONTRIBUTING.md are the same
on the site as in the repository, and are checked. Every warning is an error there (``-W -n``).
"""

project = "ccvm-tui"
root_doc = "docs/index"
include_patterns = ["docs/*.md", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"]
exclude_patterns = [".*", "ccvm_tui", "tests", "bench", "reference", "tools"]

extensions = ["myst_parser"]
myst_heading_anchors = 4  # links to headings are written as for GitHub

smartquotes = False

html_theme = "furo"
html_title = "ccvm-tui"
html_extra_path = ["site"]  # index.html, which leads to the start page
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_use_index = False
