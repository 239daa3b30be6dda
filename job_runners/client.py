"""The client: dispatch jobs from your own program, follow them, and have their results.

Threads share one client. A call that fails in passing is made again where that is safe.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from job_runners.addresses import region_for
from job_runners.base_client import PAGE, part, traced
from job_runners.connections import Answer
from job_runners.errors import (
    ApiBusy,
    ApiError,
    ConfigurationError,
    JobNotFound,
    NoAnswer,
)
from job_runners.models import Child, Job, JobTypes, JobUnfinished
from job_runners.queue_client import QueueClient
from job_runners.refusals import retry_after
from job_runners.repeating import new_key
from job_runners.schedule_client import ScheduleClient
from job_runners.task_client import TaskClient

_PATIENCE = 300.0  # seconds without any answer until `wait` gives up
_PAUSE = 5.0  # seconds between its tries meanwhile


class Client(TaskClient, QueueClient, ScheduleClient):
    """The API of one stack.

    Give `stack`, the name of a deployed one, which is found in CloudFormation at the first call;
    or `url`, the API's address. With neither, JOB_RUNNERS_URL or JOB_RUNNERS_STACK says it, and
    JOB_RUNNERS_TOKEN the token.

    Calls are signed with AWS credentials: those of the environment, of the container or, with
    botocore installed, of the profile; or `credentials`, a value or a function that returns them.
    With `token`, a text or a function that returns one, calls show that instead. Neither is sent in
    the clear over a network, nor after a redirect.

    `organization_id` is on whose behalf, unless a call says otherwise; without it the token's own,
    or `default`. `timeout` is in seconds, for one answer; a call has up to `max_attempts` tries.

    Every method raises a JobRunnersError, or ValueError for an argument that can't be meant.
    """

    # --- dispatch ---------------------------------------------------------------------------------

    def dispatch(
        self,
        job_type: str,
        payload: Mapping[str, Any] | None = None,
        *,
        organization_id: str | None = None,
        campaign_id: str | None = None,
        queue_name: str | None = None,
        run_at: datetime | str | None = None,
        delay: float | timedelta | None = None,
        idempotency_key: str | None = None,
        traceparent: str | None = None,
    ) -> Job:
        """Have a job saved and sent; return it.

        The same dispatch with the same `idempotency_key` is one job, for as long as that is kept:
        pass a key that names what the job is for, and your program can be run again. Without one
        the client makes one, so that it can repeat the call itself. `run_at` has a zone; `delay` is
        in seconds. Of a job type that is unique, it may be a job that was there before: see its
        `unique_outcome`. Where the type's rule refuses, raises UniqueConflict with that job's
        `job_id`. An error carries the key that was used, as `idempotency_key`. The job goes on in
        the trace of `traceparent`, as W3C writes it, where the stack has traces.
        """
        body = {
            "job_type": job_type,
            "payload": dict(payload or {}),
            "organization_id": organization_id or self._organization,
            "campaign_id": campaign_id,
            "queue_name": queue_name,
            "run_at": _moment(run_at),
            "delay": delay.total_seconds() if isinstance(delay, timedelta) else delay,
        }
        given = {name: value for name, value in body.items() if value is not None}
        return self._with_key("/jobs", given, idempotency_key, traceparent)

    def rerun(
        self, job_id: str, *, idempotency_key: str | None = None, traceparent: str | None = None
    ) -> Job:
        """Dispatch a new job like one that has ended; return the new one."""
        return self._with_key(f"{_path(job_id)}/rerun", None, idempotency_key, traceparent)

    def run_schedule(
        self, name: str, *, organization_id: str | None = None, idempotency_key: str | None = None
    ) -> Job:
        """Dispatch the job of a schedule once, now, beside its occurrences; return the job, or one
        that was there before, as `dispatch` does. Raises ScheduleNotFound."""
        path = self._schedule_path(name, organization_id, "/run")
        return self._with_key(path, None, idempotency_key, None)

    def upload(
        self,
        source: "str | os.PathLike[str] | bytes",
        name: str | None = None,
        *,
        organization_id: str | None = None,
    ) -> str:
        """Put a file, or bytes, where the organisation's jobs may read it; return its key for a
        payload. A file of this name that is there already is replaced.

        It goes to the stack's bucket, signed with AWS credentials, which need s3:PutObject; with
        `Client(url=)` say which `bucket`. Raises UploadRefused.
        """
        from job_runners import uploads  # not what every program needs

        organization = organization_id or self._organization
        if organization is None:
            raise ValueError("whose file is it? A token says it to the API alone: organization_id=")
        key = uploads.key_for(source, name, organization)
        if self._bucket is None and self._stack is None:
            raise ConfigurationError(
                "Which bucket? An API's address does not say it.",
                "Client(url=..., bucket=...): the stack's output BucketName.",
            )
        bucket = self._bucket or self._found().bucket_name
        region = self._region or region_for(self._url)
        uploads.Uploads(bucket, region, self._credentials, self._timeout).put(source, key)
        return key

    # --- read -------------------------------------------------------------------------------------

    def get(self, job_id: str) -> Job:
        """Return a job with everything: payload, result, errors. Raises JobNotFound."""
        return self._job(self._api.read(_path(job_id)))

    def find(self, *, idempotency_key: str, organization_id: str | None = None) -> Job | None:
        """Return the job that was dispatched under a key; None if there is none, or none any more.

        It is without payload and result, as in a list.
        """
        whose = organization_id or self._organization
        asked = {"organization_id": whose, "idempotency_key": idempotency_key}
        return next(self._pages("/jobs", "jobs", asked, Job.of), None)

    def list(
        self,
        *,
        status: str | None = None,
        job_type: str | None = None,
        queue_name: str | None = None,
        search: str | None = None,
        organization_id: str | None = None,
        page_size: int = PAGE,
    ) -> Iterator[Job]:
        """Yield the organisation's jobs, newest first, as you ask for them: a page at a time.

        They are without payload and result. `search` is how an id, a message or an error begins.
        """
        asked = {
            "organization_id": organization_id or self._organization,
            "limit": page_size,
            "cursor": None,
            "status": status,
            "job_type": job_type,
            "queue_name": queue_name,
            "search": search,
        }
        return self._pages("/jobs", "jobs", asked, Job.of)

    def children(self, job_id: str, *, page_size: int = PAGE) -> Iterator[Child]:
        """Yield the jobs that a job has dispatched, in the order of their keys."""
        asked = {"limit": page_size}
        return self._pages(f"{_path(job_id)}/children", "children", asked, Child.of)

    def job_types(self) -> JobTypes:
        """Return what this stack can do, and with which payloads."""
        return JobTypes.of(self._object(self._api.read("/job-types")))

    def wait(
        self,
        job: Job | str,
        timeout: float | None = None,
        *,
        on_progress: Callable[[Job], object] | None = None,
    ) -> Job:
        """Wait until a job has ended, however it ended; return it with everything.

        Asks as often as the API suggests. `on_progress` is called with the job at the first look,
        and whenever its status, progress or message has changed. Raises JobUnfinished after
        `timeout` seconds: the job goes on. An API out of reach is asked again for five minutes.
        """
        job_id = job if isinstance(job, str) else job.id
        until = None if timeout is None else time.monotonic() + timeout
        last: tuple[object, ...] = ()
        while True:
            seen = self._look(job_id, until)
            news = (seen.status, seen.progress, seen.result_message)
            if on_progress is not None and news != last:
                last = news
                on_progress(seen)
            if seen.finished:
                return seen
            pause = seen.retry_after or 1.0
            if until is not None:
                left = until - time.monotonic()
                if left <= 0:
                    raise JobUnfinished(seen, timeout)
                pause = min(pause, left)  # one last look when the time is over
            time.sleep(pause)

    # --- change -----------------------------------------------------------------------------------

    def cancel(self, job_id: str) -> Job:
        """Cancel a job, or ask a running one to stop: then `cancel_requested` is True.

        Raises WrongState for one that has ended.
        """
        return self._job(self._api.call("POST", f"{_path(job_id)}/cancel"))

    def retry(self, job_id: str, payload: Mapping[str, Any] | None = None) -> Job:
        """Have a failed or cancelled job done again from where it was; with another `payload`, from
        the start. Raises WrongState; UniqueConflict if another one has its place by now.

        It is repeated only if it certainly was not done. Raises OutcomeUnknown where nobody knows:
        look at the job.
        """
        body = None if payload is None else {"payload": dict(payload)}
        return self._job(self._api.call_once("POST", f"{_path(job_id)}/retry", body))

    def delete(self, job_id: str) -> None:
        """Forget a finished job, with its payload, result and files. Raises WrongState,
        JobNotFound."""
        try:
            self._api.call("DELETE", _path(job_id))
        except JobNotFound as gone:
            if not gone.repeated:  # else it was this call that deleted it
                raise

    # --- within -----------------------------------------------------------------------------------

    def _with_key(
        self, path: str, body: Mapping[str, Any] | None, given: str | None, traceparent: str | None
    ) -> Job:
        """Dispatch under the key that was given, or one of the client's own."""
        key = given or new_key()
        headers = {"Idempotency-Key": _in_header(key)}
        if not key.isascii():
            if body is None:
                raise ValueError("the idempotency key of a rerun, or of a schedule's, is ASCII")
            body, headers = {**body, "idempotency_key": key}, {}
        headers |= traced(traceparent)
        try:
            job = self._job(self._api.call("POST", path, body, headers=headers))
        except (ApiError, NoAnswer) as error:
            error.idempotency_key = key
            raise
        # With a key of the client's own, only its own repetition can have been there before.
        return job if given else _unreplayed(job)

    def _look(self, job_id: str, until: float | None) -> Job:
        """Return a job, through a network that comes and goes."""
        give_up = time.monotonic() + _PATIENCE
        give_up = give_up if until is None else min(give_up, until)
        while True:
            try:
                return self.get(job_id)
            except (NoAnswer, ApiBusy):
                if time.monotonic() + _PAUSE > give_up:
                    raise
            time.sleep(_PAUSE)

    def _job(self, answer: Answer) -> Job:
        replayed = answer.headers.get("Idempotent-Replayed") == "true"
        outcome = answer.headers.get("Unique-Outcome")
        value = self._object(answer)
        try:
            return Job.of(
                value,
                retry_after=retry_after(answer),
                replayed=replayed,
                unique_outcome=outcome,
            )
        except (KeyError, TypeError, ValueError):
            raise self._unexpected(answer) from None


def _unreplayed(job: Job) -> Job:
    return job.__replace__(replayed=False) if job.replayed else job


def _path(job_id: str) -> str:
    return f"/jobs/{part(job_id)}"


def _moment(value: datetime | str | None) -> str | None:
    if not isinstance(value, datetime):
        return value
    if value.tzinfo is None:
        raise ValueError("run_at has no zone: datetime.now(UTC) + ..., or .astimezone()")
    return value.isoformat()


def _in_header(key: str) -> str:
    """Return a key as a header has it: in quotes (RFC 9651) if it would not arrive as it is."""
    if key == key.strip() and not key.startswith('"'):
        return key
    escaped = key.replace("\\", r"\\").replace('"', r"\"")
    return f'"{escaped}"'
