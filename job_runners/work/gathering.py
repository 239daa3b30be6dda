"""Gather a group of jobs: dispatch its members, wait for them, and return their results.

A job that calls `gather` dispatches the *members* of a *group*, which are jobs too, and waits for
them. An *interrupt* is an exception that ends the waiting job's invocation.

The waiting job's function runs again from its start in each invocation. Each time, the recorded
steps and the stored keys of the group's members show what has been done. If the group isn't
complete, the invocation dispatches the missing members and waits again.

Members are dispatched in *chunks* of up to 1,000. First, the keys of a chunk are stored. Then its
members are dispatched. Finally, the chunk is recorded as dispatched.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from job_runners import clock
from job_runners.errors import GroupExpired, PreconditionFailed
from job_runners.names import check_name
from job_runners.store import blobs, group_chunks, groups, queries, steps
from job_runners.store.conditional_write import Change
from job_runners.store.groups import Group
from job_runners.store.job_request import JobRequest
from job_runners.store.transitions import group_waits
from job_runners.values import Value
from job_runners.work.errors import GatherChanged, TooManyMembers
from job_runners.work.interrupts import CancelInterrupt, InvocationOverInterrupt, TimeOverInterrupt
from job_runners.work.member_keys import MAX_MEMBERS, MemberKeys
from job_runners.work.waiting import GroupWaitInterrupt, require_next_invocation, use_name

if TYPE_CHECKING:
    from pydantic import BaseModel

# A RunningJob. Importing it would be circular: its module imports job_runners.work.waits, which
# uses this module.
_Job = Any
_T = TypeVar("_T")

# An organization's index accepts 1,000 rows per second, and other callers dispatch jobs too.
_ROWS_PER_SECOND = 300
_BATCH_SIZE = 100  # members to dispatch at a time
# The alarm interrupts a job whose time is over. One call may defer it for at most this long.
_MAX_CALL_TIME = 20 * clock.SECOND
_PAGE_SIZE = 100  # results to read at a time
# The time between two counts of the members that have ended, while members are still dispatched.
_MIN_COUNT_GAP = clock.MINUTE
_MAX_COUNT_GAP = 10 * clock.MINUTE
_NAME_NOUN = "name of the group"  # how error messages refer to it


class Member(NamedTuple):
    """A job that another job dispatches and waits for. `key` names it within its group.

    By default, `key` is the member's index in the group, as six digits, and `queue_name` is the
    queue of the job type.
    """

    job_type: str
    payload: "Mapping[str, Any] | BaseModel | None" = None
    key: str | None = None
    queue_name: str | None = None


class MemberError(Value):
    """The error of a member. `kind` is the name of the error's class."""

    kind: str
    message: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


class MemberResult:
    """How a member of a group has ended.

    `status` is "succeeded", "failed", "canceled" or "deleted". It is "existing" if the member is
    unique and another job was already doing its work. Then `job_id` is the id of that other job.
    `error` has `kind` and `message` if the member failed.
    """

    def __init__(
        self, job: _Job, key: str, job_id: str, status: str, error: Any, row: JobRequest | None
    ) -> None:
        self.key = key
        self.job_id = job_id
        self.status = status
        self.error: MemberError | None = None
        if error:
            self.error = MemberError(str(error.get("kind", "")), str(error.get("message", "")))
        self._job = job
        self._row = row

    @property
    def value(self) -> Any:
        """Return the member's result, or None if it has none. Raises MissingObject."""
        row = self._row
        if row is None:
            return None
        return self._job._keep_trying(lambda: blobs.get(row.result, row.result_key))

    def __repr__(self) -> str:
        return f"MemberResult(key={self.key!r}, job_id={self.job_id!r}, status={self.status!r})"


class GroupResults:
    """The results of a group, in the order of its members. They are read as you iterate.

    `total` is the number of members. `failed` is the number of members that had failed or had been
    canceled when the group was complete. `outcomes` counts the members by outcome: "succeeded",
    "failed", "canceled" or "existing".
    """

    def __init__(self, job: _Job, group: Group, total: int, outcomes: dict[str, int]) -> None:
        self.total = total
        self.failed = outcomes["failed"] + outcomes["canceled"]
        self.outcomes = outcomes
        self._job = job
        self._group = group

    def __len__(self) -> int:
        return self.total

    def __iter__(self) -> Iterator[MemberResult]:
        remaining = self.total
        chunk = 0
        while remaining > 0:
            keys = self._job._keep_trying(partial(group_chunks.read_keys, self._group.id, chunk))
            for page in _pages(keys, _PAGE_SIZE):
                yield from self._read_results(page)
            remaining -= len(keys)
            chunk += 1

    def _read_results(self, keys: list[str]) -> Iterator[MemberResult]:
        ids = {key: self._group.member_id(key) for key in keys}
        read = partial(queries.read_many, list(ids.values()), fresh=True)
        rows: dict[str, JobRequest] = self._job._keep_trying(read)
        without_row = [member_id for member_id in ids.values() if member_id not in rows]
        shards = {member_id: self._group.shard_of(member_id) for member_id in without_row}
        reasons = self._job._keep_trying(partial(groups.reasons_for_missing_rows, shards))
        for key, member_id in ids.items():
            row = rows.get(member_id)
            if row is not None:
                yield MemberResult(self._job, key, member_id, str(row.status), row.error, row)
            else:
                yield self._result_without_row(key, member_id, reasons.get(member_id))

    def _result_without_row(
        self, key: str, member_id: str, reason: groups.GroupItem | None
    ) -> MemberResult:
        if reason is not None and reason.job_id is not None:
            return MemberResult(self._job, key, reason.job_id, "existing", error=None, row=None)
        if reason is not None and reason.error is not None:
            return MemberResult(self._job, key, member_id, "failed", error=reason.error, row=None)
        return MemberResult(self._job, key, member_id, "deleted", error=None, row=None)


def gather(
    job: _Job, name: str, members: Iterable[Member], stop_after_failures: int | None
) -> GroupResults:
    """Return the results of a group. Raise GroupWaitInterrupt until all members have ended.

    If an earlier invocation has recorded the complete group, return its results. Otherwise create
    or find the group, dispatch the members that are missing, and check whether all have ended.
    """
    require_next_invocation(job)
    check_name(name, "a group")
    use_name(job, f"{groups.STEP_PREFIX}{name}", name)
    complete = job._keep_trying(lambda: steps.find(job._row, f"gathered {name}"))
    if complete is not None:
        return _results(job, complete.result)
    queue = _MemberQueue(members)
    stored_group = job._run_once(
        name, lambda: _new_group(job, name, queue), prefix=groups.STEP_PREFIX, noun=_NAME_NOUN
    )
    group = Group(stored_group["id"], stored_group["shards"])
    wait = GroupWaitInterrupt(name, group, stored_group["since"], stop_after_failures)
    total = _dispatch_missing(job, wait, queue)
    # `last_finished_group_id` is the job's latest group that a process found complete.
    if total == 0 or job._row.last_finished_group_id == group.id:
        outcome = job._run_once(
            name, lambda: _count(job, group, total), prefix="gathered ", noun=_NAME_NOUN
        )
        return _results(job, outcome)
    raise job._interrupt(wait)


class _MemberQueue:
    """The group's members that this invocation hasn't handled yet, with their keys.

    They are read from the job's iterable only when they are needed.
    """

    def __init__(self, members: Iterable[Member]) -> None:
        if isinstance(members, Sized) and len(members) > MAX_MEMBERS:
            raise TooManyMembers(MAX_MEMBERS)
        self._unread = iter(members)
        self._buffer: list[tuple[str, Member]] = []
        self._keys = MemberKeys()

    def has_more_than(self, count: int) -> bool:
        """Return whether more than `count` members are left."""
        self._fill_buffer(count + 1)
        return len(self._buffer) > count

    def take(self, count: int) -> dict[str, Member]:
        """Remove and return the next members, at most `count`, by key."""
        # Read one more, so that `has_more_than(0)` then needs no read.
        self._fill_buffer(count + 1)
        members = self._buffer[:count]
        del self._buffer[:count]
        return dict(members)

    def _fill_buffer(self, size: int) -> None:
        for member in islice(self._unread, size - len(self._buffer)):
            self._buffer.append((self._keys.check_next(member.key), member))


def _new_group(job: _Job, name: str, members: _MemberQueue) -> dict[str, Any]:
    """Return a new group and the current time, in the form in which a step stores them."""
    is_large = members.has_more_than(group_chunks.SIZE)
    group = groups.new_group(job._row, name, is_large=is_large)
    return {"id": group.id, "shards": group.shards, "since": clock.now()}


def _dispatch_missing(job: _Job, wait: GroupWaitInterrupt, members: _MemberQueue) -> int:
    """Dispatch the members that are missing. Return the total number of members.

    Once all members are dispatched, later invocations don't read `members`. Raises GroupExpired if
    members' rows may have expired, because those members would be dispatched a second time.
    """
    group = wait.group
    chunks = group_chunks.DispatchedChunks(sizes={}, total=None)
    if job._row.last_group_id == group.id:
        chunks = job._keep_trying(lambda: group_chunks.read_dispatched(group.id))
    if chunks.total is not None:
        return chunks.total
    if clock.now() >= wait.until:
        raise GroupExpired((clock.now() - wait.since) // clock.DAY)
    return _MemberDispatcher(job, wait, chunks).dispatch(members)


def _count(job: _Job, group: Group, total: int) -> dict[str, Any]:
    """Return a complete group and the counts of its members, in the form of a step's result."""
    from job_runners.store import group_counts

    counts = group_counts.count_dispatched(
        group, total, max_rows=MAX_MEMBERS, call=job._keep_trying
    )
    outcomes = counts.by_outcome
    # The group was complete, so a member that is unfinished now has been retried since. A member
    # that was retried had failed.
    outcomes["failed"] += outcomes.pop("open")
    return {"id": group.id, "shards": group.shards, "total": total, "outcomes": outcomes}


def _results(job: _Job, outcome: dict[str, Any]) -> GroupResults:
    group = Group(outcome["id"], outcome["shards"])
    # If this invocation ends the job, the job's follow-ups get these counts.
    job._group_counts = {"total": outcome["total"], **outcome["outcomes"]}
    return GroupResults(job, group, outcome["total"], outcome["outcomes"])


def _pages(items: list[_T], size: int) -> list[list[_T]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


class _MemberDispatcher:
    """Dispatches a group's members in one invocation, chunk by chunk.

    `earlier_chunks` are those that earlier invocations have dispatched.
    """

    def __init__(
        self, job: _Job, wait: GroupWaitInterrupt, earlier_chunks: group_chunks.DispatchedChunks
    ) -> None:
        self._job = job
        self._name = wait.name
        self._group = wait.group
        self._wait = wait
        self._earlier_chunks = earlier_chunks
        self._next_batch_at = 0

    def dispatch(self, members: _MemberQueue) -> int:
        """Dispatch the members. Return their number. Raises GatherChanged and InvalidPayload."""
        total = 0
        chunk_number = 0
        earlier_sizes = self._earlier_chunks.sizes
        while chunk_members := members.take(group_chunks.SIZE):
            self._record_group()
            total += len(chunk_members)
            is_last = not members.has_more_than(0)
            if chunk_number not in earlier_sizes:
                self._dispatch_chunk(chunk_number, chunk_members, total if is_last else None)
                self._count_if_due(total)
            elif is_last or len(chunk_members) != earlier_sizes[chunk_number]:
                # The job passes other members than before. If this really were the last chunk, the
                # earlier invocation that dispatched it would have stored the total.
                raise GatherChanged(self._name)
            chunk_number += 1
        if earlier_sizes and not total:
            raise GatherChanged(self._name)
        return total

    def _record_group(self) -> None:
        """Record in the job's row which group is dispatched, if the job still has its claim."""
        if self._job._row.last_group_id != self._group.id:
            self._write(lambda: group_waits.begin_gather(self._job._row, self._group))

    def _write(self, transition: Callable[[], Change]) -> None:
        """Change the job's row. Raise CancelInterrupt if the write is refused."""
        try:
            self._job._row = self._job._keep_trying(transition).after
        except PreconditionFailed as refused:
            # The job was canceled, or this invocation lost the claim (its right to run the job). In
            # the second case, the write that follows this interrupt is refused too.
            raise self._job._interrupt(CancelInterrupt()) from refused

    def _dispatch_chunk(self, chunk: int, members: dict[str, Member], total: int | None) -> None:
        """Dispatch a chunk. With the last chunk, record the group's `total` number of members."""
        job = self._job
        group_id = self._group.id
        keys = list(members)
        jobs = job._dispatch.check_members(job._row, self._group, self._name, members)
        if not job._keep_trying(lambda: group_chunks.put(group_id, chunk, keys)):
            # An earlier invocation has begun this chunk.
            if not job._keep_trying(lambda: group_chunks.has_keys(group_id, chunk, keys)):
                raise GatherChanged(self._name)
            jobs = self._without_dispatched(jobs)
        for batch in _pages(list(jobs.items()), _BATCH_SIZE):
            self._dispatch_batch(dict(batch))
        job._keep_trying(lambda: group_chunks.record_dispatched(group_id, chunk, len(keys), total))

    def _count_if_due(self, dispatched: int) -> None:
        """Store how many members of a large group have ended, if the last count is old enough.

        Once the job waits for its members, the timer does this instead.
        """
        job = self._job
        group = self._group
        counted_at = self._wait.since
        stored = job._row.member_counts or {}
        if stored.get("group") == group.id:
            counted_at = stored["at"]
        # Each gap is as long as the time from the beginning to the last count, within the bounds.
        gap = max(counted_at - self._wait.since, _MIN_COUNT_GAP)
        next_count_at = counted_at + min(gap, _MAX_COUNT_GAP)
        if group.shards == 1 or clock.now() < next_count_at:
            return
        from job_runners.store import group_counts

        counts = group_counts.count_dispatched(group, dispatched, call=job._keep_trying)
        new_counts = group_counts.to_stored(group, counts, job._row.member_counts)
        self._write(lambda: group_waits.store_member_counts(job._row, new_counts))

    def _dispatch_batch(self, jobs: dict[str, Any]) -> None:
        """Dispatch some members, once _ROWS_PER_SECOND allows it."""
        job = self._job
        job.checkpoint()  # may notice a cancellation, or that the time is over
        if job._budget.invocation_over():
            raise job._interrupt(InvocationOverInterrupt())
        clock.sleep(max(0, self._next_batch_at - clock.now()) / clock.SECOND)
        self._next_batch_at = clock.now() + len(jobs) * clock.SECOND // _ROWS_PER_SECOND
        while jobs:
            if job._budget.left() == 0:
                raise job._interrupt(TimeOverInterrupt())
            until = min(job._budget.ends, clock.now() + _MAX_CALL_TIME)
            dispatched = job._keep_trying(partial(job._dispatch.dispatch_members, jobs, until))
            jobs = {key: member for key, member in jobs.items() if key not in dispatched}
            if not dispatched:
                clock.sleep(0.1)
            # AWS may have saved some of the others, although its response was lost.
            jobs = self._without_dispatched(jobs)

    def _without_dispatched(self, jobs: dict[str, Any]) -> dict[str, Any]:
        dispatched = self._job._keep_trying(lambda: self._job._dispatch.already_dispatched(jobs))
        return {key: member for key, member in jobs.items() if key not in dispatched}
