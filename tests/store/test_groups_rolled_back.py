"""Groups under the code of 0.2.0, which knows none: it runs members, and leaves their owner."""

import pytest

from api_events import request
from bench import Bench
from code_of_0_2_0 import Run
from job_runners import clock
from job_runners.store import blobs, steps
from job_runners.store.groups import Group
from job_runners.store.job_request import JobRequest, Status

SOON = 5 * clock.MINUTE


def waiting(today: Bench) -> tuple[JobRequest, list[JobRequest]]:
    """Return a job that waits for its group, and its members."""
    row = today.run(today.dispatch("released_gatherer", payload={}))
    assert row.status is Status.WAITING
    step = steps.find(row, "gather both")
    assert step is not None
    group = Group(step.result["id"], step.result["shards"])
    return row, [today.read(group.member_id(key)) for key in ("000000", "000001")]


def continue_today(today: Bench, row: JobRequest) -> list[str]:
    """Let the timer of this version look at the group, and return what the job got."""
    today.advance(SOON / clock.SECOND)
    today.tick()
    today.sent = [each for each in today.sent if getattr(each[0], "id", None) == row.id]
    today.deliver()
    row = today.read(row)
    assert row.status is Status.SUCCEEDED
    result: dict[str, list[str]] = blobs.get(row.result, row.result_key)
    return result["gathered"]


def test_0_2_0_leaves_the_owner_and_ends_members(today: Bench, run_0_2_0: Run) -> None:
    row, members = waiting(today)
    today.run(members[0])
    before = today.read(row)
    run_0_2_0(members[1], SOON)
    assert today.read(members[1]).status is Status.SUCCEEDED
    assert today.read(row).serialize() == before.serialize()
    assert continue_today(today, row) == ["succeeded", "succeeded"]


@pytest.mark.more
def test_0_2_0_cancels_a_member_and_does_not_touch_the_owner_for_days(
    today: Bench, run_0_2_0: Run
) -> None:
    row, members = waiting(today)
    path = f"/jobs/{members[1].id}/cancel"
    run_0_2_0(row, SOON, [request("POST", path, query={"organization_id": "acme"})])
    assert today.read(members[1]).status is Status.CANCELLED
    today.run(members[0])
    before = today.read(row)
    run_0_2_0(row, 3 * clock.DAY)
    assert today.read(row).serialize() == before.serialize()
    assert continue_today(today, row) == ["succeeded", "cancelled"]


@pytest.mark.more
def test_a_member_that_0_2_0_retries_does_not_block_the_owner(today: Bench, run_0_2_0: Run) -> None:
    row, members = waiting(today)
    organization = {"organization_id": "acme"}
    requests = [
        request("POST", f"/jobs/{members[1].id}/{verb}", query=organization)
        for verb in ("cancel", "retry")
    ]
    run_0_2_0(members[0], SOON, requests)
    today.run(members[1])
    assert continue_today(today, row) == ["succeeded", "succeeded"]
