"""Write the schedules that the code declares (`RECURRING`) to the table, in a timer run.

Several versions of the code may run at once: for a minute on Lambda, and for longer where worker
processes are replaced one by one. So each deploy records its presence and its declarations in a
mark, at its first timer run and every few minutes after that. The deploy that came last defines the
schedules.

A schedule is removed only when no present deploy declares it.
"""

import json
from collections.abc import Iterable, Mapping

from job_runners import caches, clock
from job_runners.engine.registry.registry import registry
from job_runners.engine.schedules.schedules import check, definition_of, put_over
from job_runners.engine.telemetry import schedule_log, telemetry
from job_runners.store import schedule_marks
from job_runners.store import schedules as schedule_store
from job_runners.store.job_request import derived_id
from job_runners.store.schedule_marks import Mark
from job_runners.store.schedules import Definition, ScheduleChanged

PRESENCE_INTERVAL = 5 * clock.MINUTE  # the time between two records of a deploy's presence
# A deploy that hasn't recorded its presence for this long counts as gone, and its mark is removed.
# If it records its presence again, it counts as the deploy that came last.
GONE_AFTER = 3 * PRESENCE_INTERVAL

_Key = tuple[str, str]  # organization and name


def sync(marks: list[Mark]) -> bool:
    """Make the table match the declared schedules. Return whether there are any schedules.

    Usually there is nothing to do, and then this costs no request.
    """
    declared = {(each.organization_id, name): each for name, each in registry().recurring.items()}
    deploys = {mark.deploy: mark for mark in marks if mark.deploy is not None}
    if not declared and not deploys:
        return bool(marks)
    try:
        definitions = {key: definition_of(each) for key, each in declared.items()}
        _sync(definitions, deploys)
    except Exception as error:  # noqa: BLE001 - schedules in the table are started anyway
        telemetry.crashed(error)
    return True


_last_checks: dict[str, int] = {}  # when this process last checked a deploy's declarations
caches.register(_last_checks.clear)


def _sync(declared: Mapping[_Key, Definition], deploys: dict[str, Mark]) -> None:
    now = clock.now()
    deploy = _deploy_id(declared)
    mine = deploys.get(deploy)
    if mine is None or now - mine.seen_at >= PRESENCE_INTERVAL:
        since = now if mine is None else mine.since
        mine = deploys[deploy] = schedule_marks.note_deploy(deploy, since, declared)
    present = [mark for mark in deploys.values() if _is_present(mark)]
    if max(present, key=lambda mark: (mark.since, mark.sk), default=mine) is not mine:
        return  # another deploy came last
    if not 0 <= now - _last_checks.get(deploy, -PRESENCE_INTERVAL) < PRESENCE_INTERVAL:
        _put(declared)
        _last_checks[deploy] = now
    wanted = set().union(*(mark.declared for mark in present))
    for mark in [mark for mark in deploys.values() if not _is_present(mark)]:
        _remove(mark.declared - wanted)
        schedule_marks.forget_deploy(mark)
    if not declared and present == [mine]:
        schedule_marks.forget_deploy(mine)  # no deploy declares a schedule any more


def _deploy_id(declared: Mapping[_Key, Definition]) -> str:
    """Return a deploy's id, which depends only on its declarations."""
    parts = sorted((*key, definition.fingerprint) for key, definition in declared.items())
    return derived_id("deploy", json.dumps(parts))


def _is_present(mark: Mark) -> bool:
    return clock.now() - mark.seen_at < GONE_AFTER


def _put(declared: Mapping[_Key, Definition]) -> None:
    """Store the declared schedules that differ from those in the table."""
    stored = {
        (each.organization_id, each.name): each for each in schedule_store.read_many(declared)
    }
    for key, definition in declared.items():
        before = stored.get(key)
        if before is not None and not before.is_deleted:
            if before.origin != "code":
                schedule_log.not_declared(*key, "the API has created a schedule of that name")
                continue
            if before.fingerprint == definition.fingerprint:
                continue
        try:
            check(key[0], definition)
            put_over(before, *key, definition, "code")
        except ScheduleChanged as moved:
            telemetry.race_lost(moved)  # the next check handles the schedule if necessary
        except Exception as error:  # noqa: BLE001 - one bad schedule must not block the others
            schedule_log.not_declared(*key, str(error))
        else:
            schedule_log.declared(*key)


def _remove(keys: Iterable[_Key]) -> None:
    for schedule in schedule_store.read_many(keys):
        if schedule.is_declared:
            schedule_store.delete(schedule)
            schedule_log.removed(schedule)
