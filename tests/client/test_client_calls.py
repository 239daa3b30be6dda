"""What the client does with answers that are slow, broken, missing, or not what was asked for.

Each test counts the requests that arrive: what must not run twice is sent once.
"""

import json
import re
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from bad_server import BadServer, Behaviour, answer, drip, hang_up, never, raw
from job_runners import (
    AccessDenied,
    ApiBusy,
    Client,
    Credentials,
    IdempotencyConflict,
    InvalidRequest,
    JobFailed,
    JobUnfinished,
    NoAnswer,
    NotFound,
    OutcomeUnknown,
    UniqueConflict,
    WrongState,
)
from job_runners.client import connections, errors, repeating
from job_runners.client.errors import UnexpectedAnswer
from jobs_command import ID, job

SECRET = Credentials("AKIDEXAMPLE", "s3cret", "session")
SUMMARY = job("queued")
BUSY = {"type": "urn:job-runners:unavailable", "title": "t", "status": 503, "detail": "busy"}
UNSENT = {**BUSY, "type": "urn:job-runners:not-sent", "detail": "it did not leave"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for hardly anything between tries."""
    monkeypatch.setattr(repeating, "_FIRST_WAIT", 0.01)


def client(server: BadServer, **settings: Any) -> Client:
    given = {"credentials": SECRET, "region": "eu-west-1", "max_attempts": 4, **settings}
    return Client(url=server.url, **given)


def keys(server: BadServer) -> set[str]:
    return {each.headers["idempotency-key"] for each in server.seen}


# --- what is repeated -----------------------------------------------------------------------------

PASSING: dict[str, Behaviour] = {
    "429 of the gateway": answer(429, {"message": "Too Many Requests"}),
    "500": answer(500, {"message": "Internal Server Error"}),
    "502": answer(502),
    "503 of the gateway": answer(503, {"message": "Service Unavailable"}),
    "503 of ours": answer(503, BUSY),
    "504": answer(504, b"<html>"),
    "no answer": hang_up,
    "half an answer": raw(b'HTTP/1.1 202 Accepted\r\nContent-Length: 5000\r\n\r\n{"id": "'),
    "no HTTP": raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    "half a header": raw(b"HTTP/1.1 202 Acc"),
}


@pytest.mark.parametrize("passing", PASSING.values(), ids=PASSING.keys())
@pytest.mark.parametrize("given", [None, "order-17"])
def test_a_dispatch_is_repeated_under_one_key(
    server: BadServer, passing: Behaviour, given: str | None
) -> None:
    server.script = [passing, passing, answer(202, SUMMARY)]
    found = client(server).dispatch("sync", {"list": 7}, idempotency_key=given)
    assert (found.id, found.status, found.replayed) == (ID, "queued", False)
    assert len(server.seen) == 3
    [key] = keys(server)
    assert len(key) == 32 if given is None else key == given
    assert {each.body for each in server.seen} == {server.seen[0].body}


def test_two_dispatches_have_two_keys(server: BadServer) -> None:
    server.then = answer(202, SUMMARY)
    caller = client(server)
    caller.dispatch("sync")
    caller.dispatch("sync")
    assert len(keys(server)) == 2


def test_what_the_client_repeated_itself_is_no_replay_and_what_the_caller_repeated_is_one(
    server: BadServer,
) -> None:
    server.then = answer(202, SUMMARY, Idempotent_Replayed="true")
    assert not client(server).dispatch("sync").replayed
    assert client(server).dispatch("sync", idempotency_key="k").replayed


def test_work_goes_on_in_the_trace_that_its_caller_names(server: BadServer) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    server.script = [answer(503, BUSY), answer(202, SUMMARY), answer(202, SUMMARY)]
    server.then = answer(202, {"id": "t"})
    caller = client(server)
    caller.dispatch("sync", traceparent=trace)
    caller.rerun(ID, traceparent=trace)
    caller.dispatch_task("note", traceparent=trace)
    assert [each.headers["traceparent"] for each in server.seen] == [trace] * 4
    caller.dispatch_task("note")
    assert "traceparent" not in server.seen[-1].headers
    with pytest.raises(ValueError, match="W3C's form"):
        caller.dispatch("sync", traceparent=f"{trace}\r\nX: y")
    assert len(server.seen) == 5


def test_after_all_tries_the_error_has_the_key(server: BadServer) -> None:
    server.then = answer(503, BUSY)
    with pytest.raises(ApiBusy) as caught:
        client(server).dispatch("sync")
    assert len(server.seen) == 4
    assert {caught.value.idempotency_key} == keys(server)
    server.then = hang_up
    with pytest.raises(NoAnswer) as broken:
        client(server).dispatch("sync", idempotency_key="mine")
    assert broken.value.idempotency_key == "mine"
    assert broken.value.may_have_landed


def test_a_wait_that_the_api_asks_for_is_kept(server: BadServer) -> None:
    server.script = [answer(503, BUSY, Retry_After="1"), answer(202, SUMMARY)]
    began = time.monotonic()
    client(server).dispatch("sync")
    assert 1 <= time.monotonic() - began < 30


def test_a_wait_that_can_not_be_read_asks_for_nothing(server: BadServer) -> None:
    server.script = [answer(503, BUSY, Retry_After="soon"), answer(202, SUMMARY)]
    assert client(server).dispatch("sync").id == ID


def test_a_wait_that_is_too_long_is_the_callers_to_decide(server: BadServer) -> None:
    server.then = answer(503, BUSY, Retry_After="3600")
    with pytest.raises(ApiBusy, match="Try again in 3600 s") as caught:
        client(server).dispatch("sync")
    assert caught.value.retry_after == 3600
    assert len(server.seen) == 1


@pytest.mark.parametrize("slow", [never, drip])
def test_an_answer_that_takes_too_long_is_a_passing_failure(
    server: BadServer, slow: Behaviour
) -> None:
    server.script = [slow, answer(202, SUMMARY)]
    assert client(server, timeout=0.3).dispatch("sync").id == ID
    assert len(server.seen) == 2


def test_the_tree_of_errors_names_each() -> None:
    kinds = {
        name
        for name, each in vars(errors).items()
        if isinstance(each, type) and issubclass(each, Exception) and not name.startswith("_")
    }
    assert kinds <= set(re.findall(r"\w+", errors.__doc__ or ""))


REFUSALS = [
    (400, "unreadable-body", InvalidRequest),
    (404, "job-not-found", NotFound),
    (404, "failed-task-not-found", NotFound),
    (409, "idempotency-conflict", IdempotencyConflict),
    (409, "unique-conflict", UniqueConflict),
    (409, "wrong-state", WrongState),
    (413, "too-large", InvalidRequest),
    (422, "unknown-job-type", InvalidRequest),
    (403, "not-allowed", AccessDenied),
]


@pytest.mark.parametrize(("status", "slug", "kind"), REFUSALS)
def test_what_the_api_refuses_is_not_repeated_and_says_why(
    server: BadServer, status: int, slug: str, kind: type[Exception]
) -> None:
    body = {
        "type": f"urn:job-runners:{slug}",
        "title": "Refused",
        "status": status,
        "detail": "No job is named 'sync'.",
        "request_id": "request-1",
    }
    server.then = answer(status, body)
    with pytest.raises(kind, match="No job is named 'sync'") as caught:
        client(server).dispatch("sync")
    error: Any = caught.value
    assert (error.status, error.slug, error.request_id) == (status, slug, "request-1")
    assert len(server.seen) == 1


def test_wrong_fields_are_listed(server: BadServer) -> None:
    fields = [{"field": "payload.list", "why": "must be a number"}]
    server.then = answer(422, {"title": "Wrong", "status": 422, "detail": "d", "errors": fields})
    with pytest.raises(InvalidRequest, match=r"Wrong: payload\.list: must be a number") as caught:
        client(server).dispatch("sync")
    assert list(caught.value.fields) == fields


GARBAGE: list[Any] = [b"<html>welcome</html>", b"", b"[]", b"7", b'{"id": 3}', b"\xff\xfe"]


@pytest.mark.parametrize("body", GARBAGE)
def test_an_answer_that_is_none_of_ours_is_said_to_be(server: BadServer, body: bytes) -> None:
    server.then = answer(200, body)
    with pytest.raises(UnexpectedAnswer, match="this is the API of a Job Runners stack"):
        client(server).get(ID)
    assert len(server.seen) == 1


# --- what must not land twice ---------------------------------------------------------------------

ONCE: dict[str, Callable[[Client], object]] = {
    "task": lambda caller: caller.dispatch_task("send_message", {"text": "Hi"}),
    "retry": lambda caller: caller.retry(ID),
}
IN_DOUBT = {
    name: each
    for name, each in PASSING.items()
    if name not in ("429 of the gateway", "503 of ours")
}


@pytest.mark.parametrize("doubtful", IN_DOUBT.values(), ids=IN_DOUBT.keys())
@pytest.mark.parametrize("call", ONCE.values(), ids=ONCE.keys())
def test_a_task_or_a_retry_that_may_have_landed_is_not_repeated(
    server: BadServer, call: Any, doubtful: Behaviour
) -> None:
    server.script = [doubtful]
    with pytest.raises(OutcomeUnknown, match="not repeated"):
        call(client(server))
    assert len(server.seen) == 1


@pytest.mark.parametrize("call", ONCE.values(), ids=ONCE.keys())
def test_nor_after_a_timeout(server: BadServer, call: Any) -> None:
    server.script = [never]
    with pytest.raises(OutcomeUnknown):
        call(client(server, timeout=0.2))
    assert len(server.seen) == 1


@pytest.mark.parametrize("call", ONCE.values(), ids=ONCE.keys())
def test_what_cannot_have_landed_is_repeated(server: BadServer, call: Any) -> None:
    server.script = [answer(429), answer(429, Retry_After="0"), answer(202, SUMMARY)]
    call(client(server))
    assert len(server.seen) == 3


@pytest.mark.parametrize("body", [UNSENT, BUSY])
def test_a_task_that_our_api_says_it_has_not_sent_is_repeated(
    server: BadServer, body: dict[str, Any]
) -> None:
    server.script = [answer(503, body), answer(202, {})]
    client(server).dispatch_task("send_message")
    assert len(server.seen) == 2


def test_a_retry_whose_write_may_have_landed_is_not(server: BadServer) -> None:
    """503 `unavailable` of POST /jobs/ID/retry: its write may have been made, and unheard."""
    server.script = [answer(503, BUSY)]
    with pytest.raises(OutcomeUnknown):
        client(server).retry(ID)
    assert len(server.seen) == 1


def test_nothing_lands_where_nobody_listens() -> None:
    with BadServer() as gone:
        caller = client(gone)
    for call in ONCE.values():
        with pytest.raises(NoAnswer) as caught:
            call(caller)
        assert not isinstance(caught.value, OutcomeUnknown)
        assert not caught.value.may_have_landed
    with pytest.raises(NoAnswer, match="Can't reach"):
        caller.dispatch("sync")


def test_a_delete_that_landed_unheard_is_done(server: BadServer) -> None:
    gone = {"type": "urn:job-runners:job-not-found", "status": 404, "detail": "gone"}
    server.script = [hang_up, answer(404, gone)]
    client(server).delete(ID)
    server.script = [answer(429), answer(404, gone)]
    with pytest.raises(NotFound):
        client(server).delete(ID)


# --- connections ----------------------------------------------------------------------------------


def test_a_connection_is_used_again(server: BadServer) -> None:
    server.then = answer(200, SUMMARY)
    caller = client(server)
    for _ in range(5):
        caller.get(ID)
    assert (len(server.seen), server.connections) == (5, 1)


def test_a_connection_that_the_server_closed_is_noticed(server: BadServer) -> None:
    server.then = answer(200, SUMMARY)
    caller = client(server, max_attempts=1)
    caller.get(ID)
    server.close_idle()
    caller.dispatch_task("send_message")
    caller.get(ID)
    assert (len(server.seen), server.connections) == (3, 2)


def test_one_that_closes_at_the_very_moment_costs_a_read_nothing_and_makes_no_task_two(
    server: BadServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_has_data", lambda connection: False)
    server.then = answer(200, SUMMARY)
    caller = client(server, max_attempts=1)
    caller.get(ID)
    server.close_idle()
    assert caller.get(ID).id == ID  # on a new connection, and not as another try
    server.close_idle()
    with pytest.raises(OutcomeUnknown):
        caller.dispatch_task("send_message")
    assert len(server.seen) == 2


def test_a_task_uses_no_connection_that_was_idle_for_long(
    server: BadServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.then = answer(200, SUMMARY)
    caller = client(server)
    caller.get(ID)
    monkeypatch.setattr(connections, "_MAX_IDLE_IF_ONCE", -1)
    caller.dispatch_task("send_message")
    assert server.connections == 2


def test_a_connection_that_is_half_closed_or_has_said_too_much_is_not_used_again(
    server: BadServer,
) -> None:
    body = json.dumps(SUMMARY).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    def and_more(connection: Any) -> bool:
        connection.sendall(head + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        return True

    server.script = [and_more]
    server.then = answer(200, SUMMARY)
    caller = client(server)
    assert [caller.get(ID).id for _ in range(3)] == [ID] * 3


def test_an_answer_without_a_length_ends_with_its_connection(server: BadServer) -> None:
    server.then = raw(b"HTTP/1.1 200 OK\r\n\r\n" + json.dumps(SUMMARY).encode())
    caller = client(server)
    assert [caller.get(ID).id for _ in range(3)] == [ID] * 3


def test_an_answer_in_chunks_is_read(server: BadServer) -> None:
    body = json.dumps(SUMMARY).encode()
    text = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

    def chunked(connection: Any) -> bool:
        chunks = [body[:9], body[9:], b""]
        parts = b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in chunks)
        connection.sendall(text + parts)
        return True

    server.then = chunked
    caller = client(server)
    assert [caller.get(ID).id for _ in range(3)] == [ID] * 3
    assert server.connections == 1


def test_an_answer_that_does_not_end_is_given_up(
    server: BadServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_MAX_BYTES", 100_000)
    server.then = answer(200, b" " * 200_000)
    with pytest.raises(NoAnswer, match="more than 100,000 bytes"):
        client(server, max_attempts=1).get(ID)


def test_one_client_serves_many_threads(server: BadServer) -> None:
    def echo(connection: Any) -> bool:
        time.sleep(0.002)
        return answer(202, {**SUMMARY, "id": "unused"})(connection)

    server.then = echo
    caller, wrong = client(server), []

    def work(number: int) -> None:
        for turn in range(20):
            found = caller.dispatch("sync", idempotency_key=f"{number}-{turn}")
            if found.id != "unused":
                wrong.append(found)

    threads = [threading.Thread(target=work, args=(each,)) for each in range(12)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert not wrong
    assert len(server.seen) == len(keys(server)) == 240
    assert server.connections < 60  # and not one for each call


# --- waiting --------------------------------------------------------------------------------------


def test_waiting_asks_as_often_as_the_api_says_and_tells_the_progress(server: BadServer) -> None:
    half = {**job("running"), "progress": 50, "result_message": "row 3"}
    server.script = [
        answer(200, job("queued"), Retry_After="1"),
        answer(200, half, Retry_After="0"),
        answer(200, half, Retry_After="0"),
        answer(200, {**job("succeeded"), "progress": 100, "result": {"rows": 3}}),
    ]
    told: list[tuple[str, float, str | None]] = []
    began = time.monotonic()
    done = client(server).wait(
        ID, on_progress=lambda each: told.append((each.status, each.progress, each.message))
    )
    assert done.get_result() == {"rows": 3}
    assert told == [("queued", 0, None), ("running", 50, "row 3"), ("succeeded", 100, None)]
    assert time.monotonic() - began >= 1


def test_waiting_asks_after_a_day_at_the_latest(
    server: BadServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    server.script = [answer(200, job("running"), Retry_After="9" * 20)]
    server.then = answer(200, job("succeeded"))
    assert client(server).wait(ID).succeeded
    assert slept == [86_400]


def test_waiting_ends_with_the_timeout_and_says_that_the_job_goes_on(server: BadServer) -> None:
    server.then = answer(200, job("running"), Retry_After="60")
    began = time.monotonic()
    with pytest.raises(JobUnfinished, match=r"is running after 0\.3 s. The job isn't") as caught:
        client(server).wait(ID, timeout=0.3)
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.job.id == ID
    assert time.monotonic() - began < 30


def test_a_job_that_failed_is_returned_and_its_result_is_an_error(server: BadServer) -> None:
    error = {"kind": "MissingColumns", "message": "no column cell", "traceback": "..."}
    server.then = answer(200, {**job("failed"), "error": error})
    done = client(server).wait(ID)
    assert (done.finished, done.succeeded) == (True, False)
    with pytest.raises(JobFailed, match="has failed: MissingColumns: no column cell") as caught:
        done.get_result()
    assert caught.value.job is done


def test_a_newer_server_breaks_nothing(server: BadServer) -> None:
    newer = {
        **job("succeeded"),
        "mood": "fine",
        "error": {"kind": "K", "message": "m", "colour": 1},
    }
    server.then = answer(200, newer)
    found = client(server).get(ID)
    assert found.raw["mood"] == "fine"
    assert found.error is not None
    assert found.error.kind == "K"
    server.then = answer(200, {"id": ID, "job_type": "sync", "status": "dreaming"})  # an older one
    assert client(server).get(ID).status == "dreaming"


# --- a failed task, sent again --------------------------------------------------------------------

NO_SUCH_TASK = answer(
    404,
    {
        "type": "urn:job-runners:failed-task-not-found",
        "title": "There is no such failed task",
        "status": 404,
        "detail": "there is no failed task with this id",
    },
)


def test_a_redrive_is_repeated_for_the_task_begins_once(server: BadServer) -> None:
    server.script = [hang_up, answer(504, b"<html>"), answer(202, {"id": "8" * 32})]
    assert client(server).redrive_task(ID) == "8" * 32
    assert len(server.seen) == 3


def test_a_redrive_whose_answer_was_lost_and_that_has_begun_is_done(server: BadServer) -> None:
    server.script = [hang_up, NO_SUCH_TASK]
    assert client(server).redrive_task(ID) is None
    server.script = [NO_SUCH_TASK]
    with pytest.raises(NotFound):
        client(server).redrive_task(ID)
