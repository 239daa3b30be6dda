"""The client: dispatch jobs from your program, follow them and get their results.

Threads can share one client. It repeats a call that failed temporarily, if that is safe.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from job_runners.client.addresses import region_for
from job_runners.client.base_client import PAGE_SIZE, path_segment, trace_headers
from job_runners.client.batch_client import BatchClient
from job_runners.client.bulk_client import BulkClient, job_body
from job_runners.client.connections import Response
from job_runners.client.errors import ApiError, ConfigurationError, NoAnswer
from job_runners.client.models import Child, Job, JobTypes, JobUnfinished, Timeline
from job_runners.client.organization_client import OrganizationClient
from job_runners.client.queue_client import QueueClient
from job_runners.client.repeating import new_key
from job_runners.client.task_client import TaskClient


class Client(
    BulkClient,
    BatchClient,
    TaskClient,
    QueueClient,
    OrganizationClient,
):
    """A client for the API of one stack.

    Pass `stack`, the name of a deployed stack, or `url`, the URL of its API. A stack is looked up
    in CloudFormation at the first call. With neither, the client reads JOB_RUNNERS_URL or
    JOB_RUNNERS_STACK, and JOB_RUNNERS_TOKEN.

    The client signs calls with AWS credentials: from the environment, from the container or, with
    botocore installed, from the profile. To use others, pass `credentials`: Credentials, or a
    function that returns them. To use a token instead, pass `token`: a string, or a function that
    returns one. Credentials and tokens are never sent unencrypted over a network, nor to a
    redirect.

    `organization_id` is the organization to act for, unless a call names another one. By default,
    it is the token's organization, or `default` without a token. `timeout` is how many seconds a
    response may take. A call has up to `max_attempts` attempts.

    Every method raises a JobRunnersError, or ValueError for an invalid argument.
    """

    # --- dispatch ---------------------------------------------------------------------------------

    def dispatch(
        self,
        job_type: str,
        payload: Mapping[str, Any] | None = None,
        *,
        organization_id: str | None = None,
        queue_name: str | None = None,
        run_at: datetime | str | None = None,
        delay: float | timedelta | None = None,
        on_end: str | Mapping[str, str] | None = None,
        on_failure: str | Mapping[str, str] | None = None,
        max_attempts: int | None = None,
        idempotency_key: str | None = None,
        traceparent: str | None = None,
    ) -> Job:
        """Dispatch a job and return it. The job is saved before it is sent to a worker.

        The same dispatch with the same `idempotency_key` returns the same job, until the job has
        expired. If the key identifies the job's purpose, you can safely run your program again.
        Without a key, the client creates one, so that it can repeat the call itself. If the call
        fails, the error's `idempotency_key` is the key that was used.

        `on_end` and `on_failure` each name a job type to dispatch, or a webhook to call, when the
        job has ended or failed. A webhook is `{"webhook": url, "secret": name}`.

        `max_attempts` limits the attempts of this job, up to the number that the job type allows.
        Without a retry policy, that is one.

        `run_at` needs a time zone. `delay` is in seconds. If the job type is unique, the returned
        job may have existed before: see its `unique_outcome`. If the type's `unique` setting
        refuses the request, this raises UniqueConflict with the existing job's `job_id`. With
        `traceparent` (in W3C's format), the job continues that trace, if the stack records traces.
        """
        body = job_body(
            job_type,
            payload,
            organization_id=organization_id or self._organization,
            queue_name=queue_name,
            run_at=run_at,
            delay=delay,
            on_end=on_end,
            on_failure=on_failure,
            max_attempts=max_attempts,
        )
        return self._dispatch_with_key("/jobs", body, idempotency_key, traceparent)

    def rerun(
        self,
        job_id: str,
        *,
        from_step: str | None = None,
        idempotency_key: str | None = None,
        traceparent: str | None = None,
    ) -> Job:
        """Dispatch a copy of a finished job, and return the new job.

        With `from_step`, the new job starts with the results of the steps that came before that
        step. This raises Conflict if the step isn't done, if a group or a link for an answer came
        before it, or if more than 1,000 records did.
        """
        body = None if from_step is None else {"from_step": from_step}
        return self._dispatch_with_key(f"{_path(job_id)}/rerun", body, idempotency_key, traceparent)

    def run_schedule(
        self, name: str, *, organization_id: str | None = None, idempotency_key: str | None = None
    ) -> Job:
        """Dispatch a schedule's job now, in addition to its occurrences, and return it.

        If the job type is unique, the returned job may have existed before, as with `dispatch`.
        Raises NotFound.
        """
        path = self._organization_path("schedules", name, organization_id, "/run")
        return self._dispatch_with_key(path, None, idempotency_key, None)

    def upload(
        self,
        source: "str | os.PathLike[str] | bytes",
        name: str | None = None,
        *,
        organization_id: str | None = None,
    ) -> str:
        """Upload a file or bytes for the organization's jobs. Return the key to put in a payload.

        An existing file with the same name is replaced. The file goes to the stack's bucket, with
        AWS credentials that need s3:PutObject. With `Client(url=...)`, also pass `bucket=` to
        Client. Raises UploadRefused.
        """
        from job_runners.client import uploads  # imported here because few programs need it

        organization = organization_id or self._organization
        if organization is None:
            raise ValueError(
                "The file needs an organization, which only the API can read from a token. Pass "
                "organization_id=."
            )
        key = uploads.key_for(source, name, organization)
        if self._bucket is None and self._stack is None:
            raise ConfigurationError(
                "The client doesn't know the bucket, because it has only the API's URL.",
                "Use Client(url=..., bucket=...) with the stack's output BucketName.",
            )
        uploads.put(
            source,
            key,
            bucket=self._bucket or self._stack_outputs().bucket_name,
            region=self._region or region_for(self._url),
            credentials=self._credentials,
            timeout=self._timeout,
        )
        return key

    # --- read -------------------------------------------------------------------------------------

    def get(self, job_id: str) -> Job:
        """Return a job with its payload, result and errors. Raises NotFound."""
        return self._parse_job(self._api.call("GET", _path(job_id)))

    def find(self, *, idempotency_key: str, organization_id: str | None = None) -> Job | None:
        """Return the job that was dispatched with a key, without payload and result.

        Return None if there is no such job, or if it has expired.
        """
        organization = organization_id or self._organization
        parameters = {"organization_id": organization, "idempotency_key": idempotency_key}
        return next(self._list("/jobs", "jobs", parameters, Job.of), None)

    def list(
        self,
        *,
        status: str | None = None,
        job_type: str | None = None,
        queue_name: str | None = None,
        waits_for: str | None = None,
        search: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        error_group: str | None = None,
        organization_id: str | None = None,
        page_size: int = PAGE_SIZE,
    ) -> Iterator[Job]:
        """Yield the organization's jobs, newest first, without payload and result.

        Pages are read as you iterate. The jobs were created at `since` or later, and before
        `until`. With `status="failed"`, these are the times at which they failed. `search` is the
        start of an id, a message or an error. `error_group` is the id of an error group, whose
        failed jobs are listed. `waits_for` is a kind of WaitsFor: "signal" lists the jobs that wait
        for a person or an event.
        """
        parameters = {
            "organization_id": organization_id or self._organization,
            "limit": page_size,
            "status": status,
            "job_type": job_type,
            "queue_name": queue_name,
            "waits_for": waits_for,
            "search": search,
            "since": since.isoformat() if since else None,
            "until": until.isoformat() if until else None,
            "error_group": error_group,
        }
        return self._list("/jobs", "jobs", parameters, Job.of)

    def children(self, job_id: str, *, page_size: int = PAGE_SIZE) -> Iterator[Child]:
        """Yield the children of a job, ordered by key, and then the members of its groups."""
        parameters = {"limit": page_size}
        return self._list(f"{_path(job_id)}/children", "children", parameters, Child.of)

    def timeline(self, job: Job | str) -> Timeline:
        """Return what a job did and waited for, and what callers did with it, with the times."""
        job_id = job if isinstance(job, str) else job.id
        return Timeline.of(self._call("GET", f"{_path(job_id)}/timeline"))

    def job_types(self) -> JobTypes:
        """Return the job types and tasks of the stack, with the schemas of their payloads."""
        return JobTypes.of(self._call("GET", "/job-types"))

    def wait(
        self,
        job: Job | str,
        timeout: float | None = None,
        *,
        on_progress: Callable[[Job], object] | None = None,
    ) -> Job:
        """Wait until a job has succeeded, failed or been canceled. Return it with its result.

        The client polls as often as the API suggests. It calls `on_progress` with the job after the
        first poll and after each change of its status, progress or message. After `timeout`
        seconds, this raises JobUnfinished, and the job continues. If the API doesn't respond, the
        client retries for five minutes.
        """
        job_id = job if isinstance(job, str) else job.id
        last_progress: tuple[object, ...] = ()
        for state in self._poll(lambda: self.get(job_id), timeout, JobUnfinished):
            progress = (state.status, state.progress, state.result_message)
            if on_progress is not None and progress != last_progress:
                last_progress = progress
                on_progress(state)
        return state

    # --- change -----------------------------------------------------------------------------------

    def cancel(self, job_id: str, *, members: bool = False) -> Job:
        """Cancel a job. A running job is asked to stop, and has `cancel_requested` True.

        The members of its groups continue. With `members`, they are canceled too, and the job is
        canceled once all of them have ended. Raises WrongState for a finished job.
        """
        query = "?members=true" if members else ""
        return self._parse_job(self._api.call("POST", f"{_path(job_id)}/cancel{query}"))

    def signal(self, job_id: str, name: str, value: Any = None) -> Job:
        """Send a signal to a job. Its function may wait for it now or later. The value is any JSON.

        Only the first signal with a name counts, so you can repeat the call. Raises SignalConflict
        if the job has already received a different value. Raises SignalTooLate if the job has ended
        without the signal, or no longer waits for it.
        """
        path = f"{_path(job_id)}/signals/{path_segment(name)}"
        return self._parse_job(self._api.call("PUT", path, {"value": value}))

    def retry(self, job_id: str, payload: Mapping[str, Any] | None = None) -> Job:
        """Retry a failed or canceled job from its last checkpoint. With `payload`, start over.

        Raises WrongState, and UniqueConflict if another job does the same work now. The call is
        repeated only if it is certain that the API hasn't processed it. If the outcome is unknown,
        this raises OutcomeUnknown: get the job and check it.
        """
        body = None if payload is None else {"payload": dict(payload)}
        return self._parse_job(self._api.call_once("POST", f"{_path(job_id)}/retry", body))

    def delete(self, job_id: str) -> None:
        """Delete a finished job, its payload, result and files. Raises WrongState, NotFound."""
        self._delete(_path(job_id))

    # --- internal ---------------------------------------------------------------------------------

    def _dispatch_with_key(
        self,
        path: str,
        body: Mapping[str, Any] | None,
        idempotency_key: str | None,
        traceparent: str | None,
    ) -> Job:
        """Dispatch with this idempotency key, or with a new one."""
        key = idempotency_key or new_key()
        headers = trace_headers(traceparent)
        fits_in_header = key.isascii() and key == key.strip()
        if fits_in_header:
            headers["Idempotency-Key"] = key
        elif path == "/jobs":
            body = {**(body or {}), "idempotency_key": key}
        else:
            raise ValueError(
                "The idempotency key of a rerun or of run_schedule must be ASCII, without spaces "
                "around it."
            )
        try:
            job = self._parse_job(self._api.call("POST", path, body, headers=headers))
        except (ApiError, NoAnswer) as error:
            error.idempotency_key = key
            raise
        # With a new key, only an earlier attempt of this call can have dispatched the job. For the
        # caller, that isn't a replay.
        return job if idempotency_key else job.__replace__(replayed=False)

    def _parse_job(self, response: Response) -> Job:
        outcome = response.headers.get("Unique-Outcome")
        return self._parse(Job, response, unique_outcome=outcome)


def _path(job_id: str) -> str:
    return f"/jobs/{path_segment(job_id)}"
