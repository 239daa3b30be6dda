"""Make calls. If it is safe, repeat failed ones a few times, with increasing waits."""

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from job_runners.client.connections import Answer
from job_runners.client.errors import ApiBusy, ApiError, NoAnswer, OutcomeUnknown
from job_runners.client.http_api import HttpApi
from job_runners.client.refusals import refusal
from job_runners.client.repeating import LONGEST_REQUESTED, pause

_UNKNOWN = "The call was not repeated. Check its outcome before you repeat it."


class _Call(NamedTuple):
    """A call of the API.

    If `not_processed_slugs` is None, the call can safely be made twice. Otherwise it is repeated
    only if the API has certainly not processed it. The slugs name the problems that prove this.
    """

    method: str
    path: str
    body: Any = None
    headers: Mapping[str, str] | None = None
    not_processed_slugs: frozenset[str] | None = None

    @property
    def is_repeatable(self) -> bool:
        """Return whether the call can safely be made twice."""
        return self.not_processed_slugs is None

    def may_have_landed(self, error: ApiError | NoAnswer) -> bool:
        """Return whether the API may have processed the call despite the error."""
        if isinstance(error, NoAnswer):
            return error.may_have_landed
        # A 429 comes from API Gateway, which passed nothing to the API.
        return error.status != 429 and error.slug not in (self.not_processed_slugs or ())


class Calls:
    """Calls to one API, each with up to `max_attempts` attempts."""

    def __init__(self, api: HttpApi, max_attempts: int) -> None:
        self.api = api
        self._max_attempts = max_attempts

    def read(self, path: str) -> Answer:
        """GET a path."""
        return self.call("GET", path)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Make a call that can safely be made twice. Raises ApiError, NoAnswer."""
        return self._repeat(_Call(method, path, body, headers))

    def call_once(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        not_processed_slugs: frozenset[str] = frozenset(),
    ) -> Answer:
        """Make a call that must not be processed twice.

        It is repeated only if the API has certainly not processed it. A problem with one of
        `not_processed_slugs` proves this. Raises OutcomeUnknown if the outcome is unknown,
        otherwise ApiError or NoAnswer.
        """
        return self._repeat(_Call(method, path, body, headers, not_processed_slugs))

    def _repeat(self, call: _Call) -> Answer:
        attempts, may_have_landed_before, renewed = 0, False, False
        while True:
            attempts += 1
            answer = self._attempt(call)
            if isinstance(answer, Answer):
                return answer
            error, requested_wait = answer, None
            if isinstance(error, ApiError):
                error.repeated, requested_wait = may_have_landed_before, error.retry_after
                if not renewed and self._renew_credentials(error):
                    renewed = True
                    continue
                if not isinstance(error, ApiBusy):
                    raise error
            if call.may_have_landed(error):
                if not call.is_repeatable:
                    raise OutcomeUnknown(error.problem, _UNKNOWN) from error
                may_have_landed_before = True
            if attempts >= self._max_attempts or (requested_wait or 0) > LONGEST_REQUESTED:
                raise error
            time.sleep(pause(attempts, requested_wait))

    def _attempt(self, call: _Call) -> Answer | ApiError | NoAnswer:
        """Make one attempt, and return the answer or the error."""
        try:
            answer = self.api.call(
                call.method,
                call.path,
                call.body,
                headers=call.headers,
                repeatable=call.is_repeatable,
            )
        except NoAnswer as error:
            return error
        if 200 <= answer.status < 300 and answer.is_readable:
            return answer
        return refusal(self.api.url, answer, with_token=self.api.access.uses_token)

    def _renew_credentials(self, error: ApiError) -> bool:
        """If API Gateway refused the credentials, get new ones. Return whether they are
        different."""
        is_from_gateway = error.status in (401, 403) and "status" not in error.body
        return is_from_gateway and self.api.access.renew()
