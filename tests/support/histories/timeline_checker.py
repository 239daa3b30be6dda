"""Check that a job's timeline has each of its invocations once, as they were, and all its acts."""

from collections import Counter
from collections.abc import Callable
from itertools import pairwise

from histories.hostile_lambda import SKEW, HostileLambda
from job_runners.engine.control import timeline
from job_runners.store import past, queries
from job_runners.store.job_request import JobRequest
from job_runners.store.past import PastInvocation
from job_runners.testing.moto_direct import Row

_FINISHED = ("succeeded", "failed", "canceled")
_MOST_IN_ROW = 12  # entries: with fewer, none was dropped
# How an invocation may have ended, by the status after it.
_OUTCOMES = {
    "succeeded": {past.Outcome.SUCCEEDED},
    "failed": {past.Outcome.FAILED, past.Outcome.LOST},
    "canceled": {past.Outcome.CANCELED, past.Outcome.LOST},
    "retryable": {past.Outcome.FAILED, past.Outcome.LOST},
    "queued": {past.Outcome.CONTINUED, past.Outcome.RELEASED},
    "scheduled": {past.Outcome.SLEPT},
    "waiting": {
        past.Outcome.WAITED,
        past.Outcome.GATHERED,
        past.Outcome.PAUSED,
        past.Outcome.YIELDED,
    },
}
# How it ended, by what the job is held by afterwards.
_HOLDS = {
    "signal": past.Outcome.WAITED,
    "group": past.Outcome.GATHERED,
    "job_type": past.Outcome.PAUSED,
    "queue": past.Outcome.PAUSED,
    "line": past.Outcome.YIELDED,
}


class TimelineChecker:
    """The invocations of each job, according to the writes that have landed."""

    def __init__(self, world: HostileLambda, report: Callable[[str], None]) -> None:
        self._world = world
        self._report = report
        self._ended: dict[str, dict[int, PastInvocation]] = {}  # by created_key, then by claim
        self._retried: Counter[str] = Counter()  # manual retries, by created_key
        self._may_have_gaps: set[str] = set()
        self._claimed_at: dict[tuple[str, int], int] = {}  # by created_key and claim

    def note_saved(self, row: Row) -> None:
        """Note a new row. After a delete, one of the same millisecond has the same created_key."""
        self._ended.pop(row["created_key"], None)
        self._retried.pop(row["created_key"], None)

    def note_row_write(self, before: Row, after: Row) -> None:
        """Check a write of a job's row that has landed."""
        if before["created_key"] != after["created_key"]:
            return
        job, key = f"job {after['id']}", after["created_key"]
        is_claim = before["status"] != "running" and after["status"] == "running"
        if after["claims"] != before["claims"] + is_claim:
            self._report(f"{job}: its claims went from {before['claims']} to {after['claims']}")
        if is_claim:
            self._claimed_at[key, after["claims"]] = self._world.time
        if before["status"] in _FINISHED and after["status"] not in _FINISHED:
            self._retried[key] += 1
        entries = past.unpack(after.get("past", b""))
        if len(entries) >= _MOST_IN_ROW:
            self._may_have_gaps.add(key)
        if before["status"] != "running" or after["status"] == "running":
            if after.get("past") != before.get("past"):
                self._report(f"{job}: its past changed without an end of its invocation")
            return
        self._check_end(job, before, after, entries)

    def _check_end(self, job: str, before: Row, after: Row, entries: list[PastInvocation]) -> None:
        """Check the entry of an invocation that has just ended."""
        if not entries or entries[-1].claim != before["claims"]:
            self._report(f"{job}: the end of claim {before['claims']} isn't in its past")
            return
        last = entries[-1]
        known = self._ended.setdefault(after["created_key"], {})
        if last.claim in known:
            self._report(f"{job}: claim {last.claim} has ended twice")
        known[last.claim] = last
        self._world.figures[f"invocations {last.outcome}"] += 1
        permitted = _OUTCOMES[after["status"]]
        held_by = str(after.get("held_by")).partition("#")[0]
        is_held_as_it_ended = last.outcome == _HOLDS.get(held_by, last.outcome)
        if after.get("cancel_members"):  # it waits for its members, to be canceled after them
            permitted, is_held_as_it_ended = permitted | _OUTCOMES["canceled"], True
        if last.outcome not in permitted or not is_held_as_it_ended:
            self._report(f"{job}: it is {after['status']} after an invocation that {last.outcome}")
        if (last.attempt, last.began_at) != (before["attempt"], before["started_at"]):
            self._report(f"{job}: the past has another attempt or start: {last}")
        if last.ended_at < last.began_at or last.ended_at > self._world.time + SKEW:
            self._report(f"{job}: the past has another end: {last}")

    def check_ended(self) -> None:
        """Check at the end of the history what the API shows of each job."""
        for row in JobRequest.scan():
            found = queries.read(row.id)
            if found is not None:
                self._check_shown(found)

    def _check_shown(self, row: JobRequest) -> None:
        job, shown = f"job {row.id}", timeline.read(row)
        known = self._ended.get(row.created_key, {})
        invocations = [each for each in shown.records if each.kind == timeline.INVOCATION]
        claims = sorted(each.claim or 0 for each in invocations)
        self._world.figures["invocations shown"] += len(claims)
        wanted = set(range(1, row.claims + 1))
        if len(set(claims)) != len(claims) or set(claims) | set(shown.gaps) != wanted:
            self._report(f"{job}: its timeline has the claims {claims} of {row.claims}")
        if shown.gaps and row.created_key not in self._may_have_gaps:
            self._report(f"{job}: its timeline lacks the claims {shown.gaps}")
        self._world.figures["gaps"] += len(shown.gaps)
        for each in invocations:
            ended = known.get(each.claim or 0)
            is_same = ended is not None and (
                (each.outcome, each.ended_at) == (ended.outcome, ended.ended_at)
                # The end of a step may be a later sign of life of a lost invocation.
                or (each.outcome == ended.outcome == past.Outcome.LOST)
            )
            if not is_same:
                self._report(f"{job}: its timeline has {each}, not {ended}")
        by_claim = sorted(invocations, key=lambda each: each.claim or 0)
        for one, other in pairwise(by_claim):
            claimed_at = self._claimed_at.get((row.created_key, other.claim or 0), 0)
            # A process that froze before its claim landed began before that.
            was_frozen = claimed_at - other.began_at > SKEW
            if not was_frozen and other.began_at < (one.ended_at or 0) - 2 * SKEW:
                self._report(f"{job}: claims {one.claim} and {other.claim} overlap")
        runs = [each.run or 0 for each in by_claim]
        if runs != sorted(runs) or (runs and runs[-1] > 1 + self._retried[row.created_key]):
            self._report(f"{job}: its invocations have the runs {runs}")
        acts = [each.what for each in shown.acts]
        if acts.count("retried") != self._retried[row.created_key]:
            retried = self._retried[row.created_key]
            self._report(f"{job}: it was retried {retried} times, and shown with {acts}")
        self._check_others(row, shown)

    def _check_others(self, row: JobRequest, shown: timeline.Timeline) -> None:
        """Check the steps and waits of a timeline."""
        for each in shown.records:
            self._world.figures[f"{each.kind}s in timelines"] += 1
            if not 0 <= (each.claim or 0) <= row.claims:
                self._report(f"job {row.id}: {each} began in no claim")
            if each.ended_at is not None and each.ended_at < each.began_at - 2 * SKEW:
                self._report(f"job {row.id}: {each} ended before it began")
            is_child = each.kind == timeline.CHILD  # it may go on after its parent
            if each.ended_at is None and row.status.finished and not is_child:
                self._report(f"job {row.id} is {row.status}, and {each} is open")
