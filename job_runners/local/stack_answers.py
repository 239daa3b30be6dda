"""Handle AWS calls about the local stack itself: CloudFormation and Lambda."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qsl, unquote
from xml.sax.saxutils import escape

from job_runners.fake_dynamodb.behind_moto import ACCOUNT, REGION
from job_runners.local.function_pools import Functions
from job_runners.local.function_settings import FunctionSettings
from job_runners.local.guard import Head
from job_runners.local.services import Response

_JSON = {"Content-Type": "application/json"}


class StackCalls:
    """Handles calls about the local stack and its functions."""

    def __init__(self, settings: FunctionSettings, functions: Functions) -> None:
        self._settings, self._functions = settings, functions
        self._created = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        self._by_name = {settings.physical_name(name): name for name in settings.functions}

    async def respond(self, service: str, head: Head, body: bytes) -> Response | None:
        """Return the response to a call, or None if the call is for another service."""
        if service == "cloudformation":
            return self._cloudformation(dict(parse_qsl(body.decode())))
        if service != "lambda":
            return None
        match head.path.split("/"):
            case ["", _, "functions", name, "invocations"]:
                return await self._invoke(unquote(name), head.headers, body)
        return _not_found(head.path)

    def _function(self, name: str) -> str | None:
        """Find a function by its name or its ARN, which may have an alias."""
        parts = name.split(":")
        is_arn = len(parts) > 6
        return self._by_name.get(parts[6] if is_arn else parts[0])

    async def _invoke(self, name: str, headers: Mapping[str, str], body: bytes) -> Response:
        function = self._function(name)
        if function is None:
            return _not_found(name)
        event = json.loads(body or b"{}")
        if headers.get("x-amz-invocation-type") == "Event":
            self._functions.send(function, event)
            return 202, {}, b""
        reply = await asyncio.ensure_future(self._functions.invoke(function, event))
        if "errorType" in reply:
            return 200, {**_JSON, "X-Amz-Function-Error": "Unhandled"}, json.dumps(reply).encode()
        return 200, _JSON, json.dumps(reply["result"]).encode()

    def _cloudformation(self, call: Mapping[str, str]) -> Response:
        operation, name = call.get("Action", ""), call.get("StackName", "")
        if name not in (self._settings.name, ""):
            return _xml_error("ValidationError", f"Stack with id {name} does not exist")
        if operation == "DescribeStacks":
            outputs = _member_elements(
                {"OutputKey": key, "OutputValue": value}
                for key, value in self._settings.outputs().items()
            )
            stack = {"StackName": self._settings.name, "StackStatus": "CREATE_COMPLETE"}
            stack |= {"CreationTime": self._created, "StackId": self._stack_id}
            text = (
                f"<Stacks><member>{_elements(stack)}<Outputs>{outputs}</Outputs></member></Stacks>"
            )
        elif operation == "ListStackResources":
            resources = _member_elements(
                {
                    "LogicalResourceId": logical,
                    "PhysicalResourceId": physical,
                    "ResourceType": kind,
                    "ResourceStatus": "CREATE_COMPLETE",
                    "LastUpdatedTimestamp": self._created,
                }
                for logical, (kind, physical) in self._settings.resources().items()
            )
            text = f"<StackResourceSummaries>{resources}</StackResourceSummaries>"
        else:
            problem = "The local AWS answers only DescribeStacks and ListStackResources."
            return _xml_error("InvalidAction", problem)
        return _xml(200, f"<{operation}Result>{text}</{operation}Result>", f"{operation}Response")

    @property
    def _stack_id(self) -> str:
        return f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{self._settings.name}/local"


def _elements(values: Mapping[str, str]) -> str:
    return "".join(f"<{name}>{escape(value)}</{name}>" for name, value in values.items())


def _member_elements(members: Iterable[Mapping[str, str]]) -> str:
    return "".join(f"<member>{_elements(member)}</member>" for member in members)


def _xml_error(code: str, problem: str) -> Response:
    text = _elements({"Code": code, "Message": problem})
    return _xml(400, f"<Error>{text}</Error>", "ErrorResponse")


def _xml(status: int, text: str, root: str) -> Response:
    namespace = 'xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"'
    return status, {"Content-Type": "text/xml"}, f"<{root} {namespace}>{text}</{root}>".encode()


def _not_found(name: str) -> Response:
    problem = {"Message": f"The local AWS has no {name}.", "Type": "User"}
    headers = {**_JSON, "X-Amzn-Errortype": "ResourceNotFoundException"}
    return 404, headers, json.dumps(problem).encode()
