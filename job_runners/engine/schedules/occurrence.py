"""Choose which occurrence of a schedule to start now, and which to skip.

The choice depends only on the schedule's item and the time, so two timers make the same choice.

Of the occurrences whose time has come, the latest `most_missed` are started, and the others are
skipped. If `most_missed` is 0, only an occurrence that wasn't missed is started. An occurrence is
missed if the time of a later one came before it was started, or if it is more than ON_TIME late.
"""

from collections import deque
from typing import NamedTuple

from job_runners import clock
from job_runners.engine.schedules.schedules import when_of
from job_runners.store.schedules import Progress, Schedule, SkippedOccurrences
from job_runners.work.occurrences import When, next_after

# An occurrence that starts within this time wasn't missed. A timer run may be slow, or be cut off.
ON_TIME = 5 * clock.MINUTE
MISSED = "it was missed: the timer could not start it in time"
ONE_WAITS = "an earlier occurrence is already waiting"
# At most this many occurrences are computed, beginning with the earliest. If there are more, only
# the latest are added, and those in between aren't counted.
_MAX_COUNTED = 1_000


class Choice(NamedTuple):
    """The next action: start the occurrence `at`, if any, and record `progress`."""

    at: int | None
    progress: Progress


def choose(schedule: Schedule) -> Choice | None:
    """Choose the next action on the due occurrences. Return None if no occurrence is due."""
    now, first = clock.now(), schedule.next_at
    if first is None or first > now:
        return None
    when = when_of(schedule)
    if schedule.last_at is not None and first <= schedule.last_at:  # `first` was handled before
        return Choice(None, Progress(schedule.last_at, _next(when, schedule, schedule.last_at)))
    due = _due_occurrences(when, first, schedule.since, now, schedule.most_missed)
    if schedule.waits:  # the first occurrence waits, so it isn't missed: the later ones are skipped
        return Choice(first, _progress(when, schedule, due, skipped=due[1:], why=ONE_WAITS))
    wanted = due[-max(schedule.most_missed, 1) :]
    if schedule.most_missed == 0 and wanted[0] < now - ON_TIME:
        return Choice(None, _progress(when, schedule, due, skipped=due, why=MISSED))
    skipped, at, *later = [due[: -len(wanted)], *wanted]
    done = [*skipped, at]
    progress = _progress(when, schedule, done, skipped=skipped, why=MISSED)
    return Choice(at, progress._replace(next_at=later[0]) if later else progress)


def with_skipped(progress: Progress, at: int, why: str) -> Progress:
    """Return the progress with the occurrence `at` skipped too, for this reason."""
    number = progress.skips.number if progress.skips else 0
    return progress._replace(skips=SkippedOccurrences(number + 1, at, why))


def _progress(
    when: When, schedule: Schedule, done: list[int], *, skipped: list[int], why: str
) -> Progress:
    """Return the progress past the occurrences `done`. Those in `skipped` aren't started."""
    failed: tuple[int, ...] = ()
    # If the job of the first skipped occurrence was refused before, that occurrence failed: it
    # doesn't count as skipped.
    if schedule.retrying and skipped[:1] == [schedule.next_at]:
        failed, skipped = (skipped[0],), skipped[1:]
    skips = SkippedOccurrences(len(skipped), skipped[-1], why) if skipped else None
    return Progress(done[-1], _next(when, schedule, done[-1]), skips, failed)


def _next(when: When, schedule: Schedule, after: int) -> int | None:
    """Return the first occurrence that follows `after` and whose time has not come."""
    return next_after(when, max(clock.now(), schedule.since, after))


def _due_occurrences(when: When, first: int, since: int, now: int, most_missed: int) -> list[int]:
    """Return `first` and the later occurrences whose time has come, oldest first.

    The times between `first` and `since` are left out, because an earlier timing applied then.
    """
    due, at = [first], max(first, since)
    while (found := next_after(when, at)) is not None and found <= now:
        if len(due) == _MAX_COUNTED:
            return [*due, *_latest(when, at, now, max(most_missed, 1))]
        due.append(at := found)
    return due


def _latest(when: When, after: int, until: int, number: int) -> list[int]:
    """Return the latest `number` occurrences between two times, without computing all of them."""
    span = number * clock.MINUTE
    while True:
        at = start = max(after, until - span)
        found: deque[int] = deque(maxlen=number)
        while (later := next_after(when, at)) is not None and later <= until:
            found.append(at := later)
        if len(found) == number or start == after:
            return list(found)
        span *= 8
