"""The API of the stack, a method for each of its calls. What it refuses is raised as a Problem."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException
from itertools import islice
from typing import Any
from urllib.parse import quote, urlencode

from job_runners.cli.api_client import Answer, ApiClient
from job_runners.cli.problem import Exit, Problem
from job_runners.cli.refusals import no_answer, refused

Job = dict[str, Any]

_PAGE = 100
_NEWEST = 500  # jobs among which the start of an id is looked up
_STARTS = re.compile(r"[0-9a-f]{4,31}")
_TRIES = 3  # of a call that only reads
_LONGEST_PAUSE = 5  # seconds between them


@dataclass(frozen=True)
class Seen:
    """A job at one moment, and when the API would have us look again."""

    job: Job
    retry_after: float  # seconds


class Api:
    """Calls it on behalf of one organisation."""

    def __init__(self, client: ApiClient, organization_id: str | None, *, is_local: bool) -> None:
        self._client = client
        self._organization = organization_id
        self._is_local = is_local

    @property
    def whose(self) -> str:
        """On whose behalf it asks, as part of a sentence."""
        return f"organisation {self._organization}" if self._organization else "yours"

    def dispatch(self, body: dict[str, Any], key: str | None) -> tuple[Job, bool]:
        """Have a job saved and sent; also whether the key's job was there already."""
        headers = {"Idempotency-Key": key} if key else {}
        whose = {"organization_id": self._organization} if self._organization else {}
        sent = {**whose, **body}
        answer = self._call("POST", "/jobs", sent, headers=headers)
        return answer.json, answer.headers.get("Idempotent-Replayed") == "true"

    def task(self, name: str, payload: dict[str, Any]) -> str | None:
        """Have a task sent; return its id, if the API says it."""
        answer = self._call("POST", "/tasks", {"task_name": name, "payload": payload}).json
        task_id: str | None = answer.get("id")  # one that is older than this command has none
        return task_id

    def job(self, job_id: str) -> Seen:
        """One job, with everything."""
        answer = self._read(f"/jobs/{quote(job_id, safe='')}")
        return Seen(answer.json, float(answer.headers.get("Retry-After") or 1))

    def children(self, job_id: str) -> tuple[list[dict[str, Any]], bool]:
        """Return what a job has dispatched, and whether there is more of it."""
        try:
            page = self._read(f"/jobs/{quote(job_id, safe='')}/children?limit={_PAGE}").json
        except Problem as problem:
            if problem.code is Exit.REFUSED:  # an API that is older than this command
                return [], False
            raise
        return page["children"], page["cursor"] is not None

    def find(self, start: str) -> str:
        """Return the id that starts like this, of the organisation's newest jobs."""
        if not _STARTS.fullmatch(start):
            return start  # the API says what it makes of it
        newest = islice(self.every(), _NEWEST)
        found = [job["id"] for job in newest if job["id"].startswith(start)]
        if len(found) == 1:
            return str(found[0])
        if found:
            raise Problem(
                f"{len(found)} jobs start with {start}.", hint=f"Which? {', '.join(found)}"
            )
        raise Problem(
            f"None of the newest {_NEWEST} jobs of {self.whose} starts with {start}.",
            hint="Give the whole id, or another --organization.",
        )

    def page(self, limit: int, cursor: str | None, **filters: str | None) -> dict[str, Any]:
        """Jobs of the organisation, newest first, and the cursor of the next page."""
        given = {"organization_id": self._organization, "limit": limit, "cursor": cursor, **filters}
        # %20 and not +, which the signature would not be about.
        known = {name: value for name, value in given.items() if value is not None}
        query = urlencode(known, quote_via=quote)
        page: dict[str, Any] = self._read(f"/jobs?{query}").json
        return page

    def every(self, **filters: str | None) -> Iterator[Job]:
        """All of them, page by page."""
        cursor = None
        while True:
            page = self.page(_PAGE, cursor, **filters)
            yield from page["jobs"]
            cursor = page["cursor"]
            if cursor is None:
                return

    def cancel(self, job_id: str) -> Job:
        """Cancel a job, or ask a running one to stop."""
        job: Job = self._call("POST", f"/jobs/{quote(job_id, safe='')}/cancel").json
        return job

    def retry(self, job_id: str, payload: dict[str, Any] | None = None) -> Job:
        """Have a failed or cancelled job done again."""
        body = None if payload is None else {"payload": payload}
        job: Job = self._call("POST", f"/jobs/{quote(job_id, safe='')}/retry", body).json
        return job

    def rerun(self, job_id: str) -> Job:
        """Dispatch a new job like one that has ended."""
        job: Job = self._call("POST", f"/jobs/{quote(job_id, safe='')}/rerun").json
        return job

    def delete(self, job_id: str) -> None:
        """Forget a finished job."""
        self._call("DELETE", f"/jobs/{quote(job_id, safe='')}")

    def paused(self) -> list[dict[str, Any]]:
        """Return what is paused."""
        entries: list[dict[str, Any]] = self._read("/paused").json["paused"]
        return entries

    def pause(self, kind: str, name: str) -> dict[str, Any]:
        """Hold back a job type or a queue."""
        entry: dict[str, Any] = self._call("PUT", f"/paused/{kind}/{quote(name, safe='')}").json
        return entry

    def resume(self, kind: str, name: str) -> None:
        """Let it go on."""
        self._call("DELETE", f"/paused/{kind}/{quote(name, safe='')}")

    def types(self) -> dict[str, Any]:
        """Return what can be dispatched."""
        types: dict[str, Any] = self._read("/job-types").json
        return types

    def _read(self, path: str) -> Answer:
        """As _call, but an API that is busy is asked again: reading twice does no harm."""
        for _ in range(_TRIES - 1):
            answer = self._ask("GET", path)
            if answer.status not in (429, 500, 502, 503, 504):
                return self._accepted(answer)
            time.sleep(min(_LONGEST_PAUSE, float(answer.headers.get("Retry-After") or 1)))
        return self._call("GET", path)

    def _call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        return self._accepted(self._ask(method, path, body, headers))

    def _ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        try:
            return self._client.call(method, path, body, headers=headers)
        except (OSError, HTTPException) as error:
            raise no_answer(self._client.url, error, is_local=self._is_local) from error

    def _accepted(self, answer: Answer) -> Answer:
        if not 200 <= answer.status < 300 or not answer.is_readable:
            raise refused(self._client.url, answer, with_token=self._client.uses_token)
        return answer
