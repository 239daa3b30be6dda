"""When a line's rate opens: who waits there is told by a message that comes then, the wake-up.

The rate's item says that one is under way, so that many who wait don't each send one. Where the
rate opens soon, one wake-up lets on one after the other in its own process: it paces the line.

The job that waits first is due a minute after the wake-up was to come. If whoever was to send that
is killed, or it is lost, the timer finds this one row, and no other.
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

# A wake-up waits for so long in its own process, when the rate opens so soon: a message has delays
# of whole seconds, and clocks differ. In all it goes on for so long, then another one follows.
SHORT_WAIT = 2 * clock.SECOND
LONGEST_PACE = clock.MINUTE
# A wake-up that is so late has been lost.
_LOST_AFTER = 90 * clock.SECOND
_LONGEST_DELAY = int(LONGEST_DELAY * clock.SECOND)


class WakeUps:
    """What one pump of a line does about its wake-ups, until `until`. Only a pump that is a wake-up
    itself waits in its process, for up to `pace` ms at a time."""

    def __init__(
        self, message: QueueMessage, send: Send, until: int, *, thorough: bool, pace: int
    ) -> None:
        self._message = message
        self._send = send
        self._until = until
        self._thorough = thorough
        self._pace = pace
        self._paces_until: int | None = None  # as the line says: nobody else sends a wake-up

    def wait_for_rate(self, line: Line, entry: LineItem) -> bool:
        """Wait until the rate opens if that is soon, as the only one who does; else have a message
        come then, or as late as messages can. Return whether to look again.

        `entry` is of who waits first. Raises PreconditionFailed if its row moves meanwhile.
        """
        opens_at = line.opens_at()
        wait = opens_at - clock.now()
        is_soon = wait <= self._pace and opens_at < self._until
        if self._is_pacing(line):
            if not is_soon:
                return False
        elif (wake_at := self._coming_wake_up(line, opens_at)) is not None:
            # A pump that paces a line marks it for longer than its rate is shut: who waits first is
            # let on in a moment.
            return wake_at <= opens_at and not _have_due(line, entry, wake_at)
        else:
            comes_at = self._until if is_soon else _next_wake_up(opens_at)
            # At first: whoever is killed between two of these leaves it due.
            if not is_soon and not _have_due(line, entry, comes_at):
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
        """If this pump is the wake-up that the line waits for, have its mark taken away: it came
        for nobody, and who parks next must not rely on it."""
        mark = _mark(line)
        if self._pace and mark is not None and mark <= clock.now() + self._pace:
            self._paces_until = mark

    def stop_pacing(self) -> bool:
        """Take the mark of this pump away, if it has set one; return whether to look again, for
        those who have parked meanwhile and left the line to it."""
        if self._paces_until is None:
            return False
        place = lines.place_of(self._message.queue_name, self._message.queue_key)
        was_there = line_rates.unmark_wake_up(place, self._paces_until)
        self._paces_until = None
        return was_there

    def _is_pacing(self, line: Line) -> bool:
        """Return whether this pump is the one that others leave the line to: its mark is there."""
        return self._paces_until is not None and self._paces_until == _mark(line)

    def _coming_wake_up(self, line: Line, opens_at: int) -> int | None:
        """Return when a message comes that is under way, or until when another pump paces the line;
        None if nobody does anything when the rate opens."""
        rate = line.rate
        if rate is None or rate.wake_at is None:
            return None
        has_come = rate.wake_at <= (rate.since or 0)  # somebody has started since
        latest = max(opens_at, clock.now() + LONGEST_PACE) + _LOST_AFTER
        late = -self._pace if self._thorough else _LOST_AFTER
        is_lost = clock.now() >= rate.wake_at + late
        return None if has_come or rate.wake_at > latest or is_lost else rate.wake_at


def due_without_wake_up(line: Line) -> int | None:
    """Return when the timer must look at a job that parks now, if it is the first in its line and
    waits for the rate alone; None for any other."""
    if line.first is not None or not line.waits_for_rate:
        return None
    return due_after(line.opens_at())


def due_after(opens_at: int) -> int:
    """Return when the timer must look at the job that waits first for a rate which opens then."""
    return _next_wake_up(opens_at) + GRACE


def send_or_leave_due(message: QueueMessage, delay: float, send: Send) -> None:
    """Send a message about a line, with a delay in seconds; else leave it to the timer."""
    delay = min(max(0.0, delay), LONGEST_DELAY)
    try:
        send(message, delay)
    except SendFailed as error:
        telemetry.not_sent(error)
        leave_due(message, delay)


def leave_due(message: QueueMessage, delay: float) -> None:
    """Have the timer do what a message about a line asks for: where messages can't wait, or can't
    be sent. The row of who waits first is due then. If AWS does not take that, it is due later."""
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


def _have_due(line: Line, entry: LineItem, comes_at: int) -> bool:
    """Have the job that waits first due a minute after the wake-up was to come, if it is not: the
    one that was may have been cancelled. Return False, and drop the entry, if it waits no more."""
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
