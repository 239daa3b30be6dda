"""The check of retired phrases: a directory may not have more of them than its number."""

import tomllib

from tools.retired_phrases import Place, complaints, lowered, places

PHRASES = {r"\bnobody\b": "no worker", r"\bgives? on\b": "admit"}
SETTINGS = """total = 5

[phrases]
'x' = "y"

[counts]
"docs" = 2
"gone" = 3
"""


def found(path: str, text: str) -> list[tuple[int, str]]:
    return [(place.line, place.phrase) for place in places(path, text, PHRASES)]


def test_each_phrase_is_found_with_its_line_and_what_to_write() -> None:
    text = "Nobody waits\nhe gives on, nobody\n"
    assert found("docs/a.md", text) == [(1, "Nobody"), (2, "nobody"), (2, "gives on")]
    assert str(next(places("docs/a.md", text, PHRASES))) == "docs/a.md:1: 'Nobody': write no worker"


def test_what_was_released_is_left_alone() -> None:
    assert found("tests/released/a.md", "nobody") == []
    assert found("CHANGELOG.md", "# Changes\nnobody\n## 0.1.0\nnobody\n") == [(2, "nobody")]


def test_a_directory_with_more_phrases_than_its_number_is_refused() -> None:
    both = [Place("docs/a.md", 1, "nobody", "x"), Place("docs/b.md", 1, "nobody", "x")]
    assert list(complaints(both, {"docs": 2}, 2)) == []
    *at, said = complaints(both, {"docs": 1}, 1)
    assert [each.partition(":")[0] for each in at] == ["docs/a.md", "docs/b.md"]
    assert said.startswith("docs: 2 retired phrases, 1 are allowed.")
    assert list(complaints(both, {"docs": 3}, 3)) == [
        "docs: 2 retired phrases left of 3. Lower the number: --lower"
    ]
    assert len(list(complaints([], {}, 0))) == 0


def test_numbers_may_move_between_directories_and_their_sum_may_not_rise() -> None:
    both = [Place("docs/a.md", 1, "nobody", "x"), Place("new/b.md", 1, "nobody", "x")]
    assert list(complaints(both, {"docs": 1, "new": 1}, 2)) == []
    (said,) = complaints(both, {"docs": 1, "new": 1}, 1)
    assert "only fall" in said


def test_numbers_are_lowered_to_what_there_is_and_never_raised() -> None:
    one, three = Place("docs/a.md", 1, "nobody", "x"), Place("new/c.md", 1, "nobody", "x")
    after = tomllib.loads(lowered(SETTINGS, [one, three]))
    assert (after["counts"], after["total"]) == ({"docs": 1}, 1)
    assert after["phrases"] == {"x": "y"}
