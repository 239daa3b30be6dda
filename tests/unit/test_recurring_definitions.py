"""What may be written as recurring work."""

from dataclasses import FrozenInstanceError
from datetime import timedelta
from typing import Any

import pytest

from job_runners.errors import InvalidDefinition
from job_runners.work import Each, Recurring


def recurring(**given: Any) -> Recurring:
    return Recurring(**{"job_type": "make_report", "organization_id": "acme", **given})


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "exactly one of cron and every"),
        ({"cron": "0 2 * * *", "every": 60}, "exactly one of cron and every"),
        ({"cron": "0 0 2 * * *"}, r"Recurring\(cron=\): .* has 6 fields; it must have five"),
        ({"cron": 5}, r"Recurring\(cron=5\): must be text"),
        ({"cron": "0 2 * * *", "timezone": 1}, r"Recurring\(timezone=1\): must be text"),
        ({"every": 30}, "must be 60 to 31,622,400 seconds"),
        ({"every": 60.5}, "whole seconds"),
        ({"every": "60"}, "whole seconds"),
        ({"every": True}, "whole seconds"),
        ({"every": float("nan")}, "whole seconds"),
        ({"every": timedelta(minutes=1, milliseconds=1)}, "whole seconds"),
        ({"every": 60, "timezone": "Europe/Berlin"}, "only with cron"),
        ({"every": 60, "organization_id": "a/b"}, r"organization_id='a/b'\): must be 1 to 128"),
        ({"every": 60, "organization_id": ".."}, r"organization_id='\.\.'\): must be 1 to 128"),
        ({"every": 60, "organization_id": None}, r"organization_id=None\): must be 1 to 128"),
        ({"every": 60, "organization_id": 5}, r"organization_id=5\): must be 1 to 128"),
        ({"every": 60, "job_type": 5}, r"job_type=5\): must be the name of a job"),
        ({"every": 60, "organization_id": ""}, r"organization_id=''\): must be 1 to 128"),
        ({"every": 60, "payload": ["list"]}, "must be a JSON object"),
        ({"every": 60, "missed": "all"}, r'must be "skip", "one" or Each\(3\)'),
        ({"every": 60, "missed": Each(2)}, 'missed=.* more than one needs overlap "allow"'),
        ({"every": 60, "missed": Each(2), "overlap": "queue"}, 'needs overlap "allow"'),
        ({"every": 60, "overlap": "wait"}, 'must be "skip", "queue" or "allow"'),
    ],
)
def test_what_can_not_work_is_refused_where_it_is_written(given: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidDefinition, match=why):
        recurring(**given)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"cron": "0 25 * * *"}, r"Recurring\(cron=\): the hour of '0 25 .* must be 0 to 23"),
        ({"cron": "0 0 30 2 *"}, "never matches"),
        ({"cron": "0 2 * * *", "timezone": "Europe/Bern"}, "did you mean 'Europe/Berlin'"),
    ],
)
def test_what_needs_the_zones_and_the_reader_of_cron_is_refused_by_a_build(
    given: dict[str, Any], why: str
) -> None:
    with pytest.raises(InvalidDefinition, match=why):
        recurring(**given).check()


@pytest.mark.parametrize("most", [0, 101, True, "3", 1.0])
def test_each_missed_occurrence_is_made_up_for_within_bounds(most: Any) -> None:
    with pytest.raises(InvalidDefinition, match="must be a whole number, 1 to 100"):
        Each(most)


def test_how_many_missed_occurrences_are_made_up_for() -> None:
    missed = [recurring(every=60, missed=each).most_missed for each in ("skip", "one", Each(1))]
    assert missed == [0, 1, 1]
    assert recurring(every=60, missed=Each(7), overlap="allow").most_missed == 7
    assert recurring(every=60).most_missed == 1


def test_an_interval_is_seconds_or_a_timedelta() -> None:
    assert recurring(every=3600).when == recurring(every=timedelta(hours=1)).when
    assert recurring(every=90.0).when.every == 90


def test_it_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        recurring(every=60).every = 120  # type: ignore[misc]
