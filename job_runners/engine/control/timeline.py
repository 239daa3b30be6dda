"""A job's timeline: its invocations, steps, waits, signals and children, and what callers did."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from job_runners import clock
from job_runners.store import acts, blobs, children, groups, past, queries, signals, steps
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
COPIED = "copied"  # from the job that this one continues
_STEP_PREFIX = "step "
_AFTER_CHILDREN = "child!"  # sorts after the names of all children
_AFTER_STEPS = "step!"
_MOST_STEPS = 5_000
_MOST_OTHERS = 2_000  # children, waits and moved entries
_MOST_CHILDREN_READ = 100
_MOST_WORKS = 3  # payloads whose steps are read, latest first


class Record(NamedTuple):
    """Something that took time in a job. Times are in milliseconds since 1970.

    `name` is that of the step, wait, signal or group, or the key of the child, and `id` the id of
    the child. `run` counts the manual retries before an invocation, from 1. An invocation could
    have begun at `ready_at`. `error` is the kind of the error of its attempt, and `name` the step
    that raised it. A wait ends at `until` at the latest. `by` sent the signal. `ended_at` and
    `outcome` are None for a record that hasn't ended.
    """

    kind: str
    began_at: int
    name: str | None = None
    claim: int | None = None
    attempt: int | None = None
    run: int | None = None
    ready_at: int | None = None
    until: int | None = None
    ended_at: int | None = None
    outcome: str | None = None
    error: str | None = None
    by: str | None = None
    id: str | None = None


class Timeline(NamedTuple):
    """The records and acts of a job. `gaps` are the claims whose invocations aren't recorded.

    It isn't `complete` if the job has more records than one answer can have.
    """

    records: list[Record]
    acts: list[Act]
    gaps: list[int]
    is_complete: bool


def read(row: JobRequest, *, hides_names: bool = False) -> Timeline:
    """Return the timeline of a job, in the order of time.

    With `hides_names`, nothing depends on names, except which moment each record was.
    """
    works = list(dict.fromkeys([row.work_ids[0], *row.work_ids[-_MOST_WORKS:]]))
    found = [_Found(row, work_id) for work_id in works]
    others = [each for work in found for each in work.others]
    stored = [_json(each) for each in others if each.sk.startswith(acts.PREFIX)]
    moved = [each for each in others if each.sk.startswith(past.PREFIX)]
    records = [each for work in found for each in work.records()]
    done: dict[int, int] = {}
    for work in found:
        for step in work.steps:
            done[step.claim] = max(step.done_at, done.get(step.claim, 0))
    invocations = _invocations(row, moved, [act["claims"] for act in stored], done)
    is_complete = len(works) >= len(row.work_ids) and all(work.is_complete for work in found)
    if hides_names and not is_complete:
        records = []  # which of them were read depends on their names
    records += invocations
    claims = {each.claim for each in invocations}
    return Timeline(
        sorted(records, key=_position if hides_names else _position_with_name),
        acts.of_job(row, stored),
        [claim for claim in range(1, row.claims + 1) if claim not in claims],
        is_complete,
    )


def _position(record: Record) -> tuple[Any, ...]:
    """Return what records are sorted by. It tells nothing about names."""
    kind = KINDS.index(record.kind)
    return record.began_at, kind, str(record.ended_at), str(record.id)


def _position_with_name(record: Record) -> tuple[Any, ...]:
    return *_position(record)[:2], str(record.name)


def _invocations(
    row: JobRequest, moved: list[Step], retried: list[int], steps_done: dict[int, int]
) -> list[Record]:
    """Return a job's invocations.

    `retried` has the number of claims before each manual retry. `steps_done` has the time of the
    last step that was done in a claim.
    """
    ended = past.of_row(row)
    for item in moved:
        ended += past.unpack(item.value)
    ended = past.merge(ended)
    errors = _errors_by_claim(row)
    found = []
    for number, each in enumerate(ended):
        has_failed = each.outcome in (past.FAILED, past.LOST)
        error = (errors.get(each.claim) if has_failed else None) or {}
        following = [later.began_at for later in ended[number + 1 : number + 2]]
        found.append(
            Record(
                *(INVOCATION, each.began_at),
                claim=each.claim,
                attempt=each.attempt,
                ready_at=each.ready_at,
                # A lost one lived at least until its last step was done.
                ended_at=max(each.ended_at, min([steps_done.get(each.claim, 0), *following])),
                outcome=each.outcome,
                error=error.get("kind"),
                name=error.get("step"),
                run=_run(each.claim, retried),
            )
        )
    if row.status is Status.RUNNING:
        began: Any = row.started_at
        found.append(
            Record(
                *(INVOCATION, began),
                claim=row.claims,
                attempt=row.attempt,
                ready_at=min(row.could_run_at, began),
                run=_run(row.claims, retried),
            )
        )
    return found


def _run(claim: int, retried: list[int]) -> int:
    return 1 + sum(before < claim for before in retried)


def _errors_by_claim(row: JobRequest) -> dict[int, Any]:
    """Return the errors of a job, the first one of each claim.

    If a job fails again before its next claim, such as because no worker started it, that error is
    not of the claim.
    """
    found: dict[int, Any] = {}
    for each in row.earlier_errors or []:
        found.setdefault(each.get("claim"), each)
    found.setdefault(row.claims, row.error)
    return found


class _Found:
    """What is stored about one work of a job."""

    def __init__(self, row: JobRequest, work_id: str) -> None:
        self._row = row
        self._is_current = work_id == row.work_id
        sk = Step.sk
        self.others = steps.query(work_id, sk < _STEP_PREFIX, _MOST_OTHERS)
        are_all = len(self.others) < _MOST_OTHERS
        if not are_all:  # skip the other children
            after = max(self.others[-1].sk, _AFTER_CHILDREN)
            self.others += steps.query(work_id, sk < _STEP_PREFIX, _MOST_OTHERS, after=after)
        self.steps = steps.query(work_id, sk.startswith(_STEP_PREFIX), _MOST_STEPS, values=False)
        self.is_complete = are_all and len(self.steps) < _MOST_STEPS
        self._signals: dict[str, Signal] = {}
        if row.has_waited:
            self.others += steps.query(work_id, sk > _AFTER_STEPS, _MOST_OTHERS)
            self._signals = {each.sk: each for each in signals.all_of_work(work_id)}
        self._by_name = {each.sk: each for each in self.others}

    def records(self) -> Iterator[Record]:
        """Yield the records of this work."""
        for each in self.steps:
            yield self._record(STEP, each, _STEP_PREFIX)._replace(
                ended_at=each.done_at, outcome=DONE if each.claim else COPIED
            )
        yield from self._children()
        for each in self.others:
            kind, _, name = each.sk.partition(" ")
            if kind == "sleep":
                yield self._wait(SLEEP, each, "sleep ", None)
            elif kind == "wait":
                yield self._wait(SIGNAL, each, "wait ", self._signals.pop(name, None))
            elif kind == "wait-any":
                done = self._by_name.get(f"any {name}")
                winner: Any = _json(done) if done is not None else None
                sent = self._signals.pop(winner, None)
                yield self._wait(SIGNAL, each, "wait-any ", sent, done)
            elif kind == "gather":
                yield self._group(each)
        for sent in self._signals.values():  # those that came before a wait, or in none
            yield Record(SIGNAL, sent.sent_at, sent.sk, ended_at=sent.sent_at)._replace(
                outcome=ANSWERED, by=sent.sent_by
            )

    def _children(self) -> Iterator[Record]:
        found = [each for each in self.others if each.sk.startswith(children.PREFIX)]
        ids = [_json(each) for each in found]
        rows = queries.read_many(ids[:_MOST_CHILDREN_READ], fresh=True)
        for each, child_id in zip(found, ids, strict=True):
            record = self._record(CHILD, each, children.PREFIX)._replace(id=child_id)
            child = rows.get(child_id)
            if child is not None and child.status.finished:
                # An attempt that died may have dispatched it before.
                finished_at: Any = child.finished_at
                ended_at = max(finished_at, record.began_at)
                record = record._replace(ended_at=ended_at, outcome=str(child.status))
            yield record

    def _record(self, kind: str, step: Step, prefix: str) -> Record:
        return Record(
            kind,
            step.began_at,
            step.sk.removeprefix(prefix),
            claim=step.claim,
            attempt=step.attempt,
        )

    def _wait(
        self, kind: str, step: Step, prefix: str, sent: Signal | None, done: Step | None = None
    ) -> Record:
        """Return the record of a wait for a time, or for a signal, which may have come."""
        until: int = _json(step)
        record = self._record(kind, step, prefix)._replace(until=until)
        if sent is not None and not sent.timed_out:
            ended_at = max(sent.sent_at, record.began_at)
            return record._replace(ended_at=ended_at, outcome=ANSWERED, by=sent.sent_by)
        if sent is not None or done is not None:
            return record._replace(ended_at=until, outcome=TIMED_OUT)
        job_ended_at = self._ended_at()
        if kind == SLEEP and until <= (clock.now() if job_ended_at is None else job_ended_at):
            return record._replace(ended_at=until, outcome=DONE)
        return self._ended_with_job(record)

    def _group(self, step: Step) -> Record:
        record = self._record(GROUP, step, groups.STEP)
        done = self._by_name.get(f"gathered {record.name}")
        if done is not None:
            return record._replace(ended_at=done.began_at, outcome=DONE)
        return self._ended_with_job(record)

    def _ended_with_job(self, record: Record) -> Record:
        """Return a wait that ended with its job, if the job has ended or begun again since."""
        ended_at = self._ended_at()
        if ended_at is None:
            return record
        outcome = str(self._row.status) if self._is_current else str(Status.CANCELED)
        return record._replace(ended_at=max(ended_at, record.began_at), outcome=outcome)

    def _ended_at(self) -> int | None:
        return self._row.finished_at if self._is_current else self._row.begun_at


def _json(step: Step) -> Any:
    """Return the value of a record of ours, which is always small."""
    return blobs.get(step.value, None)
