"""Whether a message is sent about a job, and for when; and what is said of a runner that can't send
one again, in one place."""

import ast
from collections.abc import Callable
from typing import Any

import pytest

from bench import Bench
from job_runners import clock
from job_runners.engine.control import caller_actions
from job_runners.engine.dispatch import dispatch
from job_runners.engine.running import execution
from job_runners.engine.wire.messages import JobMessage
from job_runners.engine.wire.sending import (
    CANNOT_SEND,
    MAX_MESSAGE_DELAY,
    Send,
    next_due_at,
    require_sender,
)
from job_runners.errors import RunnerCannotResend
from job_runners.places import ROOT
from job_runners.runners.base import JobData
from job_runners.store import conditional_write, transitions
from job_runners.store.job_request import JobRequest, Status


def test_it_returns_the_sender_that_there_is() -> None:
    def send(message: object, delay: float = 0) -> None:
        pass

    assert require_sender(send, "mow", "has a retry policy") is send


def test_without_one_the_error_names_the_job_and_what_it_needs() -> None:
    with pytest.raises(RunnerCannotResend, match=r"'mow' has a retry policy. That requires"):
        require_sender(CANNOT_SEND, "mow", "has a retry policy")


def test_nobody_else_says_it() -> None:
    makers = {
        str(path.relative_to(ROOT))
        for folder in ("runners", "handlers", "job_runners")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", getattr(node.func, "attr", "")) == "RunnerCannotResend"
    }
    assert makers == {"job_runners/engine/wire/sending.py", "job_runners/work/waiting.py"}


# --- a message about a job ------------------------------------------------------------------------


def ask(bench: Bench, **fields: Any) -> JobRequest:
    """Ask for a job, again if it was asked for before."""
    data = JobData(job_type="sample_once", organization_id="acme", idempotency_key="mow", **fields)
    return dispatch.dispatch_job(data, bench.send).row


def nothing(bench: Bench, row: JobRequest) -> None:
    pass


def began_and_waits_for_its_next_invocation(bench: Bench, row: JobRequest) -> None:
    transitions.end_invocation(bench.claim(row), transitions.Checkpoint("here", 40, None))


def was_canceled(bench: Bench, row: JobRequest) -> None:
    caller_actions.cancel(row)


@pytest.mark.parametrize(
    ("happened", "messages"),
    [(nothing, 2), (began_and_waits_for_its_next_invocation, 1), (was_canceled, 1)],
)
def test_a_job_that_is_asked_for_again_is_sent_again_if_nobody_has_begun_it(
    bench: Bench, happened: Callable[[Bench, JobRequest], None], messages: int
) -> None:
    row = ask(bench)
    happened(bench, row)
    assert ask(bench).id == row.id
    assert bench.sent_jobs == [row.id] * messages


def test_the_message_of_a_job_that_is_to_start_later_comes_then(still: Bench) -> None:
    ask(still, delay=60)
    ((_, delay),) = still.sent
    assert delay == 60


def test_a_message_that_comes_early_is_left_where_none_can_be_sent(bench: Bench) -> None:
    row = ask(bench, delay=60)
    execution.run(JobMessage.about(row), deadline=clock.now() + 900_000, send=CANNOT_SEND)
    assert bench.read(row).status is Status.SCHEDULED


@pytest.mark.parametrize(
    ("seconds", "by_message"), [(0, True), (MAX_MESSAGE_DELAY, True), (901, False)]
)
def test_the_timer_starts_what_no_message_will_and_makes_sure_of_the_rest(
    still: Bench, seconds: float, by_message: bool
) -> None:
    def due_after(send: Send) -> int:
        at = clock.now() + int(seconds * clock.SECOND)
        return next_due_at(at, send) - at

    assert due_after(CANNOT_SEND) == 0
    assert due_after(still.send) == (conditional_write.GRACE if by_message else 0)
