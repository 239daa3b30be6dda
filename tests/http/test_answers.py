"""Links with which people and other systems answer a job, without credentials."""

import re
from typing import Any
from urllib.parse import urlencode

import pytest

import moto_items
from api_events import Answer, Logged, request, send
from bench import Bench
from counted_units import Units
from job_runners import clock
from job_runners.engine.control import caller_actions, signaling
from job_runners.engine.running import execution
from job_runners.engine.wire.messages import JobMessage
from job_runners.engine.wire.sending import CANNOT_SEND
from job_runners.errors import RunnerCannotResend
from job_runners.settings import forget
from job_runners.store import answer_links, signals, steps
from job_runners.store.job_request import JobRequest, Status
from job_runners.testing import moto_direct
from sample_work import script

HOUR = 3600.0
TEXT = "Refund order 7?\n<script>alert(1)</script>"
CHOICES = ("approve", 'reject "now" & <b>')
BROWSER = {"accept": "text/html,*/*;q=0.8"}


def ask(
    bench: Bench,
    *,
    choices: tuple[str, ...] = CHOICES,
    timeout: float = 24 * HOUR,
    text: str = TEXT,
) -> tuple[JobRequest, str, list[Any]]:
    """Return the row of a job that waits for an answer, the path of its link, and what it gets."""
    urls: list[str] = []
    got: list[Any] = []

    def work(job: Any, payload: object) -> None:
        urls.append(job.signal_url("approval", text=text, choices=choices, timeout=timeout))
        got.append(job.wait_for("approval", timeout=24 * HOUR))

    script.job = work
    row = bench.run(bench.dispatch("sample_once"))
    assert row.status is Status.WAITING, row.error
    (url,) = urls
    assert re.fullmatch(r"https://jobs\.example/answers/[0-9a-f]{32}", url)
    got.clear()
    return row, url.removeprefix("https://jobs.example"), got


def call(method: str, path: str, **parts: Any) -> Answer:
    """Make a request that no authorizer has seen."""
    event = request(method, path, **parts)
    del event["requestContext"]["authorizer"]
    answer = send(event)
    headers = answer.headers
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert not {"set-cookie", "location"} & headers.keys()
    assert path not in str(event)  # which a layer of OpenTelemetry records afterwards
    return answer


def post(path: str, choice: str, **headers: str) -> Answer:
    return call("POST", path, body={"choice": choice}, headers=headers)


def submit(path: str, **fields: str) -> Answer:
    """Send a form as a browser does."""
    kind = {"content-type": "application/x-www-form-urlencoded"}
    return call("POST", path, raw=urlencode(fields).encode(), headers=BROWSER | kind)


def links() -> list[dict[str, Any]]:
    return [it for it in moto_direct.rows("coordination") if it["pk"].startswith("link#")]


def test_a_page_shows_the_question_and_looking_at_it_changes_nothing(bench: Bench) -> None:
    row, path, _ = ask(bench)
    before = moto_direct.rows("coordination"), moto_direct.rows("jobs")
    for _ in range(2):
        page = call("GET", path, headers=BROWSER)
        assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert (moto_direct.rows("coordination"), moto_direct.rows("jobs")) == before
    assert "<h1>Refund order 7?</h1><p>&lt;script&gt;alert(1)&lt;/script&gt;</p>" in page.text
    assert 'value="reject &quot;now&quot; &amp; &lt;b&gt;"' in page.text
    assert page.text.count("<button ") == 2
    for private in (row.id, row.organization_id, row.job_type, "approval", path):
        assert private not in page.text


@pytest.mark.parametrize("form", [False, True])
def test_the_first_answer_is_what_the_job_gets(bench: Bench, form: bool) -> None:
    row, path, got = ask(bench)

    def answer(choice: str) -> Answer:
        return submit(path, choice=choice) if form else post(path, choice)

    assert answer("approve").status == 200
    assert answer("approve").status == 200
    other = answer(CHOICES[1])
    assert other.status == 409
    assert "Only the first one counts" in other.text
    assert row.id not in other.text
    assert (bench.run(row).status, got) == (Status.SUCCEEDED, ["approve"])
    # Also after the end of the job, which stays unsaid.
    assert (answer("approve").status, answer(CHOICES[1]).status) == (200, 409)
    page = call("GET", path).text
    moto_items.delete("jobs", {"id": {"S": row.id}})
    assert (answer("approve").status, answer(CHOICES[1]).status) == (200, 409)
    assert "The answer is: approve" in page
    assert "<button" not in page


def test_a_form_with_two_choices_is_refused(bench: Bench) -> None:
    row, path, got = ask(bench)
    raw = urlencode([("choice", "approve"), ("choice", CHOICES[1])]).encode()
    kind = {"content-type": "application/x-www-form-urlencoded"}
    refused = call("POST", path, raw=raw, headers=BROWSER | kind)
    assert refused.status == 400
    assert "twice" in refused.text
    assert submit(path, choice="approve").status == 200
    assert (bench.run(row).status, got) == (Status.SUCCEEDED, ["approve"])


def test_a_page_shows_no_character_that_turns_the_text_around(bench: Bench) -> None:
    choices = ("pay \u202e001", "no")
    _, path, _ = ask(bench, choices=choices, text="Pay \u202e001$\u202c to \u2066Ada?")
    page = call("GET", path).text
    assert "<h1>Pay \ufffd001$\ufffd to \ufffdAda?</h1>" in page
    assert ">pay \ufffd001</button>" in page
    assert submit(path, choice=choices[0]).status == 200
    assert "The answer is: pay \ufffd001" in call("GET", path).text


def test_without_choices_the_answer_is_any_json_and_is_not_shown(bench: Bench) -> None:
    row, path, got = ask(bench, choices=())
    assert "POST" in call("GET", path).text
    assert submit(path, payload="x").status == 415
    assert call("POST", path, raw="").status == 400
    assert call("POST", path, body={"id": "evt_1", "secret": [1]}).json == {"status": "answered"}
    assert call("POST", path, body={"secret": [1], "id": "evt_1"}).status == 200
    assert call("POST", path, body=None, raw="null").status == 409
    bench.run(row)
    assert got == [{"id": "evt_1", "secret": [1]}]
    page = call("GET", path).text
    assert "This has been answered." in page
    assert "secret" not in page


def test_a_value_that_is_no_choice_is_not_shown(bench: Bench) -> None:
    """An operator may send any value, with words for the job alone."""
    row, path, _ = ask(bench)
    signaling.signal(row, "approval", {"ok": True, "note": "private"}, bench.send)
    page = call("GET", path)
    assert "This has been answered." in page.text
    assert "private" not in page.text
    assert post(path, "approve").status == 409


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"choice": "perhaps"}, 422),
        ({"choice": ["approve"]}, 422),
        ({"choice": "approve", "more": 1}, 422),
        ({}, 422),
        ("approve", 400),
        ({"choice": "a" * 3_000_000}, 413),
    ],
    ids=str,
)
def test_another_answer_than_a_choice_is_refused(bench: Bench, body: Any, status: int) -> None:
    row, path, _ = ask(bench)
    assert call("POST", path, body=body).status == status
    page = call("POST", path, body=body, headers=BROWSER)
    assert (page.status, page.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert bench.read(row).signals is None


def over_by_time(bench: Bench, row: JobRequest) -> None:
    bench.advance(2 * HOUR)


def over_by_cancel(bench: Bench, row: JobRequest) -> None:
    caller_actions.cancel(row)


def over_by_timeout(bench: Bench, row: JobRequest) -> None:
    bench.advance(24 * HOUR + 61)
    bench.tick()
    bench.deliver()


def over_by_another_payload(bench: Bench, row: JobRequest) -> None:
    caller_actions.retry_again(caller_actions.cancel(row), bench.send, {"number": 2})


@pytest.mark.parametrize(
    ("end", "timeout"),
    [
        (over_by_time, HOUR),
        (over_by_cancel, 24 * HOUR),
        (over_by_timeout, 48 * HOUR),
        (over_by_another_payload, 24 * HOUR),
    ],
)
def test_a_link_whose_time_is_over_takes_no_answer(bench: Bench, end: Any, timeout: float) -> None:
    row, path, _ = ask(bench, timeout=timeout)
    end(bench, row)
    before = moto_direct.rows("coordination")
    refused = post(path, "approve")
    assert (refused.status, refused.json["type"]) == (410, "urn:job-runners:link-over")
    assert row.id not in refused.text
    assert call("GET", path).status == 410
    assert moto_direct.rows("coordination") == before


def over_by_delete(bench: Bench, row: JobRequest) -> None:
    caller_actions.delete(caller_actions.cancel(row))


def over_by_signals(bench: Bench, row: JobRequest) -> None:
    signaling.signal(row, "another", 1, bench.send)


def over_by_answer(bench: Bench, row: JobRequest) -> None:
    signaling.signal(row, "approval", CHOICES[1], bench.send)


@pytest.mark.parametrize(
    ("end", "status", "kind"),
    [
        (over_by_another_payload, 410, "link-over"),
        (over_by_cancel, 410, "link-over"),
        (over_by_delete, 410, "link-over"),
        (over_by_signals, 410, "link-over"),
        (over_by_answer, 409, "already-answered"),
    ],
)
def test_an_answer_that_comes_too_late_by_a_moment_is_told_so_and_counts_for_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, end: Any, status: int, kind: str
) -> None:
    """The job changes between the read and the write."""
    row, path, _ = ask(bench)
    check, first = signaling._refuse_if_not_accepted, [True]

    def changed_after(job: Any, name: str) -> None:
        check(job, name)
        if first.pop() if first else False:
            end(bench, bench.read(job))
            before.extend(moto_direct.rows("coordination"))

    before: list[Any] = []
    monkeypatch.setattr(signaling, "_refuse_if_not_accepted", changed_after)
    monkeypatch.setattr(signals, "MAX_PER_JOB", 1)
    refused = post(path, "approve")
    assert (refused.status, refused.json["type"]) == (status, f"urn:job-runners:{kind}")
    assert row.id not in refused.text
    assert moto_direct.rows("coordination") == before


@pytest.mark.parametrize("path", ["/answers/" + "0" * 32, "/answers/x", "/answers/" + "é" * 2000])
def test_an_unknown_link_is_not_found(bench: Bench, path: str) -> None:
    units = Units()
    refused = call("POST", path, body={})
    assert (refused.status, refused.json["type"]) == (404, "urn:job-runners:link-not-found")
    page = call("GET", path)
    assert (page.status, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert units.reads == (2 if path.endswith("0") else 0)  # DynamoDB refuses a longer key


def test_who_may_answer_sees_the_questions_of_a_waiting_job(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, _, _ = ask(bench)
    shown = {"name": "approval", "text": TEXT, "choices": list(CHOICES)}

    def seen_by(**claims: str) -> Any:
        event = request("GET", f"/jobs/{row.id}/place", claims=claims or None)
        return send(event).json["questions"]

    assert seen_by() == [shown]
    monkeypatch.setenv("ACCESS_MODE", "jwt")
    forget()
    for role, expected in (("reader", None), ("operator", [shown])):
        assert seen_by(sub="user-1", roles=role, organization_id="acme") == expected
    script.job = lambda job, payload: job.wait_for_any(["a", "b"], timeout=HOUR, label="any")
    row = bench.run(bench.dispatch("sample_once"))
    bare: list[Any] = [{"name": name, "text": None, "choices": []} for name in ("a", "b")]
    assert seen_by(sub="user-1", roles="operator", organization_id="acme") == bare


def test_the_link_of_a_deleted_job_is_gone_and_one_that_is_past_its_ttl_too(bench: Bench) -> None:
    row, path, _ = ask(bench)
    post(path, "approve")
    row = bench.run(row)
    assert len(links()) == 1
    caller_actions.delete(row)
    assert links() == []
    assert post(path, "approve").status == 404
    _, path, _ = ask(bench)
    bench.advance(301 * 24 * HOUR)
    assert call("GET", path).status == 404


def test_a_row_that_is_gone_makes_its_link_too_late(bench: Bench) -> None:
    row, path, _ = ask(bench)
    moto_items.delete("jobs", {"id": {"S": row.id}})
    assert post(path, "approve").status == 410


def test_a_token_gets_into_no_log_line(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    logged = Logged(monkeypatch)
    row, path, _ = ask(bench)
    call("GET", path)
    post(path, "approve")
    post(path, CHOICES[1])
    send(request("GET", f"{path}/more"))
    bench.run(row)
    assert len(logged.lines("answered")) == 4
    (line,) = logged.lines("signal")
    assert (line["role"], line["caller"], line["job_id"]) == ("link", "approval", row.id)
    assert path.rpartition("/")[2] not in logged.text


def test_a_link_goes_on_with_the_next_invocation_and_a_manual_retry(bench: Bench) -> None:
    row, path, got = ask(bench)
    (link,) = links()
    row = bench.run(caller_actions.retry_again(caller_actions.cancel(row), bench.send))
    assert (row.status, links()) == (Status.WAITING, [link])
    assert post(path, "approve").status == 200
    bench.run(row)
    assert got == ["approve"]
    assert links() == [link]


def test_an_invocation_that_was_overtaken_stores_no_link(bench: Bench) -> None:
    def work(job: Any, payload: object) -> None:
        caller_actions.cancel(bench.read(job.id))
        bench.advance(2000)
        bench.tick()
        job.signal_url("approval", text="?", timeout=HOUR)

    script.job = work
    row = bench.run(bench.dispatch("sample_once"))
    assert (row.status, links()) == (Status.CANCELED, [])


def test_a_write_whose_answer_was_lost_is_repeated(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The repetition is refused, because the step is there. The stored link is the one returned."""
    from job_runners.store.transitions import waits

    record = waits.record

    def recorded_twice(*arguments: Any) -> None:
        record(*arguments)
        record(*arguments)

    monkeypatch.setattr(waits, "record", recorded_twice)
    row, path, _ = ask(bench)
    assert post(path, "approve").status == 200
    (link,) = links()
    assert link["pk"] == f"link#{path.rpartition('/')[2]}"
    assert steps.find(row, f"{answer_links.STEP_PREFIX}approval") is not None


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"name": "a/b"}, "isn't the name of a signal"),
        ({"text": " "}, "isn't allowed"),
        ({"text": "x" * 2001}, "isn't allowed"),
        ({"text": "\ud800"}, "isn't allowed"),
        ({"choices": ("yes", "")}, "isn't allowed"),
        ({"choices": ("yes", "yes")}, "each once"),
        ({"choices": tuple(map(str, range(21)))}, "at most 20"),
        ({"choices": "yes"}, "is one text"),
        ({"timeout": 91 * 24 * HOUR}, "is too long"),
    ],
    ids=str,
)
def test_a_question_that_can_not_be_asked_fails(
    bench: Bench, wrong: dict[str, Any], why: str
) -> None:
    given: dict[str, Any] = {"name": "approval", "text": "?", "timeout": HOUR} | wrong
    script.job = lambda job, payload: job.signal_url(given.pop("name"), **given)
    row = bench.run(bench.dispatch("sample_once"))
    assert why in row.error["message"]
    assert links() == []


def test_a_link_costs_6_write_units(still: Bench) -> None:
    units = Units()
    script.job = lambda job, payload: None
    still.run(still.dispatch("sample_once"))
    without = units.spent()

    def ask_and_sleep(job: Any, payload: object) -> None:
        job.signal_url("a", text="?", timeout=HOUR)
        job.sleep("nap", 600)

    script.job = ask_and_sleep
    row = still.run(still.dispatch("sample_once"))
    still.advance(600)
    assert still.run(row).status is Status.SUCCEEDED
    assert units.spent() - without == 6 + 5  # and 5 for the sleep


def test_a_runner_that_cannot_send_again_asks_for_no_answer(bench: Bench) -> None:
    """The question would reach a person, and the answer would continue nothing."""
    script.job = lambda job, payload: job.signal_url("a", text="?", timeout=HOUR)
    row = bench.dispatch("sample_once")
    execution.run(JobMessage.about(row), deadline=clock.now() + 900_000, send=CANNOT_SEND)
    assert bench.read(row).error["kind"] == RunnerCannotResend.__name__
    assert links() == []


def test_each_signal_has_one_link_in_an_invocation(bench: Bench) -> None:
    def work(job: Any, payload: object) -> None:
        for _ in range(2):
            job.signal_url("approval", text="?", timeout=HOUR)

    script.job = work
    row = bench.run(bench.dispatch("sample_once"))
    assert row.error["message"].startswith(
        "This invocation already has a URL for the signal 'approval'."
    )


def test_a_process_without_the_address_of_the_api_says_what_to_set(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PUBLIC_URL")
    forget()
    script.job = lambda job, payload: job.signal_url("approval", text="?", timeout=HOUR)
    row = bench.run(bench.dispatch("sample_again"))
    assert (row.status, row.error["kind"]) == (Status.FAILED, "NoPublicUrl")
    assert "Set PUBLIC_URL" in row.error["message"]
