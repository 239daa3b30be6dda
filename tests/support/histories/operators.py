"""The operators of a history: they cancel, retry, delete, pause and resume at random.

The invariant checker checks that each of these actions has its promised effect.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from histories.declared_queues import LIMITED, RATES, SLOTS
from histories.faults import Fault
from histories.group_checker import awaits_group
from histories.hostile_lambda import HostileLambda
from histories.schedule_people import SchedulePeople
from histories.signal_checker import SignalChecker
from histories.simulated_work import Steps
from job_runners import runners
from job_runners.engine.control import caller_actions
from job_runners.engine.lines import pausing
from job_runners.engine.wire.sending import Send
from job_runners.errors import JobRunnersError
from job_runners.store import limits, pauses, queries
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.pauses import Kind
from job_runners.testing import moto_direct

_PAUSABLE = [
    (Kind.JOB_TYPE, "hostile_once"),
    (Kind.JOB_TYPE, "hostile_again"),
    (Kind.QUEUE, "default"),
]
_UNFINISHED = tuple(status for status in Status if not status.finished)
_WITH_MEMBERS = "groups canceled manually"
TROUBLE = "trouble in groups"
_GIVEN_UP = (Status.FAILED, Status.CANCELED)


class Operators:
    """The owners of jobs and the operators of the stack. Each action is an API request that may be
    killed."""

    def __init__(
        self,
        world: HostileLambda,
        ask_again: Callable[[], None],
        another_payload: Callable[[JobRequest], dict[str, Any]],
        ask_for_the_same: Callable[[], None],
        recurring: list[Steps],
        signals: SignalChecker,
    ) -> None:
        self._signals = signals
        self.schedules = SchedulePeople(world, recurring, self._request, self._send)
        self._world = world
        self._ask_again = ask_again
        self._another_payload = another_payload
        self._ask_for_the_same = ask_for_the_same
        # The jobs that a person has asked to stop, with members or without.
        self.asked_to_stop: set[str] = set()
        self.on_cancel_with_members: Callable[[str], None] = lambda job_id: None
        world.let_operators_act = self.act

    def act(self) -> None:
        """Take one action, or none."""
        cancel = self._cancel_with_members
        actions: list[Callable[[], object]] = [
            lambda: None,
            lambda: self._act_on_a_job("canceled manually", self._cancel, _UNFINISHED),
            lambda: self._act_on_a_job("retried manually", self._retry, _GIVEN_UP),
            lambda: self._act_on_a_job("deleted manually", self._delete, tuple(Status)),
            self._pause,
            self._resume,
        ]
        if Fault.EXPIRY in self._world.faults:
            actions += [self._ask_again, self._cancel_and_delete]
        if Fault.SCHEDULES in self._world.faults:
            actions += self.schedules.actions()
        if Fault.WAITS in self._world.faults:
            actions += [self._signal, *[self.perhaps_answer] * 3]
        if Fault.GROUPS in self._world.faults:
            actions += [self.retry_a_member] * 4
            actions += [*[self.cancel_a_group] * 2, *[self.delete_a_member] * 3]
            actions.append(lambda: self._act_on_a_job(_WITH_MEMBERS, cancel, _UNFINISHED))
        if Fault.UNIQUE in self._world.faults:
            actions += [self._ask_for_the_same] * 3
        if self._may_change_limits:
            actions += [self._change_limits, self._change_limits, self._reset_limits, self._deploy]
        actions[self._world.pick("what people do", len(actions))]()

    # Also called after the faults have stopped, so they don't use the world's `pick`.

    def retry_a_member(self) -> str | None:
        """Cancel a member of a group that hasn't started, or retry one that has failed.

        Return the id of a member that was to be retried.
        """
        members = [row for row in moto_direct.rows("jobs") if "member_of" in row]
        given_up = sorted(row["id"] for row in members if row["status"] in _GIVEN_UP)
        waiting = sorted(row["id"] for row in members if row["status"] == Status.QUEUED)
        if given_up and self._world.choose("a member is retried", 4) < 3:
            job_id: str = given_up[self._world.choose("which member", len(given_up))]
            self._request(lambda: self._act_on(job_id, "members retried", self._retry))
            return job_id
        if waiting:
            other = waiting[self._world.choose("which member", len(waiting))]
            self._request(lambda: self._act_on(other, "members canceled manually", self._cancel))
        return None

    def delete_a_member(self) -> None:
        """Delete the row of a member of a group that has ended, while its owner may wait."""
        members = [row for row in moto_direct.rows("jobs") if "member_of" in row]
        ended = sorted(row["id"] for row in members if Status(row["status"]).finished)
        if ended:
            job_id = ended[self._world.choose("which member", len(ended))]
            self._request(lambda: self._act_on(job_id, "members deleted", self._delete))

    def _cancel_and_delete(self) -> None:
        """Cancel a job that waits for a start, a time, a signal or a group, and delete its row."""
        states = (Status.WAITING, Status.SCHEDULED, Status.QUEUED)
        ids = sorted(row["id"] for row in moto_direct.rows("jobs") if row["status"] in states)
        if ids:
            job_id = ids[self._world.pick("which job", len(ids))]
            self._request(lambda: self._act_on(job_id, "canceled manually", self._cancel))
            what = "deleted after a cancel"
            self._request(lambda: self._act_on(job_id, what, self._delete))

    def cancel_a_group(self) -> None:
        """Cancel a job that gathers, with its members."""
        owners = [row for row in moto_direct.rows("jobs") if "last_group_id" in row]
        ids = sorted(row["id"] for row in owners if row["status"] in _UNFINISHED)
        if ids:
            self.cancel_parent(ids[self._world.choose("which owner", len(ids))])

    def cancel_parent(self, job_id: str) -> None:
        """Cancel this job with its members."""
        self._request(lambda: self._act_on(job_id, _WITH_MEMBERS, self._cancel_with_members))

    def _cancel_with_members(self, row: JobRequest) -> None:
        self.asked_to_stop.add(row.id)
        caller_actions.cancel_with_members(row, self._send())
        self.on_cancel_with_members(row.id)

    def cancel_groups(self, canceled: Callable[[str], None]) -> None:
        """Cancel about a quarter of the jobs that wait for their groups, with their members.

        This happens after the faults have stopped, and draws nothing. So it changes nothing before.
        `canceled` gets the id of each job.
        """
        owners = [row for row in moto_direct.rows("jobs") if awaits_group(row)]
        for row in sorted(owners, key=lambda row: str(row["id"])):
            if int(row["id"][-1], 16) % 4 == 0 and not row.get("cancel_members"):
                what, cancel = "groups canceled in peace", self._cancel_with_members
                before = self._world.figures[TROUBLE]
                self._request(partial(self._act_on, row["id"], what, cancel))
                if before == self._world.figures[TROUBLE]:  # it met none
                    canceled(row["id"])

    def perhaps_cancel(self, job_id: str) -> None:
        """Perhaps cancel this job in the middle of its work. This is rare."""
        if self._world.pick("this job is canceled", 30) == 29:
            self._request(lambda: self._act_on(job_id, "canceled manually", self._cancel))

    def resume_all(self) -> None:
        """Resume everything that is paused."""
        for kind, name in self._all_pausable:
            self._request(partial(pausing.resume, kind, name, self._send()))

    def _pause(self) -> None:
        kind, name = self._pausable()
        self._world.figures["pauses"] += 1
        self._request(lambda: pausing.pause(kind, name))

    def _resume(self) -> None:
        kind, name = self._pausable()
        self._request(lambda: pausing.resume(kind, name, self._send()))

    def _pausable(self) -> tuple[Kind, str]:
        pausable = self._all_pausable
        return pausable[self._world.pick("which pause", len(pausable))]

    @property
    def _all_pausable(self) -> list[tuple[Kind, str]]:
        return [*_PAUSABLE, (Kind.QUEUE, LIMITED)] if self._may_change_limits else _PAUSABLE

    def _change_limits(self) -> None:
        """Set other limits for the queue, whether or not the code declares any."""
        slots = SLOTS[self._world.pick("slots", len(SLOTS))]
        rate = RATES[self._world.pick("rate", len(RATES))]
        self._world.figures["limits changed"] += 1
        self._request(lambda: limits.put(LIMITED, slots=slots, rate=rate, sweep=True))

    def _reset_limits(self) -> None:
        self._request(lambda: limits.reset(LIMITED))

    def _deploy(self) -> None:
        self._world.figures["limits deployed"] += 1
        self._world.queues.deploy_any()

    def _act_on_a_job(
        self, what: str, action: Callable[[JobRequest], object], states: tuple[Status, ...]
    ) -> None:
        """Take an action on a job in one of these states. The job may leave the state before the
        action."""
        ids = sorted(row["id"] for row in moto_direct.rows("jobs") if row["status"] in states)
        if ids:
            job_id = ids[self._world.pick("which job", len(ids))]
            self._request(lambda: self._act_on(job_id, what, action))

    def _act_on(self, job_id: str, what: str, action: Callable[[JobRequest], object]) -> None:
        row = queries.read(job_id)
        if row is not None:
            action(row)
            self._world.figures[what] += 1

    @property
    def _may_change_limits(self) -> bool:
        return Fault.LIMITS in self._world.faults

    def _cancel(self, row: JobRequest) -> None:
        self.asked_to_stop.add(row.id)
        caller_actions.cancel(row, self._send())

    def _delete(self, row: JobRequest) -> None:
        """Delete a job, unless a process may repeat its save, which would bring the row back."""
        if all(invocation.saved != row.id for invocation in self._world.stack):
            # All else takes whole seconds. So no clock shows the millisecond in which the job was
            # created when the next one with its id is.
            self._world.time += 1
            caller_actions.delete(row)

    def _signal(self) -> None:
        """Send a signal to any job."""
        number = self._world.pick("which signal", 6)
        send = self._sending(("a", "b")[number // 3] + str(number % 3))
        self._act_on_a_job("signals", send, tuple(Status))

    def perhaps_answer(self) -> None:
        """Send a signal to a job that waits for it, once or twice, or do nothing."""
        waits = sorted(self._signals.awaited())
        if waits and self._world.choose("an answer", 4):  # also while the world rests
            job_id, name = waits[self._world.choose("which wait", len(waits))]
            for _ in range(1 + self._world.choose("another answer", 4) // 2):
                self._request(lambda: self._act_on(job_id, "signals", self._sending(name)))

    def _sending(self, name: str) -> Callable[[JobRequest], None]:
        """Return a function that sends a job this signal. One in four has another value."""
        value = self._world.choose("value", 4) // 3  # also while the world rests
        return lambda row: self._signals.send(row, name, value, self._send())

    def _retry(self, row: JobRequest) -> None:
        payload = None
        if row.follow_up_of is None and self._world.fault(Fault.PAYLOADS, "another payload", 2):
            payload = self._another_payload(row)
        self.asked_to_stop.discard(row.id)
        caller_actions.retry_again(row, self._send(), payload)

    def _request(self, call: Callable[[], object]) -> None:
        def call_api() -> None:
            with suppress(JobRunnersError):  # the API refused the request
                call()

        self._world.invoke("api", call_api)

    def _send(self) -> Send:
        return runners.sender()


class Pauses:
    """The pauses in the table, each with the time at which it began."""

    def __init__(self, world: HostileLambda) -> None:
        self._world = world
        self._since: dict[str, int] = {}

    def saw(self, entry: dict[str, object]) -> None:
        """Note a pause or a resume that was written."""
        name = str(entry["sk"])
        if entry["state"] == pauses.State.PAUSED:
            self._since.setdefault(name, self._world.time)
        else:
            self._since.pop(name, None)

    def paused_since(self, job_type: str, queue_name: str) -> int | None:
        """Return the time since which a job of this type and queue is paused, or None if it
        isn't."""
        names = (f"{Kind.JOB_TYPE}#{job_type}", f"{Kind.QUEUE}#{queue_name}")
        return min((self._since[name] for name in names if name in self._since), default=None)
