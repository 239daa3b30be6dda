"""The API of the stack, as the command uses its client. What goes wrong is raised as a Problem."""

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from job_runners import models
from job_runners.cli.output import plain, tame
from job_runners.cli.problem import Exit, NoneStartsSo, Problem
from job_runners.cli.refusals import no_answer, refused
from job_runners.client import Client
from job_runners.errors import ApiError, JobRunnersError, NoAnswer, OutcomeUnknown

Job = dict[str, Any]  # as the API's JSON has it

_NEWEST = 500  # jobs among which the start of an id is looked up
_CHILDREN = 100  # of a job that are shown
# Of a dispatch of a job that is unique, where another one was there before.
_OUTCOMES = {
    "returned": "is there already: it is the same work",
    "replaced": "was there already, and takes this payload and time",
    "follows": "will follow the one that has begun",
}
_STARTS = re.compile(r"[0-9a-f]{4,31}")
_T = TypeVar("_T")


@dataclass(frozen=True)
class Seen:
    """A job at one moment, and when the API would have us look again."""

    job: Job
    retry_after: float  # seconds


class Api:
    """Calls it on behalf of one organisation."""

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
    def whose(self) -> str:
        """On whose behalf it asks, as part of a sentence."""
        return f"organisation {self._organization}" if self._organization else "yours"

    def dispatch(self, body: dict[str, Any], key: str | None) -> tuple[Job, str]:
        """Have a job saved and sent; also in words what became of that."""
        try:
            with self._problems():
                job = self._client.dispatch(**body, idempotency_key=key)
        except Problem as problem:
            sent = getattr(problem.__cause__, "idempotency_key", None)
            if sent and problem.code is Exit.NO_ANSWER:
                look = f"jobs show --idempotency-key {shlex.quote(sent)}"
                problem.hint = f"{problem.hint} Was it saved? {look}".lstrip()
            raise
        return self._dispatched(job), _became(job)

    def task(self, name: str, payload: dict[str, Any]) -> str | None:
        """Have a task sent; return its id, if the API says it."""
        with self._problems():
            return _plain(self._client.dispatch_task(name, payload))

    def job(self, job_id: str) -> Seen:
        """One job, with everything."""
        with self._problems():
            job = self._client.get(job_id)
        return Seen(self._value(job), job.retry_after or 1)

    def under_key(self, key: str) -> Job | None:
        """Return the job that was dispatched under an idempotency key, if there is one."""
        with self._problems():
            job = self._client.find(idempotency_key=key)
        return None if job is None else self._value(job)

    def children(self, job_id: str) -> tuple[list[dict[str, Any]], bool]:
        """Return what a job has dispatched, and whether there is more of it."""
        listed = self._each(self._client.children(job_id))
        try:
            found = [self._shown(each.raw) for each in islice(listed, _CHILDREN)]
            return found, next(listed, None) is not None
        except Problem as problem:
            if problem.code is Exit.REFUSED:  # an API that is older than this command
                return [], False
            raise

    def failed_tasks(self) -> Iterator[dict[str, Any]]:
        """Yield the tasks of a week that failed for good, dispatched last first."""
        return (self._shown(each.raw) for each in self._each(self._client.failed_tasks()))

    def redrive_task(self, task_id: str) -> str | None:
        """Have a failed task sent again; return its new id, if the API has said it."""
        with self._problems():
            return _plain(self._client.redrive_task(task_id))

    def find(self, start: str) -> str:
        """Return the id that starts like this, of the organisation's newest jobs."""
        if not _STARTS.fullmatch(start):
            return start  # the API says what it makes of it
        found = _starting(start, "jobs", islice(self.every(), _NEWEST))
        if found is None:
            raise NoneStartsSo(
                f"None of the newest {_NEWEST} jobs of {self.whose} starts with {start}.",
                hint="Give the whole id, or another --organization.",
            )
        return found

    def find_task(self, start: str) -> str:
        """Return the id that starts like this, of the tasks that failed in the last week."""
        if not _STARTS.fullmatch(start):
            return start
        found = _starting(start, "failed tasks", self.failed_tasks())
        if found is None:
            raise NoneStartsSo(
                f"No task that failed in the last week starts with {start}.",
                hint="Give the whole id. jobs tasks lists the tasks that failed.",
            )
        return found

    def every(self, **filters: Any) -> Iterator[Job]:
        """Yield the organisation's jobs, newest first, a page at a time."""
        return map(self._value, self._each(self._client.list(**filters)))

    def cancel(self, job_id: str) -> Job:
        """Cancel a job, or ask a running one to stop."""
        with self._problems():
            return self._value(self._client.cancel(job_id))

    def retry(self, job_id: str, payload: dict[str, Any] | None = None) -> Job:
        """Have a failed or cancelled job done again."""
        with self._problems():
            return self._value(self._client.retry(job_id, payload))

    def rerun(self, job_id: str) -> Job:
        """Dispatch a new job like one that has ended."""
        with self._problems():
            return self._dispatched(self._client.rerun(job_id))

    def delete(self, job_id: str) -> None:
        """Forget a finished job."""
        with self._problems():
            self._client.delete(job_id)

    def paused(self) -> list[dict[str, Any]]:
        """Return what is paused."""
        with self._problems():
            return [self._shown(each.raw) for each in self._client.paused()]

    def pause(self, kind: str, name: str) -> dict[str, Any]:
        """Hold back a job type or a queue."""
        with self._problems():
            return self._shown(self._client.pause(kind, name).raw)

    def resume(self, kind: str, name: str) -> None:
        """Let it go on."""
        with self._problems():
            self._client.resume(kind, name)

    def queues(self) -> Iterator[dict[str, Any]]:
        """Yield the queues by name, each with the first of its keys in use."""
        return (self._shown(each.raw) for each in self._each(self._client.queues()))

    def queue(self, name: str) -> dict[str, Any]:
        """Return a queue with the first of its keys in use."""
        with self._problems():
            return self._shown(self._client.queue(name).raw)

    def queue_keys(self, name: str) -> Iterator[dict[str, Any]]:
        """Yield the keys of a queue that are in use."""
        return (self._shown(each.raw) for each in self._each(self._client.queue_keys(name)))

    def limit_queue(self, name: str, **limits: Any) -> dict[str, Any]:
        """Limit a queue; return its limits as the API's JSON has them."""
        with self._problems():
            return self._shown(self._client.limit_queue(name, **limits).raw)

    def reset_queue(self, name: str) -> None:
        """Have the limits of a queue that the code declares."""
        with self._problems():
            self._client.reset_queue(name)

    def schedules(self) -> Iterator[dict[str, Any]]:
        """Yield the organisation's schedules by name."""
        return (self._shown(each.raw) for each in self._each(self._client.schedules()))

    def schedule(self, name: str) -> dict[str, Any]:
        """Return a schedule, with its payload."""
        with self._problems():
            return self._shown(self._client.schedule(name).raw)

    def put_schedule(self, name: str, job_type: str, **given: Any) -> dict[str, Any]:
        """Have a job done again and again; return the schedule."""
        with self._problems():
            return self._shown(self._client.put_schedule(name, job_type, **given).raw)

    def pause_schedule(self, name: str) -> dict[str, Any]:
        """Let no occurrence of a schedule start."""
        with self._problems():
            return self._shown(self._client.pause_schedule(name).raw)

    def resume_schedule(self, name: str) -> dict[str, Any]:
        """Let its occurrences start again."""
        with self._problems():
            return self._shown(self._client.resume_schedule(name).raw)

    def delete_schedule(self, name: str) -> None:
        """Forget a schedule."""
        with self._problems():
            self._client.delete_schedule(name)

    def run_schedule(self, name: str) -> tuple[Job, str]:
        """Dispatch the job of a schedule once, now; also in words what became of that."""
        with self._problems():
            job = self._client.run_schedule(name)
        return self._dispatched(job), _became(job)

    def place(self, job_id: str) -> dict[str, Any]:
        """Return where a job is among those that wait."""
        with self._problems():
            return self._shown(self._client.place(job_id).raw)

    def types(self) -> dict[str, Any]:
        """Return what can be dispatched."""
        with self._problems():
            return self._shown(self._client.job_types().raw)

    def _dispatched(self, job: models.Job) -> Job:
        """Return the job that a request got, with what the API says of it in headers."""
        said = {"replayed": job.replayed, "unique_outcome": job.unique_outcome}
        return self._value(job) | said

    def _value(self, job: models.Job) -> Job:
        return self._shown(job.raw)

    def _shown(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """Return a value of the API: for people without what would steer their terminal."""
        return dict(tame(value) if self._as_text else value)

    def _each(self, values: Iterable[_T]) -> Iterator[_T]:
        with self._problems():
            yield from values

    @contextmanager
    def _problems(self) -> Iterator[None]:
        """Raise a Problem for what the client raises."""
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
        except ValueError as error:  # an argument that can't be meant, such as an id of no letters
            raise Problem(f"{str(error).capitalize()}.") from error


def _starting(start: str, what: str, those: Iterable[dict[str, Any]]) -> str | None:
    """Return the one id that starts like this, None if there is none; raises Problem if several."""
    found = [str(each["id"]) for each in those if each["id"].startswith(start)]
    if len(found) > 1:
        raise Problem(f"{len(found)} {what} start with {start}.", hint=f"Which? {', '.join(found)}")
    return found[0] if found else None


def _plain(text: str | None) -> str | None:
    return text and plain(text)


def _became(job: models.Job) -> str:
    """Return in words what became of a dispatch."""
    if job.unique_outcome in _OUTCOMES:
        return _OUTCOMES[job.unique_outcome]
    return "was dispatched before, with this key" if job.replayed else "dispatched"
