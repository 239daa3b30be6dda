"""Free a job's *holdings*, the items of the coordination table that the job occupies.

A job may hold a *slot* (permission to run, in a queue with a limit), a *unique key*, and an *entry*
in the line or under the pause for which it waits.

One transaction frees the holdings and changes the job's row. With two separate writes, a process
that died between them would leak the slot or the key. For the same reason, the transaction that
ends a job also saves its *follow-ups*, which are the jobs that its end dispatches.
"""

from collections.abc import Sequence
from typing import Self

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.models import Model

from job_runners.store import conditional_write, pauses
from job_runners.store.conditional_write import AlreadyApplied, Change, JobEnd
from job_runners.store.job_request import JobRequest
from job_runners.store.transactions import RaceLost, RecordWrite, contains
from job_runners.values import Value

# A *follower* is a job that waits until another job ends, and then gets that job's unique key. When
# a job ends, this module reads its follower and gives it the key. If the follower changes between
# the read and the write, it is read again, up to this many times. If every try fails, the key's
# record stays. The key nevertheless counts as free, because its job has ended.
_FOLLOWER_TRIES = 5
# If a part of the transaction is refused, the transaction is tried again without that part. In the
# worst case, one part is refused in each try: the slot, each of three follow-ups, the key before
# its follower is read, and the key after each read. The last try doesn't free the key.
_MAX_TRIES = 1 + 3 + 1 + _FOLLOWER_TRIES + 1


class Release(Value):
    """The writes that free a job's holdings in one transaction with the change of its row."""

    job: JobRequest
    slot: Sequence[RecordWrite] = ()
    entry: Sequence[RecordWrite] = ()  # in a line or under a pause
    key: Sequence[RecordWrite] = ()  # the unique key
    follower_tries_left: int = _FOLLOWER_TRIES
    end: JobEnd | None = None  # how the job ends, if the change ends it
    follow_ups: Sequence[RecordWrite] = ()  # the jobs to save because the job ends

    @classmethod
    def nothing(cls, job: JobRequest) -> Self:
        """Return an empty release, for a job that keeps all its holdings."""
        return cls(job)

    @classmethod
    def all_but_key(cls, job: JobRequest) -> Self:
        """Return a release of the slot and the waiting entry, for a job that continues later."""
        return cls(job, writes_to_free_slot(job), writes_to_drop_entry(job))

    @classmethod
    def everything(cls, job: JobRequest, end: JobEnd) -> Self:
        """Return a release of all holdings, for a job that ends. It also saves the follow-ups."""
        return cls(
            job,
            writes_to_free_slot(job),
            writes_to_drop_entry(job),
            _writes_to_release_key(job),
            end=end,
            follow_ups=_writes_to_save_follow_ups(job, end),
        )

    @property
    def writes(self) -> list[RecordWrite]:
        """Return the writes that free the holdings and save the follow-ups."""
        return [*self.slot, *self.entry, *self.key, *self.follow_ups]

    @property
    def saved(self) -> list[JobRequest]:
        """Return the follower that gets the job's key, if there is one, and the follow-ups."""
        # Among the writes of the key, only the one that admits the follower changes a job's row.
        key_records = [write.record for write in self.key if write.kind == "change"]
        follow_ups = [write.record for write in self.follow_ups]
        records = [*key_records, *follow_ups]
        return [record for record in records if isinstance(record, JobRequest)]

    def after_refusal(self, refused: Sequence[RecordWrite]) -> Self:
        """Return the release to try next after some of the writes were refused.

        What a refusal means depends on the part:

        - The slot: another job already has it, so nothing needs to be freed.
        - The key: the job may have a follower. This method reads it, to give it the key.
        - A follow-up: another row has its id, so the job ends without it.
        """
        slot = [write for write in self.slot if not contains(refused, write)]
        follow_ups = [write for write in self.follow_ups if not contains(refused, write)]
        key = self.key
        tries_left = self.follower_tries_left
        if any(contains(refused, write) for write in key):
            from job_runners.store import uniqueness  # already imported to write the key

            key = uniqueness.writes_to_pass_key_on(self.job) if tries_left else []
            tries_left -= 1
        return self.__replace__(
            slot=slot, key=key, follower_tries_left=tries_left, follow_ups=follow_ups
        )


def write_and_free(
    transition: str,
    job: JobRequest,
    actions: list[Action],
    condition: Condition,
    *,
    already_applied: AlreadyApplied,
    release: Release,
    more_writes: Sequence[RecordWrite] = (),
    needs_message: bool = False,
) -> Change:
    """Change a row, and make the writes of `release` in the same transaction.

    If a write of `release` is refused, for example because another job already has the slot, the
    transaction is tried again without that write. Raises RaceLost if one of `more_writes` was
    refused. The other arguments and errors are those of `conditional_write.write`.
    """
    if release.follow_ups and release.end is not None:
        # Imported here because most jobs have no follow-ups.
        from job_runners.store import follow_ups

        actions = [*actions, *follow_ups.actions(job, release.end)]
        condition &= follow_ups.condition(job)
    for _ in range(_MAX_TRIES):
        try:
            change = conditional_write.write(
                transition,
                job,
                actions,
                condition,
                already_applied=already_applied,
                more_writes=[*more_writes, *release.writes],
                needs_message=needs_message,
            )
        except RaceLost as error:
            if any(contains(more_writes, write) for write in error.refused):
                raise
            release = release.after_refusal(error.refused)
        else:
            return change.__replace__(saved=release.saved)
    raise AssertionError("the last write frees nothing that can be refused")


def writes_to_free_slot(job: JobRequest) -> list[RecordWrite]:
    """Return the write that frees the slot that a row names, if it names one."""
    if job.slot is None:
        return []
    from job_runners.store import lines  # imported here because most jobs have no slot

    return [lines.slot_release(job)]


def writes_to_drop_entry(job: JobRequest) -> list[RecordWrite]:
    """Return the write that deletes a held row's entry in its line or under its pause, if any."""
    # A job that waits for another job, a signal or a group has no entry.
    if job.held_by is None or job.follows is not None or job.awaits_signal or job.awaits_group:
        return []
    entry: Model
    if job.wait_key is not None:
        # Imported here because most jobs never wait in a line.
        from job_runners.store.line_items import LineItem

        entry = LineItem(job.held_by, job.wait_key)
    else:
        entry = pauses.held_entry(job.held_by, job, job.waiting_since or 0)
    return [RecordWrite(entry, "delete")]


def _writes_to_release_key(job: JobRequest) -> list[RecordWrite]:
    if job.unique_key is None:
        return []
    from job_runners.store import uniqueness  # imported here because most jobs have no key

    return uniqueness.writes_to_release_key(job)


def _writes_to_save_follow_ups(job: JobRequest, end: JobEnd) -> list[RecordWrite]:
    if not job.has_follow_ups:
        return []
    from job_runners.store import follow_ups  # imported here because most jobs have no follow-ups

    return follow_ups.writes(job, end)
