"""Watch every write to a JobRequest, and every start of a job, and report violations."""

import json
from collections import Counter
from collections.abc import Mapping

from histories.deploys import Version
from histories.failure_checker import FailureChecker
from histories.faults import Fault
from histories.follow_up_checker import FollowUpChecker
from histories.group_checker import GroupChecker
from histories.hostile_lambda import SKEW, HostileLambda
from histories.invocation import Invocation
from histories.line_checker import LineChecker
from histories.operators import Pauses
from histories.schedule_checker import ScheduleChecker
from histories.signal_checker import SignalChecker
from histories.time_to_live import TimeToLive
from histories.timeline_checker import TimelineChecker
from histories.unique_checker import UniqueChecker
from job_runners import clock
from job_runners.settings import settings
from job_runners.store.pauses import CACHE_TIME
from job_runners.store.transitions import CLAIM_TOLERANCE
from job_runners.testing.moto_direct import Row
from job_runners.testing.simulation.invocation import SUCCEEDED
from job_runners.work import Job
from moto_items import plain

FINISHED = ("succeeded", "failed", "canceled")
# Errors that the engine itself gives to jobs that no worker could start, or that never end.
_ENGINE_ERRORS = (
    "NeverStarted",
    "PauseExpired",
    "JobTypeRemoved",
    "InvocationsSpent",
    "GroupExpired",
    "ChildExpired",
)
# How long before its deadline a worker may give up, in milliseconds, if AWS did not answer its last
# call.
_OUTCOME_MARGIN = 6 * clock.SECOND  # while it writes a job's outcome
_CALL_MARGIN = 11 * clock.SECOND  # while a job's own call waits for an answer
_NEVER = 10**12  # seconds, far in the future
_WAITING = ("scheduled", "waiting", "queued", "retryable")


class Violation(AssertionError):
    """A promise was broken in a history with these figures."""

    def __init__(self, promise: str, figures: Counter[str]) -> None:
        super().__init__(promise)
        self.figures = figures


class InvariantChecker:
    """Checks each job's history: what its function does, its messages, and writes to its row."""

    def __init__(self, world: HostileLambda, jobs: Mapping[str, Job]) -> None:
        self._world = world
        self._max_invocations = {name: job.max_invocations for name, job in jobs.items()}
        self.rows: dict[str, Row] = {}
        self.settled = 0  # invocations that were ended by the timer or a failure record
        self.accepted: set[str] = set()  # jobs whose row was saved or whose dispatch returned
        self.doubled: set[str] = (
            set()
        )  # jobs without a retry policy that had an invocation started twice
        self.lost: set[str] = set()  # accepted jobs without an outcome at the end of the history
        # By job: the attempt and invocation that started last, if they have not ended.
        self._open_invocations: dict[str, tuple[int, int]] = {}
        self.violations: list[str] = []
        self.deleted: set[str] = set()  # jobs deleted by operators
        # Jobs without a retry policy that another job has dispatched, and that have started.
        self._started_once: set[str] = set()
        # By job: how often it started over, for example after a retry by an operator.
        self.restarts: Counter[str] = Counter()
        self._pauses = Pauses(world)
        # By job: how often its status changed. Each change is a reason to send messages.
        self._status_changes: Counter[str] = Counter()
        # By job: the invocations that have claimed it since it last started over.
        self._claimers: dict[str, list[Invocation]] = {}
        # Jobs that may fail, because their function was made to fail.
        self._excused: set[str] = set()
        # By job: the invocation in which its function returned.
        self._returned: dict[str, Invocation] = {}
        self._lines = LineChecker(world, self.report) if Fault.LIMITS in world.faults else None
        self.schedules = (
            ScheduleChecker(world, self.report, self.rows, self.restarts)
            if Fault.SCHEDULES in world.faults
            else None
        )
        with_unique = Fault.UNIQUE in world.faults
        self.unique = UniqueChecker(world, self.report, jobs) if with_unique else None
        with_follow_ups = Fault.FOLLOW_UPS in world.faults
        self.follow_ups = FollowUpChecker(world, self.report) if with_follow_ups else None
        self._failures = FailureChecker(world, self.report)
        self.signals = SignalChecker(world, self.report)
        with_groups = Fault.GROUPS in world.faults
        self.groups = GroupChecker(world, self.report) if with_groups else None
        self._time_to_live = TimeToLive(world, self.report)
        self._timelines = TimelineChecker(world, self.report)
        world.expire_items = self._expire_items
        world.on_write = self.note_row_write
        world.on_landed = self._note_landed
        world.on_end = self._check_ended_invocation

    def report(self, promise: str) -> None:
        """Record a broken promise. An error isn't raised, because the code under test might catch
        it."""
        self.violations.append(promise)

    # --- reported by the job itself ---------------------------------------------------------------

    def note_started(self, job_id: str, attempt: int, invocation: int) -> None:
        """Check that an invocation may start.

        If the invocation before it has not ended properly, the new one must belong to another
        attempt. Only jobs with a retry policy have another attempt.
        """
        if self._world.stack[-1].zombie and not self.has_claim(job_id):
            return  # it was frozen and has lost its claim, so it can't write to the row any more
        self._check_started_once(job_id, invocation)
        last = self._open_invocations.get(job_id)
        if last is not None and last[0] >= attempt:
            if self.rows[job_id]["max_attempts"] == 1:
                self.doubled.add(job_id)
            self.report(
                f"invocation {invocation} of job {job_id} started twice in attempt {attempt}"
            )
        self._open_invocations[job_id] = (attempt, invocation)

    def _check_started_once(self, job_id: str, invocation: int) -> None:
        """Check that a job without a retry policy that has started doesn't start over, even if its
        row was deleted or has expired in the meantime."""
        row = self.rows[job_id]
        if invocation > 1 or row["max_attempts"] > 1 or "parent_id" not in row:
            return
        if job_id in self._started_once:
            self.doubled.add(job_id)
            self.report(f"job {job_id} of {row['parent_id']} started again, without retries")
        self._started_once.add(job_id)

    def has_claim(self, job_id: str) -> bool:
        """Return whether the current invocation has the claim of the job."""
        claim = self._world.stack[-1].claim
        return self.rows.get(job_id, {}).get("claim_token") == claim

    def invocation_ended(self, job_id: str) -> None:
        """Note that an invocation has ended, so that the next one can start."""
        self._open_invocations.pop(job_id)

    def excuse(self, job_id: str) -> None:
        """Note that a job may fail, because its function was made to fail or ran out of time."""
        self._excused.add(job_id)

    def note_returned(self, job_id: str) -> None:
        """Note that the function of a job has returned."""
        self._returned[job_id] = self._world.stack[-1]

    def _check_ended_invocation(self, invocation: Invocation) -> None:
        """Check that a worker that was not killed has recorded the outcome of its job.

        The only exception is a worker whose calls got no answer until it ended.
        """
        if self._lines:
            self._lines.ended(invocation)
        time_left = invocation.deadline - self._world.time
        # If a call was refused or not answered within the margin, the worker gave up, even if a
        # later call (such as one about a line) was answered.
        margin = _return_margin(invocation)
        gave_up = invocation.refused_at >= invocation.deadline - margin
        invocation.could_not_return_job = time_left <= margin and gave_up
        could_write_outcome = invocation.is_answered or time_left > _OUTCOME_MARGIN
        for job_id, returned_in in [*self._returned.items()]:
            if returned_in is not invocation:
                continue
            del self._returned[job_id]
            row = self.rows.get(job_id, {})
            has_claim = row.get("status") == "running" and row["claim_token"] == invocation.claim
            if has_claim and could_write_outcome and not self._is_gone(invocation):
                how = invocation.ended
                self.report(f"job {job_id} returned, and its worker left it running: {how}")

    def _is_gone(self, invocation: Invocation) -> bool:
        """Return whether an invocation was killed, or frozen until its time was over."""
        is_late = invocation.ended is None and self._world.time >= invocation.deadline
        return invocation.dead or invocation.zombie or is_late

    # --- read from the table ----------------------------------------------------------------------

    def note_row_write(self, invocation: Invocation, after: Row) -> None:
        """Check that a write that has landed on a job's row is permitted."""
        before = self.rows.get(after["id"])
        self.rows[after["id"]] = after
        self._check_row(after)
        if before is not None:
            self._check_change(invocation, before, after)
            self._timelines.note_row_write(before, after)
            if after["status"] == "failed" and before["status"] != "failed":
                self._failures.failed(after)
                if after["max_attempts"] == 1:
                    self._check_failed(invocation, after)

    def _note_landed(self, operation: str, call: Row) -> None:
        """Note a call that has landed. The world passes updates of jobs' rows to `note_row_write`
        as well."""
        self._failures.note_landed(operation, call, self.rows)
        for checker in (self._lines, self.schedules, self.unique, self.follow_ups):
            if checker:
                checker.note_landed(operation, call)
        if Fault.WAITS in self._world.faults:
            self.signals.note_landed(operation)
        if self.groups:
            self.groups.note_landed(operation, call)
        for each in call.get("TransactItems", ()):
            if "Put" in each:
                self._note_landed("PutItem", each["Put"])
        if operation == "PutItem" and call["TableName"] == "jobs":
            self._note_saved(plain(call["Item"]))
        elif operation == "DeleteItem" and call["TableName"] == "jobs":
            self._note_deleted(call["Key"]["id"]["S"])
        elif operation == "PutItem" and call["Item"]["pk"]["S"] == "paused":
            self._pauses.saw(plain(call["Item"]))

    def _expire_items(self) -> None:
        started = self._started_once.copy()
        for table, key in self._time_to_live.sweep():
            self._note_landed("DeleteItem", {"TableName": table, "Key": key})
        self._started_once |= started

    def _note_saved(self, row: Row) -> None:
        self.deleted.discard(row["id"])
        if (before := self.rows.get(row["id"])) is not None:
            if before.get("expires_at", _NEVER) * 1000 > self._world.time + 2 * SKEW:
                self.report(f"job {row['id']} was overwritten while it was {before['status']}")
            self._forget_last_run(row["id"])
        self._timelines.note_saved(row)
        self.rows[row["id"]] = row

    def _note_deleted(self, job_id: str) -> None:
        if (status := self.rows[job_id]["status"]) not in FINISHED:
            self.report(f"job {job_id} was deleted while it was {status}")
        if "member_of" not in self.rows[job_id]:
            # A person who deletes a child that its parent hasn't recorded lets it run again.
            self._started_once.discard(job_id)
        self.deleted.add(job_id)
        del self.rows[job_id]
        self._forget_last_run(job_id)  # a new job may get this id

    def check_ended(self, rows: list[Row]) -> None:
        """Check at the end that every job has its outcome, and that it was not sent too often."""
        self.accepted |= {row["id"] for row in rows}
        ended = {row["id"] for row in rows if row["status"] in FINISHED}
        self.lost = self.accepted - ended - self.deleted
        for row in rows:
            label = f"job {row['id']} ({row['status']}, {row['attempt']}, {row['invocations']})"
            if row["status"] not in FINISHED:
                self.report(f"{label} was accepted and never ended: lost")
            sends = self._world.sent[row["id"]]
            # This is far more than duplicates, rescues and resends explain.
            if sends > 20 + 4 * self._status_changes[row["id"]]:
                self.report(f"{label} was sent {sends} times")
        self._timelines.check_ended()
        if self._lines:
            self._lines.check_ended()
        if self.unique:
            self.unique.check_ended()
        if self.follow_ups:
            self.follow_ups.check_ended(rows)
        for job_id in self.lost - {row["id"] for row in rows}:
            self.report(f"job {job_id} was accepted and is gone: lost")

    def _forget_last_run(self, job_id: str) -> None:
        self.restarts[job_id] += 1
        self._open_invocations.pop(job_id, None)
        self._claimers.pop(job_id, None)
        self._excused.discard(job_id)

    def _check_row(self, row: Row) -> None:
        label = f"job {row['id']}"
        if row["status"] not in FINISHED and "due_at" not in row:
            self.report(f"{label} is {row['status']} and not due: stranded")
        if row["status"] in FINISHED and "due_at" in row:
            self.report(f"{label} is {row['status']} and still due")
        if settings().max_unfinished_jobs:
            counted = "unfinished_organization" in row
            if counted == (row["status"] in FINISHED):
                self.report(f"{label} is {row['status']}; counted toward its quota: {counted}")
        most = self._max_invocations[row["job_type"]]
        if row["invocations"] - row.get("wait_count", 0) > most:
            self.report(f"{label} is in invocation {row['invocations']} of {most}")
        if row["attempt"] > row["max_attempts"]:
            self.report(f"{label} is in attempt {row['attempt']} of {row['max_attempts']}")

    def _check_change(self, invocation: Invocation, before: Row, after: Row) -> None:
        label = f"{invocation.name} on job {after['id']}"
        change = (before["status"], after["status"])
        if change[0] != change[1]:
            self._status_changes[after["id"]] += 1
        if before["status"] in FINISHED:
            self._check_change_of_finished(label, invocation, before, after)
            return
        if after.get("restarts") != before.get("restarts"):  # another payload replaced it
            self._started_once.discard(after["id"])
            self._forget_last_run(after["id"])
        elif after["attempt"] == before["attempt"] and after["progress"] < before["progress"]:
            self.report(f"{label}: progress from {before['progress']} to {after['progress']}")
        waits_for_members = after.get("cancel_members") and after["status"] == "waiting"
        if before.get("cancel_requested") and after["status"] in _WAITING and not waits_for_members:
            self.report(f"{label}: {change} after it was canceled")
        if before["status"] == "running":
            self._check_change_of_running(label, invocation, before, after)
        elif after["status"] == "running":
            self._check_claim(label, invocation, before)
        elif change[0] != change[1]:
            # A new dispatch may change the time of a unique job that hasn't started.
            can_be_replaced = before.get("unique_key") is not None and before["invocations"] == 0
            if not (can_be_replaced and after["status"] in ("queued", "scheduled")):
                # Operators cancel jobs, a group that stops cancels its members, and the end of the
                # last one cancels an owner that is to be canceled.
                is_of_group = "member_of" in after or "cancel_members" in after
                may_stop = invocation.name == "api" or is_of_group
                self._check_without_claim(label, *change, may_stop=may_stop)

    def _check_change_of_finished(
        self, label: str, invocation: Invocation, before: Row, after: Row
    ) -> None:
        """Check that an outcome is final, unless an operator retries the job."""
        change = (before["status"], after["status"])
        permitted = (("failed", "queued"), ("canceled", "queued"))
        if invocation.name != "api" or change not in permitted:
            self.report(f"{label}: {change} after its outcome")
        self._started_once.discard(after["id"])  # an operator wants it to start again
        self._forget_last_run(after["id"])

    def _check_claim(self, label: str, invocation: Invocation, before: Row) -> None:
        early = before.get("run_at", 0) - self._world.now()
        if before["status"] in ("retryable", "scheduled") and early > CLAIM_TOLERANCE:
            self.report(f"{label}: claimed {early} ms before its time")
        self._claimers.setdefault(before["id"], []).append(invocation)
        if before["status"] == "waiting":
            self.report(f"{label}: claimed while it was held")
        # Compare with the start of the invocation. If the invocation freezes before its claim, it
        # doesn't learn of a pause that began after its start.
        paused_since = self._pauses.paused_since(before["job_type"], before["queue_name"])
        if paused_since is not None and invocation.started > paused_since + CACHE_TIME + 2 * SKEW:
            self.report(f"{label}: started {invocation.started - paused_since} ms into a pause")

    def _check_failed(self, invocation: Invocation, row: Row) -> None:
        """Check that a job without a retry policy, which isn't tried again, failed for a valid
        reason."""
        error = json.loads(row["error"])
        claimers = self._claimers.get(row["id"], [])
        if row["id"] in self._excused or error["kind"] in _ENGINE_ERRORS:
            return
        if any(self._is_gone(each) or each.could_not_return_job for each in claimers):
            return
        waited_until = invocation.deadline - _CALL_MARGIN
        if error["kind"] == "TimedOut" and invocation.refused_at >= waited_until:
            return  # a service didn't answer, and the job waited until its own time was over
        if error["kind"] == "InvalidPayload" and self._waited_for_a_deploy(invocation, row):
            return
        if error["kind"] == "FunctionNotLoaded" and self._waited(row) > clock.DAY - 2 * SKEW:
            return  # after the job had started, no worker could load it for a day
        if self._has_record_of_killed(invocation):
            return
        why = f"{error['kind']}: {error['message']}"
        self.report(f"{invocation.name} on job {row['id']}: failed without a reason: {why}")

    def _waited_for_a_deploy(self, invocation: Invocation, row: Row) -> bool:
        """Return whether this version of the code refuses the payload, and the job has waited an
        hour for a version that accepts it."""
        is_other = invocation.version is Version.OTHER_MODEL
        return is_other and self._waited(row) > clock.HOUR - 2 * SKEW

    def _waited(self, row: Row) -> int:
        """Return the milliseconds since the job could first have started."""
        could_run_at = max(row.get("queued_at") or row["created_at"], row.get("run_at") or 0)
        return self._world.time - int(could_run_at)

    def _check_without_claim(self, label: str, before: str, after: str, *, may_stop: bool) -> None:
        held = before != "waiting" and after == "waiting"
        self._world.figures["paused"] += held
        admitted = before == "waiting" and after == "queued"
        canceled = after == "canceled" and may_stop
        if not (held or admitted or canceled or after == "failed"):
            self.report(f"{label}: {(before, after)} without a claim")

    def _check_change_of_running(
        self, label: str, invocation: Invocation, before: Row, after: Row
    ) -> None:
        token = before["claim_token"]
        if after["claim_token"] != token:
            self.report(f"{label}: claimed while it was running")
        if after["status"] == "canceled" and not before.get("cancel_requested"):
            self.report(f"{label}: canceled without a request")
        # A worker whose job is canceled with its members asks these to stop.
        asks = (
            "member_of" in after and after["status"] == "running" and _asks_to_stop(before, after)
        )
        if invocation.name == "worker" and invocation.claim != token and not asks:
            self.report(f"{label}: written by a worker without its claim")
        if invocation.name != "worker" and after["status"] != "running":
            self._check_settled(label, invocation, self._world.claims[token])

    def _check_settled(self, label: str, invocation: Invocation, claimer: Invocation) -> None:
        """Check that others settled a job only because its claimer was killed or failed."""
        self.settled += 1
        if claimer.ended == SUCCEEDED and not (claimer.zombie or claimer.could_not_return_job):
            self.report(f"{label}: its worker ended well and left it running")
        is_alive = (
            claimer.ended is None and self._world.time < claimer.deadline and not claimer.dead
        )
        if invocation.name == "timer" and is_alive:
            self.report(f"{label}: rescued from a worker that is alive")
        if (
            invocation.name == "failures"
            and is_alive
            and not self._has_record_of_killed(invocation)
        ):
            self.report(f"{label}: settled by a failure record while its worker is alive")

    def _has_record_of_killed(self, invocation: Invocation) -> bool:
        """Return whether an invocation handles the failure record of a killed invocation.

        The killed invocation may also be a duplicate that had no claim yet. The engine can't
        distinguish the two.
        """
        return invocation.cause is not None and invocation.cause.dead


def _return_margin(invocation: Invocation) -> int:
    """Return how long before its deadline a worker may give up returning a job that it has not
    started, in milliseconds: in the last quarter of its time, and a pause before that."""
    length = invocation.deadline - invocation.started
    return min(length // 4, 25 * clock.SECOND) + 6 * clock.SECOND


def _asks_to_stop(before: Row, after: Row) -> bool:
    return not before.get("cancel_requested") and bool(after.get("cancel_requested"))
