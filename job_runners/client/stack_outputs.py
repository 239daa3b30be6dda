"""Read the outputs of a deployed stack with a signed call to CloudFormation, without an SDK."""

from collections.abc import Mapping
from urllib.parse import quote, urlencode

from job_runners.client.addresses import endpoint
from job_runners.client.connections import Connections, Response
from job_runners.client.credentials import Credentials
from job_runners.client.errors import AccessDenied, ApiBusy, JobRunnersError, StackNotFound
from job_runners.client.repeating import send_repeatedly
from job_runners.client.signing import sha256, sign
from job_runners.values import Value

_THROTTLING_CODES = ("Throttling", "RequestLimitExceeded")


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
    response = _describe_stack(name, url, region, credentials, timeout, max_attempts)
    if response.status != 200:
        raise _error(name, region, response)
    outputs = _parse_outputs(response.text)
    try:
        api_url = api_address(outputs, url if is_local else "")
        return Outputs(api_url, outputs["BucketName"])
    except KeyError as missing:
        raise StackNotFound(
            f"Stack {name} in {region} has no output {missing}.",
            "Check that it is a Job Runners stack, that its deploy completed, and that its version "
            "isn't older than the client's.",
        ) from None


def api_address(outputs: Mapping[str, str], endpoint_url: str) -> str:
    """Return the URL of a stack's API. Raises KeyError for a missing output.

    `endpoint_url` is the URL of the AWS emulator that has the stack, or empty for AWS itself. In an
    emulator, the output ApiUrl can't be used, because its host doesn't exist.
    """
    if endpoint_url:
        return f"{endpoint_url}/_aws/execute-api/{outputs['ApiId']}/$default"
    return outputs["ApiUrl"]


def _describe_stack(
    name: str,
    url: str,
    region: str,
    credentials: Credentials,
    timeout: float,
    max_attempts: int,
) -> Response:
    url = f"{url}/"
    parameters = {"Action": "DescribeStacks", "StackName": name, "Version": "2010-05-15"}
    data = urlencode(parameters, quote_via=quote).encode()
    digest = sha256(data)
    unsigned = {"Content-Type": "application/x-www-form-urlencoded"}

    def send() -> Response:
        headers = sign("POST", url, unsigned, digest, credentials, region, "cloudformation")
        return connections.send("POST", url, data, headers)

    with Connections(url, timeout) as connections:
        return send_repeatedly(send, _is_temporary, max_attempts)


def _is_temporary(response: Response) -> bool:
    if response.status != 400:
        return response.status >= 500
    code, _ = parse_error(response)
    return code in _THROTTLING_CODES


def _error(name: str, region: str, response: Response) -> JobRunnersError:
    code, message = parse_error(response)
    if "does not exist" in message:
        return StackNotFound(
            f"Stack {name} doesn't exist in {region} in the account of these credentials.",
            "Check the name and the region (region=, AWS_REGION).",
        )
    text = f"CloudFormation answered {response.status} for stack {name}: {message or code}."
    if _is_temporary(response):
        return ApiBusy(text, "Try again in a moment.", status=response.status)
    hint = "Allow cloudformation:DescribeStacks, or pass url= instead of stack=."
    return AccessDenied(text, hint, status=response.status)


def _parse_outputs(text: str) -> dict[str, str]:
    from xml.etree import ElementTree as Xml

    root = Xml.fromstring(text)  # noqa: S314 - the text is CloudFormation's, over TLS
    outputs = root.iterfind(".//{*}Outputs/{*}member")
    return {
        output.findtext("{*}OutputKey", ""): output.findtext("{*}OutputValue", "")
        for output in outputs
    }


def parse_error(response: Response) -> tuple[str, str]:
    """Return the code and the message of an AWS error in XML, or empty strings if it has none."""
    from xml.etree import ElementTree as Xml

    try:
        root = Xml.fromstring(response.text)  # noqa: S314 - the text is an AWS service's, over TLS
    except Xml.ParseError:
        return "", ""
    code = root.find(".//{*}Code")
    message = root.find(".//{*}Message")
    if code is None or message is None:
        return "", ""
    return code.text or "", message.text or ""
