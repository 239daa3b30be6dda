"""What is done about one due schedule: each occurrence that has come is started, once, or left out.

An occurrence's id is its job's: it follows from the organisation, the schedule's name and its time.
The job is saved in one transaction with the schedule's move to the next occurrence, on the
condition that the schedule is as it was read. So whoever is killed, overtaken or stands still for
an hour has done both or neither: nothing is lost between two writes, and a schedule that was
edited, paused or deleted since starts nothing that it should not. Two writes could not say that.
Unique work that is answered with another job is no exception: what the schedule says of it is
written in one transaction with that answer.
With the job first, whoever stood still in between would start it again, once its row was deleted or
had expired, or after its schedule was; with the move first, whoever is killed loses it.
"""

import threading
from collections import Counter
from enum import StrEnum

import clock
from aws.errors import may_pass
from errors import PreconditionFailed, SendFailed, UniqueConflict
from runners import dispatch, telemetry, tracing
from runners.messages import Message
from runners.occurrence import Choice, choose, left_out
from runners.retrying import error_record
from runners.sending import Send, send_if_unclaimed
from store import schedules as store
from store.job_request import JobRequest, new_id
from store.job_request import Outcome as Answered
from store.schedules import Schedule, ScheduleMoved, Step
from store.transactions import RaceLost, RecordWrite, RowExists
from work import context

STILL_RUNS = "the one before it was not finished"
TAKEN = "it is unique, and another job has its place"
_AGAIN = clock.MINUTE  # until one that waits, or was refused, is looked at again
_LONGEST_GAP = 10 * clock.MINUTE
# What can't be accepted is tried for so long: a deploy goes through, a queue or a quota has room.
_RETRIED_FOR = clock.HOUR
_FAILURES_IN_A_ROW = 3  # calls that AWS does not answer, or sends: the rest can wait


class Outcome(StrEnum):
    """What became of a schedule that was due."""

    STARTED = "started"
    SKIPPED = "skipped"  # left out: missed, or the one before it still runs
    WAITING = "waiting"  # for the one before it
    REFUSED = "refused"  # its job can't be accepted; it is tried again
    FAILED = "failed"  # the same, for too long
    MOVED = "moved"  # somebody else has seen to it
    BROKEN = "broken"  # it can't be read


class Starter:
    """Starts what has come, one schedule after the other, until its time is over. Several threads
    may share one."""

    def __init__(self, send: Send, until: int) -> None:
        self.counts: Counter[Outcome] = Counter()
        self._send = _Sender(send)
        self._until = until
        self._lock = threading.Lock()
        self._failures = 0

    def is_over(self) -> bool:
        """Return whether the rest waits for the next tick."""
        return clock.now() >= self._until or self._failures >= _FAILURES_IN_A_ROW

    def note(self, outcome: Outcome) -> None:
        """Count what became of a schedule."""
        with self._lock:
            self.counts[outcome] += 1
            self._failures = 0

    def note_unanswered(self) -> None:
        """Count a call that AWS did not answer: after several in a row, the rest waits."""
        with self._lock:
            self._failures += 1

    def process(self, schedule: Schedule, unfinished: set[str]) -> None:
        """Start what has come of one schedule. Whatever goes wrong keeps no other waiting."""
        try:
            if schedule.due_at is None or schedule.due_at > clock.now():
                self.note(Outcome.MOVED)  # the index was behind
            elif schedule.version > store.VERSION:
                store.set_aside(schedule, clock.now() + _AGAIN)  # newer code knows what it means
                self.note(Outcome.MOVED)
            else:
                self._start_what_has_come(schedule, unfinished)
        except (ScheduleMoved, RaceLost, PreconditionFailed) as moved:
            telemetry.moved(moved)
            self.note(Outcome.MOVED)
        except Exception as error:  # noqa: BLE001 - it stays due, now or in an hour
            telemetry.crashed(error)
            if may_pass(error):
                self.note_unanswered()
            else:
                self._set_aside(schedule)

    def _set_aside(self, schedule: Schedule) -> None:
        try:
            store.set_aside(schedule, clock.now() + clock.HOUR)
            self.note(Outcome.BROKEN)
        except Exception as error:  # noqa: BLE001 - then it is looked at again in a minute
            telemetry.crashed(error)

    def _start_what_has_come(self, schedule: Schedule, unfinished: set[str]) -> None:
        going_on: Schedule | None = schedule
        while going_on is not None and (choice := choose(going_on)) is not None:
            going_on = self._do(going_on, choice, unfinished)
            if self.is_over():
                return

    def _do(self, schedule: Schedule, choice: Choice, unfinished: set[str]) -> Schedule | None:
        """Do what was chosen; return the schedule as it is then, None if nothing can follow."""
        at, step = choice
        if at is None:
            return self._leave_out(schedule, step)
        if schedule.overlap != "allow" and schedule.last_job_id in unfinished:
            if schedule.overlap == "queue":
                store.wait(schedule, at, _only_before(step, at), clock.now() + _AGAIN)
                self.note(Outcome.WAITING)
                return None
            return self._leave_out(schedule, left_out(step, at, STILL_RUNS))
        return self._start(schedule, at, step, unfinished)

    def _leave_out(self, schedule: Schedule, step: Step) -> Schedule:
        moved = store.move_on(schedule, step)
        telemetry.occurrences_left_out(schedule, step)
        self.note(Outcome.SKIPPED if step.dropped else Outcome.MOVED)
        return moved

    def _start(
        self, schedule: Schedule, at: int, step: Step, unfinished: set[str]
    ) -> Schedule | None:
        revision = new_id()
        try:
            row = self._accept(schedule, at, step, revision)
        except RowExists as there:
            now_there = store.read(schedule.organization_id, schedule.name)
            if now_there is None or now_there.revision != revision:
                return self._leave_out(schedule, step)  # it was started before, under this name
            row = there.row  # just now, and nobody heard the answer
        except (RaceLost, PreconditionFailed):
            raise  # others were faster: it is looked at again
        except UniqueConflict:
            return self._leave_out(schedule, left_out(step, at, TAKEN))
        except Exception as error:
            if may_pass(error):
                raise
            self._refused(schedule, at, step, error)
            return None
        if row.duplicate is not None and row.duplicate.before:
            return self._leave_out(schedule, step)  # it was answered before, under this name
        if row.duplicate is not None and row.duplicate.outcome is Answered.RETURNED:
            telemetry.occurrences_left_out(schedule, left_out(step, at, TAKEN))
            self.note(Outcome.SKIPPED)
        else:
            telemetry.occurrence_started(row, schedule, step, at)
            self.note(Outcome.STARTED)
            unfinished.add(row.id)
            send_if_unclaimed(row, self._send)
        if step.next_at is None or step.next_at > clock.now():
            return None
        return store.read(schedule.organization_id, schedule.name)

    def _accept(self, schedule: Schedule, at: int, step: Step, revision: str) -> JobRequest:
        """Save the job, or answer with another one, and move the schedule on: both, or neither."""

        def answered_with(row: JobRequest, outcome: Answered) -> list[RecordWrite]:
            if outcome is Answered.RETURNED:
                return [store.left_out_also(schedule, left_out(step, at, TAKEN), revision)]
            return [store.start_also(schedule, step, at, revision, row.id)]

        token = context.author.set(context.Author("schedule", schedule.name))
        try:
            with tracing.dispatching(schedule.job_type):
                return dispatch.accept_job(
                    dispatch.job_data(
                        schedule.job_type,
                        schedule.payload,
                        schedule.organization_id,
                        schedule.campaign_id,
                    ),
                    send=self._send,
                    job_id=schedule.job_id(at),
                    more_writes=[store.start_also(schedule, step, at, revision)],
                    writes_if_answered=answered_with,
                )
        finally:
            context.author.reset(token)

    def _refused(self, schedule: Schedule, at: int, step: Step, error: Exception) -> None:
        """Have an occurrence tried again whose job could not be accepted, or give it up."""
        record = error_record(error)
        del record["traceback"]
        now = clock.now()
        since = (schedule.failing_since if at == schedule.next_at else None) or now
        gives_up = now - since >= _RETRIED_FOR
        if gives_up:
            store.move_on(schedule, step._replace(failed=(*step.failed, at)))
        else:
            again = now + min(max(now - since, _AGAIN), _LONGEST_GAP)
            until = min(filter(None, (again, step.next_at)))  # the next one is not kept waiting
            before = _only_before(step, at)
            store.note_failing(schedule, at, before, record, since=since, until=until)
        telemetry.occurrence_refused(schedule, at, error, gives_up=gives_up)
        self.note(Outcome.FAILED if gives_up else Outcome.REFUSED)


def _only_before(step: Step, at: int) -> Step:
    """Return what a step leaves behind before an occurrence that is not started yet. What has come
    after it is left out when that one starts."""
    return step if step.last_at == at else step._replace(dropped=None, failed=())


class _Sender:
    """Sends messages until several in a row have failed: the worker can't be reached, and each more
    would take its time to fail. Their jobs are due."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._failures = 0

    def __call__(self, message: Message, delay: float = 0) -> None:
        """Send a message. Raises SendFailed."""
        if self._failures >= _FAILURES_IN_A_ROW:
            raise SendFailed(message.title, "those before it could not be sent")
        try:
            self._send(message, delay)
        except SendFailed:
            self._failures += 1
            raise
        self._failures = 0
