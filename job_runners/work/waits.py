"""The methods of a running job that wait: for a time, a signal, or other jobs.

A wait ends the job's Lambda invocation, so a waiting job uses no worker and no slot of its queue.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from job_runners.work.gathering import GroupResults, Member

# `waiting`, `links` and `gathering` are imported in the methods, because most jobs don't wait.


class JobWaits:
    """The waits of a job.

    While a job waits, it has no slot. The wait counts against neither `timeout` nor
    `max_invocations`. Afterwards, the job's function runs again from its start, so put side effects
    before a wait into a `step`.
    """

    def sleep(self, name: str, seconds: float) -> None:
        """Wait for this many seconds, at most 90 days.

        The first call stores the time at which the wait ends, under `name`. In later invocations
        and attempts, the call waits until that time, or returns at once if it has passed. If more
        than 2 s are left, the call doesn't return: the job continues in another invocation.

        Each wait needs its own name. Raises StepNameTaken for a name used twice in one invocation.
        Raises WaitTooLong, NameTooLong and NameNotText, and RunnerCannotResend if the runner can't
        send a job again.
        """
        from job_runners.work import waiting

        waiting.sleep(self, name, seconds)

    def sleep_until(self, name: str, time: datetime) -> None:
        """Wait until a time, which must have a time zone. Everything else is as in `sleep`."""
        from job_runners.work import waiting

        waiting.sleep_until(self, name, time)

    def wait_for(self, name: str, *, timeout: float) -> Any:
        """Wait until the signal `name` arrives, and return its value.

        A signal is a value that a person, another system or another job sends to this job, such as
        an approval. Only the first signal with a name counts, and each invocation and attempt gets
        it. It may arrive before the wait. `timeout` is in seconds, at most 90 days, and counts from
        the first call. If no signal arrives in that time, this call, and its repetition in later
        invocations and attempts, raises WaitTimedOut. From then on, the signal is refused.
        Everything else is as in `sleep`.
        """
        from job_runners.work import waiting

        return waiting.wait_for(self, name, timeout)

    def wait_for_any(self, names: Sequence[str], *, timeout: float, label: str) -> tuple[str, Any]:
        """Wait until the first of up to 20 signals arrives, and return its name and value.

        `label` names the wait. If several signals have arrived, the first in the order of `names`
        counts. After a timeout, the signals aren't refused. Everything else is as in `wait_for`.
        """
        from job_runners.work import waiting

        return waiting.wait_for_any(self, names, timeout, label)

    def signal_url(
        self, name: str, *, text: str, choices: Sequence[str] = (), timeout: float
    ) -> str:
        """Return a URL through which a person or another system can send the signal `name` once.

        Send it by e-mail or chat, or to another system, and then call `wait_for`. A browser shows
        `text` with a button for each of the `choices`, and the signal's value is the choice. A
        program posts `{"choice": …}`. Without choices, it posts the value as JSON. No credentials
        are needed, so anyone who has the URL can answer. The first answer counts.

        Later invocations and attempts get the same URL. It takes no answer after `timeout` seconds,
        at most 90 days, or after the wait has timed out or the job has ended. Raises ValueError for
        a text or choices that the page can't show, and NoPublicUrl if PUBLIC_URL isn't set.
        Everything else is as in `sleep`.
        """
        from job_runners.work import links

        return links.signal_url(self, name, text, choices, timeout)

    def gather(
        self, name: str, members: "Iterable[Member]", *, stop_after_failures: int | None = None
    ) -> "GroupResults":
        """Dispatch up to 100,000 jobs, wait until all have ended, and return their results.

        The results are in the order of the members, and include members that failed or were
        canceled. `members` may be a generator. Its keys and their order must be the same in each
        invocation, until all members are dispatched. With `stop_after_failures`, members that have
        not started are canceled after that number of failures. Everything else is as in `sleep`.

        Raises InvalidPayload for an invalid payload, before any member of its chunk of 1,000 is
        dispatched. Raises GatherChanged, DuplicateMember and TooManyMembers.
        """
        from job_runners.work import gathering

        return gathering.gather(self, name, members, stop_after_failures)
