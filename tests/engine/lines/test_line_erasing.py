"""What erasing an organization does to the lines that its jobs have used."""

import pytest

from bench import Bench
from job_runners.store import line_erasing
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.line_items import WAITING, LineItem
from job_runners.store.lines import partition_key_of
from job_runners.store.used_keys import UsedKey, partition_of_queue
from sample_work import script


def ended(bench: Bench, organization_id: str, queue_name: str, text: str = "a") -> JobRequest:
    """Return a job of the queue that has run, so that its line has its organization's name."""
    row = bench.dispatch(
        "sample_once",
        organization_id=organization_id,
        queue_name=queue_name,
        payload={"text": text},
    )
    assert bench.run(row).status is Status.SUCCEEDED
    return bench.read(row)


def line(queue_name: str, key: str) -> dict[str, LineItem]:
    items = LineItem.query(partition_key_of(queue_name, key), consistent_read=True)
    return {item.sk: item for item in items}


def erase(queue_name: str, key: str) -> int:
    return line_erasing.erase("acme", queue_name, key, "acme")


def uses(queue_name: str, key: str) -> bool:
    partition = partition_of_queue(queue_name)
    found = UsedKey.query(partition, UsedKey.sk == key, consistent_read=True)
    return next(iter(found), None) is not None


@pytest.mark.parametrize(
    ("queue_name", "key"), [("sample_organizations", "acme"), ("sample_campaigns", "acme:a")]
)
def test_a_line_of_the_organization_goes_whole(bench: Bench, queue_name: str, key: str) -> None:
    row = ended(bench, "acme", queue_name)
    assert row.concurrency_key == key
    assert uses(queue_name, key)
    assert erase(queue_name, key) == 1
    assert line(queue_name, key) == {}
    assert not uses(queue_name, key)


def test_a_line_that_only_begins_like_the_organization_stays(bench: Bench) -> None:
    ended(bench, "acme2", "sample_organizations")
    assert erase("sample_organizations", "acme2") == 0
    assert uses("sample_organizations", "acme2")
    assert line("sample_organizations", "acme2")["slot#001"].organization_id == "acme2"


@pytest.mark.parametrize(
    ("queue_name", "key", "sk"),
    [
        ("sample_texts", "a", "slot#001"),
        ("sample_fair", "*", "slot#001"),
        ("sample_paced", "*", "rate"),
    ],
)
def test_its_name_leaves_a_line_of_all(bench: Bench, queue_name: str, key: str, sk: str) -> None:
    ended(bench, "acme", queue_name)
    assert line(queue_name, key)[sk].organization_id == "acme"
    assert erase(queue_name, key) == 1
    item = line(queue_name, key)[sk]
    assert (item.organization_id, item.group, item.holder) == (None, None, None)
    assert uses(queue_name, key)
    assert erase(queue_name, key) == 0


def test_the_name_of_another_stays_in_a_line_of_all(bench: Bench) -> None:
    ended(bench, "other", "sample_fair")
    assert erase("sample_fair", "*") == 0
    item = line("sample_fair", "*")["slot#001"]
    assert (item.organization_id, item.group) == ("other", "other")


def test_a_line_of_the_organization_whose_slot_is_held_stays(bench: Bench) -> None:
    seen: list[int] = []
    script.job = lambda job, payload: seen.append(erase("sample_organizations", "acme"))
    row = bench.dispatch("sample_once", queue_name="sample_organizations")
    assert bench.run(row).status is Status.SUCCEEDED
    assert seen == [0]
    assert uses("sample_organizations", "acme")
    assert line("sample_organizations", "acme")["slot#001"].organization_id == "acme"


def test_a_line_of_the_organization_in_which_a_job_waits_stays_without_its_name(
    bench: Bench,
) -> None:
    ended(bench, "acme", "sample_organizations")
    key = partition_key_of("sample_organizations", "acme")
    LineItem(key, f"{WAITING}#{1:015d}{'a' * 32}", organization_id="acme").save()
    assert erase("sample_organizations", "acme") == 2
    items = line("sample_organizations", "acme").values()
    assert [(item.organization_id, item.group) for item in items] == [(None, None)] * 2


@pytest.mark.parametrize(
    ("queue_name", "key"), [("sample_organizations", "acme"), ("sample_fair", "*")]
)
def test_a_slot_that_a_job_takes_meanwhile_stays(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, queue_name: str, key: str
) -> None:
    ended(bench, "acme", queue_name)
    real = line_erasing._clear_unless_held
    seen: list[int] = []

    def take_first(item: LineItem, *, delete: bool) -> bool:
        script.job = lambda job, payload: seen.append(real(item, delete=delete))
        bench.run(bench.dispatch("sample_once", queue_name=queue_name))
        return bool(seen[0])

    monkeypatch.setattr(line_erasing, "_clear_unless_held", take_first)
    assert erase(queue_name, key) == 0
    assert line(queue_name, key)["slot#001"].organization_id == "acme"


def test_an_item_that_is_gone_meanwhile_does_not_come_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended(bench, "acme", "sample_fair")
    real = line_erasing._clear_unless_held

    def expire_first(item: LineItem, *, delete: bool) -> bool:
        item.delete()
        return real(item, delete=delete)

    monkeypatch.setattr(line_erasing, "_clear_unless_held", expire_first)
    assert erase("sample_fair", "*") == 0
    assert line("sample_fair", "*") == {}
