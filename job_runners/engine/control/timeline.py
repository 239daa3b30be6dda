"""Build a job's timeline: its invocations, steps, waits, signals and children, and callers' acts.

A *claim* is a worker's right to run one invocation of the job. A job's claims are numbered from 1.
A job usually has one *work*, identified by a `work_id`. If a caller retries the job with another
payload, another work begins. The table stores a work's steps, waits and children as *items*. An
*act* is something that a caller did with the job, such as a retry.

An item's sort key begins with its type. The row has the latest invocations, and older ones are
*moved* into items.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from job_runners import clock
from job_runners.store import acts, blobs, children, past, queries, signals, steps
from job_runners.store.acts import Act
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.signals import Signal
from job_runners.store.steps import Step

INVOCATION = "invocation"
STEP = "step"
SLEEP = "sleep"
SIGNAL = "signal"
GROUP = "group"
CHILD = "child"
KINDS = (INVOCATION, STEP, SLEEP, SIGNAL, GROUP, CHILD)
DONE = "done"
ANSWERED = "answered"
TIMED_OUT = "timed out"
COPIED = "copied"  # another job did this step, and this job continues that job's work
_STEP_PREFIX = "step "
_AFTER_CHILDREN = "child!"  # sorts after the names of all children
_AFTER_STEPS = "step!"  # sorts after the names of all steps
_MAX_STEPS = 5_000
_MAX_OTHER_ITEMS = 2_000  # children, waits, acts, and past invocations moved out of the row
_MAX_CHILDREN_READ = 100
_MAX_LATEST_WORKS = 3  # how many of the latest works are read, besides the first one


class Record(NamedTuple):
    """An invocation, step, wait, signal, group or child. Times are in milliseconds since 1970."""

    kind: str  # one of KINDS
    began_at: int
    # The name of a step, wait, signal or group, the key of a child, or for an invocation, the name
    # of the step that raised its error.
    name: str | None = None
    claim: int | None = None  # the number of the claim
    attempt: int | None = None  # counted from 1
    run: int | None = None  # for an invocation: 1 plus the number of manual retries before it
    ready_at: int | None = None  # when a worker could have begun an invocation
    until: int | None = None  # when a wait times out
    # The next two are None if what the record describes hasn't ended.
    ended_at: int | None = None
    outcome: str | None = None
    error: str | None = None  # the kind of the error with which an invocation's attempt failed
    by: str | None = None  # the author of a signal
    id: str | None = None  # the job id of a child


class Timeline(NamedTuple):
    """The records of a job, and the acts of callers.

    `gaps` are the numbers of the claims whose invocations aren't recorded. `is_complete` is False
    if the job has more records than one response can contain.
    """

    records: list[Record]
    acts: list[Act]
    gaps: list[int]
    is_complete: bool


def read(row: JobRequest, *, hides_names: bool = False) -> Timeline:
    """Return the timeline of a job, in chronological order.

    `hides_names`: the names of the records will be hidden from the caller. So nothing else in the
    timeline, except the times, may depend on these names.
    """
    # The first work and the latest ones, each once.
    work_ids = list(dict.fromkeys([row.work_ids[0], *row.work_ids[-_MAX_LATEST_WORKS:]]))
    works = [_Work(row, work_id) for work_id in work_ids]
    items = [item for work in works for item in work.other_items]
    stored_acts = [_json(item) for item in items if item.sk.startswith(acts.PREFIX)]
    moved_invocations = [item for item in items if item.sk.startswith(past.PREFIX)]
    records = [record for work in works for record in work.records()]
    claims_at_retries = [act["claims"] for act in stored_acts]
    invocations = _invocations(row, moved_invocations, claims_at_retries, _last_step_times(works))
    is_complete = len(works) >= len(row.work_ids) and all(work.is_complete for work in works)
    if hides_names and not is_complete:
        records = []  # which records were read depends on their names
    records += invocations
    recorded_claims = {invocation.claim for invocation in invocations}
    return Timeline(
        sorted(records, key=_sort_key if hides_names else _sort_key_with_name),
        acts.of_job(row, stored_acts),
        [claim for claim in range(1, row.claims + 1) if claim not in recorded_claims],
        is_complete,
    )


def _last_step_times(works: "list[_Work]") -> dict[int, int]:
    """Return when each claim's last step was done, by claim."""
    times: dict[int, int] = {}
    for work in works:
        for step in work.steps:
            times[step.claim] = max(step.done_at, times.get(step.claim, 0))
    return times


def _sort_key(record: Record) -> tuple[Any, ...]:
    """Return a sort key that reveals nothing about names."""
    kind = KINDS.index(record.kind)
    return record.began_at, kind, str(record.ended_at), str(record.id)


def _sort_key_with_name(record: Record) -> tuple[Any, ...]:
    kind = KINDS.index(record.kind)
    return record.began_at, kind, str(record.name)


def _invocations(
    row: JobRequest,
    moved_invocations: list[Step],
    claims_at_retries: list[int],
    last_step_times: dict[int, int],
) -> list[Record]:
    """Return a job's invocations.

    `claims_at_retries` has the number of claims before each manual retry. `last_step_times` has the
    time of each claim's last step.
    """
    past_invocations = past.unpack(row.past)
    for item in moved_invocations:
        past_invocations += past.unpack(item.value)
    past_invocations = past.merge(past_invocations)
    errors = _errors_by_claim(row)
    invocations = []
    for index, invocation in enumerate(past_invocations):
        error: dict[str, Any] = {}
        if invocation.outcome in (past.Outcome.FAILED, past.Outcome.LOST):
            error = errors.get(invocation.claim) or {}
        # A lost invocation lived at least until its last step, or until the next invocation began.
        lived_until = last_step_times.get(invocation.claim, 0)
        if index + 1 < len(past_invocations):
            lived_until = min(lived_until, past_invocations[index + 1].began_at)
        invocations.append(
            Record(
                INVOCATION,
                invocation.began_at,
                claim=invocation.claim,
                attempt=invocation.attempt,
                ready_at=invocation.ready_at,
                ended_at=max(invocation.ended_at, lived_until),
                outcome=invocation.outcome,
                error=error.get("kind"),
                name=error.get("step"),
                run=_run_number(invocation.claim, claims_at_retries),
            )
        )
    if row.status is Status.RUNNING:
        began_at: Any = row.started_at
        invocations.append(
            Record(
                INVOCATION,
                began_at,
                claim=row.claims,
                attempt=row.attempt,
                ready_at=min(row.could_run_at, began_at),
                run=_run_number(row.claims, claims_at_retries),
            )
        )
    return invocations


def _run_number(claim: int, claims_at_retries: list[int]) -> int:
    """Return 1 plus the number of manual retries before a claim."""
    return 1 + sum(claims < claim for claims in claims_at_retries)


def _errors_by_claim(row: JobRequest) -> dict[int, Any]:
    """Return each claim's first error. It is the error that ended the claim's invocation.

    A later error of the same claim has another cause. For example, no worker started the job again.
    """
    errors: dict[int, Any] = {}
    for error in row.earlier_errors or []:
        errors.setdefault(error.get("claim"), error)
    errors.setdefault(row.claims, row.error)
    return errors


class _Work:
    """The stored items and signals of one work of a job."""

    def __init__(self, row: JobRequest, work_id: str) -> None:
        self._row = row
        self._is_current = work_id == row.work_id
        sk = Step.sk
        items = steps.query(work_id, sk < _STEP_PREFIX, _MAX_OTHER_ITEMS)
        has_all_items = len(items) < _MAX_OTHER_ITEMS
        # Items are read in the order of their sort keys. If there are too many, skip the rest of
        # the children, so that the types after them are read too.
        if not has_all_items:
            after = max(items[-1].sk, _AFTER_CHILDREN)
            items += steps.query(work_id, sk < _STEP_PREFIX, _MAX_OTHER_ITEMS, after=after)
        self.steps = steps.query(work_id, sk.startswith(_STEP_PREFIX), _MAX_STEPS, values=False)
        self.is_complete = has_all_items and len(self.steps) < _MAX_STEPS
        self._signals: dict[str, Signal] = {}
        if row.has_waited:
            items += steps.query(work_id, sk > _AFTER_STEPS, _MAX_OTHER_ITEMS)
            self._signals = {signal.sk: signal for signal in signals.all_of_work(work_id)}
        self.other_items = items
        self._items_by_name = {item.sk: item for item in items}

    def records(self) -> Iterator[Record]:
        """Yield the records of this work."""
        for step in self.steps:
            outcome = DONE if step.claim else COPIED
            yield _record(STEP, step)._replace(ended_at=step.done_at, outcome=outcome)
        yield from self._child_records()
        for item in self.other_items:
            kind, _, name = item.sk.partition(" ")
            if kind == "sleep":
                yield self._wait_record(SLEEP, item, signal=None, result=None)
            elif kind == "wait":
                signal = self._signals.pop(name, None)
                yield self._wait_record(SIGNAL, item, signal=signal, result=None)
            elif kind == "wait-any":
                result = self._items_by_name.get(f"any {name}")
                winner: Any = _json(result) if result is not None else None
                signal = self._signals.pop(winner, None)
                yield self._wait_record(SIGNAL, item, signal=signal, result=result)
            elif kind == "gather":
                yield self._group_record(item)
        for signal in self._signals.values():  # the signals that the job hasn't waited for
            yield Record(SIGNAL, signal.sent_at, signal.sk)._replace(
                ended_at=signal.sent_at, outcome=ANSWERED, by=signal.sent_by
            )

    def _child_records(self) -> Iterator[Record]:
        items = [item for item in self.other_items if item.sk.startswith(children.STEP_PREFIX)]
        ids = [_json(item) for item in items]
        rows = queries.read_many(ids[:_MAX_CHILDREN_READ], fresh=True)
        for item, child_id in zip(items, ids, strict=True):
            record = _record(CHILD, item)._replace(id=child_id)
            child = rows.get(child_id)
            if child is not None and child.status.finished:
                # Perhaps an attempt dispatched the child and died before it could write the record.
                # A later attempt then wrote the record, perhaps after the child had ended.
                finished_at: Any = child.finished_at
                ended_at = max(finished_at, record.began_at)
                record = record._replace(ended_at=ended_at, outcome=str(child.status))
            yield record

    def _wait_record(
        self, kind: str, step: Step, *, signal: Signal | None, result: Step | None
    ) -> Record:
        """Return the record of a wait for a time, or for a signal, which may have arrived.

        `result` is the step that records the outcome of a wait for any of several signals.
        """
        until: int = _json(step)
        record = _record(kind, step)._replace(until=until)
        if signal is not None and not signal.timed_out:
            ended_at = max(signal.sent_at, record.began_at)
            return record._replace(ended_at=ended_at, outcome=ANSWERED, by=signal.sent_by)
        if signal is not None or result is not None:
            return record._replace(ended_at=until, outcome=TIMED_OUT)
        slept_until = self._ended_at()
        if slept_until is None:
            slept_until = clock.now()
        if kind == SLEEP and until <= slept_until:
            return record._replace(ended_at=until, outcome=DONE)
        return self._end_with_work(record)

    def _group_record(self, step: Step) -> Record:
        record = _record(GROUP, step)
        result = self._items_by_name.get(f"gathered {record.name}")
        if result is not None:
            return record._replace(ended_at=result.began_at, outcome=DONE)
        return self._end_with_work(record)

    def _end_with_work(self, record: Record) -> Record:
        """Return an open record of this work. If the work has ended, the record ends with it."""
        ended_at = self._ended_at()
        if ended_at is None:
            return record
        outcome = str(self._row.status) if self._is_current else str(Status.CANCELED)
        return record._replace(ended_at=max(ended_at, record.began_at), outcome=outcome)

    def _ended_at(self) -> int | None:
        """Return when this work ended: when the job ended, or when later work began."""
        return self._row.finished_at if self._is_current else self._row.begun_at


def _record(kind: str, step: Step) -> Record:
    """Return the record of an item whose sort key is its type, a space, and its name."""
    name = step.sk.partition(" ")[2]
    return Record(kind, step.began_at, name, claim=step.claim, attempt=step.attempt)


def _json(step: Step) -> Any:
    """Return the value of an item that this system wrote, which is short and stored in the item."""
    return blobs.get(step.value, None)
