"""What surrounds a run of `job-runners run`: webhooks, tokens, browsers, containers, strangers."""

import json
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from playwright.sync_api import Page, expect

from api_events import request
from job_runners.cli.signing_proxy import signing_proxy
from job_runners.client.signing import Bearer
from job_runners.local.supervisor import signer
from stack_clients import StackApi
from supervised import Run, environment, running, start, until, write_project
from token_issuer import AUDIENCE, token_issuer

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("run services")]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Yield a run whose webhooks may go to this machine."""
    project = write_project(tmp_path_factory.mktemp("services") / "project")
    subscriptions = ["--parameter", "WebhookSubscriptions=true"]
    with running(project, "--loopback-webhooks", *subscriptions) as started:
        yield started


# --- webhooks ---------------------------------------------------------------------------------


@contextmanager
def receiver() -> Iterator[tuple[str, list[Any]]]:
    """Yield the URL of a receiver of webhooks, and what it has got."""
    received: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((json.loads(body), dict(self.headers.items())))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", received
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_webhook_reaches_this_machine(run: Run) -> None:
    with receiver() as (url, received):
        run.client("ssm").put_parameter(
            Name="/local-tests/webhook-secrets/default/mine",
            Value="whsec_" + "QUJD" * 8,
            Type="SecureString",
        )
        body = {"url": url, "secret": "default/mine"}
        answer = run.api.put("/webhooks/mine?organization_id=default", body)
        assert answer.status < 300, answer.text
        job_id = run.dispatch("greet")
        until(lambda: [each for each, _ in received if job_id in json.dumps(each)])
        assert "webhook-signature" in {name.lower() for name in received[0][1]}


def test_a_webhook_reaches_no_other_machine_of_the_network(run: Run) -> None:
    for url in ("http://10.0.0.1/hook", "http://example.com/hook", "https://127.0.0.1/hook"):
        body = {"url": url, "secret": "default/mine"}
        answer = run.api.put("/webhooks/other?organization_id=default", body)
        assert answer.status in (400, 422), answer.text


# --- who may call -----------------------------------------------------------------------------


def status(url: str, method: str = "GET", **headers: str) -> int:
    """Return the status of an unsigned request."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    asked = urllib.request.Request(url, None, named, method=method)
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code


def test_only_open_routes_take_unsigned_requests(run: Run) -> None:
    api, aws = run.stack.api_url, run.stack.endpoint_url
    assert status(f"{api}/health") == 200
    assert status(f"{api}/") == 200
    assert status(f"{api}/answers/none") == 404
    assert status(f"{api}/assets/../jobs") == 404  # the route of files, where there is no such file
    for path in ("/jobs", "/answers/a/b", "/answers/..%2fjobs", "/health/x"):
        assert status(api + path) == 403, path
    for path in ("/", "/jobs", f"/{run.stack.bucket_name}", "/2015-03-31/functions"):
        assert status(aws + path) == 403, path
    assert status(f"{api}/health", Host="evil.example") == 403
    assert status(f"{api}/health", Origin="http://evil.example") == 403
    assert status(f"{api}/health", "POST", Sec_Fetch_Site="cross-site") == 403


def test_a_signature_for_another_service_does_not_open_the_api(run: Run) -> None:
    url = run.client("s3").generate_presigned_url(
        "get_object", {"Bucket": run.stack.bucket_name, "Key": "uploads/none"}
    )
    query = url.partition("?")[2]
    assert status(f"{run.stack.api_url}/jobs?{query}") == 403


def test_tokens_and_their_roles_are_checked(tmp_path: Path) -> None:
    with token_issuer() as issuer:
        parameters = ["--parameter", f"JwtIssuer={issuer.url}"]
        parameters += ["--parameter", f"JwtAudience={AUDIENCE}"]
        with running(write_project(tmp_path / "project"), *parameters) as run:
            url = run.stack.api_url

            def called(token: str, method: str = "get", **more: Any) -> int:
                api = StackApi(url, Bearer(token))
                body = {"job_type": "greet", "organization_id": "acme", "payload": {}}
                if method == "post":
                    return api.post("/jobs", body).status
                return api.get("/jobs?organization_id=acme").status

            mine = {"organization_id": "acme"}
            assert called(issuer.token(roles=["service"]), "post") == 202
            assert called(issuer.token(roles=["operator"], **mine), "post") == 202
            assert called(issuer.token(roles=["viewer"], **mine)) == 200
            assert called(issuer.token(roles=["viewer"], **mine), "post") == 403
            assert called(issuer.token(roles=["operator"], organization_id="other")) in (403, 404)
            assert called(issuer.token()) == 403  # no role
            for wrong in (
                issuer.forged(roles=["service"]),
                issuer.altered(roles=["service"]),
                issuer.unsigned(roles=["service"]),
                issuer.token(roles=["service"], exp=1),
                issuer.token(roles=["service"], aud="another"),
                issuer.token(roles=["service"], iss="http://another"),
                "none.at.all",
                "none",
            ):
                assert called(wrong) == 401
            assert run.api.get("/jobs").status == 401  # signed, as IAM would have it
            assert status(f"{url}/health") == 200


def test_a_token_needs_an_audience(tmp_path: Path) -> None:
    run = start(write_project(tmp_path / "project"), "--parameter", "JwtIssuer=http://127.0.0.1:9")
    assert run.process.wait(60) == 1
    assert "JwtIssuer needs JwtAudience" in run.shown


@pytest.mark.parametrize(
    ("sent", "status_line"),
    [
        (b"nonsense\r\n\r\n", b"400 Bad Request"),
        (b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400 Bad Request"),
        (b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", b"400 Bad Request"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"411 Length Required"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000, b"431 Request Header Fields Too Large"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"403 Forbidden"),
        (b"GET / HTTP/1.1\r\n\r\n", b"403 Forbidden"),
    ],
    ids=["nonsense", "negative", "two lengths", "chunked", "long", "two hosts", "no host"],
)
def test_a_request_that_can_t_be_read_is_refused(run: Run, sent: bytes, status_line: bytes) -> None:
    port = int(run.stack.endpoint_url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(sent)
        assert status_line in connection.recv(4096).partition(b"\r\n")[0]
    assert status(f"{run.stack.api_url}/health") == 200


# --- the dashboard ----------------------------------------------------------------------------


def test_the_dashboard_shows_a_job(run: Run, page: Page) -> None:
    job_id = run.dispatch("greet", {"text": "in a browser"})
    run.reach(job_id)
    with signing_proxy(run.stack.api_url, signer(run.stack)) as url:
        page.goto(f"{url}#/job/{job_id}")
        expect(page.locator("body")).to_contain_text("in a browser")


def test_the_dashboard_of_the_first_screen_is_served(run: Run, page: Page) -> None:
    url = run.shown.partition("Dashboard    ")[2].split()[0]
    page.goto(url)
    expect(page.locator("body")).to_contain_text("greet")


# --- containers -------------------------------------------------------------------------------

INVOKED = """
import json, sys
from job_runners.handlers import api

event = json.loads(sys.argv[1])
print("ANSWER", api.handler(event, None)["body"])
"""


def test_a_function_of_sam_local_runs_jobs_with_the_legacy_runner(run: Run) -> None:
    file = run.project / ".local" / "env.json"
    variables = json.loads(file.read_text())["Parameters"]
    # sam local's containers reach this machine by a name that means itself here.
    here = {n: v.replace("host.docker.internal", "127.0.0.1") for n, v in variables.items()}
    stack = run.stack
    secrets = {"AWS_ACCESS_KEY_ID": stack.aws_access_key_id, "AWS_REGION": stack.region}
    secrets["AWS_SECRET_ACCESS_KEY"] = stack.aws_secret_access_key
    work = {"job_type": "greet", "organization_id": "default", "payload": {"text": "legacy"}}
    event = request("POST", "/jobs", body=work)
    lambda_ = {"AWS_LAMBDA_FUNCTION_NAME": "api", "AWS_SAM_LOCAL": "true"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", INVOKED, json.dumps(event)],
        env=environment(run.project, **here, **secrets, **lambda_, AWS_DEFAULT_REGION="us-east-1"),
        cwd=run.project,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.partition("ANSWER ")[2].splitlines()[0])
    assert run.job(answer["id"])["result"]["text"] == "legacy"


def test_it_listens_where_containers_reach_it(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux has all of 127/8")
    with running(write_project(tmp_path / "project"), "--listen", "127.0.0.2") as run:
        port = run.stack.endpoint_url.rpartition(":")[2]
        assert f"for containers at http://127.0.0.2:{port}" in run.shown
        path = run.stack.api_url.partition(port)[2]
        assert status(f"http://127.0.0.2:{port}{path}/health") == 200
        with pytest.raises(urllib.error.URLError, match="refused"):
            status(f"http://127.0.0.3:{port}{path}/health")


# --- other programs ---------------------------------------------------------------------------


def test_the_client_finds_the_stack_by_its_name(run: Run) -> None:
    code = (
        "from job_runners import Client\n"
        "client = Client()\n"
        "print(client.wait(client.dispatch('greet', {'text': 'client'})).get_result()['text'])\n"
    )
    shown = f'. {run.project / ".local" / "env.sh"} && exec {sys.executable} -P -c "$CODE"'
    variables = environment(run.project, CODE=code)
    done = subprocess.run(
        ["sh", "-c", shown], env=variables, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "client\n", done.stderr


def test_texts_that_jobs_send_are_listed(run: Run) -> None:
    run.client("sns").publish(PhoneNumber="+15550100", Message="hello")
    url = f"{run.stack.endpoint_url}/_local/sms-messages"
    asked = AWSRequest("GET", url)
    keys = Credentials(run.stack.aws_access_key_id, run.stack.aws_secret_access_key)
    SigV4Auth(keys, "execute-api", run.stack.region).add_auth(asked)
    signed = urllib.request.Request(url, headers=dict(asked.headers.items()))
    with urllib.request.urlopen(signed, timeout=30) as answer:
        assert json.load(answer)["sms_messages"] == {"+15550100": ["hello"]}
    assert status(url) == 403
