"""The reference pages about errors and limits, compared with the code."""

import inspect
import re

import pytest

from job_runners import errors, names
from job_runners.api import batches, body, problems
from job_runners.api.job_logs import MAX_LINES as LOG_LINES
from job_runners.api.requests import MAX_KEY_LENGTH
from job_runners.django import errors as django_errors
from job_runners.engine import errors as engine_errors
from job_runners.engine.dispatch import bulk
from job_runners.engine.dispatch.dispatch import TASK_PAYLOAD_LIMIT
from job_runners.engine.running.wait_endings import MAX_WAITS
from job_runners.engine.schedules.schedules import MAX_SCHEDULES
from job_runners.places import ROOT
from job_runners.store import children, limits, pauses, queries, signals, steps
from job_runners.work import errors as work_errors
from job_runners.work import gathering, links, member_keys
from job_runners.work.definitions import Job
from job_runners.work.queues import Queue

REFERENCE = ROOT / "docs/reference"
ERRORS = (REFERENCE / "errors.md").read_text()
LIMITS = (REFERENCE / "limits.md").read_text()
# Errors that no job has as its kind: of the configuration, of a schedule, of a write.
_OF_NO_JOB = {"InvalidOccurrences"}
_ENDINGS = ("Interrupted", "TimedOut", "InvocationsSpent", "NeverStarted", "InvalidPayload")


def _names(heading: str) -> set[str]:
    section = ERRORS.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([\w-]+)`", cell)}


def test_every_kind_of_a_failed_job_has_its_cause_and_cure() -> None:
    own = [each for _, each in inspect.getmembers(work_errors, inspect.isclass)]
    defined = {each.__name__ for each in own if each.__module__ == work_errors.__name__}
    recorded = {errors.PauseExpired.__name__, errors.JobTypeRemoved.__name__, *_ENDINGS}
    assert (defined - _OF_NO_JOB) | recorded <= _names("Kinds of a failed job")


def test_every_kind_of_the_page_is_one_of_the_code() -> None:
    known = {
        name
        for module in (errors, engine_errors, work_errors, django_errors)
        for name, each in inspect.getmembers(module, inspect.isclass)
    }
    assert _names("Kinds of a failed job") <= known


def test_every_problem_of_a_request_has_its_status_and_cure() -> None:
    assert _names("Problems of a request") == problems.kinds().keys()
    section = ERRORS.partition("\n## Problems of a request\n")[2]
    for cells, statuses in re.findall(r"^\| (`.*?) \| ([\d, ]+) \|", section, re.MULTILINE):
        slugs = re.findall(r"`([\w-]+)`", cells)
        assert {str(problems.kinds()[each].status) for each in slugs} == set(statuses.split(", "))


@pytest.mark.parametrize(
    ("what", "limit"),
    [
        ("payload of a job: the body of a request", f"{body.MAX_BYTES / 1024 / 1024} MB"),
        ("payload of a task", f"{TASK_PAYLOAD_LIMIT // 1024} KB"),
        (
            "invocations of a job",
            str(inspect.signature(Job).parameters["max_invocations"].default),
        ),
        ("number of waits of a job", f"{MAX_WAITS:,}"),
        ("members of a group", f"{member_keys.MAX_MEMBERS:,}"),
        ("dispatch of members", f"{gathering._ROWS_PER_SECOND} a second for each group"),
        ("key of a member", f"{member_keys._MAX_KEY_LENGTH} bytes"),
        ("value of a signal", f"{signals.MAX_VALUE_BYTES // 1024} KB"),
        ("signals of a job", f"{signals.MAX_PER_JOB:,}"),
        ("text of a link for an answer", f"{links.MAX_TEXT_LENGTH:,} characters"),
        ("choices of a link", f"{links.MAX_CHOICES}, of {links.MAX_CHOICE_LENGTH} characters each"),
        ("name of a step", f"{steps.MAX_NAME_BYTES - len('step '):,} bytes"),
        ("key of a child", f"{steps.MAX_NAME_BYTES - len(children.STEP_PREFIX):,} bytes"),
        ("names of jobs, tasks, queues and organizations", f"{names.MAX_LENGTH} characters"),
        ("jobs in one request", f"{bulk.MAX_JOBS:,}"),
        ("members of a batch in one request", f"{batches.MAX_INLINE_MEMBERS:,}"),
        (
            "file of a batch",
            f"{member_keys.MAX_MEMBERS:,} lines, {batches.MAX_FILE_BYTES // 1024**2} MB, and "
            f"{batches.MAX_CHECK_SECONDS} seconds for the check",
        ),
        ("jobs in one page of a list", str(queries.PAGE_LIMIT)),
        ("jobs that a filtered list examines for a page", str(queries.MAX_EXAMINED)),
        ("idempotency key", f"{MAX_KEY_LENGTH} characters"),
        ("log lines of a job, over the API", str(LOG_LINES)),
        (
            "waiting jobs of a line",
            f"{inspect.signature(Queue).parameters['max_waiting'].default:,}",
        ),
        ("queues with limits that were changed at run time", str(limits.MAX_CHANGED)),
        ("schedules of an organization, created over HTTP", f"{MAX_SCHEDULES:,}"),
    ],
)
def test_a_limit_of_the_page_is_that_of_the_code(what: str, limit: str) -> None:
    (shown,) = re.findall(rf"^\| {re.escape(what)} \| (.+?) \|", LIMITS, re.MULTILINE)
    assert shown == limit


def test_the_page_about_access_names_each_log_line_with_a_caller() -> None:
    """Messages that a function gets as an argument are found where it is called."""
    modules = [path.read_text() for path in (ROOT / "job_runners").rglob("*.py")]
    functions = [each for text in modules for each in text.split("\ndef ")]
    writers = [each for each in functions if "caller_fields()" in each and "logger." in each]
    message = re.compile(r'(?:logger.info, |logger.info\(\n +|^ +)"([a-z ]+)",', re.MULTILINE)
    change = re.compile(r'(?:webhook_changed|schedule_log\.changed)\([^"]*"([a-z ]+)"\)')
    lines = {name for each in writers for name in message.findall(each)}
    lines |= {name for text in modules for name in change.findall(text)} | set(pauses.State)
    page = (ROOT / "docs/operate/access.md").read_text()
    named = page.partition("\nThe log lines of accepted writes are ")[2].partition("\n\n")[0]
    assert lines <= {"answered", *re.findall(r"`([a-z ]+)`", named)}
    assert len(lines) > 15
