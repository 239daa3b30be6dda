"""job-runners schedules: manage the schedules of an organization."""

from itertools import islice
from typing import Any

import click

from job_runners.cli import options, output, payload, times
from job_runners.cli.completion import names_of, schedule_names
from job_runners.cli.for_each_job import confirm
from job_runners.cli.listing import (
    dispatched,
    outcome,
    print_dispatched,
    print_done,
    print_list,
)
from job_runners.cli.target import Target

_HEADINGS = ("SCHEDULE", "JOB", "WHEN", "LAST", "", "NEXT", "", "FROM")
_NO_SCHEDULES = (
    "No schedules of {}. To create one, see job-runners schedules put --help.\n"
    "Schedules declared in code appear within a minute. Each belongs to the organization that it "
    "names: pass --organization."
)
# The values of the facts "defined" and "overrides" of a schedule.
_OF_ANOTHER_VERSION = (
    "by another version of the code, not by this version. The schedule is removed 15 minutes "
    "after the other version is gone"
)
_OVERRIDES = (
    "the schedule of this name that the code declares (RECURRING). The declared "
    "one becomes active 5 minutes after this one is deleted"
)
_LIMIT = 1000  # the maximum per organization


@options.group(lists=True)
def command() -> None:
    """Dispatch jobs by cron or at an interval. Without a subcommand, list the schedules."""


@options.command(name="list")
def list_schedules(target: Target) -> None:
    """List schedules with their last and next occurrence."""
    schedules = islice(target.api.schedules(), _LIMIT)
    if_empty = _NO_SCHEDULES.format(target.owner)
    print_list(target, "schedules", schedules, _HEADINGS, _row, if_empty=if_empty)


@options.command()
@click.argument("name", shell_complete=schedule_names())
def show(target: Target, name: str) -> None:
    """Show a schedule with its payload and next five occurrences."""
    schedule = target.shown(target.api.schedule(name))
    if target.json:
        output.print_json(schedule)
        return
    output.print_facts(_facts(schedule))


def _parse_missed(ctx: click.Context, param: click.Parameter, value: str) -> str | int:  # noqa: ARG001
    if value in ("skip", "one"):
        return value
    if not value.isascii() or not value.isdecimal():
        raise click.BadParameter(f"{value!r} is invalid. Pass skip, one or a number.")
    return int(value)


@options.command(epilog=payload.HELP)
@click.argument("name", shell_complete=schedule_names())
@click.argument("job_type", shell_complete=names_of("jobs"))
@click.argument("pairs", nargs=-1, metavar="[KEY=VALUE | KEY:=JSON]...")
@click.option("--payload", "whole", metavar="JSON", help=payload.OPTION_HELP)
@click.option(
    "--cron", metavar="TIMES", help="Cron expression with five fields, such as '0 2 * * *'."
)
@click.option(
    "--timezone", metavar="ZONE", help="Time zone of --cron, such as Europe/Berlin (default UTC)."
)
@click.option(
    "--every",
    metavar="SPAN",
    callback=times.interval,
    help="Interval instead of --cron, such as 15m, 2h or 1d (1m to 366d). Intervals are "
    "aligned to 1970-01-01 00:00 UTC.",
)
@click.option(
    "--missed",
    metavar="skip|one|N",
    callback=_parse_missed,
    default="one",
    help="How many missed occurrences to catch up on: skip (none), one (the latest) or a number "
    "(default one).",
)
@click.option(
    "--overlap",
    type=click.Choice(["skip", "queue", "allow"]),
    default="skip",
    help="Action while the previous job is unfinished: skip, queue or allow (default skip).",
)
def put(
    target: Target,
    name: str,
    job_type: str,
    pairs: tuple[str, ...],
    whole: str | None,
    **rules: Any,  # cron, timezone, every, missed and overlap
) -> None:
    """Create or replace a schedule. A paused schedule stays paused.

    \b
    job-runners schedules put nightly_report make_report --cron '0 2 * * *' --timezone Europe/Berlin
    job-runners schedules put sync sync_list --every 15m items:='["ada"]'
    """
    options.require_one("--cron or --every", rules["cron"], rules["every"])
    with payload.explained(job_type, pairs):
        made = target.api.put_schedule(
            name,
            job_type,
            payload=payload.read_payload(pairs, whole),
            **rules,
        )
    schedule = target.shown(made)
    print_done(target, schedule, f"Put: {name}, {schedule['words']}, {_next(schedule)}")


@options.command()
@click.argument("name", shell_complete=schedule_names())
def pause(target: Target, name: str) -> None:
    """Pause a schedule. Occurrences are skipped until you resume it. Running jobs continue."""
    schedule = target.shown(target.api.pause_schedule(name))
    print_done(target, schedule, f"Paused: schedule {name}")


@options.command()
@click.argument("name", shell_complete=schedule_names())
def resume(target: Target, name: str) -> None:
    """Resume a paused schedule."""
    schedule = target.shown(target.api.resume_schedule(name))
    print_done(target, schedule, f"Resumed: schedule {name}, {_next(schedule)}")


@options.command()
@click.argument("name", shell_complete=schedule_names())
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
def delete(target: Target, name: str, yes: bool) -> None:
    """Delete a schedule. Its jobs remain. A schedule declared in code can only be paused."""
    confirm(f"Delete the schedule {name} on {target.name}?", yes=yes)
    target.api.delete_schedule(name)
    print_done(target, {"name": name, "deleted": True}, f"Deleted: schedule {name}")


@options.command()
@click.argument("name", shell_complete=schedule_names())
def run(target: Target, name: str) -> None:
    """Dispatch the schedule's job once now, in addition to its occurrences. Print the job's id."""
    made = target.api.run_schedule(name)
    job = dispatched(target, made)
    print_dispatched(target, job, f"{job['job_type']} {outcome(made)}, {job['status']}")


for each in (list_schedules, show, put, pause, resume, delete, run):
    command.add_command(each)


def _row(schedule: dict[str, Any]) -> tuple[str, ...]:
    last = schedule["last"]
    return (
        schedule["name"],
        schedule["job_type"],
        schedule["words"],
        output.ago(last["at"]) if last else "",
        _status(last) if last else "",
        output.coming(schedule["next"][0]) if schedule["next"] else "",
        _state(schedule),
        _origin(schedule),
    )


def _state(schedule: dict[str, Any]) -> str:
    if schedule["paused_at"]:
        return f"paused {output.ago(schedule['paused_at'])}"
    if schedule["retrying"]:
        return "starting failed, retrying"
    return "waiting for the previous job" if schedule["waits"] else ""


def _origin(schedule: dict[str, Any]) -> str:
    """Return the origin of a schedule in words. An older API has no field `declared`."""
    if schedule["origin"] == "code":
        return "code of another version" if schedule.get("declared") is False else "code"
    return "api, overrides the code" if schedule.get("declared") else "api"


def _status(last: dict[str, Any]) -> str:
    return str(last["job"]["status"]) if last["job"] else "gone"


def _next(schedule: dict[str, Any]) -> str:
    if schedule["paused_at"]:
        return "paused"
    return f"next {output.time(schedule['next'][0])}" if schedule["next"] else "no more occurrences"


def _facts(schedule: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        ("schedule", schedule["name"]),
        ("when", schedule["words"]),
        ("cron", schedule["cron"] or ""),
        ("job", schedule["job_type"]),
        ("payload", "" if schedule["payload"] is None else output.as_json(schedule["payload"])),
        ("missed", str(schedule["missed"])),
        ("overlap", schedule["overlap"]),
        ("defined", _definition(schedule)),
        (
            "overrides",
            _OVERRIDES if schedule["origin"] == "api" and schedule.get("declared") else "",
        ),
        ("paused", _by(schedule["paused_at"], schedule["paused_by"])),
        ("last", _last(schedule["last"])),
        ("skipped", _with_reason(schedule["last_skipped_at"], schedule["last_skipped_why"])),
        ("not started", _with_reason(schedule["last_failed_at"], _error(schedule))),
        ("retrying", _error(schedule) if schedule["retrying"] else ""),
        (
            "so far",
            f"{schedule['started']} started, {schedule['skipped']} skipped, "
            f"{schedule['failed']} failed",
        ),
        ("next", ", ".join(map(output.time, schedule["next"])) or _next(schedule)),
    ]


def _definition(schedule: dict[str, Any]) -> str:
    if schedule["origin"] == "code":
        return _OF_ANOTHER_VERSION if schedule.get("declared") is False else "in code"
    return _by(schedule["updated_at"], schedule["updated_by"])


def _by(iso: str | None, who: str | None) -> str:
    return f"{output.when(iso)} by {who or 'unknown'}" if iso else ""


def _last(last: dict[str, Any] | None) -> str:
    if last is None:
        return "no occurrences yet"
    return f"{output.when(last['at'])}, job {output.short(last['job_id'])}: {_status(last)}"


def _with_reason(iso: str | None, why: str | None) -> str:
    return f"{output.when(iso)}: {why or 'unknown reason'}" if iso else ""


def _error(schedule: dict[str, Any]) -> str:
    error = schedule["error"]
    return f"{error['kind']}: {error['message']}" if error else ""
