"""Calls that AWS refuses or leaves unanswered: whose fault it is, who tries again, who goes on."""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from pynamodb.exceptions import PutError, TransactWriteError

import job_rows
from bench import Bench
from expanded_template import expanded, properties
from job_runners.aws import clients
from job_runners.aws.errors import is_temporary
from job_runners.engine.control import caller_actions
from job_runners.engine.lines import pausing
from job_runners.store import steps
from job_runners.store.job_request import Status
from job_runners.store.line_items import LineItem
from job_runners.store.pauses import Kind
from job_runners.store.transactions import RecordWrite
from job_runners.testing.aws import forget

CONFLICT = {"Code": "TransactionConflictException", "Message": "Transaction is ongoing"}
CANCELED = {"Code": "TransactionCanceledException", "Message": "Transaction canceled"}
TOO_LARGE = {"Code": "ValidationException", "Message": "Item size to update has exceeded"}
NO_ACCESS = {"Code": "AccessDeniedException", "Message": "not authorized"}

Refuse = Callable[..., None]


@pytest.fixture
def refuse(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Refuse:
    """Let DynamoDB refuse those calls of an operation that `which` picks, by their number and what
    they are called with."""
    client = clients.client("dynamodb")
    real = client._make_api_call

    def refuse(
        error: dict[str, str], operation: str, which: Callable[[int, Any], bool], **more: Any
    ) -> None:
        seen = [0]

        def call(name: str, arguments: Any) -> Any:
            seen[0] += name == operation
            if name == operation and which(seen[0], arguments):
                answer: Any = {
                    "Error": error,
                    "ResponseMetadata": {"HTTPStatusCode": 400},
                    **more,
                }
                raise ClientError(answer, name)
            return real(name, arguments)

        monkeypatch.setattr(client, "_make_api_call", call)

    return refuse


# --- a write that meets another one of the same item ------------------------------------------


def test_a_cancel_that_meets_a_transaction_is_tried_again(bench: Bench, refuse: Refuse) -> None:
    row = bench.dispatch()
    refuse(CONFLICT, "UpdateItem", lambda number, _: number <= 2)
    assert caller_actions.cancel(row).status is Status.CANCELED


def test_resumed_jobs_go_on_past_one_that_another_pass_has_in_hand(
    bench: Bench, refuse: Refuse
) -> None:
    pausing.pause(Kind.JOB_TYPE, "sample_again")
    rows = [bench.run(bench.dispatch()) for _ in range(5)]
    assert {row.status for row in rows} == {Status.WAITING}
    reasons = [{"Code": "None"}, {"Code": "TransactionConflict"}]
    refuse(CANCELED, "TransactWriteItems", lambda n, _: 2 <= n <= 5, CancellationReasons=reasons)
    pausing.resume(Kind.JOB_TYPE, "sample_again", bench.send)
    states = [bench.read(row).status for row in rows]
    assert states == [Status.QUEUED, Status.WAITING, *[Status.QUEUED] * 3]
    bench.tick()
    assert bench.read(rows[1]).status is Status.QUEUED


@pytest.fixture
def unique_work(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have jobs that are unique."""
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work,unique_sample")
    forget()


@pytest.mark.usefixtures("unique_work")
@pytest.mark.parametrize("is_there", [True, False])
def test_a_job_that_meets_another_write_of_its_key_looks_who_has_it(
    bench: Bench, refuse: Refuse, is_there: bool
) -> None:
    before = [bench.dispatch("unique_return", payload={}) for _ in range(is_there)]
    reasons = [{"Code": "None"}, {"Code": "TransactionConflict"}]
    refuse(CANCELED, "TransactWriteItems", lambda n, _: n <= 4, CancellationReasons=reasons)
    row = bench.dispatch("unique_return", payload={})
    assert [each.id for each in before] == [row.id] * is_there
    assert bench.run(row).status is Status.SUCCEEDED


@pytest.mark.usefixtures("unique_work")
@pytest.mark.parametrize(
    ("code", "is_repeated"), [("TransactionConflict", True), ("Throttling", False)]
)
def test_a_job_whose_key_can_not_be_written_is_refused_as_aws_says(
    bench: Bench, refuse: Refuse, code: str, is_repeated: bool
) -> None:
    calls: list[int] = []

    def every_call(number: int, asked: Any) -> bool:
        calls.append(number)
        return True

    reasons = [{"Code": "None"}, {"Code": code}]
    refuse(CANCELED, "TransactWriteItems", every_call, CancellationReasons=reasons)
    with pytest.raises(TransactWriteError):
        bench.dispatch("unique_return", payload={})
    assert (len(calls) > 1) is is_repeated


def test_a_conflict_is_temporary_and_a_refusal_of_the_item_is_not(bench: Bench) -> None:
    def error(said: dict[str, str], **more: Any) -> ClientError:
        answer: Any = {"Error": said, **more}
        return ClientError(answer, "UpdateItem")

    assert is_temporary(error(CONFLICT))
    assert is_temporary(error(CANCELED, CancellationReasons=[{"Code": "ThrottlingError"}]))
    assert not is_temporary(error(CANCELED, CancellationReasons=[{"Code": "ValidationError"}]))
    assert not is_temporary(error(TOO_LARGE))
    assert not is_temporary(error(NO_ACCESS))


@pytest.mark.parametrize(
    "code",
    ["TransactionInProgressException", "RequestTimeout", "ReplicatedWriteConflictException"],
)
def test_an_error_for_a_call_under_way_is_temporary_and_leaves_it_in_doubt(code: str) -> None:
    answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    error = ClientError(answer, "TransactWriteItems")
    assert is_temporary(error)


def test_a_transaction_that_is_throttled_was_lost_to_nobody(bench: Bench, refuse: Refuse) -> None:
    reasons = [{"Code": "None"}, {"Code": "ThrottlingError"}]
    refuse(CANCELED, "TransactWriteItems", lambda *_: True, CancellationReasons=reasons)
    with pytest.raises(TransactWriteError):
        job_rows.saved(more_writes=[RecordWrite(LineItem("place", "item"), "put")])


# --- a row that can't be written --------------------------------------------------------------


def test_rows_whose_write_is_refused_do_not_stop_the_timer(bench: Bench, refuse: Refuse) -> None:
    poisoned = [bench.dispatch("sample_once") for _ in range(4)]
    for row in poisoned:
        bench.claim(row)
    ids = {row.id for row in poisoned}
    refuse(
        TOO_LARGE,
        "UpdateItem",
        lambda _, asked: (
            asked["Key"]["id"]["S"] in ids
            and "lease_until" in asked.get("ExpressionAttributeNames", {}).values()
        ),
    )
    bench.advance(2000)
    innocent = bench.dispatch()
    for _ in range(3):
        bench.advance(61)
        bench.tick()
    assert innocent.id in bench.sent_jobs


@pytest.mark.parametrize("error", [NO_ACCESS, TOO_LARGE])
def test_a_step_that_can_t_be_kept_is_not_taken_for_one_that_was_done_before(
    bench: Bench, refuse: Refuse, error: dict[str, str]
) -> None:
    """The job would go on, and its next attempt would do the step again."""
    row = bench.dispatch()
    refuse(error, "PutItem", lambda *_: True)
    with pytest.raises(PutError):
        steps.record(row, "step one", "first")


# --- a call that is not answered --------------------------------------------------------------


@pytest.mark.parametrize("service", ["dynamodb", "lambda"])
def test_a_call_that_hangs_leaves_the_api_time_to_say_so(aws_clients: None, service: str) -> None:
    config = clients.client(service).meta.config
    longest = config.read_timeout * config.retries["total_max_attempts"]
    assert longest <= properties(expanded(), "ApiFunction")["Timeout"] - 5


@pytest.mark.parametrize("service", ["lambda", "sqs"])
def test_botocore_itself_repeats_no_message(aws_clients: None, service: str) -> None:
    """Of which the runner alone knows whether it may be: tests/runners/test_brown_out.py."""
    assert clients.client(service).meta.config.retries["total_max_attempts"] == 1


# --- where files are --------------------------------------------------------------------------


@pytest.fixture
def aws_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients of a region that S3's global host knows nothing of."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "af-south-1")
    monkeypatch.setattr(clients, "_session", None)
    forget()


def _signed() -> str:
    asked = {"Bucket": "bucket", "Key": "key"}
    url: str = clients.client("s3").generate_presigned_url("get_object", Params=asked)
    return url


def test_urls_are_signed_for_the_buckets_own_region(aws_clients: None) -> None:
    assert _signed().startswith("https://bucket.s3.af-south-1.amazonaws.com/key?")


def test_a_local_aws_has_no_hosts_for_buckets(
    aws_clients: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    forget()
    assert _signed().startswith("http://127.0.0.1:4566/bucket/key?")
