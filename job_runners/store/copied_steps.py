"""Copy the results of a finished job's first steps to a new job, which then continues from there.

The new job's row names what to copy, and its first invocation copies that before it calls the
function. So nothing is copied for a job that isn't saved. In place, a finished job couldn't go
back: its cursor, its children's ids and its idempotency keys are those of the work after the step.
"""

from difflib import get_close_matches
from typing import Any

from job_runners.aws.errors import retry_on_conflict
from job_runners.errors import DoNotRetry, RerunRefused
from job_runners.store import acts, answer_links, blobs, groups, past, signals, steps
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.signals import Signal
from job_runners.store.steps import Step

MAX_COPIED = 1_000  # records that a rerun copies
_MOST_READ = 5_000  # records of a job of which a rerun copies some
_MOST_COMPARED = 200  # names, which may be long
# What a name may belong to instead of a step, by the first word of the record's name.
_OTHERS = {
    "sleep": "a sleep",
    "wait": "a wait for a signal",
    "wait-any": "a wait for signals",
    "gather": "a group",
    "child": "a child",
}
_MARK = "copied"  # the name of the record that says that all others are copied


class CopiedStepsGone(DoNotRetry):
    """The records that a rerun should continue from were deleted before it started."""

    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"The steps of job {job_id} were deleted, so this job can't continue from them. "
            "Dispatch a new job."
        )


def plan(source: JobRequest, name: str) -> dict[str, Any]:
    """Return what a new job copies to continue a finished one from a step, as its row stores it.

    The new job gets what came before that step. Raises RerunRefused.
    """
    step = steps.find(source, f"step {name}")
    if step is None:
        raise RerunRefused(source.id, _why_not_from(source, name))
    found = {
        "id": source.id,
        "work": source.work_id,
        "step": step.sk,
        "claim": step.claim,
        "at": step.began_at,
    }
    if len(steps.query(source.work_id, None, _MOST_READ + 1, values=False)) > _MOST_READ:
        raise RerunRefused(source.id, f"it has more than {_MOST_READ:,} records")
    records, sent = _before(found)
    if len(records) + len(sent) > MAX_COPIED:
        raise RerunRefused(
            source.id, f"more than {MAX_COPIED:,} records came before the step {name!r}"
        )
    for prefix, what in ((groups.STEP, "a group"), (answer_links.STEP, "a link for an answer")):
        if any(each.sk.startswith(prefix) for each in records):
            raise RerunRefused(source.id, f"{what} came before the step {name!r}")
    return found | {"records": len(records), "signals": len(sent)}


def _why_not_from(source: JobRequest, name: str) -> str:
    """Return why a rerun can't start at a name that no finished step has, and what can be done."""
    names: dict[str, list[str]] = {}
    for each in steps.some_of(source.work_id, None, _MOST_READ, values=False):
        kind, _, own = each.sk.partition(" ")
        names.setdefault(kind, []).append(own)
    for kind, what in _OTHERS.items():
        if name in names.get(kind, ()):
            return f"{name!r} is {what}, and only a step can be named"
    if source.status is not Status.SUCCEEDED and (source.error or {}).get("step") == name:
        return f"its step {name!r} failed. To continue with this step, retry the job instead"
    known = names.get("step", [])[:_MOST_COMPARED]
    near = get_close_matches(name.removeprefix("step "), known, n=1)
    hint = f"Its nearest step is {near[0]!r}" if near else "job-runners show lists its steps"
    return f"it has no finished step {name!r}. {hint}"


def copy(job: JobRequest) -> None:
    """Copy what the job's row names, unless that is done or the job began again since.

    It may be repeated. Raises CopiedStepsGone and MissingObject.
    """
    wanted = job.rerun_of
    if job.restarts or steps.find(job, _MARK) is not None:
        return
    records, sent = _before(wanted)
    if (len(records), len(sent)) != (wanted["records"], wanted["signals"]):
        raise CopiedStepsGone(wanted["id"])
    for each in records:
        copied = steps.new(job, each.sk, each.result, each.began_at)
        copied.claim, copied.attempt, copied.done_at = 0, None, each.done_at
        retry_on_conflict(copied.save)
    for signal in sent:
        copied_signal = signals.new(job, signal.sk, signal.result, by=signal.sent_by)
        copied_signal.sent_at, copied_signal.timed_out = signal.sent_at, signal.timed_out
        retry_on_conflict(copied_signal.save)
    steps.record(job, _MARK, None)


def _before(wanted: dict[str, Any]) -> tuple[list[Step], list[Signal]]:
    """Return the records and signals that came before a step.

    Those of earlier claims did, and those of the same claim that were done when the step began.
    Times of different claims aren't compared, because they may be of different clocks. A signal has
    no claim, but the record of its wait has.
    """
    work, claim, at = wanted["work"], wanted["claim"], wanted["at"]
    own = (acts.PREFIX, past.PREFIX, _MARK, wanted["step"])
    found = [
        each
        for each in steps.query(work, None, _MOST_READ + 1)
        if not each.sk.startswith(own[:2]) and each.sk not in own and _is_before(each, claim, at)
    ]
    awaited = {each.sk.removeprefix("wait ") for each in found if each.sk.startswith("wait ")}
    awaited |= {blobs.get(each.value, None) for each in found if each.sk.startswith("any ")}
    return found, [
        each for each in signals.all_of_work(work) if each.sk in awaited or each.sent_at <= at
    ]


def _is_before(record: Step, claim: int, at: int) -> bool:
    return record.claim < claim or (record.claim == claim and record.done_at <= at)
