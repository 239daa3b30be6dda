"""The check of retired words finds them, and only where they may not be."""

import pytest

from tools.retired_words import LIST, Word, found_in, words

RETIRED = [Word("frob", "tweak", ("kept/",)), Word("put off", "postponed", ())]


@pytest.mark.parametrize("text", ["a frob", "x = frob(1)", "it was put off", "# frob"])
def test_a_retired_word_is_found_with_what_to_say(text: str) -> None:
    (place,) = found_in("room/file.py", f"first line\n{text}\n", RETIRED)
    assert place.startswith("room/file.py:2: ")
    assert "say tweak" in place or "say postponed" in place


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("room/file.py", "frobs unfrob frob_it"),  # other words
        ("kept/file.py", "frob"),  # what is stored keeps its name
        ("CHANGELOG.md", "frob"),  # what was said of an earlier version
        ("app/acme/lists.py", "frob"),  # an organisation's own
    ],
)
def test_where_it_may_be_it_is_not_found(path: str, text: str) -> None:
    assert not list(found_in(path, text, RETIRED))


def test_each_word_of_the_list_has_something_to_say_instead() -> None:
    retired = words(LIST.read_text())
    assert len(retired) > 10
    assert all(each.word and each.instead for each in retired)
