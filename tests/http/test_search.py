"""Lists of the jobs whose id, message or error begins as is searched for."""

import pytest

from api_events import call
from api_rows import claimed, saved, succeeded
from job_runners.store import queries, transitions
from job_runners.store.job_request import JobRequest
from job_runners.testing.aws import forget
from stale_reads import catch_up

pytestmark = pytest.mark.usefixtures("aws")


def found(search: str, **query: str) -> list[str]:
    catch_up()
    answer = call("GET", "/jobs", query={"organization_id": "acme", "search": search, **query})
    assert answer.status == 200, answer.text
    return [each["id"] for each in answer.json["jobs"]]


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> dict[str, JobRequest]:
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work")
    forget()
    reached = transitions.Checkpoint(None, 100, "1,600 rows, 3 of them bad")
    done = transitions.succeed(claimed(), {}, reached=reached).after
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
