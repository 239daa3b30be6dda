"""Named steps, children and tasks of a job: what an attempt that comes by again does not repeat."""

import json
from typing import Any
from urllib.parse import quote

import pytest

import job_runners.handlers.worker
from bench import Bench
from fake_lambda import FakeLambda
from job_runners import clock
from job_runners.aws import clients
from job_runners.engine.control import caller_actions
from job_runners.engine.running import execution
from job_runners.engine.running.retrying import error_record
from job_runners.engine.wire.messages import JobMessage, encode
from job_runners.engine.wire.sending import CANNOT_SEND
from job_runners.errors import RunnerCannotResend
from job_runners.store import queries, steps
from job_runners.store.job_request import JobRequest, Status
from job_runners.testing import moto_direct
from job_runners.testing.aws import WORKER_ARN, forget
from job_runners.testing.lambda_context import Context
from job_runners.work.errors import NameTooLong, ResultNotJson, StepNameTaken
from sample_work import script


def dies_after(function: Any) -> Any:
    """Return a job whose attempts fail after this, all but the last."""

    def work(job: Any, payload: object) -> Any:
        result = function(job)
        if not job.last_attempt:
            raise ValueError("cut off here")
        return result

    return work


def run_all_attempts(bench: Bench, row: JobRequest) -> JobRequest:
    for _ in range(3):
        bench.advance(60)
        row = bench.run(row)
    return row


# --- steps ----------------------------------------------------------------------------------------


def test_a_step_is_called_once_however_many_attempts_come_by(bench: Bench) -> None:
    charged: list[int] = []

    def charge() -> dict[str, int]:
        charged.append(1)
        return {"receipt": 17}

    script.job = dies_after(lambda job: job.step("charge", charge))
    row = run_all_attempts(bench, bench.dispatch())
    assert row.status is Status.SUCCEEDED
    assert len(charged) == 1
    assert row.attempt == 3


@pytest.mark.parametrize("result", [None, False, 0, "", [], {"a": [1, None]}, "x" * 20_000])
def test_a_step_returns_the_same_json_every_time(bench: Bench, result: Any) -> None:
    seen: list[Any] = []
    script.job = dies_after(lambda job: seen.append(job.step("one", lambda: result)))
    run_all_attempts(bench, bench.dispatch())
    assert seen == [result] * 3


def test_a_large_result_of_a_step_is_kept_in_the_bucket(bench: Bench) -> None:
    large = [str(number * 7919 % 10_007) for number in range(20_000)]
    script.job = dies_after(lambda job: job.step("one", lambda: large) == large)
    row = bench.dispatch()
    run_all_attempts(bench, row)
    kept = steps.find(row, "step one")
    assert kept is not None
    assert kept.value_key
    assert kept.result == large


def test_a_step_that_fails_is_called_again(bench: Bench) -> None:
    tried: list[int] = []

    def flaky() -> str:
        tried.append(1)
        if len(tried) < 3:
            raise ValueError("not yet")
        return "done"

    script.job = lambda job, payload: job.step("flaky", flaky)
    row = run_all_attempts(bench, bench.dispatch())
    assert row.status is Status.SUCCEEDED
    assert len(tried) == 3


def test_a_step_whose_result_is_no_json_fails_and_is_not_kept(bench: Bench) -> None:
    script.job = lambda job, payload: job.step("one", object)
    row = bench.run(bench.dispatch("sample_once"))
    assert row.error["kind"] == ResultNotJson.__name__
    assert steps.find(row, "step one") is None


def test_of_two_who_do_the_same_step_the_first_result_stands(bench: Bench) -> None:
    row = bench.dispatch()
    assert steps.record(row, "one", "first").result == "first"
    assert steps.record(row, "one", "second").result == "first"


def test_a_result_that_is_forgotten_while_another_is_kept_leaves_a_result(bench: Bench) -> None:
    """The job has ended elsewhere, and its owner deletes it: a worker runs it still."""
    row = bench.dispatch()
    steps.record(row, "one", "first")

    def forget(**_: object) -> None:
        steps.delete(row)

    clients.client("dynamodb").meta.events.register("before-call.dynamodb.GetItem", forget)
    assert steps.record(row, "one", "second").result == "second"


def test_steps_of_two_jobs_are_two(bench: Bench) -> None:
    script.job = lambda job, payload: job.step("one", lambda: job.id)
    for row in (bench.dispatch(), bench.dispatch()):
        bench.run(row)
        kept = steps.find(row, "step one")
        assert kept is not None
        assert kept.result == row.id


def test_a_step_is_not_called_again_when_the_job_is_retried_manually(bench: Bench) -> None:
    charged: list[int] = []

    def work(job: Any, payload: object) -> None:
        job.step("charge", lambda: charged.append(1))
        raise ValueError("no luck")

    script.job = work
    row = bench.run(bench.dispatch("sample_once"))
    bench.run(caller_actions.retry_again(row, bench.send))
    assert len(charged) == 1


def test_retried_manually_with_another_payload_it_begins_with_no_step_and_no_child(
    bench: Bench,
) -> None:
    charged: list[int] = []
    children: list[str] = []

    def work(job: Any, payload: Any) -> None:
        if payload.text == "child":
            return
        charged.append(job.step("charge", lambda: payload.number))
        children.append(job.dispatch("sample_once", {"text": "child"}, key="one"))
        raise ValueError("no luck")

    script.job = work
    row = bench.run(bench.dispatch("sample_once"))
    for payload in ({"number": 2}, None, {"number": 2}, {"number": 3}):
        row = bench.run(caller_actions.retry_again(row, bench.send, payload))
        bench.advance(1)
    assert charged == [1, 2, 2, 2, 3]
    assert [children.index(each) for each in children] == [0, 1, 1, 1, 4]
    caller_actions.delete(row)
    assert len(row.work_ids) == 3
    for beginning in row.work_ids:
        assert not list(steps.Step.query(f"step#{beginning}", consistent_read=True))


def test_a_second_step_of_the_same_name_is_refused_in_the_same_invocation(bench: Bench) -> None:
    charged: list[str] = []

    def work(job: Any, payload: object) -> None:
        for name in ("Ann", "Bob"):
            job.step("charge", lambda name=name: charged.append(name))

    script.job = work
    row = bench.run(bench.dispatch())
    assert row.status is Status.FAILED  # another attempt would do the same
    assert row.error["kind"] == StepNameTaken.__name__
    assert "'charge'" in row.error["message"]
    assert charged == ["Ann"]


def test_a_name_too_long_for_the_table_is_refused_before_the_step_is_called(bench: Bench) -> None:
    called: list[int] = []
    longest = steps.MAX_NAME_BYTES - len("step ")
    script.job = lambda job, payload: job.step("n" * longest, lambda: called.append(1))
    assert bench.run(bench.dispatch("sample_once")).status is Status.SUCCEEDED
    script.job = lambda job, payload: job.step("n" * (longest + 1), lambda: called.append(2))
    row = bench.run(bench.dispatch())
    assert (row.status, row.attempt) == (Status.FAILED, 1)  # another attempt would do the same
    assert row.error["kind"] == NameTooLong.__name__
    assert "The name of the step has 1,020 bytes. The limit is 1,019." in row.error["message"]
    assert called == [1]


NOT_UTF8 = "caf\udce9.csv"  # as os.listdir names a file whose name is in Latin-1


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda job: job.step(NOT_UTF8, lambda: None), "The name of the step"),
        (lambda job: job.dispatch("sample_once", {"number": 1}, key=NOT_UTF8), "The key of the"),
    ],
    ids=["step", "child"],
)
def test_a_name_that_utf8_has_no_form_for_is_refused(bench: Bench, call: Any, what: str) -> None:
    script.job = lambda job, payload: call(job)
    row = bench.run(bench.dispatch())
    assert (row.status, row.attempt, row.error["kind"]) == (Status.FAILED, 1, "NameNotText")
    assert row.error["message"].startswith(what)


def test_a_message_keeps_what_utf8_has_a_form_for(bench: Bench) -> None:
    script.job = lambda job, payload: job.checkpoint(1, message=f"read {NOT_UTF8}")
    row = bench.run(bench.dispatch())
    assert (row.status, row.result_message) == (Status.SUCCEEDED, "read caf?.csv")


class Silent(Exception):
    """An error that can't say what went wrong."""

    def __str__(self) -> str:
        raise RuntimeError


def test_an_error_that_cannot_be_printed_fails_its_job_and_is_named(bench: Bench) -> None:
    script.job = lambda job, payload: raise_it(Silent())
    row = bench.run(bench.dispatch("sample_once"))
    assert (row.status, row.error["kind"]) == (Status.FAILED, "Silent")
    assert row.error["message"] == "the error's __str__ raised RuntimeError"


def test_an_error_keeps_what_utf8_has_a_form_for() -> None:
    assert error_record(ValueError(NOT_UTF8))["message"] == "caf?.csv"


def raise_it(error: Exception) -> None:
    raise error


def test_a_step_that_failed_may_be_taken_again_in_the_same_invocation(bench: Bench) -> None:
    tried: list[int] = []

    def flaky() -> int:
        tried.append(1)
        if len(tried) == 1:
            raise ValueError("not yet")
        return len(tried)

    def work(job: Any, payload: object) -> Any:
        try:
            return job.step("flaky", flaky)
        except ValueError:
            return job.step("flaky", flaky)

    script.job = work
    row = bench.run(bench.dispatch("sample_once"))
    assert (row.status, len(tried)) == (Status.SUCCEEDED, 2)


def test_a_job_under_a_key_that_is_free_again_has_done_no_step_and_has_no_child(
    bench: Bench,
) -> None:
    """It has the id of the job that expired, and nothing else of it."""
    charged: list[int] = []
    children: list[str] = []

    def work(job: Any, payload: object) -> None:
        job.step("charge", lambda: charged.append(1))
        if job.id not in children:  # the children run this too
            children.append(job.dispatch("sample_again", {"number": 1}, key="child"))

    script.job = work
    first = bench.run(bench.dispatch("sample_once", idempotency_key="k"))
    bench.advance(31 * 24 * 3600)
    again = bench.run(bench.dispatch("sample_once", idempotency_key="k"))
    assert (again.id, again.status) == (first.id, Status.SUCCEEDED)
    assert len(charged) == 2
    assert len(set(children)) == 2


# --- children -------------------------------------------------------------------------------------


def test_a_child_is_added_once_however_many_attempts_come_by(bench: Bench) -> None:
    children: list[str] = []
    script.job = dies_after(
        lambda job: children.extend(
            job.dispatch("sample_once", {"number": n}, key=f"part {n}") for n in (1, 2)
        )
    )
    parent = run_all_attempts(bench, bench.dispatch())
    assert len(children) == 6
    assert len(set(children)) == 2
    listed = queries.page("acme", limit=10).jobs
    assert {row.id for row in listed} == {parent.id, *children}
    assert bench.read(children[0]).organization_id == "acme"


def test_a_child_has_the_request_of_its_parent(bench: Bench) -> None:
    parent = bench.dispatch()
    parent.update([JobRequest.request_id.set("request-1")])
    script.job = lambda job, payload: job.dispatch("sample_once", key="one")
    execution.run(
        JobMessage.about(bench.read(parent)), deadline=clock.now() + 900_000, send=bench.send
    )
    (child,) = bench.sent_jobs
    assert bench.read(child).request_id == "request-1"


def test_a_child_that_has_begun_is_not_sent_again(bench: Bench) -> None:
    script.job = lambda job, payload: (
        payload.number == 1 and job.dispatch("sample_once", {"number": 2}, key="one")
    )
    parent = bench.dispatch()
    bench.run(parent)
    bench.deliver()
    parent = bench.read(parent)
    script.jobs_run.clear()
    parent.update([JobRequest.status.set(Status.QUEUED)])  # its attempt comes by again
    bench.run(parent)
    assert not bench.sent


def test_a_child_that_was_deleted_is_not_added_again(bench: Bench) -> None:
    ran: list[int] = []

    def work(job: Any, payload: Any) -> None:
        if payload.number == 2:
            ran.append(1)
            return
        job.dispatch("sample_once", {"number": 2}, key="one")
        if not job.last_attempt:
            raise ValueError("cut off here")

    script.job = work
    parent = bench.run(bench.dispatch())
    child = next(each for each in bench.sent_jobs if each != parent.id)
    caller_actions.delete(bench.run(bench.read(child)))
    bench.sent.clear()
    assert run_all_attempts(bench, parent).status is Status.SUCCEEDED
    bench.deliver()
    assert len(ran) == 1


def test_the_worker_function_dispatches_children_and_tasks_of_jobs(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its environment lacks WORKER_LAMBDA_FUNCTION_NAME, as in the template."""
    row = bench.dispatch("sample_once")
    monkeypatch.setenv("JOB_RUNNER", "lambda-async")
    monkeypatch.delenv("WORKER_LAMBDA_FUNCTION_NAME", raising=False)
    forget()
    fake = FakeLambda()

    def work(job: Any, payload: Any) -> None:
        if payload.number == 1:
            job.dispatch("sample_once", {"number": 2}, key="one")
            job.dispatch_task("sample_note", {"number": 7})

    script.job = work
    job_runners.handlers.worker.handler(json.loads(encode(JobMessage.about(row))), Context())  # type: ignore[arg-type]
    assert bench.read(row).error is None
    assert [event["kind"] for event in fake.events] == ["job", "task"]
    assert {invoke["url"].split("/")[-2] for invoke in fake.invokes} == {quote(WORKER_ARN, safe="")}
    fake.deliver()
    assert [each.number for each in script.tasks_run] == [7]


def test_two_parents_with_the_same_key_have_two_children(bench: Bench) -> None:
    script.job = lambda job, payload: {"child": job.dispatch("sample_once", key="one")}
    for _ in range(2):
        bench.run(bench.dispatch())
    assert len(set(bench.sent_jobs)) == 2


def test_a_child_that_can_not_be_is_an_error_of_its_parent(bench: Bench) -> None:
    script.job = lambda job, payload: job.dispatch("sample_onec", key="one")
    row = bench.run(bench.dispatch("sample_once"))
    assert "Did you mean 'sample_once'" in row.error["message"]


def test_a_job_whose_runner_can_not_send_dispatches_nothing(bench: Bench) -> None:
    script.job = lambda job, payload: job.dispatch("sample_once", key="one")
    row = bench.dispatch("sample_once")
    execution.run(JobMessage.about(row), deadline=clock.now() + 900_000, send=CANNOT_SEND)
    assert bench.read(row).error["kind"] == RunnerCannotResend.__name__
    assert len(moto_direct.rows("jobs")) == 1


# --- tasks ----------------------------------------------------------------------------------------


def test_a_task_in_a_step_is_sent_once_however_many_attempts_come_by(bench: Bench) -> None:
    script.job = dies_after(
        lambda job: job.step("tell", lambda: job.dispatch_task("sample_note", {"number": 7}))
    )
    run_all_attempts(bench, bench.dispatch())
    assert [task.payload for task in bench.sent_tasks] == [{"number": 7}]
    bench.deliver()
    assert [each.number for each in script.tasks_run] == [7]
