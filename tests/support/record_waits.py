"""What record_release.py records of jobs that wait, of groups, files, follow-ups and webhooks."""

from typing import TYPE_CHECKING
from unittest.mock import patch

from job_runners import clock
from job_runners.aws import bucket
from job_runners.engine.control import caller_actions, signaling
from job_runners.engine.groups import progress
from job_runners.engine.tick import timer
from job_runners.store import answer_links, groups, queries, transitions, webhooks
from job_runners.store.job_request import JobRequest, Lane
from job_runners.store.transitions import group_waits

if TYPE_CHECKING:
    from record_release import Recorder


def record_timer_runs(this: "Recorder") -> None:
    """Record what the timer has seen to: a wait in vain, and a message that didn't arrive.

    Nothing else is stored yet, so the timer does nothing else.
    """
    waiting = this.run(this.dispatch("timed_out", "released_patient"))
    this.now += clock.HOUR
    timer.tick(this.send, until=this.now + clock.MINUTE)
    this.run_invocation(waiting)
    this.dispatch("resent", "released_child", payload={"to": 1})
    this.now += 2 * clock.MINUTE
    timer.tick(this.send, until=this.now + clock.MINUTE)


def record_waits(this: "Recorder") -> None:
    """Record jobs that sleep, or wait for a signal or for a person's answer; and their answers."""
    this.run(this.dispatch("sleeping", "released_sleeper"))
    this.run(this.dispatch("waiting_signal", "released_waiter"))
    signaled = this.run(this.dispatch("signaled", "released_waiter"))
    signaling.signal(signaled, "approval", this.noise, this.send)
    this.run(this.dispatch("asking", "released_asker"))
    answered = this.run(this.dispatch("answered", "released_asker"))
    link = answer_links.of_job(answered, "consent")
    assert link is not None
    with this.author():
        signaling.answer(link, "yes", this.send)
    this.run_invocation(answered)


def record_invocations(this: "Recorder") -> None:
    """Record a job with more invocations than its row keeps, and one that was given back."""
    row = this.dispatch("many_invocations", payload={"to": 8})
    for _ in range(6):
        row = this.run_invocation(row)
    transitions.release(this.claim(this.dispatch("given_back", payload={"to": 1}), 600))


def record_files(this: "Recorder") -> None:
    """Record an upload, and jobs that have written a work file and a result file."""
    bucket.put_bytes("uploads/acme/orders.csv", b"first,second")
    this.run_invocation(this.dispatch("filing", "released_filer"))
    this.run(this.dispatch("filed", "released_filer"))


def record_follow_ups(this: "Recorder") -> None:
    """Record ends with follow-ups and an announcement, a webhook, and a built-in job."""
    follow_ups = {"on_end": "released_told", "on_failure": "released_told"}
    this.run(this.dispatch("followed_up", "released_child", payload={"to": 1}, **follow_ups))
    webhook = {"webhook": "https://hooks.example.com", "secret": "acme/main"}
    with this.setting("EVENT_BUS_NAME", "outcomes"):
        announced = this.dispatch("announced", "released_child", payload={"to": 1}, on_end=webhook)
    this.run(announced)
    event = {"body": {"type": "order.shipped"}, "secret": "acme/main", "event_id": "evt_1"}
    call = {"url": "https://example.org/hook", **event}
    # Late, because a replay has no secret, and would try it for three days.
    this.dispatch("post_webhook", "post_webhook", payload=call, delay=20 * 86_400)
    # It receives only ends that no replay has.
    receives = {"statuses": ["failed"], "job_types": ["released_told"]}
    subscription = {"url": "https://hooks.example.com", "secret": "acme/main", **receives}
    webhooks.put("acme", "failures", by="operator:ada", **subscription)


def record_groups(this: "Recorder") -> None:
    """Record groups in each state: see the comments."""
    # A member was retried while its parent waits.
    waiting = this.run(this.dispatch("gathering", "released_gatherer"))
    first, _ = members_of(this, waiting)
    caller_actions.retry_again(caller_actions.cancel(first, this.send), this.send)
    # All members have ended.
    gathered = this.run(this.dispatch("gathered", "released_gatherer"))
    for member in members_of(this, gathered):
        this.run(member)
    # A caller cancels the members of a large group.
    with patch("job_runners.store.group_chunks.SIZE", 1):
        counted = this.run(this.dispatch("group_canceled", "released_gatherer"))
        counts = progress.actions_that_store_counts(counted)
        counted = transitions.postpone(counted, counted.due_at or 0, Lane.WAITS, counts).after
        group_waits.cancel_members(counted, by=None)
    # A large group's parent continues after the group's end.
    with patch("job_runners.store.group_chunks.SIZE", 1):
        large = this.run(this.dispatch("gathered_large", "released_gatherer"))
        for member in members_of(this, large, is_large=True):
            this.run(member)
    this.run(large)
    # Two members have no row, one has failed, and one was deleted after its end.
    this.dispatch("holds_key", "released_refusing", payload={"to": 1})
    mixed = this.run(this.dispatch("gathering_mixed", "released_mixed", payload={"to": 9}))
    failing, deleted, _ = members_of(this, mixed, name="mixed")
    this.run(failing)
    caller_actions.delete(this.run(deleted))
    # One failure too many has canceled the members that hadn't started.
    stopped = this.run(this.dispatch("gathering_stopped", "released_mixed", payload={"to": 2}))
    failing, running, _ = members_of(this, stopped, name="mixed")
    this.claim(running, 600)
    this.run(failing)


def members_of(
    this: "Recorder", row: JobRequest, *, name: str = "both", is_large: bool = False
) -> list[JobRequest]:
    """Return the members of a job's group that have a row, in order."""
    group = groups.new_group(row, name, is_large=is_large)
    ids = [group.member_id(f"{number:06d}") for number in range(5)]
    return [found for each in ids if (found := queries.read(each)) is not None]
