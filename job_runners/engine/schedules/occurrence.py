"""Choose which occurrence of a schedule to start now, and which to skip.

The choice depends only on the stored schedule and the time, so two timers make the same choice.

An occurrence is *due* when its time has come. It is *missed* if a later one becomes due before it
is started, or if it is more than MAX_LATENESS late. The schedule's option `most_missed` is the
maximum number of missed occurrences to start: of the due occurrences, the latest `most_missed` are
started, one after the other, and the older ones are skipped. If it is 0, only an occurrence that
wasn't missed is started.
"""

from collections import deque
from typing import NamedTuple

from job_runners import clock
from job_runners.engine.schedules.schedules import when_of
from job_runners.store.schedule import Schedule
from job_runners.store.schedules import Progress, SkippedOccurrences
from job_runners.work.occurrences import When, next_after

# An occurrence that starts within this time wasn't missed. A timer run may be slow, or be cut off.
MAX_LATENESS = 5 * clock.MINUTE
# The reasons why an occurrence is skipped.
MISSED = "it was missed: the timer could not start it in time"
EARLIER_WAITS = "an earlier occurrence is already waiting"
# If more occurrences are due, this many of the oldest are computed, and the latest ones, which may
# start. Those in between aren't computed, so they don't count as skipped.
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
    if schedule.last_at is not None and first <= schedule.last_at:
        # A change of the schedule's times made a handled occurrence the next one: go past it.
        return Choice(None, Progress(schedule.last_at, _next(when, schedule, schedule.last_at)))
    due = _due_occurrences(when, first, schedule.since, now, schedule.most_missed)
    if schedule.waits:
        # The first occurrence waits for the previous one's job, so it wasn't missed. Start it now,
        # and skip the others.
        return Choice(first, _progress(when, schedule, due, skipped=due[1:], why=EARLIER_WAITS))
    start_count = min(max(schedule.most_missed, 1), len(due))
    skipped, to_start = due[:-start_count], due[-start_count:]
    if schedule.most_missed == 0 and to_start[0] < now - MAX_LATENESS:
        return Choice(None, _progress(when, schedule, due, skipped=due, why=MISSED))
    # Start one occurrence now. The other ones to start follow in later calls.
    at, later = to_start[0], to_start[1:]
    handled = [*skipped, at]
    progress = _progress(when, schedule, handled, skipped=skipped, why=MISSED)
    if later:
        progress = progress._replace(next_at=later[0])
    return Choice(at, progress)


def with_skipped(progress: Progress, at: int, why: str) -> Progress:
    """Return the progress with the occurrence `at` skipped too, for this reason."""
    total = progress.skips.total if progress.skips else 0
    return progress._replace(skips=SkippedOccurrences(total + 1, at, why))


def _progress(
    when: When, schedule: Schedule, handled: list[int], *, skipped: list[int], why: str
) -> Progress:
    """Return the progress after the `handled` occurrences. Those in `skipped` weren't started."""
    failed: tuple[int, ...] = ()
    # If the job of the first skipped occurrence was refused before, that occurrence counts as
    # failed instead of skipped.
    if schedule.retrying and skipped and skipped[0] == schedule.next_at:
        failed = (skipped[0],)
        skipped = skipped[1:]
    skips = SkippedOccurrences(len(skipped), skipped[-1], why) if skipped else None
    last = handled[-1]
    return Progress(last, _next(when, schedule, last), skips, failed)


def _next(when: When, schedule: Schedule, after: int) -> int | None:
    """Return the first occurrence after `after` that isn't due yet."""
    return next_after(when, max(clock.now(), schedule.since, after))


def _due_occurrences(when: When, first: int, since: int, now: int, most_missed: int) -> list[int]:
    """Return `first` and the later occurrences that are due, oldest first.

    `since` is when the schedule got its current times, so these times give no occurrences before
    it. `first` may be older: then it is an occurrence of the former times.
    """
    due = [first]
    at = max(first, since)
    while (following := next_after(when, at)) is not None and following <= now:
        if len(due) == _MAX_COUNTED:
            return [*due, *_latest(when, at, now, max(most_missed, 1))]
        at = following
        due.append(at)
    return due


def _latest(when: When, after: int, until: int, count: int) -> list[int]:
    """Return the latest `count` occurrences between two times, without computing all of them."""
    # Occurrences can only be computed forward. So look at the end of the time span, and at a longer
    # part of it in each round, until that part contains enough occurrences.
    length = count * clock.MINUTE
    while True:
        start = max(after, until - length)
        at = start
        latest: deque[int] = deque(maxlen=count)
        while (following := next_after(when, at)) is not None and following <= until:
            at = following
            latest.append(at)
        if len(latest) == count or start == after:
            return list(latest)
        length *= 8
