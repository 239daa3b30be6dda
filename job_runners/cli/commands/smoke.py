"""job-runners smoke: check an AWS account with a throwaway stack.

The command deploys the stack, dispatches one job or task of each kind, reports a finding about
each, and removes the stack. In this code, the jobs and tasks are called work.
"""

import json
import os
import secrets
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from job_runners.cli import options, output, project_tools
from job_runners.cli.commands.doctor import print_finding
from job_runners.cli.problem import Exit, Problem
from job_runners.cli.target import Target

_MAX_OUTPUT_LINES = 40  # if a deploy fails, so many lines of sam's output are shown

if TYPE_CHECKING:
    from job_runners.cli.doctor.check import Finding
    from job_runners.cli.smoke.kinds import Work


def check_folder(_ctx: click.Context, _param: click.Parameter, file: Path | None) -> Path | None:
    """Refuse a report file in a folder that isn't writable.

    The file itself isn't touched, so that an old report stays until the new one is complete.
    """
    if file is not None and not os.access(file.absolute().parent, os.W_OK):
        raise click.BadParameter(f"the folder of {file} doesn't exist, or you can't write to it.")
    return file


@options.command()
@click.option(
    "--name", metavar="STACK", help="Name of the throwaway stack (default: a random one)."
)
@click.option("--keep", is_flag=True, help="Keep the stack, so that you can look at it.")
@click.option(
    "--report",
    "file",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    callback=check_folder,
    help="File for the build, account, region, latencies and counted costs, as JSON.",
)
@click.option("--remove", metavar="STACK", help="Only remove a stack that an earlier run has left.")
def command(
    target: Target, name: str | None, keep: bool, file: Path | None, remove: str | None
) -> Exit:
    """Check an AWS account: deploy a throwaway stack, run one of each kind of work on it, report
    each result, and remove the stack. This takes about 15 minutes, and costs less than a cent.

    The stack has a new name and runs only work of this command. Your own stacks and code aren't
    touched. Exits with 1 if a check fails."""
    from job_runners.cli import account
    from job_runners.cli.smoke import removal

    project_tools.require_project()
    region = account.check_account(target)
    throwaway = Target(region=region, profile=target.profile)
    client = throwaway.session.create_client
    if remove:
        if not removal.is_throwaway(client, remove):
            raise Problem(f"job-runners smoke has created no stack {remove} in {region}.")
        removal.remove(client, remove)
        click.echo(f"Removed {remove}.", err=True)
        return Exit.DONE
    began_at = datetime.now(UTC)
    with throwaway_stack(throwaway, name, keep=keep) as (work, build_id):
        findings = []
        for finding in checks(work):
            findings.append(finding)
            if not target.json:
                print_finding(finding)
        if file is not None:
            from job_runners.cli.smoke.report import report

            text = json.dumps(report(work, findings, began_at, build_id), indent=2)
            file.write_text(f"{text}\n", encoding="utf-8")
    if target.json:
        findings_as_json = [finding.as_json() for finding in findings]
        output.print_json({"stack": throwaway.stack_name, "findings": findings_as_json})
    if any(finding.verdict == "wrong" for finding in findings):
        return Exit.REFUSED
    return Exit.DONE


@contextmanager
def throwaway_stack(
    target: Target, name: str | None = None, *, keep: bool = False
) -> "Iterator[tuple[Work, str]]":
    """Deploy a throwaway stack, and select it in the target. Remove it at the end.

    Yield the stack's work, which isn't dispatched yet, and the id of the build. Raises Problem.
    """
    from job_runners.cli.smoke import kinds, removal

    stack = name or f"job-runners-smoke-{secrets.token_hex(3)}"
    region = target.region or ""
    if removal.exists(target.session.create_client, stack):
        raise Problem(
            f"A stack {stack} exists in {region} already. It is left as it is.",
            hint="Pass another --name.",
        )
    target.set_option("stack_name", stack, explicit=True)
    with _removing_stack(target, stack, keep=keep):
        build_id = _deploy(stack, region)
        yield kinds.Work(target), build_id


def _deploy(stack: str, region: str) -> str:
    """Build and deploy the stack from a temporary project. Return the id of the build.

    Raises Problem.
    """
    click.echo(f"Building and deploying {stack} (some minutes)", err=True)
    from job_runners.building import smoke_project

    with tempfile.TemporaryDirectory(prefix="jobs-smoke-") as folder:
        smoke_project.write(Path(folder), stack)
        for module, arguments in (("sam", ["build"]), ("deploy", ["--region", region])):
            process = project_tools.run_module(
                f"job_runners.building.{module}", *arguments, project=folder, capture=True
            )
            if process.returncode != 0:
                lines = (process.stdout + process.stderr).splitlines()
                last_lines = "\n".join(lines[-_MAX_OUTPUT_LINES:])
                raise Problem(
                    f"{stack} could not be deployed:\n{output.plain(last_lines)}",
                    hint="Your credentials must be allowed to create each kind of resource in the "
                    "template.",
                )
        return smoke_project.build_id(Path(folder))


def checks(work: "Work") -> "Iterator[Finding]":
    """Run one job or task of each kind, and yield a finding about each."""
    from job_runners.cli.smoke import account, kinds

    kinds.dispatch_all(work)
    yield from kinds.check_all(work)
    yield from account.check_throttling(work)
    yield from account.check_settings(work)
    yield from account.check_alarms(work)


@contextmanager
def _removing_stack(target: Target, stack: str, *, keep: bool) -> Iterator[None]:
    """Remove the stack at the end of the with statement, even after an error or a signal."""
    from job_runners.cli.smoke import removal

    old_handlers = {
        number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGHUP)
    }
    remove_command = f"job-runners smoke --remove {stack}"
    try:
        yield
    finally:
        for number in (*old_handlers, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)  # the removal must not be interrupted
        if keep:
            click.echo(f"Kept {stack}. To remove it, run {remove_command}", err=True)
        else:
            click.echo(f"Removing {stack} (some minutes)", err=True)
            try:
                removal.remove(target.session.create_client, stack)
            except Exception:
                click.echo(f"{stack} is not removed. To try again, run {remove_command}", err=True)
                raise
            click.echo(f"Removed {stack}.", err=True)
        for number, handler in old_handlers.items():
            signal.signal(number, handler)
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt
