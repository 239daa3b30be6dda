"""Handle a due schedule: start or skip each occurrence whose time has come, exactly once.

An *occurrence* is one of the times at which a schedule dispatches a job, in milliseconds since
1970. One transaction saves the occurrence's job and moves the schedule to its next occurrence. So
a process that is killed or frozen has done either both or nothing. The transaction fails if the
schedule has changed since it was read. So a schedule that was edited, paused or deleted in the
meantime starts no job. The job's id is derived from the organization, the schedule's name and the
occurrence.

A *unique* job has a key, and no other unfinished job may have the same key. If another job has it,
the job type's rule for duplicates decides: either the occurrence is skipped, or the other job
becomes the occurrence's job. One transaction records this and moves the schedule.

The *progress* of a schedule records its last and its next occurrence, and which ones were skipped.
"""

import threading
from collections import Counter
from enum import StrEnum

from job_runners import clock
from job_runners.aws.errors import is_temporary
from job_runners.engine.dispatch import checking, dispatch
from job_runners.engine.running.retrying import error_record
from job_runners.engine.schedules.occurrence import Choice, choose, with_skipped
from job_runners.engine.telemetry import schedule_log, telemetry, tracing
from job_runners.engine.wire.sending import Accepted, Send, StoppingSender, send_if_unclaimed
from job_runners.errors import PreconditionFailed, UniqueConflict
from job_runners.store import schedules as schedule_store
from job_runners.store.job_request import DuplicateAnswer, JobRequest, new_id
from job_runners.store.schedule import VERSION, Schedule
from job_runners.store.schedules import Progress, ScheduleChanged
from job_runners.store.transactions import RaceLost, RecordWrite, RowExists
from job_runners.work import context

# The reasons why an occurrence is skipped.
PREVIOUS_UNFINISHED = "the previous occurrence's job had not finished"
KEY_TAKEN = "its job is unique, and another job was doing the same work"

# How soon to try again if an occurrence waits or its job was refused.
_RECHECK_DELAY = clock.MINUTE
_MAX_RECHECK_DELAY = 10 * clock.MINUTE
# How long to retry an occurrence whose job is refused. In that time, a deploy may finish, or a
# queue or quota may get capacity.
_RETRY_TIME = clock.HOUR
# After this many failed calls to AWS in a row, the other schedules wait for the next timer run.
_MAX_CONSECUTIVE_FAILURES = 3


class Outcome(StrEnum):
    """The outcome of a due schedule."""

    STARTED = "started"
    SKIPPED = "skipped"  # the occurrence was missed, or the previous one's job still runs
    WAITING = "waiting"  # the occurrence waits for the previous one's job
    REFUSED = "refused"  # the occurrence's job was refused, and is tried again
    FAILED = "failed"  # the occurrence's job was refused for too long
    MOVED = "moved"  # nothing was started, because the schedule has changed or needs newer code
    BROKEN = "broken"  # the schedule can't be read


class Starter:
    """Starts due occurrences, schedule by schedule, until its time is over. Threads share it."""

    def __init__(self, send: Send, until: int) -> None:
        self.counts: Counter[Outcome] = Counter()
        self._send = StoppingSender(send)
        self._until = until
        self._lock = threading.Lock()
        self._consecutive_failures = 0

    def is_over(self) -> bool:
        """Return whether the other schedules must wait for the next timer run."""
        return clock.now() >= self._until or self._consecutive_failures >= _MAX_CONSECUTIVE_FAILURES

    def add_outcome(self, outcome: Outcome) -> None:
        """Count the outcome of a schedule."""
        with self._lock:
            self.counts[outcome] += 1
            self._consecutive_failures = 0

    def add_failed_call(self) -> None:
        """Count a failed call to AWS. After several in a row, the other schedules must wait."""
        with self._lock:
            self._consecutive_failures += 1

    def process(self, schedule: Schedule, unfinished: set[str]) -> None:
        """Start the due occurrences of one schedule. An error doesn't delay other schedules.

        `unfinished` has the ids of jobs that haven't ended. This adds the ids of the jobs that it
        starts.
        """
        try:
            if schedule.due_at is None or schedule.due_at > clock.now():
                self.add_outcome(Outcome.MOVED)  # the index lagged behind the table
            elif schedule.version > VERSION:
                # Only newer code can handle it.
                schedule_store.set_aside(schedule, clock.now() + _RECHECK_DELAY)
                self.add_outcome(Outcome.MOVED)
            else:
                self._start_due(schedule, unfinished)
        except (ScheduleChanged, RaceLost, PreconditionFailed) as moved:
            telemetry.race_lost(moved)
            self.add_outcome(Outcome.MOVED)
        except Exception as error:  # noqa: BLE001 - the schedule is still due, or is in an hour
            telemetry.crashed(error)
            if is_temporary(error):
                self.add_failed_call()
            else:
                self._postpone_broken(schedule)

    def _postpone_broken(self, schedule: Schedule) -> None:
        try:
            schedule_store.set_aside(schedule, clock.now() + clock.HOUR)
            self.add_outcome(Outcome.BROKEN)
        except Exception as error:  # noqa: BLE001 - the schedule stays due: the next run checks it
            telemetry.crashed(error)

    def _start_due(self, schedule: Schedule, unfinished: set[str]) -> None:
        """Start or skip one due occurrence after the other, until none is due or time is over."""
        current: Schedule | None = schedule
        while current is not None:
            choice = choose(current)
            if choice is None:
                return
            current = self._carry_out(choice, current, unfinished)
            if self.is_over():
                return

    def _carry_out(
        self, choice: Choice, schedule: Schedule, unfinished: set[str]
    ) -> Schedule | None:
        """Start the chosen occurrence, if any, and record the progress.

        Return the changed schedule, or None if there is nothing else to do for it now.
        """
        occurrence, progress = choice
        if occurrence is None:
            return self._advance(schedule, progress)
        is_previous_unfinished = schedule.last_job_id in unfinished
        if schedule.overlap == "allow" or not is_previous_unfinished:
            return self._start(schedule, occurrence, progress, unfinished)
        if schedule.overlap == "queue":
            before = _progress_before(occurrence, progress)
            recheck_at = clock.now() + _RECHECK_DELAY
            schedule_store.wait_for_previous(schedule, occurrence, before, recheck_at)
            self.add_outcome(Outcome.WAITING)
            return None
        return self._advance(schedule, with_skipped(progress, occurrence, PREVIOUS_UNFINISHED))

    def _advance(self, schedule: Schedule, progress: Progress) -> Schedule:
        """Record the progress without starting an occurrence. Return the changed schedule."""
        changed = schedule_store.advance(schedule, progress)
        schedule_log.occurrences_skipped(schedule, progress)
        self.add_outcome(Outcome.SKIPPED if progress.skips else Outcome.MOVED)
        return changed

    def _start(
        self, schedule: Schedule, occurrence: int, progress: Progress, unfinished: set[str]
    ) -> Schedule | None:
        """Start an occurrence. Return the schedule if another of its occurrences is due.

        Save the job and move the schedule. If that succeeds, log the outcome and send the job. If
        the job is refused, record why, so that a later run tries again.
        """
        # After a lost response, this value in the stored schedule shows that this call wrote it.
        revision = new_id()
        try:
            accepted = self._save_job(schedule, occurrence, progress, revision)
        except RowExists as exists:
            stored = schedule_store.read(schedule.organization_id, schedule.name)
            if stored is None or stored.revision != revision:
                return self._advance(schedule, progress)  # an earlier call started this occurrence
            accepted = Accepted(exists.row)  # this call started it, but AWS's response was lost
        except (RaceLost, PreconditionFailed):
            raise  # another process has changed the schedule: `process` handles that
        except UniqueConflict:
            return self._advance(schedule, with_skipped(progress, occurrence, KEY_TAKEN))
        except Exception as error:
            if is_temporary(error):
                raise
            self._retry_or_give_up(schedule, occurrence, progress, error)
            return None
        row = accepted.row
        duplicate = accepted.duplicate
        if duplicate is not None and duplicate.is_repeated:
            # An earlier call found the other job, and recorded the outcome of this occurrence.
            return self._advance(schedule, progress)
        if duplicate is not None and duplicate.outcome is DuplicateAnswer.RETURNED:
            skipped = with_skipped(progress, occurrence, KEY_TAKEN)
            schedule_log.occurrences_skipped(schedule, skipped)
            self.add_outcome(Outcome.SKIPPED)
        else:
            schedule_log.occurrence_started(row, schedule, progress, occurrence)
            self.add_outcome(Outcome.STARTED)
            unfinished.add(row.id)
            send_if_unclaimed(accepted, self._send)
        if progress.next_at is None or progress.next_at > clock.now():
            return None
        return schedule_store.read(schedule.organization_id, schedule.name)

    def _save_job(
        self, schedule: Schedule, occurrence: int, progress: Progress, revision: str
    ) -> Accepted:
        """Save the occurrence's job and move the schedule to its next occurrence, atomically.

        If another job holds the unique key, the result may be that job.
        """

        def writes_if_existing(row: JobRequest, outcome: DuplicateAnswer) -> list[RecordWrite]:
            if outcome is DuplicateAnswer.RETURNED:
                skipped = with_skipped(progress, occurrence, KEY_TAKEN)
                return [schedule_store.skip_write(schedule, skipped, revision)]
            return [schedule_store.start_write(schedule, progress, occurrence, revision, row.id)]

        start = schedule_store.start_write(schedule, progress, occurrence, revision)
        token = context.author.set(context.Author("schedule", schedule.name))
        try:
            with tracing.dispatching(schedule.job_type):
                return dispatch.accept_job(
                    checking.new_job_data(
                        schedule.job_type, schedule.payload, schedule.organization_id
                    ),
                    send=self._send,
                    job_id=schedule.job_id(occurrence),
                    more_writes=[start],
                    writes_if_existing=writes_if_existing,
                )
        finally:
            context.author.reset(token)

    def _retry_or_give_up(
        self, schedule: Schedule, occurrence: int, progress: Progress, error: Exception
    ) -> None:
        """Schedule another try for an occurrence whose job was refused, or give it up.

        The delay grows with the time since the first try. After _RETRY_TIME, the occurrence counts
        as failed.
        """
        record = error_record(error)
        del record["traceback"]
        now = clock.now()
        first_tried_at = now
        if occurrence == schedule.next_at and schedule.failing_since:
            first_tried_at = schedule.failing_since
        gives_up = now - first_tried_at >= _RETRY_TIME
        if gives_up:
            failed = (*progress.failed, occurrence)
            schedule_store.advance(schedule, progress._replace(failed=failed))
        else:
            delay = max(now - first_tried_at, _RECHECK_DELAY)
            retry_at = now + min(delay, _MAX_RECHECK_DELAY)
            if progress.next_at:  # don't delay the next occurrence
                retry_at = min(retry_at, progress.next_at)
            before = _progress_before(occurrence, progress)
            schedule_store.record_failed_start(
                schedule, occurrence, before, record, since=first_tried_at, until=retry_at
            )
        schedule_log.occurrence_refused(schedule, occurrence, error, gives_up=gives_up)
        self.add_outcome(Outcome.FAILED if gives_up else Outcome.REFUSED)


def _progress_before(occurrence: int, progress: Progress) -> Progress:
    """Return the part of the progress to record while an occurrence waits or is tried again.

    The progress may also skip occurrences that come later. They are recorded as skipped only when
    this occurrence starts.
    """
    if progress.last_at == occurrence:
        return progress
    return progress._replace(skips=None, failed=())
