"""Free what a job has outside its row: its slot, its entry in a line or pause, its unique key.

The write after which the job no longer needs them frees them too, in one transaction. If a second
write did that, the slot or key would leak if the writer died between the two.
"""

from collections.abc import Callable, Sequence

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.models import Model

from store import conditional_write, lines, pauses
from store.job_request import JobRequest
from store.transactions import RaceLost, RecordWrite

# How many times a job that ends looks up its follower to give it the key. The follower may change
# between the read and the write. If every try fails, the key is free, because its job has ended.
_HAND_ON_TRIES = 5


def free_slot_writes(job: JobRequest) -> list[RecordWrite]:
    """Return the write that frees the slot that a row names, if it names one."""
    release = lines.slot_release(job)
    if release is None:
        return []
    item, actions, condition = release
    return [RecordWrite(item, "change", actions, condition)]


def drop_entry_writes(job: JobRequest) -> list[RecordWrite]:
    """Return the write that deletes the entry of a parked row, if it has one."""
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
    """Change a row, and free its slot unless it `keeps_slot`.

    Pass `ends` if the verb ends the job. The job then also gives up its unique key, to its follower
    if there is one. If the slot or key belongs to another job by now, the row changes without it.
    Raises RaceLost if one of `more_writes` was refused. For the rest see
    `conditional_write.write_with`.
    """
    more_writes, slot = more_writes or [], [] if keeps_slot else free_slot_writes(job)
    key, tries = _give_up_key_writes(job) if ends else [], 0
    while True:
        try:
            row = conditional_write.write_with(
                verb,
                job,
                actions,
                condition,
                already_applied=already_applied,
                more_writes=[*more_writes, *slot, *key],
            )
        except RaceLost as lost:
            if any(_is_one_of(more_writes, each) for each in lost.lost):
                raise
            slot = [each for each in slot if not _is_one_of(lost.lost, each)]
            if any(_is_one_of(lost.lost, each) for each in key):
                key, tries = (
                    _give_up_to_follower_writes(job) if tries < _HAND_ON_TRIES else [],
                    tries + 1,
                )
        else:
            changed = (each.record for each in key if each.how == "change")
            row.admitted_follower = next(
                (one for one in changed if isinstance(one, JobRequest)), None
            )
            return row


def _is_one_of(writes: Sequence[RecordWrite], write: RecordWrite) -> bool:
    return any(each is write for each in writes)


def _give_up_key_writes(job: JobRequest) -> list[RecordWrite]:
    if job.unique_key is None:
        return []
    from store import uniqueness  # imported here because most jobs have no key

    return uniqueness.give_up_writes(job)


def _give_up_to_follower_writes(job: JobRequest) -> list[RecordWrite]:
    from store import uniqueness

    return uniqueness.give_up_to_follower_writes(job)
