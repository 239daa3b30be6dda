"""What record_release.py records of work that is unique, and of schedules."""

from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from job_runners import clock
from job_runners.engine.control import caller_actions
from job_runners.engine.job_data import RerunData
from job_runners.engine.schedules import recurring, schedules
from job_runners.runners import get_job_runner
from job_runners.store import copied_steps
from job_runners.work import Recurring, context

if TYPE_CHECKING:
    from record_release import Recorder


def record_unique(this: "Recorder") -> None:
    """Rows that have a key, follow another, were put off, or were done again; and their records."""
    this.dispatch("unique_queued", "released_unique", payload={"to": 1})
    # Its idempotency key names a job that did its work already.
    this.dispatch("answered_key", "released_unique", payload={"to": 1}, idempotency_key="summer")
    again = this.dispatch("unique_again", "released_unique", payload={"to": 2})
    caller_actions.cancel(again)
    caller_actions.retry_again(this.read(again), this.send)

    later: dict[str, Any] = {"job_type": "released_replaced", "delay": 600}
    first = this.dispatch("unique_put_off", payload={"to": 1, "ballast": "may"}, **later)
    this.now += clock.MINUTE
    with patch.object(context, "recorded_author", lambda: "operator:ada"):
        put_off = this.dispatch("unique_put_off", payload={"to": 2, "ballast": "may"}, **later)
    assert put_off.id == first.id

    april: dict[str, Any] = {"job_type": "released_replaced", "delay": 600}
    for key in (None, "autumn"):  # the second one's key names the job that it has changed
        payload = {"to": 1, "ballast": "april"}
        this.dispatch("unique_replaced", payload=payload, idempotency_key=key, **april)

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


def record_due_schedules(this: "Recorder") -> None:
    """Schedules whose occurrences were started, skipped, refused and given up, or wait.

    The clock moves from eleven hours before the beginning of the rest to that.
    """
    this.now = this.beginning - 13 * clock.HOUR
    half_days: dict[str, Any] = {"every": 43_200, "payload": {"to": 1}}
    overlaps: dict[str, Any] = {"starts": "allow", "skips": "skip", "queues": "queue"}
    for name, overlap in overlaps.items():
        schedule = Recurring("released_child", organization_id="acme", overlap=overlap, **half_days)
        schedules.put("acme", name, schedule)
    this.now = this.beginning - 12 * clock.HOUR
    _start_due(this)
    schedules.delete("acme", "starts")
    with this.setting("MAX_UNFINISHED_JOBS", "1"):
        this.dispatch("fills_quota", "released_child", organization_id="full", payload={"to": 1})
        for name, hour in (("given_up", 1), ("refused", 12)):
            daily = Recurring("released_child", organization_id="full", cron=f"0 {hour} * * *")
            with this.author():
                schedules.put("full", name, daily)
        for hours in (-11, -10, 0):
            this.now = this.beginning + hours * clock.HOUR
            _start_due(this)


def _start_due(this: "Recorder") -> None:
    recurring.start_due(this.send, until=this.now + clock.MINUTE)


def record_schedules(this: "Recorder") -> None:
    """Schedules, one of them paused."""
    hourly = Recurring("released_child", organization_id="acme", payload={"to": 1}, every=3600)
    with this.author():
        for name in ("hourly", "paused"):
            schedules.put("acme", name, hourly)
        schedules.pause("acme", "paused")
