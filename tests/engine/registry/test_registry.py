"""The tables of jobs and tasks: whole, typed, and added to from outside."""

import sys
from datetime import date
from enum import StrEnum
from pathlib import Path
from secrets import token_hex
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

import job_runners.shipped.jobs.names
import job_runners.shipped.jobs.table
import job_runners.shipped.tasks.names
import job_runners.shipped.tasks.table
from bench import Bench
from job_runners.engine.registry.app_modules import import_app_module
from job_runners.engine.registry.errors import NameTakenTwice
from job_runners.engine.registry.registry import Registry, registry
from job_runners.errors import InvalidDefinition, UnknownJobType, UnknownTask
from job_runners.store import schedule_marks
from job_runners.testing.aws import forget
from job_runners.work.definitions import Job, Task
from job_runners.work.queues import Queue
from job_runners.work.recurring import Recurring
from job_runners.work.retry import Retry


class Payload(BaseModel):
    """A payload."""


class Place(BaseModel):
    """A payload with fields."""

    city: str
    zip_code: int = Field(alias="zip", validation_alias="code")


def work(job: Any, payload: Payload) -> None:
    """Do a job's work."""


def work_at(job: Any, payload: Place) -> None:
    """Do a job's work somewhere."""


def note(payload: Payload) -> None:
    """Do a task's work."""


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


HOURLY = Recurring("acme_job", every=3600, organization_id="acme")
BUILT_IN = Recurring(
    "post_webhook",
    every=3600,
    organization_id="acme",
    payload={"url": "https://example.org/hook", "body": {}, "secret": "acme/main"},
)


@pytest.mark.parametrize(
    ("names", "table", "definition"),
    [
        (job_runners.shipped.jobs.names.Jobs, job_runners.shipped.jobs.table.JOBS, Job),
        (job_runners.shipped.tasks.names.Tasks, job_runners.shipped.tasks.table.TASKS, Task),
    ],
)
def test_every_name_is_in_the_table_and_every_entry_has_a_name(
    names: type[StrEnum], table: dict[str, Job] | dict[str, Task], definition: type
) -> None:
    assert set(names) == set(table)
    assert all(isinstance(entry, definition) for entry in table.values())


def test_every_job_and_task_that_ships_says_what_it_is_for() -> None:
    entries: list[Job | Task] = [*registry().jobs.values(), *registry().tasks.values()]
    for entry in entries:
        assert entry.call.__doc__
        assert entry.payload_model.__doc__
        # One that says nothing of fields that it does not have refuses them too.
        assert entry.payload_model.model_config.get("extra") in (None, "forbid")


def extended(monkeypatch: pytest.MonkeyPatch, *others: str, **tables: object) -> Registry:
    module = ModuleType("acme.background")
    module.__dict__.update(tables)
    monkeypatch.setitem(sys.modules, "acme", ModuleType("acme"))
    monkeypatch.setitem(sys.modules, "acme.background", module)
    monkeypatch.setenv("JOBS_PACKAGES", ",".join((*others, "acme.background")))
    forget()
    return registry()


def test_an_extension_adds_jobs_and_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    found = extended(monkeypatch, JOBS={"acme_job": Job(work)}, TASKS={"acme_task": Task(note)})
    assert found.job("acme_job").function is work
    assert found.task("acme_task").function is note
    assert set(job_runners.shipped.jobs.names.Jobs) < set(found.jobs)


def test_an_extension_may_declare_nothing_but_queues(monkeypatch: pytest.MonkeyPatch) -> None:
    found = extended(monkeypatch, QUEUES={"mailings": Queue(slots=3)})
    assert found.queues["mailings"].slots == 3
    assert set(found.loadable().queues) == set(found.queues) == {"mailings"}


def test_a_job_may_be_called_what_a_queue_may_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "mow the lawn!" in extended(monkeypatch, JOBS={"mow the lawn!": Job(work)}).jobs


@pytest.mark.parametrize(
    "per", [None, "organization_id", ("organization_id", "city"), "city", "zip", "code"]
)
def test_a_queue_goes_by_what_its_jobs_have(per: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    queues = {"mailings": Queue(slots=3, per=per), "unused": Queue(slots=1, per="anything")}
    jobs = {
        "acme_job": Job(work, queue_name="mailings"),
        "other": Job(work_at, queues=("mailings",)),
    }
    extended(monkeypatch, JOBS=jobs, QUEUES=queues).resolve_all()


class Anything(BaseModel):
    """A payload that takes any field."""

    model_config = ConfigDict(extra="allow")


def work_on(job: Any, payload: Anything) -> None:
    """Do a job's work with anything."""


@pytest.mark.parametrize(
    ("queue", "function"), [(Queue(slots=1), work), (Queue(slots=1, per="city"), work_on)]
)
def test_a_queue_need_not_go_by_a_field_that_is_declared(
    queue: Queue, function: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = {"acme_job": Job(function, queue_name="mailings")}
    extended(monkeypatch, JOBS=jobs, QUEUES={"mailings": queue}).resolve_all()


@pytest.mark.parametrize("per", ["organisation_id", ("city", "organisation_id")])
def test_a_queue_that_goes_by_what_no_job_has_is_refused(
    per: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All jobs would share one line, and nobody would be told why."""
    found = extended(
        monkeypatch,
        JOBS={"acme_job": Job(work_at, queue_name="mailings"), "other": Job(work)},
        QUEUES={"mailings": Queue(slots=3, per=per)},
    )
    place = r"QUEUES: 'mailings' \(.*test_registry.py, line \d+\): "
    with pytest.raises(InvalidDefinition, match=f"{place}.*no job in this queue has such a field"):
        found.resolve_all()


def test_a_queue_declared_twice_names_both_places(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        NameTakenTwice,
        match=r"queue 'sample_slots' is .* sample_work\.QUEUES and in acme\.background\.QUEUES",
    ):
        extended(monkeypatch, "sample_work", QUEUES={"sample_slots": Queue(slots=3)})


@pytest.mark.parametrize("entry", [HOURLY, BUILT_IN])
def test_an_extension_may_declare_recurring_work(
    entry: Recurring, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = {"JOBS": {"acme_job": Job(work)}, "RECURRING": {"hourly": entry}}
    found = extended(monkeypatch, **tables)
    assert found.recurring == {"hourly": entry}
    assert found.loadable().recurring == found.recurring
    found.resolve_all()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"job_type": "acme_jop"}, "No job is named 'acme_jop'. Did you mean 'acme_job'?"),
        ({"payload": {"zap": "1"}}, "The payload of acme_job doesn't match its model: "),
        (
            {"job_type": "post_webhook", "payload": {"url": "https://example.org", "body": 0}},
            "payload.body: Input should be a valid dictionary",
        ),
        ({"job_type": "announce"}, "announce"),
        ({"every": None, "cron": "0 0 30 2 *"}, "'0 0 30 2 *' never matches"),
        ({"every": None, "cron": "0 0 * * *", "timezone": "Berlin"}, "there is no time zone"),
        (
            {"job_type": "any_job", "payload": {"day": date(2026, 1, 1)}},
            "Recurring(payload=): must be JSON: Object of type date",
        ),
        (
            {"job_type": "any_job", "payload": {"share": float("nan")}},
            "must be JSON: Out of range float values",
        ),
        (
            {"job_type": "any_job", "payload": {"deep": nested(100_000)}},
            "must be JSON: maximum recursion depth exceeded",
        ),
        (
            {"job_type": "any_job", "payload": {"text": "x" * 200_000}},
            "The payload of the schedule has 200,011 bytes. The limit is 102,400",
        ),
        (
            {"job_type": "any_job", "payload": {"text": token_hex(5_000)}},
            "The compressed payload of the schedule has ",
        ),
    ],
)
def test_recurring_work_that_could_not_be_dispatched_is_refused(
    given: dict[str, Any], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build resolves all, so that it is not found out at night."""
    good = {"job_type": "acme_job", "every": 60, "organization_id": "acme"}
    entry = Recurring(**{**good, "payload": {"city": "Ulm", "code": "1"}, **given})
    works = {"acme_job": Job(work_at), "any_job": Job(work_on)}
    tables = {"JOBS": works, "RECURRING": {"nightly": entry}}
    with pytest.raises(InvalidDefinition, match=r"RECURRING: 'nightly' \(.*, line ") as refused:
        extended(monkeypatch, **tables).resolve_all()
    assert why in str(refused.value)


def test_a_package_may_have_only_code_if_another_one_has_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "code_only", ModuleType("code_only"))
    found = extended(monkeypatch, "code_only", JOBS={"acme_job": Job(work)})
    assert found.job("acme_job").function is work
    with pytest.raises(InvalidDefinition, match=r"code_only and acme\.background define none of"):
        extended(monkeypatch, "code_only")


def test_a_name_taken_twice_names_both_places(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        NameTakenTwice,
        match=r"in job_runners\.shipped\.jobs\.table\.JOBS and in acme\.background\.JOBS",
    ):
        extended(monkeypatch, JOBS={"post_webhook": Job(work)})


@pytest.mark.parametrize(
    ("tables", "why"),
    [
        ({}, "defines none of JOBS, TASKS, QUEUES, RECURRING and AROUND"),
        ({"JOBS": [Job(work)]}, "must map names to Jobs"),
        ({"JOBS": {"x": work}}, "'x' must map to a Job"),
        ({"AROUND": {"x": work}}, "AROUND must be a list or a tuple"),
        ({"AROUND": [3]}, r"acme\.background\.AROUND\[0\] must be a function that takes"),
        ({"AROUND": ["acme.around"]}, "'package.module:function'"),
        ({"TASKS": {"x": Job(work)}}, "'x' must map to a Task"),
        ({"QUEUES": {"x": Job(work)}}, "'x' must map to a Queue"),
        ({"JOBS": {5: Job(work)}}, "5 must map to a Job"),
        ({"QUEUES": {5: Queue(slots=1)}}, "5 must map to a Queue"),
        ({"QUEUES": {"x#1": Queue(slots=1)}}, r"acme\.background\.QUEUES: 'x#1' must be"),
        ({"RECURRING": {"x": Job(work)}}, "'x' must map to a Recurring"),
        ({"RECURRING": {"a/b": HOURLY}}, r"acme\.background\.RECURRING: 'a/b' must be"),
        ({"RECURRING": {"..": HOURLY}}, r"acme\.background\.RECURRING: '\.\.' must be"),
        ({"RECURRING": [HOURLY]}, "must map names to Recurrings"),
    ],
)
def test_a_table_that_can_not_work_is_refused(
    tables: dict[str, object], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidDefinition, match=why):
        extended(monkeypatch, **tables)


@pytest.mark.parametrize("has_folder", [False, True])
def test_python_searches_an_apps_folder_once_and_last(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, has_folder: bool
) -> None:
    """So no module of the app replaces one of ours."""
    app = [str(tmp_path)] if has_folder else []
    monkeypatch.setenv("JOBS_PROJECT", "".join(app))
    monkeypatch.setattr(sys, "path", ["here"])
    forget()
    for _ in range(2):
        assert import_app_module("sys") is sys
    assert sys.path == ["here", *app]


def test_more_recurring_work_than_a_deploy_can_list_is_refused(
    monkeypatch: pytest.MonkeyPatch, bench: Bench
) -> None:
    """None of it would be declared, and only a log would say so."""
    hourly = {f"{number:04d} {'ü' * 10}": HOURLY for number in range(5_000)}

    def sized(many: int) -> int:
        return schedule_marks.size_of(("acme", name) for name in list(hourly)[:many])

    most = schedule_marks.MAX_BYTES // sized(1)
    while sized(most + 1) <= schedule_marks.MAX_BYTES:
        most += 1
    declared = dict(list(hourly.items())[:most])
    works = {"acme_job": Job(work)}
    extended(monkeypatch, JOBS=works, RECURRING=declared).resolve_all()
    schedule_marks.note_deploy("d", 0, [("acme", name) for name in declared])  # there is room
    assert [len(mark.declared) for mark in schedule_marks.marks()] == [most]
    with pytest.raises(InvalidDefinition) as refused:
        extended(monkeypatch, JOBS=works, RECURRING=hourly).resolve_all()
    assert str(refused.value).startswith("RECURRING: 5,000 schedules are declared; their names and")
    assert "the limit is 380,000: shorten the names" in str(refused.value)


def test_unknown_names_come_with_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    found = extended(monkeypatch, TASKS={"acme_task": Task(note)})
    with pytest.raises(UnknownJobType, match="Did you mean 'post_webhook'"):
        found.job("post_webhok")
    with pytest.raises(UnknownTask, match="Did you mean 'acme_task'"):
        found.task("acme_tasks")
    for name in ("nope", "bad", "anounce"):  # of which the last is like an internal job's name
        with pytest.raises(UnknownJobType, match="List the names"):
            found.job(name)


def test_a_function_of_the_wrong_shape_is_refused_where_it_is_defined() -> None:
    def untyped(job: Any, payload: Any) -> None: ...
    def swapped(payload: Payload, job: Any) -> None: ...

    with pytest.raises(InvalidDefinition, match="annotate `payload` with a pydantic model"):
        Job(untyped)
    with pytest.raises(InvalidDefinition, match=r"must take exactly \(job, payload\)"):
        Job(swapped)  # type: ignore[arg-type]
    with pytest.raises(InvalidDefinition, match=r"must take exactly \(payload\)"):
        Task(work)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", "a#b", "a/b", "a\x85b", "a\u202eb", "a\nb", ".", ".."])
def test_a_queue_whose_name_would_break_a_key_is_refused(name: str) -> None:
    with pytest.raises(InvalidDefinition, match="without #, /"):
        Job(work, queue_name=name)


@pytest.mark.parametrize("kind", ["on_end", "on_failure"])
@pytest.mark.parametrize("job_type", [7, ""])
def test_a_follow_up_that_names_no_job_type_is_refused(kind: str, job_type: Any) -> None:
    with pytest.raises(InvalidDefinition, match="must be the name of a job type"):
        Job("acme:work", **{kind: job_type})


def test_a_retry_tag_that_never_retries_is_refused() -> None:
    with pytest.raises(InvalidDefinition, match="Leave retry out"):
        Retry(max_attempts=1)
    with pytest.raises(InvalidDefinition, match="0 < base <= cap"):
        Retry(base=5, cap=1)


def test_waits_are_jittered_from_zero_to_a_bound_that_doubles_up_to_the_cap() -> None:
    retry = Retry(max_attempts=9, base=2, cap=10)
    for attempt, bound in enumerate((2, 4, 8, 10, 10), start=1):
        waits = [retry.delay(attempt) for _ in range(300)]
        assert 0 <= min(waits) < bound * 0.1
        assert bound * 0.9 < max(waits) <= bound
    assert retry.delay(10_000) <= 10
