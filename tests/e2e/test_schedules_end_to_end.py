"""A schedule on the local AWS: put over HTTP, started by the timer, run now, paused, deleted."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from local_stack import Local

# In `job-runners run`. This gives up the template's schedule of the timer, which
# test_timer_schedule.py has.
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("local run")]

NAME, WHOSE = "every minute", "tidy"
PATH, QUERY = f"/schedules/{quote(NAME)}", f"?organization_id={WHOSE}"


@pytest.fixture
def schedule(local: Local) -> Iterator[dict[str, Any]]:
    """Yield a schedule that is due every minute."""
    body = {"job_type": "export_contacts", "every": 60, "payload": {"campaign": "none"}}
    answer = local.api.put(f"{PATH}{QUERY}", body)
    assert answer.status == 201, answer.text
    yield answer.json
    local.api.delete(f"{PATH}{QUERY}")


def shown(local: Local) -> dict[str, Any]:
    answer = local.api.get(f"{PATH}{QUERY}")
    assert answer.status == 200, answer.text
    found: dict[str, Any] = answer.json
    return found


def a_minute_earlier(local: Local) -> None:
    """As if a minute had passed since it was put: its next occurrence has come."""
    local.client("dynamodb").update_item(
        TableName=local.stack.coordination_table_name,
        Key={"pk": {"S": f"schedules#{WHOSE}"}, "sk": {"S": NAME}},
        UpdateExpression="ADD next_at :minute, since :minute, due_at :minute",
        ExpressionAttributeValues={":minute": {"N": "-60000"}},
    )


def test_a_schedule_starts_its_job_once_and_when_it_is_told_to(
    local: Local, schedule: dict[str, Any]
) -> None:
    assert (schedule["words"], schedule["last"], len(schedule["next"])) == ("every minute", None, 5)
    a_minute_earlier(local)
    for _ in range(2):  # the second finds nothing due
        local.tick()
    last = shown(local)["last"]
    job = local.reach(last["job_id"])
    assert job["status"] == "succeeded", job["error"]
    assert job["result"]["rows"] == 0
    assert (job["created_by"], job["organization_id"]) == (f"schedule:{NAME}", WHOSE)
    assert last["at"] < schedule["next"][0]

    run = local.api.post(f"{PATH}/run{QUERY}", None)
    assert run.status == 202, run.text
    assert local.reach(run.json["id"], "succeeded")

    assert local.api.put(f"{PATH}/paused{QUERY}", None).status == 200
    started = shown(local)["started"]
    assert shown(local)["next"] == []
    local.tick()
    assert shown(local)["started"] == started
    listed = local.api.get(f"/jobs{QUERY}").json["jobs"]
    assert len(listed) == started + 1  # each occurrence once, and the one that was run now
