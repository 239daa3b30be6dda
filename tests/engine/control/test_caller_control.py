"""What an owner may do with a job: cancel it, have it done again, delete it."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from bench import Bench
from job_runners import clock, settings
from job_runners.aws import bucket, clients
from job_runners.engine.control import caller_actions
from job_runners.errors import InvalidPayload, MissingObject, PreconditionFailed, WrongState
from job_runners.store import (
    blobs,
    caller_transitions,
    conditional_write,
    queries,
    steps,
    transitions,
)
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.transitions import Checkpoint
from job_runners.testing.plain_clients import full_client
from sample_work import script


def fails(job: object, payload: object) -> None:
    raise ValueError("no luck")


def failed(bench: Bench, **fields: Any) -> JobRequest:
    script.job = fails
    return bench.run(bench.dispatch("sample_once", **fields))


# --- cancel ---------------------------------------------------------------------------------------


def test_a_waiting_job_is_canceled_at_once_and_never_starts(bench: Bench) -> None:
    row = caller_actions.cancel(bench.dispatch())
    assert (row.status, row.due_at, row.finished_at is None) == (Status.CANCELED, None, False)
    assert bench.run(row).status is Status.CANCELED
    assert not script.jobs_run


def test_a_scheduled_and_a_retryable_job_are_canceled_at_once(bench: Bench) -> None:
    script.job = fails
    retryable = bench.run(bench.dispatch())
    assert retryable.status is Status.RETRYABLE
    for row in (retryable, bench.dispatch(delay=100)):
        assert caller_actions.cancel(row).status is Status.CANCELED


def test_a_running_job_is_asked_and_stops_at_its_next_written_checkpoint(bench: Bench) -> None:
    def work(job: Any, payload: object) -> None:
        job.checkpoint("one", progress=10)
        assert caller_actions.cancel(bench.read(job.id)).status is Status.RUNNING
        bench.advance(6)
        job.checkpoint("two", progress=20, message="two of three")
        raise AssertionError("it went on")

    script.job = work
    row = bench.run(bench.dispatch())
    assert (row.status, row.cursor, row.progress) == (Status.CANCELED, "two", 20)
    assert row.error is None
    assert row.result_message == "two of three"


def test_a_job_that_ends_before_it_hears_of_the_cancel_has_succeeded(bench: Bench) -> None:
    def work(job: Any, payload: object) -> str:
        caller_actions.cancel(bench.read(job.id))
        return "done"

    script.job = work
    assert bench.run(bench.dispatch()).status is Status.SUCCEEDED


def test_a_canceled_job_gets_no_other_attempt(bench: Bench) -> None:
    def work(job: Any, payload: object) -> None:
        caller_actions.cancel(bench.read(job.id))
        raise ValueError("no luck")

    script.job = work
    row = bench.run(bench.dispatch())
    assert (row.status, row.error["kind"]) == (Status.CANCELED, "ValueError")
    assert not bench.sent


def test_a_canceled_job_gets_no_other_invocation(bench: Bench) -> None:
    row = bench.claim(bench.dispatch())
    caller_actions.cancel(row)
    ended = transitions.end_invocation(row, Checkpoint("here", 40, None)).after
    assert (ended.status, ended.cursor) == (Status.CANCELED, "here")


def test_a_canceled_job_whose_worker_dies_is_canceled_by_the_rescue(bench: Bench) -> None:
    row = bench.claim(bench.dispatch("sample_once"), seconds=10)
    caller_actions.cancel(row)
    bench.advance(120)
    bench.tick()
    row = bench.read(row)
    assert (row.status, row.error["kind"]) == (Status.CANCELED, "Interrupted")


def test_a_cancel_costs_the_happy_path_no_read(bench: Bench) -> None:
    """The flag comes with the response of the checkpoint's own write."""
    row = bench.claim(bench.dispatch())
    reads: list[str] = []
    caller_actions.cancel(row)
    clients.client("dynamodb").meta.events.register(
        "before-call.dynamodb.GetItem", lambda **_: reads.append("read")
    )
    assert transitions.checkpoint(row, Checkpoint("one", 1, None)).after.cancel_requested
    assert not reads


@pytest.mark.parametrize("job_type", ["sample_once", "sample_again"])
def test_a_canceled_job_that_fails_is_canceled_and_keeps_its_error(
    bench: Bench, job_type: str
) -> None:
    def work(job: Any, payload: object) -> None:
        caller_actions.cancel(bench.read(job.id))
        raise ValueError("no luck")

    script.job = work
    row = bench.run(bench.dispatch(job_type))
    assert (row.status, row.error["kind"]) == (Status.CANCELED, "ValueError")
    assert not queries.page("acme", limit=10, status=Status.FAILED).jobs


def test_a_canceled_job_that_fails_keeps_its_last_checkpoint(still: Bench) -> None:
    def fail(job: Any, payload: object) -> None:
        job.checkpoint(1)
        job.checkpoint(2, message="two")  # too soon to be written
        caller_actions.cancel(still.read(job.id))
        raise ValueError("no luck")

    script.job = fail
    canceled = still.run(still.dispatch())
    assert (canceled.status, canceled.cursor) == (Status.CANCELED, 2)
    assert canceled.result_message == "two"


def test_a_job_that_ended_well_meanwhile_is_not_said_to_be_canceled(bench: Bench) -> None:
    row = bench.claim(bench.dispatch())
    seen = bench.read(row)
    caller_actions.cancel(seen)
    transitions.succeed(row, "done")
    with pytest.raises(WrongState, match="is succeeded"):
        caller_actions.cancel(bench.read(seen))
    seen.status = Status.RUNNING  # as another owner had read it
    with pytest.raises(WrongState, match="is succeeded"):
        caller_actions.cancel(seen)


def test_canceling_twice_is_no_error_and_canceling_what_has_ended_is(bench: Bench) -> None:
    row = caller_actions.cancel(bench.dispatch())
    assert caller_actions.cancel(row).status is Status.CANCELED
    with pytest.raises(WrongState, match=r"is succeeded\. Only a job that has not ended"):
        caller_actions.cancel(bench.run(bench.dispatch()))


def test_a_job_that_is_deleted_while_it_is_being_canceled_is_gone(bench: Bench) -> None:
    row = bench.dispatch()
    bench.read(row).delete()
    with pytest.raises(PreconditionFailed, match="gone"):
        caller_actions.cancel(row)


def test_a_job_that_starts_while_it_is_being_canceled_is_asked_to_stop(bench: Bench) -> None:
    seen = bench.dispatch()
    bench.claim(seen)
    row = caller_actions.cancel(seen)
    assert (row.status, row.cancel_requested) == (Status.RUNNING, True)


@pytest.mark.parametrize("transition", ["cancel", "request_cancel", "requeue", "delete"])
def test_no_transition_of_an_owner_holds_for_another_organisation(
    bench: Bench, transition: str
) -> None:
    row = bench.dispatch()
    if transition == "request_cancel":
        bench.claim(row)
    elif transition != "cancel":
        row = caller_actions.cancel(row)
    row.organization_id = "other"
    more = {"max_attempts": 1} if transition == "requeue" else {}
    with pytest.raises(PreconditionFailed):
        getattr(caller_transitions, transition)(row, **more)


# --- manual retry --------------------------------------------------------------------------------


def test_a_failed_job_is_done_again_with_all_its_attempts_and_invocations(bench: Bench) -> None:
    row = caller_actions.retry_again(failed(bench), bench.send)
    assert (row.status, row.attempt, row.invocations) == (Status.QUEUED, 1, 0)
    assert clock.now() < (row.due_at or 0) <= clock.now() + conditional_write.GRACE
    for name in ("error", "finished_at", "expires_at", "claim_token", "failed_key"):
        assert getattr(bench.read(row), name) is None, name
    assert not queries.page("acme", limit=10, status=Status.FAILED).jobs
    script.job = lambda job, payload: "done"
    assert bench.deliver() == 1
    assert bench.read(row).status is Status.SUCCEEDED


def test_a_job_done_again_is_tried_again_where_its_type_says_so(bench: Bench) -> None:
    script.job = fails
    row = caller_actions.cancel(bench.dispatch("sample_again"))
    row = caller_actions.retry_again(row, bench.send)
    assert [bench.run(row).status, row.max_attempts] == [Status.RETRYABLE, 3]


def test_a_job_done_again_resumes_at_its_cursor_and_with_another_payload_begins_anew(
    bench: Bench,
) -> None:
    def work(job: Any, payload: Any) -> None:
        seen.append((job.cursor, payload.number))
        job.checkpoint("half way", progress=50)
        raise ValueError("no luck")

    seen: list[tuple[Any, int]] = []
    script.job = work
    row = bench.run(bench.dispatch("sample_once"))
    row = bench.run(caller_actions.retry_again(row, bench.send))
    row = bench.run(caller_actions.retry_again(row, bench.send, {"number": 2}))
    assert seen == [(None, 1), ("half way", 1), (None, 2)]


def test_a_job_done_again_with_the_payload_it_had_resumes(bench: Bench) -> None:
    def work(job: Any, payload: object) -> None:
        seen.append(job.cursor)
        job.checkpoint("half way", progress=50)
        raise ValueError("no luck")

    seen: list[Any] = []
    script.job = work
    payload = {"number": 1, "text": _incompressible()}
    row = bench.run(bench.dispatch("sample_once", payload=payload))
    same = dict(reversed(payload.items()))
    row = bench.run(caller_actions.retry_again(row, bench.send, same))
    assert seen == [None, "half way"]
    bench.run(caller_actions.retry_again(row, bench.send, {**payload, "number": True}))
    assert seen == [None, "half way", None]


def test_a_payload_that_is_gone_can_be_given_anew(bench: Bench) -> None:
    row = caller_actions.cancel(bench.dispatch(payload={"text": _incompressible()}))
    bucket.delete_all(f"payloads/{row.created_key}")
    row = bench.run(caller_actions.retry_again(row, bench.send, {"text": _incompressible()}))
    assert row.status is Status.SUCCEEDED


def test_of_two_people_who_retry_with_different_payloads_one_is_refused(bench: Bench) -> None:
    row = failed(bench)
    seen = bench.read(row)
    caller_actions.retry_again(row, bench.send, {"number": 2})
    with pytest.raises(PreconditionFailed, match="queued"):
        caller_actions.retry_again(seen, bench.send, {"number": 3})


def test_a_payload_that_does_not_fit_changes_nothing(bench: Bench) -> None:
    row = failed(bench)
    with pytest.raises(InvalidPayload):
        caller_actions.retry_again(row, bench.send, {"number": "many"})
    assert bench.read(row).status is Status.FAILED
    assert not bench.sent


def test_a_payload_that_is_gone_is_said_and_the_job_stays_failed(bench: Bench) -> None:
    large = bench.dispatch(payload={"text": _incompressible()})
    assert large.payload_key
    row = caller_actions.cancel(large)
    bucket.delete_all(f"payloads/{row.created_key}")
    with pytest.raises(MissingObject):
        caller_actions.retry_again(row, bench.send)
    assert bench.read(row).status is Status.CANCELED


def test_only_failed_and_canceled_jobs_are_done_again(bench: Bench) -> None:
    with pytest.raises(WrongState, match="is queued"):
        caller_actions.retry_again(bench.dispatch(), bench.send)
    with pytest.raises(WrongState, match="is succeeded"):
        caller_actions.retry_again(bench.run(bench.dispatch()), bench.send)


def test_a_retry_whose_response_was_lost_is_not_refused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = failed(bench)
    lose_next_response("UpdateItem")
    assert caller_actions.retry_again(row, bench.send).status is Status.QUEUED


def test_two_people_who_retry_the_same_job_start_it_once(bench: Bench) -> None:
    row = failed(bench)
    script.jobs_run.clear()
    script.job = lambda job, payload: "done"
    seen = bench.read(row)
    caller_actions.retry_again(row, bench.send)
    caller_actions.retry_again(seen, bench.send)
    bench.deliver()
    assert len(script.jobs_run) == 1


def test_a_zombie_of_an_earlier_run_can_write_nothing_after_a_manual_retry(bench: Bench) -> None:
    zombie = bench.claim(bench.dispatch("sample_once"), seconds=10)
    bench.advance(120)
    bench.tick()
    again = bench.claim(caller_actions.retry_again(bench.read(zombie), bench.send))
    assert again.invocations == 1
    writes: list[Callable[[], JobRequest]] = [
        lambda: transitions.checkpoint(zombie, Checkpoint("late", 99, None)).after,
        lambda: transitions.succeed(zombie, "late").after,
        lambda: transitions.fail(zombie, {"kind": "late"}).after,
    ]
    for write in writes:
        with pytest.raises(PreconditionFailed):
            write()


# --- delete ---------------------------------------------------------------------------------------


def test_a_deleted_job_leaves_nothing_behind(bench: Bench) -> None:
    script.job = lambda job, payload: [job.step("one", lambda: 1), _incompressible()]
    row = bench.run(bench.dispatch(payload={"text": _incompressible()}))
    bucket.put_bytes(f"partial/{row.created_key}/seen", b"x")
    bucket.put_bytes(f"{row.result_folder}/export.csv", b"x")
    other = bench.run(bench.dispatch())
    bucket.put_bytes(f"{other.result_folder}/export.csv", b"x")
    assert row.payload_key
    assert row.result_key
    caller_actions.delete(row)
    assert queries.read(row.id) is None
    assert steps.find(row, "step one") is None
    listed = clients.client("s3").list_objects_v2(Bucket="bucket").get("Contents", [])
    assert all(row.id not in each["Key"] for each in listed)
    assert any(other.id in each["Key"] for each in listed)


def test_what_a_deleted_job_left_can_be_restored_until_its_versions_expire(bench: Bench) -> None:
    row = bench.run(bench.dispatch(payload={"text": _incompressible()}))
    assert row.payload_key
    caller_actions.delete(row)
    s3 = full_client("s3")
    left = s3.list_object_versions(Bucket="bucket", Prefix=row.payload_key)
    (marker,), (version,) = left["DeleteMarkers"], left["Versions"]
    s3.delete_object(Bucket="bucket", Key=row.payload_key, VersionId=marker["VersionId"])
    assert bucket.get_bytes(row.payload_key)
    assert marker["IsLatest"]
    assert not version["IsLatest"]


def test_a_job_is_deleted_where_there_is_no_bucket(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = bench.run(bench.dispatch())
    monkeypatch.delenv("BUCKET_NAME")
    settings.forget()
    caller_actions.delete(row)
    assert queries.read(row.id) is None


def test_a_job_that_has_come_to_have_the_id_of_a_deleted_one_keeps_what_is_its_own(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {"idempotency_key": "k", "payload": {"text": _incompressible()}}
    script.job = lambda job, payload: payload.text
    row = bench.run(bench.dispatch(**asked))
    bench.advance(1)
    delete = steps.delete

    def delete_late(job: JobRequest) -> None:
        again = bench.run(bench.dispatch(**asked))
        assert again.id == row.id
        delete(job)

    monkeypatch.setattr(steps, "delete", delete_late)
    caller_actions.delete(row)
    again = bench.read(row)
    assert blobs.get(again.payload, again.payload_key) == asked["payload"]
    assert blobs.get(again.result, again.result_key) == _incompressible()


def test_a_job_that_comes_to_have_the_id_while_objects_are_deleted_keeps_its_own(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {"idempotency_key": "k", "payload": {"text": _incompressible()}}

    def work(job: Any, payload: Any) -> Any:
        bucket.put_bytes(f"{job.work_folder}/seen", b"x")
        bucket.put_bytes(f"{job.result_folder}/export.csv", b"x")
        return payload.text

    script.job = work
    row = bench.run(bench.dispatch(**asked))
    bench.advance(1)
    delete_all = bucket.delete_all
    again: list[JobRequest] = []

    def delete_late(folder: str) -> None:
        if not again:
            again.append(bench.run(bench.dispatch(**asked)))
        delete_all(folder)

    for _ in range(2):  # however far the other delete had come
        monkeypatch.setattr(bucket, "delete_all", delete_late)
        caller_actions.delete(row)
        (found,) = again
        assert found.id == row.id
        assert blobs.get(found.payload, found.payload_key) == asked["payload"]
        assert blobs.get(found.result, found.result_key) == _incompressible()
        assert bucket.get_bytes(f"{found.work_folder}/seen") == b"x"
        assert bucket.get_bytes(f"{found.result_folder}/export.csv") == b"x"
        assert bench.read(found).status is Status.SUCCEEDED


def test_a_job_that_had_come_to_have_the_id_before_a_delete_is_not_what_is_deleted(
    bench: Bench,
) -> None:
    script.job = lambda job, payload: "done"
    row = bench.run(bench.dispatch(idempotency_key="k"))
    bench.advance(31 * 24 * 3600)
    again = bench.run(bench.dispatch(idempotency_key="k"))
    assert again.id == row.id
    caller_actions.delete(row)
    assert bench.read(again).created_key == again.created_key


def test_a_duplicate_leaves_nothing_that_a_delete_does_not_find(bench: Bench) -> None:
    asked: dict[str, Any] = {"idempotency_key": "k", "payload": {"text": _incompressible()}}
    row = bench.dispatch(**asked)
    bench.advance(1)
    assert bench.dispatch(**asked).id == row.id
    assert blobs.get(row.payload, row.payload_key) == asked["payload"]
    caller_actions.delete(bench.run(row))
    assert "Contents" not in clients.client("s3").list_objects_v2(Bucket="bucket")


def test_a_job_that_has_not_ended_is_not_deleted(bench: Bench) -> None:
    row = bench.dispatch()
    with pytest.raises(WrongState, match="cancel it first"):
        caller_actions.delete(row)
    assert bench.read(row).status is Status.QUEUED


def test_a_job_that_was_started_again_meanwhile_is_not_deleted(bench: Bench) -> None:
    row = failed(bench)
    seen = bench.read(row)
    caller_actions.retry_again(row, bench.send)
    with pytest.raises(PreconditionFailed):
        caller_actions.delete(seen)
    assert bench.read(row).status is Status.QUEUED


def test_a_delete_whose_response_was_lost_is_done(bench: Bench) -> None:
    row = failed(bench)
    lose_next_response("DeleteItem")
    caller_actions.delete(row)
    assert queries.read(row.id) is None


def lose_next_response(operation: str) -> None:
    """Let the write land and lose its response, so that botocore sends it again."""
    lost: list[str] = []

    def lose(response: Any, operation: Any, **_: Any) -> int | None:
        if response is None or response[0].status_code >= 300 or lost:
            return None
        lost.append(operation.name)
        return 0

    events = clients.client("dynamodb").meta.events
    events.register_first(f"needs-retry.dynamodb.{operation}", lose)


def _incompressible() -> str:
    return random.Random(0).randbytes(20_000).hex()
