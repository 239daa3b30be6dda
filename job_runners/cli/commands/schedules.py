"""job-runners schedules: manage the schedules of an organization."""

from itertools import islice
from typing import Any

import click

from job_runners.cli import options, output, payload, times
from job_runners.cli.completion import names_of, schedule_names
from job_runners.cli.for_each_job import confirm
from job_runners.cli.listing import (
    dispatch_result,
    outcome_in_words,
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
# What `job-runners schedules show` prints after "defined" and "overrides".
_DEFINED_BY_ANOTHER_VERSION = (
    "by another version of the code, not by this version. The schedule is removed 15 minutes "
    "after the other version is gone"
)
_OVERRIDES = (
    "the schedule of this name that the code declares (RECURRING). The declared "
    "one becomes active 5 minutes after this one is deleted"
)
_MAX_SCHEDULES = 1000  # per organization


@options.group
def command() -> None:
    """Dispatch jobs by cron or at an interval. Without a subcommand, list the schedules."""


@options.command(name="list")
def list_schedules(target: Target) -> None:
    """List schedules with their last and next occurrence."""
    schedules = islice(target.api.schedules(), _MAX_SCHEDULES)
    if_empty = _NO_SCHEDULES.format(target.organization_in_words)
    print_list(target, "schedules", schedules, _HEADINGS, _row, if_empty=if_empty)


@options.command()
@click.argument("name", shell_complete=schedule_names)
def show(target: Target, name: str) -> None:
    """Show a schedule with its payload and next five occurrences."""
    schedule = target.printable(target.api.schedule(name))
    if target.json:
        output.print_json(schedule)
        return
    output.print_details(_schedule_details(schedule))


def _parse_missed(ctx: click.Context, param: click.Parameter, value: str) -> str | int:  # noqa: ARG001
    if value in ("skip", "one"):
        return value
    if not value.isascii() or not value.isdecimal():
        raise click.BadParameter(f"{value!r} is invalid. Pass skip, one or a number.")
    return int(value)


@options.command(epilog=payload.HELP)
@click.argument("name", shell_complete=schedule_names)
@click.argument("job_type", shell_complete=names_of("jobs"))
@click.argument("pairs", nargs=-1, metavar="[KEY=VALUE | KEY:=JSON]...")
@click.option("--payload", "payload_option", metavar="JSON", help=payload.OPTION_HELP)
@click.option(
    "--cron", metavar="TIMES", help="Cron expression with five fields, such as '0 2 * * *'."
)
@click.option(
    "--timezone", metavar="ZONE", help="Time zone of --cron, such as Europe/Berlin (default UTC)."
)
@click.option(
    "--every",
    metavar="SPAN",
    callback=times.parse_interval,
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
    payload_option: str | None,
    **rules: Any,  # cron, timezone, every, missed and overlap
) -> None:
    """Create or replace a schedule. A paused schedule stays paused.

    \b
    job-runners schedules put nightly_report make_report --cron '0 2 * * *' --timezone Europe/Berlin
    job-runners schedules put sync sync_list --every 15m items:='["ada"]'
    """
    options.require_one("--cron or --every", rules["cron"], rules["every"])
    job_payload = payload.read_payload(pairs, payload_option)
    with payload.add_hint_if_invalid(job_type, pairs):
        put_schedule = target.api.put_schedule(name, job_type, payload=job_payload, **rules)
    schedule = target.printable(put_schedule)
    print_done(target, schedule, f"Put: {name}, {schedule['words']}, {_next_in_words(schedule)}")


@options.command()
@click.argument("name", shell_complete=schedule_names)
def pause(target: Target, name: str) -> None:
    """Pause a schedule. Occurrences are skipped until you resume it. Running jobs continue."""
    schedule = target.printable(target.api.pause_schedule(name))
    print_done(target, schedule, f"Paused: schedule {name}")


@options.command()
@click.argument("name", shell_complete=schedule_names)
def resume(target: Target, name: str) -> None:
    """Resume a paused schedule."""
    schedule = target.printable(target.api.resume_schedule(name))
    print_done(target, schedule, f"Resumed: schedule {name}, {_next_in_words(schedule)}")


@options.command()
@click.argument("name", shell_complete=schedule_names)
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
def delete(target: Target, name: str, yes: bool) -> None:
    """Delete a schedule. Its jobs remain. A schedule declared in code can only be paused."""
    confirm(f"Delete the schedule {name} on {target.name}?", yes=yes)
    target.api.delete_schedule(name)
    print_done(target, {"name": name, "deleted": True}, f"Deleted: schedule {name}")


@options.command()
@click.argument("name", shell_complete=schedule_names)
def run(target: Target, name: str) -> None:
    """Dispatch the schedule's job once now, in addition to its occurrences. Print the job's id."""
    job = target.api.run_schedule(name)
    result = dispatch_result(target, job)
    text = f"{result['job_type']} {outcome_in_words(job)}, {result['status']}"
    print_dispatched(target, result, text)


for subcommand in (list_schedules, show, put, pause, resume, delete, run):
    command.add_command(subcommand)


def _row(schedule: dict[str, Any]) -> tuple[str, ...]:
    last = schedule["last"]
    return (
        schedule["name"],
        schedule["job_type"],
        schedule["words"],
        output.relative_time(last["at"]) if last else "",
        _last_status(last) if last else "",
        output.time_until(schedule["next"][0]) if schedule["next"] else "",
        _state(schedule),
        _origin(schedule),
    )


def _state(schedule: dict[str, Any]) -> str:
    if schedule["paused_at"]:
        return f"paused {output.relative_time(schedule['paused_at'])}"
    if schedule["retrying"]:
        return "starting failed, retrying"
    return "waiting for the previous job" if schedule["waits"] else ""


def _origin(schedule: dict[str, Any]) -> str:
    if schedule["origin"] == "code":
        return "code" if schedule["declared"] else "code of another version"
    return "api, overrides the code" if schedule["declared"] else "api"


def _last_status(last: dict[str, Any]) -> str:
    return str(last["job"]["status"]) if last["job"] else "gone"


def _next_in_words(schedule: dict[str, Any]) -> str:
    if schedule["paused_at"]:
        return "paused"
    if not schedule["next"]:
        return "no more occurrences"
    return f"next {output.time(schedule['next'][0])}"


def _schedule_details(schedule: dict[str, Any]) -> list[tuple[str, str]]:
    is_override = schedule["origin"] == "api" and schedule["declared"]
    counts = (
        f"{schedule['started']} started, {schedule['skipped']} skipped, {schedule['failed']} failed"
    )
    return [
        ("schedule", schedule["name"]),
        ("when", schedule["words"]),
        ("cron", schedule["cron"] or ""),
        ("job", schedule["job_type"]),
        ("payload", "" if schedule["payload"] is None else output.as_json(schedule["payload"])),
        ("missed", str(schedule["missed"])),
        ("overlap", schedule["overlap"]),
        ("defined", _definition(schedule)),
        ("overrides", _OVERRIDES if is_override else ""),
        ("paused", _time_and_caller(schedule["paused_at"], schedule["paused_by"])),
        ("last", _last_in_words(schedule["last"])),
        ("skipped", _time_and_reason(schedule["last_skipped_at"], schedule["last_skipped_why"])),
        ("not started", _time_and_reason(schedule["last_failed_at"], _error_in_words(schedule))),
        ("retrying", _error_in_words(schedule) if schedule["retrying"] else ""),
        ("so far", counts),
        ("next", ", ".join(map(output.time, schedule["next"])) or _next_in_words(schedule)),
    ]


def _definition(schedule: dict[str, Any]) -> str:
    if schedule["origin"] == "code":
        return "in code" if schedule["declared"] else _DEFINED_BY_ANOTHER_VERSION
    return _time_and_caller(schedule["updated_at"], schedule["updated_by"])


def _time_and_caller(iso: str | None, caller: str | None) -> str:
    return f"{output.time_and_age(iso)} by {caller or 'unknown'}" if iso else ""


def _last_in_words(last: dict[str, Any] | None) -> str:
    if last is None:
        return "no occurrences yet"
    time = output.time_and_age(last["at"])
    return f"{time}, job {output.short_id(last['job_id'])}: {_last_status(last)}"


def _time_and_reason(iso: str | None, reason: str | None) -> str:
    return f"{output.time_and_age(iso)}: {reason or 'unknown reason'}" if iso else ""


def _error_in_words(schedule: dict[str, Any]) -> str:
    error = schedule["error"]
    return f"{error['kind']}: {error['message']}" if error else ""
