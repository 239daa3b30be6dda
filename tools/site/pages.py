"""Write the pages of the site, as Markdown for Sphinx, into a folder.

The folder has the layout of this repository, so links between pages stay as they are.
"""

import os
import re
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from job_runners.places import CODE
from tools.site import commands, http_api, python_api

_SECTIONS = Path(__file__).with_name("sections.toml")
_CONFIG = Path(__file__).with_name("sphinx_conf.py")
_TEMPLATES = Path(__file__).with_name("templates")
_FRONT = "README.md"  # becomes the site's front page, index.md
# A page with this line gets the generated part in its place.
_GENERATED = {
    "<!-- generated: python -->": python_api.page,
    "<!-- generated: commands -->": commands.page,
    "<!-- generated: http -->": http_api.page,
}
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s:#]+)(#[^)\s]*)?\)")

Sections = Mapping[str, list[str]]


def sections() -> Sections:
    """Return the pages of each section. A page belongs to the first pattern that fits it."""
    listed = tomllib.loads(_SECTIONS.read_text())
    taken: set[str] = set()
    found = {}
    exact = {each for section in listed.values() for each in section["pages"] if "*" not in each}
    for name, section in listed.items():
        pages = []
        for pattern in section["pages"]:
            paths = sorted(path.relative_to(CODE).as_posix() for path in CODE.glob(pattern))
            new = [
                path
                for path in paths
                if path not in taken and (path == pattern or path not in exact)
            ]
            taken.update(new)
            pages += new
        found[name] = pages
    return found


def write(folder: Path, repository: str | None = None) -> Sections:
    """Write all pages and the configuration. Links to code lead to the repository, if known."""
    shutil.rmtree(folder, ignore_errors=True)
    found = sections()
    pages = {each for listed in found.values() for each in listed}
    for page in pages:
        text = _with_generated((CODE / page).read_text()) + _files(CODE / page)
        _save(folder / page, _for_sphinx(text, page, pages, repository))
    front = _for_sphinx((CODE / _FRONT).read_text(), _FRONT, pages, repository)
    _save(folder / "index.md", front + "".join(_toctrees(found)))
    for picture in (*(CODE / "docs").glob("*.png"), *(CODE / "docs").glob("*.svg")):
        shutil.copy(picture, folder / "docs")
    shutil.copy(_CONFIG, folder / "conf.py")
    shutil.copytree(_TEMPLATES, folder / "templates")
    return found


def _save(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _with_generated(text: str) -> str:
    for mark, page in _GENERATED.items():
        if mark in text:
            text = text.partition(mark)[0] + page()
    return text


def _files(page: Path) -> str:
    """Return the files next to an example's README, which only GitHub shows."""
    if page.parent.parent.name != "examples":
        return ""
    kinds = {".py": "python", ".yaml": "yaml", ".toml": "toml", ".txt": "text"}
    return "".join(
        f"\n## {file.name}\n\n```{kinds[file.suffix]}\n{file.read_text()}```\n"
        for file in sorted(page.parent.iterdir())
        if file.suffix in kinds
    )


def _for_sphinx(text: str, page: str, pages: set[str], repository: str | None) -> str:
    """Return a page without what only GitHub shows: links to code, and names of languages."""
    text = text.replace("```http\n", "```text\n").replace("```py\n", "```python\n")
    here = Path(page).parent

    def target(link: re.Match[str]) -> str:
        label, path, anchor = link[1], link[2], link[3] or ""
        leads_to = os.path.normpath(here / path)
        if leads_to == _FRONT:
            return f"[{label}]({os.path.relpath('index.md', here)}{anchor})"
        if leads_to in pages:
            return link[0]
        return f"[{label}]({repository}/blob/main/{leads_to})" if repository else label

    return _LINK.sub(target, text)


def _toctrees(found: Sections) -> Iterator[str]:
    for name, pages in found.items():
        listed = "\n".join(pages)
        yield f"\n```{{toctree}}\n:hidden:\n:caption: {name}\n\n{listed}\n```\n"
