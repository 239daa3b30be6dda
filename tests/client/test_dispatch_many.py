"""Many jobs through the client: an iterator of jobs in, their results in order."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest

from api_server import ApiServer
from bad_server import BadServer, answer
from job_runners import (
    ApiBusy,
    Client,
    Credentials,
    IdempotencyConflict,
    InvalidRequest,
)
from job_runners.client import bulk_client, repeating
from job_runners.client.bulk_client import Dispatched
from job_runners.testing import moto_direct
from jobs_command import job
from sample_work import script


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for hardly anything between tries."""
    monkeypatch.setattr(repeating, "_FIRST_WAIT", 0.01)


@pytest.fixture
def client(api_server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> Client:
    """Return a client of the API that sends ten jobs at a time."""
    monkeypatch.setattr(bulk_client, "_MAX_JOBS", 10)
    return Client(url=api_server.url, region="us-east-1", organization_id="acme")


def numbered(count: int) -> Iterator[dict[str, Any]]:
    return ({"job_type": "sample_once", "payload": {"number": each}} for each in range(count))


def test_any_number_of_jobs_is_dispatched_in_requests_and_answered_in_order(
    client: Client, api_server: ApiServer
) -> None:
    found = list(client.dispatch_many(numbered(25), idempotency_key="may"))
    assert api_server.asked == ["POST /jobs/bulk"] * 3
    assert [each.index for each in found] == [*range(25)]
    for number, each in enumerate(found):
        assert each.job is not None
        assert each.job.organization_id == "acme"
        assert client.get(each.job.id).payload == {"number": number}


def test_a_program_that_was_interrupted_runs_again_with_the_same_key(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = list(islice(client.dispatch_many(numbered(25), idempotency_key="may"), 12))
    monkeypatch.setattr(bulk_client, "_MAX_JOBS", 7)  # as another version of the client may do
    again = list(client.dispatch_many(numbered(25), idempotency_key="may"))
    assert [each.job and each.job.id for each in again[:12]] == [
        each.job and each.job.id for each in first
    ]
    assert [each.job.replayed for each in again if each.job] == [True] * 20 + [False] * 5
    assert len(moto_direct.rows("jobs")) == 25
    assert len(script.jobs_run) in range(20, 26)
    assert len(set(script.jobs_run)) == len(script.jobs_run)


def test_a_job_that_conflicts_has_an_error_and_the_others_are_dispatched(client: Client) -> None:
    [first] = client.dispatch_many(numbered(1), idempotency_key="may")
    changed = [{"job_type": "sample_once", "payload": {"number": 9}}, *islice(numbered(2), 1, 2)]
    conflict, other = client.dispatch_many(changed, idempotency_key="may")
    assert isinstance(conflict.error, IdempotencyConflict)
    assert first.job is not None
    assert conflict.error.job_id == first.job.id
    assert (conflict.job, other.error) == (None, None)


def test_invalid_jobs_are_named_by_their_index_among_all(client: Client) -> None:
    jobs = [*numbered(14), {"job_type": "sample_once", "payload": {"number": "x"}}]
    found: list[Dispatched] = []
    with pytest.raises(InvalidRequest) as refused:
        found += client.dispatch_many(jobs, idempotency_key="may")
    assert [each["field"] for each in refused.value.fields] == ["jobs.4.payload.number"]
    assert [int(each["index"]) for each in refused.value.fields] == [14]
    assert refused.value.idempotency_key == "may"
    assert len(moto_direct.rows("jobs")) == 10  # those of the request before


def test_each_job_may_have_its_own_time_and_queue(client: Client) -> None:
    at = datetime.now(UTC) + timedelta(hours=1)
    more: list[dict[str, Any]] = [
        {"run_at": at},
        {"delay": timedelta(minutes=5)},
        {"queue_name": "slow"},
    ]
    found = list(client.dispatch_many({"job_type": "sample_once", **each} for each in more))
    jobs = [each.job for each in found if each.job]
    assert [each.status for each in jobs] == ["scheduled", "scheduled", "queued"]
    assert jobs[2].queue_name == "slow"


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"payload": {}}, "has no job_type"),
        ({"job_type": "a", "paylod": {}}, "unknown fields: paylod"),
        ({"job_type": "a", "run_at": datetime(2026, 5, 1)}, "no time zone"),  # noqa: DTZ001
    ],
)
def test_a_job_with_a_misspelled_field_is_not_sent(
    client: Client, api_server: ApiServer, wrong: dict[str, Any], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        list(client.dispatch_many([wrong]))
    assert api_server.asked == []


# --- an API that does not reach every job ---------------------------------------------------------


def result(index: int, status: int = 202) -> dict[str, Any]:
    problem = {
        "type": "urn:job-runners:not-reached",
        "title": "t",
        "status": status,
        "detail": "It was not reached.",
        "job_id": None,
    }
    return {
        "index": index,
        "status": status,
        "job": job("queued", id=f"{index:032x}") if status == 202 else None,
        "replayed": False,
        "unique_outcome": None,
        "problem": None if status == 202 else problem,
    }


def test_jobs_that_were_not_reached_are_sent_again_from_the_first_of_them() -> None:
    first = [result(0), result(1), result(2, 503), result(3), result(4, 503)]
    with BadServer() as server:
        server.script = [
            answer(200, {"jobs": first}),
            answer(503, {"message": "Service Unavailable"}),
            answer(200, {"jobs": [result(index) for index in (2, 3, 4)]}),
        ]
        found = list(caller(server).dispatch_many(numbered(5), idempotency_key="Jörg"))
    assert [each.index for each in found] == [0, 1, 2, 3, 4]
    sent = [each.json for each in server.seen]
    assert [each["first_index"] for each in sent] == [0, 2, 2]
    assert [len(each["jobs"]) for each in sent] == [5, 3, 3]
    assert {each["idempotency_key"] for each in sent} == {"Jörg"}


def test_it_gives_up_if_no_further_job_is_reached() -> None:
    with BadServer() as server:
        server.then = answer(200, {"jobs": [result(0, 503)]})
        with pytest.raises(ApiBusy, match="It was not reached") as busy:
            list(caller(server).dispatch_many(numbered(1)))
    assert len(server.seen) == 4
    assert busy.value.idempotency_key == server.seen[0].json["idempotency_key"]


def test_a_request_has_at_most_two_megabytes() -> None:
    text = "ä" * 100_000
    with BadServer() as server:
        server.script = [
            answer(200, {"jobs": [result(0), result(1), result(2)]}),
            answer(200, {"jobs": [result(3)]}),
        ]
        jobs = ({"job_type": "a", "payload": {"text": text}} for _ in range(4))
        assert len(list(caller(server).dispatch_many(jobs))) == 4
    assert [len(each.json["jobs"]) for each in server.seen] == [3, 1]
    assert all(len(each.body) < 2_500_000 for each in server.seen)


def caller(server: BadServer) -> Client:
    given = Credentials("AKIDEXAMPLE", "s3cret", "session")
    return Client(url=server.url, credentials=given, region="eu-west-1", max_attempts=4)
