"""Rerun a finished job from a step: a new job copies the results of the steps before that one.

The new job's row says what to copy. The job's first invocation makes the copy, and then calls the
function. So nothing is copied for a job that isn't saved. The finished job itself can't continue
from an earlier step, because its cursor, its children's ids and its idempotency keys belong to the
work after that step.
"""

from difflib import get_close_matches
from typing import Any

from job_runners.aws.errors import retry_on_conflict
from job_runners.errors import DoNotRetry, RerunRefused
from job_runners.store import acts, answer_links, blobs, groups, past, signals, steps
from job_runners.store.job_request import JobRequest
from job_runners.store.signals import Signal
from job_runners.store.steps import Step

MAX_COPIED = 1_000  # steps and signals
_MAX_READ = 5_000  # steps of the finished job
_MAX_COMPARED = 200  # names of steps, to suggest a similar one
# Descriptions of the other kinds of records, by the first word of the record's name.
_OTHER_KINDS = {
    "sleep": "a sleep",
    "wait": "a wait for a signal",
    "wait-any": "a wait for signals",
    "gather": "a group",
    "child": "a child",
}
_COPIED_STEP = "copied"  # the new job records this step once all others are copied


class CopiedStepsGone(DoNotRetry):
    """The steps that a job was to copy were deleted before it started."""

    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"The steps of job {job_id} were deleted, so this job can't continue from them. "
            "Dispatch a new job."
        )


def plan(source: JobRequest, name: str) -> dict[str, Any]:
    """Return what a new job must copy to continue a finished one from the step `name`.

    The new job's row stores this plan as `rerun_of`. Raises RerunRefused.
    """
    step = steps.find(source, f"step {name}")
    if step is None:
        raise RerunRefused(source.id, _why_not_from(source, name))
    rerun_of = {
        "id": source.id,
        "work": source.work_id,
        "step": step.sk,
        "claim": step.claim,
        "at": step.began_at,
    }
    if len(steps.query(source.work_id, None, _MAX_READ + 1, values=False)) > _MAX_READ:
        raise RerunRefused(source.id, f"it has more than {_MAX_READ:,} records")
    earlier_steps, earlier_signals = _before_step(rerun_of)
    if len(earlier_steps) + len(earlier_signals) > MAX_COPIED:
        raise RerunRefused(
            source.id, f"more than {MAX_COPIED:,} records came before the step {name!r}"
        )
    uncopyable_kinds = {
        groups.STEP_PREFIX: "a group",
        answer_links.STEP_PREFIX: "a link for an answer",
    }
    for prefix, what in uncopyable_kinds.items():
        if any(earlier.sk.startswith(prefix) for earlier in earlier_steps):
            why = f"{what} came before the step {name!r}, and can't be copied. Use an earlier step"
            raise RerunRefused(source.id, why)
    return rerun_of | {"records": len(earlier_steps), "signals": len(earlier_signals)}


def _why_not_from(source: JobRequest, name: str) -> str:
    """Return why no finished step has this name, and what the caller can do."""
    names: dict[str, list[str]] = {}
    for record in steps.query(source.work_id, None, _MAX_READ, values=False):
        kind, _, record_name = record.sk.partition(" ")
        names.setdefault(kind, []).append(record_name)
    for kind, what in _OTHER_KINDS.items():
        if name in names.get(kind, ()):
            return f"{name!r} is {what}, and only a step can be named"
    if (source.error or {}).get("step") == name:  # a job that succeeded has no error
        return f"its step {name!r} failed. To continue with this step, retry the job instead"
    step_names = names.get("step", [])[:_MAX_COMPARED]
    nearest = get_close_matches(name.removeprefix("step "), step_names, n=1)
    hint = f"Its nearest step is {nearest[0]!r}" if nearest else "job-runners show lists its steps"
    return f"it has no finished step {name!r}. {hint}"


def copy(job: JobRequest) -> None:
    """Copy the steps and signals of the plan in a job's row.

    Do nothing if they have already been copied, or if the job has started over since. This may be
    repeated. Raises CopiedStepsGone and MissingObject.
    """
    rerun_of = job.rerun_of
    if job.restarts or steps.find(job, _COPIED_STEP) is not None:
        return
    earlier_steps, earlier_signals = _before_step(rerun_of)
    if (len(earlier_steps), len(earlier_signals)) != (rerun_of["records"], rerun_of["signals"]):
        raise CopiedStepsGone(rerun_of["id"])
    for step in earlier_steps:
        step_copy = steps.new(job, step.sk, step.result, step.began_at)
        step_copy.claim = 0
        step_copy.attempt = None
        step_copy.done_at = step.done_at
        retry_on_conflict(step_copy.save)
    for signal in earlier_signals:
        signal_copy = signals.new(job, signal.sk, signal.result, by=signal.sent_by)
        signal_copy.sent_at = signal.sent_at
        signal_copy.timed_out = signal.timed_out
        retry_on_conflict(signal_copy.save)
    steps.record(job, _COPIED_STEP, None)


def _before_step(rerun_of: dict[str, Any]) -> tuple[list[Step], list[Signal]]:
    """Return the steps and signals that came before the step of a rerun.

    A signal counts as earlier if it was sent before that step, or if the job's wait for the signal
    is recorded in an earlier step.
    """
    work_id = rerun_of["work"]
    earlier_steps = [
        step
        for step in steps.query(work_id, None, _MAX_READ + 1)
        if not step.sk.startswith((acts.PREFIX, past.PREFIX))
        and step.sk not in (_COPIED_STEP, rerun_of["step"])
        and _is_earlier(step, rerun_of)
    ]
    awaited_names = set()
    for step in earlier_steps:
        if step.sk.startswith("wait "):
            awaited_names.add(step.sk.removeprefix("wait "))
        if step.sk.startswith("any "):  # its result is the name of the signal that arrived first
            awaited_names.add(blobs.get(step.value, None))
    earlier_signals = [
        signal
        for signal in signals.all_of_work(work_id)
        if signal.sk in awaited_names or signal.sent_at <= rerun_of["at"]
    ]
    return earlier_steps, earlier_signals


def _is_earlier(step: Step, rerun_of: dict[str, Any]) -> bool:
    """Return whether a step was done before the step of a rerun began.

    The times of different claims aren't compared, because they may come from different clocks.
    """
    if step.claim == rerun_of["claim"]:
        return bool(step.done_at <= rerun_of["at"])
    return bool(step.claim < rerun_of["claim"])
