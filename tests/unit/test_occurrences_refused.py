"""Times that recurring work can't have: refused in words, with what to write instead."""

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from job_runners.work import occurrences
from job_runners.work.errors import InvalidOccurrences
from job_runners.work.occurrences import When, in_words, next_after, upcoming

BERLIN = "Europe/Berlin"
NEW_YEAR = int(datetime.fromisoformat("2026-01-01T00:00Z").timestamp() * 1000)


@pytest.mark.parametrize(
    ("when", "field", "why"),
    [
        (When(), "cron", "exactly one of cron and every"),
        (When("* * * * *", 60), "cron", "exactly one of cron and every"),
        (When(every=59), "every", "must be 60 to 31,622,400 seconds"),
        (When(every=10**9), "every", "366 days"),
        (When(every=60, timezone=BERLIN), "timezone", "only with cron"),
        (When("0 1 2 3 4 5"), "cron", "has 6 fields; it must have five: minute, hour"),
        (When("@daily"), "cron", "has 1 field; it must have five"),
        (When(""), "cron", "has 0 fields"),
        (When("* * * * *" + " " * 300), "cron", "at most 256 characters"),
        (When("61 * * * *"), "cron", r"the minute of '61 \* .*' is '61'; it must be 0 to 59"),
        (When("0 24 * * *"), "cron", "the hour of .* must be 0 to 23"),
        (When("0 0 32 * *"), "cron", "the day-of-month of .* must be 1 to 31"),
        (When("0 0 * FOO *"), "cron", "the month of .* is 'FOO'; it must be 1 to 12, or JAN"),
        (When("0 0 * * MON-9"), "cron", "the day-of-week of"),
        (When("5-1 * * * *"), "cron", "the minute of"),
        (When("*/0 * * * *"), "cron", "the minute of"),
        (When("0 0 30 2 *"), "cron", "never matches"),
        (When("0 0 31 4,6 *"), "cron", "never matches"),
        (When("0 0 */40 * MON#5"), "cron", "never matches"),  # a first that is a fifth Monday
        (When("0 0 * * *", timezone="Europe/Berlim"), "timezone", "did you mean 'Europe/Berlin'"),
        (When("0 0 * * *", timezone="../../etc/passwd"), "timezone", "there is no time zone"),
        (When("0 0 * * *", timezone=""), "timezone", "there is no time zone"),
        (When("0 0 * * *", timezone="posixrules"), "timezone", "there is no time zone"),
    ],
)
def test_times_that_there_are_not_are_refused(when: When, field: str, why: str) -> None:
    with pytest.raises(InvalidOccurrences, match=why) as refused:
        occurrences.check(when)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("given", "words"),
    [
        # EventBridge: a year, and Sunday is 1.
        ("cron(0 2 * * ? *)", "Leave out the year, and write * for ?: '0 2 * * *'"),
        ("0 2 ? * MON-FRI *", "Leave out the year, and write * for ?: '0 2 * * MON-FRI'"),
        ("cron(0 9 ? * 2-6 *)", "Leave out the year, and write * for ?: '0 9 * * 1-5'"),
        ("0 9 ? * 6L *", "Leave out the year, and write * for ?: '0 9 * * 5L'"),
        ("0 9 ? * 2#1 *", "Leave out the year, and write * for ?: '0 9 * * 1#1'"),
        ("0 9 L * ? *", "Leave out the year, and write * for ?: '0 9 L * *'"),
        ("0 9 15W * ? *", "Leave out the year, and write * for ?"),
        ("cron(0 2 * * ? 2027)", "No year can be given here"),
        ("rate(15 minutes)", "Give every=900 instead, which is in seconds"),
        ("rate(1 day)", "Give every=86400 instead, which is in seconds"),
        # Quartz: seconds, and Sunday is 1.
        ("0 0 2 * * ?", "Leave out the seconds, and write * for ?: '0 2 * * *'"),
        ("0 0 2 ? * 1", "Leave out the seconds, and write * for ?: '0 2 * * 0'"),
        ("30 0 2 * * ?", "No seconds can be given here"),
        # Neither.
        ("0 0 2 * * *", "'0 2 * * *' is every day at 02:00"),
        ("cron(0 2 *)", "'0 2 * * *' is every day at 02:00"),
        ("0 2 ? *", "'0 2 * * *' is every day at 02:00"),
        ("0 0 2 * * ? 2027", "'0 2 * * *' is every day at 02:00"),
    ],
)
def test_times_in_another_notation_are_refused_with_how_to_write_them_here(
    given: str, words: str
) -> None:
    with pytest.raises(InvalidOccurrences) as refused:
        occurrences.check_form(When(given))
    assert str(refused.value).endswith(f"day of the week. {words}")


@pytest.mark.parametrize("ask", [lambda when: next_after(when, NEW_YEAR), in_words])
def test_of_neither_an_expression_nor_an_interval_nothing_is_told(ask: Any) -> None:
    """As of a schedule that somebody has damaged in its table."""
    with pytest.raises(InvalidOccurrences, match="exactly one of cron and every"):
        ask(When())


@pytest.mark.parametrize("cron", ["0 0 */40 * MON#5", "*/30 0 */40 * MON#5"])
def test_of_an_expression_that_never_comes_there_is_no_next_time(cron: str) -> None:
    never = When(cron, timezone=BERLIN)
    assert next_after(never, NEW_YEAR) is None
    assert upcoming(never, NEW_YEAR) == []


@settings(max_examples=200)
@given(
    st.lists(
        st.text("0123456789*/,-#LWSUNFRIJD²", max_size=7) | st.sampled_from(["*", "0", "1L"]),
        min_size=5,
        max_size=5,
    )
)
def test_any_expression_is_refused_in_words_or_has_a_next_time_and_words(fields: list[str]) -> None:
    when = When(" ".join(fields))
    try:
        occurrences.check(when)
    except InvalidOccurrences:
        pass
    else:
        assert (next_after(when, NEW_YEAR) or 0) > NEW_YEAR
        assert in_words(when)
