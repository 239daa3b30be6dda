"""`RunningJob`, the object that a job's function gets as its first argument.

A job may take several Lambda invocations. Its *row*, an item in DynamoDB, stores its last
checkpoint. The invocation that runs the job has the *claim* on the row: no other invocation may run
the job. An *interrupt* is an exception that ends the function early, for example to continue in
another invocation. A *step* is a call whose result is stored, so that later invocations don't
repeat it. A *child* is a job that this job dispatches.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from job_runners import clock
from job_runners.aws.errors import AWS_ERRORS, is_temporary, retry_until
from job_runners.errors import JobRunnersError, PreconditionFailed
from job_runners.names import without_surrogates
from job_runners.store import blobs, pauses, transitions
from job_runners.store.job_request import JobRequest
from job_runners.work import interrupts
from job_runners.work.alarm import defer_alarm
from job_runners.work.errors import (
    RAISED_IN,
    CursorTooLarge,
    NameNotText,
    NameTooLong,
    StepNameTaken,
)
from job_runners.work.files import JobFiles
from job_runners.work.time_budget import TimeBudget
from job_runners.work.waits import JobWaits

if TYPE_CHECKING:
    from pydantic import BaseModel

    from job_runners.store.groups import Group

# The minimum gap between written checkpoints, in milliseconds. The first checkpoint is written at
# once, and every write doubles the gap. So the gap after the first write is 500 ms. A short job
# shows progress early, and a job that keeps calling `checkpoint` never has more than 5 s of unsaved
# work.
_INITIAL_WRITE_GAP = 250
_MAX_WRITE_GAP = 5 * clock.SECOND
# A DynamoDB item has at most 400 KB. A row without free space couldn't even be marked as failed.
_MAX_CURSOR_SIZE = 100 * 1024  # bytes of JSON
_MAX_MESSAGE_LENGTH = 1000  # characters
_CHUNK_SIZE = 1_000  # children that `dispatch_many` dispatches at once
# The alarm interrupts a job whose time is over. `dispatch_many` may defer it for at most this long.
_MAX_DISPATCH_TIME = 20 * clock.SECOND

_T = TypeVar("_T")


class Dispatch(Protocol):
    """How a running job dispatches more work. The implementation depends on the runner."""

    def dispatch_child(
        self,
        parent: JobRequest,
        job_type: str,
        payload: Any,
        key: str,
        follow_ups: Mapping[str, Any],
    ) -> str:
        """Dispatch a child of this job and return its id.

        `follow_ups` has the child's `on_end` and `on_failure`.
        """

    def dispatch_children(
        self,
        parent: JobRequest,
        job_type: str,
        payloads: Mapping[str, Any],
        until: int,
        follow_ups: Mapping[str, Any],
    ) -> dict[str, str]:
        """Dispatch a child for each key and payload, and return the children's ids by key.

        Children that aren't saved before `until` are left out. Each child gets `follow_ups`.
        """

    def check_members(
        self, parent: JobRequest, group: "Group", name: str, members: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Check members of a group. Return the checked members by key."""

    def already_dispatched(self, checked_members: Mapping[str, Any]) -> set[str]:
        """Return the keys of the members that are already dispatched."""

    def dispatch_members(self, checked_members: Mapping[str, Any], until: int) -> set[str]:
        """Save and send members. Return the keys of those dispatched before `until`."""

    def dispatch_task(self, task_name: str, payload: Any) -> None:
        """Dispatch a task."""

    def send_signal(self, sender: JobRequest, job_id: str, name: str, value: Any) -> None:
        """Send a signal to another job of the sender's organization."""


class RunningJob(JobFiles, JobWaits):
    """The job whose function is running.

    When the function starts, `cursor` is that of the last checkpoint in an earlier invocation, or
    None.
    """

    def __init__(
        self,
        row: JobRequest,
        budget: TimeBudget,
        make_dispatch: Callable[[], Dispatch],
        *,
        can_start_invocation: bool = True,
        may_be_paused: bool = True,  # whether a pause may end this invocation
    ) -> None:
        self._row = row
        # The keys of children that may have been dispatched, but aren't recorded as steps yet.
        self._unrecorded_keys = set[str]()
        self._budget = budget
        self._make_dispatch = make_dispatch
        self._can_start_invocation = can_start_invocation
        self._may_be_paused = may_be_paused
        self._write_gap = _INITIAL_WRITE_GAP
        self._written_at = 0
        self._group_counts: dict[str, int] | None = None  # see `Checkpoint.group`
        self._used_step_names: set[str] = set()  # the names that this invocation has used so far
        # Called with each interrupt before it is raised. The event loop of an `async def` job needs
        # this, because the asyncio task that raises the interrupt may never be awaited.
        self.on_interrupt: Callable[[BaseException], None] | None = None
        self.cursor: Any = row.cursor
        self.progress: int = row.progress
        self.message: str | None = row.result_message

    @cached_property
    def _dispatch(self) -> Dispatch:
        return self._make_dispatch()

    @property
    def id(self) -> str:
        """Return the job's id, which is the same in every attempt."""
        return self._row.id

    @property
    def organization_id(self) -> str:
        """Return the id of the organization that owns the job and all data that the job uses."""
        return self._row.organization_id

    @property
    def parent_id(self) -> str | None:
        """Return the id of the job that dispatched this one, or None."""
        return self._row.parent_id

    @property
    def follow_up_of(self) -> str | None:
        """Return the id of the job that this one follows up, or None."""
        return self._row.follow_up_of

    @property
    def attempt(self) -> int:
        """Return the number of this attempt, counted from 1."""
        return self._row.attempt

    @property
    def last_attempt(self) -> bool:
        """Return whether no attempt follows if this one fails."""
        return self._row.attempt >= self._row.max_attempts

    @property
    def invocation(self) -> int:
        """Return the number of the job's Lambda invocations so far, this one included."""
        return self._row.invocations

    @property
    def last_checkpoint(self) -> transitions.Checkpoint:
        """Return the last checkpoint, written or not."""
        return transitions.Checkpoint(
            self.cursor, self.progress, self.message, self._unrecorded_keys, self._group_counts
        )

    def time_left(self) -> float:
        """Return the seconds until the attempt times out or the Lambda invocation must end."""
        return self._budget.left()

    def checkpoint(
        self,
        cursor: Any = None,
        *,
        progress: float | None = None,
        message: str | None = None,
        durable: bool = False,
    ) -> None:
        """Record that the work before `cursor` is done, so that the job can resume from there.

        - `cursor`: small JSON (kilobytes), because each write stores it. Raises TypeError,
          ValueError or CursorTooLarge for other values.
        - `progress`: 0 to 100. It never decreases.
        - `message`: a line for people who follow the job.

        Call it as often as you like. Only some calls write: the first one, and then one every 0.5 s
        to 5 s. So the work since the last written checkpoint may be repeated. If AWS doesn't accept
        a write, a later call writes. To continue only after the write, pass `durable=True`.

        If this invocation's time is nearly over and you pass a `cursor`, the call doesn't return:
        the job continues from there in its next Lambda invocation. Nor does the call return if the
        job was canceled, or if its type or queue is paused.
        """
        self._note_checkpoint(cursor, progress, message)
        if self._budget.left() == 0:
            raise self._interrupt(interrupts.TimeOverInterrupt())  # a job in a thread gets no alarm
        # Without a cursor, ending here would lose the work since the last cursor.
        if self._can_start_invocation and cursor is not None and self._budget.invocation_over():
            raise self._interrupt(interrupts.InvocationOverInterrupt())
        if durable:
            self._keep_trying(self._write)
        elif clock.now() - self._written_at >= self._write_gap:
            self._try_to_write()

    def next_turn(
        self, cursor: Any, *, progress: float | None = None, message: str | None = None
    ) -> None:
        """Yield the job's slot, and continue from `cursor` after the jobs that are waiting now.

        Use it for work that must keep to its queue's rate, or that gives other jobs a turn. The job
        continues in its next invocation when its queue has capacity, or at once if the queue has no
        limits. Until then, no worker runs the job, and it can be canceled. The arguments are those
        of `checkpoint` and are always written. If the runner can't start another invocation, the
        call returns, and the job continues at once.
        """
        self._note_checkpoint(cursor, progress, message)
        if self._can_start_invocation:
            raise self._interrupt(interrupts.YieldInterrupt())
        self._keep_trying(self._write)

    def step(self, name: str, function: Callable[[], Any]) -> Any:
        """Call `function` once for this job, and return its result as JSON values.

        The result is stored before this returns. In later invocations and attempts, even after a
        manual retry with the same payload, this returns the stored result. If the attempt dies
        between the call and the write, the next attempt calls the function again. So if a side
        effect must not happen twice, give it an idempotency key, such as the job's id and the
        step's name.

        Each step needs its own name. Raises StepNameTaken for a name used twice in one invocation,
        NameTooLong for more than 1,019 bytes, and NameNotText for a name that UTF-8 can't encode.
        Raises ResultNotJson, and the exceptions of `function`. After these, nothing is stored, and
        you can call the step again.
        """
        if name in self._used_step_names:
            raise StepNameTaken(name)
        self._used_step_names.add(name)
        try:
            return self._run_once(name, function, prefix="step ", noun="name of the step")
        except BaseException as error:
            self._used_step_names.discard(name)
            with suppress(Exception):  # a class may forbid attributes
                setattr(error, RAISED_IN, name)
            raise

    def dispatch(
        self,
        job_type: str,
        payload: "Mapping[str, Any] | BaseModel | None" = None,
        *,
        key: str,
        on_end: "str | Mapping[str, str] | None" = None,
        on_failure: "str | Mapping[str, str] | None" = None,
    ) -> str:
        """Dispatch another job for the same organization, and return its id.

        `key` names the child within this job. If an invocation or attempt repeats the call, it gets
        the same child, even if the payload differs or the child has ended. `on_end` and
        `on_failure` each name a job type to dispatch, or a webhook to call, when the child has
        ended or failed. A webhook is `{"webhook": url, "secret": name}`. They replace those that
        the child's job type declares.

        Raises UnknownJobType, InvalidPayload, InvalidFollowUp, NameTooLong for a key of more than
        1,018 bytes, and NameNotText for one that UTF-8 can't encode. Raises ChildExpired if a
        worker may have dispatched this child before, so long ago that its row may be gone.
        """
        from job_runners.store import children  # imported here because most jobs have no children

        follow_ups = {"on_end": on_end, "on_failure": on_failure}
        save_child = partial(
            self._dispatch.dispatch_child,
            self._row,
            job_type,
            _json_payload(payload),
            key,
            follow_ups,
        )

        def dispatch() -> str:
            return self._keep_trying(save_child)

        with self._listing_unrecorded([key]):
            child_id: str = self._run_once(
                key, dispatch, prefix=children.STEP_PREFIX, noun="key of the child"
            )
        return child_id

    def dispatch_many(
        self,
        job_type: str,
        children: "Iterable[tuple[str, Mapping[str, Any] | BaseModel | None]]",
        *,
        on_end: "str | Mapping[str, str] | None" = None,
        on_failure: "str | Mapping[str, str] | None" = None,
    ) -> dict[str, str]:
        """Dispatch many jobs of one type, as `dispatch` does, and return their ids by key.

        `children` yields the key and the payload of each child, and may be a generator. It is read
        in chunks of 1,000. A chunk's children are dispatched in parallel, each with the same
        `on_end` and `on_failure`. Raises the errors of `dispatch`. An invalid payload is found
        before any child of its chunk is dispatched. After a later error of one child, the others of
        its chunk stay dispatched.
        """
        from job_runners.store import children as stored_children

        ids: dict[str, str] = {}
        follow_ups = {"on_end": on_end, "on_failure": on_failure}
        remaining = iter(children)
        while chunk := dict(islice(remaining, _CHUNK_SIZE)):
            for key in chunk:
                _step_name(
                    key, stored_children.STEP_PREFIX, "key of the child"
                )  # only checks the key
            payloads = {key: _json_payload(payload) for key, payload in chunk.items()}
            ids |= self._dispatch_chunk(job_type, payloads, follow_ups)
            self.checkpoint()  # may notice a cancellation, or that the time is over
        return ids

    def _dispatch_chunk(
        self, job_type: str, payloads: dict[str, Any], follow_ups: Mapping[str, Any]
    ) -> dict[str, str]:
        """Dispatch children until all are saved, and return their ids by key."""
        ids: dict[str, str] = {}
        while missing := {key: payload for key, payload in payloads.items() if key not in ids}:
            if self._budget.left() == 0:
                raise self._interrupt(interrupts.TimeOverInterrupt())
            until = min(self._budget.ends, clock.now() + _MAX_DISPATCH_TIME)
            save_children = partial(
                self._dispatch.dispatch_children, self._row, job_type, missing, until, follow_ups
            )
            with self._listing_unrecorded(missing):
                ids |= self._keep_trying(save_children)
        return {key: ids[key] for key in payloads}

    @contextmanager
    def _listing_unrecorded(self, keys: Iterable[str]) -> Iterator[None]:
        """Inside the block, let checkpoints list these children as perhaps dispatched.

        After the block, the children are recorded, so they are no longer listed. After an error,
        they stay listed, because they may have been dispatched. A JobRunnersError is an exception,
        because it means that the children were refused.
        """
        self._unrecorded_keys.update(keys)
        try:
            yield
        except JobRunnersError:
            self._unrecorded_keys.difference_update(keys)
            raise
        self._unrecorded_keys.difference_update(keys)

    def dispatch_task(
        self, task_name: str, payload: "Mapping[str, Any] | BaseModel | None" = None
    ) -> None:
        """Dispatch a task.

        An invocation or attempt that repeats the call dispatches it again, unless the call is in a
        step. Raises UnknownTask, InvalidPayload, PayloadTooLarge, and SendFailed if the task could
        not be sent.
        """
        with defer_alarm():
            self._dispatch.dispatch_task(task_name, _json_payload(payload))

    def signal(self, job_id: str, name: str, value: Any = None) -> None:
        """Send a signal to another job of the same organization, which may wait for it.

        Only the first signal with a name counts, so a repeated call has no effect. Raises
        SignalConflict, SignalTooLate, TooManySignals, SignalTooLarge and JobNotFound.
        """
        self._keep_trying(lambda: self._dispatch.send_signal(self._row, job_id, name, value))

    def _note_checkpoint(self, cursor: Any, progress: float | None, message: str | None) -> None:
        if cursor is not None:
            self._budget.note_checkpoint()
            self.cursor = _json_copy(cursor)
        if progress is not None:
            self.progress = max(self.progress, min(100, int(progress)))
        if message is not None:
            self.message = without_surrogates(message[:_MAX_MESSAGE_LENGTH])

    def _run_once(self, name: str, function: Callable[[], Any], *, prefix: str, noun: str) -> Any:
        """Return a step's stored result. If there is none, call the function and store its result.

        The step is stored under the prefix and the name. Error messages call the name `noun`.
        """
        from job_runners.store import steps
        from job_runners.work.payloads import as_json

        step_name = _step_name(name, prefix, noun)
        step = self._keep_trying(lambda: steps.find(self._row, step_name))
        if step is None:
            began_at = clock.now()
            result = as_json(function())
            step = self._keep_trying(lambda: steps.record(self._row, step_name, result, began_at))
        return step.result

    def _try_to_write(self) -> None:
        try:
            self._write()
        except AWS_ERRORS as error:
            if not is_temporary(error):
                raise

    def _keep_trying(self, call: Callable[[], _T]) -> _T:
        """Return a call's result. If AWS fails, retry the call until the job's time is over.

        The alarm can interrupt the job between two tries, but not during a try. Otherwise nobody
        would know whether the call took effect.
        """

        def try_once() -> _T:
            with defer_alarm():
                return call()

        try:
            return retry_until(self._budget.ends, try_once)
        except AWS_ERRORS as error:
            if is_temporary(error):
                raise self._interrupt(interrupts.TimeOverInterrupt()) from error
            raise

    def _write(self) -> None:
        """Write the last checkpoint. Raise an interrupt if the job must stop or is paused."""
        pause = None
        try:
            with defer_alarm():
                change = transitions.checkpoint(self._row, self.last_checkpoint)
                self._row = change.after
                if self._may_be_paused and self.cursor is not None:
                    pause = self._current_pause()
        except PreconditionFailed as refused:
            raise self._interrupt(interrupts.ClaimLostInterrupt(str(refused))) from refused
        if self._row.cancel_requested or self._row.cancel_members:
            raise self._interrupt(interrupts.CancelInterrupt())
        if pause is not None:
            raise self._interrupt(interrupts.PauseInterrupt(pause))
        self._write_gap = min(_MAX_WRITE_GAP, self._write_gap * 2)
        self._written_at = clock.now()

    def _interrupt(self, interrupt: BaseException) -> BaseException:
        """Return an interrupt for the caller to raise, after passing it to `on_interrupt`."""
        if self.on_interrupt is not None:
            self.on_interrupt(interrupt)
        return interrupt

    def _current_pause(self) -> pauses.Pause | None:
        """Return the pause of the job's type or queue, if there is one and it can be read."""
        try:
            return pauses.pause_on(self._row)
        except AWS_ERRORS:
            return None


def _step_name(name: str, prefix: str, noun: str) -> str:
    """Return the name under which a step is stored. Children and waits are stored as steps too.

    Raises NameNotText and NameTooLong. Their messages call the name `noun`.
    """
    from job_runners.store import steps

    limit = steps.MAX_NAME_BYTES - len(prefix)
    if without_surrogates(name) != name:
        raise NameNotText(noun)
    size = len(name.encode())
    if size > limit:
        raise NameTooLong(noun, size, limit)
    return f"{prefix}{name}"


def _json_copy(cursor: Any) -> Any:
    """Return the cursor as a later invocation will read it. The job can't change this copy."""
    text = blobs.compact_json(cursor)
    if len(text) > _MAX_CURSOR_SIZE:
        raise CursorTooLarge(len(text), _MAX_CURSOR_SIZE)
    return json.loads(text)


def _json_payload(payload: "Mapping[str, Any] | BaseModel | None") -> Any:
    # Imported here because pydantic takes half of a cold start. The job's module has imported it.
    from job_runners.work.payloads import as_object

    return as_object(payload)
