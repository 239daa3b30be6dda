"""A new job that continues a finished one from a step: what it gets, and what is refused."""

import random
from typing import Any

import pytest

from api_events import Answer, call
from bench import Bench
from job_runners import clock
from job_runners.aws import bucket, clients
from job_runners.engine.control import caller_actions
from job_runners.store import copied_steps, signals, steps
from job_runners.store.job_request import JobRequest, Status
from job_runners.testing import moto_direct
from job_runners.testing.aws import forget
from outage import Outage
from sample_work import Sample, script

DAY = 86_400
LARGE = random.Random(0).randbytes(20_000).hex()


class Work:
    """A job of four steps with waits between them. `done` are the steps that it has run."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.done: list[str] = []
        self.got: list[Any] = []
        script.job = self.run

    def run(self, job: Any, payload: Sample) -> Any:
        """Do the steps, each a second after the one before."""
        self.got.append(job.cursor)
        self.step(job, "one")
        job.checkpoint(1, progress=20)
        job.sleep("an hour", 3600)
        self.step(job, "two")
        job.dispatch("sample_again", {"number": 7}, key="child")
        self.got.append(job.wait_for("approval", timeout=DAY))
        self.got.append(job.wait_for_any(("ok", "no"), timeout=DAY, label="either"))
        self.step(job, "three")
        return self.step(job, "four")

    def step(self, job: Any, name: str) -> Any:
        """Do a step."""

        def do() -> str:
            self.done.append(name)
            self.bench.advance(1)
            return f"{name} {LARGE if name == 'one' else ''}".strip()

        return job.step(name, do)


def finished(bench: Bench) -> JobRequest:
    """Run such a job to its end."""
    row = bench.run(bench.dispatch("sample_once"))
    bench.advance(3600)
    bench.run(row)
    for name, value in (("approval", "yes"), ("no", 3)):
        assert call("PUT", f"/jobs/{row.id}/signals/{name}", body={"value": value}).status == 200
        bench.run(row)
    done = bench.read(row)
    assert done.status is Status.SUCCEEDED
    return done


def rerun(row: JobRequest, step: str, **parts: Any) -> Answer:
    return call("POST", f"/jobs/{row.id}/rerun", body={"from_step": step}, **parts)


def refusal(row: JobRequest, step: str) -> str:
    answer = rerun(row, step)
    assert (answer.status, answer.json["type"]) == (409, "urn:job-runners:rerun-refused")
    detail: str = answer.json["detail"]
    return detail


def test_a_new_job_starts_with_the_results_of_the_steps_before(bench: Bench) -> None:
    work = Work(bench)
    old = finished(bench)
    before = old.attribute_values
    work.done.clear()
    work.got.clear()
    answer = rerun(old, "three")
    assert answer.status == 202, answer.text
    new = bench.read(answer.json["id"])
    done = bench.run(new)
    assert done.status is Status.SUCCEEDED
    assert work.done == ["three", "four"]
    assert work.got == [None, "yes", ("no", 3)]
    assert bench.read(old).attribute_values == before
    children = [row for row in moto_direct.rows("jobs") if row.get("parent_id")]
    assert len(children) == 1  # the new job has no child of its own
    shown = call("GET", f"/jobs/{new.id}/timeline").json
    assert [each["rerun_of"] for each in shown["acts"]] == [old.id]
    copied = [each["name"] for each in shown["records"] if each["outcome"] == "copied"]
    assert copied == ["one", "two"]


def test_from_the_first_step_it_does_all_of_them(bench: Bench) -> None:
    work = Work(bench)
    old = finished(bench)
    work.done.clear()
    new = bench.run(bench.read(rerun(old, "one").json["id"]))
    assert new.status is Status.SCHEDULED
    assert work.done == ["one"]


def test_a_wait_after_the_step_waits_again(bench: Bench) -> None:
    Work(bench)
    old = finished(bench)
    new = bench.run(bench.read(rerun(old, "two").json["id"]))
    assert (new.status, new.awaits_signal) == (Status.WAITING, True)


def test_it_does_not_depend_on_the_old_job_once_it_has_started(bench: Bench) -> None:
    work = Work(bench)
    old = finished(bench)
    new = bench.read(rerun(old, "three").json["id"])
    claimed = bench.claim(new, seconds=60)
    copied_steps.copy(claimed)
    caller_actions.delete(old)
    bench.advance(300)
    work.done.clear()
    copied_steps.copy(claimed)  # an invocation that repeats it needs nothing
    found = steps.find(claimed, "step one")
    assert found is not None
    assert found.result == f"one {LARGE}"


def test_a_job_whose_source_is_deleted_before_it_starts_fails_and_says_why(bench: Bench) -> None:
    Work(bench)
    old = finished(bench)
    new = bench.read(rerun(old, "three").json["id"])
    caller_actions.delete(old)
    failed = bench.run(new)
    assert failed.status is Status.FAILED
    assert failed.error["kind"] == "CopiedStepsGone"
    assert "can't continue from them" in failed.error["message"]


def test_a_step_whose_stored_result_is_gone_fails_the_job_and_says_why(bench: Bench) -> None:
    Work(bench)
    old = finished(bench)
    new = bench.read(rerun(old, "three").json["id"])
    step = steps.find(old, "step one")
    assert step is not None
    bucket.delete(str(step.value_key))
    failed = bench.run(new)
    assert (failed.status, failed.error["kind"]) == (Status.FAILED, "MissingObject")


def test_a_copy_that_aws_interrupts_is_continued(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Work(bench)
    old = finished(bench)
    new = bench.read(rerun(old, "three").json["id"])
    work.done.clear()
    Outage(bench, monkeypatch).begin("throttled", 2000, only="PutItem")
    assert bench.run(new).status is Status.QUEUED  # released: no attempt is used
    bench.advance(2000)
    assert bench.run(new).status is Status.SUCCEEDED
    assert work.done == ["three", "four"]


def test_a_rerun_of_a_rerun_whose_copy_is_cut_off_copies_all_later(bench: Bench) -> None:
    Work(bench)
    old = finished(bench)
    first = bench.run(bench.read(rerun(old, "three").json["id"]))
    second = bench.read(rerun(first, "four").json["id"])
    claimed = bench.claim(second, seconds=60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps.Step, "save", cut_off_after(4, steps.Step.save))
        with pytest.raises(KeyboardInterrupt):
            copied_steps.copy(claimed)
    copied_steps.copy(claimed)
    assert all(steps.find(claimed, f"step {name}") for name in ("one", "two", "three"))


def cut_off_after(number: int, save: Any) -> Any:
    """Return a `save` that is interrupted after this number of calls."""
    saved: list[None] = []

    def save_or_stop(step: steps.Step) -> None:
        if len(saved) == number:
            raise KeyboardInterrupt
        saved.append(None)
        save(step)

    return save_or_stop


def test_a_step_that_took_no_time_is_done_again(still: Bench) -> None:
    done: list[int] = []
    script.job = lambda job, payload: job.step("at once", lambda: done.append(1))
    row = still.run(still.dispatch("sample_once"))
    still.run(still.read(rerun(row, "at once").json["id"]))
    assert done == [1, 1]


def test_another_payload_starts_from_the_beginning(bench: Bench) -> None:
    work = Work(bench)
    old = finished(bench)
    new = bench.read(rerun(old, "three").json["id"])
    caller_actions.cancel(new, bench.send)
    work.done.clear()
    caller_actions.retry_again(bench.read(new), bench.send, {"number": 8})
    bench.run(new)
    assert work.done == ["one"]


def test_a_repeated_request_returns_the_same_job_and_another_step_is_a_conflict(
    bench: Bench,
) -> None:
    Work(bench)
    old = finished(bench)
    key = {"headers": {"idempotency-key": "k", "content-type": "application/json"}}
    first, again = rerun(old, "three", **key), rerun(old, "three", **key)
    assert first.json["id"] == again.json["id"]
    assert rerun(old, "two", **key).status == 409


def test_a_delete_of_the_new_job_leaves_nothing_of_it(bench: Bench) -> None:
    Work(bench)
    old = finished(bench)
    new = bench.run(bench.read(rerun(old, "three").json["id"]))
    caller_actions.delete(new)
    left = [row["pk"] for row in moto_direct.rows("coordination") if new.id in row["pk"]]
    assert left == []
    objects = clients.client("s3").list_objects_v2(Bucket="bucket")["Contents"]
    keys = [each["Key"] for each in objects if each["Key"].startswith("partial/")]
    assert [key for key in keys if new.created_key in key] == []
    assert [key for key in keys if old.created_key in key] != []


def test_what_can_not_be_continued_is_refused_with_the_reason(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    Work(bench)
    old = finished(bench)
    assert "no finished step 'five'. job-runners show lists its steps." in refusal(old, "five")
    assert "no finished step 'step tow'. Its nearest step is 'two'." in refusal(old, "step tow")
    for name, what in {
        "an hour": "a sleep",
        "approval": "a wait for a signal",
        "either": "a wait for signals",
        "child": "a child",
    }.items():
        assert f"{name!r} is {what}, and only a step can be named." in refusal(old, name)
    monkeypatch.setattr(copied_steps, "MAX_COPIED", 3)
    assert "more than 3 records came before the step 'three'" in refusal(old, "three")
    monkeypatch.undo()
    monkeypatch.setattr(copied_steps, "_MAX_READ", 3)
    assert "it has more than 3 records" in refusal(old, "one")
    monkeypatch.undo()
    running = bench.dispatch()
    assert rerun(running, "one").json["type"] == "urn:job-runners:wrong-state"


def test_a_step_that_failed_is_refused_with_the_advice_to_retry(bench: Bench) -> None:
    def work(job: Any, payload: Sample) -> None:
        job.step("first", lambda: 1)
        job.step("last", lambda: 1 / 0)

    script.job = work
    row = bench.run(bench.dispatch("sample_once"))
    assert row.status is Status.FAILED
    advice = "its step 'last' failed. To continue with this step, retry the job instead."
    assert advice in refusal(row, "last")
    assert "no finished step 'third'" in refusal(row, "third")
    assert rerun(row, "first").status == 202


def test_a_group_or_a_link_before_the_step_is_refused_and_not_one_after_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUBLIC_URL", "https://jobs.example.com")

    def work(job: Any, payload: Sample) -> None:
        job.step("first", lambda: bench.advance(1))
        if payload.text == "group":
            job.gather("all", [])
        else:
            job.signal_url("ok", text="Ready?", timeout=DAY)
        bench.advance(1)
        job.step("last", lambda: 1)

    script.job = work
    for text, what in (("group", "a group"), ("link", "a link for an answer")):
        row = bench.run(bench.dispatch("sample_once", payload={"text": text}))
        assert row.status is Status.SUCCEEDED, row.error
        why = f"{what} came before the step 'last', and can't be copied. Use an earlier step."
        assert why in refusal(row, "last")
        assert rerun(row, "first").status == 202
        if what == "a group":
            assert "'all' is a group, and only a step" in refusal(row, "all")


def test_a_type_whose_jobs_replace_each_other_is_refused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBS_PACKAGES", "unique_sample")
    forget()
    script.job = lambda job, payload: job.step("one", lambda: 1)
    row = bench.run(bench.dispatch("unique_replace", payload={"text": "a"}))
    assert "unique" in refusal(row, "one")
    row = bench.run(bench.dispatch("unique_return", payload={"text": "a"}))
    assert rerun(row, "one").status == 202


@pytest.mark.parametrize("late", ["approval", "no"])
def test_a_signal_whose_wait_is_over_is_copied_whatever_the_clocks_say(
    bench: Bench, late: str
) -> None:
    work = Work(bench)
    old = finished(bench)
    sent = signals.find(old, late)
    assert sent is not None
    sent.update([signals.Signal.sent_at.set(clock.now() + 30_000)])  # the API's clock is ahead
    new = bench.read(rerun(old, "four").json["id"])
    work.done.clear()
    assert bench.run(new).status is Status.SUCCEEDED
    assert work.done == ["four"]


def test_a_signal_that_came_before_the_step_is_copied_and_a_later_one_is_not(bench: Bench) -> None:
    def work(job: Any, payload: object) -> None:
        job.step("one", lambda: bench.advance(1))
        job.wait_for("b", timeout=60)

    script.job = work
    row = bench.dispatch("sample_once")
    for name in ("a", "b"):
        call("PUT", f"/jobs/{row.id}/signals/{name}", body={"value": 1})
    bench.advance(1)
    row = bench.run(row)
    late = signals.find(row, "b")
    assert late is not None
    late.update([signals.Signal.sent_at.set(clock.now() + 1000)])
    new = bench.read(rerun(row, "one").json["id"])
    assert bench.run(new).status is Status.WAITING
    assert [each.sk for each in signals.all_of_work(new.work_id)] == ["a"]


def test_a_step_of_a_later_claim_is_not_before_whatever_the_clocks_say(bench: Bench) -> None:
    work = Work(bench)
    old = finished(bench)
    later = steps.find(old, "step three")
    assert later is not None
    later.update([steps.Step.done_at.set(old.created_at - 30_000)])  # a clock that is behind
    work.done.clear()
    new = bench.run(bench.read(rerun(old, "two").json["id"]))
    assert work.done == ["two"]
    assert steps.find(new, "step three") is None


def test_the_acts_and_invocations_of_the_old_job_are_not_the_new_ones(bench: Bench) -> None:
    script.job = lambda job, payload: (job.step("one", lambda: 1), 1 / 0)
    row = bench.dispatch("sample_once")
    for _ in range(6):
        row = bench.run(row)
        call("POST", f"/jobs/{row.id}/retry")
    script.job = lambda job, payload: job.step("two", lambda: 2)
    row = bench.run(row)
    new = bench.run(bench.read(rerun(row, "two").json["id"]))
    shown = call("GET", f"/jobs/{new.id}/timeline").json
    assert [each["what"] for each in shown["acts"]] == ["dispatched"]
    kinds = [(each["kind"], each["name"]) for each in shown["records"]]
    assert sorted(kinds, key=str) == [("invocation", None), ("step", "one"), ("step", "two")]


def test_a_step_of_an_earlier_claim_is_before_whatever_the_clocks_say(bench: Bench) -> None:
    def work(job: Any, payload: object) -> None:
        job.step("early", lambda: 1)
        job.sleep("a while", 60)
        job.step("late", lambda: 1)

    script.job = work
    row = bench.run(bench.dispatch("sample_once"))
    bench.advance(60)
    row = bench.run(row)
    early = steps.find(row, "step early")
    assert early is not None
    early.update([steps.Step.done_at.set(clock.now() + 30_000)])  # a clock that is ahead
    new = bench.read(rerun(row, "late").json["id"])
    assert (new.rerun_of or {})["records"] == 2
    bench.run(new)
    assert steps.find(new, "step early") is not None
    assert signals.all_of_work(new.work_id) == []
