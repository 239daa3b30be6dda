"""SnapStart's hooks, in this process: what is in a snapshot, and what goes on from one."""

import random
import re
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from botocore.awsrequest import AWSPreparedRequest
from botocore.signers import RequestSigner
from pydantic import BaseModel

from job_runners import clock, settings
from job_runners.aws import clients
from job_runners.building.app_check import SHIPPED
from job_runners.engine.registry.registry import registry
from job_runners.fake_dynamodb.boundary import SIGN
from job_runners.handlers import snapshot
from job_runners.places import ROOT
from job_runners.store import limits, pauses
from job_runners.work import app_settings


def hooks(monkeypatch: pytest.MonkeyPatch, initialized: str) -> dict[str, Any]:
    """Register, where Lambda's own module is there; return what was registered."""
    found: dict[str, Any] = {}
    module = ModuleType("snapshot_restore_py")

    def before(function: Callable[..., None], *given: str) -> None:
        found["before"] = (function, given)

    def after(function: Callable[[], None]) -> None:
        found["after"] = function

    module.__dict__.update(register_before_snapshot=before, register_after_restore=after)
    monkeypatch.setitem(sys.modules, "snapshot_restore_py", module)
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", initialized)
    settings.forget()
    snapshot.register("dynamodb", "s3")
    return found


@pytest.mark.parametrize("initialized", ["", "on-demand", "provisioned-concurrency"])
def test_a_function_that_starts_afresh_has_no_hooks(
    initialized: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hooks(monkeypatch, initialized) == {}


def test_a_snapshot_has_clients_work_and_models_and_no_connection(
    aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered = hooks(monkeypatch, "snap-start")
    assert registered["after"] is snapshot.after_restore
    before, services = registered["before"]
    closed = []
    monkeypatch.setattr(clients, "close_connections", lambda: closed.append(clients.services()))
    before(*services)
    assert closed == [["dynamodb", "s3"]]  # the last thing that it did
    assert all(job.module in sys.modules for job in registry().jobs.values())
    assert all(model.__pydantic_complete__ for model in BaseModel.__subclasses__())


def test_connections_that_are_closed_are_made_anew(aws: None) -> None:
    made = clients.client("dynamodb")
    pool = made._endpoint.http_session._manager.connection_from_url("https://dynamodb.test")
    clients.close_connections()
    session = made._endpoint.http_session
    assert session._manager.connection_from_url("https://dynamodb.test") is not pool
    assert pauses.current() is not None  # and it goes on


def test_after_a_restore_clients_sign_with_the_credentials_of_then(
    aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed: list[str] = []

    def note(request: AWSPreparedRequest, **_: Any) -> None:
        signed.append(str(request.headers["Authorization"]))

    monkeypatch.setattr(RequestSigner, "handler", SIGN)
    clients.renew_credentials()
    made = clients.client("dynamodb")
    made.meta.events.register_first("before-send", note)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "LATER")
    made.get_item(TableName="jobs", Key={"id": {"S": "x"}})
    snapshot.after_restore()
    made.get_item(TableName="jobs", Key={"id": {"S": "x"}})
    assert ["LATER/" in each for each in signed] == [False, True]
    monkeypatch.undo()
    clients.renew_credentials()


def test_after_a_restore_nothing_is_known_from_before(
    aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now)  # the snapshot's clock, as far as it can tell
    pauses.current()
    pauses_read, kept = pauses._cache.read_at, app_settings._cache
    assert pauses_read
    snapshot.after_restore()
    assert pauses._cache.read_at == limits._cache.read_at == 0
    assert app_settings._cache is not kept


def test_two_copies_of_a_snapshot_draw_other_numbers(
    aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = random.getstate()
    drawn = set()
    for _ in range(2):
        random.setstate(state)
        snapshot.after_restore()
        drawn.add(random.random())
    assert len(drawn) == 2


def test_every_cache_is_registered() -> None:
    """A module that keeps an object that changes registers it, unless it isn't read from AWS."""
    other_state = {
        "job_runners/aws/clients.py",
        "job_runners/caches.py",
        "job_runners/engine/telemetry/output.py",  # what this thread prints
        "job_runners/runners/legacy.py",  # the messages that this thread still has to run
    }
    values = r"{}|\[\]|(dict|list|set|(\w+\.)?[A-Z]\w*Dict|deque|defaultdict|_[A-Z]\w+)\(.*\)"
    changing_object = re.compile(
        rf"^(?!__all__)[a-z_][a-z0-9_]*(: .+)? = ({values})(\s*#.*)?$", re.MULTILINE
    )
    files = [path for name in SHIPPED for path in [ROOT / name, *(ROOT / name).rglob("*.py")]]
    not_registered = {
        str(path.relative_to(ROOT))
        for path in files
        if path.is_file()
        and len(changing_object.findall(text := path.read_text())) > text.count("caches.register")
    }
    assert not_registered == other_state
