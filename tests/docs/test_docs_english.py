"""The docs are written in sentences that a reader takes in at once: docs/contributing/style.md."""

import pytest

from job_runners.places import ROOT
from sentences import sentences, words

PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in (".", "docs", "docs/*", "examples/*", "model", "requirements", "tests")
    for path in ROOT.glob(f"{folder}/*.md")
    if path.name != "CHANGELOG.md"
)
LONGEST = 30  # words
LONG = 25


@pytest.mark.parametrize("page", PAGES)
def test_no_sentence_has_more_than_30_words(page: str) -> None:
    too_long = [each for each in sentences((ROOT / page).read_text()) if words(each) > LONGEST]
    assert too_long == []


def test_at_most_one_sentence_in_ten_has_more_than_25_words() -> None:
    counts = [words(each) for page in PAGES for each in sentences((ROOT / page).read_text())]
    in_prose = [count for count in counts if count > 4]  # less is a label, such as a cell has
    assert sum(count > LONG for count in in_prose) <= len(in_prose) / 10


def test_sentences_are_told_apart_and_their_words_counted() -> None:
    page = """# A heading of many words

First one, with `code of three words` here. [A link](https://example.com/a/b) ends it!

```sh
not a sentence. Nor this.
```

- An item
  in two lines
- Another

| promise | bound |
|---|---|
| never counted | left out |

| column | meaning |
|---|---|
| `a` | A cell. Another sentence. |
"""
    assert [(each, words(each)) for each in sentences(page)] == [
        ("First one, with `code of three words` here.", 5),
        ("[A link](https://example.com/a/b) ends it!", 4),
        ("An item in two lines", 5),
        ("Another", 1),
        ("`a`", 1),
        ("A cell.", 2),
        ("Another sentence.", 2),
    ]
