"""A claim that does not come to be: the worker returns, for a record of this failure could be taken
for that of another delivery; and the log says what it was."""

import io
from collections import Counter
from collections.abc import Callable

import pytest

import job_rows
from bench import Bench
from expanded_template import deployed, properties
from job_runners import clock
from job_runners.engine.control import caller_actions
from job_runners.engine.running import execution
from job_runners.engine.wire.messages import JobMessage
from job_runners.store import queries
from job_runners.store.job_request import JobRequest, Status
from job_runners.testing.aws import forget
from outage import Outage
from outfit_files import Outfit
from sample_work import script
from telemetry_lines import emitted, logged


def said(lines: io.StringIO) -> list[str]:
    return [line["message"] for line in logged(lines)]


def test_a_job_of_a_newer_deploy_is_left_for_it(bench: Bench, lines: io.StringIO) -> None:
    message = JobMessage.about(bench.dispatch())._replace(job_type="of_a_newer_deploy")
    execution.run(message, deadline=clock.now() + 900_000, send=bench.send)
    assert said(lines)[-1] == "left for later"


def test_so_is_a_row_that_only_a_newer_deploy_can_read(bench: Bench, lines: io.StringIO) -> None:
    row = bench.dispatch()
    job_rows.make_unreadable(row)
    execution.run(JobMessage.about(row), deadline=clock.now() + 900_000, send=bench.send)
    assert said(lines)[-1] == "crashed"


def test_a_job_that_was_deleted_is_nothing_to_do(bench: Bench, lines: io.StringIO) -> None:
    row = bench.dispatch()
    row.delete()
    execution.run(JobMessage.about(row), deadline=clock.now() + 900_000, send=bench.send)
    assert said(lines)[-1] == "not claimed"
    assert bench.sent == []


def test_a_job_that_was_deleted_and_can_not_be_loaded_is_left(
    bench: Bench, outfit: Outfit, lines: io.StringIO
) -> None:
    row = bench.dispatch("letters", payload={})
    row.delete()
    outfit.write("nonsense(")
    execution.run(JobMessage.about(row), deadline=clock.now() + 900_000, send=bench.send)
    assert said(lines)[-1] == "left for later"


def test_a_job_that_can_not_be_loaded_is_counted_in_each_period_of_its_alarm(
    on_lambda: None, still: Bench, outfit: Outfit, capsys: pytest.CaptureFixture[str]
) -> None:
    alarm = properties(deployed(), "LeftForLaterAlarm")
    row = still.dispatch("letters", payload={})
    outfit.write("nonsense(")
    counts = Counter[int]()
    still.send(JobMessage.about(row))
    for minute in range(45):
        still.deliver()
        left = [values for _, values in emitted(capsys) if alarm["MetricName"] in values]
        counts[minute * 60 // alarm["Period"]] += len(left)
        still.advance(60)
        still.tick()
    assert len(counts) > alarm["EvaluationPeriods"]
    assert min(counts.values()) > alarm["Threshold"]


# --- a claim that was applied, though nobody heard of it ------------------------------------------


@pytest.fixture
def unheard(bench: Bench, outage: Outage) -> JobRequest:
    """Return a job whose claim takes all the time there is: then it is to be given back."""
    row = bench.dispatch("sample_once")
    outage.begin("unheard and hanging", 38, only="UpdateItem")
    return row


def meanwhile(monkeypatch: pytest.MonkeyPatch, do: Callable[[], object]) -> None:
    """Let something happen between the two calls in which a job is given back."""
    read = queries.read

    def read_then_do(job_id: str) -> JobRequest | None:
        row = read(job_id)
        do()
        return row

    monkeypatch.setattr("job_runners.engine.running.claiming.read", read_then_do)


def test_if_it_is_deleted_there_is_nothing_to_give_back(
    bench: Bench, unheard: JobRequest, monkeypatch: pytest.MonkeyPatch, lines: io.StringIO
) -> None:
    monkeypatch.setattr("job_runners.engine.running.claiming.read", lambda job_id: None)
    bench.run(unheard, seconds=60)
    assert said(lines)[-1] == "crashed"


def test_if_somebody_moves_it_on_it_is_theirs(
    bench: Bench, unheard: JobRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = JobRequest.claim_token.set("of another")
    meanwhile(monkeypatch, lambda: bench.read(unheard).update([taken]))
    row = bench.run(unheard, seconds=60)
    assert (row.status, row.claim_token) == (Status.RUNNING, "of another")
    assert not script.jobs_run


def test_if_another_has_it_there_is_nothing_to_give_back(bench: Bench, outage: Outage) -> None:
    taken = bench.claim(bench.dispatch("sample_once"))
    outage.begin("throttled", 35, only="UpdateItem")
    row = bench.run(taken, seconds=60)
    assert (row.status, row.claim_token) == (Status.RUNNING, taken.claim_token)


def test_if_it_is_canceled_its_follow_up_is_sent_at_once(
    bench: Bench, outage: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that a caller has canceled ends when it is given back."""
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work,follow_up_sample")
    forget()
    row = bench.dispatch("sample_once", on_end="note_end")
    outage.begin("unheard and hanging", 38, only="UpdateItem")

    def cancel() -> None:
        outage.end()
        caller_actions.cancel(bench.read(row))

    meanwhile(monkeypatch, cancel)
    assert bench.run(row, seconds=60).status is Status.CANCELED
    (sent,) = bench.sent_jobs
    assert bench.read(sent).follow_up_of == row.id
