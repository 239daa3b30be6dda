"""A stack found by its name, and a file put where its jobs read: both without AWS's SDK."""

import hashlib
import threading
from pathlib import Path
from typing import Any

import pytest

from bad_server import BadServer, answer, hang_up
from job_runners import (
    AccessDenied,
    ApiBusy,
    Client,
    ConfigurationError,
    UploadRefused,
)
from job_runners.client import repeating, uploads
from job_runners.client.errors import InsecureAddress, StackNotFound
from jobs_command import ID, job

NAMESPACE = "http://cloudformation.amazonaws.com/doc/2010-05-15/"


@pytest.fixture(autouse=True)
def local(server: BadServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the server be all of AWS."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setattr(repeating, "_FIRST_WAIT", 0.01)


def described(**outputs: str) -> Any:
    members = "".join(
        f"<member><OutputKey>{name}</OutputKey><OutputValue>{value}</OutputValue></member>"
        for name, value in outputs.items()
    )
    text = (
        f'<DescribeStacksResponse xmlns="{NAMESPACE}"><DescribeStacksResult><Stacks><member>'
        f"<StackName>prod</StackName><Outputs>{members}</Outputs></member></Stacks>"
        "</DescribeStacksResult></DescribeStacksResponse>"
    )
    return answer(200, text.encode())


def error(status: int, code: str, message: str) -> Any:
    text = f'<ErrorResponse xmlns="{NAMESPACE}"><Error><Type>Sender</Type><Code>{code}</Code>'
    return answer(status, f"{text}<Message>{message}</Message></Error></ErrorResponse>".encode())


PROD = described(ApiUrl="https://abc.execute-api.x.amazonaws.com", ApiId="abc", BucketName="files")


def test_a_stack_is_looked_up_once_at_the_first_call(server: BadServer) -> None:
    client = Client(stack="prod & co")
    assert server.seen == []
    server.script = [answer(503), hang_up, error(400, "Throttling", "Rate exceeded"), PROD]
    server.then = answer(200, job("queued"))
    threads = [threading.Thread(target=client.get, args=(ID,)) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    lookups = [each for each in server.seen if each.method == "POST"]
    assert len(lookups) == 4  # three of which failed in passing
    assert lookups[0].body == b"Action=DescribeStacks&StackName=prod%20%26%20co&Version=2010-05-15"
    assert "/eu-west-1/cloudformation/aws4_request" in lookups[0].headers["authorization"]
    [path] = {each.path for each in server.seen if each.method == "GET"}
    assert path == f"/_aws/execute-api/abc/$default/jobs/{ID}"


def test_without_a_local_aws_the_api_is_where_the_output_says(
    server: BadServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from job_runners.client.addresses import endpoint
    from job_runners.client.stack_outputs import api_address

    monkeypatch.delenv("AWS_ENDPOINT_URL")
    assert endpoint("cloudformation", "eu-west-1") == (
        "https://cloudformation.eu-west-1.amazonaws.com",
        False,
    )
    assert endpoint("s3", "cn-north-1")[0] == "https://s3.cn-north-1.amazonaws.com.cn"
    assert api_address({"ApiUrl": "https://a", "ApiId": "a"}, "") == "https://a"


@pytest.mark.parametrize(
    ("behaviour", "kind", "text"),
    [
        (
            error(400, "ValidationError", "Stack with id prod does not exist"),
            StackNotFound,
            "Stack prod doesn't exist in eu-west-1",
        ),
        (described(ApiId="abc"), StackNotFound, "no output 'BucketName'"),
        (
            error(403, "AccessDenied", "not authorized"),
            AccessDenied,
            "DescribeStacks, or pass url=",
        ),
        (error(403, "ExpiredToken", "it is expired"), AccessDenied, "it is expired"),
        (answer(400, b"<html>"), AccessDenied, "answered 400"),
    ],
)
def test_a_stack_that_is_not_found_says_why(
    server: BadServer, behaviour: Any, kind: type[Exception], text: str
) -> None:
    server.then = behaviour
    with pytest.raises(kind, match=text):
        Client(stack="prod").get(ID)


def test_cloudformation_is_asked_as_often_as_the_api(server: BadServer) -> None:
    server.then = answer(503)
    with pytest.raises(ApiBusy):
        Client(stack="prod", max_attempts=2).get(ID)
    assert len(server.seen) == 2


def test_cloudformation_is_not_asked_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDFORMATION", "http://10.0.0.7:4566")
    with pytest.raises(InsecureAddress):
        Client(stack="prod").get(ID)


# --- uploads --------------------------------------------------------------------------------------


def test_a_file_is_put_below_its_organisations_folder(server: BadServer, tmp_path: Path) -> None:
    file = tmp_path / "May list.csv"
    file.write_bytes(b"cell\n" * 100_000)
    server.script = [PROD, answer(503), hang_up, answer(200)]
    client = Client(stack="prod", organization_id="acme")
    assert client.upload(file) == "uploads/acme/May list.csv"
    puts = server.seen[1:]
    assert [each.method for each in puts] == ["PUT"] * 3
    for each in puts:
        assert each.path == "/files/uploads/acme/May%20list.csv"
        assert each.body == file.read_bytes()
        assert each.headers["x-amz-content-sha256"] == hashlib.sha256(each.body).hexdigest()
        assert "/eu-west-1/s3/aws4_request" in each.headers["authorization"]


def test_bytes_are_put_under_the_name_that_they_are_given(server: BadServer) -> None:
    server.then = answer(200)
    client = Client(url=server.url, bucket="files")
    key = client.upload(b"abc", "2026/liste-ü.csv", organization_id="acme")
    assert key == "uploads/acme/2026/liste-ü.csv"
    assert server.seen[0].path == "/files/uploads/acme/2026/liste-%C3%BC.csv"
    assert client.upload(b"", "empty.csv") == "uploads/default/empty.csv"
    assert server.seen[1].body == b""


@pytest.mark.parametrize(
    "name", ["", "../x", "a/../x", "/x", "a//x", "x/", ".", "a\nb", "x" * 1025]
)
def test_no_name_leads_out_of_the_folder(server: BadServer, name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        Client(url=server.url, bucket="files").upload(b"abc", name)
    assert server.seen == []


def test_what_is_missing_for_an_upload_is_said(server: BadServer) -> None:
    with pytest.raises(ConfigurationError, match="bucket="):
        Client(url=server.url).upload(b"abc", "x")
    with pytest.raises(ValueError, match="bytes have no name"):
        Client(url=server.url, bucket="files").upload(b"abc")
    with pytest.raises(ValueError, match="organization_id="):
        Client(url=server.url, bucket="files", token="t").upload(b"abc", "x")
    with pytest.raises(FileNotFoundError):
        Client(url=server.url, bucket="files").upload("/no/such/file")
    assert server.seen == []


def test_what_s3_refuses_is_said(server: BadServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.then = error(403, "AccessDenied", "Access Denied")
    with pytest.raises(UploadRefused, match=r"s3:PutObject on arn:aws:s3:::files/uploads/\*") as it:
        Client(url=server.url, bucket="files").upload(b"abc", "x")
    assert (it.value.status, it.value.code) == (403, "AccessDenied")
    assert len(server.seen) == 1
    monkeypatch.setattr(uploads, "_MAX_SIZE", 2)
    with pytest.raises(UploadRefused, match="aws s3 cp"):
        Client(url=server.url, bucket="files").upload(b"abc", "x")
    assert len(server.seen) == 1


def test_a_bucket_of_aws_is_a_name_of_its_own_unless_that_has_a_dot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    urls = [
        uploads._object_url(bucket, "eu-west-1", "uploads/a/b c")
        for bucket in ("files", "my.files")
    ]
    assert urls == [
        "https://files.s3.eu-west-1.amazonaws.com/uploads/a/b%20c",
        "https://s3.eu-west-1.amazonaws.com/my.files/uploads/a/b%20c",
    ]
