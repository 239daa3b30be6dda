"""The pages for whoever maintains this: they are whole, and what they name is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DECISIONS = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_a_decision_says_what_was_given_up_on_half_a_page(page: Path) -> None:
    text = page.read_text()
    said = re.findall(r"^\*\*([A-Z][a-z ]+)\.\*\*", text, re.MULTILINE)
    assert said[:3] == ["Context", "Decision", "What was given up"]
    assert len(text.split()) < 350


def test_every_decision_is_listed_under_its_own_title() -> None:
    listed = re.findall(
        r"^\d+\. \[(.+)\]\((.+)\)$", (ROOT / "docs/decisions/README.md").read_text(), re.MULTILINE
    )
    titles = [page.read_text().splitlines()[0].removeprefix("# ") for page in DECISIONS]
    assert listed == list(zip(titles, [page.name for page in DECISIONS], strict=True))


def test_the_glossary_gives_each_word_one_sentence_once() -> None:
    page = (ROOT / "docs/glossary.md").read_text()
    rows = re.findall(r"^\| (.+?) \| (.+) \|$", page, re.MULTILINE)
    words = [word for word, _ in rows if word != "word"]
    assert len(set(words)) == len(words) > 50
    for word, meaning in rows:
        if word != "word":
            assert re.fullmatch(r"[^.]+(\.\d[^.]*)*\.", re.sub(r"`[^`]+`", "x", meaning)), word


def test_the_names_in_the_glossary_are_in_the_code() -> None:
    named = re.findall(r"`(\w+)`", (ROOT / "docs/glossary.md").read_text())
    code = "\n".join(path.read_text() for path in ROOT.glob("[a-z]*/*.py"))
    assert [name for name in named if not re.search(rf"\b{name}\b", code)] == []
