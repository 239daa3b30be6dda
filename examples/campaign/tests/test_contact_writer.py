"""Contacts reach the table whole, however often it refuses some of them."""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from campaign.contacts import Contact, dynamodb
from campaign.throttled_writer import ContactWriter
from campaign_world import cell, cells
from job_runners.work import Retry, RetryAfter

Put = Callable[..., dict[str, Any]]


def write(count: int, left: Iterable[float] = ()) -> None:
    seconds = iter(left)
    contacts = [
        Contact(
            organization_campaign="default#spring",
            cell=cell(number),
            first_name="Ann",
            last_name="Lee",
        )
        for number in range(count)
    ]
    with ContactWriter(lambda: next(seconds, 900.0)) as writer:
        writer.write(contacts)


def wrapped(
    monkeypatch: pytest.MonkeyPatch, wrap: Callable[[Put, dict[str, Any]], Any]
) -> list[int]:
    """Put `wrap(real, items)` in place of BatchWriteItem. Return the sizes of the batches sent."""
    client, sent = dynamodb(), list[int]()
    real = client.batch_write_item

    def batch_write_item(*, RequestItems: dict[str, Any]) -> Any:  # noqa: N803 - AWS's name
        sent.append(len(RequestItems["contacts"]))
        return wrap(real, RequestItems)

    monkeypatch.setattr(client, "batch_write_item", batch_write_item)
    return sent


def test_items_that_dynamodb_leaves_unprocessed_are_sent_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def take_half(real: Put, items: dict[str, Any]) -> Any:
        puts = items["contacts"]
        taken = (len(puts) + 1) // 2
        real(RequestItems={"contacts": puts[:taken]})
        return {"UnprocessedItems": {"contacts": puts[taken:]} if puts[taken:] else {}}

    sent = wrapped(monkeypatch, take_half)
    write(60)
    assert len(cells()) == 60
    assert sorted(sent, reverse=True)[:4] == [25, 25, 12, 12]


def test_a_batch_that_is_throttled_whole_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    refusals = iter(["ProvisionedThroughputExceededException", "ThrottlingException"])

    def throttle_twice(real: Put, items: dict[str, Any]) -> Any:
        if code := next(refusals, None):
            raise ClientError({"Error": {"Code": code}}, "BatchWriteItem")
        return real(RequestItems=items)

    wrapped(monkeypatch, throttle_twice)
    write(30)
    assert len(cells()) == 30


def test_an_error_that_is_not_about_load_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(real: Put, items: dict[str, Any]) -> Any:
        raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "BatchWriteItem")

    sent = wrapped(monkeypatch, refuse)
    with pytest.raises(ClientError, match="AccessDenied"):
        write(1)
    assert sent == [1]


def test_a_table_that_refuses_until_the_time_is_up_is_left_alone_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent = wrapped(monkeypatch, lambda real, items: {"UnprocessedItems": items})
    with pytest.raises(RetryAfter, match="table is throttled; retry after 30 s"):
        write(1, [900.0, 60.0, 5.0])
    assert sent == [1, 1, 1]


def test_an_interruption_ends_the_threads_and_their_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refused = threading.Event()

    def fail_while_another_waits(real: Put, items: dict[str, Any]) -> Any:
        if len(items["contacts"]) < 25:
            refused.set()
            return {"UnprocessedItems": items}
        assert refused.wait(60)
        raise KeyboardInterrupt  # as a signal would: not an Exception

    wrapped(monkeypatch, fail_while_another_waits)
    monkeypatch.setattr(Retry, "delay", lambda self, attempt: 500.0)
    before, began = threading.active_count(), time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        write(26)
    assert time.monotonic() - began < 60
    assert threading.active_count() == before
