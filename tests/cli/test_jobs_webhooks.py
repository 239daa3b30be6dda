"""job-runners webhooks: who gets the ends of jobs, as people and programs are told."""

import json
from typing import Any

import pytest

from job_runners.cli.problem import Exit
from jobs_command import ID, FakeApi, job, jobs, problem

WHOSE = "?organization_id=default"
LISTED = f"/webhooks{WHOSE}"
PAGER = f"/webhooks/pager{WHOSE}"
URL = "https://hooks.example.com/jobs"
AT = "2026-11-24T01:00:00.000Z"


def webhook(**changes: Any) -> dict[str, Any]:
    """Return a webhook as the API shows it."""
    return {
        "name": "pager",
        "url": URL,
        "secret": "default/main",
        "statuses": ["failed", "canceled"],
        "job_types": None,
        "updated_at": AT,
        "updated_by": None,
        **changes,
    }


@pytest.mark.parametrize("words", [["webhooks"], ["webhooks", "list"]])
def test_webhooks_in_a_pipe_are_a_line_each_with_tabs(api: FakeApi, words: list[str]) -> None:
    listed = [webhook(), webhook(name="a\x9bb", statuses=None, job_types=["x"])]
    api.on("GET", LISTED, 200, {"webhooks": listed})
    lines = [line.split("\t") for line in jobs(*words).stdout.splitlines()]
    assert lines == [
        ["pager", URL, "default/main", "failed, canceled", "all"],
        ["a\ufffdb", URL, "default/main", "all", "x"],
    ]
    assert json.loads(jobs("webhooks", "--json").stdout) == {"webhooks": listed}


def test_no_webhooks_are_a_sentence(api: FakeApi) -> None:
    api.on("GET", LISTED, 200, {"webhooks": []})
    assert jobs("webhooks").stderr.startswith("No webhooks of organization default.")


@pytest.mark.parametrize(
    ("options", "more"),
    [
        ([], {}),
        (
            ["--status", "failed", "--status", "canceled", "--type", "make_report"],
            {"statuses": ["failed", "canceled"], "job_types": ["make_report"]},
        ),
    ],
)
def test_a_webhook_is_put(api: FakeApi, options: list[str], more: dict[str, Any]) -> None:
    api.on("PUT", PAGER, 201, webhook())
    done = jobs("webhooks", "put", "pager", URL, "--secret", "default/main", *options)
    assert done.stdout == f"Put: webhook pager, on {api.url}\n"
    (asked,) = api.asked("PUT", PAGER)
    assert asked.body == {"url": URL, "secret": "default/main", **more}


def test_a_webhook_is_deleted_after_a_question(api: FakeApi) -> None:
    api.on("DELETE", PAGER, 204, None)
    assert jobs("webhooks", "delete", "pager").exit_code == Exit.USAGE
    assert jobs("webhooks", "delete", "pager", "--yes").exit_code == Exit.DONE
    assert len(api.asked("DELETE", PAGER)) == 1


def test_a_test_prints_the_id_of_its_job(api: FakeApi) -> None:
    api.on("POST", f"/webhooks/pager/test{WHOSE}", 202, job("queued"))
    done = jobs("webhooks", "test", "pager")
    assert done.stdout == f"{ID}\n"
    assert f"job-runners watch {ID[:8]}" in done.stderr


def test_an_unknown_webhook_is_refused(api: FakeApi) -> None:
    detail = "No webhook is named 'pager'."
    api.on("POST", f"/webhooks/pager/test{WHOSE}", 404, problem(404, detail))
    done = jobs("webhooks", "test", "pager")
    assert (done.exit_code, detail in done.stderr) == (Exit.REFUSED, True)
