"""The configuration of Sphinx. A build copies it next to the pages."""

import os

project = "Job Runners"
release = os.environ["SITE_VERSION"]
html_title = f"Job Runners {release}"  # in the title and the sidebar of each page
extensions = ["myst_parser", "sphinx_copybutton", "sphinx_design"]
exclude_patterns: list[str] = []
source_suffix = {".md": "markdown"}
myst_enable_extensions = ["colon_fence"]
myst_html_meta = {
    "description lang=en": "Background jobs on AWS Lambda in Python, without a broker or servers."
}
myst_heading_anchors = 4
suppress_warnings = ["misc.highlighting_failure"]  # JSON with an ellipsis isn't JSON
html_theme = "furo"
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#1f5f99", "color-brand-content": "#1f5f99"},
    "dark_css_variables": {"color-brand-primary": "#7ab5ea", "color-brand-content": "#7ab5ea"},
    "navigation_with_keys": True,
}
html_static_path = ["static"]
html_css_files = ["site.css"]
html_logo = html_favicon = "static/icon.svg"
templates_path = ["templates"]
html_copy_source = True
html_show_sphinx = False
html_show_copyright = False
pygments_style = "default"
