"""Jobs that outlive an invocation: timeouts, and what interrupts a job that overstays."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import job_rows
from bench import Bench
from job_runners import clock
from job_runners.engine.lines import pausing
from job_runners.engine.registry import registry
from job_runners.engine.running import execution
from job_runners.engine.wire.messages import JobMessage, Message
from job_runners.engine.wire.sending import CANNOT_SEND
from job_runners.errors import InvalidDefinition
from job_runners.store import queries, transitions
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.pauses import Kind
from job_runners.testing.aws import forget
from job_runners.work.definitions import Job
from job_runners.work.retry import Retry
from sample_work import again, once, script

pytestmark = pytest.mark.usefixtures("aws")

read = job_rows.stored


@pytest.fixture(autouse=True)
def sample_work(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work")
    forget()
    script.reset()


@pytest.fixture
def define(monkeypatch: pytest.MonkeyPatch) -> Callable[[Job], None]:
    """Replace sample_again by another definition."""

    def replace(job: Job) -> None:
        found = registry.registry()
        changed = registry.Registry({**found.jobs, "sample_again": job}, found.tasks)
        monkeypatch.setattr(execution, "registry", lambda: changed)
        monkeypatch.setattr("job_runners.engine.running.retrying.registry", lambda: changed)

    return replace


def run(row: JobRequest, seconds: float, sent: list[Message] | None = None) -> JobRequest:
    """One invocation of so many seconds."""
    messages: list[Message] = [] if sent is None else sent
    execution.run(
        JobMessage(id=row.id, job_type="sample_again", send_id="s", queue_name="default"),
        deadline=clock.now() + int(seconds * 1000),
        send=lambda message, delay=0: messages.append(message),
    )
    return read(row)


def count(
    steps: int, each_takes: float, wait: Callable[[float], None] = time.sleep
) -> Callable[[Any, Any], Any]:
    """Return a job that counts, from its cursor on, and remembers what it did."""

    def work(job: Any, payload: object) -> dict[str, Any]:
        for number in range(job.cursor or 0, steps):
            wait(each_takes)
            done.append(number)
            job.checkpoint(number + 1, progress=100 * number / steps)
        return {"invocations": job.invocation}

    done: list[int] = []
    work.done = done  # type: ignore[attr-defined]
    return work


def test_a_job_goes_on_over_invocations_where_it_left_off(bench: Bench) -> None:
    work = script.job = count(20, each_takes=50, wait=bench.advance)
    row = bench.dispatch()
    states = []
    for _ in range(10):
        row = bench.run(row, seconds=500)
        states.append((row.status, row.attempt, row.cursor))
        if row.status.finished:
            break
    assert row.status is Status.SUCCEEDED
    assert row.invocations == 3  # 8 steps, 8, 4: another might not have ended in time
    assert work.done == list(range(20))  # type: ignore[attr-defined]
    assert states[:-1] == [(Status.QUEUED, 1, 8), (Status.QUEUED, 1, 16)]
    assert bench.sent_jobs == [row.id] * 2


def test_a_job_that_reports_progress_without_a_cursor_has_no_next_invocation(bench: Bench) -> None:
    def work(job: Any, payload: object) -> str:
        for step in range(10):
            bench.advance(58)  # another might not end in time, but there is nothing to resume from
            job.checkpoint(progress=step * 10)
        return "done in one"

    script.job = work
    row = bench.run(bench.dispatch(), seconds=600)
    assert (row.status, row.invocations) == (Status.SUCCEEDED, 1)


def test_a_report_between_two_cursors_does_not_end_an_invocation_short_of_the_next(
    bench: Bench,
) -> None:
    """Of a job that just fits two steps into an invocation: each invocation must get somewhere."""

    def work(job: Any, payload: object) -> str:
        for step in range(job.cursor or 0, 6):
            bench.advance(90)
            job.checkpoint(message="nearly")
            bench.advance(10)
            job.checkpoint(step + 1)
        return "done"

    script.job = work
    row = bench.dispatch()
    for invocation in range(1, 7):
        row = bench.run(row, seconds=220)
        assert row.status is Status.QUEUED
        assert row.cursor == invocation
    assert bench.run(row, seconds=220).status is Status.SUCCEEDED


def test_a_job_that_nobody_could_send_again_goes_on_in_the_invocation_it_has(bench: Bench) -> None:
    def work(job: Any, payload: object) -> str:
        bench.advance(850)
        job.checkpoint(5)
        return "done"

    script.job = work
    row = bench.dispatch()
    execution.run(JobMessage.about(row), deadline=clock.now() + 900_000, send=CANNOT_SEND)
    row = bench.read(row)
    assert (row.status, row.invocations) == (Status.SUCCEEDED, 1)


def test_a_job_that_has_had_all_its_invocations_fails_and_is_not_retried(
    bench: Bench, define: Callable[[Job], None]
) -> None:
    define(Job(again, retry=Retry(max_attempts=3), max_invocations=2))
    script.job = count(1000, each_takes=50, wait=bench.advance)
    row = bench.run(bench.dispatch(), seconds=300)
    assert row.status is Status.QUEUED
    row = bench.run(row, seconds=300)
    assert (row.status, row.error["kind"]) == (Status.FAILED, "InvocationsSpent")


def pause_itself(job: Any, payload: object) -> None:
    pausing.pause(Kind.JOB_TYPE, "sample_again")
    job.checkpoint("here", durable=True)


def test_a_job_in_its_last_invocation_is_not_held(
    bench: Bench, define: Callable[[Job], None]
) -> None:
    """Nothing could let it go on: it does so itself."""
    define(Job(again, max_invocations=1))
    script.job = pause_itself
    assert bench.run(bench.dispatch()).status is Status.SUCCEEDED


def test_a_job_that_can_not_be_sent_again_is_not_held(bench: Bench) -> None:
    row = bench.dispatch()
    script.job = pause_itself
    execution.run(JobMessage.about(row), deadline=clock.now() + 900_000, send=CANNOT_SEND)
    assert bench.read(row).status is Status.SUCCEEDED


def fail(job: object, payload: object) -> None:
    raise ValueError("no luck")


def test_an_attempt_after_the_last_invocation_is_not_made(define: Callable[[Job], None]) -> None:
    define(Job(again, retry=Retry(max_attempts=3), max_invocations=1))
    script.job = fail
    row = run(job_rows.saved(), 5)
    assert (row.status, row.error["kind"], row.invocations) == (Status.FAILED, "ValueError", 1)


def test_a_job_whose_tag_was_taken_away_since_is_not_tried_again(
    define: Callable[[Job], None],
) -> None:
    define(Job(again))
    script.job = fail
    row = run(job_rows.saved(max_attempts=3), 5)
    assert (row.status, row.error["kind"]) == (Status.FAILED, "ValueError")


def test_in_a_thread_a_job_that_checkpoints_is_stopped_at_its_timeout(
    define: Callable[[Job], None],
) -> None:
    define(Job(once, timeout=0.2))
    script.job = count(1000, each_takes=0.05)
    rows: list[JobRequest] = []
    row = job_rows.saved(max_attempts=1)
    thread = threading.Thread(target=lambda: rows.append(run(row, 60)))
    thread.start()
    thread.join(60)
    assert [(each.status, each.error["kind"]) for each in rows] == [(Status.FAILED, "TimedOut")]


def test_a_message_that_comes_too_early_is_sent_again_for_its_time() -> None:
    row = job_rows.claimed()
    job_rows.retry(row, after=60_000)
    sent: list[float] = []
    execution.run(
        JobMessage(id=row.id, job_type="sample_again", send_id="s", queue_name="default"),
        deadline=clock.now() + 1000,
        send=lambda message, delay=0: sent.append(delay),
    )
    assert [round(delay) for delay in sent] == [60]


def test_a_job_that_overstays_is_interrupted_before_its_invocation_ends() -> None:
    def work(job: object, payload: object) -> None:
        while True:
            try:
                time.sleep(0.01)
            except Exception:  # noqa: BLE001 - may not keep it alive
                time.sleep(60)

    script.job = work
    saved = job_rows.saved()
    begin = time.monotonic()
    row = run(saved, 4.0)
    assert time.monotonic() - begin < 4.0
    assert (row.status, row.attempt, row.error["kind"]) == (Status.RETRYABLE, 2, "TimedOut")
    assert "worker's time limit" in row.error["message"]


def test_a_later_invocation_that_goes_back_before_it_began_leaves_the_times_of_the_first(
    bench: Bench,
) -> None:
    row = bench.claim(bench.dispatch())
    began = row.attempt_started_at
    transitions.end_invocation(row, transitions.Checkpoint("here", 40, None))
    bench.advance(60)
    released = transitions.release(bench.claim(row)).after
    assert (released.invocations, released.attempt_started_at) == (1, began)
    assert released.started_at is not None


def test_a_timeout_is_the_attempts_over_all_its_invocations(
    bench: Bench, define: Callable[[Job], None]
) -> None:
    define(Job(once, timeout=490))
    script.job = count(1000, each_takes=50, wait=bench.advance)
    row = bench.dispatch()
    for _ in range(2):
        row = bench.run(row, seconds=300)
        assert row.status is Status.QUEUED
    row = bench.run(row, seconds=300)
    assert (row.status, row.error["kind"]) == (Status.FAILED, "TimedOut")
    assert "its timeout of 490 s" in row.error["message"]
    assert "may already have had side effects" in row.error["message"]


@pytest.mark.parametrize(
    ("interrupted", "status"), [(False, Status.FAILED), (True, Status.RETRYABLE)]
)
def test_an_attempt_that_was_cut_off_at_its_timeout_has_a_next_one_unless_its_tag_says_not(
    bench: Bench, define: Callable[[Job], None], interrupted: bool, status: Status
) -> None:
    define(Job(again, timeout=90, retry=Retry(interrupted=interrupted)))
    script.job = count(1000, each_takes=50, wait=bench.advance)
    row = bench.run(bench.dispatch(), seconds=300)
    assert (row.status, row.error["kind"]) == (status, "TimedOut")


def test_the_next_attempt_has_its_whole_timeout_again() -> None:
    row = job_rows.claimed()
    assert job_rows.retry(row).attempt_started_at is None
    first = row.attempt_started_at
    time.sleep(0.01)
    second = job_rows.claimed(row)
    assert second.attempt_started_at == second.started_at
    assert second.attempt_started_at != first


def test_a_job_nobody_started_within_a_day_fails_as_never_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from job_runners.engine.tick import timer

    sent: list[Message] = []
    row = job_rows.saved()
    resumed = job_rows.saved()
    transitions.end_invocation(job_rows.claimed(resumed), transitions.Checkpoint(1, 1, None))
    monkeypatch.setattr(clock, "now", lambda: row.created_at + clock.DAY + clock.MINUTE)
    counts = timer.tick(
        lambda message, delay=0: sent.append(message), until=clock.now() + 1000
    ).counts
    assert counts == {timer.Disposition.EXPIRED: 1, timer.Disposition.SENT: 1}
    error = read(row).error
    assert error["kind"] == "NeverStarted"
    assert "no job" not in error["message"]  # its type is known
    assert [message.id for message in sent] == [resumed.id]  # started once, so not bound
    monkeypatch.setattr(clock, "now", lambda: row.created_at + 2 * clock.DAY)
    assert queries.page("org", limit=5, status=Status.FAILED).jobs[0].id == row.id


@pytest.mark.parametrize("queues", ["mailings", 5, ("mail ings#",), (5,)])
def test_other_queues_that_are_no_list_of_names_are_refused(queues: Any) -> None:
    with pytest.raises(InvalidDefinition, match="queues"):
        Job(once, queues=queues)
    for good in (("mailings",), ["mailings"]):
        Job(once, queues=good)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [{"timeout": 0}, {"max_invocations": 0}, {"start_within": -1}])
def test_bounds_that_can_not_be_kept_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidDefinition, match="must be above 0"):
        Job(once, **wrong)
