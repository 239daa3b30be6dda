"""Jobs that wait for a signal under the code of 0.2.0, which knows no signals."""

import pytest

from api_events import request
from bench import Bench
from code_of_0_2_0 import Run
from job_runners import clock
from job_runners.engine.control import owner_actions, signaling
from job_runners.errors import SignalTooLate
from job_runners.store.job_request import JobRequest, Status

SOON, LATER = 5 * clock.MINUTE, 30 * clock.MINUTE


def waiting(today: Bench) -> JobRequest:
    row = today.run(today.dispatch("released_waiter", payload={}))
    assert row.status is Status.WAITING
    return row


def test_0_2_0_lets_a_job_wait_until_its_signal_comes(today: Bench, run_0_2_0: Run) -> None:
    row = waiting(today)
    for later in (SOON, 3 * clock.DAY):
        run_0_2_0(row, later)
        now = today.read(row)
        assert (now.status, now.waits_for, now.due_at) == (row.status, row.waits_for, row.due_at)
    signaling.signal(today.read(row), "approval", "yes", today.send)
    today.deliver()
    assert today.read(row).status is Status.SUCCEEDED


def test_0_2_0_leaves_a_signaled_job_to_this_version(today: Bench, run_0_2_0: Run) -> None:
    row = signaling.signal(waiting(today), "approval", "yes", today.send)
    early = signaling.signal(
        today.dispatch("released_waiter", payload={}), "approval", "yes", today.send
    )
    for each in (row, early):
        run_0_2_0(each, SOON)
        assert today.read(each).status is Status.QUEUED
    assert today.read(early).legs == 0
    today.deliver()
    today.run(early)
    assert [today.read(each).status for each in (row, early)] == [Status.SUCCEEDED] * 2


@pytest.mark.more
def test_0_2_0_cancels_a_waiting_job_which_then_takes_no_signal(
    today: Bench, run_0_2_0: Run
) -> None:
    row = waiting(today)
    path = f"/jobs/{row.id}/cancel"
    run_0_2_0(row, SOON, [request("POST", path, query={"organization_id": "acme"})])
    row = today.read(row)
    assert row.status is Status.CANCELLED
    with pytest.raises(SignalTooLate):
        signaling.signal(row, "approval", "yes", today.send)
    today.advance(LATER / clock.SECOND)
    row = today.run(owner_actions.retry_again(row, today.send))
    assert row.status is Status.WAITING
    signaling.signal(row, "approval", "yes", today.send)
    today.deliver()
    assert today.read(row).status is Status.SUCCEEDED
