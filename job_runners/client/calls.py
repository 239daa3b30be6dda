"""Make calls to the API. If a call failed temporarily, repeat it if that is safe.

An attempt has landed if the API has processed it. Without a response, that is often unknown.
"""

import json
import time
from collections.abc import Mapping
from typing import Any

from job_runners.client.connections import Connections, Response
from job_runners.client.errors import ApiBusy, ApiError, NoAnswer, OutcomeUnknown
from job_runners.client.refusals import error_of_response
from job_runners.client.repeating import MAX_REQUESTED_WAIT, wait_seconds
from job_runners.client.signing import Access

_UNKNOWN_HINT = "The call was not repeated. Check its outcome before you repeat it."


class Calls:
    """Makes calls to the API at one URL, with a signature or a token.

    A whole response may take `timeout` seconds. A call has up to `max_attempts` attempts.
    """

    def __init__(self, url: str, access: Access, timeout: float, max_attempts: int) -> None:
        self._url = url.rstrip("/")
        self.access = access
        self._connections = Connections(url, timeout)
        self._max_attempts = max_attempts

    def close(self) -> None:
        """Close idle connections."""
        self._connections.close()

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Make a call that can safely be made twice. Raises ApiError, NoAnswer."""
        return self._call_repeatedly(method, path, body, headers, None)

    def call_once(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        not_processed_slugs: frozenset[str] = frozenset(),
    ) -> Response:
        """Make a call that must not be processed twice.

        It is repeated only if the API has certainly not processed it. An error whose slug is in
        `not_processed_slugs` proves that. Raises OutcomeUnknown if the outcome is unknown, and
        otherwise ApiError or NoAnswer.
        """
        return self._call_repeatedly(method, path, body, headers, not_processed_slugs)

    def _call_repeatedly(
        self,
        method: str,
        path: str,
        body: Any,
        headers: Mapping[str, str] | None,
        not_processed_slugs: frozenset[str] | None,
    ) -> Response:
        """Repeat a call until it succeeds, or until another attempt would be useless or unsafe.

        If `not_processed_slugs` is None, the call can safely be made twice. After the first refusal
        by API Gateway, the call is repeated at once if there are new credentials.
        """
        is_repeatable = not_processed_slugs is None
        attempts = 0
        an_attempt_may_have_landed = False
        has_renewed = False
        while True:
            attempts += 1
            outcome = self._attempt(method, path, body, headers or {}, is_repeatable)
            if isinstance(outcome, Response):
                return outcome
            error = outcome
            requested_wait = None
            if isinstance(error, ApiError):
                error.repeated = an_attempt_may_have_landed
                requested_wait = error.retry_after
                if not has_renewed and self._renew_credentials(error):
                    has_renewed = True
                    continue
                if not isinstance(error, ApiBusy):
                    raise error
            if _may_have_landed(error, not_processed_slugs or frozenset()):
                if not is_repeatable:
                    raise OutcomeUnknown(error.problem, _UNKNOWN_HINT) from error
                an_attempt_may_have_landed = True
            if attempts >= self._max_attempts or (requested_wait or 0) > MAX_REQUESTED_WAIT:
                raise error
            time.sleep(wait_seconds(attempts, requested_wait))

    def _attempt(
        self, method: str, path: str, body: Any, headers: Mapping[str, str], is_repeatable: bool
    ) -> Response | ApiError | NoAnswer:
        """Make one attempt, and return the response or the error.

        A call that isn't repeatable doesn't reuse a connection that was idle for long, because the
        server may close such a connection during the call.
        """
        url = self._url + path
        data = None
        headers = {"Accept": "application/json", **headers}
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body, allow_nan=False).encode()
            headers = {"Content-Type": "application/json", **headers}
        try:
            headers = self.access.headers(method, url, data, headers)
            response = self._connections.send(method, url, data, headers, repeatable=is_repeatable)
        except NoAnswer as error:
            return error
        if 200 <= response.status < 300 and response.is_readable:
            return response
        return error_of_response(self._url, response, with_token=self.access.uses_token)

    def _renew_credentials(self, error: ApiError) -> bool:
        """Renew the credentials if API Gateway refused them. Return whether there are new ones."""
        is_from_gateway = error.status in (401, 403) and "status" not in error.body
        return is_from_gateway and self.access.renew()


def _may_have_landed(error: ApiError | NoAnswer, not_processed_slugs: frozenset[str]) -> bool:
    """Return whether the API may have processed a call despite the error."""
    if isinstance(error, NoAnswer):
        return error.may_have_landed
    # A 429 comes from API Gateway, which didn't pass the call on to the API.
    return error.status != 429 and error.slug not in not_processed_slugs
