"""Bodies that can't be taken: each is refused with a reason, and nothing is saved or sent."""

import gzip
import json
import time
from typing import Any

import pytest

from api_events import call, send
from api_events import request as make_request
from refused_bodies import PATHS, refused, refused_everywhere
from sample_work import script

pytestmark = pytest.mark.usefixtures("aws")

LIMIT = 5 * 1024 * 1024 // 2


@pytest.fixture(autouse=True)
def samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work")
    script.reset()


def around(value: str) -> str:
    """Return a body that is right but for the JSON text of one value in its payload."""
    return (
        '{"job_type": "sample_once", "task_name": "sample_note", '
        f'"payload": {{"number": 1, "list": [0, {value}]}}}}'
    )


# --- not JSON, or not an object -------------------------------------------------------------------


@pytest.mark.parametrize("raw", [None, "", "   \n", b"", b"\xef\xbb\xbf"])
def test_an_empty_body(raw: str | bytes | None) -> None:
    refused_everywhere(raw, 400, "The body is empty")


def test_malformed_json_tells_line_and_column_and_not_the_body() -> None:
    raw = '{\n  "payload": {"pin": "s3cret" "x": 1}}'
    for answer in refused_everywhere(raw, 400, "line 2, column 31"):
        assert "s3cret" not in answer.text


@pytest.mark.parametrize("body", [[], [{"job_type": "sample_once"}], "text", 1, True, None])
def test_a_body_that_is_not_an_object(body: Any) -> None:
    refused_everywhere(json.dumps(body), 400, "must be a JSON object")


def test_a_body_that_is_not_the_base64_it_is_said_to_be() -> None:
    for body in ("e30", "!!!!", "é", "\ud800", "e3 0="):
        for path in PATHS:
            event = make_request("POST", path)
            event |= {"body": body, "isBase64Encoded": True}
            refused(send(event), 400, "The body ")


@pytest.mark.parametrize(
    "raw",
    [
        b'{"job_type": "\xff"}',
        b"\xff\xfe{\x00}\x00",
        gzip.compress(b"{}", mtime=0),
        b'"\xed\xa0\x80"',
    ],
)
def test_bytes_that_are_not_utf8(raw: bytes) -> None:
    refused_everywhere(raw, 400, "isn't UTF-8")


def test_a_form() -> None:
    for content_type in ("application/x-www-form-urlencoded", "Multipart/Form-Data; boundary=x"):
        for path in PATHS:
            answer = call(
                "POST", path, raw=b"job_type=sample_once", headers={"Content-Type": content_type}
            )
            refused(answer, 415, "application/json")
            assert answer.headers["accept-post"] == "application/json"


# --- too much -------------------------------------------------------------------------------------


def test_a_body_over_the_limit() -> None:
    refused_everywhere(around(f'"{"x" * LIMIT}"'), 413, "The limit is 2,621,440")


def test_a_body_just_under_the_limit_is_read() -> None:
    body = json.dumps({"job_type": "sample_once", "payload": {"text": ""}})
    text = "x" * (LIMIT - len(body))
    answer = call("POST", "/jobs", body={"job_type": "sample_once", "payload": {"text": text}})
    assert answer.status == 202
    assert call("GET", answer.headers["location"]).json["payload"] == {"text": text}


def test_a_task_over_100_kb_is_told_to_be_a_job() -> None:
    body = {"task_name": "sample_note", "payload": {"text": "x" * 100 * 1024}}
    refused(call("POST", "/tasks", body=body), 413, "Use a job instead")


@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ('{"a":', "}")])
def test_nesting_100000_deep(opened: str, closed: str) -> None:
    for depth in (65, 1_000, 100_000):
        nested = opened * depth + "1" + closed * depth
        refused_everywhere(nested, 400, "more than 64 levels deep.")
        refused_everywhere(opened * depth, 400, "more than 64 levels deep")


def test_brackets_in_text_are_no_nesting() -> None:
    text = '[{"' * 1000 + "\\"
    answer = call("POST", "/tasks", body={"task_name": "sample_note", "payload": {"text": text}})
    assert answer.status == 202
    assert script.tasks_run[0].text == text


def test_nesting_64_deep_is_read() -> None:
    nested = "[" * 61 + "]" * 61  # inside of body, payload and list
    refused_everywhere(around(nested), 422, "Extra inputs")  # read, then compared with the model


@pytest.mark.parametrize(
    "bomb",
    [
        "[" * LIMIT,
        '"' + '\\"' * (LIMIT // 2 - 1),
        '"' + "\\" * (LIMIT - 1),
        '"' * LIMIT,
        "[" + "[]," * (LIMIT // 3 - 1) + "1]",
        "[" + "0," * (LIMIT // 2 - 9) + "1]",
        "{" + '"a":1,' * (LIMIT // 6 - 1) + '"b":1}',
        "1" * LIMIT,
    ],
    ids=["brackets", "quotes-escaped", "backslashes", "quotes", "pairs", "zeros", "keys", "digits"],
)
def test_no_body_takes_long_to_refuse(bomb: str) -> None:
    began = time.process_time()
    assert call("POST", "/jobs", raw=bomb).status == 400
    assert time.process_time() - began < 8  # seconds; each takes about one


# --- what a later reader could trip over ----------------------------------------------------------


@pytest.mark.parametrize(
    "digits", ["1" * 5_000, "-" + "9" * 129, "1." + "0" * 5_000, "1" * 200_000]
)
def test_numbers_of_5000_digits(digits: str) -> None:
    why = "more than 128 characters (send it as a string) at $.payload.list[1]"
    refused_everywhere(around(digits), 400, why)


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_constants_that_only_python_reads(constant: str) -> None:
    refused_everywhere(around(constant), 400, f"{constant}, which isn't JSON, at $.payload.list[1]")


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1" + "0" * 100 + "e999"])
def test_numbers_too_large_for_a_double(number: str) -> None:
    refused_everywhere(around(number), 400, "too large for a double at $.payload.list[1]")


@pytest.mark.parametrize(
    ("escape", "name"),
    [
        ("\\u0000", "NUL (U+0000)"),
        ("\\ud800", "half a surrogate pair (U+D800)"),
        ("\\udfff", "half a surrogate pair (U+DFFF)"),
        ("\\ude00\\ud83d", "half a surrogate pair (U+DE00)"),
    ],
)
def test_nul_and_lone_surrogates(escape: str, name: str) -> None:
    refused_everywhere(around(f'"a{escape}b"'), 400, f"text with {name} at $")
    refused_everywhere(around(f'{{"a{escape}b": 1}}'), 400, f"text with {name} at a key of $")
    refused_everywhere(f'{{"task_name": "{escape}"}}', 400, "at $.task_name")


def test_a_nul_as_it_is() -> None:
    refused_everywhere(around('"a\x00b"'), 400, "Invalid control character")


def test_a_surrogate_in_the_event_itself() -> None:
    for path in PATHS:
        refused(
            call("POST", path, raw=around('"\ud800"')),
            400,
            "characters that its encoding doesn't allow",
        )


def test_a_whole_surrogate_pair_is_one_character() -> None:
    raw = '{"task_name": "sample_note", "payload": {"text": "\\ud83d\\ude00"}}'
    assert call("POST", "/tasks", raw=raw).status == 202
    assert script.tasks_run[0].text == "\U0001f600"


def test_a_key_given_twice() -> None:
    raw = '{"job_type": "sample_once", "payload": {"number": 1, "number": 2}}'
    refused_everywhere(raw, 400, "the key 'number' twice in the object at $.payload")
    refused_everywhere(
        '{"payload": {}, "p\\u0061yload": {}}', 400, "'payload' twice in the object at $"
    )
