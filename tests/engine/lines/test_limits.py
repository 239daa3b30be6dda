"""The limits of a queue: what the code declares, and what was changed while it runs."""

from collections.abc import Mapping
from typing import Any

import pytest
from pynamodb.exceptions import UpdateError

import moto_items
from job_runners import clock
from job_runners.aws import clients
from job_runners.engine.lines.limits import declared_limits, key_of, limits_of
from job_runners.engine.registry.registry import Registry, registry
from job_runners.store import limits
from job_runners.store.limits import Limits
from job_runners.work import Queue, Rate
from outage import Outage

pytestmark = pytest.mark.usefixtures("aws")


@pytest.fixture(autouse=True)
def declared(environment: None, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Queue]:
    queues = {"mailings": Queue(slots=3, per="list", rate=Rate(30, seconds=60), order="fair")}
    found = Registry({}, {}, queues=queues)
    monkeypatch.setattr("job_runners.engine.lines.limits.registry", lambda: found)
    return queues


MAILINGS = Limits(slots=3, per="list", rate=Rate(30, seconds=60), order="fair")


def test_what_ships_leaves_every_other_queue_without_limits() -> None:
    assert not registry().queues.keys() & {"default", "webhooks"}
    assert limits_of("default") is None


def test_a_declared_queue_has_the_limits_of_the_code() -> None:
    assert limits_of("mailings") == declared_limits("mailings") == MAILINGS
    assert key_of("mailings", "acme", {"list": 7}) == "7"
    assert key_of("default", "acme", {"list": 7}) == "*"


def test_what_is_not_changed_stays_the_codes() -> None:
    limits.put("mailings", slots=5, by="service:ops")
    assert limits_of("mailings") == Limits(
        slots=5, per="list", rate=Rate(30, seconds=60), order="fair"
    )
    # A second change takes the place of the first.
    limits.put("mailings", rate=Rate(1, 0.5, burst=2), max_waiting=20)
    assert limits_of("mailings") == Limits(
        slots=3, per="list", rate=Rate(1, 0.5, burst=2), order="fair", max_waiting=20
    )
    limits.reset("mailings")
    assert limits_of("mailings") == MAILINGS


def test_a_queue_that_the_code_does_not_declare_may_have_limits() -> None:
    limits.put("default", max_waiting=5)
    assert limits_of("default") is None  # nobody has to wait in it
    limits.put("default", slots=2)
    assert limits_of("default") == Limits(slots=2)
    limits.reset("default")
    assert limits_of("default") is None


def test_who_changed_it_is_kept() -> None:
    before = clock.now()
    limits.put("default", slots=2, by="service:ops")
    changed = limits.current()["default"]
    assert changed.changed_by == "service:ops"
    assert before <= (changed.changed_at or 0) <= clock.now()
    assert changed.sweep_from is None
    stored = moto_items.stored("coordination", {"pk": {"S": "limits"}, "sk": {"S": "default"}})
    assert set(stored) == {"pk", "sk", "slots", "changed_by", "changed_at"}


def test_a_change_elsewhere_is_in_force_after_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now)
    assert limits_of("mailings") == MAILINGS
    clients.client("dynamodb").put_item(
        TableName="coordination",
        Item={"pk": {"S": "limits"}, "sk": {"S": "mailings"}, "slots": {"N": "1"}},
    )
    now += 9_999
    assert limits_of("mailings") == MAILINGS
    found = limits_of("mailings", fresh=True)
    assert found is not None
    assert found.slots == 1


def test_ten_seconds_on_the_cache_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now)
    reads = []
    client = clients.client("dynamodb")
    client.meta.events.register("before-call.dynamodb.Query", lambda **_: reads.append(1))
    for _ in range(3):
        limits_of("mailings")
    assert len(reads) == 1
    now += 10_000
    limits_of("mailings")
    assert len(reads) == 2


def test_a_sweep_goes_on_from_where_it_was_and_ends() -> None:
    changed = limits.put("mailings", slots=5, sweep=True)
    assert changed.sweep_from == ""
    assert limits.record_sweep_progress(changed, "key-3")
    going_on = limits.current()["mailings"]
    assert going_on.sweep_from == "key-3"
    assert limits.record_sweep_progress(going_on, None)
    ended = limits.current()["mailings"]
    assert (ended.sweep_from, ended.sweep_asked_at, ended.slots) == (None, None, 5)


def test_what_is_there_for_a_sweep_alone_goes_with_it() -> None:
    limits.reset("mailings")
    limits.ask_for_sweep("default")
    assert limits_of("default") is None
    for name in ("mailings", "default"):
        assert limits.current()[name].changes_nothing
        assert limits.record_sweep_progress(limits.current()[name], None)
    assert not limits.current()


@pytest.mark.parametrize(
    "changes", [{"slots": 5}, {"rate": Rate(2, seconds=0.5)}, {"max_waiting": 5}]
)
def test_a_change_of_any_kind_outlives_its_sweep(changes: dict[str, Any]) -> None:
    limits.put("mailings", **changes, sweep=True)
    assert limits.record_sweep_progress(limits.current()["mailings"], None)
    [(name, value)] = changes.items()
    assert getattr(limits.current()["mailings"], name) == value


def test_a_note_that_could_not_be_written_is_an_error(outage: Outage) -> None:
    changed = limits.ask_for_sweep("mailings")
    outage.begin("broken", only="UpdateItem")
    with pytest.raises(UpdateError):
        limits.record_sweep_progress(changed, "key-3")


@pytest.mark.parametrize("up_to", ["key-3", None])
def test_a_sweep_that_is_asked_for_anew_begins_from_the_start(
    up_to: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now)
    before = limits.ask_for_sweep("mailings")
    now += 1
    limits.ask_for_sweep("mailings")
    assert not limits.record_sweep_progress(before, up_to)
    assert limits.current()["mailings"].sweep_from == ""


@pytest.mark.parametrize("up_to", ["key-3", None])
def test_a_change_in_the_middle_of_a_sweep_is_kept(
    up_to: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now)
    before = limits.ask_for_sweep("mailings")
    limits.put("mailings", slots=1)
    assert not limits.record_sweep_progress(before, up_to)
    found = limits.current()["mailings"]
    assert (found.slots, found.sweep_from) == (1, "")
