"""Watches every write to a JobRequest, and every start of a job, and says what must not be."""

from collections import Counter
from collections.abc import Mapping

from store.job_request import Status
from store.verbs import EARLY
from testing.hostile_lambda import WELL, HostileLambda, Invocation
from testing.moto_direct import Row

FINISHED = ("succeeded", "failed")


class Violation(AssertionError):
    """A promise was broken."""


class Witness:
    """What is known of every job, from outside."""

    def __init__(self, world: HostileLambda, max_legs: Mapping[str, int]) -> None:
        self._world = world
        self._max_legs = max_legs  # by job type
        self.rows: dict[str, Row] = {}
        self.settled = 0  # by the timer or by a failure record
        self.starts: Counter[str] = Counter()  # by job
        self._open: dict[str, tuple[int, int]] = {}  # the leg that started last and has not ended
        self._violations: list[str] = []
        world.on_write = self.saw

    def _broken(self, promise: str) -> None:
        # Not raised here: this is inside a call that the code under test may answer for.
        self._violations.append(promise)

    # --- told by the job itself -------------------------------------------------------------------

    def started(self, job_id: str, attempt: int, leg: int) -> None:
        """A leg begins. Unless the one before it ended in an orderly way, it must be another
        attempt's, which only jobs tagged for retry have."""
        self.starts[job_id] += 1
        last = self._open.get(job_id)
        if last is not None and last[0] >= attempt:
            self._broken(f"leg {leg} of job {job_id} started twice in attempt {attempt}")
        self._open[job_id] = (attempt, leg)

    def leg_ended(self, job_id: str) -> None:
        """A leg has ended for the next one to begin."""
        self._open.pop(job_id)

    # --- seen at the table ------------------------------------------------------------------------

    def saw(self, invocation: Invocation, after: Row) -> None:
        """A write has landed: was it one that may be?"""
        before = self.rows.get(after["id"])
        self.rows[after["id"]] = after
        self._check_row(after)
        if before is not None:
            self._check_change(invocation, before, after)

    def check_ended(self, rows: list[Row]) -> None:
        """Once all is quiet: every row has its outcome, and cost no more messages than it may.

        Raises Violation, for this or for whatever was seen before.
        """
        for row in rows:
            job = f"job {row['id']} ({row['status']}, {row['attempt']}, {row['legs']})"
            if row["status"] not in FINISHED:
                self._broken(f"{job} was accepted and never ended: lost")
            sends = self._world.sent[row["id"]]
            if sends > 16 + 4 * (row["legs"] + row["attempt"]):
                self._broken(f"{job} was sent {sends} times")
        if self._violations:
            raise Violation(self._violations[0])

    def _check_row(self, row: Row) -> None:
        job = f"job {row['id']}"
        if row["status"] not in FINISHED and "due_at" not in row:
            self._broken(f"{job} is {row['status']} and not due: stranded")
        if row["status"] in FINISHED and "due_at" in row:
            self._broken(f"{job} is {row['status']} and still due")
        if row["legs"] > self._max_legs[row["job_type"]]:
            self._broken(f"{job} is in leg {row['legs']} of {self._max_legs[row['job_type']]}")
        if row["attempt"] > row["max_attempts"]:
            self._broken(f"{job} is in attempt {row['attempt']} of {row['max_attempts']}")

    def _check_change(self, invocation: Invocation, before: Row, after: Row) -> None:
        job = f"{invocation.name} on job {after['id']}"
        change = (before["status"], after["status"])
        if before["status"] in FINISHED:
            self._broken(f"{job}: {change} after its outcome")
        if after["attempt"] == before["attempt"] and after["progress"] < before["progress"]:
            self._broken(f"{job}: progress from {before['progress']} to {after['progress']}")
        if before["status"] == "running":
            self._check_end_of_claim(job, invocation, before, after)
        elif after["status"] == "running":
            early = before.get("run_at", 0) - self._world.now()
            if before["status"] == Status.RETRYABLE and early > EARLY:
                self._broken(f"{job}: claimed {early} ms before its time")
        elif change[0] != change[1] and after["status"] != "failed":
            self._broken(f"{job}: {change} without a claim")

    def _check_end_of_claim(
        self, job: str, invocation: Invocation, before: Row, after: Row
    ) -> None:
        token = before["claim_token"]
        if after["claim_token"] != token:
            self._broken(f"{job}: claimed while it was running")
        if invocation.name == "worker" and invocation.claim != token:
            self._broken(f"{job}: written by a worker that does not have it")
        if invocation.name != "worker" and after["status"] != "running":
            self._check_settled(job, invocation, self._world.claims[token])

    def _check_settled(self, job: str, invocation: Invocation, claimer: Invocation) -> None:
        """Settled by another than its claimer, who must be gone, and not have ended well."""
        self.settled += 1
        if claimer.ended == WELL and not claimer.zombie:
            self._broken(f"{job}: its worker ended well and left it running")
        # A failure record may settle a live job: that of a duplicate which died before its claim.
        alive = claimer.ended is None and self._world.time < claimer.deadline
        if invocation.name == "timer" and alive and not claimer.dead:
            self._broken(f"{job}: rescued from a worker that is alive")
