"""Write the index of the site's search, with Pagefind."""

import re
import subprocess
from pathlib import Path

# Results lead to a section only if its heading has the id, and Sphinx gives the id to the section.
_SECTION = re.compile(r'<section id="([^"]+)">(\s*(?:<span[^>]*></span>\s*)*)<(h[1-6])>')
_NO_RESULTS = {"search.html", "genindex.html"}
# Pages for those who change Job Runners. They come after those for its users.
_FOR_CONTRIBUTORS = re.compile(
    r"CHANGELOG|CONTRIBUTING|tests/|model/|docs/(architecture|benchmarks|contributing|decisions)"
)


def index(site: Path, folder: Path, python: Path) -> int:
    """Index the pages of a site, and return Pagefind's exit code.

    `folder` gets copies of the pages as Pagefind reads them. `python` has Pagefind installed.
    """
    for page in site.rglob("*.html"):
        name = page.relative_to(site).as_posix()
        if name not in _NO_RESULTS:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(_as_read(page.read_text(), name))
    options = ["--quiet", "--keep-index-url", "--root-selector", "article"]
    options += ["--exclude-selectors", ".headerlink", "--output-path", str(site / "pagefind")]
    done = subprocess.run([python, "-m", "pagefind", "--site", folder, *options], check=False)
    return done.returncode


def _as_read(html: str, name: str) -> str:
    html = _SECTION.sub(r'<section>\2<\3 id="\1">', html)
    weight = "0.3" if _FOR_CONTRIBUTORS.match(name) else "1"
    return html.replace("<article ", f'<article data-pagefind-weight="{weight}" ', 1)
