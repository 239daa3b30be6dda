"""Send wake-ups: delayed messages that admit waiting jobs once the rate of their line allows it.

The rate's item records that a wake-up is under way, so that not every waiting job sends one. If the
rate opens soon, one wake-up admits job after job in its own process: it paces the line.

The job that waits first is due a minute after its wake-up should arrive. If the wake-up is lost, or
its sender is killed, the timer finds this one row, and no others.
"""

import clock
from aws.errors import AWS_ERRORS
from errors import PreconditionFailed, SendFailed
from runners import telemetry
from runners.limits import limits_of
from runners.messages import QueueMessage
from runners.sending import LONGEST_DELAY, Send
from store import line_entries, line_rates, lines, verbs
from store.conditional_write import GRACE
from store.job_request import JobRequest, Lane
from store.lines import Line, LineItem
from store.queries import read

# A pass that is a wake-up itself waits in its process if the rate opens within SHORT_WAIT, because
# messages have delays of whole seconds and clocks differ. After LONGEST_PACE it sends another.
SHORT_WAIT = 2 * clock.SECOND
LONGEST_PACE = clock.MINUTE
# After this delay, a wake-up counts as lost.
_LOST_AFTER = 90 * clock.SECOND
_LONGEST_DELAY = int(LONGEST_DELAY * clock.SECOND)


class WakeUps:
    """The wake-ups of one admission pass over a line, which ends at `until`.

    Only a pass that is a wake-up itself waits in its process, for up to `pace` ms at a time.
    """

    def __init__(
        self, message: QueueMessage, send: Send, until: int, *, thorough: bool, pace: int
    ) -> None:
        self._message = message
        self._send = send
        self._until = until
        self._thorough = thorough
        self._pace = pace
        self._paces_until: int | None = None  # the mark that this pass has set on the line

    def wait_for_rate(self, line: Line, entry: LineItem) -> bool:
        """Wait until the rate opens, or schedule a wake-up. Return whether to read the line again.

        The pass waits only if the rate opens soon and no other pass paces the line. Otherwise a
        message arrives when the rate opens, or as late as messages can. `entry` is the entry of the
        job that waits first. Raises PreconditionFailed if the row of that job changes.
        """
        opens_at = line.opens_at()
        wait = opens_at - clock.now()
        is_soon = wait <= self._pace and opens_at < self._until
        if self._is_pacing(line):
            if not is_soon:
                return False
        elif (wake_at := self._coming_wake_up(line, opens_at)) is not None:
            # A pass that paces the line sets its mark later than the time at which the rate opens.
            # It admits the first waiting job in a moment.
            return wake_at <= opens_at and not _ensure_due(line, entry, wake_at)
        else:
            comes_at = self._until if is_soon else _next_wake_up(opens_at)
            # Make the job due before the mark is set, in case this process is killed in between.
            if not is_soon and not _ensure_due(line, entry, comes_at):
                return True
            if not line_rates.mark_wake_up(line, comes_at):
                return True
            if not is_soon:
                send_or_leave_due(self._message, wait / clock.SECOND, self._send)
                return False
            self._paces_until = comes_at
        clock.sleep(max(0, wait) / clock.SECOND)
        return True

    def answer(self, line: Line) -> None:
        """Let `stop_pacing` remove the line's mark, if this pass is the wake-up that it announces.

        No job waits for this wake-up. The next job that parks must not rely on it.
        """
        mark = _mark(line)
        if self._pace and mark is not None and mark <= clock.now() + self._pace:
            self._paces_until = mark

    def stop_pacing(self) -> bool:
        """Remove the mark of this pass, if it has set one. Return whether to read the line again.

        A job may have parked in the meantime and relied on this pass.
        """
        if self._paces_until is None:
            return False
        place = lines.place_of(self._message.queue_name, self._message.queue_key)
        was_there = line_rates.unmark_wake_up(place, self._paces_until)
        self._paces_until = None
        return was_there

    def _is_pacing(self, line: Line) -> bool:
        """Return whether the line has the mark of this pass, so that others rely on it."""
        return self._paces_until is not None and self._paces_until == _mark(line)

    def _coming_wake_up(self, line: Line, opens_at: int) -> int | None:
        """Return when a wake-up under way will arrive, or until when another pass paces the line.

        Return None if neither will admit a job when the rate opens.
        """
        rate = line.rate
        if rate is None or rate.wake_at is None:
            return None
        has_come = rate.wake_at <= (rate.since or 0)  # a job was given a start since
        latest = max(opens_at, clock.now() + LONGEST_PACE) + _LOST_AFTER
        late = -self._pace if self._thorough else _LOST_AFTER
        is_lost = clock.now() >= rate.wake_at + late
        return None if has_come or rate.wake_at > latest or is_lost else rate.wake_at


def due_without_wake_up(line: Line) -> int | None:
    """Return when the timer must check a job that parks now, if only the rate keeps it waiting.

    Return None for any other job, or if another job waits before it.
    """
    if line.first is not None or not line.waits_for_rate:
        return None
    return due_after(line.opens_at())


def due_after(opens_at: int) -> int:
    """Return when the timer must check the job that waits first, if the rate opens at that time."""
    return _next_wake_up(opens_at) + GRACE


def send_or_leave_due(message: QueueMessage, delay: float, send: Send) -> None:
    """Send a message about a line, with a delay in seconds, or leave its work to the timer."""
    delay = min(max(0.0, delay), LONGEST_DELAY)
    try:
        send(message, delay)
    except SendFailed as error:
        telemetry.not_sent(error)
        leave_due(message, delay)


def leave_due(message: QueueMessage, delay: float) -> None:
    """Make the job that waits first in a line due, so that the timer does the work of a message.

    This is for messages that can't be delayed or can't be sent. If AWS doesn't accept the write,
    the job is due later.
    """
    try:
        line = lines.read_line(message.queue_name, message.queue_key, limits_of(message.queue_name))
        entry = line_entries.next_entry(line)
        row = _waiting_row(line, entry) if entry is not None else None
        if row is not None:
            verbs.postpone(row, clock.now() + round(delay * clock.SECOND), Lane.PARKED)
    except PreconditionFailed as refused:
        telemetry.moved(refused)
    except (TypeError, ValueError, *AWS_ERRORS) as error:
        telemetry.crashed(error)


def _next_wake_up(opens_at: int) -> int:
    return min(opens_at, clock.now() + _LONGEST_DELAY)


def _ensure_due(line: Line, entry: LineItem, comes_at: int) -> bool:
    """Make the job that waits first due a minute after the wake-up, if it isn't.

    It may not be, because the job that was due may have been canceled. Return False, and drop the
    entry, if its job no longer waits.
    """
    row = _waiting_row(line, entry)
    if row is None:
        line_entries.drop_entry(entry)
        return False
    if not comes_at <= (row.due_at or 0) <= comes_at + GRACE:
        verbs.postpone(row, comes_at + GRACE, Lane.PARKED)
    return True


def _waiting_row(line: Line, entry: LineItem) -> JobRequest | None:
    row = read(entry.job_id)
    if row is None or (row.held_by, row.wait_key) != (line.place, entry.sk):
        return None
    return row


def _mark(line: Line) -> int | None:
    return line.rate.wake_at if line.rate is not None else None
