"""What a row holds beside itself: a slot of its queue, and its entry where it waits.

Whatever ends the holding gives it back in the same transaction: in a second write it would leak
when the writer dies between the two.
"""

from collections.abc import Callable

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.models import Model

from store import conditional_write, lines, pauses
from store.conditional_write import Also, RaceLost
from store.job_request import JobRequest


def slot_freed(job: JobRequest) -> list[Also]:
    """Return the write that frees the slot which a row names, if it names one."""
    held = lines.held_slot(job)
    if held is None:
        return []
    item, actions, condition = held
    return [Also(item, "change", actions, condition)]


def entry_dropped(job: JobRequest) -> list[Also]:
    """Return the write that deletes the entry of a parked row."""
    if job.held_by is None:
        return []
    entry: Model
    if job.wait_key is not None:
        entry = lines.LineItem(job.held_by, job.wait_key)
    else:
        entry = pauses.parked_entry(job.held_by, job, job.waiting_since or 0)
    return [Also(entry, "delete")]


def write_freeing(
    verb: str,
    job: JobRequest,
    actions: list[Action],
    condition: Condition,
    *,
    already_applied: Callable[[JobRequest], bool],
    also: list[Also] | None = None,
) -> JobRequest:
    """Change a row, and give back the slot that it names; see `conditional_write.write_with`.

    A slot that is gone, or another's, keeps no job from ending: then the row changes without it.
    """
    also = also or []

    def write(frees: list[Also]) -> JobRequest:
        return conditional_write.write_with(
            verb, job, actions, condition, already_applied=already_applied, also=[*also, *frees]
        )

    freed = slot_freed(job)
    try:
        return write(freed)
    except RaceLost:
        if not freed:
            raise
        return write([])
