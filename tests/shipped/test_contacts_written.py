"""Contacts reach the table whole, however often it refuses some of them, on moto."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from contacts_table import cells
from job_runners.aws import clients
from job_runners.errors import RetryAfter
from job_runners.shipped.campaigns import throttled_writer
from job_runners.shipped.campaigns.contact import Contact
from job_runners.shipped.campaigns.importing.writer import ContactWriter
from job_runners.work.retry import Retry

pytestmark = pytest.mark.usefixtures("aws")

Put = Callable[..., dict[str, Any]]


def some_contacts(count: int) -> list[Contact]:
    return [
        Contact("acme#spring", f"+1212555{number:04d}", first_name="Ann", last_name="Lee")
        for number in range(count)
    ]


def wrapped(
    monkeypatch: pytest.MonkeyPatch, wrap: Callable[[Put, dict[str, Any]], Any]
) -> list[int]:
    """Put `wrap(real, request)` in the place of BatchWriteItem; the sizes of the batches sent."""
    client = clients.client("dynamodb")
    real = client.batch_write_item
    sent: list[int] = []

    def batch_write_item(*, RequestItems: dict[str, Any]) -> Any:  # noqa: N803 - AWS's name
        sent.append(len(RequestItems["contacts"]))
        return wrap(real, RequestItems)

    monkeypatch.setattr(client, "batch_write_item", batch_write_item)
    monkeypatch.setattr(throttled_writer, "_BACKOFF", Retry(base=0.001, cap=0.002))
    return sent


def test_items_that_dynamodb_leaves_unprocessed_are_sent_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def takes_half(real: Put, items: dict[str, Any]) -> Any:
        puts = items["contacts"]
        taken = (len(puts) + 1) // 2
        real(RequestItems={"contacts": puts[:taken]})
        return {"UnprocessedItems": {"contacts": puts[taken:]} if puts[taken:] else {}}

    sent = wrapped(monkeypatch, takes_half)
    with ContactWriter(lambda: 900.0) as writer:
        writer.write(some_contacts(60))
    assert len(cells()) == 60
    assert sorted(sent, reverse=True)[:4] == [25, 25, 12, 12]


def test_a_batch_that_is_throttled_whole_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    refusals = iter(["ProvisionedThroughputExceededException", "ThrottlingException"])

    def throttled_twice(real: Put, items: dict[str, Any]) -> Any:
        code = next(refusals, None)
        if code:
            raise ClientError({"Error": {"Code": code}}, "BatchWriteItem")
        return real(RequestItems=items)

    wrapped(monkeypatch, throttled_twice)
    with ContactWriter(lambda: 900.0) as writer:
        writer.write(some_contacts(30))
    assert len(cells()) == 30


def test_an_error_that_is_not_about_load_is_not_taken_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(real: Put, items: dict[str, Any]) -> Any:
        raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "BatchWriteItem")

    sent = wrapped(monkeypatch, refused)
    with ContactWriter(lambda: 900.0) as writer, pytest.raises(ClientError, match="AccessDenied"):
        writer.write(some_contacts(1))
    assert sent == [1]


def test_a_table_that_refuses_until_the_time_is_up_is_left_alone_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left = iter([900.0, 60.0, 5.0])

    def refuses(real: Put, items: dict[str, Any]) -> Any:
        return {"UnprocessedItems": items}

    sent = wrapped(monkeypatch, refuses)
    with (
        ContactWriter(lambda: next(left)) as writer,
        pytest.raises(RetryAfter, match="table is throttled; retry after 30 s"),
    ):
        writer.write(some_contacts(1))
    assert sent == [1, 1, 1]


def test_leaving_early_ends_the_threads_and_their_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = threading.Event()

    def fails_while_another_waits(real: Put, items: dict[str, Any]) -> Any:
        if len(items["contacts"]) < 25:
            refused.set()
            return {"UnprocessedItems": items}
        assert refused.wait(60)
        raise KeyboardInterrupt  # as a signal would: not an Exception

    def write() -> None:
        with ContactWriter(lambda: 900.0) as writer:
            writer.write(some_contacts(26))

    wrapped(monkeypatch, fails_while_another_waits)
    monkeypatch.setattr(Retry, "delay", lambda self, attempt: 500.0)
    before = threading.active_count()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        write()
    assert time.monotonic() - began < 60
    assert threading.active_count() == before
