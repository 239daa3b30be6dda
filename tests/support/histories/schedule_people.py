"""The owners of a history's schedules: they put, pause, resume, delete and run them at random.

The schedule checker checks that each schedule does what was promised.
"""

from collections.abc import Callable
from typing import Any

from histories.hostile_lambda import HostileLambda
from histories.simulated_work import Steps
from job_runners.engine.errors import ScheduleNotFound
from job_runners.engine.schedules import schedules
from job_runners.engine.wire.sending import Send
from job_runners.work.recurring import Each, Recurring

ORGANIZATION = "acme"
OCCURRENCES = "recurring"  # the request of all jobs that schedules start
NAMES = ("a", "b")
_EVERY = (300, 900, 3600)  # seconds
_RULES: tuple[dict[str, Any], ...] = (
    {},
    {"overlap": "queue"},
    {"overlap": "allow", "missed": Each(3)},
    {"missed": "skip"},
)


class SchedulePeople:
    """The owners of schedules. Each action is a `request` to the API that may be killed.

    The payload of a schedule is added to `payloads` before the schedule is put.
    """

    def __init__(
        self,
        world: HostileLambda,
        payloads: list[Steps],
        request: Callable[[Callable[[], object]], None],
        send: Callable[[], Send],
    ) -> None:
        self._world = world
        self._payloads = payloads
        self._request = request
        self._send = send

    def actions(self) -> list[Callable[[], object]]:
        """Return the possible actions. An action that is twice as likely is listed twice."""
        return [self.put, self.put, self._pause, self._resume, self._delete, self._run_now]

    def put(self) -> None:
        """Put a new schedule, or change an existing one."""
        payload = Steps(
            steps=1 + len(self._payloads) % 40,
            seconds=(1, 40)[self._choose("work", 2)],
            request=OCCURRENCES,
        )
        self._payloads.append(payload)
        recurring = Recurring(
            ("hostile_once", "hostile_again")[self._choose("is retried", 2)],
            every=_EVERY[self._choose("every", len(_EVERY))],
            organization_id=ORGANIZATION,
            payload=payload.model_dump(),
            **_RULES[self._choose("rules", len(_RULES))],
        )
        name = self._name()
        self._request(lambda: schedules.put(ORGANIZATION, name, recurring))

    def resume_all(self) -> None:
        """Resume every schedule."""
        for name in NAMES:
            self._request(lambda name=name: schedules.resume(ORGANIZATION, name))  # type: ignore[misc]

    def delete_all(self) -> None:
        """Delete every schedule."""
        for name in NAMES:
            self._request(lambda name=name: _delete_if_there(name))  # type: ignore[misc]

    def _pause(self) -> None:
        name = self._name()
        self._request(lambda: schedules.pause(ORGANIZATION, name))

    def _resume(self) -> None:
        name = self._name()
        self._request(lambda: schedules.resume(ORGANIZATION, name))

    def _delete(self) -> None:
        name = self._name()
        self._request(lambda: schedules.delete(ORGANIZATION, name))

    def _run_now(self) -> None:
        name = self._name()
        key = ("one", None)[self._choose("key", 2)]
        self._request(lambda: schedules.run_now(ORGANIZATION, name, self._send(), key))

    def _name(self) -> str:
        return NAMES[self._choose("which schedule", len(NAMES))]

    def _choose(self, what: str, n: int) -> int:
        return self._world.pick(what, n)


def _delete_if_there(name: str) -> None:
    try:
        schedules.delete(ORGANIZATION, name)
    except ScheduleNotFound:
        return
