"""Let the in-memory DynamoDB answer calls to AWS, and moto all others.

There are two ways to answer. A call from one of this project's clients is answered before botocore
builds a request, because that takes only a fifth of the time. If the client is another one, or if a
test listens to botocore's events, botocore builds the request as usual. It is answered at the point
where botocore would send it.

If the in-memory DynamoDB raises Unsupported, moto answers instead.
"""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from itertools import count
from typing import Any, cast
from unittest.mock import patch

from botocore.awsrequest import AWSResponse, HTTPHeaders
from botocore.client import BaseClient
from botocore.signers import RequestSigner
from botocore.validate import ParamValidationDecorator
from moto.core import models
from moto.core.botocore_stubber import BotocoreStubber, MockRawResponse
from moto.core.models import botocore_stubber
from moto.dynamodb.models.utilities import dynamo_json_dump

from job_runners.fake_dynamodb import behind_moto
from job_runners.fake_dynamodb.behind_moto import REGION
from job_runners.fake_dynamodb.checks import Call, RequestRefused
from job_runners.fake_dynamodb.expressions import Unsupported

_ERROR_PREFIX = "com.amazonaws.dynamodb.v20120810#"

# The original methods of moto and botocore, before they are patched.
_ANSWER_BY_MOTO = BotocoreStubber.__call__
_MAKE_API_CALL: Any = BaseClient._make_api_call  # type: ignore[attr-defined] # its stubs lack it
SIGN = RequestSigner.handler

_NO_HEADERS = HTTPHeaders()

Interceptor = Callable[[str, Call], tuple[int, Call]]
"""Takes an operation and its parameters. Returns the status and the body of the answer."""

_interceptor: Interceptor | None = None


@contextmanager
def mocked_aws() -> Iterator[None]:
    """Emulate a new and empty AWS like moto's mock_aws, but with the in-memory DynamoDB.

    For each test, moto would register its 1,300 patterns for the library `requests` again. This
    function has them registered only once.
    """
    is_registered = models.responses_mock.registered()
    methods_to_register = [] if is_registered else models.RESPONSES_METHODS
    with ExitStack() as stack:
        for owner, name, replacement in (
            (models, "RESPONSES_METHODS", methods_to_register),
            (models, "reset_responses_mock", lambda mock: mock.calls.reset()),
            (BotocoreStubber, "__call__", _answer_request),
            (BaseClient, "_make_api_call", _answer_call),
            (RequestSigner, "handler", _sign),
        ):
            stack.enter_context(patch.object(owner, name, replacement))
        stack.enter_context(models.MockAWS())
        yield


def answered(event_name: str, request: Any) -> AWSResponse:
    """Return the response to a request that botocore has built, instead of sending it."""
    return cast(AWSResponse, _answer_request(botocore_stubber, event_name, request))


def call_of(body: bytes) -> Call:
    """Return the parameters in the body of a request to DynamoDB."""
    call: Call = json.loads(body, object_hook=_decode_bytes)
    return call


def answer_to(operation: str, call: Call) -> tuple[int, Call]:
    """Return the status and the body of the answer to a request to DynamoDB. Raises Unsupported."""
    try:
        return 200, behind_moto.database().answer(operation, call)
    except RequestRefused as error:
        is_transaction = error.code == "TransactionCanceledException"
        name = "Message" if is_transaction else "message"
        return 400, {"__type": _ERROR_PREFIX + error.code, name: error.message, **error.more_fields}


def response(status: int, body: Any) -> AWSResponse:
    """Return a response as botocore gets it. The body is JSON, bytes or None."""
    content = b""
    if isinstance(body, bytes):
        content = body
    elif body is not None:
        content = dynamo_json_dump(body).encode()
    return AWSResponse("", status, HTTPHeaders(), MockRawResponse(content))


def _answer_request(stubber: Any, event_name: str, request: Any, **more: Any) -> AWSResponse | None:
    """Answer a request that botocore has built, instead of sending it. Replaces moto's method."""
    _, service, operation = event_name.split(".")
    if service != "dynamodb" or REGION not in request.url or not stubber.enabled:
        return _ANSWER_BY_MOTO(stubber, event_name, request, **more)
    call = call_of(request.body)
    try:
        return response(*answer_to(operation, call))
    except Unsupported:
        with behind_moto.lend_items(operation, call):
            return _ANSWER_BY_MOTO(stubber, event_name, request, **more)


@contextmanager
def intercepted(interceptor: Interceptor) -> Iterator[None]:
    """While the block runs, let a function answer the DynamoDB calls of this project's clients.

    The function may raise the errors that botocore raises when it sends a request. botocore's rules
    decide whether the request is then sent again.
    """
    global _interceptor
    previous = _interceptor
    _interceptor = interceptor
    try:
        yield
    finally:
        _interceptor = previous


def _answer_call(client: Any, operation: str, call: Call) -> Any:
    """Answer a client's call, without building a request if possible. Replaces botocore's method.

    As in botocore, handlers of the events before and after the call run, and an error status
    becomes an exception.
    """
    if not _can_skip_request(client, operation):
        return _MAKE_API_CALL(client, operation, call)
    model = client._service_model.operation_model(operation)
    context = {"client_region": REGION, "client_config": client.meta.config}
    request = Request(client._emit_api_params(call, model, context))
    events = client.meta.events
    _handler, handler_response = events.emit_until_response(
        f"before-call.dynamodb.{operation}", model=model, params=request, context=context
    )
    try:
        http_response, answer = handler_response or _send(client, model, request, context)
    except Unsupported:
        return _MAKE_API_CALL(client, operation, call)
    events.emit(
        f"after-call.dynamodb.{operation}",
        http_response=http_response,
        parsed=answer,
        model=model,
        context=context,
    )
    if http_response.status_code >= 300:
        raise client.exceptions.from_code(answer["Error"]["Code"])(answer, operation)
    return answer


def _send(client: Any, model: Any, request: "Request", context: Call) -> Any:
    """Return the response to a request, and its parsed body.

    If there is an interceptor, it answers, and botocore's own rules decide about retries.
    """
    if _interceptor is None:
        return _parse(*answer_to(model.name, request.call))
    context["retries"] = {"invocation-id": "x"}
    for attempts in count(1):
        outcome: Any = None
        error: Exception | None = None
        try:
            outcome = _parse(*_interceptor(model.name, request.call))
        except Unsupported:
            raise
        except Exception as raised:  # noqa: BLE001 - botocore decides what is repeated
            error = raised
        needs_retry = client._endpoint._needs_retry
        if not needs_retry(attempts, model, {"context": context}, outcome, error):
            break
    if error is not None:
        raise error
    return outcome


def _parse(status: int, body: Call) -> tuple[AWSResponse, Call]:
    """Return a response, and its body in the form in which botocore returns it to callers."""
    answer = dict(body)
    if status >= 300:
        code = answer.pop("__type").rpartition("#")[2]
        message = answer.get("message", answer.get("Message", ""))
        if code == "ValidationException":  # botocore doesn't know the fields of this error
            answer = {}
        answer = {"Error": {"Message": message, "Code": code}, **answer}
    answer["ResponseMetadata"] = {"HTTPStatusCode": status, "RetryAttempts": 0}
    return AWSResponse("", status, _NO_HEADERS, None), answer


def _can_skip_request(client: Any, operation: str) -> bool:
    """Return whether a call can be answered without building a request.

    It can't if the call goes to another service, region or server, if botocore must check its
    parameters, or if a test handles botocore's events for requests.
    """
    meta = client.meta
    if meta.service_model.service_name != "dynamodb" or meta.region_name != REGION:
        return False
    if isinstance(client._serializer, ParamValidationDecorator):
        return False  # botocore must check the parameters
    if "amazonaws" not in meta.endpoint_url:
        return False
    if _interceptor is not None:
        return True
    if not botocore_stubber.enabled:
        return False
    handlers = meta.events._emitter._handlers
    return not any(
        _is_from_test(handler)
        for event in ("before-send", "needs-retry")
        for handler in handlers.prefix_search(f"{event}.dynamodb.{operation}")
    )


@lru_cache
def _is_from_test(handler: Any) -> bool:
    """Return whether a test has registered this handler of an event."""
    module: str = getattr(handler, "__module__", None) or type(handler).__module__
    return not module.startswith(("botocore.", "moto.", "job_runners.aws."))


class Request(dict[str, Any]):
    """A request as event handlers see it. Its body is built only if a handler reads it."""

    def __init__(self, call: Call) -> None:
        self.call = call

    def __missing__(self, key: str) -> bytes:
        if key != "body":
            raise KeyError(key)
        return dynamo_json_dump(self.call).encode()


def _sign(signer: Any, operation_name: Any = None, request: Any = None, **more: Any) -> Any:
    """Sign a request. Skip requests to DynamoDB, because nothing reads their signature."""
    if signer.signing_name != "dynamodb":
        SIGN(signer, operation_name, request, **more)


def _decode_bytes(json_object: Call) -> Call:
    """Decode the base64 text of a binary value. Return any other JSON object as it is."""
    match json_object:
        case {"B": str(text)}:
            return {"B": base64.b64decode(text)}
    return json_object
