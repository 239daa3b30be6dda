"""Write the pages of the site, as Markdown for Sphinx, into a folder.

The folder has the layout of this repository, so links between pages stay as they are.
"""

import os
import re
import shutil
import tomllib
from collections.abc import Mapping
from pathlib import Path

from job_runners.places import CODE
from tools.site import commands, http_api, python_api

_SECTIONS = Path(__file__).with_name("sections.toml")
_CONFIG = Path(__file__).with_name("sphinx_conf.py")
_TEMPLATES = Path(__file__).with_name("templates")
_STATIC = Path(__file__).with_name("static")
_FRONT = "docs/index.md"  # becomes the site's front page, index.md
_PICTURES = "docs/pictures"
# A page with this line gets the generated part in its place.
_GENERATED = {
    "<!-- generated: python -->": python_api.page,
    "<!-- generated: commands -->": commands.page,
    "<!-- generated: http -->": http_api.page,
}
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s:#]+)(#[^)\s]*)?\)")

_LINK_OR_PICTURE = re.compile(r"(!?\[[^\]]*\])\(([^)\s:#]+)(#[^)\s]*)?\)")
# What GitHub shows as a callout.
_CALLOUT = re.compile(r"^> \[!(NOTE|TIP|IMPORTANT|WARNING|CAUTION)\]\n((?:>.*\n?)+)", re.MULTILINE)

_ABOUT = {name: each["about"] for name, each in tomllib.loads(_SECTIONS.read_text()).items()}

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
    groups = "\n".join(f"{name} <{name.lower()}>" for name in found)
    _save(folder / "index.md", f"{_at_top(front)}\n```{{toctree}}\n:hidden:\n\n{groups}\n```\n")
    for name, listed in found.items():
        _save(folder / f"{name.lower()}.md", _group_page(name, listed))
    shutil.copytree(CODE / _PICTURES, folder / _PICTURES)
    shutil.copy(_CONFIG, folder / "conf.py")
    shutil.copytree(_TEMPLATES, folder / "templates")
    shutil.copytree(_STATIC, folder / "static")
    return found


def title(page: str) -> str:
    """Return the title of a page."""
    (first, *_) = re.findall(r"^# (.*)$", (CODE / page).read_text(), re.MULTILINE)
    return str(first)


def _group_page(name: str, listed: list[str]) -> str:
    """Return the page of a section, which the sidebar unfolds: a list of its pages."""
    links = "\n".join(f"- [{title(page)}]({page})" for page in listed)
    pages = "\n".join(listed)
    return f"# {name}\n\n{_ABOUT[name]}\n\n{links}\n\n```{{toctree}}\n:hidden:\n\n{pages}\n```\n"


def _at_top(front: str) -> str:
    """Return the front page with its links as seen from the folder above."""
    return _LINK_OR_PICTURE.sub(
        lambda link: f"{link[1]}({os.path.normpath(Path('docs') / link[2])}{link[3] or ''})", front
    )


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
    text = _CALLOUT.sub(_callout, text)
    here = Path(page).parent

    def target(link: re.Match[str]) -> str:
        label, path, anchor = link[1], link[2], link[3] or ""
        leads_to = os.path.normpath(here / path)
        if leads_to in (_FRONT, "README.md"):
            return f"[{label}]({os.path.relpath('index.md', here)}{anchor})"
        if leads_to in pages:
            return link[0]
        return f"[{label}]({repository}/blob/main/{leads_to})" if repository else label

    return _LINK.sub(target, text)


def _callout(found: re.Match[str]) -> str:
    text = re.sub(r"^> ?", "", found[2], flags=re.MULTILINE).strip()
    return f":::{{{found[1].lower()}}}\n{text}\n:::\n"
