"""Choose which occurrence of a schedule to start now, and which to skip.

The choice depends only on the schedule's item and the time, so two timers choose the same.

The latest occurrences whose time has come are started, up to `most_missed` of them. An occurrence
is missed if a later one came before it was started, or if it is more than ON_TIME late.
"""

from collections import deque
from typing import NamedTuple

import clock
from runners.schedules import when_of
from store.schedules import Dropped, Schedule, Step
from work.occurrences import When, next_after

# An occurrence that starts within this time wasn't missed: a timer run may be slow, or be cut off.
ON_TIME = 5 * clock.MINUTE
MISSED = "it was missed: the timer could not start it in time"
ONE_WAITS = "an earlier occurrence is already waiting"
# The most occurrences that are counted. If there are more, those in between aren't counted.
_MOST_COUNTED = 1_000


class Choice(NamedTuple):
    """The next action: start `at`, or nothing if it is None. Then the schedule is at `step`."""

    at: int | None
    step: Step


def choose(schedule: Schedule) -> Choice | None:
    """Choose what to do about the occurrences whose time has come. Return None if none has."""
    now, first = clock.now(), schedule.next_at
    if first is None or first > now:
        return None
    when = when_of(schedule)
    if schedule.last_at is not None and first <= schedule.last_at:  # it was handled before
        return Choice(None, Step(schedule.last_at, _next(when, schedule, schedule.last_at)))
    due = _due_occurrences(when, first, schedule.since, now, schedule.most_missed)
    if schedule.waits:  # an occurrence that waits isn't missed: the later ones are skipped
        return Choice(first, _step(when, schedule, due, dropped=due[1:], why=ONE_WAITS))
    wanted = due[-max(schedule.most_missed, 1) :]
    if schedule.most_missed == 0 and wanted[0] < now - ON_TIME:
        return Choice(None, _step(when, schedule, due, dropped=due, why=MISSED))
    dropped, at, *later = [due[: -len(wanted)], *wanted]
    done = [*dropped, at]
    step = _step(when, schedule, done, dropped=dropped, why=MISSED)
    return Choice(at, step._replace(next_at=later[0]) if later else step)


def left_out(step: Step, at: int, why: str) -> Step:
    """Return the step with one more occurrence skipped, for this reason."""
    number = step.dropped.number if step.dropped else 0
    return step._replace(dropped=Dropped(number + 1, at, why))


def _step(when: When, schedule: Schedule, done: list[int], *, dropped: list[int], why: str) -> Step:
    failed: tuple[int, ...] = ()
    if schedule.retrying and dropped[:1] == [schedule.next_at]:  # its job could not be accepted
        failed, dropped = (dropped[0],), dropped[1:]
    note = Dropped(len(dropped), dropped[-1], why) if dropped else None
    return Step(done[-1], _next(when, schedule, done[-1]), note, failed)


def _next(when: When, schedule: Schedule, after: int) -> int | None:
    """Return the first occurrence whose time has not come."""
    return next_after(when, max(clock.now(), schedule.since, after))


def _due_occurrences(when: When, first: int, since: int, now: int, most: int) -> list[int]:
    """Return the occurrences from `first` on whose time has come, oldest first.

    Those between `first` and `since` are left out, because they follow an earlier timing.
    """
    due, at = [first], max(first, since)
    while (found := next_after(when, at)) is not None and found <= now:
        if len(due) == _MOST_COUNTED:
            return [*due, *_latest(when, at, now, max(most, 1))]
        due.append(at := found)
    return due


def _latest(when: When, after: int, until: int, most: int) -> list[int]:
    """Return the latest occurrences between two times, without computing all of them."""
    span = most * clock.MINUTE
    while True:
        at = start = max(after, until - span)
        found: deque[int] = deque(maxlen=most)
        while (later := next_after(when, at)) is not None and later <= until:
            found.append(at := later)
        if len(found) == most or start == after:
            return list(found)
        span *= 8
