"""When recurring work is to happen: cron expressions, intervals, and clocks that change."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from job_runners import clock
from job_runners.work import occurrences
from job_runners.work.occurrences import When, in_words, next_after, upcoming

BERLIN, NEW_YORK, LORD_HOWE = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"
ZONES = (BERLIN, NEW_YORK, LORD_HOWE)


def at(text: str) -> int:
    """Return a time in UTC in milliseconds."""
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def shown(time: int, zone: str) -> str:
    """Return what a clock of the zone shows, with its distance from UTC."""
    local = datetime.fromtimestamp(time / 1000, ZoneInfo(zone))
    return f"{local:%H:%M}{local:%z}".removesuffix("00")


def through(when: When, begin: str, end: str) -> Iterator[int]:
    """Yield each time between two, as a clock that steps through them meets them."""
    time = next_after(when, at(begin) - 1)
    while time is not None and time < at(end):
        yield time
        time = next_after(when, time)


# --- intervals --------------------------------------------------------------------------------


def test_an_interval_counts_from_one_moment_for_everybody() -> None:
    hourly = When(every=3600)
    asked = [next_after(hourly, at("2026-11-26T02:00") + ms) for ms in (0, 1, 3_599_999)]
    assert asked == [at("2026-11-26T03:00")] * 3
    assert next_after(When(every=90), 90_000 - 1) == 90_000
    assert upcoming(When(every=86_400), at("2026-11-26T02:00"), 2) == [
        at("2026-11-27T00:00"),
        at("2026-11-28T00:00"),
    ]


# --- clocks that change -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "cron", "day", "happens"),
    [
        # The time is skipped: at the moment the clock jumps.
        (BERLIN, "30 2 * * *", "2026-03-29", "03:00+02"),
        (BERLIN, "0,30 2 * * *", "2026-03-29", "03:00+02"),
        (BERLIN, "0 3 * * *", "2026-03-29", "03:00+02"),
        (NEW_YORK, "30 2 * * *", "2026-03-08", "03:00-04"),
        (LORD_HOWE, "15 2 * * *", "2026-10-04", "02:30+11"),
        (LORD_HOWE, "30 2 * * *", "2026-10-04", "02:30+11"),
        # The time comes twice: at the first.
        (BERLIN, "30 2 * * *", "2026-10-25", "02:30+02"),
        (NEW_YORK, "30 1 * * *", "2026-11-01", "01:30-04"),
        (LORD_HOWE, "45 1 * * *", "2026-04-05", "01:45+11"),
        (LORD_HOWE, "15 1,2 * * *", "2026-04-05", "01:15+11 02:15+1030"),
        # With a star, it is whenever the clock shows it.
        (BERLIN, "*/30 2 * * *", "2026-03-29", ""),
        (BERLIN, "*/30 2 * * *", "2026-10-25", "02:00+02 02:30+02 02:00+01 02:30+01"),
        (NEW_YORK, "*/30 2 * * *", "2026-03-08", ""),
        (NEW_YORK, "*/45 1 1 11 *", "2026-11-01", "01:00-04 01:45-04 01:00-05 01:45-05"),
        (LORD_HOWE, "*/20 2 * * *", "2026-10-04", "02:40+11"),
        (LORD_HOWE, "*/20 3 * * *", "2026-10-04", "03:00+11 03:20+11 03:40+11"),
        (LORD_HOWE, "*/20 1 * * *", "2026-04-05", "01:00+11 01:20+11 01:40+11 01:40+1030"),
        # A whole day that a zone has skipped, and midnights that others do.
        ("Pacific/Apia", "0 12 29-31 12 *", "2011-12-29", "12:00-10 00:00+14 12:00+14"),
        ("Africa/Cairo", "0 0 * * *", "2026-04-24", "01:00+03"),
        ("Africa/Cairo", "*/30 0 * * *", "2026-04-24", ""),
        ("Asia/Beirut", "*/30 0,1 * * *", "2026-03-29", "01:00+03 01:30+03"),
    ],
)  # fmt: skip
def test_a_clock_that_changes_is_met_as_debian_cron_meets_it(
    zone: str, cron: str, day: str, happens: str
) -> None:
    begin = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone))
    end = begin + timedelta(days=3 if "Apia" in zone else 1)
    found = through(When(cron, timezone=zone), begin.isoformat(), end.isoformat())
    assert " ".join(shown(time, zone) for time in found) == happens


@pytest.mark.parametrize(
    ("zone", "cron", "after", "then"),
    [
        (BERLIN, "30 2 * * *", "2026-10-25T01:10", "2026-10-26T01:30"),
        (NEW_YORK, "30 1 * * *", "2026-11-01T06:00", "2026-11-02T06:30"),
        (LORD_HOWE, "45 1 * * *", "2026-04-04T15:05", "2026-04-05T15:15"),
        (BERLIN, "*/30 2 * * *", "2026-10-25T01:10", "2026-10-25T01:30"),
        (LORD_HOWE, "45 * * * *", "2026-04-04T14:50", "2026-04-04T15:15"),
    ],
)
def test_in_the_second_of_two_hours_what_came_in_the_first_does_not_come_again(
    zone: str, cron: str, after: str, then: str
) -> None:
    assert next_after(When(cron, timezone=zone), at(after)) == at(then)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("cron", ["30 2 * * *", "45 1 * * *", "0 0 * * *"])
def test_through_a_year_a_time_of_day_comes_once_a_day(zone: str, cron: str) -> None:
    begin = datetime(2026, 1, 1, tzinfo=ZoneInfo(zone))
    year = [begin.isoformat(), begin.replace(year=2027).isoformat()]
    days = [
        datetime.fromtimestamp(time / 1000, begin.tzinfo).date()
        for time in through(When(cron, timezone=zone), *year)
    ]
    assert len(days) == len(set(days)) == 365


@pytest.mark.parametrize("zone", ZONES)
def test_through_a_year_what_comes_every_hour_or_half_is_as_long_apart(zone: str) -> None:
    cron = "*/30 * * * *" if zone == LORD_HOWE else "15 * * * *"
    found = list(through(When(cron, timezone=zone), "2026-01-01", "2027-01-01"))
    gaps = {later - sooner for sooner, later in pairwise(found)}
    assert gaps == {clock.HOUR // 2 if zone == LORD_HOWE else clock.HOUR}
    assert len(found) == 365 * clock.DAY // gaps.pop()


def _minutes(zone: str, begin: datetime) -> Iterator[tuple[int, datetime]]:
    """Yield each minute of three days with what a clock of the zone shows."""
    for minute in range(3 * 24 * 60):
        moment = begin + timedelta(minutes=minute)
        yield int(moment.timestamp() * 1000), moment.astimezone(ZoneInfo(zone))


CHANGES = [
    (BERLIN, "2026-03-28"), (BERLIN, "2026-10-24"), (NEW_YORK, "2026-03-07"),
    (NEW_YORK, "2026-10-31"), (LORD_HOWE, "2026-04-04"), (LORD_HOWE, "2026-10-03"),
]  # fmt: skip


@settings(max_examples=30)
@given(
    place=st.sampled_from(CHANGES),
    minutes=st.sets(st.integers(0, 59), min_size=1, max_size=5),
    hours=st.sets(st.integers(0, 23), min_size=1, max_size=5),
    star=st.sampled_from(["minute", "hour", ""]),
    since=st.integers(0, 2 * 24 * 60 * 60 * 1000),
)
def test_around_every_change_it_is_what_a_look_at_each_minute_finds(
    place: tuple[str, str], minutes: set[int], hours: set[int], star: str, since: int
) -> None:
    zone, day = place
    begin = datetime.fromisoformat(day).replace(tzinfo=UTC)
    minute_field = "*" if star == "minute" else ",".join(map(str, minutes))
    hour_field = "*" if star == "hour" else ",".join(map(str, hours))

    def meant(local: datetime) -> bool:
        return (star == "minute" or local.minute in minutes) and (
            star == "hour" or local.hour in hours
        )

    expected, before = [], None
    for time, local in _minutes(zone, begin):
        naive = local.replace(tzinfo=None)
        # The minutes that a clock has jumped over come now, all at once.
        jumped = before is not None and any(
            meant(before + timedelta(minutes=each))
            for each in range(1, int((naive - before) / timedelta(minutes=1)))
        )
        if meant(local) if star else jumped or (meant(local) and not local.fold):
            expected.append(time)
        before = naive
    after = int(begin.timestamp() * 1000) + since
    ends = expected[-1] if expected else 0
    when = When(f"{minute_field} {hour_field} * * *", timezone=zone)
    found = list(takewhile(lambda time: time <= ends, occurrences._times_after(when, after)))
    assert found == [time for time in expected if time > after]


def test_a_day_that_comes_every_four_years_is_found() -> None:
    for cron in ("0 12 29 2 *", "*/30 12 29 2 *"):
        first, *_ = upcoming(When(cron, timezone=BERLIN), at("2026-01-01"), 1)
        assert first == at("2028-02-29T11:00")


@pytest.mark.parametrize("cron", ["0 12 1 7 *", "*/30 12 1 7 *"])
def test_a_time_far_away_is_of_the_clock_as_it_is_then(cron: str) -> None:
    first, *_ = upcoming(When(cron, timezone=BERLIN), at("2026-01-01"), 1)
    assert first == at("2026-07-01T10:00")


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """Return the moments at which a search has looked at a zone's clock so far."""
    looks: list[datetime] = []
    offset = occurrences._offset

    def look(zone: tzinfo, moment: datetime) -> timedelta:
        looks.append(moment)
        return offset(zone, moment)

    monkeypatch.setattr(occurrences, "_offset", look)
    return looks


def test_a_time_after_a_change_of_clocks_takes_few_looks(looks: list[datetime]) -> None:
    found = next_after(When("*/30 3 * * *", timezone=BERLIN), at("2026-10-24T12:00"))
    assert found == at("2026-10-25T02:00")
    assert len(looks) < 50


def test_a_time_decades_away_takes_no_look_at_each_day_until_then(
    looks: list[datetime],
) -> None:
    found = upcoming(When("*/59 23 * 2 1#5", timezone="Asia/Gaza"), at("2026-11-26"))
    assert [shown(time, "Asia/Gaza") for time in found] == ["23:00+02", "23:59+02"] * 2 + [
        "23:00+02"
    ]
    assert found[-1] == at("2112-02-29T21:00")
    assert len(looks) < 100


# --- words ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("when", "words"),
    [
        (When("0 2 * * *", timezone=BERLIN), "at 02:00 every day, Europe/Berlin"),
        (When("*/15 * * * *"), "every 15th minute of every hour, UTC"),
        (When("30 9 * * 1-5"), "at 09:30 on Monday through Friday, UTC"),
        (When("0 0 31 * *"), "at 00:00 on the 31st day of every month, UTC"),
        (When("0 0 11,22 * *"), "at 00:00 on the 11th and the 22nd day of month, UTC"),
        (When("0 9 1 * MON"), "at 09:00 on the first day of month or on Monday, UTC"),
        (When(every=60), "every minute"),
        (When(every=90), "every 90 seconds"),
        (When(every=7200), "every 2 hours"),
        (When(every=604_800), "every 7 days"),
    ],
)
def test_times_are_said_in_words(when: When, words: str) -> None:
    assert in_words(when) == words


# --- zones ------------------------------------------------------------------------------------


def test_zones_are_those_of_the_build_even_on_a_machine_that_has_none() -> None:
    program = (
        "import zoneinfo; zoneinfo.reset_tzpath(to=[])\n"
        "from job_runners.work.occurrences import When, next_after\n"
        f"print(next_after(When('0 2 * * *', timezone={BERLIN!r}), {at('2026-07-01')}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == at("2026-07-02T00:00")


def test_every_zone_of_the_build_can_be_read() -> None:
    assert len(occurrences.zones()) > 500
    for zone in occurrences.zones():
        assert next_after(When("0 2 * * *", timezone=zone), at("2026-01-01"))
