"""Every link within the pages leads to a file, and to a heading of it."""

import re
from pathlib import Path

import pytest

from job_runners.places import ROOT

PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "*/README.md", "examples/*/README.md")
    for path in ROOT.glob(pattern)
    if not path.relative_to(ROOT).as_posix().startswith(".")  # a cache has a README
)


def _text(page: Path) -> str:
    return re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)


def _anchor(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading.replace("`", "").replace("*", ""))
    return re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")


def _anchors(page: Path) -> set[str]:
    return {_anchor(each) for each in re.findall(r"^#+ (.*)$", _text(page), re.MULTILINE)}


def _swallowed(text: str) -> list[str]:
    """Return the first line of each indented code block that is part of the list item above it."""
    return re.findall(r"^(?:[-*]|\d+\.) .*\n(?:(?!\n).+\n)*\n {4,}(\S.*)", text, re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_command_of_a_page_is_shown_as_prose(page: Path) -> None:
    assert _swallowed(_text(page)) == []


def test_a_code_block_right_after_a_list_is_found() -> None:
    assert _swallowed("- one\n- two,\n  in two lines\n\n    make\n    make it\n") == ["make"]
    assert _swallowed("- one\n\nRun it:\n\n    make\n") == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_each_link_of_a_page_leads_to_a_file_and_a_heading(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", _text(page)):
        path, _, anchor = link.partition("#")
        if ":" in path:
            continue
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.append(link)
    assert broken == []


def test_a_heading_with_code_and_punctuation_has_the_anchor_of_github() -> None:
    assert _anchor("What `job.step` can't do, and [why](why.md)") == "what-jobstep-cant-do-and-why"
