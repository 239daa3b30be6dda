"""Calls that are made again where that is safe: after a wait, with jitter, a few times."""

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from job_runners.connections import Answer
from job_runners.errors import ApiBusy, ApiError, NoAnswer, OutcomeUnknown
from job_runners.http_api import HttpApi
from job_runners.refusals import refusal
from job_runners.repeating import LONGEST_ASKED, pause

_UNKNOWN = "It was not sent again: look first what became of it."


class _Call(NamedTuple):
    """What is asked of the API.

    `not_done` is None for what does no harm if it lands twice. Otherwise the call is repeated only
    if it can't have landed, and these are the problems with which the API says so.
    """

    method: str
    path: str
    body: Any = None
    headers: Mapping[str, str] | None = None
    not_done: frozenset[str] | None = None

    def may_have_landed(self, error: ApiError | NoAnswer) -> bool:
        """Return whether the API may have done it, whatever it has answered."""
        if isinstance(error, NoAnswer):
            return error.may_have_landed
        # The gateway lets nothing in with a 429.
        return error.status != 429 and error.slug not in (self.not_done or ())


class Calls:
    """One API, asked up to `max_attempts` times for each call."""

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
        """Make a call that does no harm if it lands twice. Raises ApiError, NoAnswer."""
        return self._repeat(_Call(method, path, body, headers))

    def call_once(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        not_done: frozenset[str] = frozenset(),
    ) -> Answer:
        """Make a call that must not land twice: again only if it can't have landed.

        `not_done` are the problems (`slug`) with which our API says that it has done nothing.
        Raises OutcomeUnknown if nobody knows, else ApiError or NoAnswer.
        """
        return self._repeat(_Call(method, path, body, headers, not_done))

    def _repeat(self, call: _Call) -> Answer:
        tries, repeated, renewed = 0, False, False
        while True:
            tries += 1
            answer = self._attempt(call)
            if isinstance(answer, Answer):
                return answer
            error, asked = answer, None
            if isinstance(error, ApiError):
                error.repeated, asked = repeated, error.retry_after
                if not renewed and self._may_renew(error):
                    renewed = True
                    continue
                if not isinstance(error, ApiBusy):
                    raise error
            if call.may_have_landed(error):
                if call.not_done is not None:
                    raise OutcomeUnknown(error.problem, _UNKNOWN) from error
                repeated = True
            if tries >= self._max_attempts or (asked or 0) > LONGEST_ASKED:
                raise error
            time.sleep(pause(tries, asked))

    def _attempt(self, call: _Call) -> Answer | ApiError | NoAnswer:
        """Return what comes of one try."""
        try:
            answer = self.api.call(
                call.method,
                call.path,
                call.body,
                headers=call.headers,
                repeatable=call.not_done is None,
            )
        except NoAnswer as error:
            return error
        if 200 <= answer.status < 300 and answer.is_readable:
            return answer
        return refusal(self.api.url, answer, with_token=self.api.access.uses_token)

    def _may_renew(self, error: ApiError) -> bool:
        """Return whether the gateway has refused credentials, and there are others by now."""
        by_gateway = error.status in (401, 403) and "status" not in error.body
        return by_gateway and self.api.access.renew()
