"""Start recurring work in a timer run: find the due schedules, and start their occurrences.

The index of due schedules is divided into several *shards*. A *key* is an entry of the index. It is
a Schedule object that has only the schedule's key and due time.

If many schedules are due at once, the run asks other processes to handle some of the shards. At the
end it handles those shards too, in case no other process does. It begins with the schedules that
became due last, because the other process begins with those that became due first.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from operator import attrgetter
from typing import Any

from job_runners import clock
from job_runners.aws.errors import AWS_ERRORS
from job_runners.engine.schedules import declared_schedules
from job_runners.engine.schedules.due_schedule import Outcome, Starter
from job_runners.engine.telemetry import telemetry
from job_runners.engine.wire.sending import Send
from job_runners.store import queries, schedule_marks
from job_runners.store import schedules as schedule_store
from job_runners.store.schedule import Schedule
from job_runners.store.schedule import shards as all_shards
from job_runners.store.schedule_marks import Mark

__all__ = ["Outcome", "start_due"]

_MAX_KEYS_PER_SHARD = 3_000  # due schedules that one run reads per shard
_BATCH_SIZE = 25  # schedules that one call reads
# If more schedules are due, this process asks others to help. It starts about this many occurrences
# in a few seconds.
_MAX_WITHOUT_HELP = 250


def start_due(
    send: Send,
    *,
    until: int,
    threads: int = 1,
    shards: Sequence[str] = (),
    delegate: Callable[[str], None] | None = None,
    marks: list[Mark] | None = None,
) -> Counter[Outcome]:
    """Start each due occurrence. Stop at `until` (milliseconds since 1970).

    - `shards`: the shards to handle. By default, handle all of them, and first write the declared
      schedules to the table.
    - `delegate` asks another process to handle one shard. It raises an error if it can't.
    - `marks`: the result of `schedule_marks.marks()`, if the caller has already read it.

    If there are no schedules, this costs one request. Raises AWS errors that occur before the first
    occurrence is started.
    """
    if not shards:
        if marks is None:
            marks = schedule_marks.marks()
        if not declared_schedules.sync(marks):
            return Counter()
    starter = Starter(send, until)
    _ShardRun(starter, threads).run(shards or all_shards(), delegate)
    return starter.counts


class _ShardRun:
    """Handles the due schedules of some shards, in several threads."""

    def __init__(self, starter: Starter, threads: int) -> None:
        self._starter = starter
        self._threads = threads

    def run(self, shards: Sequence[str], delegate: Callable[[str], None] | None) -> None:
        """Handle these shards. Begin with those that no other process was asked to handle."""
        due_keys = self._map(self._read_due_keys, shards)
        keys_by_shard = dict(zip(shards, due_keys, strict=True))
        delegated = self._delegate(keys_by_shard, delegate)
        not_delegated = [shard for shard in shards if shard not in delegated]
        own_keys = chain.from_iterable(keys_by_shard[shard] for shard in not_delegated)
        self._process_all(sorted(own_keys, key=attrgetter("due_at")))
        newest_first = (reversed(keys_by_shard[shard]) for shard in delegated)
        self._process_all(chain.from_iterable(newest_first))

    def _read_due_keys(self, shard: str) -> list[Schedule]:
        """Return the keys of a shard's due schedules."""
        try:
            return schedule_store.due(shard, clock.now(), _MAX_KEYS_PER_SHARD)
        except Exception as error:  # noqa: BLE001 - other shards may still be readable
            telemetry.crashed(error)
            return []

    def _delegate(
        self, keys_by_shard: dict[str, list[Schedule]], delegate: Callable[[str], None] | None
    ) -> list[str]:
        """If many schedules are due, ask other processes to handle all but one of their shards.

        Return the shards that other processes will handle.
        """
        due_count = sum(map(len, keys_by_shard.values()))
        if delegate is None or due_count <= _MAX_WITHOUT_HELP:
            return []
        delegated = []
        shards_in_use = [shard for shard, keys in keys_by_shard.items() if keys]
        for shard in shards_in_use[1:]:
            try:
                delegate(shard)
            except Exception as error:  # noqa: BLE001 - this process then handles the shard
                telemetry.crashed(error)
            else:
                delegated.append(shard)
        return delegated

    def _process_all(self, keys: Iterable[Schedule]) -> None:
        """Process the schedules with these keys in batches."""
        all_keys = list(keys)
        starts = range(0, len(all_keys), _BATCH_SIZE)
        batches = [all_keys[start : start + _BATCH_SIZE] for start in starts]
        self._map(self._process_batch, batches)

    def _map(self, call: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        """Call `call` with each item, in the run's threads, and return the results in order."""
        if self._threads == 1:
            return [call(item) for item in items]
        with ThreadPoolExecutor(self._threads, thread_name_prefix="schedules") as pool:
            return list(pool.map(call, items))

    def _process_batch(self, keys: list[Schedule]) -> None:
        """Read the schedules with these keys together, and start their due occurrences."""
        if self._starter.is_over():
            return
        try:
            schedules, unfinished = _read_all(keys)
        except AWS_ERRORS as error:
            telemetry.crashed(error)
            self._starter.add_failed_call()
            return
        except Exception as error:  # noqa: BLE001 - a schedule or its last job is unreadable
            telemetry.crashed(error)
            self._process_one_by_one(keys)
            return
        for schedule in schedules:
            if not self._starter.is_over():
                self._starter.process(schedule, unfinished)

    def _process_one_by_one(self, keys: list[Schedule]) -> None:
        """Process a batch that can't be read, and postpone the schedule that is the reason."""
        if len(keys) == 1:
            schedule_store.set_aside(keys[0], clock.now() + clock.HOUR)
            self._starter.add_outcome(Outcome.BROKEN)
            return
        for key in keys:
            self._process_batch([key])


def _read_all(keys: list[Schedule]) -> tuple[list[Schedule], set[str]]:
    """Return the schedules with these keys, and the ids of their unfinished last jobs.

    This leaves out the jobs of schedules whose next occurrence may start while the last job runs.
    """
    schedules = schedule_store.read_many((key.organization_id, key.name) for key in keys)
    last_job_ids = {schedule.last_job_id for schedule in schedules if schedule.overlap != "allow"}
    return schedules, queries.unfinished(sorted(filter(None, last_job_ids)))
