"""Every route, for every caller who must not: no role, a lower one, no organisation, another's."""

from collections.abc import Callable
from typing import Any

import pytest

from api_events import Answer, call
from every_route import (
    BATCH,
    EVERY_ROUTE,
    FAILED_TASK,
    FAILURE,
    LINK,
    SCHEDULE,
    WEBHOOK,
    Asked,
    Entry,
)
from job_runners.api.routes.table import ROUTES
from job_runners.settings import forget
from job_runners.store import failed_tasks, webhooks
from job_runners.store.error_groups import ErrorGroup
from job_runners.store.job_request import JobRequest
from job_runners.testing import moto_direct
from job_runners.testing.plain_clients import every_row
from sample_work import script
from worker_log import make_worker_log

pytestmark = pytest.mark.usefixtures("aws")

ROLES = ("viewer", "reader", "operator", "service")
GUARDED = {name: entry for name, entry in EVERY_ROUTE.items() if entry.least is not None}
EACH = pytest.mark.parametrize("entry", GUARDED.values(), ids=map(" ".join, GUARDED))


@pytest.fixture(autouse=True)
def tokens(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work")
    monkeypatch.setenv("ACCESS_MODE", "jwt")
    monkeypatch.setenv("WEBHOOK_SUBSCRIPTIONS", "true")
    make_worker_log(monkeypatch)
    script.reset()


@pytest.fixture
def ids(entry: Entry, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return a job of each organisation, in the state that the request is for."""
    return made(entry.job, monkeypatch, schedules="/schedules" in entry.takes.path)


def made(state: str, monkeypatch: pytest.MonkeyPatch, schedules: bool = True) -> dict[str, str]:
    """Make a job in a state and a schedule for each organisation, and a failed task."""
    script.job = lambda job, payload: 1 / 0
    monkeypatch.setenv("JOBS_SAME_PROCESS", "true" if state == "failed" else "false")
    # Without webhooks, because a failed job's delivery would be retried during the requests.
    monkeypatch.setenv("WEBHOOK_SUBSCRIPTIONS", "false")
    forget()
    make = batch_of if state == "batch" else job_of
    ids = {name: make(name) for name in ("ours", "theirs")}
    monkeypatch.setenv("WEBHOOK_SUBSCRIPTIONS", "true")
    forget()
    for name in ids if schedules else ():
        method, path, parts = Asked(
            "PUT", f"/schedules/nightly?organization_id={name}", SCHEDULE
        ).parts()
        assert call(method, path, claims={"roles": "service"}, **parts).status < 300
    for name in ids:
        webhooks.put(name, "crm", by=None, **WEBHOOK | {"secret": f"{name}/main"})
    for row in moto_direct.rows("coordination"):
        if row["pk"].startswith("failures#"):
            ErrorGroup(row["pk"], row["sk"]).update([ErrorGroup.id.set(FAILURE)])
    script.reset()
    failed_tasks.record(
        FAILED_TASK,
        task_name="sample_note",
        attempt=1,
        error_kind="ValueError",
        error_message="no luck",
        request_id=None,
        payload={},
    )
    return ids


def changes_nothing(
    monkeypatch: pytest.MonkeyPatch, requests: Callable[[Entry, dict[str, str]], None]
) -> None:
    """Send the requests of each route, where all that they ask for exists. None may change it."""
    for state in sorted({entry.job for entry in GUARDED.values()}):
        ids = made(state, monkeypatch)
        before = everything()
        for entry in GUARDED.values():
            if entry.job == state:
                try:
                    requests(entry, ids)
                    assert everything() == before
                except AssertionError as error:
                    error.add_note(f"the request was {entry.takes}")
                    raise


def job_of(organization_id: str, **fields: Any) -> str:
    body = {"job_type": "sample_once", "organization_id": organization_id, **fields}
    answer = call("POST", "/jobs", body=body, claims={"roles": "service"})
    assert answer.status == 202, answer.text
    job_id: str = answer.json["id"]
    return job_id


def batch_of(organization_id: str) -> str:
    body = {**BATCH, "idempotency_key": "another", "organization_id": organization_id}
    answer = call("POST", "/batches", body=body, claims={"roles": "service"})
    assert answer.status == 202, answer.text
    job_id: str = answer.json["id"]
    return job_id


def token(role: Any, organization_id: Any = "ours") -> dict[str, Any]:
    """Return claims as API Gateway passes them on."""
    return {"sub": "user-1", "roles": role, "organization_id": organization_id}


def everything() -> list[dict[str, Any]]:
    """Return every row, schedule, webhook and other record there is, and how many tasks ran."""
    rows = [*moto_direct.rows("jobs"), *moto_direct.rows("coordination")]
    return [*rows, {"tasks": len(script.tasks_run)}]


def refused(answer: Answer, status: int = 403) -> str:
    assert answer.status == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    detail: str = answer.json["detail"]
    return detail


def test_every_route_is_in_the_table() -> None:
    routes = {(path, method) for path, methods in ROUTES.items() for method in methods}
    assert routes == EVERY_ROUTE.keys()


def test_a_token_without_a_role_is_refused_and_told_which_claim_was_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def requests(entry: Entry, ids: dict[str, str]) -> None:
        method, path, parts = entry.takes.parts(**ids)
        for claims in (None, {}, {"sub": "user-1", "organization_id": "ours", "scope": "operator"}):
            detail = refused(call(method, path, claims=claims, **parts))
            assert (
                "none of the roles viewer, reader, operator, service in its claim 'roles'" in detail
            )

    changes_nothing(monkeypatch, requests)


LOOK_LIKE_ROLES = (
    "",
    "Service",
    "services",
    "service ",
    "reader operator service",
    "reader,operator,service",
    "[]",
    "[services xoperator reader2]",
    "[reader,operator,service]",
    "[[service]]",
    "[service",
    "service]",
    "[service]\n",
    '["service"]',
    ["service"],
    {"service": True},
    3,
    True,
    None,
)


def test_a_role_that_only_looks_like_one_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def requests(entry: Entry, ids: dict[str, str]) -> None:
        method, path, parts = entry.takes.parts(**ids)
        for role in LOOK_LIKE_ROLES:
            refused(call(method, path, claims=token(role), **parts))

    changes_nothing(monkeypatch, requests)


def test_a_role_below_what_the_route_asks_for_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def requests(entry: Entry, ids: dict[str, str]) -> None:
        method, path, parts = entry.takes.parts(**ids)
        for role in ROLES[: ROLES.index(str(entry.least))]:
            detail = refused(call(method, path, claims=token(role), **parts))
            assert detail.endswith(f"Your token has the role {role}.")

    changes_nothing(monkeypatch, requests)


@EACH
@pytest.mark.parametrize("form", ["{}", "[admin {}]"])
def test_every_other_role_is_let_in_however_its_claim_is_written(
    entry: Entry, ids: dict[str, str], form: str
) -> None:
    method, path, parts = entry.takes.parts(**ids)
    answer = call(method, path, claims=token(form.format(entry.least)), **parts)
    assert answer.status < 300, answer.text


@EACH
def test_a_service_is_let_in_with_no_organisation_in_its_token(
    entry: Entry, ids: dict[str, str]
) -> None:
    method, path, parts = entry.takes.parts(**ids)
    answer = call(method, path, claims={"roles": "[reader service]"}, **parts)
    assert answer.status < 300, answer.text


def test_nobody_else_is_let_in_with_no_organisation_in_its_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def requests(entry: Entry, ids: dict[str, str]) -> None:
        method, path, parts = entry.takes.parts(**ids)
        for organization_id in (None, "", 7, ["ours"], "[ours theirs]", "ours#theirs"):
            for role in ("reader", "operator"):
                refused(call(method, path, claims=token(role, organization_id), **parts))

    changes_nothing(monkeypatch, requests)


def test_what_another_organisation_has_is_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    def requests(entry: Entry, ids: dict[str, str]) -> None:
        for asked, status in entry.reaching:
            method, path, parts = asked.parts(**ids)
            answer = call(method, path, claims=token("operator"), **parts)
            refused(answer, status)
            assert "theirs" not in answer.text

    changes_nothing(monkeypatch, requests)


@pytest.mark.parametrize(
    "entry",
    # test_answers.py says what links show.
    [each for each in EVERY_ROUTE.values() if each.least is None and LINK not in each.takes.path],
    ids=lambda entry: entry.takes.path,
)
def test_what_is_open_to_all_is_the_same_whatever_is_in_the_stack(entry: Entry) -> None:
    method, path, parts = entry.takes.parts()
    before = call(method, path, **parts)
    job_id = job_of("ours", payload={"text": "s3cret"})
    after = call(method, path, **parts)
    assert (after.status, after.text) == (200, before.text)
    assert "s3cret" not in after.text
    assert job_id not in after.text


# --- the settings that name the claims ------------------------------------------------------------


def test_the_claim_that_names_the_roles_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_ROLES_CLAIM", "cognito:groups")
    forget()
    claims = {"organization_id": "ours", "roles": "service", "cognito:groups": "[reader staff]"}
    assert call("GET", "/job-types", claims=claims).status == 200
    refused(call("POST", "/jobs", body={"job_type": "sample_once"}, claims=claims))
    assert "'cognito:groups'" in refused(call("GET", "/jobs", claims=token("service")))


def test_a_caller_with_several_roles_may_do_what_the_highest_may() -> None:
    body = {"job_type": "sample_once"}
    assert call("POST", "/jobs", body=body, claims=token("[operator reader]")).status == 202


# --- payloads that name what is another organisation's --------------------------------------------


def test_a_payload_can_not_move_a_job_to_another_organisation() -> None:
    hook = {"url": "https://example.org/hook", "body": {}, "secret": "theirs/main"}
    body = {"job_type": "post_webhook", "payload": {**hook, "organization_id": "theirs"}}
    refused(call("POST", "/jobs", body=body, claims=token("operator")), 422)
    assert every_row(JobRequest) == []
