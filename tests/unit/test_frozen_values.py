"""What authors declare is frozen, and to others it is a dataclass, though none is compiled."""

from dataclasses import FrozenInstanceError, asdict, dataclass, fields, replace
from inspect import signature
from typing import Any

import pytest

from job_runners.errors import InvalidDefinition
from job_runners.places import ROOT
from job_runners.work import Job, Queue, Rate, Retry, Task, Unique

JOB = Job("acme.letters:send", Retry(max_attempts=3), "letters", timeout=60.0)


def test_the_client_has_the_same_values() -> None:
    """It is installed alone, and functions do without it."""
    assert (ROOT / "job_runners/values.py").read_text() == (
        ROOT / "job_runners" / "values.py"
    ).read_text()


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (JOB, "queue_name"),
        (JOB, "retry"),
        (Task("acme.letters:note"), "function"),
        (Retry(), "max_attempts"),
        (Queue(slots=1), "slots"),
        (Rate(1), "count"),
        (Unique(by=()), "by"),
    ],
)
def test_a_declaration_can_not_be_changed(value: Any, name: str) -> None:
    before = getattr(value, name)
    with pytest.raises(FrozenInstanceError):
        setattr(value, name, None)
    with pytest.raises(FrozenInstanceError):
        delattr(value, name)
    assert getattr(value, name) == before


def test_one_that_is_replaced_is_checked_again() -> None:
    longer = replace(JOB, timeout=90.0)
    assert (longer.timeout, longer.queue_name, longer.retry) == (90.0, "letters", JOB.retry)
    with pytest.raises(InvalidDefinition, match="must be above 0"):
        replace(JOB, timeout=0.0)
    with pytest.raises(InvalidDefinition, match="never retries"):
        replace(Retry(), max_attempts=1)


def test_alike_ones_are_equal_wherever_they_are_written() -> None:
    again = Job("acme.letters:send", Retry(max_attempts=3), "letters", timeout=60.0)
    assert again == JOB
    assert hash(again) == hash(JOB)
    assert again != replace(JOB, timeout=None)
    assert Retry() != Queue(slots=1)


def test_one_shows_what_it_was_given() -> None:
    assert repr(Rate(30, seconds=60)) == "Rate(count=30, seconds=60, burst=1)"
    assert (
        repr(Task("acme.letters:note"))
        == "Task(function='acme.letters:note', retry=None, worker=None)"
    )


def test_the_function_of_a_job_is_given_by_place_or_by_name() -> None:
    assert Job(function="acme.letters:send") == Job("acme.letters:send")
    assert list(signature(Job).parameters)[:3] == ["function", "retry", "queue_name"]
    assert [each.name for each in fields(Task)] == ["function", "retry", "worker"]
    for wrong in ({}, {"function": "acme.letters:send", "colour": "red"}):
        with pytest.raises(TypeError, match=r"'function' is missing|'colour' is unknown"):
            Job(**wrong)  # type: ignore[arg-type] # that is the point
    with pytest.raises(TypeError, match="did you mean 'queues' or 'queue_name'"):
        Job("acme.letters:send", queue="slow")  # type: ignore[call-arg] # that is the point
    with pytest.raises(TypeError, match="Retry takes 0 positional arguments"):
        Retry(3)  # type: ignore[call-arg] # that is the point


def test_values_can_be_told_as_json() -> None:
    assert asdict(Rate(3)) == {"count": 3, "seconds": 1, "burst": 1}
    assert asdict(Unique(by=("list", "list")))["by"] == ("list",)


def test_work_may_declare_a_class_of_its_own() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Patient(Retry):
        reason: str = ""

    assert Patient(max_attempts=9, reason="slow").delay(1) <= 2.0
    with pytest.raises(InvalidDefinition, match="never retries"):
        Patient(max_attempts=1)
