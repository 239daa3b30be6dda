"""The wire: what is written can be read, and nothing else is taken for a message."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from job_runners.engine.wire.messages import (
    JobMessage,
    Message,
    QueueMessage,
    TaskMessage,
    decode,
    encode,
)
from job_runners.errors import MalformedMessage, RetryAfter, UnknownMessageVersion

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=20,
)


def test_the_wire_is_what_other_versions_of_this_code_expect() -> None:
    job = JobMessage(id="i", job_type="t", send_id="s", queue_name="default", request_id="r")
    task = TaskMessage(id="i", name="n", payload={"a": 1}, attempt=2)
    assert json.loads(encode(job)) == {
        "v": 1,
        "kind": "job",
        "id": "i",
        "job_type": "t",
        "send_id": "s",
        "queue_name": "default",
        "request_id": "r",
    }
    assert json.loads(encode(task)) == {
        "v": 1,
        "kind": "task",
        "id": "i",
        "name": "n",
        "payload": {"a": 1},
        "attempt": 2,
    }


def test_a_job_in_a_queue_names_it_and_a_message_about_a_line_names_both() -> None:
    job = JobMessage(id="i", job_type="t", send_id="s", queue_name="q", concurrency_key="k")
    wire = json.loads(encode(job))
    assert (wire["v"], wire["queue_name"], wire["concurrency_key"]) == (1, "q", "k")
    assert decode(wire) == job
    line = QueueMessage(queue_name="q", concurrency_key="k", request_id="r")
    assert json.loads(encode(line)) == {
        "v": 1,
        "kind": "queue",
        "queue_name": "q",
        "concurrency_key": "k",
        "request_id": "r",
    }
    assert decode(encode(line)) == decode(encode(line).decode()) == line


def test_a_message_of_a_trace_has_one_field_more_and_no_other_version() -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for message in (
        JobMessage(id="i", job_type="t", send_id="s", queue_name="default", traceparent=trace),
        TaskMessage(id="i", name="n", payload={}, traceparent=trace),
    ):
        wire = json.loads(encode(message))
        assert (wire["v"], wire["traceparent"]) == (1, trace)
        assert decode(wire) == message
        for garbage in ("", "x", trace[:-1], 7, None, [trace]):
            assert decode(wire | {"traceparent": garbage}) == message._replace(traceparent=None)


def test_a_task_that_is_sent_again_names_the_failed_one() -> None:
    message = TaskMessage(id="i", name="n", payload={}, redrives="former", send_id="s")
    wire = json.loads(encode(message))
    assert (wire["v"], wire["redrives"], wire["send_id"]) == (1, "former", "s")
    assert decode(wire) == message
    for field, value in (("redrives", 7), ("send_id", None)):
        with pytest.raises(MalformedMessage, match=field):
            decode(wire | {field: value})
    assert "redrives" not in json.loads(encode(message.next_attempt()))


@pytest.mark.parametrize(
    ("error", "payload"),
    [
        (None, {"at": 1}),
        (ValueError("no luck"), {"at": 1}),
        (RetryAfter(5), {"at": 1}),
        (RetryAfter(5, payload={"at": 2}), {"at": 2}),
        (RetryAfter(5, payload={}), {}),
    ],
)
def test_the_next_attempt_of_a_task_has_its_payload_unless_the_error_brings_another(
    error: BaseException | None, payload: object
) -> None:
    message = TaskMessage(id="i", name="n", payload={"at": 1})
    assert message.next_attempt(error) == message._replace(attempt=2, payload=payload)


@pytest.mark.parametrize(
    "message",
    [
        JobMessage(id="i", job_type="t", send_id="s", queue_name="default"),
        TaskMessage(id="i", name="n", payload={}, redrives="former", send_id="s"),
        QueueMessage(queue_name="q", concurrency_key="k"),
    ],
)
def test_a_message_that_lacks_something_is_refused_naming_it(message: Message) -> None:
    whole = json.loads(encode(message))
    texts = {"id", "job_type", "send_id", "name", "redrives", "queue_name", "concurrency_key"}
    wrong: list[tuple[str, Any]] = [
        (field, value) for field in texts & set(whole) for value in (None, "", 7, ["i"])
    ]
    if isinstance(message, TaskMessage):
        wrong += [("attempt", value) for value in (None, 0, -1, "1", 1.0, True)]
    for field, value in wrong:
        with pytest.raises(MalformedMessage, match=f"the message's {field} is"):
            decode(whole | {field: value})


@given(json_values)
def test_a_task_comes_through_the_wire_unchanged(payload: Any) -> None:
    message = TaskMessage(id="i", name="n", payload=payload, attempt=3, request_id="r")
    assert decode(encode(message)) == message
    assert decode(json.loads(encode(message))) == message


@given(st.binary() | st.text() | json_values)
def test_anything_else_is_refused_and_never_crashes(event: Any) -> None:
    with pytest.raises((MalformedMessage, UnknownMessageVersion)):
        decode(event)


@pytest.mark.parametrize("version", [0, 3, "1", None, True])
def test_another_version_is_told_apart_from_garbage(version: object) -> None:
    with pytest.raises(UnknownMessageVersion):
        decode({"v": version, "kind": "job"})
