"""What a build ships of botocore's data means the same as the whole, for each operation we call."""

import datetime
import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import botocore.auth
import botocore.session
import moto.core.model
import pytest
from botocore import xform_name
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config
from botocore.endpoint_provider import EndpointProvider
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointProviderError,
)
from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, OperationModel, StructureShape
from botocore.regions import EndpointResolver
from moto.core.serialize import get_serializer_class

from app_folders import write_app
from job_runners.aws.session import REDUCED_FOLDER as REDUCED
from job_runners.aws.session import Session
from job_runners.building.build import _dependencies, build
from job_runners.building.prune import OPERATIONS, SERVICES
from job_runners.building.samconfig import Target

BUCKETS: tuple[dict[str, Any], ...] = (
    {"Bucket": "a-bucket"},
    {"Bucket": "a", "ForcePathStyle": True},
    {},
)
# The operations that our code calls.
OURS = {
    **OPERATIONS,
    "events": {"PutEvents"},
    "logs": {"FilterLogEvents"},
    "s3": {
        *("DeleteObject", "DeleteObjects", "GetObject", "HeadObject", "ListObjectsV2"),
        *("AbortMultipartUpload", "CompleteMultipartUpload", "CreateMultipartUpload"),
        *("PutObject", "UploadPart", "CreateSession", "HeadBucket"),
    },
    "sns": {"Publish"},
    "sqs": {"SendMessage"},
    "ssm": {"GetParameter", "GetParametersByPath"},
    "sts": {"AssumeRole", "AssumeRoleWithWebIdentity"},
}
REDUCED_FOLDER = [(service, name) for service in OURS for name in sorted(OURS[service])]
NOW = datetime.datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001 - botocore's own, which has no zone
RANDOM = {"amz-sdk-invocation-id"}
EXAMPLES: dict[str, Any] = {
    "blob": b"bytes",
    "integer": 3,
    "long": 4,
    "float": 0.5,
    "double": 1.5,
    "boolean": True,
    "timestamp": datetime.datetime(2026, 2, 3, tzinfo=datetime.UTC),
}


@cache
def session(*, whole: bool) -> botocore.session.Session:
    """Return a session of what is installed, or the functions' own of what a build ships of it."""
    made = botocore.session.get_session() if whole else Session()
    if not whole:
        built = _dependencies(Target.this_machine()) / "botocore"
        folders = [str(built / REDUCED), str(built / "data")]
        loader = Loader(extra_search_paths=folders, include_default_search_paths=False)
        made.register_component("data_loader", loader)
    return made


@cache
def client(service: str, *, whole: bool) -> Any:
    return session(whole=whole).create_client(
        service,
        region_name="eu-central-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
        config=Config(retries={"total_max_attempts": 1}),
    )


def example(shape: Any, within: tuple[str, ...] = ()) -> Any:
    """Return a value of a shape, with every member that it may have; a shape is not put into
    itself."""
    within = (*within, shape.name)
    if isinstance(shape, StructureShape):
        members = {name: each for name, each in shape.members.items() if each.name not in within}
        if shape.is_tagged_union:
            members = dict(list(members.items())[:1])
        return {name: example(each, within) for name, each in members.items()}
    if isinstance(shape, ListShape):
        return [] if shape.member.name in within else [example(shape.member, within)]
    if isinstance(shape, MapShape):
        names: Any = shape.key
        key = names.enum[0] if names.enum else "a-key"
        return {} if shape.value.name in within else {key: example(shape.value, within)}
    least = shape.metadata.get("min", 0)
    if shape.type_name == "string":
        return shape.enum[0] if shape.enum else "a-text".ljust(least, "x")
    return max(least, EXAMPLES[shape.type_name]) if least else EXAMPLES[shape.type_name]


def outcome(service: str, name: str, answer: Any, *, whole: bool) -> Any:
    """Return the request that a call sends, and what it makes of the answer."""
    calling, sent = client(service, whole=whole), []

    def send(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        body: Any = request.body
        body = body.read() if hasattr(body, "read") else body
        named = {key: value for key, value in request.headers.items() if key not in RANDOM}
        sent.append((request.method, request.url, named, body))
        return response(request, answer)

    taken = client(service, whole=True).meta.service_model.operation_model(name).input_shape
    given = example(taken)
    given.pop("EndpointId", None)  # an endpoint of several regions, whose signature needs the CRT
    calling.meta.events.register_first("before-send", send)
    try:
        found: Any = calling._make_api_call(name, given)
    except ClientError as error:
        found = (type(error).__name__, error.response)
    finally:
        calling.meta.events.unregister("before-send", send)
    return sent, read(found)


class Raw(io.BytesIO):
    """A body as urllib3 hands it on."""

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self.read()


def response(request: AWSPreparedRequest, answer: Any) -> AWSResponse:
    """Return an answer as botocore gets it. Its length is an example too, and not of this body."""
    body = answer["body"] if isinstance(answer["body"], bytes) else str(answer["body"]).encode()
    headers = HTTPHeaders()
    for name, value in answer["headers"].items():
        headers[name] = str(len(body) if name.lower() == "content-length" else value)
    raw: Any = Raw(body)
    return AWSResponse(request.url, answer["status_code"], headers, raw)


def read(found: Any) -> Any:
    """Return an answer with the contents of what it streams."""
    if isinstance(found, dict):
        return {name: read(each) for name, each in found.items()}
    if isinstance(found, list | tuple):
        return [read(each) for each in found]
    return found.read() if hasattr(found, "read") else found


def answer_to(operation: OperationModel, result: Any) -> Any:
    """Return a response that says this, as the service would."""
    service: Any = operation.service_model
    described = moto.core.model.ServiceModel(service._service_description, service.service_name)
    serializer = get_serializer_class(service.service_name, service.resolved_protocol)
    return serializer(described.operation_model(operation.name)).serialize(result)


def same(service: str, name: str, answer: Any) -> Any:
    """Return what a call does with this answer, which is the same with the whole data."""
    shipped = outcome(service, name, answer, whole=False)
    assert shipped == outcome(service, name, answer, whole=True)
    return shipped


@pytest.fixture(autouse=True)
def _standing_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sign all requests at one time."""
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: NOW)


@pytest.mark.parametrize(("service", "name"), REDUCED_FOLDER)
def test_a_call_sends_and_reads_what_it_would_with_the_whole_data(service: str, name: str) -> None:
    operation = client(service, whole=True).meta.service_model.operation_model(name)
    result = example(operation.output_shape) if operation.output_shape else {}
    (request,), found = same(service, name, answer_to(operation, result))
    assert request
    assert found["ResponseMetadata"]["HTTPStatusCode"] < 300
    missing = set(operation.output_shape.members if operation.output_shape else ()) - set(found)
    assert not missing  # or this would compare two that read nothing


@pytest.mark.parametrize(("service", "name"), REDUCED_FOLDER)
def test_an_error_is_read_as_with_the_whole_data(service: str, name: str) -> None:
    operation = client(service, whole=True).meta.service_model.operation_model(name)
    assert {shape.name for shape in operation.error_shapes} <= {
        shape.name for shape in shipped_model(service).error_shapes
    }
    for shape in operation.error_shapes:
        raised = type(shape.name, (Exception,), example(shape))()
        _, (kind, response) = same(service, name, answer_to(operation, raised))
        assert kind in {shape.name, "ClientError"}
        assert response["Error"]["Code"]


def shipped_model(service: str) -> Any:
    return client(service, whole=False).meta.service_model


@pytest.mark.parametrize("service", OURS)
def test_a_client_has_the_exceptions_pages_and_waiters_of_what_is_called(service: str) -> None:
    whole, shipped = (client(service, whole=each) for each in (True, False))
    errors = [shape.name for shape in whole.meta.service_model.error_shapes]
    assert [shape.name for shape in shipped.meta.service_model.error_shapes] == errors
    for name in OURS[service]:
        method = xform_name(name)
        assert shipped.can_paginate(method) == whole.can_paginate(method)
        if whole.can_paginate(method):
            pages = [each.get_paginator(method)._pagination_cfg for each in (whole, shipped)]
            assert pages[0] == pages[1]
    assert set(shipped.waiter_names) <= set(whole.waiter_names)


def places(service: str) -> list[tuple[str | None, bool, bool]]:
    """Return every region there is, one that is to come and none, each with FIPS and dual stack."""
    data = session(whole=True).get_component("data_loader").load_data("endpoints")
    known = {region for each in data["partitions"] for region in each["regions"]}
    for each in data["partitions"]:
        known |= set(each["services"].get(service, {}).get("endpoints", {}))
    regions = [*sorted(known), "eu-new-9", "us-gov-new-9"]
    return [(*each,) for each in product(regions, (False, True), (False, True))]


@pytest.mark.parametrize("service", OURS)
def test_the_endpoint_of_every_region_is_the_same(service: str) -> None:
    names, rules = zip(*(resolvers(service, whole=each) for each in (True, False)), strict=True)
    found = 0
    for region, fips, dual_stack in places(service):
        wanted = {"use_fips_endpoint": fips, "use_dualstack_endpoint": dual_stack}
        of_names = [endpoint(each.construct_endpoint, service, region, **wanted) for each in names]
        assert of_names[0] == of_names[1]
        asked = {"Region": region, "UseFIPS": fips, "UseDualStack": dual_stack}
        for more in BUCKETS if service == "s3" else ({},):
            of_rules = [endpoint(each.resolve_endpoint, **asked, **more) for each in rules]
            assert of_rules[0] == of_rules[1]
            found += hasattr(of_rules[0], "url")
    assert found > 100


def endpoint(resolve: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """Return an endpoint, or why there is none."""
    try:
        return resolve(*given, **named)
    except (BotoCoreError, EndpointProviderError) as error:
        return str(error)


def resolvers(service: str, *, whole: bool) -> tuple[EndpointResolver, EndpointProvider]:
    """Return what finds endpoints by name, and what finds them by a service's rules."""
    loader = session(whole=whole).get_component("data_loader")
    rules = loader.load_service_model(service, "endpoint-rule-set-1")
    provider = EndpointProvider(rules, loader.load_data("partitions"))
    return EndpointResolver(loader.load_data("endpoints")), provider


CODE = """\
from botocore.session import get_session

from job_runners.aws.clients import client

TASKS = {}


def send():
    get_session().create_client("sesv2")
    client(service_name = 'secretsmanager')
    client("no-service")
"""
# What the functions can call, in a process that has nothing but the tree.
_RUN = """
import sys
sys.path.insert(0, sys.argv[1])
from job_runners.aws.clients import client

reduced = client("dynamodb")
assert set(reduced.meta.method_to_api_mapping) == {
    "batch_get_item", "batch_write_item", "delete_item", "get_item", "put_item", "query",
    "transact_write_items", "update_item", "describe_endpoints",
}, reduced.meta.method_to_api_mapping
assert reduced.can_paginate("scan") and reduced.get_waiter("table_exists")
assert reduced.scan.__self__ is client("dynamodb") is not reduced
assert reduced.generate_presigned_url("list_tables").startswith("https")
for service, method in (
    ("lambda", "list_functions"), ("s3", "list_buckets"), ("sqs", "purge_queue"),
    ("sesv2", "send_email"), ("secretsmanager", "get_secret_value"), ("batch", "submit_job"),
):
    assert callable(getattr(client(service), method))
assert not hasattr(client("dynamodb"), "no_operation")
client("ses")
"""


def test_every_operation_of_the_services_that_the_code_calls_works(tmp_path: Path) -> None:
    """And of those in app.toml. For another service, the error says what to do."""
    files = {"acme/__init__.py": CODE, "acme/lists.py": "", "app.toml": 'services = ["batch"]\n'}
    app = write_app(tmp_path / "app", files)
    build(Target.this_machine(), tmp_path / "tree", app)
    shown = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _RUN, str(tmp_path / "tree")],
        env={
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.stderr.splitlines()[-1] == (
        "job_runners.aws.clients.UnknownService: The functions can't call the AWS service 'ses', "
        "because the build left it out. Check the name, or add it to app.toml: services = "
        '["ses"]'
    ), shown.stderr


def test_every_service_that_is_kept_is_called() -> None:
    assert set(OURS) == SERVICES
