"""Write the schedules that the code declares (`RECURRING`) to the table, in a timer run.

Several deploys of the code may run at once: for a minute on Lambda, and for longer where worker
processes are replaced one by one. So each deploy records its presence and its declarations in a
*mark*, an item in the table, at its first timer run and every few minutes after that. A deploy is
*present* if it has done so recently. The latest present deploy defines the schedules. A schedule is
removed once no present deploy declares it.
"""

import json
from collections.abc import Iterable, Mapping

from job_runners import caches, clock
from job_runners.engine.registry.registry import registry
from job_runners.engine.schedules.schedules import check, definition_of, replace
from job_runners.engine.telemetry import schedule_log, telemetry
from job_runners.store import schedule_marks
from job_runners.store import schedules as schedule_store
from job_runners.store.job_request import derived_id
from job_runners.store.schedule import Definition
from job_runners.store.schedule_marks import Mark
from job_runners.store.schedules import ScheduleChanged

PRESENCE_INTERVAL = 5 * clock.MINUTE  # how often a deploy records its presence
# A deploy that hasn't recorded its presence for this long is gone, and its mark is removed. If it
# records its presence again, it gets a new mark, so it counts as the latest deploy.
GONE_AFTER = 3 * PRESENCE_INTERVAL

_Key = tuple[str, str]  # organization and name


def sync(marks: list[Mark]) -> bool:
    """Make the table match the declared schedules. Return whether there are any schedules.

    `marks` is the result of `schedule_marks.marks()`. If the table already matches, as it usually
    does, this costs no request.
    """
    declared = registry().recurring
    marks_by_deploy = {mark.deploy: mark for mark in marks if mark.deploy is not None}
    if not declared and not marks_by_deploy:
        return bool(marks)
    try:
        definitions = {
            (recurring.organization_id, name): definition_of(recurring)
            for name, recurring in declared.items()
        }
        _sync(definitions, marks_by_deploy)
    except Exception as error:  # noqa: BLE001 - the schedules in the table must start anyway
        telemetry.crashed(error)
    return True


_last_checks: dict[str, int] = {}  # when this process last checked the table, by deploy
caches.register(_last_checks.clear)


def _sync(declared: Mapping[_Key, Definition], marks_by_deploy: dict[str, Mark]) -> None:
    """Record this deploy's presence. If it is the latest, update the schedules in the table.

    The latest deploy stores changed schedules, removes the schedules that only gone deploys have
    declared, and removes the marks of those deploys.
    """
    now = clock.now()
    deploy = _deploy_id(declared)
    own_mark = marks_by_deploy.get(deploy)
    if own_mark is None or now - own_mark.seen_at >= PRESENCE_INTERVAL:
        since = now if own_mark is None else own_mark.since
        own_mark = schedule_marks.note_deploy(deploy, since, declared)
        marks_by_deploy[deploy] = own_mark
    present = [mark for mark in marks_by_deploy.values() if _is_present(mark)]
    latest = max(present, key=lambda mark: (mark.since, mark.sk), default=own_mark)
    if latest is not own_mark:
        return
    time_since_check = now - _last_checks.get(deploy, -PRESENCE_INTERVAL)
    if not 0 <= time_since_check < PRESENCE_INTERVAL:  # negative if the clock was set back
        _put_changed(declared)
        _last_checks[deploy] = now
    still_declared = set().union(*(mark.declared for mark in present))
    for mark in marks_by_deploy.values():
        if not _is_present(mark):
            _remove(mark.declared - still_declared)
            schedule_marks.forget_deploy(mark)
    if not declared and present == [own_mark]:
        schedule_marks.forget_deploy(own_mark)  # no deploy declares a schedule any more


def _deploy_id(declared: Mapping[_Key, Definition]) -> str:
    """Return a deploy's id, which depends only on its declarations."""
    parts = sorted((*key, definition.fingerprint) for key, definition in declared.items())
    return derived_id("deploy", json.dumps(parts))


def _is_present(mark: Mark) -> bool:
    return clock.now() - mark.seen_at < GONE_AFTER


def _put_changed(declared: Mapping[_Key, Definition]) -> None:
    """Store the declared schedules that differ from those in the table."""
    stored = {
        (schedule.organization_id, schedule.name): schedule
        for schedule in schedule_store.read_many(declared)
    }
    for (organization_id, name), definition in declared.items():
        before = stored.get((organization_id, name))
        if before is not None and not before.is_deleted:
            if before.origin != "code":
                reason = "the API has created a schedule of that name"
                schedule_log.not_declared(organization_id, name, reason)
                continue
            if before.fingerprint == definition.fingerprint:
                continue
        try:
            check(organization_id, definition)
            replace(before, organization_id, name, definition, "code")
        except ScheduleChanged as moved:
            telemetry.race_lost(moved)  # the next check compares the schedule again
        except Exception as error:  # noqa: BLE001 - one bad schedule must not block the others
            schedule_log.not_declared(organization_id, name, str(error))
        else:
            schedule_log.declared(organization_id, name)


def _remove(keys: Iterable[_Key]) -> None:
    """Delete these schedules, except those that the API has created."""
    for schedule in schedule_store.read_many(keys):
        if schedule.is_declared:
            schedule_store.delete(schedule)
            schedule_log.removed(schedule)
