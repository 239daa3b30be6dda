"""jobs schedules: what an organisation has done again and again."""

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
    "There are no schedules of {}. Put one: jobs schedules put --help\n"
    "Those that the code declares come with the next tick of the timer, within a minute. They are "
    "of the organisation that each names: --organization."
)
_OTHERS = (
    "by another version of the code; this one does not declare it. It is removed a quarter of an "
    "hour after that version has gone"
)
_HIDES = (
    "the one of this name that the code declares (RECURRING). That one is in force 5 minutes after "
    "this one is deleted"
)
_LIMIT = 1000  # an organisation has no more


@jobs_group(invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Have jobs done again and again: at times of day, or at an interval. Alone it lists what
    there is."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_schedules)


@jobs_command(name="list")
def list_schedules(target: Target) -> None:
    """List the schedules: what comes when, how the last went."""
    found = list(islice(target.api.schedules(), _LIMIT))
    if target.json:
        output.print_json({"schedules": found})
    elif found:
        output.table(_HEADS, [_row(each) for each in found])
    else:
        click.echo(_NONE.format(target.api.whose), err=True)


@jobs_command()
@click.argument("name", shell_complete=schedule_names())
def show(target: Target, name: str) -> None:
    """Show one, with its payload and its next five occurrences."""
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
        raise click.BadParameter(f"{value!r} is none of skip, one and a number")
    return int(value)


@jobs_command(epilog=payload.HELP)
@click.argument("name", shell_complete=schedule_names())
@click.argument("job_type", shell_complete=names_of("jobs"))
@click.argument("pairs", nargs=-1, metavar="[KEY=VALUE | KEY:=JSON]...")
@click.option("--payload", "whole", metavar="JSON", help="The payload as an object; - or @FILE.")
@click.option("--cron", metavar="TIMES", help="Five fields in quotes, like '0 2 * * *'.")
@click.option("--timezone", metavar="ZONE", help="Of --cron, like Europe/Berlin; else UTC.")
@click.option(
    "--every",
    metavar="SPAN",
    callback=times.interval,
    help="Instead of --cron: 15m, 2h, 1d, counted from 1970 in UTC. From 1m to 366d.",
)
@click.option("--campaign", metavar="ID", help="The campaign that it is for.")
@click.option(
    "--missed",
    metavar="skip|one|N",
    callback=_missed,
    default="one",
    show_default=True,
    help="How many are made up for that nothing could start in time.",
)
@click.option(
    "--overlap",
    type=click.Choice(["skip", "queue", "allow"]),
    default="skip",
    show_default=True,
    help="What becomes of one while the job before is unfinished.",
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
    """Have a job done again and again. A schedule of this name is replaced, and stays paused if it
    is.

    \b
    jobs schedules put nightly_report make_report --cron '0 2 * * *' --timezone Europe/Berlin
    jobs schedules put sync sync_list --every 15m items:='["ada"]'
    """
    if (times_given["cron"] is None) == (times_given["every"] is None):
        raise click.UsageError("When? Give --cron or --every, and not both")
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
    """Start nothing of it until it is resumed. What comes meanwhile is left out; what runs goes
    on."""
    found = target.api.pause_schedule(name)
    _say(target, found, f"Paused: schedule {name}")


@jobs_command()
@click.argument("name", shell_complete=schedule_names())
def resume(target: Target, name: str) -> None:
    """Let what was paused start again."""
    found = target.api.resume_schedule(name)
    _say(target, found, f"Resumed: schedule {name}, {_coming(found)}")


@jobs_command()
@click.argument("name", shell_complete=schedule_names())
@click.option("--yes", is_flag=True, help="Don't ask.")
def delete(target: Target, name: str, yes: bool) -> None:
    """Forget a schedule. The jobs that it has dispatched stay. One that the code declares can only
    be paused."""
    confirm(f"Delete the schedule {name} on {target.name}?", yes=yes)
    target.api.delete_schedule(name)
    _say(target, {"name": name, "deleted": True}, f"Deleted: schedule {name}")


@jobs_command()
@click.argument("name", shell_complete=schedule_names())
def run(target: Target, name: str) -> None:
    """Dispatch its job once, now. It is done beside the occurrences of the schedule. Prints the
    job's id."""
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
        return "can't be started so far"
    return "waits for the one before" if found["waits"] else ""


def _from(found: dict[str, Any]) -> str:
    """Return who has it. An older API does not say what the code declares by now."""
    if found["origin"] == "code":
        return "code, of another version" if found.get("declared") is False else "code"
    return "api, instead of the code's" if found.get("declared") else "api"


def _status(last: dict[str, Any]) -> str:
    return str(last["job"]["status"]) if last["job"] else "gone"


def _coming(found: dict[str, Any]) -> str:
    if found["paused_at"]:
        return "paused"
    return f"next {output.time(found['next'][0])}" if found["next"] else "never again"


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
        ("put", _put(found)),
        ("hides", _HIDES if found["origin"] == "api" and found.get("declared") else ""),
        ("paused", _by(found["paused_at"], found["paused_by"])),
        ("last", _last(found["last"])),
        ("left out", _with_reason(found["last_skipped_at"], found["last_skipped_why"])),
        ("not started", _with_reason(found["last_failed_at"], _error(found))),
        ("tried again", _error(found) if found["retrying"] else ""),
        (
            "so far",
            f"{found['started']} started, {found['skipped']} left out, {found['failed']} failed",
        ),
        ("next", ", ".join(map(output.time, found["next"])) or _coming(found)),
    ]
    return [(fact, value) for fact, value in facts if value]


def _put(found: dict[str, Any]) -> str:
    if found["origin"] == "code":
        return _OTHERS if found.get("declared") is False else "by the code, which declares it"
    return _by(found["updated_at"], found["updated_by"])


def _by(iso: str | None, who: str | None) -> str:
    return f"{output.when(iso)} by {who or 'nobody known'}" if iso else ""


def _last(last: dict[str, Any] | None) -> str:
    if last is None:
        return "none so far"
    return f"{output.when(last['at'])}, job {output.short(last['job_id'])}: {_status(last)}"


def _with_reason(iso: str | None, why: str | None) -> str:
    return f"{output.when(iso)}: {why or 'no reason is known'}" if iso else ""


def _error(found: dict[str, Any]) -> str:
    error = found["error"]
    return f"{error['kind']}: {error['message']}" if error else ""
