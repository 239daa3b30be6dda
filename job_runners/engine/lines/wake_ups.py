"""Send wake-ups: delayed messages that admit waiting jobs once the rate of their line allows it.

A *line* has the waiting jobs of one queue and one key, each with an *entry*. An *admission pass*
admits them (lets them continue) while the line has free slots and its rate, a limit of starts per
time, allows a start. See `job_runners.engine.lines.admission`.

The rate *opens* when it allows the next start. An admission pass that a wake-up has started *paces*
the line: as long as the rate opens soon, the pass waits in its own process, and admits one job
after another.

The line's *mark* (`wake_at` of its rate item) shows that a wake-up is under way, or that a pass
paces the line. Its value is the time when the wake-up arrives or the pass ends. Until then, other
passes send no wake-up.

A wake-up may be lost, or its sender may be killed. So the row of the first waiting job is due a
minute after the wake-up should arrive, and the timer then looks at the job.
"""

from enum import Enum, auto

from job_runners import clock
from job_runners.aws.errors import AWS_ERRORS
from job_runners.engine.lines.limits import limits_of
from job_runners.engine.telemetry import telemetry
from job_runners.engine.wire.messages import QueueMessage
from job_runners.engine.wire.sending import MAX_MESSAGE_DELAY, Send
from job_runners.errors import PreconditionFailed, SendFailed
from job_runners.store import lines, transitions
from job_runners.store.conditional_write import GRACE
from job_runners.store.job_request import JobRequest, Lane
from job_runners.store.line_items import LineItem
from job_runners.store.lines import Line
from job_runners.store.queries import read

# If the rate opens within SHORT_WAIT, a pass that paces the line waits in its process. A wake-up is
# less precise: its delay is in whole seconds, and clocks differ.
SHORT_WAIT = 2 * clock.SECOND
MAX_PACING_TIME = clock.MINUTE  # after this, the pass sends another wake-up
_LOST_AFTER = 90 * clock.SECOND  # a wake-up counts as lost this long after it should have arrived
_MAX_DELAY_MS = int(MAX_MESSAGE_DELAY * clock.SECOND)


class NextStep(Enum):
    """How an admission pass continues after a step."""

    READ_AGAIN = auto()  # read the line again, and take another step
    END = auto()


class WakeUps:
    """The wake-ups of one admission pass over a line. The pass ends at `until`.

    `pace` is how many milliseconds the pass may wait in its process at a time. It is 0 unless a
    wake-up started the pass.
    """

    def __init__(
        self, message: QueueMessage, send: Send, until: int, *, thorough: bool, pace: int
    ) -> None:
        self._message = message
        self._send = send
        self._until = until
        self._thorough = thorough
        self._pace = pace
        self._own_mark: int | None = None  # the line's mark that this pass must remove

    def wait_for_rate(self, line: Line, entry: LineItem) -> NextStep:
        """Wait until the rate opens, or end the pass and leave the first job to a wake-up.

        The pass waits only if the rate opens soon and no other pass paces the line. Otherwise it
        relies on a wake-up, and sends one if none is under way. The wake-up arrives when the rate
        opens, or after the maximum delay of a message. `entry` is the entry of the first waiting
        job. Raises PreconditionFailed if that job's row changes.
        """
        opens_at = line.next_admission_at()
        wait = opens_at - clock.now()
        is_soon = wait <= self._pace and opens_at < self._until
        if self._is_pacing(line):
            return _sleep(wait) if is_soon else NextStep.END
        wake_at = self._reliable_mark(line, opens_at)
        if wake_at is not None:
            return _leave_to_wake_up(line, entry, wake_at, opens_at)
        if is_soon:
            return self._start_pacing(line, wait)
        return self._send_wake_up(line, entry, opens_at, wait)

    def _start_pacing(self, line: Line, wait: int) -> NextStep:
        """Mark the line as paced by this pass, and wait for `wait` milliseconds."""
        if not lines.mark_wake_up(line, self._until):
            return NextStep.READ_AGAIN
        self._own_mark = self._until
        return _sleep(wait)

    def _send_wake_up(self, line: Line, entry: LineItem, opens_at: int, wait: int) -> NextStep:
        """Send the wake-up that arrives when the rate opens, in `wait` milliseconds."""
        arrives_at = _next_wake_up(opens_at)
        # Make the job due before the mark is set, in case this process is killed in between.
        if not _ensure_due(line, entry, arrives_at):
            return NextStep.READ_AGAIN
        if not lines.mark_wake_up(line, arrives_at):
            return NextStep.READ_AGAIN
        send_wake_up_or_make_first_due(self._message, self._send, wait / clock.SECOND)
        return NextStep.END

    def take_over_mark(self, line: Line) -> None:
        """Let `stop_pacing` remove the mark of the wake-up that started this pass.

        Call this if no job waits in the line. The next job that waits must not rely on a wake-up
        that has already arrived.
        """
        mark = _mark_of(line)
        if self._pace and mark is not None and mark <= clock.now() + self._pace:
            self._own_mark = mark

    def stop_pacing(self) -> NextStep:
        """Before the pass ends, remove its mark from the line, if it has set one.

        Return READ_AGAIN if the line still had the mark. A job may have begun to wait in the
        meantime, and may rely on this pass.
        """
        if self._own_mark is None:
            return NextStep.END
        line_key = lines.partition_key_of(self._message.queue_name, self._message.concurrency_key)
        was_marked = lines.unmark_wake_up(line_key, self._own_mark)
        self._own_mark = None
        return NextStep.READ_AGAIN if was_marked else NextStep.END

    def _is_pacing(self, line: Line) -> bool:
        """Return whether this pass paces the line, because the line's mark is its own."""
        return self._own_mark is not None and self._own_mark == _mark_of(line)

    def _reliable_mark(self, line: Line, opens_at: int) -> int | None:
        """Return the line's mark if its wake-up will arrive, or if another pass paces the line.

        Return None if the wake-up has arrived, is lost, or would arrive too late.
        """
        rate = line.rate
        if rate is None or rate.wake_at is None:
            return None
        # If the line's last start is at or after `wake_at`, the wake-up has arrived.
        has_arrived = rate.wake_at <= (rate.since or 0)
        # A wake-up may be too late, for example because the rate was raised after it was sent.
        latest = max(opens_at, clock.now() + MAX_PACING_TIME) + _LOST_AFTER
        is_too_late = rate.wake_at > latest
        # A thorough pass doesn't wait for an overdue wake-up. A pass that a wake-up started must
        # not wait for that same wake-up, which may have arrived up to `pace` early.
        lost_at = rate.wake_at - self._pace if self._thorough else rate.wake_at + _LOST_AFTER
        is_lost = clock.now() >= lost_at
        if has_arrived or is_too_late or is_lost:
            return None
        return rate.wake_at


def is_paced(line: Line) -> bool:
    """Return whether an admission pass paces a line, so that no other pass needs to admit its jobs.

    If the mark is later than the next start, it belongs to a pass, because a wake-up arrives when
    the rate opens at the latest.
    """
    mark = _mark_of(line)
    return mark is not None and mark > max(line.next_admission_at(), clock.now())


def due_if_first(line: Line) -> int | None:
    """Return when the timer must check a job that begins to wait in a line.

    Return None unless the job is the first in the line, and waits only for the rate.
    """
    if line.first is not None or not line.waits_for_rate:
        return None
    return due_after(line.next_admission_at())


def due_after(opens_at: int) -> int:
    """Return when the timer must check the first waiting job, if the rate opens at `opens_at`."""
    return _next_wake_up(opens_at) + GRACE


def send_wake_up_or_make_first_due(message: QueueMessage, send: Send, delay: float) -> None:
    """Send a wake-up with a delay in seconds. If that fails, leave its work to the timer."""
    delay = min(max(0.0, delay), MAX_MESSAGE_DELAY)
    try:
        send(message, delay)
    except SendFailed as error:
        telemetry.not_sent(error)
        make_first_due(message, delay)


def make_first_due(message: QueueMessage, delay: float) -> None:
    """Make the first waiting job of a line due, so that the timer does the work of a wake-up.

    This is for wake-ups that can't be delayed or sent. If AWS fails, the job is only due later.
    """
    try:
        line = lines.read_line(
            message.queue_name, message.concurrency_key, limits_of(message.queue_name)
        )
        entry = lines.next_entry(line)
        row = _waiting_row(line, entry) if entry is not None else None
        if row is not None:
            transitions.postpone(row, clock.now() + round(delay * clock.SECOND), Lane.HELD)
    except PreconditionFailed as refused:
        telemetry.race_lost(refused)
    except (TypeError, ValueError, *AWS_ERRORS) as error:
        telemetry.crashed(error)


def _sleep(wait: int) -> NextStep:
    """Wait for `wait` milliseconds in this process. The line may change in that time."""
    clock.sleep(max(0, wait) / clock.SECOND)
    return NextStep.READ_AGAIN


def _leave_to_wake_up(line: Line, entry: LineItem, wake_at: int, opens_at: int) -> NextStep:
    """End the pass. The line's mark `wake_at` shows that a wake-up or another pass continues."""
    if wake_at > opens_at:  # another pass paces the line and admits the job itself
        return NextStep.END
    # Make the job due, in case the wake-up is lost.
    return NextStep.END if _ensure_due(line, entry, wake_at) else NextStep.READ_AGAIN


def _next_wake_up(opens_at: int) -> int:
    """Return when a wake-up that is sent now arrives, if the rate opens at `opens_at`."""
    return min(opens_at, clock.now() + _MAX_DELAY_MS)


def _ensure_due(line: Line, entry: LineItem, arrives_at: int) -> bool:
    """Make the first waiting job due within a minute after the wake-up arrives.

    The job may have another due time, for example because it became the first when the job before
    it was canceled. If the entry's job no longer waits, drop the entry and return False.
    """
    row = _waiting_row(line, entry)
    if row is None:
        lines.drop_entry(entry)
        return False
    if not arrives_at <= (row.due_at or 0) <= arrives_at + GRACE:
        transitions.postpone(row, arrives_at + GRACE, Lane.HELD)
    return True


def _waiting_row(line: Line, entry: LineItem) -> JobRequest | None:
    """Return the row of an entry's job, or None if no waiting job has this entry any longer."""
    row = read(entry.job_id)
    if row is None or (row.held_by, row.wait_key) != (line.partition_key, entry.sk):
        return None
    return row


def _mark_of(line: Line) -> int | None:
    return line.rate.wake_at if line.rate is not None else None
