"""What record_release.py records of work that is unique, and of schedules."""

from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from job_runners import clock
from job_runners.engine.control import caller_actions
from job_runners.engine.job_data import RerunData
from job_runners.engine.schedules import schedules
from job_runners.runners import get_job_runner
from job_runners.store import copied_steps
from job_runners.work import Recurring, context

if TYPE_CHECKING:
    from record_release import Recorder


def record_unique(this: "Recorder") -> None:
    """Rows that have a key, follow another, were put off, or were done again; and their records."""
    this.dispatch("unique_queued", "released_unique", payload={"to": 1})
    again = this.dispatch("unique_again", "released_unique", payload={"to": 2})
    caller_actions.cancel(again)
    caller_actions.retry_again(this.read(again), this.send)

    later: dict[str, Any] = {"job_type": "released_replaced", "delay": 600}
    first = this.dispatch("unique_put_off", payload={"to": 1, "ballast": "may"}, **later)
    this.now += clock.MINUTE
    with patch.object(context, "recorded_author", lambda: "operator:ada"):
        put_off = this.dispatch("unique_put_off", payload={"to": 2, "ballast": "may"}, **later)
    assert put_off.id == first.id

    once = {"payload": {"to": 1, "ballast": "june"}}
    this.claim(this.dispatch("unique_running", "released_replaced", **once), 600)
    this.dispatch("unique_follows", "released_replaced", **once)


def record_rerun(this: "Recorder") -> None:
    """A queued job that continues a finished one from its first step."""
    done = this.run(this.dispatch("rerun_source", payload={"to": 1}))
    plan = copied_steps.plan(done, "first")
    data: dict[str, Any] = {
        "job_type": "released_count",
        "organization_id": "acme",
        "payload": {"to": 1},
    }
    get_job_runner().dispatch_job(RerunData(**data, rerun_of=plan))


def record_schedules(this: "Recorder") -> None:
    """Schedules, one of them paused."""
    hourly = Recurring("released_child", organization_id="acme", payload={"to": 1}, every=3600)
    for name in ("hourly", "paused"):
        schedules.put("acme", name, hourly)
    schedules.pause("acme", "paused")
