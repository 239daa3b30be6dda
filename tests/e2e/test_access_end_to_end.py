"""Every route for every token that must not get in, at the local AWS's own JWT authorizer."""

import time
from typing import Any

import pytest

from every_route import EVERY_ROUTE, Asked, Entry
from job_runners.client.connections import Response
from local_stack import Enforcing

pytestmark = pytest.mark.e2e

GUARDED = {name: entry for name, entry in EVERY_ROUTE.items() if entry.least is not None}
EACH = pytest.mark.parametrize("entry", GUARDED.values(), ids=map(" ".join, GUARDED))
ROLES = ("viewer", "reader", "operator", "service")
NOBODYS = {"ours": "0" * 32, "theirs": "f" * 32}
ALL = {"roles": "service", "organization_id": "ours"}


def asked(stack: Enforcing, request: Asked, token: str | None) -> Response:
    """Return the answer to a request with this token."""
    api = stack.called_with(token or "")
    path = request.path.format(**NOBODYS)
    return api.call(request.method, path, request.body, signed=token is not None)


def rows(stack: Enforcing) -> int:
    found = stack.client("dynamodb").scan(TableName=stack.stack.table_name, Select="COUNT")
    return int(found["Count"])


@EACH
def test_a_token_that_is_not_ours_is_turned_away_by_api_gateway(
    enforcing: Enforcing, entry: Entry
) -> None:
    issuer, now = enforcing.issuer, int(time.time())
    before = rows(enforcing)
    refused = {
        "no token": None,
        "no token but the word": "",
        "not a token": "service",
        "forged": issuer.forged(**ALL),
        "altered": issuer.altered(**ALL),
        "unsigned": issuer.unsigned(**ALL),
        "expired": issuer.token(**ALL, exp=now - 1),
        "not valid yet": issuer.token(**ALL, nbf=now + 600),
        "other audience": issuer.token(**ALL, aud="another-app"),
        "other audiences": issuer.token(**ALL, aud=["another-app", "a-third"]),
        "other issuer": issuer.token(**ALL, iss="http://127.0.0.1:9"),
    }
    for name, token in refused.items():
        assert asked(enforcing, entry.takes, token).status == 401, name
    assert rows(enforcing) == before


@EACH
def test_a_token_of_ours_gets_as_far_as_its_role(enforcing: Enforcing, entry: Entry) -> None:
    for role in ROLES:
        token = enforcing.issuer.token(roles=["staff", role], organization_id="ours")
        answer = asked(enforcing, entry.takes, token)
        may = ROLES.index(role) >= ROLES.index(str(entry.least))
        assert (answer.status == 403) is not may, (role, answer.text)


@EACH
def test_a_token_that_names_no_organisation_is_refused_by_the_api(
    enforcing: Enforcing, entry: Entry
) -> None:
    for claims in ({}, {"organization_id": ["ours", "theirs"]}):
        token = enforcing.issuer.token(roles="operator", **claims)
        answer = asked(enforcing, entry.takes, token)
        assert answer.status == 403
        assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    "entry", [each for each in EVERY_ROUTE.values() if each.least is None], ids=str
)
def test_what_is_open_needs_no_token(enforcing: Enforcing, entry: Entry) -> None:
    unknown_link = entry.takes.path.startswith("/answers/")
    assert asked(enforcing, entry.takes, None).status == (404 if unknown_link else 200)


def test_organisations_do_not_see_each_other(enforcing: Enforcing) -> None:
    def by(organization: str) -> Any:
        token = enforcing.issuer.token(roles="operator", organization_id=organization)
        return enforcing.called_with(token)

    body = {"job_type": "export_contacts", "payload": {"campaign": "spring"}}
    theirs = by("theirs").post("/jobs", body).json["id"]
    ours = by("ours").post("/jobs", body).json["id"]
    for method, verb in (("GET", ""), ("POST", "/cancel"), ("POST", "/retry"), ("DELETE", "")):
        assert by("ours").call(method, f"/jobs/{theirs}{verb}").status == 404
    assert by("ours").post("/jobs", {**body, "organization_id": "theirs"}).status == 403
    assert by("ours").get("/jobs?organization_id=theirs").status == 403
    cursor = enforcing.api.get("/jobs?organization_id=theirs&limit=1").json["cursor"]
    listed = by("ours").get("/jobs" + (f"?cursor={cursor}" if cursor else "")).json["jobs"]
    assert {each["organization_id"] for each in listed} <= {"ours"}
    assert ours in [each["id"] for each in by("ours").get("/jobs").json["jobs"]]
