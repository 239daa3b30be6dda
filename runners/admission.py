"""Let on who waits in a line, as long as there is room.

Whoever frees a slot pumps its line, and so does whoever parks there. If one of them is killed
before, a failure record, or in the end the timer, does it in its place. What a pump does is bounded
by the room there is, not by how many wait.

Where a rate alone keeps the next from starting, a message comes when it opens, see
`runners.wake_ups`.
"""

from pynamodb.exceptions import PynamoDBException

import clock
from aws.errors import AWS_ERRORS, conflicts, retry_until
from errors import PreconditionFailed
from runners import telemetry, wake_ups
from runners.limits import limits_of
from runners.messages import JobMessage, QueueMessage
from runners.sending import Send, send_or_leave_due
from runners.wake_ups import WakeUps
from store import line_entries, lines, pauses, used_keys, verbs
from store.job_request import ROW_VERSION, JobRequest, Lane
from store.lines import Line, LineItem
from store.pauses import Kind
from store.queries import read
from store.transactions import RaceLost

_TIME = 10 * clock.SECOND  # that a pump beside other work may take
_RETRY_AFTER = 60.0  # seconds, if AWS is away
# Rows that can't be read are set aside by one pump: if there are more, something else is wrong.
_MAX_QUARANTINED = 10


def admit_waiting(
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
        _AdmissionPass(
            queue_name, queue_key, send, min(until or soon, soon), thorough=thorough
        ).run()
    except Exception as error:  # noqa: BLE001 - whoever pumps has recorded an outcome, and goes on
        telemetry.crashed(error)
        if isinstance(error, AWS_ERRORS):
            message = QueueMessage(queue_name=queue_name, queue_key=queue_key)
            wake_ups.send_or_leave_due(message, _RETRY_AFTER, send)


def admit_waiting_after(row: JobRequest, send: Send | None) -> None:
    """Let on who waits for what a row had, as the row was before a verb took it away: its slot, or
    its place in the line, if the timer was to look at it for the line."""
    if row.queue_key is not None and (row.slot is not None or row.wait_key is not None):
        admit_waiting(row.queue_name, row.queue_key, send)


def admit_waiting_for_message(
    message: JobMessage, row: JobRequest | None, send: Send | None, *, thorough: bool = False
) -> None:
    """Let on who waits in the line of a message's job: whoever had the message may have freed a
    slot or parked the job, and not have come to this, or not have heard that it was written."""
    its = message if row is None else row
    if its.queue_name is not None and its.queue_key is not None:
        admit_waiting(its.queue_name, its.queue_key, send, thorough=thorough)


def wake_up(message: QueueMessage, send: Send | None, *, deadline: int) -> None:
    """Do what a message about a line asks for, at the pace of its rate. Raises what AWS raises."""
    if send is None:
        return
    until = min(clock.now() + wake_ups.LONGEST_PACE, (clock.now() + deadline) // 2)
    pump = _AdmissionPass(
        message.queue_name,
        message.queue_key,
        send,
        until,
        thorough=True,
        pace=wake_ups.SHORT_WAIT,
    )
    retry_until(until, pump.run)


class _AdmissionPass:
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
        self._message = QueueMessage(queue_name=queue_name, queue_key=queue_key)
        self._wake_ups = WakeUps(self._message, send, until, thorough=thorough, pace=pace)
        self._checked: set[tuple[int, int | None]] = set()  # slots and turns that are rightly held
        self._set_aside = 0

    def run(self) -> None:
        """Let on one after the other until there is no room, or nobody waits."""
        while self._look():
            if clock.now() >= self._until:
                wake_ups.send_or_leave_due(self._message, 0, self._send)
                return
            if self._set_aside >= _MAX_QUARANTINED:
                wake_ups.send_or_leave_due(self._message, _RETRY_AFTER, self._send)
                return

    def _look(self) -> bool:
        """Do what is next; return whether to look again."""
        try:
            return self._step() or self._wake_ups.stop_pacing()
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
        entry = line_entries.next_entry(line)
        if entry is None:
            self._wake_ups.answer(line)
            return False
        try:
            return self._deal_with(line, entry)
        except (RaceLost, PreconditionFailed) as lost:
            telemetry.moved(lost)
        except (TypeError, ValueError) as error:  # it can't be read: of newer code, say
            self._quarantine(entry, error)
        return True

    def _deal_with(self, line: Line, entry: LineItem) -> bool:
        grant = line.grant(entry.waits_in, starts=False)
        if grant is not None:
            used_keys.note_use(line, str(entry.organization_id))
            self._admit(line, entry, grant)
            return True
        if line.waits_for_rate:
            return self._wake_ups.wait_for_rate(line, entry)
        return self._free_one_unheld(line)

    def _quarantine(self, entry: LineItem, why: Exception) -> None:
        """Take a job out of the line that this code can't deal with: it must not keep the others
        waiting. The timer puts it back at its old place when its row is due and can be read."""
        line_entries.drop_entry(entry)
        telemetry.entry_quarantined(entry, why)
        self._set_aside += 1

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
            line_entries.drop_entry(entry)
            return
        if row.row_version > ROW_VERSION:
            verbs.postpone(row, clock.now() + clock.HOUR, Lane.PARKED)
            self._quarantine(entry, ValueError(f"of newer code: row version {row.row_version}"))
            return
        admitted = verbs.admit(row, grant)
        telemetry.admitted(admitted)
        send_or_leave_due(admitted, self._send)

    def _free_one_unheld(self, line: Line) -> bool:
        """Free a slot whose holder's row does not name it, as only code of another version leaves
        one; return whether there was one. The slot that was taken first is the likeliest."""
        held = sorted(filter(lines.is_settled, line.held), key=lambda slot: slot.since or 0)
        for slot in held if self._thorough else held[:1]:
            seen = (slot.number, slot.turn)
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
