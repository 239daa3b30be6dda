"""The actions that make a job's row wait for its group: the jobs that it has dispatched together.

Import this module lazily, because most jobs have no group.
"""

from pynamodb.expressions.update import Action

from job_runners import clock
from job_runners.store import conditional_write, groups, steps
from job_runners.store.current_wait import GROUP, Wait
from job_runners.store.groups import Group
from job_runners.store.job_request import JobRequest, Lane


def hold_actions(job: JobRequest, wait: Wait, group: Group, stop_after: int | None) -> list[Action]:
    """Return the actions that make a row wait for a group.

    Once `stop_after` members have failed, those that haven't started are canceled.
    """
    now = clock.now()
    due_at = now + conditional_write.GRACE
    group_fields = {"shards": group.shards, "stop_after": stop_after}
    return [
        *conditional_write.hold_actions(job, group.held_by, now, due_at, lane=Lane.WAITS),
        JobRequest.current_wait.set(wait.stored_form() | group_fields),
    ]


def cancel_actions(job: JobRequest) -> list[Action]:
    """Return the actions that make a canceled job wait until the members of its group end."""
    name, group = groups.last_group(job)
    now = clock.now()
    # By the end of this wait, even the markers of the members have expired.
    wait = Wait(GROUP, name, now, now + steps.LIFETIME)
    return hold_actions(job, wait, group, stop_after=None)
