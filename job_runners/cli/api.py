"""Call the stack's API through the client, and raise its errors as Problems."""

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from job_runners.cli.output import plain, tame
from job_runners.cli.problem import Exit, NoMatchingId, Problem
from job_runners.cli.refusals import no_answer, refused
from job_runners.client import models
from job_runners.client.client import Client
from job_runners.client.errors import ApiError, JobRunnersError, NoAnswer, OutcomeUnknown

Job = dict[str, Any]  # the API's JSON

_MAX_SEARCHED = 500  # number of newest jobs that `find` searches for an id
_MAX_CHILDREN = 100  # children shown per job
# The outcomes of a dispatch if the job type is unique and a job for the same work exists.
_REPLAYED = "was dispatched before with this key"
_OUTCOMES = {
    "returned": "already exists (same work)",
    "replaced": "already existed, and now has this payload and time",
    "follows": "will start after the running job that does the same work",
}
_ID_START = re.compile(r"[0-9a-f]{4,31}")
_T = TypeVar("_T")


@dataclass(frozen=True)
class Seen:
    """A job at one moment, and how long the API suggests to wait before the next poll."""

    job: Job
    retry_after: float  # seconds


class Api:
    """The API of one stack, called for one organization."""

    def __init__(
        self,
        client: Client,
        organization_id: str | None,
        *,
        with_token: bool,
        is_local: bool,
        as_text: bool,
    ) -> None:
        self._client = client
        self._organization = organization_id
        self._with_token = with_token
        self._is_local = is_local
        self._as_text = as_text

    @property
    def owner(self) -> str:
        """The organization, as part of a sentence."""
        return f"organization {self._organization}" if self._organization else "your organization"

    def dispatch(self, body: dict[str, Any], key: str | None) -> tuple[Job, str]:
        """Dispatch a job. Return the job, and the outcome in words."""
        try:
            with self._errors_as_problems():
                job = self._client.dispatch(**body, idempotency_key=key)
        except Problem as problem:
            sent_key = getattr(problem.__cause__, "idempotency_key", None)
            if sent_key and problem.code is Exit.NO_ANSWER:
                show = f"job-runners show --idempotency-key {shlex.quote(sent_key)}"
                problem.hint = f"{problem.hint} To see whether it was saved: {show}".lstrip()
            raise
        return self._with_header_fields(job), _outcome(job)

    def dispatch_many(
        self, jobs: Iterable[dict[str, Any]], key: str
    ) -> Iterator[tuple[int, Job | None, str | None]]:
        """Dispatch jobs. Yield the index of each, and the job or the reason why it conflicts."""
        for each in self._each(self._client.dispatch_many(jobs, idempotency_key=key)):
            job = None if each.job is None else self._with_header_fields(each.job)
            yield each.index, job, None if each.error is None else plain(each.error.problem)

    def task(self, name: str, payload: dict[str, Any]) -> str | None:
        """Send a task. Return its id, or None if the API is too old to return it."""
        with self._errors_as_problems():
            return _plain(self._client.dispatch_task(name, payload))

    def job(self, job_id: str) -> Seen:
        """Return a job with all its fields."""
        with self._errors_as_problems():
            job = self._client.get(job_id)
        return Seen(self._displayable_job(job), job.retry_after or 1)

    def under_key(self, key: str) -> Job | None:
        """Return the job that was dispatched with an idempotency key, or None."""
        with self._errors_as_problems():
            job = self._client.find(idempotency_key=key)
        return None if job is None else self._displayable_job(job)

    def children(self, job_id: str) -> tuple[list[dict[str, Any]], bool]:
        """Return the first children of a job, and whether it has more."""
        listed = self._each(self._client.children(job_id))
        try:
            found = [self._displayable(each.raw) for each in islice(listed, _MAX_CHILDREN)]
            return found, next(listed, None) is not None
        except Problem as problem:
            if problem.code is Exit.REFUSED:  # the API is older than this command
                return [], False
            raise

    def failed_tasks(self) -> Iterator[dict[str, Any]]:
        """Yield the tasks that failed permanently in the last week, latest dispatch first."""
        return (self._displayable(each.raw) for each in self._each(self._client.failed_tasks()))

    def redrive_task(self, task_id: str) -> str | None:
        """Resend a failed task. Return its new id.

        Return None in one case: an earlier try of this request had already resent the task, and the
        resent task has started.
        """
        with self._errors_as_problems():
            return _plain(self._client.redrive_task(task_id))

    def find(self, start: str, job_type: str | None = None) -> str:
        """Return the id that starts with `start` among the organization's newest jobs.

        With `job_type`, search only jobs of this type.

        Raises NoMatchingId if there is none, and Problem if there are several. A text that isn't 4
        to 31 hex digits, such as a whole id, is returned unchanged: the API checks it.
        """
        if not _ID_START.fullmatch(start):
            return start
        found = _find_by_start(start, "jobs", islice(self.every(job_type=job_type), _MAX_SEARCHED))
        if found is None:
            raise NoMatchingId(
                f"None of the newest {_MAX_SEARCHED} jobs of {self.owner} has an id that starts "
                f"with {start}.",
                hint="Pass the full id, or another --organization.",
            )
        return found

    def find_task(self, start: str) -> str:
        """Return the id that starts with `start` among the tasks that failed in the last week.

        In all other respects, this method works like `find`.
        """
        if not _ID_START.fullmatch(start):
            return start
        found = _find_by_start(start, "failed tasks", self.failed_tasks())
        if found is None:
            raise NoMatchingId(
                f"No task that failed in the last week has an id that starts with {start}.",
                hint="Pass the full id. List the failed tasks with job-runners tasks.",
            )
        return found

    def every(self, **filters: Any) -> Iterator[Job]:
        """Yield the organization's jobs, newest first."""
        return map(self._displayable_job, self._each(self._client.list(**filters)))

    def cancel(self, job_id: str, *, members: bool = False) -> Job:
        """Cancel a job, or ask a running one to stop."""
        with self._errors_as_problems():
            return self._displayable_job(self._client.cancel(job_id, members=members))

    def signal(self, job_id: str, name: str, value: Any) -> Job:
        """Send a signal to a job."""
        with self._errors_as_problems():
            return self._displayable_job(self._client.signal(job_id, name, value))

    def retry(self, job_id: str, payload: dict[str, Any] | None = None) -> Job:
        """Retry a failed or canceled job."""
        with self._errors_as_problems():
            return self._displayable_job(self._client.retry(job_id, payload))

    def rerun(self, job_id: str) -> Job:
        """Dispatch a copy of a finished job."""
        with self._errors_as_problems():
            return self._with_header_fields(self._client.rerun(job_id))

    def delete(self, job_id: str) -> None:
        """Delete a finished job."""
        with self._errors_as_problems():
            self._client.delete(job_id)

    def dispatch_batch(self, given: dict[str, Any], key: str | None) -> tuple[dict[str, Any], str]:
        """Dispatch a batch. Return the batch, and the outcome in words."""
        with self._errors_as_problems():
            batch = self._client.dispatch_batch(**given, idempotency_key=key)
        shown = self._displayable(batch.raw) | {"replayed": batch.replayed}
        return shown, _REPLAYED if batch.replayed else "dispatched"

    def batch(self, batch_id: str) -> Seen:
        """Return a batch."""
        with self._errors_as_problems():
            batch = self._client.batch(batch_id)
        return Seen(self._displayable(batch.raw), batch.retry_after or 1)

    def batch_members(self, batch_id: str, status: str) -> list[dict[str, Any]]:
        """Return the members of a batch with this outcome."""
        listed = self._each(self._client.batch_members(batch_id, status=status))
        return [self._displayable(each.raw) for each in listed]

    def cancel_batch(self, batch_id: str, *, members: bool) -> dict[str, Any]:
        """Cancel a batch, perhaps with its members, and return it."""
        with self._errors_as_problems():
            return self._displayable(self._client.cancel_batch(batch_id, members=members).raw)

    def groups(self, job_id: str) -> list[dict[str, Any]]:
        """Return the groups of a job."""
        with self._errors_as_problems():
            return [self._displayable(each.raw) for each in self._client.groups(job_id)]

    def failures(self) -> list[dict[str, Any]]:
        """Return the organization's failure groups, most recently seen first."""
        with self._errors_as_problems():
            return [self._displayable(each.raw) for each in self._client.failures()]

    def find_failure(self, start: str) -> dict[str, Any]:
        """Return the failure group whose id starts with `start`. Raises NoMatchingId, Problem."""
        groups = {each["id"]: each for each in self.failures()}
        found = _find_by_start(start, "failures", groups.values())
        if found is None:
            raise NoMatchingId(
                f"No failure of {self.owner} has an id that starts with {start}.",
                hint="List the failures with job-runners failures, or pass another --organization.",
            )
        return groups[found]

    def note_failure(self, failure_id: str, note: str | None) -> dict[str, Any]:
        """Set or remove the note of a failure group, and return the group."""
        with self._errors_as_problems():
            return self._displayable(self._client.note_failure(failure_id, note).raw)

    def resolve_failure(self, failure_id: str, *, resolved: bool) -> dict[str, Any]:
        """Mark a failure group as resolved, or not, and return the group."""
        with self._errors_as_problems():
            changed = self._client.resolve_failure(failure_id, resolved=resolved)
            return self._displayable(changed.raw)

    def paused(self) -> list[dict[str, Any]]:
        """Return the paused job types and queues."""
        with self._errors_as_problems():
            return [self._displayable(each.raw) for each in self._client.paused()]

    def pause(self, kind: str, name: str) -> dict[str, Any]:
        """Pause a job type or a queue."""
        with self._errors_as_problems():
            return self._displayable(self._client.pause(kind, name).raw)

    def resume(self, kind: str, name: str) -> None:
        """Resume a job type or a queue."""
        with self._errors_as_problems():
            self._client.resume(kind, name)

    def queues(self) -> Iterator[dict[str, Any]]:
        """Yield the queues, sorted by name, each with its first keys in use."""
        return (self._displayable(each.raw) for each in self._each(self._client.queues()))

    def queue(self, name: str) -> dict[str, Any]:
        """Return a queue with its first keys in use."""
        with self._errors_as_problems():
            return self._displayable(self._client.queue(name).raw)

    def queue_keys(self, name: str) -> Iterator[dict[str, Any]]:
        """Yield the keys of a queue that are in use."""
        return (self._displayable(each.raw) for each in self._each(self._client.queue_keys(name)))

    def limit_queue(self, name: str, **limits: Any) -> dict[str, Any]:
        """Set the limits of a queue, and return the queue."""
        with self._errors_as_problems():
            return self._displayable(self._client.limit_queue(name, **limits).raw)

    def reset_queue(self, name: str) -> None:
        """Reset a queue's limits to those declared in code."""
        with self._errors_as_problems():
            self._client.reset_queue(name)

    def schedules(self) -> Iterator[dict[str, Any]]:
        """Yield the organization's schedules, sorted by name."""
        return (self._displayable(each.raw) for each in self._each(self._client.schedules()))

    def schedule(self, name: str) -> dict[str, Any]:
        """Return a schedule, with its payload."""
        with self._errors_as_problems():
            return self._displayable(self._client.schedule(name).raw)

    def put_schedule(self, name: str, job_type: str, **given: Any) -> dict[str, Any]:
        """Create or replace a schedule, and return it."""
        with self._errors_as_problems():
            return self._displayable(self._client.put_schedule(name, job_type, **given).raw)

    def pause_schedule(self, name: str) -> dict[str, Any]:
        """Pause a schedule."""
        with self._errors_as_problems():
            return self._displayable(self._client.pause_schedule(name).raw)

    def resume_schedule(self, name: str) -> dict[str, Any]:
        """Resume a schedule."""
        with self._errors_as_problems():
            return self._displayable(self._client.resume_schedule(name).raw)

    def delete_schedule(self, name: str) -> None:
        """Delete a schedule."""
        with self._errors_as_problems():
            self._client.delete_schedule(name)

    def run_schedule(self, name: str) -> tuple[Job, str]:
        """Dispatch the job of a schedule once, now. Return the job, and the outcome in words."""
        with self._errors_as_problems():
            job = self._client.run_schedule(name)
        return self._with_header_fields(job), _outcome(job)

    def webhooks(self) -> list[dict[str, Any]]:
        """Return the organization's webhooks, sorted by name."""
        with self._errors_as_problems():
            return [self._displayable(each.raw) for each in self._client.webhooks()]

    def put_webhook(self, name: str, url: str, secret: str, **given: Any) -> dict[str, Any]:
        """Subscribe a webhook, or replace it, and return it.

        `given` are `statuses` and `job_types`. An empty list means all of them.
        """
        lists = {key: value or None for key, value in given.items()}
        with self._errors_as_problems():
            return self._displayable(self._client.put_webhook(name, url, secret, **lists).raw)

    def delete_webhook(self, name: str) -> None:
        """Delete a webhook."""
        with self._errors_as_problems():
            self._client.delete_webhook(name)

    def test_webhook(self, name: str) -> Job:
        """Send a test event to a webhook. Return the job that delivers it."""
        with self._errors_as_problems():
            return self._displayable_job(self._client.test_webhook(name))

    def webhook_deliveries(self, name: str) -> Iterator[Job]:
        """Yield the jobs that deliver events to a webhook, newest first."""
        return map(self._displayable_job, self._each(self._client.webhook_deliveries(name)))

    def place(self, job_id: str) -> dict[str, Any]:
        """Return a waiting job's position."""
        with self._errors_as_problems():
            return self._displayable(self._client.place(job_id).raw)

    def types(self) -> dict[str, Any]:
        """Return the job types and tasks."""
        with self._errors_as_problems():
            return self._displayable(self._client.job_types().raw)

    def _with_header_fields(self, job: models.Job) -> Job:
        """Return a dispatched job, with the fields that the API sends in headers."""
        headers = {"replayed": job.replayed, "unique_outcome": job.unique_outcome}
        return self._displayable_job(job) | headers

    def _displayable_job(self, job: models.Job) -> Job:
        return self._displayable(job.raw)

    def _displayable(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """Return a value from the API. For text output, replace terminal control characters."""
        return dict(tame(value) if self._as_text else value)

    def _each(self, values: Iterable[_T]) -> Iterator[_T]:
        with self._errors_as_problems():
            yield from values

    @contextmanager
    def _errors_as_problems(self) -> Iterator[None]:
        """Raise the client's errors as Problems."""
        try:
            yield
        except OutcomeUnknown as error:
            raise Problem(error.problem, hint=error.hint, code=Exit.NO_ANSWER) from error
        except NoAnswer as error:
            raise no_answer(self._client.url, error, is_local=self._is_local) from error
        except ApiError as error:
            raise refused(self._client.url, error, with_token=self._with_token) from error
        except JobRunnersError as error:
            raise Problem(error.problem, hint=error.hint, code=Exit.NO_ACCESS) from error
        except ValueError as error:  # an invalid argument, such as an empty id
            raise Problem(str(error)) from error


def _find_by_start(start: str, what: str, candidates: Iterable[dict[str, Any]]) -> str | None:
    """Return the only id that starts with `start`, or None. Raises Problem if there are several."""
    found = [str(each["id"]) for each in candidates if each["id"].startswith(start)]
    if len(found) > 1:
        raise Problem(
            f"{len(found)} {what} have ids that start with {start}.",
            hint=f"Pass one of {', '.join(found)}.",
        )
    return found[0] if found else None


def _plain(text: str | None) -> str | None:
    return text and plain(text)


def _outcome(job: models.Job) -> str:
    """Return the outcome of a dispatch in words."""
    if job.unique_outcome in _OUTCOMES:
        return _OUTCOMES[job.unique_outcome]
    return _REPLAYED if job.replayed else "dispatched"
