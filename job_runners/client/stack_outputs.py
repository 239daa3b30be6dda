"""Read the outputs of a deployed stack with one signed call to CloudFormation, without an SDK."""

from collections.abc import Mapping
from typing import NoReturn
from urllib.parse import quote, urlencode

from job_runners.client.addresses import endpoint
from job_runners.client.connections import Connections, Response
from job_runners.client.credentials import Credentials
from job_runners.client.errors import AccessDenied, ApiBusy, StackNotFound
from job_runners.client.repeating import repeated
from job_runners.client.signing import sha256, sign
from job_runners.values import Value

_THROTTLED = ("Throttling", "RequestLimitExceeded")


class Outputs(Value):
    """The outputs of a stack that a client needs."""

    api_url: str
    bucket_name: str


def find_outputs(
    name: str, region: str, credentials: Credentials, timeout: float, max_attempts: int
) -> Outputs:
    """Return the API's URL and the bucket of a stack.

    Raises ConfigurationError, AccessDenied, ApiBusy, NoAnswer.
    """
    url, is_local = endpoint("cloudformation", region)
    response = _describe(name, url, region, credentials, timeout, max_attempts)
    if response.status != 200:
        _raise_error(name, region, response)
    outputs = _parse_outputs(response.text)
    try:
        return Outputs(api_address(outputs, url if is_local else ""), outputs["BucketName"])
    except KeyError as missing:
        raise StackNotFound(
            f"Stack {name} in {region} has no output {missing}.",
            "Check that it is a Job Runners stack, that its deploy completed, and that its version "
            "isn't older than the client's.",
        ) from None


def api_address(outputs: Mapping[str, str], endpoint_url: str) -> str:
    """Return the URL of a stack's API. Raises KeyError for a missing output.

    `endpoint_url` is the URL of the local AWS if the stack is there, and otherwise empty. On a
    local AWS, the host in the output ApiUrl doesn't exist.
    """
    if endpoint_url:
        return f"{endpoint_url}/_aws/execute-api/{outputs['ApiId']}/$default"
    return outputs["ApiUrl"]


def _describe(
    name: str,
    url: str,
    region: str,
    credentials: Credentials,
    timeout: float,
    max_attempts: int,
) -> Response:
    parameters = {"Action": "DescribeStacks", "StackName": name, "Version": "2010-05-15"}
    data = urlencode(parameters, quote_via=quote).encode()
    unsigned = {"Content-Type": "application/x-www-form-urlencoded"}

    def send() -> Response:
        headers = sign(
            "POST", f"{url}/", unsigned, sha256(data), credentials, region, "cloudformation"
        )
        return connections.send("POST", f"{url}/", data, headers)

    with Connections(url, timeout) as connections:
        return repeated(send, _is_temporary, max_attempts)


def _is_temporary(response: Response) -> bool:
    return response.status >= 500 or (
        response.status == 400 and error_of(response)[0] in _THROTTLED
    )


def _raise_error(name: str, region: str, response: Response) -> NoReturn:
    code, message = error_of(response)
    if "does not exist" in message:
        raise StackNotFound(
            f"Stack {name} doesn't exist in {region} in the account of these credentials.",
            "Check the name and the region (region=, AWS_REGION).",
        )
    text = f"CloudFormation answered {response.status} for stack {name}: {message or code}."
    if _is_temporary(response):
        raise ApiBusy(text, "Try again in a moment.", status=response.status)
    hint = "Allow cloudformation:DescribeStacks, or pass url= instead of stack=."
    raise AccessDenied(text, hint, status=response.status)


def _parse_outputs(text: str) -> dict[str, str]:
    from xml.etree import ElementTree as Xml

    root = Xml.fromstring(text)  # noqa: S314 - the text is CloudFormation's, over TLS
    outputs = root.iterfind(".//{*}Outputs/{*}member")
    return {
        output.findtext("{*}OutputKey", ""): output.findtext("{*}OutputValue", "")
        for output in outputs
    }


def error_of(response: Response) -> tuple[str, str]:
    """Return the code and the message of an AWS error in XML, or empty strings."""
    from xml.etree import ElementTree as Xml

    try:
        root = Xml.fromstring(response.text)  # noqa: S314 - the text is an AWS service's, over TLS
    except Xml.ParseError:
        return "", ""
    texts = [
        element.text or ""
        for name in ("Code", "Message")
        for element in root.iter()
        if _has_name(element.tag, name)
    ]
    return (texts[0], texts[1]) if len(texts) == 2 else ("", "")


def _has_name(tag: str, name: str) -> bool:
    return tag.rpartition("}")[2] == name
