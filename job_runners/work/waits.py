"""The calls with which a job waits. A wait ends the job's leg, so it uses no worker and no slot."""

from datetime import datetime

# The functions import `job_runners.work.waiting` when they run, because most jobs don't wait.


class JobWaits:
    """The waits of a job.

    While a job waits, it has no slot. The wait counts against neither `timeout` nor `max_legs`. The
    job's function runs again from its start afterwards, so put effects before a wait into a `step`.
    """

    def sleep(self, name: str, seconds: float) -> None:
        """Wait for this many seconds, at most 90 days.

        The time is stored under `name` at the first call. Later legs and attempts wait for that
        time, and return at once if it has passed. If the rest of the wait takes more than 2 s, the
        call doesn't return: the job continues in another leg.

        Each wait needs its own name. Raises StepNameTaken for a name used twice in one leg. Raises
        WaitTooLong, NameTooLong and NameNotText, and RunnerCannotResend if the runner can't send a
        job again.
        """
        from job_runners.work import waiting

        waiting.sleep(self, name, seconds)

    def sleep_until(self, name: str, time: datetime) -> None:
        """Wait until this time, which needs a time zone. The rest is as for `sleep`."""
        from job_runners.work import waiting

        waiting.sleep_until(self, name, time)
