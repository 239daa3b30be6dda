"""Our session of botocore does for its clients what botocore's own does, and begins with less."""

from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import handlers
from botocore.exceptions import UnknownServiceError
from botocore.hooks import EventAliaser
from botocore.utils import EVENT_ALIASES

from job_runners.aws.session import Session
from job_runners.building.prune import SERVICES as OURS

# What we call, and services whose handlers botocore names in several ways.
SERVICES = (*sorted(OURS), "cognito-identity", "iot-data", "route53", "sagemaker-runtime")
EVERY_EVENT = (
    *("before-parameter-build", "before-call", "request-created", "choose-signer", "before-sign"),
    *("before-parse", "needs-retry", "after-call", "creating-client-class"),
)


def client(session: botocore.session.Session, service: str) -> Any:
    return session.create_client(
        service, region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b"
    )


def heard(client: Any, event: str) -> list[str]:
    """Return what of botocore hears an event of a client, in order."""
    events = client.meta.events
    found = events._emitter._handlers.prefix_search(events._alias_event_name(event))
    return [
        getattr(each, "__qualname__", type(each).__name__)
        for each in found
        if each.__module__.startswith("botocore.")
    ]


def events_of(service_id: str) -> set[str]:
    """Return the names of events of a service that botocore has handlers for."""
    names = [name.split(".") for name, *_ in handlers.BUILTIN_HANDLERS]
    own = {
        ".".join(name).replace("*", "Any")
        for name in names
        if len(name) > 1 and EVENT_ALIASES.get(name[1], name[1]) == service_id
    }
    return own | {f"{name}.{service_id}.Any" for name in EVERY_EVENT}


@pytest.mark.parametrize("service", SERVICES)
def test_the_same_handlers_hear_each_event_of_a_service(service: str) -> None:
    whole, ours = client(botocore.session.get_session(), service), client(Session(), service)
    service_id = ours.meta.service_model.service_id.hyphenize()
    events = events_of(service_id)
    assert {event: heard(ours, event) for event in events} == {
        event: heard(whole, event) for event in events
    }
    assert all(heard(ours, f"{name}.{service_id}.Any") for name in ("before-call", "choose-signer"))


def test_a_client_by_an_older_name_of_its_service_is_made() -> None:
    made = client(Session(), "runtime.sagemaker")
    assert made.meta.service_model.service_name == "sagemaker-runtime"
    with pytest.raises(UnknownServiceError, match="no-such-service"):
        client(Session(), "no-such-service")


def test_a_session_begins_without_the_handlers_of_services_that_it_does_not_call() -> None:
    session = Session()
    dynamodb = client(session, "dynamodb")
    of_s3 = "before-parameter-build.s3.PutObject"
    assert "validate_bucket_name" not in heard(dynamodb, of_s3)
    assert "validate_bucket_name" in heard(client(session, "s3"), of_s3)


@pytest.mark.parametrize("former", EVENT_ALIASES)
def test_an_event_by_a_former_name_of_its_service_is_the_same_event(former: str) -> None:
    whole, ours = botocore.session.get_session(), Session()
    heard: list[str] = []

    def hear(**event: Any) -> None:
        heard.append(event["event_name"])

    for session in (whole, ours):
        session.register(f"ours.{former}", hear)
        events = session.get_component("event_emitter")
        events.emit(f"ours.{EVENT_ALIASES[former]}.Any")
        events.emit(f"ours.{former}.Any")
    assert len(heard) == 4
    assert heard[:2] == heard[2:]


def test_only_events_that_may_have_a_former_name_are_compared_with_all_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[str] = []
    compare = EventAliaser._alias_event_name  # type: ignore[attr-defined] # its stubs lack it

    def noted(self: EventAliaser, event_name: str) -> Any:
        compared.append(event_name)
        return compare(self, event_name)

    session = Session()
    monkeypatch.setattr(EventAliaser, "_alias_event_name", noted)
    events = client(session, "dynamodb").meta.events
    events.emit("ours.dynamodb.PutItem")
    assert compared == []
    events.emit("ours.logs.PutLogEvents")
    assert compared == ["ours.logs.PutLogEvents"]


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a profile to find credentials in, and none in the environment."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "credentials"
    file.write_text("[other]\naws_access_key_id = a-profile's\naws_secret_access_key = secret\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_PROFILE", "other")


@pytest.mark.usefixtures("profile")
def test_credentials_are_those_that_botocore_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    for make in (botocore.session.get_session, Session):
        found: Any = make().get_credentials()
        assert (found.method, found.access_key) == ("shared-credentials-file", "a-profile's")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "the-environment's")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    for make in (botocore.session.get_session, Session):
        found = make().get_credentials()
        assert (found.method, found.access_key) == ("env", "the-environment's")


@pytest.mark.usefixtures("profile")
def test_a_machine_without_credentials_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_PROFILE")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert Session().get_credentials() is None
