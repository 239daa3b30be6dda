"""Watch the lines of queues with limits, and report violations by slots, starts and entries.

A job pays for a start when the write that admits or claims it advances the `tat` of the rate.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import moto_items
from histories.active_limits import ActiveLimits, Believed
from histories.declared_queues import LIMITED
from histories.deploys import Version
from histories.hostile_lambda import SKEW, HostileLambda
from histories.invocation import Invocation, Look
from histories.unique_checker import request_of
from job_runners.store.lines import ADMISSION_LEAD
from job_runners.testing.moto_direct import Row
from job_runners.testing.simulation.invocation import SUCCEEDED
from job_runners.work import Rate

_MAY_HOLD_SLOT = ("queued", "running")  # statuses in which a job may have a slot


@dataclass
class _Start:
    """One start that counts against a rate, decided between the times `began` and `written`.

    `rate` is None if no rate applied, or if several may have applied.
    """

    began: int
    written: int
    rate: Rate | None


class LineChecker:
    """Checks each write to a line against its own copy of the line, and the reads before it."""

    def __init__(self, world: HostileLambda, report: Callable[[str], None]) -> None:
        self._world = world
        self._report = report
        self._rows: dict[str, Row] = {}
        self._items: dict[tuple[str, str], Row] = {}
        self._limits = ActiveLimits(world)
        # By line: the starts that were paid for, by jobs that were admitted or claimed.
        self._payments: dict[str, list[_Start]] = {}
        self._starts: dict[str, list[_Start]] = {}  # by line: the starts of claimed jobs
        # Jobs that have paid for a start and may still use it, and whether they got a slot with it.
        self._paid: dict[str, bool] = {}
        # By line and waiting group (an organization): its entries, and the groups admitted while it
        # waited.
        self._admitted_past: dict[tuple[str, str], tuple[set[str], list[str]]] = {}
        # By line: the number and the invocation of the last write that freed a slot, or held or
        # admitted a job.
        self._moved: dict[str, tuple[int, Invocation]] = {}
        # By line: the timer run that processed a job waiting there.
        self._seen_by_timer: dict[str, Invocation] = {}
        self._last_write: dict[str, int] = {}  # by line: the last write of one of its items
        # By line: the number of the write that listed its key, so that sweeps find it. If AWS
        # refuses that write, it isn't repeated.
        self._listed: dict[str, int] = {}
        # Whether a written row had no queue key, so that the writer read its payload to find the
        # line.
        self._has_read_payload = False
        world.on_query = self.note_query

    # --- reported by the world --------------------------------------------------------------------

    def note_query(self, call: Row) -> None:
        """Note the entries of a line if this query begins a read of the line."""
        pk, sk = (call["ExpressionAttributeValues"].get(name, {}) for name in (":0", ":1"))
        line = str(pk.get("S"))
        is_first = line.startswith("line#") and sk == {"S": "rate"}
        if is_first and "ExclusiveStartKey" not in call and self._world.stack:
            invocation = self._world.stack[-1]
            invocation.looks[line] = Look(invocation.called_at, self._entries(line))

    def note_landed(self, operation: str, call: Row) -> None:
        """Check a write, or a transaction, that has landed."""
        written = [*_written(operation, call)]
        rows = {key["id"]["S"] for table, key in written if table == "jobs"}
        items = {(k["pk"]["S"], k["sk"]["S"]) for table, k in written if table == "coordination"}
        before_rows = {job_id: self._rows.get(job_id, {}) for job_id in rows}
        before_items = {key: self._items.get(key, {}) for key in items}
        for job_id in rows:
            self._rows[job_id] = _item("jobs", {"id": job_id})
        for pk, sk in items:
            self._items[pk, sk] = _item("coordination", {"pk": pk, "sk": sk})
            self._limits.wrote(pk, sk, before_items[pk, sk], self._items[pk, sk])
        self._has_read_payload = any(
            row and not row.get("concurrency_key") for row in before_rows.values()
        )
        for key, before in before_items.items():
            if key[0].startswith("keys#") and not before:
                line = f"line#{key[0].removeprefix('keys#')}#{key[1]}"
                self._listed[line] = self._world.writes_landed
            if key[0].startswith("line#"):
                self._last_write[key[0]] = self._world.writes_landed
                if before and not self._items[key] and not key[1].startswith("wait#"):
                    # It has expired, because no job was admitted for 40 days. So the line has
                    # forgotten which organization was served last.
                    self._admitted_past.clear()
                self._check_item(key, before, rows)
        for job_id, before in before_rows.items():
            self._check_row(before, self._rows[job_id])

    def ended(self, invocation: Invocation) -> None:
        """Check that an invocation doesn't end while a job waits for capacity that every process
        must know to be free.

        The check applies to:

        - an invocation that freed a slot, held a job or admitted a job
        - an invocation that handled the failure record of a killed invocation
        - the timer
        """
        undisturbed = invocation.ended == SUCCEEDED and not invocation.refused_at
        if not undisturbed or invocation.zombie or self._world.stack:
            return
        for line, (number, moved_by) in self._moved.items():
            is_newer = number > invocation.writes_before
            if invocation.name == "failures" and invocation.cause is not None:
                is_responsible = self._line_of_message(invocation) == line and not is_newer
            else:
                is_responsible = self._seen_by_timer.get(line) is invocation and not is_newer
            if (moved_by is invocation or is_responsible) and self._has_known_capacity(
                line, invocation
            ):
                first = self._entries(line)[0]
                self._report(
                    f"{invocation.name} has left {first} waiting in {line}, which has capacity"
                )
        if invocation.name == "timer":
            self._check_swept(invocation)

    def _check_swept(self, invocation: Invocation) -> None:
        """Check that after a requested sweep, no job waits for capacity that was free at the
        request.

        Lines whose key wasn't listed at the request are skipped. The promise holds even if the
        process that began the sweep was killed.
        """
        request_number = self._limits.sweep_required_of(invocation)
        if request_number is None:
            return
        for line in {line for line, sk in self._items if sk.startswith("wait#")}:
            is_unchanged = self._last_write[line] < request_number
            is_listed = self._listed.get(line, request_number) < request_number
            if is_unchanged and is_listed and self._has_known_capacity(line, invocation):
                first = self._entries(line)[0]
                self._report(f"the sweep has left {first} waiting in {line}, which has capacity")

    def check_ended(self) -> None:
        """Check at the end that no slot is held and no job waits."""
        for (line, sk), item in self._items.items():
            if line.startswith("line#") and sk.startswith("wait#") and item:
                self._report(f"{sk} still waits in {line}")
            if line.startswith("line#") and "holder" in item:
                self._report(f"{sk} of {line} is still held by {item['holder']}: it leaked")

    # --- rows -------------------------------------------------------------------------------------

    def _check_row(self, before: Row, after: Row) -> None:
        if not after:  # deleted
            return
        label, status = f"job {after['id']} ({after['status']})", after["status"]
        if before.get("slot") is not None:
            self._check_slot(label, before["slot"], after)
        if after.get("slot") is not None:
            self._check_slot(label, after["slot"], after)
            if status not in _MAY_HOLD_SLOT:
                self._report(f"{label} holds slot {after['slot']}")
        if after.get("admitted_at") is not None and status != "queued":
            self._report(f"{label} is admitted, but not queued")
        self._check_entry(label, before, after)
        # A unique job whose payload was replaced may be in another line, where it pays again.
        is_replaced = bool(before) and request_of(before) != request_of(after)
        if status not in _MAY_HOLD_SLOT or is_replaced:
            self._paid.pop(after["id"], None)
        self._world.figures["waited in a line"] += str(after.get("held_by")).startswith("line#")
        invocation = self._world.stack[-1]
        self._note_move(before, after, invocation)
        is_claimed = status == "running" and before.get("status") != "running"
        # A job whose payload is replaced also leaves its line, but isn't admitted. It then joins a
        # line as a new job does.
        is_replaced = after.get("replaced_by") != before.get("replaced_by")
        left_line = str(before.get("held_by")).startswith("line#")
        is_admitted = status == "queued" and left_line and not is_replaced
        if (is_claimed or is_admitted) and after["queue_name"] == LIMITED:
            self._check_start(label, before, after)
        if is_claimed and (before.get("starts_under_rate") or after.get("starts_under_rate")):
            self._check_start_time(after)
        if is_admitted:
            self._moved[before["held_by"]] = (self._world.writes_landed, invocation)
            self._check_turn(label, before, after)

    def _note_move(self, before: Row, after: Row, invocation: Invocation) -> None:
        """Note a write that frees a slot or makes a job wait. Its writer must then admit jobs."""
        in_line = after.get("wait_key") is not None
        line = str(after["held_by"]) if in_line else _line_of(after)
        holds = in_line and after["wait_key"] != before.get("wait_key")
        frees = before.get("slot") is not None and after["status"] not in _MAY_HOLD_SLOT
        if holds or frees:
            self._moved[line] = (self._world.writes_landed, invocation)
        elif in_line and invocation.name == "timer":
            self._seen_by_timer[line] = invocation

    def _check_slot(self, label: str, number: int, after: Row) -> None:
        """Check that the row names this slot if and only if the slot names the job."""
        line = _line_of(after)
        holder = self._items.get((line, f"slot#{number:03d}"), {}).get("holder")
        if after.get("slot") == number and holder != after["id"]:
            self._report(f"{label} names slot {number} of {line}, which {holder} has")
        if after.get("slot") != number and holder == after["id"]:
            self._report(f"{label} does not name slot {number} of {line}, which it has: it leaked")

    def _check_entry(self, label: str, before: Row, after: Row) -> None:
        old_entry, entry = (
            (str(row["held_by"]), str(row["wait_key"])) if row.get("wait_key") else None
            for row in (before, after)
        )
        if entry and (after["status"] != "waiting" or not self._items.get(entry)):
            self._report(
                f"{label} is stranded: its entry doesn't exist, or its status isn't waiting"
            )
        if str(after.get("held_by")).startswith("line#") and not entry:
            self._report(f"{label} waits in {after['held_by']} without an entry: stranded")
        if old_entry and old_entry != entry and self._items.get(old_entry):
            self._report(f"{label} no longer waits in {old_entry[0]}, but its entry is there")

    def _check_start(self, label: str, before: Row, after: Row) -> None:
        """Check that a job that starts, or is admitted, has the slot and the paid start that it
        needs."""
        invocation = self._world.stack[-1]
        if before.get("slot") is not None and after.get("slot") != before["slot"]:
            self._report(f"{label} had slot {before['slot']}, and now has {after.get('slot')}")
        look = invocation.looks.get(_line_of(after))
        takes_slot = after.get("slot") is not None and before.get("slot") is None
        if after["status"] == "running" and takes_slot and look and look.entries:
            self._report(f"{label}: started before jobs that were waiting when it looked")
        believed = [*self._limits.believed(invocation, invocation.started, self._world.time)]
        if all(each.slots for each in believed) and after.get("slot") is None:
            self._report(f"{label}: started without a slot")
        was_admitted = before.get("slot") is not None or before.get("admitted_at") is not None
        if (
            all(each.rate for each in believed)
            and not was_admitted
            and after["id"] not in self._paid
        ):
            self._report(f"{label}: started without paying for it")

    def _check_turn(self, label: str, before: Row, after: Row) -> None:
        """Check that the right job was admitted.

        That is the job that has waited longest. In a fair queue, it is a job of the organization
        that comes next.
        """
        line, group = before["held_by"], _group(before["wait_key"])
        look = self._world.stack[-1].looks.get(line)
        entries = look.entries if look else []
        if entries and not any(map(_group, entries)) and before["wait_key"] != entries[0]:
            self._report(f"{label}: admitted before {entries[0]}, which has waited longer")
        uses_limits = after.get("slot") is not None or after["id"] in self._paid
        self._admitted_past.pop((line, group), None)
        waiting = defaultdict[str, set[str]](set)
        for entry in self._entries(line):
            waiting[_group(entry)].add(entry)
        for other in waiting.keys() - {group}:
            waited, passed = self._admitted_past.get((line, other), (set(), []))
            if not waited & waiting[other]:  # its jobs have left the line, and others have come
                passed = []
            self._admitted_past[line, other] = (waiting[other], passed)
            passed.append(group)
            if not uses_limits:  # then the line doesn't record the group that was served last
                passed.clear()
            if passed.count(group) > 1:
                self._report(f"{label}: {group} was admitted twice in {line} while {other} waits")

    # --- slots, rates and entries -----------------------------------------------------------------

    def _check_item(self, key: tuple[str, str], before: Row, rows: set[str]) -> None:
        (line, sk), after = key, self._items[key]
        holder = after.get("holder")
        if holder is not None:
            row = self._rows.get(holder, {})
            is_its_own = row and (_line_of(row), row.get("slot")) == (line, int(sk[-3:]))
            if not is_its_own or row["status"] not in _MAY_HOLD_SLOT:
                self._report(f"{sk} of {line} is held by {holder}, which does not name it: leaked")
            if before.get("holder") not in (None, holder):
                self._report(f"{sk} of {line} went from {before['holder']} to {holder}")
            if before.get("holder") is None:
                self._world.figures["slots given"] += 1
                self._check_grant(line)
        if sk == "rate" and after.get("tat") != before.get("tat"):
            for job_id in rows:
                self._check_payment(line, job_id)
        if sk.startswith("wait#") and after:
            row = self._rows.get(sk[-32:], {})  # an entry's key ends with its job's id
            if (row.get("held_by"), row.get("wait_key")) != key:
                self._report(f"the entry {sk} of {line} belongs to a job that does not name it")

    def _check_grant(self, line: str) -> None:
        """Check that no more jobs have slots than the active limit allows."""
        look = self._look(line)
        if look is None:
            return
        held = sum("holder" in self._items[line, sk] for sk in self._keys(line, "slot#"))
        believed = [*self._believed_since(look)]
        if all(each.slots is not None and each.slots < held for each in believed):
            self._report(f"{held} jobs hold slots of {line}, where there are {believed[0].slots}")

    def _check_payment(self, line: str, job_id: str) -> None:
        """Check that a start is paid for once, and no sooner than the rate allows."""
        look = self._look(line)
        if look is None:
            return
        # A job may pay twice: first while its queue had no slots, and again together with its slot
        # when the queue has slots. The rate then allows one fewer start.
        gets_slot = self._rows.get(job_id, {}).get("slot") is not None
        if job_id in self._paid and (self._paid[job_id] or not gets_slot):
            self._report(f"job {job_id} has paid twice for one start")
        self._paid[job_id] = gets_slot
        self._world.figures["starts paid for"] += 1
        self._check_pace(line, look, self._payments, "were admitted")

    def _check_start_time(self, row: Row) -> None:
        """Check that a claimed job starts no sooner than the rate allows, however long ago it was
        admitted.

        A job between two invocations is exempt.
        """
        invocation, line = self._world.stack[-1], _line_of(row)
        if invocation.version is Version.TODAY and (look := invocation.looks.get(line)):
            self._world.figures["starts at a rate"] += 1
            self._check_pace(line, look, self._starts, "started")

    def _check_pace(
        self, line: str, look: Look, starts_by_line: dict[str, list[_Start]], what: str
    ) -> None:
        rates = {each.rate for each in self._believed_since(look)}
        rate = rates.pop() if len(rates) == 1 else None
        starts = starts_by_line.setdefault(line, [])
        starts.append(_Start(look.began, self._world.stack[-1].called_at, rate))
        for number, start in enumerate(reversed(starts)):
            if rate is None or start.rate != rate:
                break
            # The shortest time in which the rate allows this many starts.
            shortest = (number + 1 - rate.burst) * rate.interval // 1000 - 2 * SKEW
            elapsed = starts[-1].written - start.began
            if elapsed < shortest:
                self._report(f"{number + 1} {what} in {line} within {elapsed} ms: {rate}")

    def _believed_since(self, look: Look) -> Iterator[Believed]:
        """Yield the limits on which a decision after this read may be based."""
        invocation = self._world.stack[-1]
        read_since = invocation.started if self._has_read_payload else look.began
        return self._limits.believed(invocation, read_since, look.began)

    def _look(self, line: str) -> Look | None:
        look = self._world.stack[-1].looks.get(line)
        if look is None:
            self._report(f"a process gave out capacity of {line} without reading it")
        return look

    # --- helpers ----------------------------------------------------------------------------------

    def _has_known_capacity(self, line: str, invocation: Invocation) -> bool:
        """Return whether a job waits in a line although every process must know of free capacity.

        If the invocation has sent a message about the line, return False, because the job may wait
        for that message.
        """
        limits = self._limits.known_to(invocation)
        has_sent_message = line.removeprefix("line#") in invocation.sent
        if limits is None or self._limits.is_paused or has_sent_message or not self._entries(line):
            return False
        if limits.rate is not None:
            paid_until = self._items.get((line, "rate"), {}).get("tat", 0)
            started_until = self._items.get((line, "rate"), {}).get("started_tat", 0)
            used_until = max(paid_until, started_until - ADMISSION_LEAD * 1000)
            opens_at = (used_until - (limits.rate.burst - 1) * limits.rate.interval) // 1000
            if opens_at > invocation.started - 2 * SKEW:
                return False
        held_slots = {
            int(sk[-3:]) for sk in self._keys(line, "slot#") if "holder" in self._items[line, sk]
        }
        free = next(n for n in range(1, len(held_slots) + 2) if n not in held_slots)
        return limits.slots is None or free + sum(n > free for n in held_slots) <= limits.slots

    def _line_of_message(self, invocation: Invocation) -> str:
        row = self._rows.get(invocation.message.get("id", ""), {})
        return _line_of(row) if row else ""

    def _keys(self, line: str, prefix: str) -> list[str]:
        items = self._items.items()
        return sorted(
            sk for (pk, sk), item in items if pk == line and sk.startswith(prefix) and item
        )

    def _entries(self, line: str) -> list[str]:
        return self._keys(line, "wait#")


def _group(entry: str) -> str:
    """Return the organization of an entry in a fair queue, or "" in other queues."""
    return entry.split("#")[1]


def _line_of(row: Row) -> str:
    return f"line#{row['queue_name']}#{row.get('concurrency_key')}"


def _item(table: str, key: dict[str, str]) -> Row:
    """Return the current item, or an empty one if it no longer exists."""
    return moto_items.plain(
        moto_items.stored(table, {name: {"S": text} for name, text in key.items()})
    )


def _written(operation: str, call: Row) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the table and key of each item that a call writes."""
    for each in call.get("TransactItems", []):
        for write in each.values():
            yield write["TableName"], write.get("Key") or write["Item"]
    if operation in ("PutItem", "UpdateItem", "DeleteItem"):
        yield call["TableName"], call.get("Key") or call["Item"]
