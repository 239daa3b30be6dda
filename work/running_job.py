"""The job as its function sees it: who it is for, where it left off, how to report."""

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import clock
from aws.errors import AWS_ERRORS, may_pass, retry_until
from errors import PreconditionFailed
from names import without_surrogates
from store import blobs, pauses, verbs
from store.job_request import JobRequest
from work.alarm import defer_alarm
from work.errors import CursorTooLarge, NameNotText, NameTooLong, StepNameTaken
from work.files import JobFiles
from work.results import as_json
from work.signals import CancelAsked, ClaimLost, LegOver, Paused, TimeOver, TurnOver
from work.time_budget import TimeBudget

if TYPE_CHECKING:
    from pydantic import BaseModel

# Writes of a job that checkpoints all the time: soon at first, so that a short job is seen to
# move, then further apart, but never more than 5 s of work unsaved.
_FIRST_GAP = 250  # before the first, which is written at once; it doubles with each
_WIDEST_GAP = 5 * clock.SECOND
# What a row of DynamoDB has room for is 400 KB in all; a row that is full could not even be failed.
_LARGEST_CURSOR = 100 * 1024  # bytes of JSON
_LONGEST_MESSAGE = 1000  # characters

_T = TypeVar("_T")


class Dispatch(Protocol):
    """How a job dispatches more work. Jobs know no runner: they are handed this."""

    def job(self, parent: JobRequest, job_type: str, payload: Any, key: str) -> str:
        """Dispatch a child of this job; return its id."""

    def task(self, task_name: str, payload: Any) -> None:
        """Dispatch a task."""


class RunningJob(JobFiles):
    """What a job function is handed.

    `cursor` is what the last written checkpoint of an earlier leg or attempt left (None at first).
    """

    def __init__(
        self,
        row: JobRequest,
        budget: TimeBudget,
        dispatch: Dispatch,
        *,
        has_next_leg: bool = True,
        may_wait: bool = True,
    ) -> None:
        self._row = row
        self._budget = budget
        self._dispatch = dispatch
        self._has_next_leg = has_next_leg
        self._may_wait = may_wait
        self._gap = _FIRST_GAP
        self._written_at = 0
        self._steps: set[str] = set()  # names taken in this leg
        # Told of what is about to end the job: where it is raised, nobody may be listening.
        self.on_signal: Callable[[BaseException], None] | None = None
        self.cursor: Any = row.cursor
        self.progress: int = row.progress
        self.message: str | None = row.result_message

    @property
    def id(self) -> str:
        """The job's id, the same in every attempt."""
        return self._row.id

    @property
    def organization_id(self) -> str:
        """Whose job it is: everything it reads and writes belongs to this organisation."""
        return self._row.organization_id

    @property
    def campaign_id(self) -> str | None:
        """The campaign it was dispatched for, if any."""
        return self._row.campaign_id

    @property
    def attempt(self) -> int:
        """Which try this is, counted from 1."""
        return self._row.attempt

    @property
    def last_attempt(self) -> bool:
        """Whether this is the last attempt: True if no other one follows when it fails. A job
        without `retry` has one attempt."""
        return self._row.attempt >= self._row.max_attempts

    @property
    def leg(self) -> int:
        """How often the job has been claimed so far, this time included."""
        return self._row.legs

    @property
    def reached(self) -> verbs.Checkpoint:
        """What the last checkpoint said, written or not."""
        return verbs.Checkpoint(self.cursor, self.progress, self.message)

    def time_left(self) -> float:
        """Return the seconds until the job is interrupted: by the timeout of its attempt, or
        shortly before the Lambda invocation of this leg ends."""
        return self._budget.left()

    def checkpoint(
        self,
        cursor: Any = None,
        *,
        progress: float | None = None,
        message: str | None = None,
        durable: bool = False,
    ) -> None:
        """Record that all before `cursor` is done: the next leg or attempt resumes from there.

        `cursor` is JSON and small (kilobytes: it is written each time), else TypeError, ValueError
        or CursorTooLarge; `progress` is 0 to 100 and never goes back; `message` is a line for the
        person who waits. Call it as often as you like: writes are spaced out (at most 5 s apart),
        so work since the last written checkpoint may be repeated. One that AWS does not take now is
        written by a later call. Whoever relies on it being written before going on says `durable`:
        then this returns only once it is.
        When this invocation's time is nearly over, and a `cursor` is given, it does not return: the
        job goes on from there in another (its next leg). Nor does it when the job's owner has
        cancelled it, or when its type or queue is paused.
        """
        self._reach(cursor, progress, message)
        if self._budget.left() == 0:
            raise self._signal(TimeOver())  # in a thread no alarm rings
        # Without a cursor it is a report: to end here would lose what came after the last one.
        if self._has_next_leg and cursor is not None and self._budget.leg_over():
            raise self._signal(LegOver())
        if durable:
            self._write_for_certain()
        elif clock.now() - self._written_at >= self._gap:
            self._write_if_possible()

    def next_turn(
        self, cursor: Any, *, progress: float | None = None, message: str | None = None
    ) -> None:
        """Go to the end of the line of the job's queue, and go on from `cursor` in another turn.

        For work that goes at the rate of its queue, or lets others have their turn: the slot is
        given back, and the job is let on again when there is room, in its next leg. At once, if its
        queue has no limits. Until then no worker has it, its row says how far it is, and it can be
        cancelled. The arguments are those of `checkpoint`, and are recorded for certain. It does
        not return, but for a runner that can't send a job again: then the job just goes on.
        """
        self._reach(cursor, progress, message)
        if self._has_next_leg:
            raise self._signal(TurnOver())
        self._write_for_certain()

    def step(self, name: str, function: Callable[[], Any]) -> Any:
        """Return what `function` returned, as JSON: called now, or in an earlier leg or attempt.

        Its result is stored before this returns, and from then on it is not called again for this
        job, even if the job is retried by hand with the payload it had. If the attempt dies between
        the call and the storing, the next one calls it again: give what must not happen twice an
        idempotency key, such as the job's id and the step's name.

        A name stands for one step of the job: a second step of that name, in the same leg, is
        refused with StepNameTaken; so is a name of more than 1,019 bytes, with NameTooLong, and one
        that UTF-8 has no form for, with NameNotText. Raises
        ResultNotJson, or whatever `function` raises; then nothing is stored, and the step can be
        taken again.
        """
        if name in self._steps:
            raise StepNameTaken(name)
        self._steps.add(name)
        try:
            return self._once("name of the step", "step ", name, function)
        except BaseException:
            self._steps.discard(name)
            raise

    def dispatch(
        self, job_type: str, payload: "Mapping[str, Any] | BaseModel | None" = None, *, key: str
    ) -> str:
        """Dispatch another job, for the same organisation and campaign; return its id.

        `key` names it among the children of this job: a leg or attempt that comes by here again
        adds nothing, whatever its payload is then, and whatever has become of the child. Raises
        UnknownJobType, InvalidPayload; NameTooLong for a key of more than 1,018 bytes, and
        NameNotText for one that UTF-8 has no form for.
        """
        from store import children  # which most jobs do without, as without steps

        asked = _plain(payload)

        def dispatch() -> str:
            return self._keep_trying(lambda: self._dispatch.job(self._row, job_type, asked, key))

        child_id: str = self._once("key of the child", children.PREFIX, key, dispatch)
        return child_id

    def dispatch_task(
        self, task_name: str, payload: "Mapping[str, Any] | BaseModel | None" = None
    ) -> None:
        """Dispatch a task. A leg or attempt that comes by here again dispatches it again, unless it
        is part of a step. Raises UnknownTask, InvalidPayload, PayloadTooLarge, and SendFailed when
        it did not leave."""
        with defer_alarm():
            self._dispatch.task(task_name, _plain(payload))

    def _reach(self, cursor: Any, progress: float | None, message: str | None) -> None:
        if cursor is not None:
            self._budget.step()
            self.cursor = _as_kept(cursor)
        if progress is not None:
            self.progress = max(self.progress, min(100, int(progress)))
        if message is not None:
            self.message = without_surrogates(message[:_LONGEST_MESSAGE])

    def _once(self, what: str, prefix: str, own_name: str, function: Callable[[], Any]) -> Any:
        from store import steps

        name, limit = f"{prefix}{own_name}", steps.LONGEST_NAME - len(prefix)
        if without_surrogates(own_name) != own_name:
            raise NameNotText(what, own_name)
        size = len(own_name.encode())
        if size > limit:
            raise NameTooLong(what, own_name, size, limit)
        done = self._keep_trying(lambda: steps.find(self._row, name))
        if done is None:
            result = as_json(function())
            done = self._keep_trying(lambda: steps.keep(self._row, name, result))
        return done.result

    def _write_if_possible(self) -> None:
        try:
            self._write()
        except AWS_ERRORS as error:
            if not may_pass(error):
                raise

    def _write_for_certain(self) -> None:
        self._keep_trying(self._write)

    def _keep_trying(self, call: Callable[[], _T]) -> _T:
        """Return what the call returns, made again while AWS is away, until the job's time is up.

        Nothing interrupts a call of ours, for nobody would know whether it was applied; what waits
        between two of them may be.
        """

        def once() -> _T:
            with defer_alarm():
                return call()

        try:
            return retry_until(self._budget.ends, once)
        except AWS_ERRORS as error:
            if may_pass(error):
                raise self._signal(TimeOver()) from error
            raise

    def _write(self) -> None:
        try:
            with defer_alarm():
                row = verbs.checkpoint(self._row, self.reached)
                pause = self._pause() if self._may_wait and self.cursor is not None else None
        except PreconditionFailed as refused:
            raise self._signal(ClaimLost(str(refused))) from refused
        if row.cancel_requested:
            raise self._signal(CancelAsked())
        if pause is not None:
            raise self._signal(Paused(pause))
        self._gap = min(_WIDEST_GAP, self._gap * 2)
        self._written_at = clock.now()

    def _signal(self, signal: BaseException) -> BaseException:
        if self.on_signal is not None:
            self.on_signal(signal)
        return signal

    def _pause(self) -> pauses.Pause | None:
        """Return the pause that the job has to wait for; None too if that can't be read."""
        try:
            return pauses.pause_on(self._row)
        except AWS_ERRORS:
            return None


def _as_kept(cursor: Any) -> Any:
    """Return the cursor as it will be read again: a copy, which the job can't change."""
    text = blobs.compact_json(cursor)
    if len(text) > _LARGEST_CURSOR:
        raise CursorTooLarge(len(text), _LARGEST_CURSOR)
    return json.loads(text)


def _plain(payload: "Mapping[str, Any] | BaseModel | None") -> Any:
    from pydantic import BaseModel  # loaded with the job, and not before

    if isinstance(payload, BaseModel):
        return payload.model_dump(mode="json")
    return dict(payload or {})
