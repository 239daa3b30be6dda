"""The time that a job has in this invocation, and the moment to stop for the next invocation."""

from job_runners import clock

# In a short invocation, each of these is a tenth of the invocation's time.
_MARGIN = 5 * clock.SECOND  # reserved for recording the outcome before the invocation ends
_INVOCATION_RESERVE = 30 * clock.SECOND  # reserved for ending an invocation


class TimeBudget:
    """The time of one invocation. `deadline` is when the invocation ends. `timeout_at` is when the
    attempt's own timeout ends, if it has one. Times are milliseconds since 1970."""

    def __init__(self, *, deadline: int, timeout_at: int | None = None) -> None:
        now = clock.now()
        whole = max(0, deadline - now)
        self._invocation_ends = deadline - min(_MARGIN, whole // 10)
        self._reserve = min(_INVOCATION_RESERVE, whole // 10)
        self.ends = (
            min(self._invocation_ends, timeout_at)
            if timeout_at is not None
            else self._invocation_ends
        )
        # Whether the time ends with the attempt's own timeout, and not with the invocation.
        self.by_timeout = self.ends == timeout_at
        self._checkpoint_at = now
        self._longest_stretch = 0

    def left(self) -> float:
        """Return the seconds until the job is interrupted."""
        return max(0, self.ends - clock.now()) / clock.SECOND

    def note_checkpoint(self) -> None:
        """Record that the job has reached its next checkpoint."""
        now = clock.now()
        self._longest_stretch = max(self._longest_stretch, now - self._checkpoint_at)
        self._checkpoint_at = now

    def invocation_over(self) -> bool:
        """Return whether the invocation may lack the time to reach another checkpoint."""
        return self._invocation_ends - clock.now() < max(self._reserve, 2 * self._longest_stretch)
