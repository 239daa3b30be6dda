"""Run one job or task of each kind on the throwaway stack, and check how each ended.

The stack's job types and tasks have names that begin with smoke_.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from job_runners.cli.doctor.check import Finding, Verdict
from job_runners.cli.listing import outcome_in_words
from job_runners.cli.log_lines import Logs
from job_runners.cli.output import Job
from job_runners.cli.polling import FINISHED
from job_runners.cli.problem import Exit, Problem
from job_runners.cli.target import Target

_MAX_WAIT = 300.0  # seconds after which a job or task counts as failed
_POLL_SECONDS = 1.0
_DELAY = 20  # seconds by which the delayed job is delayed
_CLOCK_SKEW = 600  # seconds by which the log's clock may differ from this machine's


class NotAsExpected(Exception):
    """A job or task didn't end as it should. The message says how it ended."""


@dataclass
class Work:
    """The jobs and tasks that the command dispatches to the throwaway stack."""

    target: Target
    max_wait: float = _MAX_WAIT  # seconds for each job or task
    ids: dict[str, str] = field(default_factory=dict)  # the work's ids, by the name of the check

    def dispatch(self, check: str, job_type: str, **options: Any) -> tuple[Job, str]:
        """Dispatch a job for a check. Return the job, and the dispatch's outcome in words."""
        job = self.target.api.dispatch(job_type, **options)
        self.ids.setdefault(check, job.id)
        return self.target.printable(job), outcome_in_words(job)

    def wait_for_end(self, job_id: str) -> Job:
        """Return a job once it has ended. Raises NotAsExpected if it doesn't end in time."""
        job: Job = {}

        def has_ended() -> bool:
            job.update(self.target.printable(self.target.api.get(job_id)))
            return job["status"] in FINISHED

        self.wait(has_ended, lambda: f"job {job_id} is still {job.get('status')}")
        return job

    def wait_for_success(self, job_id: str) -> Job:
        """Return a job once it has succeeded. Raises NotAsExpected if it ends in another way."""
        job = self.wait_for_end(job_id)
        if job["status"] != "succeeded":
            error = job.get("error") or {}
            raise NotAsExpected(f"{job['status']}: {error.get('kind')}: {error.get('message')}")
        return job

    def wait_for_first(self, job_type: str) -> Job:
        """Wait until a schedule has dispatched jobs of a type, and return the first.

        Raises NotAsExpected if it doesn't in time.
        """
        jobs: list[Job] = []

        def exists() -> bool:
            jobs.extend(map(self.target.printable, self.target.api.list(job_type=job_type)))
            return bool(jobs)

        self.wait(exists, lambda: f"no job {job_type} was dispatched")
        return jobs[-1]  # the API lists the newest first

    def wait(self, condition: Callable[[], bool], problem: Callable[[], str]) -> None:
        """Wait until a condition is true. Raises NotAsExpected if it isn't in time.

        `problem` returns the start of the error's message.
        """
        deadline = time.monotonic() + self.max_wait
        while True:
            try:
                if condition():
                    return
            except Problem as error:
                if error.code is not Exit.NO_ANSWER:
                    raise
            if time.monotonic() > deadline:
                raise NotAsExpected(f"{problem()} after {self.max_wait:.0f} s")
            time.sleep(_POLL_SECONDS)


def dispatch_all(work: Work) -> None:
    """Dispatch all jobs and tasks before the first check, so that they run at the same time."""
    work.ids["task"] = work.target.api.dispatch_task("smoke_task") or ""
    work.target.api.dispatch_task("smoke_failing_task")
    for check, job_type in _JOB_TYPES.items():
        work.dispatch(check, job_type)
    work.dispatch("delayed job", "smoke_job", delay=_DELAY)
    # The job type is unique, so this second dispatch should return the job of the first.
    _, second_outcome = work.dispatch("unique job", "smoke_unique")
    if "same work" not in second_outcome:
        work.ids["unique job"] = ""  # so that its check fails


def check_all(work: Work) -> Iterator[Finding]:
    """Yield a finding about each kind of work, as soon as its check is done."""
    for check, (ok_message, fix, run_check) in _CHECKS.items():
        try:
            run_check(work)
        except NotAsExpected as problem:
            yield Finding(check, Verdict.WRONG, str(problem), fix)
        except Problem as problem:
            yield Finding(check, Verdict.WRONG, str(problem), problem.hint)
        else:
            yield Finding(check, Verdict.OK, ok_message)


def _check_task(work: Work) -> None:
    since = time.time() - _CLOCK_SKEW

    def is_done() -> bool:
        logs = Logs.between(work.target, since, time.time() + _CLOCK_SKEW)
        lines = logs.lines_naming(work.ids["task"])
        return any(line.fields.get("message") == "task done" for line in lines)

    work.wait(is_done, lambda: "no log line says that it is done")


def _check_failed_task(work: Work) -> None:
    work.wait(
        lambda: next(iter(work.target.api.failed_tasks()), None) is not None,
        lambda: "no failed task is listed",
    )


def _check_job(work: Work) -> None:
    work.wait_for_success(work.ids["job"])


def _check_delayed_job(work: Work) -> None:
    job = work.wait_for_success(work.ids["delayed job"])
    created_at = datetime.fromisoformat(job["created_at"])
    started_at = datetime.fromisoformat(job["started_at"])
    seconds = (started_at - created_at).total_seconds()
    if seconds < _DELAY - 1:
        raise NotAsExpected(f"started {seconds:.0f} s after dispatch")


def _check_retry(work: Work) -> None:
    job = work.wait_for_success(work.ids["retry"])
    if job["attempt"] != 2:
        raise NotAsExpected(f"succeeded in attempt {job['attempt']}, not 2")


def _check_sleep(work: Work) -> None:
    job = work.wait_for_success(work.ids["sleep"])
    if job["invocations"] < 2:
        raise NotAsExpected("did not continue in another invocation")


def _check_unique(work: Work) -> None:
    if not work.ids["unique job"]:
        raise NotAsExpected("a second job for the same work was accepted")
    work.wait_for_success(work.ids["unique job"])


def _check_follow_up(work: Work) -> None:
    job = work.wait_for_success(work.ids["follow-up"])
    follow_ups = job.get("follow_ups") or []
    if not follow_ups:
        raise NotAsExpected("the end of the job dispatched no other job")
    work.wait_for_success(follow_ups[0]["id"])


def _check_schedule(work: Work) -> None:
    work.wait_for_success(work.wait_for_first("smoke_scheduled")["id"])


def _check_worker_class(work: Work) -> None:
    job = work.wait_for_success(work.ids["worker class"])
    function = str(job.get("result"))
    if not function.endswith("-worker-small"):
        raise NotAsExpected(f"ran in {function}, not in the function of its class")


def _check_crash(work: Work) -> None:
    job = work.wait_for_end(work.ids["crash"])
    error = job.get("error") or {}
    if (job["status"], job["attempt"], error.get("kind")) != ("failed", 1, "Interrupted"):
        error_in_words = f"{error.get('kind')} {error.get('message', '')}".strip()
        raise NotAsExpected(f"{job['status']} in attempt {job['attempt']}: {error_in_words}")


_JOB_TYPES = {  # by check
    "job": "smoke_job",
    "retry": "smoke_retry",
    "sleep": "smoke_sleep",
    "unique job": "smoke_unique",
    "follow-up": "smoke_follow",
    "crash": "smoke_crash",
    "worker class": "smoke_class",
}
_WORKER_LOG = "Run job-runners smoke --keep, then see the worker's log."
_TIMER_LOG = "Run job-runners smoke --keep, then see the timer's log."
# For each check: the message if it succeeds, the advice if it fails, and its function.
_CHECKS: dict[str, tuple[str, str, Callable[[Work], None]]] = {
    "task": ("ran, and its log can be read", _WORKER_LOG, _check_task),
    "job": ("succeeded", _WORKER_LOG, _check_job),
    "delayed job": (f"started after its delay of {_DELAY} s", _TIMER_LOG, _check_delayed_job),
    "retry": ("succeeded in its second attempt", _WORKER_LOG, _check_retry),
    "sleep": ("slept, and continued in another invocation", _TIMER_LOG, _check_sleep),
    "unique job": ("a second job for the same work was not accepted", _WORKER_LOG, _check_unique),
    "follow-up": ("the end of a job dispatched another job", _WORKER_LOG, _check_follow_up),
    "worker class": ("a job ran in the function of its class", _WORKER_LOG, _check_worker_class),
    "failed task": ("is kept in the list of failed tasks", _WORKER_LOG, _check_failed_task),
    "failure record": (
        "a crashed worker's job failed at once, after one attempt",
        "Lambda must retry nothing, and must send failures to the failures queue. Run job-runners "
        "smoke --keep, then job-runners doctor, and see the log of the failures function.",
        _check_crash,
    ),
    "schedule": ("an occurrence ran", _TIMER_LOG, _check_schedule),
}
