"""Who may do what: services that sign their requests, and callers with an organisation's token."""

from typing import Any

import pytest

from api_events import Answer, call
from job_runners.settings import forget
from job_runners.store import queries
from job_runners.testing import moto_direct
from sample_work import script
from stale_reads import catch_up

pytestmark = pytest.mark.usefixtures("aws")

OURS = {"organization_id": "ours", "roles": "operator", "sub": "user-1"}


@pytest.fixture(autouse=True)
def tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the API take tokens; `by_service` is for those tests that need the other mode too."""
    monkeypatch.setenv("PROJECT_PACKAGES", "sample_work")
    monkeypatch.setenv("ACCESS_MODE", "jwt")
    script.reset()


def by_service(method: str, path: str, **parts: Any) -> Answer:
    """Make the same request where callers sign theirs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACCESS_MODE", "iam")
        forget()
        answer = call(method, path, **parts)
    forget()
    return answer


def job_of(organization_id: str) -> str:
    body = {"job_type": "sample_once", "organization_id": organization_id}
    job_id: str = by_service("POST", "/jobs", body=body).json["id"]
    return job_id


def refused(answer: Answer, status: int) -> None:
    assert answer.status == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def rows() -> int:
    return len(moto_direct.rows("jobs"))


# --- services -------------------------------------------------------------------------------------


def test_a_service_names_the_organisation_or_leaves_the_default() -> None:
    body = {"job_type": "sample_once"}
    assert by_service("POST", "/jobs", body=body).json["organization_id"] == "default"
    named = by_service("POST", "/jobs", body={**body, "organization_id": "acme"})
    assert named.json["organization_id"] == "acme"


def test_a_service_must_name_the_organisation_it_lists() -> None:
    answer = by_service("GET", "/jobs")
    refused(answer, 400)
    assert answer.json["errors"] == [{"field": "organization_id", "why": "is required"}]


def test_a_service_reads_the_jobs_of_any_organisation() -> None:
    assert by_service("GET", f"/jobs/{job_of('a')}").status == 200
    assert by_service("GET", f"/jobs/{job_of('b')}").status == 200


def test_a_token_is_no_signature() -> None:
    """A stack whose routes take tokens, but whose function was left to trust every caller."""
    for method, path, body in (
        ("POST", "/jobs", {"job_type": "sample_once"}),
        ("POST", "/tasks", {"task_name": "sample_note"}),
        ("GET", "/job-types", None),
    ):
        refused(by_service(method, path, body=body, claims=OURS), 403)
    assert (rows(), script.tasks_run) == (0, [])


# --- callers with a token -------------------------------------------------------------------------


def test_the_claim_that_names_the_organisation_is_a_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("JWT_ORGANIZATION_CLAIM", "https://acme.test/org")
    forget()
    answer = call(
        "POST",
        "/jobs",
        body={"job_type": "sample_once"},
        claims={**OURS, "https://acme.test/org": "theirs"},
    )
    assert answer.json["organization_id"] == "theirs"


@pytest.mark.parametrize("named", [{}, {"organization_id": "ours"}, {"organization_id": None}])
def test_a_job_belongs_to_the_organisation_of_the_token(named: dict[str, Any]) -> None:
    answer = call("POST", "/jobs", body={"job_type": "sample_once", **named}, claims=OURS)
    assert answer.status == 202
    assert answer.json["organization_id"] == "ours"


def test_a_job_for_another_organisation_is_refused() -> None:
    others: list[Any] = ["theirs", "default", "", "OURS", "ours ", 0, False, ["ours"], {}]
    for named in others:
        body = {"job_type": "sample_once", "organization_id": named}
        refused(call("POST", "/jobs", body=body, claims=OURS), 403)
    assert rows() == 0


def test_another_organisations_job_looks_like_none() -> None:
    theirs, nobodys = job_of("theirs"), "0" * 32
    answers = [call("GET", f"/jobs/{job_id}", claims=OURS) for job_id in (theirs, nobodys)]
    for answer, job_id in zip(answers, (theirs, nobodys), strict=True):
        refused(answer, 404)
        assert answer.json["detail"].replace(job_id, "") == answers[0].json["detail"].replace(
            theirs, ""
        )
    assert call("GET", f"/jobs/{job_of('ours')}", claims=OURS).status == 200


VERBS = [("POST", "/cancel"), ("POST", "/retry"), ("DELETE", "")]


@pytest.mark.parametrize(("method", "verb"), VERBS)
@pytest.mark.parametrize("state", ["queued", "failed"])
def test_nothing_can_be_done_with_another_organisations_job(
    method: str, verb: str, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBS_SAME_PROCESS", "false" if state == "queued" else "true")
    script.job = lambda job, payload: 1 / 0
    theirs, nobodys = job_of("theirs"), "0" * 32
    before = queries.read(theirs)
    answers = [
        call(method, f"/jobs/{job_id}{verb}", claims=OURS, raw=raw)
        for job_id in (theirs, nobodys)
        for raw in (None, "{")  # a body that is wrong tells no more
    ]
    for answer in answers:
        refused(answer, 404)
    shown = {each.json["detail"].replace(theirs, "").replace(nobodys, "") for each in answers}
    assert len(shown) == 1
    after = queries.read(theirs)
    assert before is not None
    assert after is not None
    assert after.attribute_values == before.attribute_values
    assert str(after.status) == state


def test_a_caller_cancels_retries_and_deletes_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBS_SAME_PROCESS", "false")
    job = f"/jobs/{job_of('ours')}"
    assert call("POST", f"{job}/cancel", claims=OURS).status == 200
    assert call("POST", f"{job}/retry", claims=OURS).status == 202
    assert call("POST", f"{job}/cancel", claims=OURS).status == 200
    assert call("DELETE", job, claims=OURS).status == 204


def test_an_idempotency_key_is_the_organisations_own() -> None:
    body = {"job_type": "sample_once", "idempotency_key": "k"}
    theirs = by_service("POST", "/jobs", body={**body, "organization_id": "theirs"}).json
    ours = call("POST", "/jobs", body=body, claims=OURS)
    assert ours.status == 202
    assert ours.json["id"] != theirs["id"]
    assert "idempotent-replayed" not in ours.headers


def test_a_key_finds_a_callers_own_job_alone() -> None:
    body = {"job_type": "sample_once", "idempotency_key": "k"}
    by_service("POST", "/jobs", body={**body, "organization_id": "theirs"})
    assert call("GET", "/jobs", query="idempotency_key=k", claims=OURS).json["jobs"] == []
    ours = call("POST", "/jobs", body=body, claims=OURS).json["id"]
    [job] = call("GET", "/jobs", query="idempotency_key=k", claims=OURS).json["jobs"]
    assert job["id"] == ours
    query = "idempotency_key=k&organization_id=theirs"
    refused(call("GET", "/jobs", query=query, claims=OURS), 403)


def test_only_services_pause_and_resume() -> None:
    for method, path in (
        ("PUT", "/paused/queue/default"),
        ("DELETE", "/paused/queue/default"),
        ("PUT", "/paused/job_type/sample_once"),
        ("PUT", "/paused/nothing/there"),
    ):
        refused(call(method, path, claims=OURS), 403)
    assert call("GET", "/paused", claims=OURS).json == {"paused": []}


def test_a_caller_sees_what_is_paused_but_no_name_that_may_be_anothers() -> None:
    for path in ("queue/default", "queue/their-secret-launch", "job_type/sample_once"):
        assert by_service("PUT", f"/paused/{path}").status == 200
    seen = call("GET", "/paused", claims=OURS).json["paused"]
    assert {each["name"] for each in seen} == {"default", "sample_once"}
    assert len(by_service("GET", "/paused").json["paused"]) == 3


def test_a_list_is_of_the_tokens_organisation() -> None:
    ours = job_of("ours")
    job_of("theirs")
    catch_up()
    for query in ("", "organization_id=ours"):
        answer = call("GET", "/jobs", query=query, claims=OURS)
        assert [job["id"] for job in answer.json["jobs"]] == [ours]


def test_a_list_of_another_organisation_is_refused() -> None:
    job_of("theirs")
    refused(call("GET", "/jobs", query="organization_id=theirs", claims=OURS), 403)


def test_a_cursor_of_another_organisations_list_shows_only_ones_own() -> None:
    ours = job_of("ours")
    for _ in range(3):
        job_of("theirs")
    catch_up()
    foreign = by_service("GET", "/jobs", query="organization_id=theirs&limit=1").json["cursor"]
    answer = call("GET", "/jobs", query={"cursor": foreign}, claims=OURS)
    assert answer.status == 200
    assert [job["id"] for job in answer.json["jobs"]] == [ours]


def test_a_caller_that_may_not_is_told_so_before_its_body_is_looked_at() -> None:
    refused(call("POST", "/jobs", raw="{", claims={**OURS, "roles": "reader"}), 403)
    refused(call("POST", "/tasks", raw="{", claims=OURS), 403)
