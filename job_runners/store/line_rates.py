"""Change the rate item of a line: count a start, or record the next wake-up message.

The rate item stores when jobs of the line were admitted and started. A *wake-up* is a message that
asks a worker to admit the next jobs of a line at a certain time.
"""

from job_runners.aws.errors import try_write
from job_runners.store import conditional_write
from job_runners.store.line_items import (
    MILLISECOND,
    RATE,
    LineItem,
    new_expiry,
    same_starts,
    same_turn,
    start_actions,
)
from job_runners.store.lines import Line
from job_runners.store.rate import Rate


def count_start(line: Line, rate: Rate, token: str, at: int) -> bool:
    """Count an admitted job's start, at the time `at`, against the rate of its line.

    The caller must not start the job before `at`, which may be later than now. Because starts are
    reserved in advance, waiting workers don't compete for the moment when the rate opens.

    Return False if another start was counted since the line was read. `token` is the claim's token.
    If an earlier try of the same claim counted its start and then failed, that start is moved to
    `at`, because the job starts only then.
    """
    item = line.rate or LineItem(line.partition_key, RATE)
    if item.started_by == token:
        delay = max(0, at - (item.started_at or at))
        started_tat = (item.started_tat or 0) + delay * MILLISECOND
    else:
        started_tat = rate.end_of_next_interval(line.started_until(rate), at * MILLISECOND)
    actions = [
        *start_actions(started_tat, at, token),
        LineItem.expires_at.set(new_expiry(max(item.tat or 0, started_tat))),
    ]
    return try_write(lambda: item.update(actions, same_starts(item)))


def mark_wake_up(line: Line, wake_at: int) -> bool:
    """Record when a wake-up message will arrive, or when the pass that paces the line will end.

    Return False if another process has recorded that, or has admitted a job under the rate, since
    the line was read.
    """
    rate = line.rate
    if rate is None:
        return False
    unchanged = same_turn(rate) & conditional_write.same(LineItem.wake_at, rate.wake_at)
    return try_write(lambda: rate.update([LineItem.wake_at.set(wake_at)], unchanged))


def unmark_wake_up(partition_key: str, wake_at: int) -> bool:
    """Undo `mark_wake_up`. Return False if a different wake-up is recorded now."""
    item = LineItem(partition_key, RATE)
    same_wake_up = LineItem.wake_at == wake_at
    return try_write(lambda: item.update([LineItem.wake_at.remove()], same_wake_up))
