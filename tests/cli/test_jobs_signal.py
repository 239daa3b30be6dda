"""job-runners signal, and what the command says of jobs that wait for one."""

from typing import Any

import pytest

from job_runners.cli.problem import Exit
from jobs_command import ID, FakeApi, job, jobs, problem

SIGNAL = ("PUT", f"/jobs/{ID}/signals/approval")
WAITS_FOR = {
    "kind": "signal",
    "name": "answer",
    "key": None,
    "since": "2026-11-24T12:00:00.000Z",
    "until": "2026-11-25T12:00:00.000Z",
    "names": ["approval", "rejection"],
}


@pytest.mark.parametrize(
    ("words", "value"),
    [(['{"ok": true}'], {"ok": True}), (['"yes"'], "yes"), ([], None)],
)
def test_a_signal_is_sent_with_its_value(api: FakeApi, words: list[str], value: Any) -> None:
    api.on(*SIGNAL, 200, job("queued"))
    done = jobs("signal", ID, "approval", *words)
    assert done.exit_code == Exit.DONE
    assert "queued" in done.stdout
    assert [call.body for call in api.asked(*SIGNAL)] == [{"value": value}]


def test_a_value_that_is_not_json_is_not_sent(api: FakeApi) -> None:
    done = jobs("signal", ID, "approval", "yes")
    assert done.exit_code == Exit.USAGE
    assert "VALUE isn't JSON" in done.stderr
    assert api.calls == []


@pytest.mark.parametrize(("slug", "status"), [("signal-conflict", 409), ("signal-too-late", 410)])
def test_a_refusal_says_why(api: FakeApi, slug: str, status: int) -> None:
    refusal = problem(status, "Only the first value counts.") | {"type": f"urn:job-runners:{slug}"}
    api.on(*SIGNAL, status, refusal)
    done = jobs("signal", ID, "approval", "1")
    assert done.exit_code == Exit.REFUSED
    assert "Only the first value counts." in done.output


def test_the_jobs_that_wait_for_a_signal_are_listed(api: FakeApi) -> None:
    listed = {"jobs": [job("waiting", waits_for=WAITS_FOR)], "cursor": None}
    api.on("GET", "/jobs?organization_id=default&limit=100&waits_for=signal", 200, listed)
    done = jobs("list", "--waits-for", "signal")
    assert "the signal approval or rejection, until" in done.stdout
