"""Let on who waits in a line, as long as there is room.

Whoever frees a slot pumps its line, and so does whoever parks there. If one of them is killed
before, a failure record, or in the end the timer, does it in its place. What a pump does is bounded
by the room there is, not by how many wait.

Where a rate alone keeps the next from starting, a message comes when it opens: the wake-up.
"""

from pynamodb.exceptions import PynamoDBException

import clock
from aws.errors import AWS_ERRORS, conflicts, retry_until
from errors import PreconditionFailed, SendFailed
from runners import telemetry
from runners.limits import limits_of
from runners.messages import JobMessage, QueueMessage
from runners.sending import LONGEST_DELAY, Send, send_or_leave_due
from store import lines, pauses, verbs
from store.conditional_write import RaceLost
from store.job_request import JobRequest, Lane, Status
from store.lines import Line, LineItem
from store.pauses import Kind
from store.queries import read

_TIME = 10 * clock.SECOND  # that a pump beside other work may take
# A wake-up waits for so long in its own process, when the rate opens so soon: a message has delays
# of whole seconds, and clocks differ. In all it goes on for so long, then another one follows.
_SHORT_WAIT = 2 * clock.SECOND
_LONGEST_PACE = clock.MINUTE
# A wake-up that is so late has been lost.
_LOST_AFTER = 90 * clock.SECOND
_RETRY_AFTER = 60.0  # seconds, if AWS is away
_LONGEST_DELAY = int(LONGEST_DELAY * clock.SECOND)


def give_on(
    queue_name: str,
    queue_key: str,
    send: Send | None,
    *,
    until: int | None = None,
    thorough: bool = False,
) -> None:
    """Let on who waits in a line. If AWS does not take it now, a message does it later.

    `thorough` is for the timer and for what stands in for somebody who was killed: it looks at
    every slot, and does not rely on a wake-up that should have come. It goes on until `until`
    (milliseconds since 1970) at the latest.
    """
    if send is None:
        return
    soon = clock.now() + _TIME
    try:
        _Pump(queue_name, queue_key, send, min(until or soon, soon), thorough=thorough).run()
    except Exception as error:  # noqa: BLE001 - whoever pumps has recorded an outcome, and goes on
        telemetry.crashed(error)
        if isinstance(error, AWS_ERRORS):
            message = QueueMessage(queue_name=queue_name, queue_key=queue_key)
            _send_or_leave_due(message, _RETRY_AFTER, send)


def give_on_after(row: JobRequest, send: Send | None) -> None:
    """Let on who waits for the slot of a row, as the row was before a verb freed it."""
    if row.slot is not None and row.queue_key is not None:
        give_on(row.queue_name, row.queue_key, send)


def give_on_about(
    message: JobMessage, row: JobRequest | None, send: Send | None, *, thorough: bool = False
) -> None:
    """Let on who waits in the line of a message's job: whoever had the message may have freed a
    slot or parked the job, and not have come to this, or not have heard that it was written."""
    queue_name = message.queue_name if row is None else row.queue_name
    queue_key = message.queue_key if row is None else row.queue_key
    if queue_name is not None and queue_key is not None:
        give_on(queue_name, queue_key, send, thorough=thorough)


def wake_up(message: QueueMessage, send: Send | None, *, deadline: int) -> None:
    """Do what a message about a line asks for, at the pace of its rate. Raises what AWS raises."""
    if send is None:
        return
    until = min(clock.now() + _LONGEST_PACE, (clock.now() + deadline) // 2)
    pump = _Pump(
        message.queue_name, message.queue_key, send, until, thorough=True, pace=_SHORT_WAIT
    )
    retry_until(until, pump.run)


def leave_due(message: QueueMessage, delay: float) -> None:
    """Have the timer do what a message about a line asks for: where messages can't wait, or can't
    be sent. The row of who waits first is due then. If AWS does not take that, it is due later."""
    try:
        line = lines.read_line(message.queue_name, message.queue_key, limits_of(message.queue_name))
        entry = lines.next_entry(line)
        row = read(entry.job_id) if entry is not None else None
        if row is not None and row.status is Status.WAITING:
            verbs.postpone(row, clock.now() + int(delay * clock.SECOND), Lane.PARKED)
    except PreconditionFailed as refused:
        telemetry.moved(refused)
    except AWS_ERRORS as error:
        telemetry.crashed(error)


class _Pump:
    """One pump of one line."""

    def __init__(
        self,
        queue_name: str,
        queue_key: str,
        send: Send,
        until: int,
        *,
        thorough: bool,
        pace: int = 0,
    ) -> None:
        self._queue_name = queue_name
        self._queue_key = queue_key
        self._send = send
        self._until = until
        self._thorough = thorough
        self._pace = pace
        self._checked: set[tuple[str, int]] = set()  # holders and turns that are as they should be
        self._paces_until: int | None = None  # as the line says: nobody else sends a wake-up

    def run(self) -> None:
        """Let on one after the other until there is no room, or nobody waits."""
        while self._look():
            if clock.now() >= self._until:
                self._send_on(0)
                return

    def _look(self) -> bool:
        """Do what is next; return whether to look again."""
        try:
            return self._step() or self._stop_pacing()
        except PynamoDBException as error:
            if not conflicts(error):
                raise
            telemetry.moved(error)  # somebody else writes the same items just now
            return True

    def _step(self) -> bool:
        """Let one on, or do what else is next; return whether to look again."""
        if self._is_paused():
            return False
        line = lines.read_line(self._queue_name, self._queue_key, limits_of(self._queue_name))
        entry = lines.next_entry(line)
        if entry is None:
            self._answer_for_wake_up(line)
            return False
        grant = line.grant(entry.waits_in)
        if grant is not None:
            if line.is_first_today:
                lines.note_key(self._queue_name, self._queue_key)
            self._admit(line, entry, grant)
            return True
        if line.waits_for_rate:
            return self._wait_for_rate(line)
        return self._free_one_unheld(line)

    def _is_paused(self) -> bool:
        """Return whether the queue is paused. A pause that the cache still has is read again: if it
        has just ended, nobody else may look at this line."""
        return all(
            pauses.current(fresh=fresh).find(Kind.QUEUE, self._queue_name)
            for fresh in (False, True)
        )

    def _admit(self, line: Line, entry: LineItem, grant: lines.Grant) -> None:
        row = read(entry.job_id)
        if row is None or row.held_by != line.place or row.wait_key != entry.sk:
            lines.drop_entry(entry)
            return
        try:
            admitted = verbs.admit(row, grant)
        except (RaceLost, PreconditionFailed) as lost:
            telemetry.moved(lost)
            return
        telemetry.let_on(admitted)
        send_or_leave_due(admitted, self._send)

    def _wait_for_rate(self, line: Line) -> bool:
        """Wait until the rate opens if that is soon, as the only one who does; else have a message
        come then, or as late as messages can."""
        opens_at = line.opens_at()
        wait = opens_at - clock.now()
        is_soon = wait <= self._pace and opens_at < self._until
        if self._is_pacing(line):
            if not is_soon:
                return False
        elif self._has_wake_up(line, opens_at):
            return False
        else:
            comes_at = self._until if is_soon else min(opens_at, clock.now() + _LONGEST_DELAY)
            if not lines.mark_wake_up(line, comes_at):
                return True
            if not is_soon:
                self._send_on(wait / clock.SECOND)
                return False
            self._paces_until = comes_at
        clock.sleep(max(0, wait) / clock.SECOND)
        return True

    def _is_pacing(self, line: Line) -> bool:
        """Return whether this pump is the one that others leave the line to: its mark is there."""
        mark = line.rate.wake_at if line.rate is not None else None
        return self._paces_until is not None and self._paces_until == mark

    def _answer_for_wake_up(self, line: Line) -> None:
        """If this pump is the wake-up that the line waits for, have its mark taken away: it came
        for nobody, and who parks next must not rely on it."""
        mark = line.rate.wake_at if line.rate is not None else None
        if self._pace and mark is not None and mark <= clock.now() + self._pace:
            self._paces_until = mark

    def _stop_pacing(self) -> bool:
        """Take the mark of this pump away, if it has set one; return whether to look again, for
        those who have parked meanwhile and left the line to it."""
        if self._paces_until is None:
            return False
        place = lines.place_of(self._queue_name, self._queue_key)
        was_there = lines.unmark_wake_up(place, self._paces_until)
        self._paces_until = None
        return was_there

    def _has_wake_up(self, line: Line, opens_at: int) -> bool:
        """Return whether a message that comes when the rate opens is under way, or another pump
        paces the line until then."""
        if line.rate is None or line.rate.wake_at is None:
            return False
        wake_at = line.rate.wake_at
        has_come = wake_at <= (line.rate.since or 0)  # somebody has started since
        if has_come or wake_at > max(opens_at, clock.now() + _LONGEST_PACE) + _LOST_AFTER:
            return False
        return clock.now() < wake_at + (-self._pace if self._thorough else _LOST_AFTER)

    def _send_on(self, delay: float) -> None:
        message = QueueMessage(queue_name=self._queue_name, queue_key=self._queue_key)
        _send_or_leave_due(message, delay, self._send)

    def _free_one_unheld(self, line: Line) -> bool:
        """Free a slot whose holder's row does not name it, as only code of another version leaves
        one; return whether there was one. The slot that was taken first is the likeliest."""
        held = sorted(filter(lines.is_settled, line.held), key=lambda slot: slot.since or 0)
        for slot in held if self._thorough else held[:1]:
            seen = (slot.holder or "", slot.turn or 0)
            if seen in self._checked:
                continue
            self._checked.add(seen)
            if not _is_held(slot) and lines.free_slot(slot):
                telemetry.slot_freed(slot)
                return True
        return False


def _is_held(slot: LineItem) -> bool:
    row = read(slot.holder or "")
    return (
        row is not None
        and not row.status.finished
        and row.slot == slot.number
        and row.queue_key is not None
        and lines.place_of(row.queue_name, row.queue_key) == slot.pk
    )


def _send_or_leave_due(message: QueueMessage, delay: float, send: Send) -> None:
    delay = min(max(0.0, delay), LONGEST_DELAY)
    try:
        send(message, delay)
    except SendFailed as error:
        telemetry.not_sent(error)
        leave_due(message, delay)
