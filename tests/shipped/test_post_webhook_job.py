"""The job post_webhook: what it makes of a receiver's answers, and when it tries again."""

from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import pytest

from bench import Bench
from job_runners import clock
from job_runners.engine.control import caller_actions
from job_runners.shipped.jobs import post_webhook as module
from job_runners.shipped.webhooks.errors import WebhookFailed
from job_runners.shipped.webhooks.pinned_https import ResponseHead
from job_runners.store import blobs
from job_runners.store.job_request import JobRequest, Status
from webhook_sender import HOST

URL = f"https://{HOST}/in?token=s3cret"
PAYLOAD = {"url": URL, "body": {"type": "tested"}, "secret": "acme/main"}
FAR = "Wed, 21 Oct 99999999999999999999 07:28:00 GMT"
# The example schedule of the Standard Webhooks specification: hours since the first attempt.
SCHEDULE = [0, 0.00139, 0.0847, 0.585, 2.585, 7.585, 17.585, 31.585, 51.585, 75.585]


class Receiver:
    """Answers in the receiver's place."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.answer: Callable[[], ResponseHead] = lambda: ResponseHead(503, None)

    def __call__(self, webhook: Any, event_id: str) -> ResponseHead:
        assert webhook.url == URL
        self.ids.append(event_id)
        return self.answer()


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Receiver:
    receiver = Receiver()
    monkeypatch.setattr(module, "post_event", receiver)
    return receiver


def run_on(bench: Bench, row: JobRequest, *, most: int = 20) -> JobRequest:
    """Run it whenever its time has come, until it has ended."""
    for _ in range(most):
        bench.advance(max(0, (row.run_at or 0) - clock.now()) / clock.SECOND)
        row = bench.run(row)
        if row.status.finished:
            break
    return row


def test_an_event_that_is_taken_is_a_job_that_succeeded(bench: Bench, receiver: Receiver) -> None:
    receiver.answer = lambda: ResponseHead(204, None)
    row = bench.run(bench.dispatch("post_webhook", payload=PAYLOAD))
    assert (row.status, row.queue_name) == (Status.SUCCEEDED, "webhooks")
    assert blobs.get(row.result, row.result_key) == {"status": 204, "attempts": 1}
    assert receiver.ids == [row.id]


def failing() -> ResponseHead:
    raise WebhookFailed(HOST, "did not answer within 15 s")


@pytest.mark.parametrize(
    "answer",
    [
        *(
            lambda status=status: ResponseHead(status, None)
            for status in (302, 400, 404, 429, 500, 504)
        ),
        failing,
    ],
)
def test_attempts_are_spread_over_three_days_as_the_specification_recommends(
    bench: Bench, receiver: Receiver, answer: Callable[[], ResponseHead]
) -> None:
    times: list[int] = []

    def timed() -> ResponseHead:
        times.append(clock.now())
        return answer()

    receiver.answer = timed
    row = run_on(bench, bench.dispatch("post_webhook", payload=PAYLOAD | {"event_id": "evt_1"}))
    assert (row.status, row.error["kind"]) == (Status.FAILED, "WebhookFailed")
    assert "s3cret" not in row.error["message"]
    assert receiver.ids == ["evt_1"] * 10
    hours = [(each - times[0]) / clock.HOUR for each in times]
    assert hours == pytest.approx(SCHEDULE, rel=0.11, abs=0.01)


def test_waits_of_two_jobs_differ(bench: Bench, receiver: Receiver) -> None:
    rows = [bench.run(bench.dispatch("post_webhook", payload=PAYLOAD)) for _ in range(5)]
    waits = {(row.run_at or 0) - (row.updated_at or 0) for row in rows}
    assert len(waits) > 1
    assert all(4_400 <= wait <= 5_600 for wait in waits)


def test_a_receiver_that_is_gone_ends_it(bench: Bench, receiver: Receiver) -> None:
    receiver.answer = lambda: ResponseHead(410, "60")
    row = bench.run(bench.dispatch("post_webhook", payload=PAYLOAD))
    assert (row.status, row.attempt) == (Status.FAILED, 1)
    assert row.error["message"] == (
        f"the webhook at {HOST} answered 410, so it accepts no more events"
    )


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        *(("600", 600), ("1", 5), ("99999999", 24 * 3600), ("99999999999999999999", 24 * 3600)),
        *(("in ten minutes", 600), ("ten minutes ago", 5)),
        ("Wed, 01 Jan 2070 00:00:00 -0000", 24 * 3600),
        *((nonsense, 5) for nonsense in ("soon", "-5", "1.5", "\u00b2", FAR)),
    ],
)
def test_a_receiver_may_ask_for_more_time_up_to_a_day(
    bench: Bench, receiver: Receiver, asked: str, seconds: int
) -> None:
    now = clock.now() / clock.SECOND
    dates = {"in ten minutes": now + 600, "ten minutes ago": now - 600}
    if asked in dates:
        asked = formatdate(dates[asked], usegmt=True)
    receiver.answer = lambda: ResponseHead(503, asked)
    row = bench.run(bench.dispatch("post_webhook", payload=PAYLOAD))
    assert row.status is Status.RETRYABLE
    assert ((row.run_at or 0) - (row.updated_at or 0)) / 1000 == pytest.approx(seconds, rel=0.11)


@pytest.mark.parametrize("secret", ["globex/main", "acme2/main", "main", "acme"])
def test_no_job_signs_with_the_secret_of_another_organisation(
    bench: Bench, receiver: Receiver, secret: str
) -> None:
    row = bench.run(bench.dispatch("post_webhook", payload=PAYLOAD | {"secret": secret}))
    assert (row.status, row.attempt) == (Status.FAILED, 1)
    assert "whose secrets have names like acme/..." in row.error["message"]
    assert receiver.ids == []


def test_an_event_that_was_given_up_can_be_sent_again_manually(
    bench: Bench, receiver: Receiver
) -> None:
    row = run_on(bench, bench.dispatch("post_webhook", payload=PAYLOAD))
    receiver.answer = lambda: ResponseHead(200, None)
    row = bench.run(caller_actions.retry_again(row, bench.send))
    assert row.status is Status.SUCCEEDED
    assert set(receiver.ids) == {row.id}
