"""Jobs with follow-ups under the code of 0.2.0, which starts none, and ends them without one."""

from bench import Bench
from code_of_0_2_0 import Run
from job_runners import clock
from job_runners.api import views
from job_runners.engine.control import owner_actions
from job_runners.store.job_request import Status
from job_runners.testing import moto_direct

DAY = 25 * clock.HOUR


def follow_ups() -> list[str]:
    return [row["job_type"] for row in moto_direct.rows("jobs") if "follow_up_of" in row]


def test_0_2_0_starts_no_job_with_follow_ups_and_its_end_of_one_has_none(
    today: Bench, run_0_2_0: Run
) -> None:
    row = today.dispatch("released_once", payload={}, on_end="note_end")
    run_0_2_0(row, 5 * clock.MINUTE)
    row = today.read(row)
    assert (row.status, row.legs, row.on_end["job_type"]) == (Status.QUEUED, 0, "note_end")

    run_0_2_0(row, DAY)
    row = today.read(row)
    assert (row.status, row.error["kind"]) == (Status.FAILED, "NeverStarted")
    assert follow_ups() == []
    assert views._follow_ups(row) == []

    today.advance(DAY / clock.SECOND + 600)
    owner_actions.retry_again(row, today.send)
    assert today.run(row).status is Status.SUCCEEDED
    assert follow_ups() == ["note_end"]
