"""Tests of one's own, run by pytest as somebody's: what passes, and what a failure says."""

import re

import pytest

import job_runners.testing.hostile
import job_runners.testing.job_runner  # noqa: F401
import reminders  # noqa: F401 - pytester takes away what only the inner tests have imported

BEGINNING = """
import pytest
import reminders
from reminders import People
from job_runners.testing.saved_jobs import assert_failed, assert_succeeded

@pytest.fixture
def job_settings():
    return {"JOBS_PACKAGES": "reminders"}

@pytest.fixture(autouse=True)
def sent(monkeypatch):
    sent = []
    monkeypatch.setattr(reminders, "send", lambda text, key=None: sent.append(text))
    return sent
"""


def run(pytester: pytest.Pytester, tests: str) -> pytest.RunResult:
    pytester.makepyfile(BEGINNING + tests)
    return pytester.runpytest_inprocess(
        "-p", "job_runners.testing.plugin", "-p", "no:cacheprovider"
    )


def test_tests_of_ones_own_pass(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
def test_a_job_runs_to_its_end(job_runner, sent):
    job = job_runner.run("remind", People(names=["Ada", "Grace"]))
    assert assert_succeeded(job) == {"reminded": 2}
    assert (job.payload, job.progress) == ({"names": ["Ada", "Grace"]}, 100)
    assert sent == ["text to Ada", "text to Grace"]

def test_retries_are_not_waited_for(job_runner, movable_clock):
    before = movable_clock.now()
    job = job_runner.run("remind_when_it_can", {"names": []})
    assert (assert_succeeded(job), job.attempt, len(job.earlier_errors)) == (3, 3, 2)
    assert movable_clock.now() - before >= 2 * 3600 * 1000

def test_a_job_takes_another_invocation_when_its_time_is_over(job_runner, monkeypatch,
movable_clock):
    monkeypatch.setattr(reminders, "send", lambda *_: movable_clock.advance(50))
    job = job_runner.dispatch("remind", {"names": ["Ada", "Grace", "Mary"]})
    job_runner.drain(seconds=60)
    assert assert_succeeded(job) == {"reminded": 3}

def test_a_job_gets_the_signals_that_it_waits_for(job_runner, saved_jobs, sent, movable_clock):
    job = job_runner.dispatch("remind_if_approved", {"names": ["Ada"]})
    job_runner.run_due()
    movable_clock.advance(8 * 3600)
    job_runner.run_due()
    assert saved_jobs.get(job.id).status == "waiting"
    job_runner.signal(job, "reject", "no")
    job_runner.run_due()
    assert assert_succeeded(job) == "reject: no"
    (question,) = sent
    assert question.startswith("question with https://jobs.example/answers/")
    job = job_runner.run("remind_if_approved", {"names": ["Ada"]}, signals={"approve": 1})
    assert (assert_succeeded(job), sent[2:]) == ("approve: 1", ["text to Ada"])
    from job_runners.work import WaitTimedOut
    assert_failed(job_runner.run("remind_if_approved", {"names": ["Ada"]}), WaitTimedOut)

def test_an_operator_pauses_cancels_and_retries(job_runner, saved_jobs):
    job_runner.pause(queue="default")
    job = job_runner.dispatch("remind", {"names": ["Ada"]})
    job_runner.run_due()
    assert saved_jobs.get(job.id).status == "waiting"
    job_runner.cancel(job)
    job_runner.resume(queue="default")
    job_runner.retry(job.id, People(names=[]))
    job_runner.drain()
    assert assert_succeeded(job) == {"reminded": 0}
    with pytest.raises(TypeError, match="or a queue"):
        job_runner.pause()

def test_what_sleeps_moves_the_clock(job_runner, monkeypatch):
    import time
    monkeypatch.setattr(reminders, "send", lambda *_: time.sleep(3600))
    assert_succeeded(job_runner.run("remind", {"names": ["Ada"]}))

def test_a_failure_is_a_value(job_runner):
    error = assert_failed(job_runner.run("remind_nobody", {"names": []}), LookupError)
    assert error.message == "no such list: []"

def test_what_a_product_dispatches_is_found(saved_jobs, job_runner, movable_clock, sent):
    job_id = reminders.invite(["Ada"])
    job = saved_jobs.only("remind", queue_name="default", payload=People(names=["Ada"]))
    assert (job.id, job.status, len(saved_jobs)) == (job_id, "scheduled", 1)
    job_runner.run_due()
    assert not sent
    movable_clock.advance(3600)
    job_runner.run_due()
    assert sent == ["text to Ada"]
    assert_succeeded(job)  # it is read again

def test_a_task_runs(job_runner):
    job_runner.run_task("note", People(names=["Ada"]))

def test_every_test_begins_with_nothing(saved_jobs):
    assert list(saved_jobs) == []
""",
    )
    result.assert_outcomes(passed=10)


FAILING = """
def test_failed(job_runner):
    assert_succeeded(job_runner.run("remind_nobody", {"names": ["Ada"]}))

def test_not_run(job_runner):
    assert_succeeded(job_runner.dispatch("remind", {"names": []}))

def test_not_failed(job_runner):
    assert_failed(job_runner.run("remind", {"names": ["Ada"]}))

def test_failed_otherwise(job_runner):
    assert_failed(job_runner.run("remind_nobody", {"names": []}), ValueError)

def test_not_dispatched(job_runner, saved_jobs):
    job_runner.dispatch("remind", {"names": ["Ada"]})
    saved_jobs.only("remind", payload={"names": ["Grace"]})

def test_misspelt(job_runner):
    job_runner.run("remnid", {})

def test_misspelt_in_a_search(saved_jobs):
    saved_jobs.all("remnid")

def test_no_such_field(saved_jobs):
    saved_jobs.only("remind", organisation_id="acme")

def test_no_such_payload(job_runner):
    job_runner.run("remind", {"name": "Ada"})

def test_for_ever(job_runner):
    job_runner.run("remind_for_ever", {"names": []})

def test_task(job_runner):
    job_runner.run_task("note", {"names": []})
"""


def test_failures_say_what_happened(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("job_runners.testing.held_runner._MAX_MESSAGES", 20)
    result = run(pytester, FAILING)
    result.assert_outcomes(failed=11)
    result.stdout.fnmatch_lines_random(
        [
            "E*The job 'remind_nobody' (*) has not succeeded. It is failed (attempt 1 of 1,*",
            "E*LookupError: no such list: *Ada*",
            'E*    raise LookupError(f"no such list: {payload.names}")',
            "E*The job 'remind' (*) is not finished. It is queued *"
            "Run saved jobs with job_runner.drain()*",
            "E*The job 'remind' (*) has not failed. It is succeeded (*result*reminded*1*",
            "E*The job 'remind_nobody' (*) failed, but not with ValueError*",
            "E*0 jobs 'remind' with payload={'names': *'Grace'*} are saved, not 1. Saved jobs:",
            'E*  remind *, queued (*payload {"names": *"Ada"*}',
            "E*No job is named 'remnid'. Did you mean 'remind'?",
            "E*A saved job has no field 'organisation_id'. Did you mean 'organization_id'?",
            "E*The payload of remind doesn't match its model: payload.names: Field required*",
            "E*20 messages were not enough. Does a job or a task dispatch itself forever?",
            "E*  remind_for_ever *, queued (*",
            "E*The task 'note' failed permanently in attempt 2: LookupError: nobody to note",
        ]
    )
    text = result.stdout.str()
    [failed] = re.findall(r"_+ test_failed _+\n(.*?)\n_+ ", text, re.DOTALL)
    assert re.search(r"^ERROR +job-runners:", failed, re.MULTILINE)
    assert "service_undefined" not in text
    assert failed.count("raise LookupError") == 1  # the traceback is there once
    assert "job_runners/engine/running/execution.py" not in failed  # and of the work alone
    assert re.search(
        r"failed: LookupError: no such list: .* \(tests/\S+reminders\.py:\d+, in ", failed
    )


HOSTILE = """
KILLED = "killed after side effect 1 ('text to Ada')"

@pytest.fixture(autouse=True)
def service(monkeypatch, hostile):
    def send(text, key=None):
        return hostile.effects.record(text, idempotency_key=key)
    monkeypatch.setattr(reminders, "send", send)

def test_twice(hostile):
    hostile.run("remind_hastily", {"names": ["Ada"]}, only=KILLED).assert_done_once()

def test_never_seen(hostile, monkeypatch):
    monkeypatch.setattr(reminders, "send", print)
    hostile.run("remind", {"names": ["Ada"]}, most=1).assert_done_once()

def test_undisturbed(hostile):
    hostile.run("remind_nobody", {"names": ["Ada"]})

def test_no_such_mishap(hostile):
    hostile.run("remind", {"names": ["Ada"]}, only="killed after efect 1 ('text to Ada')")

def test_no_such_job(hostile):
    hostile.run("remnid")
"""


def test_a_job_that_does_something_twice_is_said_with_how_to_play_that_again(
    pytester: pytest.Pytester,
) -> None:
    result = run(pytester, HOSTILE)
    result.assert_outcomes(failed=5)
    result.stdout.fnmatch_lines_random(
        [
            "E*'remind_hastily': 1 of 1 runs had problems (status: 1 succeeded).",
            "E*Done twice: 'text to Ada'",
            "E*  killed after side effect 1 ('text to Ada'); succeeded in attempt 2",
            "E*Repeat one run: hostile.run('remind_hastily', *, only=\"killed after side effect*",
            "E*If an action must not happen twice, do it in a job.step*",
            "E*hostile saw no side effect of 'remind'*",
            "E*Undisturbed, the job must succeed. The job 'remind_nobody' (*) has not succeeded*",
            "E*Did you mean \"killed after side effect 1 ('text to Ada')\"?",
            "E*No job is named 'remnid'. Did you mean 'remind'?",
        ]
    )
