"""What a transition says when its write was refused.

Was that this very write, whose response was lost and which botocore sent again, or another one?
"""

from collections.abc import Callable
from typing import Any

import pytest
from pynamodb.exceptions import DeleteError, PutError

from bench import Bench
from job_rows import ERROR, claimed, retry, saved, stored
from job_runners import clock
from job_runners.aws import clients
from job_runners.engine.lines import pausing
from job_runners.errors import PreconditionFailed
from job_runners.store import caller_transitions, pauses, queries, steps, transitions
from job_runners.store.job_request import JobRequest, Lane, Status
from job_runners.store.pauses import Kind
from job_runners.store.transitions import Checkpoint, waits
from lost_answers import lose_next_answer
from outage import Outage

Transition = Callable[[JobRequest], Any]

pytestmark = pytest.mark.usefixtures("aws")


def updates() -> list[str]:
    """Return the updates that are made from now on."""
    made: list[str] = []
    clients.client("dynamodb").meta.events.register(
        "before-call.dynamodb.UpdateItem", lambda **_: made.append("UpdateItem")
    )
    return made


def asked_to_stop(row: JobRequest) -> JobRequest:
    return caller_transitions.request_cancel(stored(row)).after


def failed() -> JobRequest:
    return transitions.fail(claimed(), ERROR).after


def sleep(row: JobRequest) -> JobRequest:
    later = clock.now() + clock.HOUR
    return waits.sleep(
        row, "nap", until=later, due_at=later, checkpoint=Checkpoint("here", 40, None)
    ).after


# --- it was this very write -----------------------------------------------------------------------

LOST: dict[str, tuple[Callable[[], JobRequest], Transition, Status]] = {
    "cancel": (saved, lambda row: caller_transitions.cancel(row).after, Status.CANCELED),
    "request_cancel": (
        claimed,
        lambda row: caller_transitions.request_cancel(row).after,
        Status.RUNNING,
    ),
    "requeue": (
        failed,
        lambda row: caller_transitions.requeue(row, max_attempts=1).after,
        Status.QUEUED,
    ),
    "expire": (saved, lambda row: transitions.expire(row, ERROR).after, Status.FAILED),
    "renew": (claimed, lambda row: transitions.renew(row, 5).after, Status.RUNNING),
    "stop": (
        lambda: asked_to_stop(claimed()),
        lambda row: transitions.stop(row).after,
        Status.CANCELED,
    ),
    "release": (claimed, lambda row: transitions.release(row).after, Status.QUEUED),
    "sleep": (claimed, sleep, Status.SCHEDULED),
}


@pytest.mark.parametrize("transition", LOST)
def test_a_transition_whose_response_is_lost_has_succeeded(transition: str) -> None:
    row_of, does, status = LOST[transition]
    row = stored(row_of())
    write = "TransactWriteItems" if transition == "requeue" else "UpdateItem"
    lost = lose_next_answer(write)
    assert does(row).status is status
    assert lost == [write]


def test_a_job_that_stopped_before_it_was_known_that_it_was_asked_to_has_been_asked() -> None:
    row = stored(claimed())
    lose_next_answer("UpdateItem", lambda: transitions.stop(stored(row)).after)
    assert caller_transitions.request_cancel(row).after.status is Status.CANCELED


# --- it was somebody else's -----------------------------------------------------------------------


def test_a_job_that_its_owner_canceled_was_not_expired() -> None:
    seen = stored(saved())
    caller_transitions.cancel(stored(seen))
    with pytest.raises(PreconditionFailed, match="canceled"):
        transitions.expire(seen, ERROR)


def test_a_job_that_a_worker_failed_was_not_expired() -> None:
    seen = stored(saved())
    transitions.fail(claimed(seen), ERROR)
    with pytest.raises(PreconditionFailed, match="failed"):
        transitions.expire(seen, ERROR)


def test_a_lease_that_has_ended_or_is_another_claims_was_not_renewed() -> None:
    row = stored(claimed())
    successor = claimed(retry(stored(row)))
    with pytest.raises(PreconditionFailed, match="running"):
        transitions.renew(row, successor.lease_until or 0)
    seen = stored(successor)
    transitions.succeed(successor, "done")
    with pytest.raises(PreconditionFailed, match="succeeded"):
        transitions.renew(seen, clock.now() + clock.HOUR)


@pytest.mark.parametrize("row_of", [claimed, failed])
def test_a_job_that_runs_or_has_ended_is_not_canceled_in_one_write(
    row_of: Callable[[], JobRequest],
) -> None:
    row = stored(row_of())
    with pytest.raises(PreconditionFailed):
        caller_transitions.cancel(row)
    assert stored(row).status is row.status


def canceled_between_two_invocations(row: JobRequest) -> None:
    caller_transitions.cancel(transitions.end_invocation(row, Checkpoint("here", 40, None)).after)


def succeeded_in_spite_of_it(row: JobRequest) -> None:
    transitions.succeed(asked_to_stop(row), "done")


@pytest.mark.parametrize("happened", [canceled_between_two_invocations, succeeded_in_spite_of_it])
def test_a_job_that_has_ended_otherwise_was_not_asked_to_stop(
    happened: Callable[[JobRequest], None],
) -> None:
    row = stored(claimed())
    happened(stored(row))
    with pytest.raises(PreconditionFailed):
        caller_transitions.request_cancel(row)


def succeeded_meanwhile(row: JobRequest) -> None:
    transitions.succeed(stored(row), "done")


def asked_to_stop_under_another_claim(row: JobRequest) -> None:
    asked_to_stop(claimed(retry(stored(row))))


def stopped_meanwhile(row: JobRequest) -> None:
    transitions.stop(asked_to_stop(row))


def gone(row: JobRequest) -> None:
    row.delete()


@pytest.mark.parametrize(
    "happened", [succeeded_meanwhile, asked_to_stop_under_another_claim, stopped_meanwhile, gone]
)
def test_a_refused_ending_writes_nothing_more_unless_the_owner_has_asked_it_to_stop(
    happened: Callable[[JobRequest], None],
) -> None:
    row = stored(claimed())
    happened(stored(row))
    made = updates()
    with pytest.raises(PreconditionFailed, match=r"^The write 'fail' was refused"):
        transitions.fail(row, ERROR)
    assert len(made) == 1


def test_a_running_job_that_nobody_asked_to_stop_is_not_stopped() -> None:
    row = claimed()
    with pytest.raises(PreconditionFailed):
        transitions.stop(row)
    assert stored(row).status is Status.RUNNING


def test_an_overtaken_worker_does_not_stop_its_successor() -> None:
    overtaken = stored(claimed())
    successor = asked_to_stop(claimed(retry(stored(overtaken))))
    with pytest.raises(PreconditionFailed):
        transitions.stop(overtaken)
    assert stored(successor).status is Status.RUNNING


def test_a_job_that_is_gone_when_it_has_just_been_held_is_gone(bench: Bench) -> None:
    row = bench.dispatch()
    pause = pausing.pause(Kind.JOB_TYPE, row.job_type)
    client = clients.client("dynamodb")
    client.meta.events.register("after-call.dynamodb.TransactWriteItems", lambda **_: row.delete())
    with pytest.raises(PreconditionFailed, match="gone"):
        transitions.hold(bench.read(row), pause, due_at=5)


# --- it was nobody's: AWS did not take the call ---------------------------------------------------


def test_a_delete_that_aws_did_not_take_is_no_refusal(bench: Bench, outage: Outage) -> None:
    row = transitions.succeed(bench.claim(bench.dispatch()), "done").after
    outage.begin("throttled", only="DeleteItem")
    with pytest.raises(DeleteError):
        caller_transitions.delete(row)
    outage.end()
    assert bench.read(row).status is Status.SUCCEEDED


def test_a_pause_that_aws_did_not_delete_is_not_forgotten(bench: Bench, outage: Outage) -> None:
    pauses.pause(Kind.QUEUE, "default")
    ended = pauses.resume(Kind.QUEUE, "default")
    outage.begin("throttled", only="DeleteItem")
    with pytest.raises(DeleteError):
        pauses.forget(ended)


def test_a_step_that_aws_did_not_take_is_not_kept(bench: Bench, outage: Outage) -> None:
    row = bench.claim(bench.dispatch())
    outage.begin("throttled", only="PutItem")
    with pytest.raises(PutError):
        steps.record(row, "once", "result")
    outage.end()
    assert steps.find(row, "once") is None


def test_items_that_dynamodb_had_no_time_to_delete_are_deleted_at_the_next_try(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = bench.claim(bench.dispatch())
    steps.record(row, "once", "result")
    client = clients.client("dynamodb")
    real, busy = client._make_api_call, list[str]()

    def busy_once(operation: str, arguments: Any) -> Any:
        if operation == "BatchWriteItem" and not busy:
            busy.append(operation)
            return {"UnprocessedItems": arguments["RequestItems"]}
        return real(operation, arguments)

    monkeypatch.setattr(client, "_make_api_call", busy_once)
    steps.delete(row)
    assert busy == ["BatchWriteItem"]
    assert steps.find(row, "once") is None


def test_a_step_that_is_gone_when_it_is_looked_up_has_the_result_of_now(bench: Bench) -> None:
    """Its job was deleted in between."""
    row = bench.claim(bench.dispatch())
    steps.record(row, "once", "first")
    client = clients.client("dynamodb")

    def delete(**_: Any) -> None:
        client.meta.events.unregister("before-call.dynamodb.GetItem", delete)
        steps.delete(row)

    client.meta.events.register("before-call.dynamodb.GetItem", delete)
    assert steps.record(row, "once", "second").result == "second"


# --- saving ---------------------------------------------------------------------------------------


def test_a_job_saved_under_a_new_id_needs_no_read_to_know_that_it_was(
    bench: Bench, outage: Outage
) -> None:
    """Whoever asked would be told to ask again, and have two."""
    lose_next_answer("PutItem", lambda: outage.begin("throttled", only="GetItem"))
    row = saved()
    outage.end()
    assert bench.read(row).status is Status.QUEUED


def test_the_place_of_a_job_that_is_gone_when_it_is_looked_up_is_free(bench: Bench) -> None:
    first = bench.dispatch(idempotency_key="k", payload={"number": 1})
    client = clients.client("dynamodb")

    def delete(**_: Any) -> None:
        client.meta.events.unregister("before-call.dynamodb.GetItem", delete)
        first.delete()

    client.meta.events.register("before-call.dynamodb.GetItem", delete)
    bench.advance(0.001)  # in the same millisecond, its created_key would be the same
    second = saved(job_id=first.id)
    assert second.created_key != first.created_key
    assert queries.read(first.id) is not None


# --- nothing is there that is empty ---------------------------------------------------------------


def test_no_request_has_a_null_in_it(bench: Bench) -> None:
    """Conditions ask whether an attribute exists, and one that is NULL does. Nor is a missing one
    equal to NULL, but on moto."""
    nulls: list[bytes] = []

    def look(params: Any, **_: Any) -> None:
        if b'"NULL"' in params["body"]:
            nulls.append(params["body"])

    clients.client("dynamodb").meta.events.register("before-call.dynamodb.*", look)
    pause = pausing.pause(Kind.JOB_TYPE, "sample_again")
    row = transitions.hold(stored(saved()), pause, due_at=5).after
    row = transitions.admit(stored(row)).after
    row = transitions.postpone(row, 5, Lane.PROMPT).after
    row = transitions.checkpoint(bench.claim(row), Checkpoint(None, 40, None)).after
    row = transitions.stop(asked_to_stop(row), checkpoint=Checkpoint(None, 50, None)).after
    row = caller_transitions.requeue(stored(row), max_attempts=1).after
    row = transitions.fail(bench.claim(row), ERROR).after
    large = "".join(map(chr, range(0x4E00, 0x9FFF))) * 5
    row = caller_transitions.requeue(stored(row), max_attempts=1, payload={"text": large}).after
    assert row.payload_key is not None
    row = caller_transitions.requeue(
        caller_transitions.cancel(row).after, max_attempts=1, payload={"number": 2}
    ).after
    transitions.succeed(bench.claim(row), "done")
    assert not nulls
