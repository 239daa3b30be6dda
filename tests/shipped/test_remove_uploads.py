"""remove_uploads through its front door, on moto: what goes, and what may still be needed."""

import re
from pathlib import Path
from typing import Any

import pytest

import sample_work
from bench import Bench
from job_runners import caches, clock
from job_runners.aws import bucket
from job_runners.engine.control import caller_actions
from job_runners.engine.schedules import schedules
from job_runners.engine.schedules.recurring import Outcome
from job_runners.errors import MissingObject
from job_runners.shipped.jobs import remove_uploads as module
from job_runners.shipped.jobs import table
from job_runners.shipped.jobs.old_uploads import NeededFiles
from job_runners.shipped.jobs.remove_uploads import RemoveUploads, remove_uploads
from job_runners.store import caller_transitions
from job_runners.store.job_request import JobRequest, Status
from job_runners.testing.aws import forget
from job_runners.work import Recurring
from recording_job import RecordingJob, Stopped
from sample_work import script

CSV = b"first_name,last_name,cell\nAnn,Lee,2125550123\n"


@pytest.fixture(autouse=True)
def week_later(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the job run when what is uploaded now is eight days old."""
    real = clock.now
    monkeypatch.setattr(clock, "now", lambda: real() + 8 * clock.DAY)


def upload(name: str = "a.csv", organization_id: str = "acme") -> str:
    key = f"uploads/{organization_id}/{name}"
    bucket.put_bytes(key, CSV)
    return key


def reading(bench: Bench, key: str, outcome: Status) -> JobRequest:
    """Return a job that reads a file, and has come so far."""
    script.job = lambda job, payload: len(job.read_file(payload.text))
    row = bench.dispatch("sample_once", payload={"text": key})
    if outcome is Status.FAILED:
        bucket.delete(key)
    if outcome is Status.CANCELED:
        caller_transitions.cancel(bench.read(row))
    elif outcome is not Status.QUEUED:
        bench.run(row)
    if outcome is Status.FAILED:
        bucket.put_bytes(key, CSV)
    found = bench.read(row)
    assert found.status is outcome
    return found


def run(job: RecordingJob | None = None, days: int = 7) -> dict[str, Any]:
    """Run the job once the list of jobs shows all recent writes."""
    clock.sleep(2)
    return remove_uploads(job or RecordingJob(), RemoveUploads(older_than_days=days))


def is_there(key: str) -> bool:
    try:
        return bool(bucket.version(key))
    except MissingObject:
        return False


def test_old_files_go_that_were_read_or_that_nobody_asked_for(bench: Bench) -> None:
    done, forgotten, theirs = (
        upload("done.csv"),
        upload("b/forgotten.csv"),
        upload("x.csv", "other"),
    )
    reading(bench, done, Status.SUCCEEDED)
    assert run() == {"removed": 2, "bytes": 2 * len(CSV), "kept": 0}
    assert [is_there(each) for each in (done, forgotten, theirs)] == [False, False, True]
    assert run() == {"removed": 0, "bytes": 0, "kept": 0}


def test_younger_files_stay(bench: Bench) -> None:
    key = upload()
    assert run(days=9) == {"removed": 0, "bytes": 0, "kept": 0}
    assert is_there(key)


@pytest.mark.parametrize("outcome", [Status.QUEUED, Status.FAILED, Status.CANCELED])
def test_a_file_stays_that_a_job_still_needs_or_may_by_a_retry(
    bench: Bench, outcome: Status
) -> None:
    key = upload()
    row = reading(bench, key, outcome)
    assert run() == {"removed": 0, "bytes": 0, "kept": 1}
    if outcome is not Status.QUEUED:
        caller_transitions.requeue(bench.read(row), max_attempts=1)
    assert bench.run(row).status is Status.SUCCEEDED
    assert run()["removed"] == 1


def test_a_file_stays_that_any_job_or_schedule_names_anywhere_in_its_payload(bench: Bench) -> None:
    named, monthly = upload("named.csv"), upload("monthly.csv")
    bench.dispatch("sample_once", payload={"text": named})
    entry = Recurring(
        "sample_once", every=86_400, payload={"text": monthly}, organization_id="acme"
    )
    schedules.put("acme", "monthly", entry)
    assert run() == {"removed": 0, "bytes": 0, "kept": 2}
    nested = NeededFiles("acme")
    nested._add_files({"body": {"files": [{"key": "uploads/acme/deep.csv"}, 7, None]}})
    nested._add_files({"widths": {"uploads/acme/by_name.csv": 3}})
    assert "uploads/acme/deep.csv" in nested
    assert "uploads/acme/by_name.csv" in nested


def test_what_is_dispatched_while_it_runs_keeps_its_file(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CHECK_EVERY", 2)
    keys = [upload(f"{number}.csv") for number in range(6)]

    class Job(RecordingJob):
        def checkpoint(self, *args: Any, **more: Any) -> None:
            super().checkpoint(*args, **more)
            if len(self.cursors) == 1:
                reading(bench, keys[4], Status.QUEUED)
                bench.advance(2)  # the list of jobs may lag behind

    assert run(Job())["removed"] == 5
    assert [is_there(key) for key in keys] == [False] * 4 + [True, False]


@pytest.mark.parametrize("how", ["a schedule", "a job that waits", "a retry"])
def test_what_is_named_while_it_runs_keeps_its_file(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """A job that is given another payload was dispatched long ago."""
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work,unique_sample")
    forget()
    monkeypatch.setattr(module, "_CHECK_EVERY", 2)
    keys = [upload(f"{number}.csv") for number in range(6)]
    bench.dispatch("unique_replace", payload={"text": "none"}, delay=3600)
    canceled = bench.dispatch("sample_once", payload={"text": "none"})
    caller_transitions.cancel(bench.read(canceled))
    bench.advance(10 * 60)

    def name_it() -> None:
        if how == "a schedule":
            again = Recurring(
                "sample_once", every=86_400, payload={"text": keys[4]}, organization_id="acme"
            )
            schedules.put("acme", "daily", again)
        elif how == "a job that waits":
            bench.dispatch("unique_replace", payload={"text": keys[4]}, delay=3600)
        else:
            caller_actions.retry_again(bench.read(canceled), bench.send, {"text": keys[4]})

    class Job(RecordingJob):
        def checkpoint(self, *args: Any, **more: Any) -> None:
            super().checkpoint(*args, **more)
            if len(self.cursors) == 1:
                name_it()

    assert run(Job())["removed"] == 5
    assert [is_there(key) for key in keys] == [False] * 4 + [True, False]


def test_a_file_that_is_replaced_meanwhile_stays(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = upload()
    delete = bucket.delete_unchanged

    def replaced(of: str, etag: str) -> bool:
        bucket.put_bytes(key, CSV + b"Bob,Ray,2125550124\n")
        return delete(of, etag)

    monkeypatch.setattr(bucket, "delete_unchanged", replaced)
    assert run() == {"removed": 0, "bytes": 0, "kept": 1}
    assert is_there(key)


def test_one_that_was_stopped_goes_on_and_counts_all(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CHECK_EVERY", 2)
    keys = [upload(f"{number}.csv") for number in range(7)]
    reading(bench, keys[0], Status.QUEUED)
    job = RecordingJob(stop_at=2)
    with pytest.raises(Stopped):
        run(job)
    assert 0 < sum(map(is_there, keys)) < 7
    assert run(RecordingJob(cursor=job.cursor)) == {"removed": 6, "bytes": 6 * len(CSV), "kept": 1}
    assert [is_there(key) for key in keys] == [True] + [False] * 6


# --- every night ----------------------------------------------------------------------------------


def suggested() -> dict[str, Recurring]:
    """Return the schedule that the comment at the job suggests."""
    source = Path(table.__file__).read_text()
    (comment,) = re.findall(r"^ *# (Recurring\(.+\))$", source, re.MULTILINE)
    return {"nightly_tidying": eval(comment, {"Recurring": Recurring})}


def test_nothing_is_removed_by_itself_and_every_night_by_the_entry_that_is_suggested(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample_work, "RECURRING", suggested(), raising=False)
    forget()
    caches.forget_all()
    theirs = upload(organization_id="other")
    three = clock.now() // clock.DAY * clock.DAY + clock.DAY + 3 * clock.HOUR
    for night in (three, three + clock.DAY):
        key = upload()
        bench.advance((night - 10 * clock.MINUTE - clock.now()) / clock.SECOND)
        assert bench.tick().schedules == {}
        bench.deliver()
        assert is_there(key)
        bench.advance((night + clock.MINUTE - clock.now()) / clock.SECOND)
        assert bench.tick().schedules == {Outcome.STARTED: 1}
        bench.deliver()
        assert not is_there(key)
    assert is_there(theirs)
    assert schedules.get("acme", "nightly_tidying").started == 2
