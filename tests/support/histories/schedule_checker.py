"""Watch every write to a schedule, and each job that it starts, and report violations."""

from collections.abc import Callable, Iterator
from typing import Any

import moto_items
from histories.hostile_lambda import SKEW, HostileLambda
from job_runners import clock
from job_runners.engine.schedules.due_schedule import PREVIOUS_UNFINISHED
from job_runners.engine.schedules.occurrence import MAX_LATENESS, MISSED
from job_runners.store.job_request import derived_id
from job_runners.testing.moto_direct import Row
from job_runners.work.occurrences import When, next_after

# If one write passes over more occurrences than this, the engine doesn't count all of them.
_MAX_COUNTED = 900
_FINISHED = ("succeeded", "failed", "canceled")
_COUNTS = ("started", "skipped", "failed")


class ScheduleChecker:
    """Each schedule's item after each write, and the occurrences that it has started.

    `rows` are the current jobs. `restarts` says how often each job started over.
    """

    def __init__(
        self,
        world: HostileLambda,
        report: Callable[[str], None],
        rows: dict[str, Row],
        restarts: dict[str, int],
    ) -> None:
        self._world = world
        self._report = report
        self._rows = rows
        self._restarts = restarts
        self._items: dict[tuple[str, str], Row] = {}
        self._started: dict[str, int] = {}  # times of started occurrences, by the ids of their jobs

    def note_landed(self, operation: str, call: Row) -> None:
        """Check a write, or a transaction, that has landed."""
        started = [*_put_jobs(call)]
        for key in _written(operation, call):
            names = (key["pk"]["S"], key["sk"]["S"])
            before, after = self._items.get(names, {}), moto_items.row("coordination", key)
            self._items[names] = after
            if started:
                self._check_start(before, after, started)
            elif after.get("started", 0) > before.get("started", 0):
                self._report(f"{_name(after)} counts a start, but no job was saved")
            if self._world.stack and self._world.stack[-1].name == "timer":
                self._check_move(before, after)
            elif self._world.stack:
                self._check_edit(before, after)

    def active(self) -> Iterator[Row]:
        """Yield the schedules that exist and aren't paused."""
        for item in self._items.values():
            if "deleted_at" not in item and "paused_at" not in item:
                yield item

    def check_up_to_date(self) -> None:
        """Check that no due occurrence is left. Call this method after the faults have ended and
        the timer has run."""
        for item in self.active():
            due_at = item.get("due_at")
            if due_at is None or due_at < self._world.time - clock.MINUTE:
                self._report(f"{_name(item)} has been due since {due_at}, and nothing starts it")
        self._world.figures["occurrences"] += len(self._started)

    def _check_start(self, before: Row, after: Row, started: list[str]) -> None:
        at, name = after["last_started_at"], _name(after)
        if not before or "deleted_at" in before:
            self._report(f"{name} has started an occurrence after it was deleted")
        if "paused_at" in before:
            self._report(f"{name} has started an occurrence while it was paused")
        expected = derived_id("recurring", after["pk"].partition("#")[2], after["sk"], str(at))
        if started != [expected]:
            self._report(f"{name}: an occurrence's job has the wrong id")
        if expected in self._started:
            self._report(f"{name} has started the occurrence of {clock.iso(at)} twice")
        self._started[expected] = at
        if at > self._world.time + SKEW:
            self._report(f"{name} has started an occurrence before its time")
        if at <= before.get("last_at", 0):
            self._report(f"{name} has gone back to the occurrence of {clock.iso(at)}")
        last = self._rows.get(before.get("last_job_id", ""), {})
        still_runs = last.get("status", "failed") not in _FINISHED and not self._restarts.get(
            last["id"]
        )
        if still_runs and before["overlap"] != "allow":
            self._report(f"{name} has started an occurrence while the previous one runs")

    def _check_move(self, before: Row, after: Row) -> None:
        """Check that the timer counts every occurrence that it passes over, and that it skips one
        only for a valid reason."""
        passed_over = [*_occurrences(before, after.get("next_at"))]
        if len(passed_over) > _MAX_COUNTED:
            return
        counts = [after.get(each, 0) - before.get(each, 0) for each in _COUNTS]
        if sum(counts) != len(passed_over):
            self._report(
                f"{_name(after)} has passed over {len(passed_over)} occurrences, but counted "
                f"{sum(counts)}: some are lost"
            )
        if counts[1]:
            self._check_skipped(before, after, passed_over, counts[1])

    def _check_skipped(self, before: Row, after: Row, passed_over: list[int], skipped: int) -> None:
        name, why = _name(after), after["last_skipped_why"]
        now = self._world.time
        if why == MISSED and skipped == len(passed_over):
            is_next_due = after.get("next_at", now + clock.DAY) <= now + SKEW
            is_hardly_late = now - passed_over[-1] < MAX_LATENESS - 2 * SKEW
            if not is_next_due and (before["most_missed"] > 0 or is_hardly_late):
                self._report(f"{name} makes up for none of the missed occurrences")
        if why == PREVIOUS_UNFINISHED:
            last = self._rows.get(before.get("last_job_id", ""), {})
            ended = last.get("finished_at", now)
            if not last or ended < self._world.stack[-1].started - 2 * SKEW:
                self._report(f"{name} was skipped, though the previous job had ended")

    def _check_edit(self, before: Row, after: Row) -> None:
        """Check that no edit loses an occurrence that was due, unless it was paused."""
        if not before or "deleted_at" in (before | after):
            return
        # An edit that freezes between its read and its write decides before the freeze. Its `since`
        # may be that of an earlier edit in the same millisecond.
        timing = ("since", "every", "cron", "timezone")
        has_new_since = any(after.get(each) != before.get(each) for each in timing)
        decided_at = after["since"] if has_new_since else self._world.now()
        was_due = before.get("next_at", decided_at + 1) <= decided_at
        is_active = "paused_at" not in (before | after)
        if was_due and is_active and after.get("next_at") != before["next_at"]:
            self._report(f"an edit of {_name(after)} has lost an occurrence that was due")
        if after.get("last_at", 0) < before.get("last_at", 0):
            self._report(f"{_name(after)} has moved back to earlier occurrences")


def _occurrences(before: Row, until: int | None) -> Iterator[int]:
    """Yield the occurrences that a write has passed over.

    They are those from the old `next_at` until `until`, which is the new `next_at`.
    """
    at: int | None = before.get("next_at")
    when = When(before.get("cron"), before.get("every"), before.get("timezone", "UTC"))
    number = 0
    while at is not None and (until is None or at < until) and number <= _MAX_COUNTED:
        if at > before.get("last_at", 0):
            yield at
            number += 1
        at = next_after(when, max(at, before["since"]))


def _put_jobs(call: Row) -> Iterator[str]:
    """Yield the ids of the jobs that a transaction saves."""
    for each in call.get("TransactItems", ()):
        if "Put" in each and each["Put"]["TableName"] == "jobs":
            yield each["Put"]["Item"]["id"]["S"]


def _written(operation: str, call: Row) -> Iterator[dict[str, Any]]:
    """Yield the keys of the schedules that were changed."""
    changes = [each["Update"] for each in call.get("TransactItems", ()) if "Update" in each]
    for change in changes or ([call] if operation == "UpdateItem" else []):
        if change["TableName"] == "coordination" and change["Key"]["pk"]["S"].startswith(
            "schedules#"
        ):
            yield change["Key"]


def _name(item: Row) -> str:
    return f"the schedule {item['sk']}"
