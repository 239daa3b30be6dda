"""The configuration of Sphinx. A build copies it next to the pages."""

import os

project = "Job Runners"
release = os.environ["SITE_VERSION"]
html_title = f"Job Runners {release}"  # in the title and the sidebar of each page
extensions = ["myst_parser"]
exclude_patterns: list[str] = []
source_suffix = {".md": "markdown"}
myst_heading_anchors = 4
suppress_warnings = ["misc.highlighting_failure"]  # JSON with an ellipsis isn't JSON
html_theme = "furo"
html_theme_options = {
    "light_css_variables": {"code-font-size": "0.75rem"}
}  # the README's lines fit
templates_path = ["templates"]
html_copy_source = True
html_show_sphinx = False
html_show_copyright = False
pygments_style = "default"
