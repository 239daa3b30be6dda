"""The local AWS in front of which the guard stands: what gets in, and what a web page can't do."""

import hashlib
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials as BotocoreCredentials
from botocore.exceptions import ClientError
from mypy_boto3_lambda import LambdaClient
from playwright.sync_api import Browser, Page, expect

from browser import ARGUMENTS, Complaints, executable
from emulated_aws.emulator import Emulator, emulator
from emulated_aws.guarded_app import HEALTH
from job_runners.local.run_folder import Credentials
from local_stack import BRIDGE, Enforcing, Local, roomy_home
from stack_clients import session

pytestmark = pytest.mark.e2e

FUNCTIONS = "/2015-03-31/functions"
FUNCTION = {
    "FunctionName": "from-a-page",
    "Runtime": "python3.13",
    "Role": "arn:aws:iam::000000000000:role/any",
    "Handler": "index.handler",
    "Code": {"ZipFile": "UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA=="},
}


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    """Yield a local AWS with nothing in it, listening where containers would reach it too."""
    with roomy_home() as home, emulator(home, addresses=BRIDGE) as running:
        yield running


def functions(aws: Emulator, credentials: Credentials | None = None) -> LambdaClient:
    """Return a client of its Lambda."""
    given = credentials or aws.credentials
    return session(given).client("lambda", endpoint_url=aws.endpoint_url)


def created(aws: Emulator) -> list[str]:
    """Return the names of the functions that are there."""
    return [each["FunctionName"] for each in functions(aws).list_functions()["Functions"]]


@dataclass(frozen=True)
class Answer:
    """What the local AWS answered."""

    status: int
    headers: dict[str, str]
    text: str


def ask(url: str, method: str = "GET", body: Any = None, **headers: str) -> Answer:
    """Ask as any program can."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, named, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return Answer(answer.status, dict(answer.headers), answer.read().decode())
    except urllib.error.HTTPError as refused:
        return Answer(refused.code, dict(refused.headers), refused.read().decode())


def ask_signed(aws: Emulator, path: str, **headers: str) -> Answer:
    """Ask as one who has the credentials."""
    mine = BotocoreCredentials(aws.credentials.access_key_id, aws.credentials.secret_access_key)
    request = AWSRequest("GET", aws.endpoint_url + path)
    SigV4Auth(mine, "lambda", "us-east-1").add_auth(request)
    return ask(aws.endpoint_url + path, **headers, **dict(request.headers.items()))


# --- credentials ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", FUNCTIONS),
        ("POST", FUNCTIONS),
        ("POST", "/"),
        ("PUT", "/bucket"),
        ("POST", "/_ministack/reset"),
        ("GET", "/_ministack/sns/sms-messages"),
        ("GET", "/_ministack/lambda-code/name"),
        ("POST", HEALTH),
        ("GET", "/_aws/execute-api/none/$default/jobs"),
        ("GET", "/_aws/lambda-url/none/"),
        ("GET", "/oauth2/authorize"),
        ("OPTIONS", "/bucket"),
    ],
)
def test_an_unsigned_call_is_refused(aws: Emulator, method: str, path: str) -> None:
    answer = ask(aws.endpoint_url + path, method, {} if method in ("POST", "PUT") else None)
    assert answer.status == 403, answer
    assert "not signed" in answer.text
    assert ".local/env.sh" in answer.text


@pytest.mark.parametrize("key", ["test", "000000000000", "123456789012", "AKIAIOSFODNN7EXAMPLE"])
@pytest.mark.parametrize("service", ["lambda", "s3", "dynamodb", "sts", "sqs", "cloudformation"])
def test_what_anybody_could_sign_is_refused_in_the_words_of_each_service(
    aws: Emulator, service: Any, key: str
) -> None:
    client: Any = session(Credentials(key, "test")).client(service, endpoint_url=aws.endpoint_url)
    call = {
        "lambda": "list_functions",
        "s3": "list_buckets",
        "dynamodb": "list_tables",
        "sts": "get_caller_identity",
        "sqs": "list_queues",
        "cloudformation": "list_stacks",
    }[service]
    with pytest.raises(ClientError) as refused:
        getattr(client, call)()
    error = refused.value.response["Error"]
    assert error["Code"] in ("UnrecognizedClientException", "SignatureDoesNotMatch")
    assert ".local/env.sh" in error["Message"]


def test_a_function_name_and_role_do_not_tell_the_credentials_of_a_function(
    enforcing: Enforcing,
) -> None:
    """Under AUTH=true ministack makes them from those, which are the same in every run."""
    stack = enforcing.stack
    worker = session(stack).client("lambda", endpoint_url=stack.endpoint_url)
    config = worker.get_function_configuration(FunctionName=stack.timer_function_name)
    digest = hashlib.sha256(f"{config['FunctionArn']}:{config['Role']}".encode()).hexdigest()
    guessed = Credentials(
        f"ASIA{digest[:16].upper()}", hashlib.sha256(f"secret:{digest}".encode()).hexdigest()
    )
    enforcing.tick()  # its credentials are made when it starts
    with pytest.raises(ClientError, match="UnrecognizedClient"):
        session(guessed).client("lambda", endpoint_url=stack.endpoint_url).list_functions()


def test_each_run_has_its_own_credentials() -> None:
    first, second = Credentials.random(), Credentials.random()
    assert first.access_key_id != second.access_key_id
    assert first.secret_access_key != second.secret_access_key
    assert first.secret_access_key not in repr(first)


def test_who_signs_gets_in_and_no_page_may_read_the_answer(aws: Emulator) -> None:
    answer = ask_signed(aws, FUNCTIONS)
    assert answer.status == 200
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]


@pytest.mark.skipif(not BRIDGE, reason="containers reach loopback here")
def test_it_is_there_for_containers_too(aws: Emulator) -> None:
    for name, status in (("127.0.0.2", 200), ("host.docker.internal", 200), ("evil.example", 403)):
        url = f"http://127.0.0.2:{aws.port}{HEALTH}"
        assert ask(url, Host=f"{name}:{aws.port}").status == status
    assert ask(f"http://127.0.0.2:{aws.port}{FUNCTIONS}").status == 403


# --- the API's routes -------------------------------------------------------------------------


def test_open_routes_are_open_and_the_others_need_a_signature(local: Local) -> None:
    api, own = local.stack.api_url, f"http://{urlsplit(local.stack.api_url).netloc}"
    for path in ("/health", "/"):
        assert ask(api + path, Origin=own).status == 200
        assert ask(api + path, Sec_Fetch_Site="cross-site").status == 200  # a link that leads there
        assert ask(api + path, Origin="https://evil.example").status == 403
        assert ask(api + path, Host="evil.example").status == 403
    answer = f"{api}/answers/{'0' * 32}"
    for site, status in (("same-origin", 404), ("cross-site", 403)):  # 404 is the function's
        form = ask(answer, "POST", {}, Origin="null", Sec_Fetch_Site=site)  # without a referrer
        assert form.status == status, form.text
    for token in ("", "Bearer abc", "AWS a:b", "Basic YTpi", "AWS4-HMAC-SHA256"):
        given = {"Authorization": token} if token else {}
        assert ask(f"{api}/jobs?organization_id=default", **given).status == 403, token


def test_a_presigned_url_leads_to_its_object_from_a_page_and_nowhere_else(local: Local) -> None:
    stack = local.stack
    version = Config(signature_version="s3v4")
    s3 = session(stack).client("s3", endpoint_url=stack.endpoint_url, config=version)
    s3.put_object(Bucket=stack.bucket_name, Key="uploads/default/presigned", Body=b"text")
    place = {"Bucket": stack.bucket_name, "Key": "uploads/default/presigned"}
    url = s3.generate_presigned_url("get_object", Params=place)
    assert ask(url, Sec_Fetch_Site="same-site").text == "text"
    assert ask(url.replace("presigned?", "other?")).status == 403
    assert ask(url, Origin="https://evil.example").status == 403
    # What its holder adds leads to no other service.
    assert ask(url, X_Amz_Target="DynamoDB_20120810.ListTables").status == 403
    assert ask(url, Content_Type="application/x-www-form-urlencoded").status == 403


def test_routes_that_take_tokens_see_them(enforcing: Enforcing) -> None:
    answer = ask(f"{enforcing.stack.api_url}/jobs", Authorization="Bearer abc")
    assert answer.status == 401  # the authorizer's own word


# --- a web page -------------------------------------------------------------------------------

# What a page did: create a function, which is code that runs on this machine.
CREATE = """
async ([url, body, mode]) => {
    const given = {method: "POST", mode, body, headers: {"Content-Type": "text/plain"}};
    try { return (await fetch(url, given)).status } catch (error) { return "refused" }
}
"""


@pytest.fixture(scope="module")
def another_origin() -> Iterator[str]:
    """Yield a web page of another origin."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<title>Another page</title>")

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("mode", ["cors", "no-cors"])
def test_a_page_of_another_origin_creates_no_function(
    browser: Browser, aws: Emulator, another_origin: str, mode: str
) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(another_origin)
    url = f"{aws.endpoint_url}{FUNCTIONS}"
    said = page.evaluate(CREATE, [url, json.dumps(FUNCTION), mode])
    context.close()
    assert said in ("refused", 0)  # 0 is all that such a page may know
    assert created(aws) == []


def test_a_name_that_was_made_to_lead_here_creates_no_function(
    browser: Browser, aws: Emulator
) -> None:
    """DNS rebinding: to the browser it is one origin."""
    chromium = browser.browser_type.launch(
        executable_path=executable(),
        args=[*ARGUMENTS, "--host-resolver-rules=MAP evil.example 127.0.0.1"],
    )
    page = chromium.new_page()
    own = f"http://evil.example:{aws.port}"
    page.goto(f"{own}{HEALTH}")
    said = page.evaluate(CREATE, [f"{own}{FUNCTIONS}", json.dumps(FUNCTION), "same-origin"])
    chromium.close()
    assert said == 403
    assert created(aws) == []


def test_the_apis_own_page_works_in_a_browser(
    page: Page, complaints: Complaints, local: Local
) -> None:
    complaints.expected.append("403")  # what it asks for jobs is not signed
    page.goto(f"{local.stack.api_url}/")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("accepts only signed requests")
    expect(alert).to_contain_text("Not retrying automatically.")
    assert page.evaluate("async () => (await fetch('health')).status") == 200
