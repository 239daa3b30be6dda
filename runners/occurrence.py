"""Which occurrence of a schedule is started now, and which are left out: from its item and the time
alone, so that two timers decide alike.

Of those that have come, the latest ones are started, as many as `most_missed` says: one is missed
if another came before it was started, or if it is more than ON_TIME late.
"""

from collections import deque
from typing import NamedTuple

import clock
from runners.schedules import when_of
from store.schedules import Dropped, Schedule, Step
from work.occurrences import When, next_after

# An occurrence that is started within this time was not missed: a tick may be slow, or be cut off.
ON_TIME = 5 * clock.MINUTE
MISSED = "it was missed: nothing could start it in time"
ONE_WAITS = "one waits already for the one before it"
_MOST_COUNTED = 1_000  # of those that have come; if there are more, those between are not counted


class Choice(NamedTuple):
    """What is done now: `at` is started, or nothing for None; then the schedule is at `step`."""

    at: int | None
    step: Step


def choose(schedule: Schedule) -> Choice | None:
    """Return what is done about the occurrences that have come; None if none has."""
    now, first = clock.now(), schedule.next_at
    if first is None or first > now:
        return None
    when = when_of(schedule)
    if schedule.last_at is not None and first <= schedule.last_at:  # it was dealt with
        return Choice(None, Step(schedule.last_at, _next(when, schedule, schedule.last_at)))
    come = _have_come(when, first, schedule.since, now, schedule.most_missed)
    if schedule.waits:  # that it is late is not missed: those that came meanwhile are left out
        return Choice(first, _step(when, schedule, come, dropped=come[1:], why=ONE_WAITS))
    wanted = come[-max(schedule.most_missed, 1) :]
    if schedule.most_missed == 0 and wanted[0] < now - ON_TIME:
        return Choice(None, _step(when, schedule, come, dropped=come, why=MISSED))
    dropped, at, *later = [come[: -len(wanted)], *wanted]
    done = [*dropped, at]
    step = _step(when, schedule, done, dropped=dropped, why=MISSED)
    return Choice(at, step._replace(next_at=later[0]) if later else step)


def left_out(step: Step, at: int, why: str) -> Step:
    """Return a step on which one more occurrence is left out, for this reason."""
    number = step.dropped.number if step.dropped else 0
    return step._replace(dropped=Dropped(number + 1, at, why))


def _step(when: When, schedule: Schedule, done: list[int], *, dropped: list[int], why: str) -> Step:
    failed: tuple[int, ...] = ()
    if schedule.retrying and dropped[:1] == [schedule.next_at]:  # that one could not be started
        failed, dropped = (dropped[0],), dropped[1:]
    note = Dropped(len(dropped), dropped[-1], why) if dropped else None
    return Step(done[-1], _next(when, schedule, done[-1]), note, failed)


def _next(when: When, schedule: Schedule, after: int) -> int | None:
    """Return the first occurrence that has not come yet."""
    return next_after(when, max(clock.now(), schedule.since, after))


def _have_come(when: When, first: int, since: int, now: int, most: int) -> list[int]:
    """Return the occurrences from the first on that have come, oldest first. Those between the
    first and `since` are of other times, that hold no more."""
    come, at = [first], max(first, since)
    while (found := next_after(when, at)) is not None and found <= now:
        if len(come) == _MOST_COUNTED:
            return [*come, *_latest(when, at, now, max(most, 1))]
        come.append(at := found)
    return come


def _latest(when: When, after: int, until: int, most: int) -> list[int]:
    """Return the latest occurrences between two times, without going through all of them."""
    span = most * clock.MINUTE
    while True:
        at = start = max(after, until - span)
        found: deque[int] = deque(maxlen=most)
        while (later := next_after(when, at)) is not None and later <= until:
            found.append(at := later)
        if len(found) == most or start == after:
            return list(found)
        span *= 8
