"""Free what a job has outside its row: its slot, its entry in a line or under a pause, its
unique key.

The write that ends the job's need for them also frees them, in one transaction. If a second write
freed them, a process that died between the two would leak the slot or key. For the same reason, the
write that ends a job saves its follow-ups.
"""

from collections.abc import Sequence
from typing import Self

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.models import Model

from job_runners.store import conditional_write, pauses
from job_runners.store.conditional_write import AlreadyApplied, Change, JobEnd
from job_runners.store.job_request import JobRequest
from job_runners.store.transactions import RaceLost, RecordWrite
from job_runners.values import Value

# How many times an ending job looks up its follower to give it the key. The follower may change
# between the read and the write. If every try fails, the key's record stays, and counts as free
# because it names a job that has ended.
_FOLLOWER_TRIES = 5
# If a part of the transaction is refused, it is tried again without that part. At most these are
# refused, one by one: the slot, three follow-ups, the key without a lookup, and the key after each
# lookup. The last try leaves the key alone.
_MAX_WRITES = 1 + 3 + 1 + _FOLLOWER_TRIES + 1


class Release(Value):
    """The writes that free a job's holdings, made in one transaction with the change of its row.

    If that change ends the job, `end` says how, and `follow_ups` are the writes of its follow-ups.
    """

    job: JobRequest
    slot: Sequence[RecordWrite] = ()
    entry: Sequence[RecordWrite] = ()
    key: Sequence[RecordWrite] = ()
    follower_tries: int = _FOLLOWER_TRIES
    end: JobEnd | None = None
    follow_ups: Sequence[RecordWrite] = ()

    @classmethod
    def nothing(cls, job: JobRequest) -> Self:
        """Return an empty release, for a job that keeps all its holdings."""
        return cls(job)

    @classmethod
    def all_but_key(cls, job: JobRequest) -> Self:
        """Return a release of the slot and waiting entry, for a job that continues later."""
        return cls(job, free_slot_writes(job), drop_entry_writes(job))

    @classmethod
    def everything(cls, job: JobRequest, end: JobEnd) -> Self:
        """Return a release of all holdings, for a job that ends. It also saves the follow-ups."""
        return cls(
            job,
            free_slot_writes(job),
            drop_entry_writes(job),
            _give_up_key_writes(job),
            end=end,
            follow_ups=_follow_up_writes(job, end),
        )

    @property
    def writes(self) -> list[RecordWrite]:
        """Return the writes that free the holdings and save the follow-ups."""
        return [*self.slot, *self.entry, *self.key, *self.follow_ups]

    @property
    def saved(self) -> list[JobRequest]:
        """Return the follower that gets the job's key, if there is one, and the follow-ups."""
        # Among the writes of the key, only the one that admits the follower changes a job's row.
        changed = [each.record for each in self.key if each.how == "change"]
        rows = [*changed, *(each.record for each in self.follow_ups)]
        return [one for one in rows if isinstance(one, JobRequest)]

    def without(self, refused: Sequence[RecordWrite]) -> Self:
        """Return the release to try next after some of the writes were refused.

        If the write of the slot was refused, another job already has the slot. If a write of the
        key was refused, the job may have a follower, which is looked up. If the write of a
        follow-up was refused, another row has its id, and the job ends without it.
        """
        follow_ups = [each for each in self.follow_ups if not _is_one_of(refused, each)]
        slot = [each for each in self.slot if not _is_one_of(refused, each)]
        key, tries = self.key, self.follower_tries
        if any(_is_one_of(refused, each) for each in key):
            key = _hand_key_to_follower_writes(self.job) if tries else []
            tries -= 1
        return self.__replace__(slot=slot, key=key, follower_tries=tries, follow_ups=follow_ups)


def write_freeing(
    transition: str,
    job: JobRequest,
    actions: list[Action],
    condition: Condition,
    *,
    already_applied: AlreadyApplied,
    release: Release,
    more_writes: Sequence[RecordWrite] = (),
    resumes: bool = False,
) -> Change:
    """Change a row, and free the job's holdings in the same transaction.

    A write that ends the job also saves its follow-ups. If another job already has the slot or key,
    it keeps that, and the row still changes. Raises RaceLost if one of `more_writes` was refused.
    For the rest see `conditional_write.write_with`.
    """
    if release.follow_ups and release.end is not None:
        from job_runners.store import follow_ups  # imported here because most jobs have none

        actions = [*actions, *follow_ups.actions(job, release.end)]
        condition &= follow_ups.condition(job)
    for _ in range(_MAX_WRITES):
        try:
            change = conditional_write.write_with(
                transition,
                job,
                actions,
                condition,
                already_applied=already_applied,
                more_writes=[*more_writes, *release.writes],
                resumes=resumes,
            )
        except RaceLost as lost:
            if any(_is_one_of(more_writes, each) for each in lost.refused):
                raise
            release = release.without(lost.refused)
        else:
            return change.__replace__(saved=release.saved) if release.saved else change
    raise AssertionError("the last write frees nothing that can be refused")


def free_slot_writes(job: JobRequest) -> list[RecordWrite]:
    """Return the write that frees the slot that a row names, if it names one."""
    if job.slot is None:
        return []
    from job_runners.store import lines  # imported here because most jobs have no slot

    item, actions, condition = lines.slot_release(job)
    return [RecordWrite(item, "change", actions, condition)]


def drop_entry_writes(job: JobRequest) -> list[RecordWrite]:
    """Return the write that deletes the entry of a held row, if it has one."""
    has_none = job.follows is not None or job.awaits_signal or job.awaits_group
    if job.held_by is None or has_none:
        return []
    entry: Model
    if job.wait_key is not None:
        from job_runners.store.line_items import LineItem  # most jobs never wait in a line

        entry = LineItem(job.held_by, job.wait_key)
    else:
        entry = pauses.held_entry(job.held_by, job, job.waiting_since or 0)
    return [RecordWrite(entry, "delete")]


def _is_one_of(writes: Sequence[RecordWrite], write: RecordWrite) -> bool:
    return any(each is write for each in writes)


def _give_up_key_writes(job: JobRequest) -> list[RecordWrite]:
    if job.unique_key is None:
        return []
    from job_runners.store import uniqueness  # imported here because most jobs have no key

    return uniqueness.give_up_writes(job)


def _follow_up_writes(job: JobRequest, end: JobEnd) -> list[RecordWrite]:
    if not job.has_follow_ups:
        return []
    from job_runners.store import follow_ups

    return follow_ups.writes(job, end)


def _hand_key_to_follower_writes(job: JobRequest) -> list[RecordWrite]:
    from job_runners.store import uniqueness

    return uniqueness.hand_key_to_follower_writes(job)
