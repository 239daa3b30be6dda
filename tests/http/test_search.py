"""Lists of the jobs of a span of time, and of those that a search finds."""

import pytest

from api_events import call
from api_rows import claimed, saved, succeeded
from job_runners import clock
from job_runners.store import queries, transitions
from job_runners.store.job_request import JobRequest
from job_runners.testing.aws import forget
from stale_reads import catch_up

pytestmark = pytest.mark.usefixtures("aws")


OURS = {"organization_id": "acme"}


def found(search: str, **query: str) -> list[str]:
    return listed(search=search, **query)


def listed(**query: str) -> list[str]:
    catch_up()
    answer = call("GET", "/jobs", query={**OURS, **query})
    assert answer.status == 200, answer.text
    return [each["id"] for each in answer.json["jobs"]]


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> dict[str, JobRequest]:
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work")
    forget()
    checkpoint = transitions.Checkpoint(None, 100, "1,600 rows, 3 of them bad")
    done = transitions.succeed(claimed(), {}, checkpoint=checkpoint).after
    error = {"kind": "MissingColumns", "message": "The file has no column cell", "traceback": ""}
    return {
        "done": done,
        "failed": transitions.fail(claimed(), error).after,
        "silent": succeeded({}),
        "theirs": saved(organization_id="theirs"),
    }


def test_a_job_is_found_by_how_its_id_begins(jobs: dict[str, JobRequest]) -> None:
    for name in ("done", "failed", "silent"):
        own = jobs[name].id
        assert found(own[:12]) == found(own[:12].upper()) == found(own) == [own]
    assert found(jobs["theirs"].id[:12]) == []
    assert found(jobs["done"].id[1:13]) == []


def test_a_job_is_found_by_how_its_message_or_its_error_begins(jobs: dict[str, JobRequest]) -> None:
    assert found("1,600 ROWS") == [jobs["done"].id]
    for text in ("missingcol", "MissingColumns: the file", "the file has"):
        assert found(text) == found(text, status="failed") == [jobs["failed"].id]
    assert found("rows") == []
    assert found("the file", status="succeeded") == []


def test_a_search_looks_through_200_jobs_and_says_that_there_are_more(
    jobs: dict[str, JobRequest],
) -> None:
    for _ in range(queries.MAX_EXAMINED):
        saved()
    catch_up()
    answer = call("GET", "/jobs", query="organization_id=acme&search=missing").json
    assert answer["jobs"] == []
    query = {"organization_id": "acme", "search": "missing", "cursor": answer["cursor"]}
    rest = call("GET", "/jobs", query=query).json
    assert ([each["id"] for each in rest["jobs"]], rest["cursor"]) == ([jobs["failed"].id], None)


def test_a_list_has_the_jobs_of_a_span_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = clock.now()
    ids: list[str] = []
    for hour in range(4):
        at = now + hour * clock.HOUR
        monkeypatch.setattr(clock, "now", lambda at=at: at)
        row = claimed()
        error = {"kind": "E", "message": "", "traceback": ""}
        ids.insert(0, transitions.fail(row, error).after.id)
    since, until = clock.iso(now + clock.HOUR), clock.iso(now + 3 * clock.HOUR)
    for status in ({}, {"status": "failed"}):
        assert listed(since=since, until=until, **status) == ids[1:3]
        assert listed(since=since, **status) == ids[:3]
        assert listed(until=until, **status) == ids[1:]
        first = call("GET", "/jobs", query={"limit": "1", "since": since, **OURS, **status}).json
        assert [each["id"] for each in first["jobs"]] == ids[:1]
        rest = listed(since=since, cursor=first["cursor"], **status)
        assert rest == ids[1:3]
    for wrong in ("yesterday", "2026-12-01T12:00:00", "0001-01-01T00:00:00Z"):
        assert call("GET", "/jobs", query={"since": wrong, **OURS}).status == 400
