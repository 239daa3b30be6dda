"""The transitions that change a row: their effects, their preconditions, and lost responses."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from job_rows import ENDINGS, ERROR, abandon, claimed, retry, saved, stored
from job_runners import clock
from job_runners.aws import clients
from job_runners.errors import PreconditionFailed
from job_runners.store import conditional_write, queries, transitions
from job_runners.store.job_request import ROW_VERSION, JobRequest, Lane, Status, due_shards
from job_runners.store.table import set_or_remove
from job_runners.store.transitions import Checkpoint

pytestmark = pytest.mark.usefixtures("aws")


OWN_WRITES = ENDINGS | {
    "checkpoint": lambda job: transitions.checkpoint(job, Checkpoint({"at": 1}, 50, None)).after
}


# --- effects --------------------------------------------------------------------------------------


def test_a_saved_job_is_queued_and_due_within_a_minute() -> None:
    row = stored(saved(request_id="r1"))
    assert row.status is Status.QUEUED
    assert row.due_at == row.created_at + conditional_write.GRACE
    assert row.due_shard in due_shards(Lane.QUEUED)
    assert row.created_key == f"{row.created_at:015d}{row.id}"
    assert (row.attempt, row.invocations, row.row_version) == (1, 0, 1)
    assert row.request_id == "r1"


def test_a_row_of_newer_code_is_not_claimed_by_older(monkeypatch: pytest.MonkeyPatch) -> None:
    row = saved()
    row.update([JobRequest.row_version.set(ROW_VERSION + 1)])
    with pytest.raises(PreconditionFailed):
        claimed(row)
    assert stored(row).status is Status.QUEUED
    assert stored(row).due_at == row.due_at
    monkeypatch.setattr(
        "job_runners.store.transitions.claiming.ROW_VERSION", ROW_VERSION + 1
    )  # the deploy is through
    assert claimed(row).status is Status.RUNNING


def test_a_claim_leases_the_row_and_leaves_attempt_and_due_as_they_were() -> None:
    before = saved()
    deadline = clock.now() + 10_000
    row = stored(claimed(before, deadline))
    assert row.status is Status.RUNNING
    assert row.lease_until == deadline + transitions.SKEW
    assert (row.attempt, row.invocations, row.due_at) == (1, 1, before.due_at)
    assert row.send_id == "send"
    assert row.claim_token


def test_every_claim_has_a_token_of_its_own() -> None:
    first = claimed()
    second = claimed(retry(first))
    assert first.claim_token != second.claim_token
    assert second.invocations == 2


def test_a_success_is_final_and_leaves_the_due_index() -> None:
    row = stored(
        transitions.succeed(claimed(), {"n": 1}, checkpoint=Checkpoint(None, 5, "done")).after
    )
    assert row.status is Status.SUCCEEDED
    assert (row.progress, row.result_message) == (100, "done")
    assert (row.due_at, row.due_shard, row.lease_until) == (None, None, None)
    assert row.expires_at == ((row.finished_at or 0) + 30 * clock.DAY) // 1000
    assert due_ids() == []


def test_a_message_stays_until_the_job_gives_another_one() -> None:
    job = claimed()
    transitions.checkpoint(job, Checkpoint(None, 50, "half"))
    row = transitions.succeed(stored(job), None, checkpoint=Checkpoint({"at": 2}, 60, None)).after
    assert stored(row).result_message == "half"


@pytest.mark.views
def test_a_failure_is_found_through_the_failed_index() -> None:
    row = transitions.fail(claimed(), ERROR).after
    assert row.status is Status.FAILED
    assert row.error == ERROR
    assert [each.id for each in queries.page("org", limit=5, status=Status.FAILED).jobs] == [row.id]
    assert due_ids() == []


def test_a_retry_counts_the_attempt_and_keeps_the_cursor() -> None:
    job, due_at = claimed(), clock.now() + 5
    row = stored(
        transitions.retry(
            job, ERROR, run_at=1, due_at=due_at, checkpoint=Checkpoint({"at": 7}, 40, None)
        ).after
    )
    assert row.status is Status.RETRYABLE
    assert (row.attempt, row.cursor, row.progress, row.lease_until) == (2, {"at": 7}, 40, None)
    assert due_ids() == [row.id]


def test_a_large_payload_and_result_live_in_the_bucket_and_come_back_unchanged() -> None:
    import random

    from job_runners.store import blobs

    large = {"text": "".join(chr(random.randrange(32, 0x2FFF)) for _ in range(50_000))}
    job = transitions.save(
        transitions.NewJob(
            job_type="x", queue_name="q", organization_id="org", payload=large, max_attempts=1
        )
    ).after
    row = stored(transitions.succeed(claimed(job), large).after)
    assert row.payload is None
    assert str(row.payload_key).startswith(f"payloads/{row.created_key}/")
    assert str(row.result_key).startswith(f"results/org/{row.created_key}/")
    assert blobs.get(row.payload, row.payload_key) == large
    assert blobs.get(row.result, row.result_key) == large


# --- preconditions --------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("transition", OWN_WRITES)
def test_after_an_ending_its_claim_can_write_nothing_more(ending: str, transition: str) -> None:
    job = claimed()
    zombie = stored(job)
    ENDINGS[ending](job)
    before = stored(job).serialize()
    if transition == ending:
        OWN_WRITES[transition](
            zombie
        )  # its own outcome again: known to be recorded, and not written
    else:
        with pytest.raises(PreconditionFailed):
            OWN_WRITES[transition](zombie)
    assert stored(job).serialize() == before


@pytest.mark.parametrize("transition", OWN_WRITES)
def test_a_zombie_can_write_nothing_beside_its_successor(
    transition: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    zombie = claimed()
    successor = claimed(abandon(zombie, monkeypatch), clock.now() + 900_000)
    before = stored(successor).serialize()
    with pytest.raises(PreconditionFailed, match="refused for job"):
        OWN_WRITES[transition](zombie)
    assert stored(successor).serialize() == before


@pytest.mark.parametrize("run_at", [None, 1])
def test_a_running_or_finished_job_can_not_be_claimed(run_at: int | None) -> None:
    job = saved()
    job.update([set_or_remove(JobRequest.run_at, run_at)])
    running = claimed(job)
    with pytest.raises(PreconditionFailed, match="running"):
        claimed(job)
    transitions.succeed(running, None)
    with pytest.raises(PreconditionFailed, match="succeeded"):
        claimed(job)
    assert stored(job).invocations == 1


def test_a_job_that_does_not_exist_can_not_be_claimed_into_being() -> None:
    with pytest.raises(PreconditionFailed, match="gone"):
        transitions.claim("0" * 32, job_type="x", send_id="send", deadline=clock.now())
    assert queries.read("0" * 32) is None


def test_a_retryable_job_can_not_be_claimed_before_its_time() -> None:
    job = claimed()
    retry(job, after=60_000)
    with pytest.raises(PreconditionFailed, match="retryable"):
        claimed(job)


def test_a_claim_up_to_two_seconds_early_is_in_time() -> None:
    job = claimed()
    retry(job, after=1_500)
    assert claimed(job).attempt == 2


def test_the_last_attempt_can_not_be_retried() -> None:
    job = claimed(saved(max_attempts=1))
    with pytest.raises(PreconditionFailed, match=r"'retry' was refused"):
        retry(job)
    assert stored(job).status is Status.RUNNING


def test_of_racing_claims_exactly_one_wins() -> None:
    job = saved()
    outcomes: list[str] = []

    client, one_at_a_time = clients.client("dynamodb"), threading.Lock()
    call = client._make_api_call

    def atomic(*arguments: Any) -> Any:  # as DynamoDB is, and moto is not
        with one_at_a_time:
            return call(*arguments)

    client._make_api_call = atomic

    def race() -> None:
        try:
            claimed(job)
            outcomes.append("won")
        except PreconditionFailed:
            outcomes.append("lost")

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["lost"] * 7 + ["won"]
    assert stored(job).invocations == 1


def test_a_live_lease_can_not_be_rescued() -> None:
    row = stored(claimed())
    with pytest.raises(PreconditionFailed):
        transitions.fail(row, ERROR, rescue=True)
    assert stored(row).status is Status.RUNNING


def test_a_row_that_changed_since_it_was_read_can_not_be_postponed() -> None:
    seen = stored(saved())
    claimed(seen)
    with pytest.raises(PreconditionFailed):
        transitions.postpone(seen, clock.now() + 1, Lane.PROMPT)
    assert stored(seen).due_at == seen.due_at


# --- lost responses -------------------------------------------------------------------------------


@pytest.fixture
def lose_next_response() -> Callable[[], list[str]]:
    """Return the next write lands, but its response is lost: botocore sends it again."""

    def arm() -> list[str]:
        lost: list[str] = []

        def lose(operation: Any, **_: Any) -> int | None:
            if lost or operation.name not in ("PutItem", "UpdateItem"):
                return None
            lost.append(operation.name)
            return 0  # seconds until the retry

        clients.client("dynamodb").meta.events.register_first("needs-retry.dynamodb", lose)
        return lost

    return arm


def test_a_save_whose_response_is_lost_is_a_success(
    lose_next_response: Callable[[], list[str]],
) -> None:
    lost = lose_next_response()
    assert stored(saved()).status is Status.QUEUED
    assert lost == ["PutItem"]


def test_a_claim_whose_response_is_lost_is_a_success(
    lose_next_response: Callable[[], list[str]],
) -> None:
    job = saved()
    lost = lose_next_response()
    row = claimed(job)
    assert lost == ["UpdateItem"]
    assert (row.status, row.invocations) == (Status.RUNNING, 1)
    assert row.organization_id == "org"


def test_a_claim_whose_response_is_lost_and_that_is_rescued_meanwhile_is_refused() -> None:
    job = saved()
    rescued: list[JobRequest] = []

    def stand_still(operation: Any, **_: Any) -> int | None:
        if rescued or operation.name != "UpdateItem":
            return None
        rescued.append(job)
        later = clock.now() + 60_000
        transitions.retry(stored(job), ERROR, run_at=later, due_at=later, rescue=True)
        return 0

    clients.client("dynamodb").meta.events.register_first("needs-retry.dynamodb", stand_still)
    with pytest.raises(PreconditionFailed, match="retryable"):
        claimed(job, clock.now() - 120_000)
    assert stored(job).attempt == 2


@pytest.mark.parametrize("transition", OWN_WRITES)
def test_a_running_jobs_write_whose_response_is_lost_is_a_success(
    transition: str, lose_next_response: Callable[[], list[str]]
) -> None:
    job = claimed()
    lost = lose_next_response()
    row = OWN_WRITES[transition](job)
    assert lost == ["UpdateItem"]
    assert row.serialize() == stored(job).serialize()
    assert row.attempt == (2 if transition == "retry" else 1)


def test_a_postpone_whose_response_is_lost_is_a_success(
    lose_next_response: Callable[[], list[str]],
) -> None:
    row = stored(saved())
    lost = lose_next_response()
    assert transitions.postpone(row, 5, Lane.PROMPT).after.due_at == 5
    assert lost == ["UpdateItem"]


def due_ids() -> list[str]:
    return [
        row.id for shard in range(8) for row in queries.due(str(shard), clock.now() + clock.DAY, 50)
    ]
