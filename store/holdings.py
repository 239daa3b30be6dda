"""What a row holds beside itself: a slot of its queue, its entry where it waits, the key of work
that is unique.

Whatever ends the holding gives it back in the same transaction: in a second write it would leak
when the writer dies between the two.
"""

from collections.abc import Callable, Sequence

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.models import Model

from store import conditional_write, lines, pauses
from store.job_request import JobRequest
from store.transactions import RaceLost, RecordWrite

# How often it is looked who follows, and the key handed on: another may come to follow, or give
# that up, meanwhile. A key that was not handed on is free, for its job has ended.
_LOOKS = 5


def slot_freed(job: JobRequest) -> list[RecordWrite]:
    """Return the write that frees the slot which a row names, if it names one."""
    held = lines.held_slot(job)
    if held is None:
        return []
    item, actions, condition = held
    return [RecordWrite(item, "change", actions, condition)]


def entry_dropped(job: JobRequest) -> list[RecordWrite]:
    """Return the write that deletes the entry of a parked row."""
    if job.held_by is None or job.follows is not None:
        return []
    entry: Model
    if job.wait_key is not None:
        entry = lines.LineItem(job.held_by, job.wait_key)
    else:
        entry = pauses.parked_entry(job.held_by, job, job.waiting_since or 0)
    return [RecordWrite(entry, "delete")]


def write_freeing(
    verb: str,
    job: JobRequest,
    actions: list[Action],
    condition: Condition,
    *,
    already_applied: Callable[[JobRequest], bool],
    more_writes: list[RecordWrite] | None = None,
    ends: bool = False,
    keeps_slot: bool = False,
) -> JobRequest:
    """Change a row, and give back the slot that it names, unless it `keeps_slot`; see
    `conditional_write.write_with`.

    A verb that `ends` the job, or its claim to its key, gives up the key too: to the job that
    follows, if there is one. What is gone, or another's, keeps no job from ending: then the row
    changes without it. Raises RaceLost if what changes `also` refused.
    """
    more_writes, freed = more_writes or [], [] if keeps_slot else slot_freed(job)
    key, looks = _key_given_up(job) if ends else [], 0
    while True:
        try:
            row = conditional_write.write_with(
                verb,
                job,
                actions,
                condition,
                already_applied=already_applied,
                more_writes=[*more_writes, *freed, *key],
            )
        except RaceLost as lost:
            if any(_is_one_of(more_writes, each) for each in lost.lost):
                raise
            freed = [each for each in freed if not _is_one_of(lost.lost, each)]
            if any(_is_one_of(lost.lost, each) for each in key):
                key, looks = _key_handed_on(job) if looks < _LOOKS else [], looks + 1
        else:
            changed = (each.record for each in key if each.how == "change")
            row.admitted_follower = next(
                (one for one in changed if isinstance(one, JobRequest)), None
            )
            return row


def _is_one_of(writes: Sequence[RecordWrite], write: RecordWrite) -> bool:
    return any(each is write for each in writes)


def _key_given_up(job: JobRequest) -> list[RecordWrite]:
    if job.unique_key is None:
        return []
    from store import uniqueness  # which most jobs do without

    return uniqueness.given_up(job)


def _key_handed_on(job: JobRequest) -> list[RecordWrite]:
    from store import uniqueness

    return uniqueness.handed_on(job)
