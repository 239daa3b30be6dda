"""Compute how much time a job has left in its Lambda invocation, and whether it should stop."""

from job_runners import clock

# The maximum parts of an invocation's time that are reserved for two purposes: to reach a last
# checkpoint, and to record the outcome before the invocation ends. Each part is at most a tenth of
# the time.
_CHECKPOINT_RESERVE = 30 * clock.SECOND
_RECORD_RESERVE = 5 * clock.SECOND


class TimeBudget:
    """The time of one invocation. Times are in milliseconds since 1970.

    `deadline` is when Lambda ends the invocation. `timeout_at` is when the attempt times out, if it
    has a timeout.
    """

    def __init__(self, *, deadline: int, timeout_at: int | None = None) -> None:
        now = clock.now()
        duration = max(0, deadline - now)
        self._invocation_ends = deadline - min(_RECORD_RESERVE, duration // 10)
        self._checkpoint_reserve = min(_CHECKPOINT_RESERVE, duration // 10)
        self.ends = self._invocation_ends  # when the job is interrupted
        if timeout_at is not None:
            self.ends = min(self.ends, timeout_at)
        # Whether the attempt times out before the invocation ends.
        self.by_timeout = self.ends == timeout_at
        self._last_checkpoint_at = now
        self._longest_gap = 0  # the longest time between two checkpoints so far

    def left(self) -> float:
        """Return the seconds until the job is interrupted."""
        return max(0, self.ends - clock.now()) / clock.SECOND

    def note_checkpoint(self) -> None:
        """Note that the job has reached a checkpoint."""
        now = clock.now()
        self._longest_gap = max(self._longest_gap, now - self._last_checkpoint_at)
        self._last_checkpoint_at = now

    def invocation_over(self) -> bool:
        """Return whether there may be too little time to reach another checkpoint.

        Assume that the next checkpoint may take twice as long as the slowest one so far.
        """
        time_needed = max(self._checkpoint_reserve, 2 * self._longest_gap)
        return self._invocation_ends - clock.now() < time_needed
