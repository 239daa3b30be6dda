"""Choose which occurrence of a schedule to start now, and which to skip.

The choice depends only on the stored schedule and the time, so two timers make the same choice.

An *occurrence* is one of the times at which a schedule starts a job, in milliseconds since 1970. It
is *due* when this time has come. It is *missed* if a later one becomes due before it is started, or
if it is more than MAX_LATENESS late. A schedule's option `most_missed` is the maximum number of
missed occurrences to start. The latest ones are started, one after the other, and the older ones
are skipped. With `most_missed` 0, only an occurrence that wasn't missed is started.

The *progress* of a schedule has its last and next occurrences, and those that were skipped or whose
job was refused.
"""

from collections import deque
from typing import NamedTuple

from job_runners import clock
from job_runners.engine.schedules.schedules import when_of
from job_runners.store.schedule import Schedule
from job_runners.store.schedules import Progress, SkippedOccurrences
from job_runners.work.occurrences import When, next_after

# An occurrence that starts within this time wasn't missed, because timer runs may be slow or fail.
MAX_LATENESS = 5 * clock.MINUTE
# The reasons why an occurrence is skipped.
MISSED = "it was missed: the timer could not start it in time"
EARLIER_WAITS = "an earlier occurrence is already waiting"
# If more occurrences are due, only this many of the oldest ones are computed, and the latest ones,
# because only they may start. The occurrences in between don't count as skipped.
_MAX_COMPUTED = 1_000


class Choice(NamedTuple):
    """What to do next: start this occurrence, if any, and record this progress."""

    occurrence: int | None
    progress: Progress


def choose(schedule: Schedule) -> Choice | None:
    """Choose what to do next about the due occurrences. Return None if no occurrence is due."""
    now = clock.now()
    first = schedule.next_at
    if first is None or first > now:
        return None
    when = when_of(schedule)
    if schedule.last_at is not None and first <= schedule.last_at:
        # The schedule's times were changed, and its next occurrence was already handled. Go on to
        # the first one in the future.
        next_at = _next_future(when, schedule, schedule.last_at)
        return Choice(None, Progress(schedule.last_at, next_at))
    due = _due_occurrences(when, first, schedule.since, now, schedule.most_missed)
    if schedule.waits:
        # The first occurrence waits for the previous one's job, so it wasn't missed. Start it now,
        # and skip the others.
        progress = _progress_after(due, when, schedule, skipped=due[1:], reason=EARLIER_WAITS)
        return Choice(first, progress)
    max_starts = max(schedule.most_missed, 1)
    skipped = due[:-max_starts]
    # Start one occurrence now. Later calls choose the others.
    to_start, *to_start_later = due[-max_starts:]
    if schedule.most_missed == 0 and to_start < now - MAX_LATENESS:
        return Choice(None, _progress_after(due, when, schedule, skipped=due, reason=MISSED))
    handled = [*skipped, to_start]
    progress = _progress_after(handled, when, schedule, skipped=skipped, reason=MISSED)
    if to_start_later:
        progress = progress._replace(next_at=to_start_later[0])
    return Choice(to_start, progress)


def with_skipped(progress: Progress, occurrence: int, reason: str) -> Progress:
    """Return the progress with this occurrence skipped too, for this reason."""
    total = progress.skips.total if progress.skips else 0
    return progress._replace(skips=SkippedOccurrences(total + 1, occurrence, reason))


def _progress_after(
    handled: list[int], when: When, schedule: Schedule, *, skipped: list[int], reason: str
) -> Progress:
    """Return the progress after the `handled` occurrences, of which some were skipped."""
    failed: tuple[int, ...] = ()
    # If the job of the first skipped occurrence was refused before, that occurrence counts as
    # failed instead of skipped.
    if schedule.retrying and skipped and skipped[0] == schedule.next_at:
        failed = (skipped[0],)
        skipped = skipped[1:]
    skips = SkippedOccurrences(len(skipped), skipped[-1], reason) if skipped else None
    last = handled[-1]
    return Progress(last, _next_future(when, schedule, last), skips, failed)


def _next_future(when: When, schedule: Schedule, after: int) -> int | None:
    """Return the first occurrence after `after` that isn't due yet."""
    return next_after(when, max(clock.now(), schedule.since, after))


def _due_occurrences(when: When, first: int, since: int, now: int, most_missed: int) -> list[int]:
    """Return `first` and the later occurrences that are due, oldest first.

    `since` is when the schedule got its current times. They apply only after that. If `first` is
    older, it is an occurrence of the schedule's former times.
    """
    due = [first]
    last = max(first, since)
    while (following := next_after(when, last)) is not None and following <= now:
        if len(due) == _MAX_COMPUTED:
            return [*due, *_latest(when, last, now, max(most_missed, 1))]
        last = following
        due.append(last)
    return due


def _latest(when: When, after: int, until: int, count: int) -> list[int]:
    """Return the latest `count` occurrences between two times, without computing all of them."""
    # Occurrences can only be computed forward. So compute those in a short time before `until`. If
    # there aren't enough, try again with a time that is eight times as long.
    length = count * clock.MINUTE
    while True:
        start = max(after, until - length)
        last = start
        latest: deque[int] = deque(maxlen=count)
        while (following := next_after(when, last)) is not None and following <= until:
            last = following
            latest.append(last)
        if len(latest) == count or start == after:
            return list(latest)
        length *= 8
