"""The list of jobs that wait for a signal, for time, or for a pause to end."""

from typing import Any

import pytest

from api_events import call
from bench import Bench
from job_runners.engine.lines import pausing
from job_runners.store.pauses import Kind
from sample_work import script
from stale_reads import catch_up


def listed(kind: str) -> list[str]:
    query = {"organization_id": "acme", "waits_for": kind}
    catch_up()
    return [job["id"] for job in call("GET", "/jobs", query=query).json["jobs"]]


def test_jobs_are_listed_by_what_they_wait_for(bench: Bench) -> None:
    def waits(job: Any, payload: object) -> None:
        job.wait_for("approval", timeout=600)

    def sleeps(job: Any, payload: object) -> None:
        job.sleep("nap", 600)

    rows = {}
    for kind, work in (("signal", waits), ("time", sleeps)):
        script.job = work
        rows[kind] = bench.run(bench.dispatch("sample_once"))
    pausing.pause(Kind.JOB_TYPE, "sample_once")
    rows["job_type"] = bench.run(bench.dispatch("sample_once"))
    for kind, row in rows.items():
        assert listed(kind) == [row.id]
    assert listed("line") == []


@pytest.mark.parametrize("value", ["approval", "Signal"])
def test_another_cause_of_a_wait_is_refused(bench: Bench, value: str) -> None:
    refused = call("GET", "/jobs", query={"organization_id": "acme", "waits_for": value})
    assert (refused.status, refused.json["type"]) == (400, "urn:job-runners:invalid-query")
    assert "waits_for must be one of" in refused.json["detail"]
