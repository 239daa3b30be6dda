"""Record each write that a history makes to a job's row, with its transition and its writer.

A record also has the row as it was before and after the write. `model/Replay.tla` checks whether
the model allows each write.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import moto_items
from histories.hostile_lambda import HostileLambda
from job_runners import clock
from job_runners.store import conditional_write, transitions
from job_runners.store.conditional_write import Change
from job_runners.store.job_fields import GROUP_PREFIX, SIGNAL_PREFIX
from job_runners.store.job_request import JobRequest
from job_runners.store.lines import is_line
from job_runners.store.transitions import CLAIM_TOLERANCE
from job_runners.testing.moto_direct import Row

_NOTHING: Row = {"status": "none"}
# The attributes that the model knows. Of the last five, it only knows which values of the same
# attribute are equal.
_FIELDS = (
    *(
        "status",
        "attempt",
        "max_attempts",
        "invocations",
        "lease_until",
        "due_at",
        "cancel_requested",
        "cancel_members",
    ),
    *("slot", "admitted_at", "held_by", "concurrency_key", "run_at", "expires_at"),
    *("claim_token", "send_id", "waiting_since", "created_key", "finished_at"),
)


@dataclass
class Write:
    """One write to a job's row that has landed."""

    transition: str
    who: str  # the function that made the write
    by: int  # the id of the invocation that made it
    message: str | None  # the send id of the message that started the invocation
    seen: Row  # the row as the writer had read it
    before: Row
    after: Row
    now: int  # by the writer's clock, when the transition was called
    slots: "SlotChanges"


@dataclass
class SlotChanges:
    """The changes that one write to a job's row makes to slots, in the same transaction."""

    took: set[int]  # slots that were free, and now name the job
    gave: set[int]  # slots that named the job, and are now free
    stole: bool  # whether another job's slot was changed


@dataclass
class _Call:
    """A transition that was called and has not returned yet."""

    transition: str
    seen: Row
    now: int
    by: object = None  # the invocation that called it


@dataclass
class WriteRecorder:
    """The writes of a history, by job and in order."""

    world: HostileLambda
    writes: dict[str, list[Write]] = field(default_factory=dict)
    _calls: list[_Call] = field(default_factory=list)
    _entrances: list[transitions.Entrance | None] = field(
        default_factory=list
    )  # of claims in progress
    _rows: dict[str, Row] = field(default_factory=dict)
    # the holder of each slot, by key
    _holders: dict[tuple[str, str], str | None] = field(default_factory=dict)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Record the writes that land in this block."""
        on_landed = self.world.on_landed

        def landed(operation: str, call: Row) -> None:
            on_landed(operation, call)
            self._landed(operation, call)

        with ExitStack() as stack:
            stack.enter_context(patch.object(self.world, "on_landed", landed))
            recording = self._recording_call(conditional_write.write)
            stack.enter_context(patch.object(conditional_write, "write", recording))
            stack.enter_context(
                patch.object(transitions, "claim", self._recording_entrance(transitions.claim))
            )
            yield

    def _recording_entrance(self, claim: Callable[..., Change]) -> Callable[..., Change]:
        """Wrap `claim` to record its entrance. In a queue with limits, the entrance has the row
        that was read before the claim."""

        def recorded_claim(
            *arguments: Any, entrance: transitions.Entrance | None = None, **more: Any
        ) -> Any:
            self._entrances.append(entrance)
            try:
                return claim(*arguments, entrance=entrance, **more)
            finally:
                self._entrances.pop()

        return recorded_claim

    def _recording_call(self, write: Callable[..., Change]) -> Callable[..., Change]:
        """Wrap a function of conditional_write to record its calls."""

        def recorded_write(transition: str, job: JobRequest, *rest: Any, **more: Any) -> Change:
            entrance = self._entrances[-1] if transition == "claim" and self._entrances else None
            read = job if entrance is None else entrance.row
            seen = {name: getattr(read, name) for name in _FIELDS}
            self._calls.append(_Call(transition, seen, clock.now(), self.world.stack[-1]))
            try:
                return write(transition, job, *rest, **more)
            finally:
                self._calls.pop()

        return recorded_write

    def _landed(self, operation: str, call: Row) -> None:
        written = [*_items(operation, call)]
        holders = self._new_holders(item for _, item in written)
        for kind, item in written:
            if item["TableName"] == "jobs" and kind in ("Put", "Update", "Delete"):
                key = item["Key"] if "Key" in item else {"id": item["Item"]["id"]}
                self._record_change(kind, key, holders)

    def _new_holders(self, written: Iterable[Row]) -> list[tuple[int, str | None, str | None]]:
        """Return the number, old holder and new holder of each slot whose holder changes."""
        found = []
        for item in written:
            key = item.get("Key") or item.get("Item", {})
            if "sk" not in key or not key["sk"]["S"].startswith("slot#"):
                continue
            key = {name: key[name] for name in ("pk", "sk")}
            pk, sk = key["pk"]["S"], key["sk"]["S"]
            before = self._holders.get((pk, sk))
            after = moto_items.plain(moto_items.stored("coordination", key)).get("holder")
            self._holders[pk, sk] = after
            if after != before:
                found.append((int(sk[-3:]), before, after))
        return found

    def _record_change(
        self, kind: str, key: Row, holders: list[tuple[int, str | None, str | None]]
    ) -> None:
        job_id = str(key["id"]["S"])
        before = self._rows.get(job_id, _NOTHING)
        after = _NOTHING if kind == "Delete" else moto_items.row("jobs", key)
        if after == before:
            return  # a transaction that botocore repeats lands only once
        call = self._current_call(kind, before)
        if call.transition == "requeue" and after["status"] == before["status"]:
            # The owner of the group of the job that is queued again: its epoch changes.
            call = _Call("wait_again", before, call.now)
        elif after == before | {"has_waited": after.get("has_waited")}:
            call = _Call("record", before, clock.now())
        invocation = self.world.stack[-1]
        self._rows[job_id] = after
        self.writes.setdefault(job_id, []).append(
            Write(
                call.transition,
                invocation.name,
                id(invocation),
                # The legacy worker's children get no event, so take the send id from the claimed
                # row.
                (invocation.message or after).get("send_id"),
                call.seen,
                before,
                after,
                call.now,
                SlotChanges(
                    took={slot for slot, old, new in holders if (old, new) == (None, job_id)},
                    gave={slot for slot, old, new in holders if (old, new) == (job_id, None)},
                    stole=any({old, new} != {None, job_id} for _, old, new in holders),
                ),
            )
        )

    def _current_call(self, kind: str, before: Row) -> _Call:
        """Return the call that made a write.

        That is the innermost transition in progress, or save, delete or set_aside, which don't use
        conditional_write. (Nor does record, which the caller distinguishes from set_aside.)
        """
        match kind:
            case "Put":
                return _Call("save", before, clock.now())
            case "Delete":
                return _Call("delete", before, clock.now())
        # The innermost call in progress may be of a frozen invocation.
        if self._calls and self._calls[-1].by is self.world.stack[-1]:
            return self._calls[-1]
        return _Call("set_aside", before, clock.now())


class RecordedLambda(HostileLambda):
    """A simulated Lambda that records writes: a world for `history.play_seed`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.recorder = WriteRecorder(self)

    @contextmanager
    def running(self) -> Iterator[HostileLambda]:
        """Run as usual, and record the writes that land."""
        with super().running(), self.recorder.listening():
            yield self


def _items(operation: str, call: Row) -> Iterator[tuple[str, Row]]:
    if operation == "TransactWriteItems":
        for each in call["TransactItems"]:
            yield from each.items()
    elif "TableName" in call:  # all calls but those that read many items
        yield operation.removesuffix("Item"), call


# --- the writes as TLA+ ---------------------------------------------------------------------------


class Numbered:
    """Numbers values from 1, so that they can be distinguished. None is 0."""

    def __init__(self) -> None:
        self._numbers: dict[object, int] = {}

    def __call__(self, value: object) -> int:
        """Return the number of a value."""
        return 0 if value is None else self._numbers.setdefault(value, len(self._numbers) + 1)


def module(name: str, histories: list[dict[str, list[Write]]]) -> str:
    """Return a TLA+ module with the writes of these histories, for Replay's Rows and Histories.

    It defines `TheRows`, with each state of a row once, and `TheHistories`, with each
    distinct life of a row (the sequence of its writes) once.
    """
    rows: dict[str, int] = {}
    lives = {
        _life(writes, rows): None for history in histories for writes in history.values()
    }  # in order, each once
    header = "EXTENDS Replay"
    row_texts = ",\n".join(rows)
    life_texts = ",\n".join(lives)
    return (
        f"---- MODULE {name} ----\n{header}\n"
        f"TheRows == <<\n{row_texts}>>\nTheHistories == <<\n{life_texts}>>\n====\n"
    )


def _life(writes: list[Write], rows: dict[str, int]) -> str:
    """Return the writes of one row as a sequence, and add new rows to `rows`."""
    numbered = {name: Numbered() for name in ("token", "message", "time", "made", "run", "by")}

    def number(row: Row) -> int:
        return rows.setdefault(_row(row, numbered), len(rows) + 1)

    return f"<<{', '.join(_write(each, number, numbered) for each in writes)}>>"


def _write(write: Write, number: Callable[[Row], int], numbered: dict[str, Numbered]) -> str:
    before, now = write.before, write.now
    return _record(
        do=write.transition,
        who=write.who,
        by=numbered["by"](write.by),
        msg=numbered["message"](write.message),
        seen=number(write.seen),
        after=number(write.after),
        took=write.slots.took,
        gave=write.slots.gave,
        stole=write.slots.stole,
        early=(before.get("run_at") or 0) > now + CLAIM_TOLERANCE,
        over=(before.get("lease_until") or now) < now,
        expired=(before.get("expires_at") or now) * clock.SECOND <= now,
    )


def _row(row: Row, numbered: dict[str, Numbered]) -> str:
    held_by = row.get("held_by")
    return _record(
        st=str(row["status"] or "none"),
        tok=numbered["token"](row.get("claim_token")),
        snd=numbered["message"](row.get("send_id")),
        att=row.get("attempt", 0),
        most=row.get("max_attempts", 0),
        invocations=row.get("invocations", 0),
        lease=row.get("lease_until") is not None,
        due=row.get("due_at") is not None,
        can=bool(row.get("cancel_requested")),
        mem=bool(row.get("cancel_members")),
        slot=row.get("slot") or 0,
        adm=row.get("admitted_at") is not None,
        **{"in": _where(held_by)},
        since=numbered["time"](row.get("waiting_since")),
        key=row.get("concurrency_key") is not None,
        made=numbered["made"](row.get("created_key")),
        run=numbered["run"](row.get("finished_at")),  # the time of its end identifies a run
    )


def _where(held_by: str | None) -> str:
    if held_by is None:
        return "-"
    if held_by.startswith(SIGNAL_PREFIX):
        return "signal"
    if held_by.startswith(GROUP_PREFIX):
        return "group"
    return "line" if is_line(held_by) else "pause"


def _record(**fields: object) -> str:
    return f"[{', '.join(f'{name} |-> {_value(value)}' for name, value in fields.items())}]"


def _value(value: object) -> str:
    if isinstance(value, set):
        return f"{{{', '.join(map(_value, sorted(value)))}}}"
    if isinstance(value, bool):
        return str(value).upper()
    return f'"{value}"' if isinstance(value, str) else str(value)
