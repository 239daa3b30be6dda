"""jobs schedules: manage the schedules of an organization."""

from itertools import islice
from typing import Any

import click

from job_runners.cli import output, payload, times
from job_runners.cli.completion import names_of, schedule_names
from job_runners.cli.for_each_job import confirm
from job_runners.cli.options import command as jobs_command
from job_runners.cli.options import group as jobs_group
from job_runners.cli.target import Target

_HEADS = ("SCHEDULE", "JOB", "WHEN", "LAST", "", "NEXT", "", "FROM")
_NONE = (
    "No schedules of {}. To create one, see jobs schedules put --help.\n"
    "Schedules declared in code appear within a minute. Each belongs to the organization that it "
    "names: pass --organization."
)
_OTHERS = (
    "by another version of the code. This version doesn't declare it. It is removed 15 minutes "
    "after that version is gone"
)
_HIDES = (
    "the schedule of this name that the code declares (RECURRING). That one becomes active 5 "
    "minutes after this one is deleted"
)
_LIMIT = 1000  # the maximum per organization


@jobs_group(invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Dispatch jobs by cron or at an interval. Without a subcommand, list the schedules."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_schedules)


@jobs_command(name="list")
def list_schedules(target: Target) -> None:
    """List schedules with their last and next occurrence."""
    found = list(islice(target.api.schedules(), _LIMIT))
    if target.json:
        output.print_json({"schedules": found})
    elif found:
        output.table(_HEADS, [_row(each) for each in found])
    else:
        click.echo(_NONE.format(target.api.owner), err=True)


@jobs_command()
@click.argument("name", shell_complete=schedule_names())
def show(target: Target, name: str) -> None:
    """Show a schedule with its payload and next five occurrences."""
    found = target.api.schedule(name)
    if target.json:
        output.print_json(found)
        return
    for fact, value in _facts(found):
        click.echo(f"{click.style(f'{fact:<12}', dim=True)} {output.plain(value)}")


def _missed(ctx: click.Context, param: click.Parameter, value: str) -> str | int:  # noqa: ARG001
    if value in ("skip", "one"):
        return value
    if not value.isascii() or not value.isdecimal():
        raise click.BadParameter(f"{value!r} is invalid. Pass skip, one or a number.")
    return int(value)


@jobs_command(epilog=payload.HELP)
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
@click.option("--campaign", metavar="ID", help="Campaign id.")
@click.option(
    "--missed",
    metavar="skip|one|N",
    callback=_missed,
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
    campaign: str | None,
    **times_given: Any,
) -> None:
    """Create or replace a schedule. A paused schedule stays paused.

    \b
    jobs schedules put nightly_report make_report --cron '0 2 * * *' --timezone Europe/Berlin
    jobs schedules put sync sync_list --every 15m items:='["ada"]'
    """
    if (times_given["cron"] is None) == (times_given["every"] is None):
        raise click.UsageError("Pass --cron or --every, not both.")
    with payload.hinting_at_json(pairs):
        found = target.api.put_schedule(
            name,
            job_type,
            payload=payload.read_payload(pairs, whole),
            campaign_id=campaign,
            **times_given,
        )
    _say(target, found, f"Put: {name}, {found['words']}, {_coming(found)}")


@jobs_command()
@click.argument("name", shell_complete=schedule_names())
def pause(target: Target, name: str) -> None:
    """Pause a schedule. Occurrences are skipped until you resume it. Running jobs continue."""
    found = target.api.pause_schedule(name)
    _say(target, found, f"Paused: schedule {name}")


@jobs_command()
@click.argument("name", shell_complete=schedule_names())
def resume(target: Target, name: str) -> None:
    """Resume a paused schedule."""
    found = target.api.resume_schedule(name)
    _say(target, found, f"Resumed: schedule {name}, {_coming(found)}")


@jobs_command()
@click.argument("name", shell_complete=schedule_names())
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
def delete(target: Target, name: str, yes: bool) -> None:
    """Delete a schedule. Its jobs remain. A schedule declared in code can only be paused."""
    confirm(f"Delete the schedule {name} on {target.name}?", yes=yes)
    target.api.delete_schedule(name)
    _say(target, {"name": name, "deleted": True}, f"Deleted: schedule {name}")


@jobs_command()
@click.argument("name", shell_complete=schedule_names())
def run(target: Target, name: str) -> None:
    """Dispatch the schedule's job once now, in addition to its occurrences. Print the job's id."""
    job, word = target.api.run_schedule(name)
    if target.json:
        output.print_json(job)
        return
    click.echo(job["id"])
    status = output.status(job["status"])
    click.echo(f"{job['job_type']} {word}, {status}, on {target.name}", err=True)


for each in (list_schedules, show, put, pause, resume, delete, run):
    command.add_command(each)


def _say(target: Target, done: dict[str, Any], words: str) -> None:
    if target.json:
        output.print_json(done)
    else:
        click.echo(output.plain(f"{words}, on {target.name}"))


def _row(found: dict[str, Any]) -> tuple[str, ...]:
    last = found["last"]
    return (
        found["name"],
        found["job_type"],
        found["words"],
        output.ago(last["at"]) if last else "",
        _status(last) if last else "",
        output.coming(found["next"][0]) if found["next"] else "",
        _state(found),
        _from(found),
    )


def _state(found: dict[str, Any]) -> str:
    if found["paused_at"]:
        return f"paused {output.ago(found['paused_at'])}"
    if found["retrying"]:
        return "starting failed, retrying"
    return "waiting for the previous job" if found["waits"] else ""


def _from(found: dict[str, Any]) -> str:
    """Return the origin of a schedule in words. An older API has no field `declared`."""
    if found["origin"] == "code":
        return "code of another version" if found.get("declared") is False else "code"
    return "api, overrides the code" if found.get("declared") else "api"


def _status(last: dict[str, Any]) -> str:
    return str(last["job"]["status"]) if last["job"] else "gone"


def _coming(found: dict[str, Any]) -> str:
    if found["paused_at"]:
        return "paused"
    return f"next {output.time(found['next'][0])}" if found["next"] else "no more occurrences"


def _facts(found: dict[str, Any]) -> list[tuple[str, str]]:
    facts = [
        ("schedule", found["name"]),
        ("when", found["words"]),
        ("cron", found["cron"] or ""),
        ("job", found["job_type"]),
        ("campaign", found["campaign_id"] or ""),
        ("payload", "" if found["payload"] is None else output.as_json(found["payload"])),
        ("missed", str(found["missed"])),
        ("overlap", found["overlap"]),
        ("defined", _put(found)),
        ("overrides", _HIDES if found["origin"] == "api" and found.get("declared") else ""),
        ("paused", _by(found["paused_at"], found["paused_by"])),
        ("last", _last(found["last"])),
        ("skipped", _with_reason(found["last_skipped_at"], found["last_skipped_why"])),
        ("not started", _with_reason(found["last_failed_at"], _error(found))),
        ("retrying", _error(found) if found["retrying"] else ""),
        (
            "so far",
            f"{found['started']} started, {found['skipped']} skipped, {found['failed']} failed",
        ),
        ("next", ", ".join(map(output.time, found["next"])) or _coming(found)),
    ]
    return [(fact, value) for fact, value in facts if value]


def _put(found: dict[str, Any]) -> str:
    if found["origin"] == "code":
        return _OTHERS if found.get("declared") is False else "in code"
    return _by(found["updated_at"], found["updated_by"])


def _by(iso: str | None, who: str | None) -> str:
    return f"{output.when(iso)} by {who or 'unknown'}" if iso else ""


def _last(last: dict[str, Any] | None) -> str:
    if last is None:
        return "no occurrences yet"
    return f"{output.when(last['at'])}, job {output.short(last['job_id'])}: {_status(last)}"


def _with_reason(iso: str | None, why: str | None) -> str:
    return f"{output.when(iso)}: {why or 'unknown reason'}" if iso else ""


def _error(found: dict[str, Any]) -> str:
    error = found["error"]
    return f"{error['kind']}: {error['message']}" if error else ""
