"""How a job gathers: it dispatches the members of a group, waits for them, and gets their results.

A gather relies only on its stored state. The message that started the invocation is only a hint. If
the group isn't complete, the invocation dispatches the members that are missing, and waits again.
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
from job_runners.work.waiting import GroupWaitInterrupt, require_next_invocation, take_name

if TYPE_CHECKING:
    from pydantic import BaseModel

# A RunningJob. It can't be imported here, because its module imports `waits`, which uses this one.
_Job = Any
_T = TypeVar("_T")

# An organization's index takes 1,000 rows a second, and others dispatch jobs too.
_ROWS_PER_SECOND = 300
_PART = 100  # members that are dispatched at a time
_LONGEST_CALL = 20 * clock.SECOND  # after it, the alarm may interrupt the job
_PAGE = 100  # results that are read at a time
# The gaps between two counts of the members that have ended, while others are dispatched.
_FIRST_COUNT = clock.MINUTE
_LONGEST_GAP = 10 * clock.MINUTE


class Member(NamedTuple):
    """A job that another job dispatches and waits for. `key` names it within its group.

    Without `key`, its key is its position in the group (six digits). `queue_name` is by default
    that of its job type.
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

    `status` is "succeeded", "failed", "canceled", "deleted", or "existing" if the work is unique
    and another job was already doing it. `error` has `kind` and `message` if the member failed.
    `job_id` is the member's job, or that other job.
    """

    def __init__(
        self, job: _Job, key: str, job_id: str, status: str, error: Any, row: JobRequest | None
    ) -> None:
        self.key = key
        self.job_id = job_id
        self.status = status
        self.error = (
            MemberError(str(error.get("kind", "")), str(error.get("message", "")))
            if error
            else None
        )
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

    `total` is the number of members. `failed` is the number of those that had failed or were
    canceled when the group was complete. `outcomes` has the numbers of those that were succeeded,
    failed, canceled, or existing.
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
        left, chunk = self.total, 0
        while left > 0:
            keys = self._job._keep_trying(partial(group_chunks.read_keys, self._group.id, chunk))
            for page in _pages(keys, _PAGE):
                yield from self._results(page)
            left, chunk = left - len(keys), chunk + 1

    def _results(self, keys: list[str]) -> Iterator[MemberResult]:
        ids = {key: self._group.member_id(key) for key in keys}
        read = partial(queries.read_many, list(ids.values()), fresh=True)
        rows: dict[str, JobRequest] = self._job._keep_trying(read)
        for key, member_id in ids.items():
            row = rows.get(member_id)
            if row is not None:
                yield MemberResult(self._job, key, member_id, str(row.status), row.error, row)
            else:
                yield self._result_without_row(key, member_id)

    def _result_without_row(self, key: str, member_id: str) -> MemberResult:
        read = partial(groups.reason_without_row, self._group, member_id)
        found = self._job._keep_trying(read)
        if found is not None and found.job_id is not None:
            return MemberResult(self._job, key, found.job_id, "existing", None, None)
        if found is not None and found.error is not None:
            return MemberResult(self._job, key, member_id, "failed", found.error, None)
        return MemberResult(self._job, key, member_id, "deleted", None, None)


def gather(
    job: _Job, name: str, members: Iterable[Member], stop_after_failures: int | None
) -> GroupResults:
    """Return the results of a group, after all its members have ended."""
    require_next_invocation(job)
    check_name(name, "a group")
    take_name(job, f"{groups.STEP}{name}", name)
    complete = job._keep_trying(lambda: steps.find(job._row, f"gathered {name}"))
    if complete is not None:
        return _results(job, complete.result)
    keyed = _Members(members)
    begun = job._run_once("name of the group", groups.STEP, name, lambda: _begin(job, name, keyed))
    group = Group(begun["id"], begun["shards"])
    wait = GroupWaitInterrupt(name, group, begun["since"], stop_after_failures)
    total = _add_missing(job, wait, keyed)
    # `last_group_id` is the last group that the job has begun, `last_finished_group_id` the last
    # whose end it has seen.
    if total == 0 or job._row.last_finished_group_id == group.id:
        found = job._run_once(
            "name of the group", "gathered ", name, lambda: _count(job, group, total)
        )
        return _results(job, found)
    raise job._interrupt(wait)


class _Members:
    """The members of a gather, each with its key. They are read only when needed."""

    def __init__(self, members: Iterable[Member]) -> None:
        if isinstance(members, Sized) and len(members) > MAX_MEMBERS:
            raise TooManyMembers(MAX_MEMBERS)
        self._left = iter(members)
        self._read: list[tuple[str, Member]] = []
        self._keys = MemberKeys()

    def has_more_than(self, number: int) -> bool:
        """Return whether more than `number` members are left."""
        for member in islice(self._left, number + 1 - len(self._read)):
            self._read.append((self._keys.next(member.key), member))
        return len(self._read) > number

    def take(self, number: int) -> dict[str, Member]:
        """Return the next members, by key."""
        self.has_more_than(number)
        taken, self._read = self._read[:number], self._read[number:]
        return dict(taken)


def _begin(job: _Job, name: str, members: _Members) -> dict[str, Any]:
    """Return a new group and the time, as the gather stores them."""
    is_large = members.has_more_than(group_chunks.SIZE)
    group = groups.new_group(job._row, name, is_large=is_large)
    return {"id": group.id, "shards": group.shards, "since": clock.now()}


def _add_missing(job: _Job, wait: GroupWaitInterrupt, members: _Members) -> int:
    """Dispatch the members that are missing. Return the total number of members.

    Once all are dispatched, later invocations don't read `members` any more. An invocation that
    comes so late that rows of members may have expired dispatches none: it could dispatch such a
    member again. Raises GroupExpired.
    """
    group, done = wait.group, group_chunks.DispatchedChunks(sizes={}, total=None)
    if job._row.last_group_id == group.id:
        done = job._keep_trying(lambda: group_chunks.read_dispatched(group.id))
    if done.total is not None:
        return done.total
    if clock.now() >= wait.until:
        raise GroupExpired((clock.now() - wait.since) // clock.DAY)
    return _MemberDispatcher(job, wait, done).add(members)


def _count(job: _Job, group: Group, total: int) -> dict[str, Any]:
    """Return a complete group with its numbers of members by outcome, as the gather stores it."""
    from job_runners.store import group_counts

    counts = group_counts.count_dispatched(
        group, total, max_rows=MAX_MEMBERS, call=job._keep_trying
    )
    outcomes = counts.by_outcome
    outcomes["failed"] += outcomes.pop("open")  # a member that was retried since then
    return {"id": group.id, "shards": group.shards, "total": total, "outcomes": outcomes}


def _results(job: _Job, found: dict[str, Any]) -> GroupResults:
    group = Group(found["id"], found["shards"])
    # The job's follow-ups get these counts, if this invocation ends the job.
    job._gathered = {"total": found["total"], **found["outcomes"]}
    return GroupResults(job, group, found["total"], found["outcomes"])


def _pages(items: list[_T], size: int) -> list[list[_T]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


class _MemberDispatcher:
    """Dispatches a group's members in one invocation, chunk by chunk.

    `done` has the chunks that earlier invocations have dispatched.
    """

    def __init__(
        self, job: _Job, wait: GroupWaitInterrupt, done: group_chunks.DispatchedChunks
    ) -> None:
        self._job = job
        self._name = wait.name
        self._group = wait.group
        self._wait = wait
        self._done = done
        self._next_part_at = 0

    def add(self, members: _Members) -> int:
        """Dispatch the members. Return their number. Raises GatherChanged and InvalidPayload."""
        total, chunk = 0, 0
        while taken := members.take(group_chunks.SIZE):
            self._record_group()
            total += len(taken)
            is_last = not members.has_more_than(0)
            if chunk not in self._done.sizes:
                self._add_chunk(chunk, taken, total if is_last else None)
                self._count_if_due(total)
            # With the last chunk, the total would be stored. So there are fewer members now.
            elif is_last or len(taken) != self._done.sizes[chunk]:
                raise GatherChanged(self._name)
            chunk += 1
        if self._done.sizes and not total:
            raise GatherChanged(self._name)
        return total

    def _record_group(self) -> None:
        """Record in the row which group is dispatched. The invocation must still have the claim."""
        if self._job._row.last_group_id != self._group.id:
            self._write(lambda: group_waits.begin_gather(self._job._row, self._group))

    def _write(self, transition: Callable[[], Change]) -> None:
        try:
            self._job._row = self._job._keep_trying(transition).after
        except PreconditionFailed as refused:
            # If the job has lost its claim instead, the write that stops it is refused too.
            raise self._job._interrupt(CancelInterrupt()) from refused

    def _add_chunk(self, chunk: int, members: dict[str, Member], total: int | None) -> None:
        job, group_id, keys = self._job, self._group.id, list(members)
        jobs = job._dispatch.check_members(job._row, self._group, self._name, members)
        if not job._keep_trying(lambda: group_chunks.put(group_id, chunk, keys)):
            # An earlier invocation has begun this chunk.
            if not job._keep_trying(lambda: group_chunks.has_keys(group_id, chunk, keys)):
                raise GatherChanged(self._name)
            jobs = self._without_dispatched(jobs)
        for part in _pages(list(jobs.items()), _PART):
            self._add_part(dict(part))
        job._keep_trying(lambda: group_chunks.record_dispatched(group_id, chunk, len(keys), total))

    def _count_if_due(self, dispatched: int) -> None:
        """Store how many members of a large group have ended, as the timer does while it waits."""
        job, group = self._job, self._group
        stored = job._row.member_counts or {}
        last = stored["at"] if stored.get("group") == group.id else self._wait.since
        gap = min(max(last - self._wait.since, _FIRST_COUNT), _LONGEST_GAP)
        if group.shards == 1 or clock.now() < last + gap:
            return
        from job_runners.store import group_counts

        counts = group_counts.count_dispatched(group, dispatched, call=job._keep_trying)
        found = group_counts.to_stored(group, counts, job._row.member_counts)
        self._write(lambda: group_waits.count_members(job._row, found))

    def _add_part(self, jobs: dict[str, Any]) -> None:
        """Dispatch some members. First wait until the rate allows that."""
        job = self._job
        job.checkpoint()  # may notice a cancellation, or that the time is over
        if job._budget.invocation_over():
            raise job._interrupt(InvocationOverInterrupt())
        clock.sleep(max(0, self._next_part_at - clock.now()) / clock.SECOND)
        self._next_part_at = clock.now() + len(jobs) * clock.SECOND // _ROWS_PER_SECOND
        while jobs:
            if job._budget.left() == 0:
                raise job._interrupt(TimeOverInterrupt())
            until = min(job._budget.ends, clock.now() + _LONGEST_CALL)
            dispatched = job._keep_trying(partial(job._dispatch.add_members, jobs, until))
            jobs = {key: each for key, each in jobs.items() if key not in dispatched}
            if not dispatched:
                clock.sleep(0.1)
            jobs = self._without_dispatched(jobs)  # some may be saved, although no answer came

    def _without_dispatched(self, jobs: dict[str, Any]) -> dict[str, Any]:
        dispatched = self._job._keep_trying(lambda: self._job._dispatch.already_dispatched(jobs))
        return {key: each for key, each in jobs.items() if key not in dispatched}
