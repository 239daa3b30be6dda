"""What Lambda gave up on: settled once, by the record of the very message that has the job."""

import io
import json
from typing import Any

import pytest

import job_rows
import job_runners.handlers.failures
import job_runners.handlers.worker
from api_worker import create_delay_queue, send_to_lambda
from fake_lambda import FakeLambda
from job_runners.aws import clients
from job_runners.engine.running.failure_records import handle_record
from job_runners.engine.wire.messages import QueueMessage, encode
from job_runners.errors import InvalidPayload, MalformedMessage
from job_runners.store import transitions
from job_runners.store.job_request import Status
from job_runners.testing.aws import WORKER_ARN
from job_runners.testing.lambda_context import Context
from job_runners.testing.plain_clients import full_client
from sample_work import script
from telemetry_lines import logged

pytestmark = pytest.mark.usefixtures("aws")

read = job_rows.stored


@pytest.fixture(autouse=True)
def delay_queue(aws: None, monkeypatch: pytest.MonkeyPatch) -> str:
    url = create_delay_queue()
    send_to_lambda(monkeypatch, url)
    FakeLambda()
    return url


def record(
    payload: Any, error: str | None = "Task timed out after 900.00 seconds", **response: str
) -> str:
    """As Lambda writes them."""
    return json.dumps(
        {
            "version": "1.0",
            "timestamp": "2026-11-24T12:00:00.000Z",
            "requestContext": {
                "requestId": "r",
                "functionArn": WORKER_ARN,
                "condition": "RetriesExhausted",
                "approximateInvokeCount": 1,
            },
            "requestPayload": payload,
            "responseContext": {"statusCode": 200, "functionError": "Unhandled"},
            **({"responsePayload": {"errorMessage": error} | response} if error else {}),
        }
    )


def give(*bodies: str) -> list[str]:
    """Hand records to the function; returns those that it keeps."""
    records = [{"messageId": f"m{n}", "body": body} for n, body in enumerate(bodies)]
    answer = job_runners.handlers.failures.handler({"Records": records}, Context())  # type: ignore[arg-type]
    return [each["itemIdentifier"] for each in answer["batchItemFailures"]]


def job_event(job_id: str, send_id: str = "send") -> dict[str, Any]:
    fields = {"job_type": "sample_again", "send_id": send_id, "queue_name": "default"}
    return {"v": 1, "kind": "job", "id": job_id, **fields}


def task_event(name: str, attempt: int = 1) -> dict[str, Any]:
    return {"v": 1, "kind": "task", "id": "t", "name": name, "payload": {}, "attempt": attempt}


def delayed(url: str) -> int:
    name = "ApproximateNumberOfMessagesDelayed"
    queue = full_client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=[name])
    return int(queue["Attributes"][name])


def test_a_killed_attempt_of_a_tagged_job_is_followed_by_another(delay_queue: str) -> None:
    row = job_rows.claimed()
    transitions.checkpoint(row, transitions.Checkpoint({"at": 5}, 50, None))
    assert give(record(job_event(row.id))) == []
    row = read(row)
    assert (row.status, row.attempt, row.cursor) == (Status.RETRYABLE, 2, {"at": 5})
    assert "Task timed out after 900.00 seconds" in row.error["message"]
    assert delayed(delay_queue) == 1


def test_a_killed_untagged_job_fails_and_is_told_honestly(delay_queue: str) -> None:
    row = job_rows.claimed(job_rows.saved(max_attempts=1))
    assert give(record(job_event(row.id), error=None)) == []
    row = read(row)
    assert (row.status, row.error["kind"]) == (Status.FAILED, "Interrupted")
    assert row.error["traceback"] == ""  # it was raised nowhere
    assert "RetriesExhausted" in row.error["message"]
    assert "may already have had side effects" in row.error["message"]
    assert delayed(delay_queue) == 0


def test_a_record_of_another_message_says_nothing_about_a_running_job() -> None:
    row = job_rows.claimed()
    before = read(row).serialize()
    assert give(record(job_event(row.id, send_id="a duplicate's"))) == []
    assert read(row).serialize() == before


def test_a_wake_up_of_a_line_that_was_lost_is_sent_again_a_minute_later(delay_queue: str) -> None:
    message = QueueMessage(queue_name="texts", concurrency_key="*")
    assert give(record(json.loads(encode(message)))) == []
    assert delayed(delay_queue) == 1


@pytest.mark.parametrize("ending", job_rows.ENDINGS)
def test_a_record_that_comes_after_the_end_changes_nothing(ending: str) -> None:
    row = job_rows.claimed()
    job_rows.ENDINGS[ending](row)
    before = read(row).serialize()
    assert give(record(job_event(row.id)), record(job_event("0" * 32))) == []
    assert read(row).serialize() == before


@pytest.mark.parametrize("is_gone", [True, False])
def test_a_record_that_settles_nothing_is_logged_with_how_its_job_is(
    is_gone: bool, lines: io.StringIO
) -> None:
    row = transitions.succeed(job_rows.claimed(), None).after
    if is_gone:
        row.delete()
    assert give(record(job_event(row.id))) == []
    line = logged(lines)[-1]
    job_is = "gone" if is_gone else "succeeded (attempt 1 of 3, invocation 1)"
    assert (line["message"], line["job_is"]) == ("failure record ignored", job_is)


def test_the_same_record_twice_settles_once(delay_queue: str) -> None:
    row = job_rows.claimed()
    event = record(job_event(row.id))
    assert give(event, event) == []
    assert read(row).attempt == 2
    assert delayed(delay_queue) == 1


def test_a_killed_tagged_task_is_sent_again_until_its_attempts_are_spent(delay_queue: str) -> None:
    assert give(record(task_event("sample_note_again"))) == []
    assert delayed(delay_queue) == 1
    assert give(record(task_event("sample_note_again", attempt=3))) == []
    assert give(record(task_event("sample_note"))) == []
    assert give(record(task_event("sample_note_unless_cut_off"))) == []
    assert delayed(delay_queue) == 1


@pytest.mark.parametrize("task", ["sample_note", "sample_note_unless_cut_off"])
@pytest.mark.parametrize("kind", ["UnknownTask", "UnknownMessageVersion"])
def test_a_task_that_an_older_worker_did_not_know_is_sent_again_as_it_was(
    task: str, kind: str, delay_queue: str
) -> None:
    body = json.loads(record(task_event(task)))
    body["responsePayload"] = {"errorMessage": "unknown here", "errorType": kind}
    assert give(json.dumps(body)) == []
    assert delayed(delay_queue) == 1


@pytest.mark.parametrize("condition", ["EventAgeExceeded", "ZeroReservedConcurrency"])
def test_a_task_that_was_never_invoked_is_sent_again(condition: str, delay_queue: str) -> None:
    body = json.loads(record(task_event("sample_note"), error=None))
    body["requestContext"] |= {"condition": condition, "approximateInvokeCount": 0}
    assert give(json.dumps(body)) == []
    assert delayed(delay_queue) == 1


@pytest.mark.parametrize("context", [{}, "of another form", None])
def test_a_record_that_does_not_say_why_settles_its_job_all_the_same(context: object) -> None:
    row = job_rows.claimed(job_rows.saved(max_attempts=1))
    body = json.loads(record(job_event(row.id), error=None)) | {"requestContext": context}
    assert give(json.dumps(body)) == []
    assert "no reason given" in read(row).error["message"]


def test_a_job_that_ends_while_its_record_is_settled_has_ended() -> None:
    row = job_rows.claimed()
    events = clients.client("dynamodb").meta.events

    def end(**_: Any) -> None:
        events.unregister("before-call.dynamodb.UpdateItem", end)
        transitions.succeed(row, "done")

    events.register("before-call.dynamodb.UpdateItem", end)
    assert give(record(job_event(row.id))) == []
    assert read(row).status is Status.SUCCEEDED


def test_a_task_whose_next_attempt_could_not_be_sent_has_it_all_the_same(delay_queue: str) -> None:
    body = json.loads(record(task_event("sample_note_unless_cut_off")))
    body["responsePayload"] = {"errorMessage": "throttled", "errorType": "SendFailed"}
    assert give(json.dumps(body)) == []
    assert delayed(delay_queue) == 1


def test_a_record_that_can_not_be_settled_now_does_not_send_the_others_round_again(
    delay_queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def throttled(job_id: str) -> None:
        raise ConnectionError("DynamoDB is away")

    monkeypatch.setattr("job_runners.engine.running.failure_records.read", throttled)
    row = job_rows.claimed()
    assert give(record(task_event("sample_note_again")), record(job_event(row.id))) == ["m1"]
    assert delayed(delay_queue) == 1


def test_poison_is_kept_and_the_rest_of_its_batch_is_settled() -> None:
    row = job_rows.claimed()
    kept = give(
        "not json",
        "[]",
        json.dumps({"requestPayload": {"v": 9}}),
        record({"hello": "world"}),
        record(task_event("unknown_here")),
        record(job_event(row.id)),
    )
    assert kept == ["m0", "m1", "m2", "m3", "m4"]
    assert read(row).status is Status.RETRYABLE


@pytest.mark.parametrize("record", [None, 7, [], "requestPayload", {}])
def test_what_is_no_record_is_told_as_that(record: object) -> None:
    with pytest.raises(MalformedMessage, match="without the event that failed"):
        handle_record(record, lambda message, delay=0: None)


@pytest.mark.parametrize(
    ("condition", "kind"),
    [
        ("RetriesExhausted", "Runtime.ImportModuleError"),
        ("RetriesExhausted", "Runtime.HandlerNotFound"),
        ("RetriesExhausted", "Runtime.UserCodeSyntaxError"),
        ("EventAgeExceeded", None),
    ],
)
def test_a_task_that_surely_never_ran_is_sent_again_whatever_its_tag(
    delay_queue: str, condition: str, kind: str | None
) -> None:
    """After a deploy that can't be loaded, say, or of an event that grew old behind a throttle."""
    failed = json.loads(record(task_event("sample_note")))
    failed["requestContext"]["condition"] = condition
    failed["responsePayload"] = {"errorType": kind, "errorMessage": "m"} if kind else None
    assert give(json.dumps(failed)) == []
    assert delayed(delay_queue) == 1


def test_a_task_whose_worker_ended_without_a_word_may_have_run(delay_queue: str) -> None:
    failed = json.loads(record(task_event("sample_note")))
    failed["responsePayload"] = {"errorType": "Runtime.ExitError", "errorMessage": "m"}
    assert give(json.dumps(failed)) == []
    assert delayed(delay_queue) == 0


@pytest.mark.parametrize(
    "kind",
    ["Runtime.ImportModuleError", "Runtime.HandlerNotFound", "Runtime.UserCodeSyntaxError"],
)
def test_a_record_of_an_invocation_that_began_nothing_settles_no_job(
    delay_queue: str, kind: str
) -> None:
    """It is a second delivery's: the one that has the job is alive."""
    row = job_rows.claimed()
    assert give(record(job_event(row.id), "no module", errorType=kind)) == []
    assert read(row).status is Status.RUNNING
    assert give(record(job_event(row.id))) == []
    assert read(row).status is Status.RETRYABLE


def test_a_task_whose_payload_an_older_worker_refused_is_sent_again(delay_queue: str) -> None:
    event = task_event("sample_note_again")
    assert give(record(event, "the payload is wrong", errorType="InvalidPayload")) == []
    assert delayed(delay_queue) == 1


def test_a_task_whose_payload_nobody_takes_is_kept(delay_queue: str) -> None:
    event = task_event("sample_note_again") | {"payload": {"number": "many"}}
    assert give(record(event, "the payload is wrong", errorType="InvalidPayload")) == ["m0"]
    assert delayed(delay_queue) == 0


def test_a_worker_that_refuses_a_tasks_payload_leaves_it_to_its_record(delay_queue: str) -> None:
    event = task_event("sample_note_again") | {"payload": {"number": "many"}}
    with pytest.raises(InvalidPayload):
        job_runners.handlers.worker.handler(event, Context())  # type: ignore[arg-type]
    assert not script.tasks_run
