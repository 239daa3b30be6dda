"""The legacy runner in a deployed stack, where the API function does all work (API_RUNS_WORK).

The first job or task that a request dispatches runs before the response, because Lambda freezes
the process afterwards. All other work begins in an asynchronous invocation of the same function:
jobs and tasks that other jobs dispatch, a job's next invocation or attempt, and jobs that the timer
finds due. Delayed messages wait on the delay queue. If such a message is lost, the timer starts its
job, because the job's row has a due time too.
"""

from contextvars import Context
from typing import TYPE_CHECKING, NamedTuple

from job_runners import clock
from job_runners.engine.running.execution import run
from job_runners.engine.telemetry import log, telemetry, tracing
from job_runners.engine.wire.messages import Message, TaskMessage, decode, encode
from job_runners.runners import lambda_async
from job_runners.settings import required

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


class _Invocation(NamedTuple):
    """An invocation of the API function."""

    id: str
    function: str  # the alias by which it was invoked
    deadline: int  # when Lambda ends it, in milliseconds since 1970


class _Current:
    """The invocation in progress. Lambda gives a process one event at a time."""

    invocation: _Invocation | None = None  # None in the timer and in the failures function
    may_run = False  # whether it is a request that has not yet run a job or task


def begin(context: "LambdaContext", *, may_run: bool) -> None:
    """Record the invocation that begins.

    Pass `may_run=True` for a request, which may run the work that it dispatches. An invocation with
    a message runs only that message's work.
    """
    _Current.invocation = _Invocation(
        context.aws_request_id,
        context.invoked_function_arn,
        clock.now() + context.get_remaining_time_in_millis(),
    )
    _Current.may_run = may_run


def run_or_send(message: Message, delay: float = 0) -> None:
    """Run the job or task that a request dispatches, and return when it has ended.

    If it has a delay, or if this request has already run a job or task, send it instead. Raises
    SendFailed. If a task can't begin, this raises the reason, because the task isn't stored.
    """
    invocation = _Current.invocation
    if invocation is None or not _Current.may_run or delay > 0:
        send(message, delay)
        return
    _Current.may_run = False
    # A new context hides the request's context, and especially its caller, from the work.
    Context().run(_run, decode(encode(message)), invocation)


def send(message: Message, delay: float = 0) -> None:
    """Invoke the API function asynchronously with the message, now or after a delay.

    Raises SendFailed.
    """
    invocation = _Current.invocation
    if invocation is not None:
        function = invocation.function
    else:
        function = required("WORKER_LAMBDA_FUNCTION_NAME", "JOB_RUNNER=legacy in a stack")
    lambda_async.sender(function)(message, delay)


def _run(message: Message, invocation: _Invocation) -> None:
    log.set_up()
    tracing.invoked(invocation.id)
    try:
        run(
            message,
            deadline=invocation.deadline,
            send=lambda_async.sender(invocation.function),
        )
    except Exception as error:
        if isinstance(message, TaskMessage):
            raise
        telemetry.crashed(error)  # the job stays due
