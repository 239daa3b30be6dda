"""Write the index of the site's search, with Pagefind. Each section is an entry of its own."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

_ARTICLE = re.compile(r"<article [^>]*>(.*)</article>", re.DOTALL)
_SECTION = re.compile(r'<section id="([^"]+)">')
_HEADING = re.compile(r"<(h[1-6])>(.*?)<a class=\"headerlink.*?</\1>", re.DOTALL)
_TAG = re.compile(r"<[^>]+>")
_NOT_SEARCHED = {"CHANGELOG.html", "genindex.html"}
# A guide comes before a concept, and that before the reference. Pages for those who change Job
# Runners come last.
_WEIGHTS = {"docs/build": 1.3, "docs/recipes": 1.2, "docs/integrate": 1.2, "docs/operate": 1.2}
_WEIGHTS |= {"docs/start": 1.1, "docs/migrate": 0.9, "docs/reference": 0.8}
_FOR_CONTRIBUTORS = re.compile(
    r"CONTRIBUTING|SECURITY|tests/|model/|requirements/|docs/contributing"
)


def index(site: Path, folder: Path, python: Path) -> int:
    """Index the sections of a site, and return Pagefind's exit code.

    `folder` gets a page for each section. `python` has Pagefind installed.
    """
    for page in site.rglob("*.html"):
        name = page.relative_to(site).as_posix()
        if name in _NOT_SEARCHED:
            continue
        entries = folder / name.removesuffix(".html")
        entries.mkdir(parents=True, exist_ok=True)
        for anchor, entry in _entries(page.read_text(), name):
            (entries / f"{anchor}.html").write_text(entry)
    shutil.copy(Path(__file__).with_name("search.js"), site)
    options = ["--quiet", "--site", str(folder), "--output-path", str(site / "pagefind")]
    return subprocess.run([python, "-m", "pagefind", *options], check=False).returncode


def _entries(html: str, name: str) -> Iterator[tuple[str, str]]:
    """Yield the anchor of each section of a page, and the page that Pagefind reads for it."""
    article = _ARTICLE.search(html)
    _, *parts = _SECTION.split(article[1]) if article else [""]
    weight, audience = _WEIGHTS.get(name.rpartition("/")[0], 0.7), ""
    if _FOR_CONTRIBUTORS.match(name):
        weight, audience = 0.3, "contributors"
    page = ""
    for anchor, part in zip(parts[::2], parts[1::2], strict=True):
        heading = _HEADING.search(part)
        title = _TAG.sub("", heading[2]) if heading else anchor
        text = part[heading.end() :] if heading else part
        of_page = f'<p data-pagefind-weight="{2 * weight}" data-pagefind-meta="page">{page}</p>'
        yield (
            anchor,
            f'<html lang="en"><body data-pagefind-body data-pagefind-weight="{weight}">'
            f'<h1 data-pagefind-weight="{7 * weight}">{title}</h1>'
            f"{of_page if page else ''}"
            f'<a data-pagefind-meta="audience[href]" href="{audience}"></a>'
            f'<a data-pagefind-meta="url[href]" href="{name}#{anchor}"></a>{text}</body></html>',
        )
        page = page or title
