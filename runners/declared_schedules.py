"""The schedules that the code declares (`RECURRING`), brought into the table by the timer.

Several versions of the code may be at work at once, for a minute on Lambda, for longer where
worker processes are replaced one by one. So each deploy notes that it is there, and what it
declares: at its first tick, and every few minutes. The one that came last decides what a schedule
is. What none of those that are there declares any more is removed; until then it goes on, for a
timer of a deploy that does not declare it must not take it from one that does.
"""

import json
from collections.abc import Iterable, Mapping

import clock
from runners import telemetry
from runners.registry import registry
from runners.schedules import check, definition_of, put_over
from store import schedule_marks
from store import schedules as store
from store.job_request import derived_id
from store.schedule_marks import Mark
from store.schedules import Definition, ScheduleMoved

HEARD_OF_EVERY = 5 * clock.MINUTE
# A deploy that was not heard of for so long is gone, and is forgotten: if it is heard of again, it
# has come last.
GONE_AFTER = 3 * HEARD_OF_EVERY

_Key = tuple[str, str]  # organisation and name


def sync(marks: list[Mark]) -> bool:
    """Do what there is to do about what the code declares; return whether there are schedules.

    When there is nothing to do, which is nearly always, it costs no request.
    """
    declared = {(each.organization_id, name): each for name, each in registry().recurring.items()}
    deploys = {mark.deploy: mark for mark in marks if mark.deploy is not None}
    if not declared and not deploys:
        return bool(marks)
    try:
        definitions = {key: definition_of(each) for key, each in declared.items()}
        _sync(definitions, deploys)
    except Exception as error:  # noqa: BLE001 - what is in the table is started all the same
        telemetry.crashed(error)
    return True


def forget() -> None:
    """Look at all that is declared at the next tick, as a new process does: for tests."""
    _looked_at.clear()


_looked_at: dict[str, int] = {}  # when this process has, by deploy


def _sync(declared: Mapping[_Key, Definition], deploys: dict[str, Mark]) -> None:
    now = clock.now()
    deploy = _name_of(declared)
    mine = deploys.get(deploy)
    if mine is None or now - mine.seen_at >= HEARD_OF_EVERY:
        since = now if mine is None else mine.since
        mine = deploys[deploy] = schedule_marks.note_deploy(deploy, since, declared)
    there = [mark for mark in deploys.values() if _is_there(mark)]
    if max(there, key=lambda mark: (mark.since, mark.sk), default=mine) is not mine:
        return
    if not 0 <= now - _looked_at.get(deploy, -HEARD_OF_EVERY) < HEARD_OF_EVERY:
        _put(declared)
        _looked_at[deploy] = now
    wanted = set().union(*(mark.declared for mark in there))
    for mark in [mark for mark in deploys.values() if not _is_there(mark)]:
        _remove(mark.declared - wanted)
        schedule_marks.forget_deploy(mark)
    if not declared and there == [mine]:
        schedule_marks.forget_deploy(mine)  # nothing is declared, and nothing was


def _name_of(declared: Mapping[_Key, Definition]) -> str:
    """Return what tells deploys apart: what they declare."""
    parts = sorted((*key, definition.fingerprint) for key, definition in declared.items())
    return derived_id("deploy", json.dumps(parts))


def _is_there(mark: Mark) -> bool:
    return clock.now() - mark.seen_at < GONE_AFTER


def _put(declared: Mapping[_Key, Definition]) -> None:
    """Store what differs from what is declared."""
    there = {(each.organization_id, each.name): each for each in store.read_many(declared)}
    for key, definition in declared.items():
        before = there.get(key)
        if before is not None and not before.is_deleted:
            if before.origin != "code":
                telemetry.schedule_not_declared(*key, "a schedule of that name is there already")
                continue
            if before.fingerprint == definition.fingerprint:
                continue
        try:
            check(key[0], definition)
            put_over(before, *key, definition, "code")
        except ScheduleMoved as moved:
            telemetry.moved(moved)  # by the next look at the latest
        except Exception as error:  # noqa: BLE001 - one of them must not keep out the others
            telemetry.schedule_not_declared(*key, str(error))
        else:
            telemetry.schedule_declared(*key)


def _remove(keys: Iterable[_Key]) -> None:
    for schedule in store.read_many(keys):
        if schedule.is_declared:
            store.delete(schedule)
            telemetry.schedule_removed(schedule)
