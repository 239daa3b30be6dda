"""The base class of the client. It finds the API of a stack, and calls it."""

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import quote, urlencode

from job_runners.client.addresses import check_url, region_for
from job_runners.client.calls import Calls
from job_runners.client.connections import Response
from job_runners.client.credentials import CredentialFinder, Credentials
from job_runners.client.errors import ApiBusy, ApiError, ConfigurationError, NoAnswer, NotFound
from job_runners.client.from_json import FromJson
from job_runners.client.refusals import error_of_response, retry_after
from job_runners.client.signing import Access, Bearer, Signer

if TYPE_CHECKING:
    from job_runners.client.batch_models import Batch
    from job_runners.client.models import Job
    from job_runners.client.stack_outputs import Outputs

_T = TypeVar("_T")
_Model = TypeVar("_Model", bound=FromJson)
_Polled = TypeVar("_Polled", bound="Job | Batch")
_MAX_OUTAGE = 300.0  # `wait` gives up after this many seconds without a response
_OUTAGE_PAUSE = 5.0  # seconds between two polls while the API doesn't respond
PAGE_SIZE = 100  # the default number of items in a page of a list
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class BaseClient:
    """The base class of Client. It finds the API and makes calls. Programs use Client."""

    def __init__(
        self,
        *,
        stack: str | None = None,
        url: str | None = None,
        token: str | Callable[[], str] | None = None,
        organization_id: str | None = None,
        region: str | None = None,
        credentials: Credentials | Callable[[], Credentials] | None = None,
        bucket: str | None = None,
        timeout: float = 35,
        max_attempts: int = 5,
    ) -> None:
        if stack is None and url is None:
            url = os.environ.get("JOB_RUNNERS_URL") or None
            if url is None:
                stack = os.environ.get("JOB_RUNNERS_STACK") or None
            token = token or os.environ.get("JOB_RUNNERS_TOKEN") or None
        has_stack = stack is not None
        has_url = url is not None
        if has_stack == has_url:
            raise ConfigurationError(
                "The client needs a stack or a url, and not both.",
                'Use Client(stack="prod") or Client(url="https://..."), or set JOB_RUNNERS_URL.',
            )
        self._stack = stack
        self._url = check_url(url) if url else None
        self._token = token
        self._region = region
        self._bucket = bucket
        self._timeout = timeout
        self._max_attempts = max(1, max_attempts)
        if isinstance(credentials, Credentials):
            self._credentials: Callable[[], Credentials] = lambda: credentials
        else:
            self._credentials = credentials or CredentialFinder()
        self._organization = organization_id or (None if token else "default")
        self._lock = Lock()
        self._outputs: Outputs | None = None
        self._calls: Calls | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close idle connections. You can still use the client."""
        if self._calls is not None:
            self._calls.close()

    @property
    def url(self) -> str:
        """The API's URL. Raises ConfigurationError, and the errors of a call to CloudFormation."""
        return self._url or self._stack_outputs().api_url

    # --- internal ---------------------------------------------------------------------------------

    @property
    def _api(self) -> Calls:
        if self._calls is None:
            url = self.url
            calls = Calls(check_url(url), self._access(url), self._timeout, self._max_attempts)
            with self._lock:
                self._calls = self._calls or calls
        return self._calls

    def _access(self, url: str) -> Access:
        if self._token:
            return Bearer(self._token)
        return Signer(self._credentials, self._region or region_for(url))

    def _stack_outputs(self) -> "Outputs":
        """Return the stack's outputs, read from CloudFormation once."""
        from job_runners.client.stack_outputs import find_outputs

        with self._lock:
            if self._outputs is None:
                region = self._region or region_for()
                name = self._stack or ""
                self._outputs = find_outputs(
                    name, region, self._credentials(), self._timeout, self._max_attempts
                )
            return self._outputs

    def _list(
        self,
        path: str,
        items_name: str,
        parameters: Mapping[str, Any],
        parse: Callable[[Any], Any],
        cursor_name: str = "cursor",
    ) -> Iterator[Any]:
        """Yield the parsed items of all pages. Parameters without a value are omitted."""
        query = {name: value for name, value in parameters.items() if value}
        while True:
            # Encode spaces as %20. With +, the signature would not match.
            encoded_query = urlencode(query, quote_via=quote)
            page = self._call("GET", f"{path}?{encoded_query}")
            for item in page[items_name]:
                yield parse(item)
            cursor = page.get(cursor_name)
            if cursor is None:
                return
            query["cursor"] = cursor

    def _get_with_retries(self, get: Callable[[], _T], deadline: float | None) -> _T:
        """Call `get`. If the API doesn't respond, retry for 5 minutes, or until `deadline`."""
        give_up_at = time.monotonic() + _MAX_OUTAGE
        if deadline is not None:
            give_up_at = min(give_up_at, deadline)
        while True:
            try:
                return get()
            except (NoAnswer, ApiBusy):
                if time.monotonic() + _OUTAGE_PAUSE > give_up_at:
                    raise
            time.sleep(_OUTAGE_PAUSE)

    def _poll(
        self,
        get: Callable[[], _Polled],
        timeout: float | None,
        timeout_error: Callable[[_Polled, float], Exception],
    ) -> Iterator[_Polled]:
        """Call `get` as often as the API suggests, and yield each state, until it is finished.

        After `timeout` seconds, raise the error that `timeout_error` returns. If the API doesn't
        respond, retry for five minutes.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            state = self._get_with_retries(get, deadline)
            yield state
            if state.finished:
                return
            pause = state.retry_after or 1.0
            if timeout is not None and deadline is not None:
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    raise timeout_error(state, timeout)
                pause = min(pause, remaining)  # so that there is a last poll at the timeout
            time.sleep(pause)

    def _organization_path(
        self, kind: str, name: str | None, organization_id: str | None, suffix: str = ""
    ) -> str:
        """Return the path and query of an organization's objects, such as its schedules.

        With `name`, return the path and query of the object with this name.
        """
        path = f"/{kind}"
        if name is not None:
            path += f"/{path_segment(name)}"
        path += suffix
        organization = organization_id or self._organization
        if organization:
            path += f"?{urlencode({'organization_id': organization}, quote_via=quote)}"
        return path

    def _delete(self, path: str) -> None:
        """Delete an object. Raises NotFound, unless an earlier attempt of this call deleted it."""
        try:
            self._api.call("DELETE", path)
        except NotFound as error:
            if not error.repeated:
                raise

    def _parse(self, model: type[_Model], response: Response, **more: Any) -> _Model:
        """Return the job or the batch in a response, with the values in the response's headers."""
        replayed = response.headers.get("Idempotent-Replayed") == "true"
        wait = retry_after(response)
        value = self._json_object(response)
        try:
            return model.of(value, retry_after=wait, replayed=replayed, **more)
        except (KeyError, TypeError, ValueError):
            raise self._unexpected_answer(response) from None

    def _call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Make a call, and return the JSON object in its response."""
        return self._json_object(self._api.call(method, path, body))

    def _json_object(self, response: Response) -> dict[str, Any]:
        value = response.json if response.data else None
        if not isinstance(value, dict):
            raise self._unexpected_answer(response)
        return value

    def _unexpected_answer(self, response: Response) -> ApiError:
        return error_of_response(self.url, response, with_token=self._api.access.uses_token)


def path_segment(name: str) -> str:
    """Return a name encoded as one segment of a path.

    Raises ValueError for an empty name, `.` or `..`, which would change the path.
    """
    if name in ("", ".", ".."):
        raise ValueError(f"{name!r} isn't a valid name or id.")
    return quote(name, safe="")


def trace_headers(traceparent: str | None) -> dict[str, str]:
    """Return the header that continues the caller's trace, or no header without a trace.

    Raises ValueError if `traceparent` is invalid.
    """
    if traceparent is None:
        return {}
    if not _TRACEPARENT.fullmatch(traceparent):
        raise ValueError(
            f"traceparent={traceparent!r} isn't in W3C's format: 00-<32 hex digits>-<16>-<2>."
        )
    return {"traceparent": traceparent}
