"""Admit the waiting jobs of a line while it has capacity.

A *line* belongs to one queue and one key, and has slots, a rate, and an *entry* for each job that
waits. It is stored as one DynamoDB partition. To *admit* a job is to give it a slot, and to queue
and send it.

Each process that frees a slot of the line, or puts a job into the line, then makes an *admission
pass*: it admits one job after another. If the process is killed before its pass, the timer or the
handler of the process's failure record makes the pass. The cost of a pass depends on the free
capacity, not on the number of waiting jobs.

If only the rate keeps the next job from starting, the pass sends a *wake-up*, a delayed message
that arrives when the rate allows the start: see `job_runners.engine.lines.wake_ups`.
"""

import threading

from pynamodb.exceptions import PynamoDBException

from job_runners import clock
from job_runners.aws.errors import AWS_ERRORS, is_conflict, retry_until
from job_runners.engine.lines import wake_ups
from job_runners.engine.lines.limits import limits_of
from job_runners.engine.lines.wake_ups import NextStep, WakeUps
from job_runners.engine.telemetry import telemetry
from job_runners.engine.wire.messages import QueueMessage
from job_runners.engine.wire.sending import Send, can_send, send_or_leave_due
from job_runners.errors import PreconditionFailed
from job_runners.store import lines, pauses, transitions, used_keys
from job_runners.store.job_request import ROW_VERSION, Lane
from job_runners.store.line_items import LineItem
from job_runners.store.lines import Line
from job_runners.store.pauses import Kind
from job_runners.store.queries import read
from job_runners.store.transactions import RaceLost

_MAX_PASS_TIME = 10 * clock.SECOND  # limited, because the caller of a pass has other work
_RETRY_DELAY = 60.0  # seconds before the next pass, if AWS is unavailable or too much is unreadable
_MAX_QUARANTINED = 10  # how many jobs with unreadable rows one pass removes from the line


def admit_waiting(
    queue_name: str,
    concurrency_key: str,
    send: Send,
    *,
    until: int | None = None,
    thorough: bool = False,
) -> None:
    """Admit the waiting jobs of a line. If AWS fails, send a message that starts a later pass.

    The pass stops at `until` (milliseconds since 1970) at the latest. A `thorough` pass checks
    every slot in use, and doesn't rely on a wake-up that is overdue. The timer and the handler of
    failure records need such a pass, because they act for a process that was killed.
    """
    if not can_send(send):
        return
    latest_end = clock.now() + _MAX_PASS_TIME
    ends_at = min(until or latest_end, latest_end)
    try:
        _AdmissionPass(queue_name, concurrency_key, send, ends_at, thorough=thorough).run()
    except Exception as error:  # noqa: BLE001 - the outcome is recorded, and the caller goes on
        telemetry.crashed(error)
        if isinstance(error, AWS_ERRORS):
            message = QueueMessage(queue_name=queue_name, concurrency_key=concurrency_key)
            wake_ups.send_wake_up_or_make_first_due(message, send, _RETRY_DELAY)


class LineAdmissions:
    """Makes at most one admission pass over each line in a timer run.

    The run's threads share this object.
    """

    def __init__(self, send: Send, until: int) -> None:
        self._send = send
        self._until = until
        self._handled: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def admit_waiting(self, queue_name: str, concurrency_key: str) -> None:
        """Admit the waiting jobs of a line, unless this run has already done so."""
        with self._lock:
            if (queue_name, concurrency_key) in self._handled:
                return
            self._handled.add((queue_name, concurrency_key))
        admit_waiting(queue_name, concurrency_key, self._send, until=self._until, thorough=True)


def wake_up(message: QueueMessage, send: Send, *, deadline: int) -> None:
    """Handle a wake-up: admit a line's waiting jobs at the pace of its rate. Raises AWS errors."""
    if not can_send(send):
        return
    # Stop at half of the time, so that the rest is enough for the last step and the next wake-up.
    halfway = (clock.now() + deadline) // 2
    until = min(clock.now() + wake_ups.MAX_PACING_TIME, halfway)
    admission_pass = _AdmissionPass(
        message.queue_name,
        message.concurrency_key,
        send,
        until,
        thorough=True,
        pace=wake_ups.SHORT_WAIT,
    )
    retry_until(until, admission_pass.run)


class _AdmissionPass:
    """One pass over one line. It ends at `until` or earlier. For `pace`, see `WakeUps`."""

    def __init__(
        self,
        queue_name: str,
        concurrency_key: str,
        send: Send,
        until: int,
        *,
        thorough: bool,
        pace: int = 0,
    ) -> None:
        self._queue_name = queue_name
        self._concurrency_key = concurrency_key
        self._send = send
        self._until = until
        self._thorough = thorough
        self._message = QueueMessage(queue_name=queue_name, concurrency_key=concurrency_key)
        self._wake_ups = WakeUps(self._message, send, until, thorough=thorough, pace=pace)
        # The slots that this pass has compared with their holders' rows. A slot is stored as its
        # number and the number of the grant that gave it to its holder.
        self._verified_slots: set[tuple[int, int | None]] = set()
        self._quarantined_count = 0

    def run(self) -> None:
        """Admit one job after another until no capacity is left or no job waits."""
        while self._try_step() is NextStep.READ_AGAIN:
            if clock.now() >= self._until:
                wake_ups.send_wake_up_or_make_first_due(self._message, self._send, 0)
                return
            if self._quarantined_count >= _MAX_QUARANTINED:
                wake_ups.send_wake_up_or_make_first_due(self._message, self._send, _RETRY_DELAY)
                return

    def _try_step(self) -> NextStep:
        """Take a step. If it ends the pass, remove the wake-up mark that the pass may have set."""
        try:
            next_step = self._step()
            if next_step is NextStep.END:
                return self._wake_ups.stop_pacing()
            return next_step
        except PynamoDBException as error:
            if not is_conflict(error):
                raise
            # Another process is writing the same items: read them again.
            telemetry.race_lost(error)
            return NextStep.READ_AGAIN

    def _step(self) -> NextStep:
        """Admit one job. If there is no capacity now, wait for the rate, or free a stray slot.

        Return whether the pass must read the line again or can end.
        """
        if self._is_paused():
            return NextStep.END
        line = lines.read_line(self._queue_name, self._concurrency_key, limits_of(self._queue_name))
        entry = lines.next_entry(line)
        if entry is None:
            self._wake_ups.take_over_mark(line)
            return NextStep.END
        try:
            return self._admit_or_wait(line, entry)
        except (RaceLost, PreconditionFailed) as lost:
            telemetry.race_lost(lost)
        except (TypeError, ValueError) as error:  # unreadable, for example written by newer code
            self._quarantine(entry, error)
        return NextStep.READ_AGAIN

    def _admit_or_wait(self, line: Line, entry: LineItem) -> NextStep:
        grant = line.grant(entry.entry_group, starts=False)  # the job starts later, with its claim
        if grant is not None:
            used_keys.note_use(line, str(entry.organization_id))
            self._admit(line, entry, grant)
            return NextStep.READ_AGAIN
        if line.waits_for_rate:
            return self._wake_ups.wait_for_rate(line, entry)
        return NextStep.READ_AGAIN if self._free_stray_slot(line) else NextStep.END

    def _quarantine(self, entry: LineItem, reason: Exception) -> None:
        """Remove a job that this code can't handle from the line, so that it doesn't block others.

        The timer puts the job back at its old position once its row is due and can be read.
        """
        lines.drop_entry(entry)
        telemetry.entry_quarantined(entry, reason)
        self._quarantined_count += 1

    def _is_paused(self) -> bool:
        """Return whether the queue is paused.

        If the cache has a pause, read again, because the pause may have just ended. This pass must
        not end because of an old pause: perhaps no other process would check the line.
        """
        if not pauses.current().find(Kind.QUEUE, self._queue_name):
            return False
        return pauses.current(fresh=True).find(Kind.QUEUE, self._queue_name) is not None

    def _admit(self, line: Line, entry: LineItem, grant: lines.Grant) -> None:
        """Admit an entry's job with this grant. If the job no longer waits, drop the entry."""
        row = read(entry.job_id)
        if row is None or row.held_by != line.partition_key or row.wait_key != entry.sk:
            lines.drop_entry(entry)
            return
        if row.row_version > ROW_VERSION:
            transitions.postpone(row, clock.now() + clock.HOUR, Lane.HELD)
            reason = ValueError(f"written by newer code: row version {row.row_version}")
            self._quarantine(entry, reason)
            return
        admitted = transitions.admit(row, grant).after
        telemetry.admitted(admitted)
        send_or_leave_due(admitted, self._send)

    def _free_stray_slot(self, line: Line) -> bool:
        """Free one *stray* slot. Return whether there was one.

        A slot is stray if the row of the job that holds it doesn't name the slot. This happens
        after the row was deleted manually, or the table was restored. A pass that isn't thorough
        checks only the slot that has been held longest, because it is the likeliest stray slot.
        """
        slots = [slot for slot in line.held_slots if lines.is_past_grace(slot)]
        slots.sort(key=lambda slot: slot.since or 0)
        if not self._thorough:
            slots = slots[:1]
        for slot in slots:
            grant_id = (slot.number, slot.turn)
            if grant_id in self._verified_slots:
                continue
            self._verified_slots.add(grant_id)
            if not _is_named_by_holder(slot) and lines.free_slot(slot):
                telemetry.slot_freed(slot)
                return True
        return False


def _is_named_by_holder(slot: LineItem) -> bool:
    """Return whether the row of a slot's holder is unfinished and names this slot."""
    row = read(slot.holder or "")
    return (
        row is not None
        and not row.status.finished
        and row.slot == slot.number
        and row.concurrency_key is not None
        and lines.partition_key_of(row.queue_name, row.concurrency_key) == slot.pk
    )
