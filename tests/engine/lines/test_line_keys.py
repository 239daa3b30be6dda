"""The keys of queues with limits: which are in use, and who waits under any of them."""

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse, HTTPHeaders
from moto.core.botocore_stubber import MockRawResponse

import sample_work
from bench import Bench
from job_runners import caches, clock
from job_runners.aws import clients
from job_runners.engine.control import caller_actions
from job_runners.engine.lines import pausing, sweeping
from job_runners.engine.running import gates
from job_runners.store import blobs, limits, lines, pauses, transitions, used_keys
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.pauses import Kind
from job_runners.testing.aws import forget
from job_runners.work import Queue
from limited_queue import QUEUE, dispatch, during, held
from noted_keys import note

# --- keys -----------------------------------------------------------------------------------------


def test_a_key_is_listed_once_a_day_when_it_is_used(one_slot: Bench) -> None:
    puts: list[str] = []
    clients.client("dynamodb").meta.events.register(
        "before-call.dynamodb.PutItem", lambda params, **_: puts.append(params["body"].decode())
    )
    for _ in range(3):
        during(one_slot, lambda: None)
    assert used_keys.used_in_queue(QUEUE, 10) == ["*"]
    assert sum("keys#" in put for put in puts) == 1
    one_slot.advance(clock.DAY / 1000)
    during(one_slot, lambda: None)
    assert sum("keys#" in put for put in puts) == 2


def key_puts() -> list[str]:
    """Return a list that fills with the partitions to which keys are noted."""
    puts: list[str] = []

    def seen(params: Any, **_: Any) -> None:
        partition = json.loads(params["body"])["Item"].get("pk", {"S": ""})["S"]
        if partition.startswith("keys"):
            puts.append(partition)

    clients.client("dynamodb").meta.events.register("before-call.dynamodb.PutItem", seen)
    return puts


def test_a_process_lists_a_key_once_a_day_for_organizations_that_take_turns(bench: Bench) -> None:
    """The line only shows the last of them."""
    puts = key_puts()
    for whose in "ABAB":
        bench.run(dispatch(bench, queue_name="sample_texts", organization_id=whose))
    assert sorted(puts) == ["keys#sample_texts", "keys_of#A", "keys_of#B"]


def test_a_key_that_organizations_share_is_listed_once_a_day_for_each(bench: Bench) -> None:
    puts = key_puts()
    lists = ["keys#sample_texts", "keys_of#A", "keys_of#B"]
    for day in (1, 2):
        for whose in "AABB":
            caches.forget_all()  # as in another process
            bench.run(dispatch(bench, queue_name="sample_texts", organization_id=whose))
        assert sorted(puts) == sorted(lists * day)
        bench.advance(clock.DAY / 1000)
    (key,) = used_keys.used_in_queue("sample_texts", 10)
    assert used_keys.used_by_organization("A", "sample_texts", 10) == [key]


def test_a_key_that_is_an_organization_is_not_listed_for_it(bench: Bench) -> None:
    puts = key_puts()
    bench.run(dispatch(bench, queue_name="sample_organizations"))
    assert puts == ["keys#sample_organizations"]


def test_a_process_remembers_a_bounded_number_of_keys(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(used_keys, "_MAX_CACHED", 2)
    for text in "abc":
        bench.run(dispatch(bench, queue_name="sample_texts", payload={"text": text}))
    assert used_keys.used_in_queue("sample_texts", 10) == ["a", "b", "c"]
    assert len(used_keys._last_days) == 2


def test_a_job_that_waits_from_its_arrival_is_listed_for_its_organization(bench: Bench) -> None:
    first = dispatch(bench, queue_name="sample_texts", organization_id="A")
    second = dispatch(bench, queue_name="sample_texts", organization_id="B")
    during(bench, lambda: bench.run(second), first)
    assert len(used_keys.used_by_organization("B", "sample_texts", 10)) == 1


def test_keys_are_not_all_noted_at_midnight() -> None:
    midnight = 20_000 * clock.DAY
    places = [lines.partition_key_of(QUEUE, f"key {number}") for number in range(1000)]
    begun = [
        lines.day_of(place, midnight) > lines.day_of(place, midnight - clock.HOUR)
        for place in places
    ]
    assert 20 < sum(begun) < 70  # a twenty-fourth of them begin a day in an hour


def test_a_start_neither_fails_nor_waits_where_keys_can_t_be_noted(bench: Bench) -> None:
    refused: list[str] = []

    def refuse(request: Any, **_: Any) -> AWSResponse | None:
        if b"keys" not in request.body:
            return None
        refused.append(request.body)
        body = b'{"__type": "x#ProvisionedThroughputExceededException", "message": "too much"}'
        return AWSResponse(request.url, 400, HTTPHeaders(), MockRawResponse(body))

    events = clients.client("dynamodb").meta.events
    events.register_first("before-send.dynamodb.PutItem", refuse)
    row = dispatch(bench, queue_name="sample_texts")
    assert bench.run(row).status is Status.SUCCEEDED
    assert len(refused) == 2  # one note in each list, and no second try
    events.unregister("before-send.dynamodb.PutItem", refuse)
    bench.advance(clock.DAY / 1000)
    bench.run(dispatch(bench, queue_name="sample_texts"))
    assert len(used_keys.used_in_queue("sample_texts", 10)) == 1


def with_limits(monkeypatch: pytest.MonkeyPatch, **queues: Queue) -> None:
    monkeypatch.setattr(sample_work, "QUEUES", queues)
    forget()


def numbered(bench: Bench, **payload: object) -> JobRequest:
    return dispatch(bench, payload=payload)


def test_values_that_the_payload_s_model_takes_for_one_are_one_line(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or else whoever dispatches could have several slots of one account."""
    with_limits(monkeypatch, texts=Queue(slots=1, per="number"))
    values = (5, "5", "05", " 5", "+5", 5.0)
    assert {numbered(bench, number=value).concurrency_key for value in values} == {"5"}
    assert (
        numbered(bench).concurrency_key == numbered(bench, number="1").concurrency_key == "1"
    )  # the default


def test_so_are_those_of_jobs_from_before_there_were_limits_and_of_jobs_retried_manually(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_limits(monkeypatch)
    row = numbered(bench, number="05")
    with_limits(monkeypatch, texts=Queue(slots=1, per="number"))
    assert row.concurrency_key is None
    assert bench.run(row).concurrency_key == "5"
    failing = numbered(bench, number=1)
    caller_actions.cancel(failing)
    caller_actions.retry_again(bench.read(failing), bench.send, {"number": "07"})
    assert bench.run(failing).concurrency_key == "7"


def test_a_job_keeps_the_line_that_it_was_saved_with(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Code from before took values as they were sent."""
    with_limits(monkeypatch, texts=Queue(slots=1, per="number"))
    row = numbered(bench, number="05")
    row.update(actions=[JobRequest.concurrency_key.set("05")])
    assert bench.run(row).concurrency_key == "05"


def test_a_job_whose_payload_its_model_takes_no_more_has_the_line_of_what_was_sent(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_limits(monkeypatch)
    row = numbered(bench, number=1)
    with_limits(monkeypatch, texts=Queue(slots=1, per="number"))
    inline, _ = blobs.put("payloads/x", {"number": "five"})
    row.update(actions=[JobRequest.payload.set(inline)])
    assert gates.line_key(row) == "five"


def test_a_job_that_is_replaced_is_in_the_line_of_the_value_that_its_model_has(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work,unique_sample")
    forget()
    asked = {"job_type": "unique_replace", "queue_name": "sample_texts"}
    default = dispatch(bench, **asked, payload={"lot": "b"})
    first = dispatch(bench, **asked, payload={"lot": "a", "text": "x"})
    assert first.concurrency_key == "x" != default.concurrency_key
    assert dispatch(bench, **asked, payload={"lot": "a"}).concurrency_key == default.concurrency_key
    assert bench.read(first).concurrency_key == default.concurrency_key


# --- sweeps ---------------------------------------------------------------------------------------


BY_CAMPAIGN = "sample_campaigns"  # of the sample work: one slot for each organization and text


def campaign_job(bench: Bench, campaign: str) -> JobRequest:
    return dispatch(bench, queue_name=BY_CAMPAIGN, payload={"text": campaign})


def wait_under_keys(bench: Bench, many: int) -> list[JobRequest]:
    """Have a job wait under each of so many keys, with a slot that is free: the pass was lost."""
    rows = []
    for number in range(many):
        row = campaign_job(bench, f"campaign {number:03d}")
        key = row.concurrency_key or ""
        place, later = lines.partition_key_of(BY_CAMPAIGN, key), clock.now() + clock.DAY
        note(BY_CAMPAIGN, key)
        rows.append(transitions.hold_in_line(row, place, key, group="", due_at=later).after)
    return rows


def test_each_campaign_has_a_slot_of_its_own(bench: Bench) -> None:
    first, same, other = (campaign_job(bench, name) for name in "AAB")
    found: list[Status] = []

    def arrive() -> None:
        found.extend(bench.run(row).status for row in (same, other))

    during(bench, arrive, first)
    assert found == [Status.WAITING, Status.SUCCEEDED]
    assert used_keys.used_in_queue(BY_CAMPAIGN, 10) == ["acme:A", "acme:B"]


def test_wider_limits_admit_who_waits_under_any_key(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As far as one tick comes, and on from there in the next."""
    monkeypatch.setattr(sweeping, "_BATCH_SIZE", 4)
    rows = wait_under_keys(bench, 10)
    limits.put(BY_CAMPAIGN, slots=2, sweep=True)
    bench.tick()
    assert len(bench.sent_jobs) == 4  # at once, as a start
    bench.advance(121)
    bench.tick()
    assert set(bench.sent_jobs) == {row.id for row in rows}
    assert limits.current(fresh=True)[BY_CAMPAIGN].sweep_from is None
    bench.deliver()
    assert {bench.read(row).status for row in rows} == {Status.SUCCEEDED}


def test_a_sweep_that_was_cut_off_goes_on_where_it_was(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "_BATCH_SIZE", 3)
    wait_under_keys(bench, 7)
    limits.put(BY_CAMPAIGN, slots=2, sweep=True)
    bench.advance(121)
    looked: list[str] = []

    def look(queue_name: str, key: str, send: object, *, until: int) -> None:
        looked.append(key)
        if len(looked) == 4:
            bench.advance(60)

    monkeypatch.setattr(sweeping, "admit_waiting", look)
    bench.tick()
    assert len(looked) == 4
    bench.tick()
    assert looked[4:] == looked[3:4] + [f"acme:campaign {n:03d}" for n in range(4, 7)]


def test_a_sweep_that_does_not_come_to_a_key_goes_on_there(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tick has given up on AWS, say, though there is time left."""
    limits.put(BY_CAMPAIGN, slots=1, sweep=True)
    for key in ("acme:A", "acme:B"):
        note(BY_CAMPAIGN, key)
    bench.advance(121)
    counts: list[str] = []

    def some(keys: Iterable[str], call: Callable[[str], None]) -> bool:
        counts.extend(keys)
        return len(counts) > 2

    for _ in range(2):
        sweeping.sweep(bench.send, some, until=clock.now() + clock.MINUTE)
    assert counts == ["acme:A", "acme:B"] * 2
    assert limits.current(fresh=True)[BY_CAMPAIGN].sweep_from is None


def test_a_resumed_queue_admits_who_waits_in_its_lines(bench: Bench) -> None:
    rows = wait_under_keys(bench, 3)
    pausing.pause(Kind.QUEUE, BY_CAMPAIGN)
    pausing.resume(Kind.QUEUE, BY_CAMPAIGN, bench.send)
    assert sorted(bench.sent_jobs) == sorted(row.id for row in rows)


def test_who_ends_just_after_a_resume_has_heard_of_it(one_slot: Bench) -> None:
    """The cache of its process still has the pause."""
    waiting = dispatch(one_slot)

    def pause_and_resume() -> None:
        one_slot.run(waiting)
        pauses.pause(Kind.QUEUE, QUEUE)
        stale = pauses.current(fresh=True)
        pauses.resume(Kind.QUEUE, QUEUE)
        pauses._cache.pauses, pauses._cache.read_at = stale, clock.now()

    during(one_slot, pause_and_resume)
    assert held() == [waiting.id]
