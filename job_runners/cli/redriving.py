"""job-runners failures tasks and redrive: list failed tasks, and resend them and dead letters."""

from collections.abc import Sequence
from itertools import islice
from typing import Any

import click

from job_runners.cli import options, output
from job_runners.cli.finding import find_task
from job_runners.cli.for_each_job import confirm, for_each
from job_runners.cli.listing import print_list
from job_runners.cli.problem import Exit
from job_runners.cli.target import Target


@options.command()
@click.option(
    "--limit",
    type=click.IntRange(1, 1000),
    default=25,
    help="Number of tasks to show (default 25).",
)
def tasks(target: Target, limit: int) -> None:
    """List the tasks that failed permanently in the last week, most recently dispatched first."""
    failed = islice(target.api.failed_tasks(), limit)
    headings = ("ID", "TASK", "FAILED", "ERROR")
    print_list(target, "tasks", failed, headings, _row, if_empty=_no_failed_tasks(target))


@options.command()
@click.argument("task_ids", nargs=-1)
@click.option("--dead-letters", is_flag=True, help="Resend all dead letters of the stack.")
@click.option("--tasks", is_flag=True, help="Resend every failed task whose payload was kept.")
@click.option("--yes", is_flag=True, help="Don't ask for confirmation (with --tasks).")
def redrive(
    target: Target, task_ids: tuple[str, ...], dead_letters: bool, tasks: bool, yes: bool
) -> Exit:
    """Resend dead letters, or failed tasks by id or with --tasks. Fix the cause first, or they
    will fail again.

    Dead letters are failure records that couldn't be handled and delayed messages that couldn't
    be sent. Tasks need KeepTaskPayloads=true in the stack. `job-runners failures tasks`
    lists failed tasks.

    \b
    job-runners failures redrive --dead-letters
    job-runners failures redrive 019ab2c4d1e07a5c3f10b8e2d4967f53
    job-runners failures redrive --tasks
    """
    names = "task ids, --tasks or --dead-letters"
    options.require_one(names, task_ids or None, tasks or None, dead_letters or None)
    if task_ids:
        return _resend_tasks(target, task_ids)
    if tasks:
        return _resend_all_tasks(target, yes=yes)
    _resend_dead_letters(target)
    return Exit.DONE


def _resend_dead_letters(target: Target) -> None:
    from job_runners.cli.dead_letters import resend

    queues = {"failures": target.stack.failures_queue_url, "delayed": target.stack.delay_queue_url}
    resent = {name: resend(target.client("sqs"), url) for name, url in queues.items()}
    if target.json:
        output.print_json(resent)
        return
    for name, count in resent.items():
        click.echo(f"{name}: {output.count(count, 'dead letter')} resent")


def _resend_all_tasks(target: Target, *, yes: bool) -> Exit:
    """Resend every failed task whose payload was kept. Report how many can't be resent."""
    failed = list(map(target.printable, target.api.failed_tasks()))
    kept_ids = [task["id"] for task in failed if task["payload"] is not None]
    if not failed:
        click.echo(_no_failed_tasks(target), err=True)
    lost_count = len(failed) - len(kept_ids)
    if lost_count:
        click.echo(
            f"{output.count(lost_count, 'failed task')} can't be resent, because the payload "
            "wasn't kept. To keep future payloads, deploy with KeepTaskPayloads=true.",
            err=True,
        )
    if kept_ids:
        confirm(f"Resend {output.count(len(kept_ids), 'failed task')} on {target.name}?", yes=yes)
    exit_code = _resend_tasks(target, kept_ids)
    return Exit.REFUSED if lost_count else exit_code


def _resend_tasks(target: Target, task_ids: Sequence[str]) -> Exit:
    def resend(start: str) -> tuple[dict[str, object], str]:
        task_id = find_task(target, start)
        new_id = target.api.redrive_task(task_id)
        text = f"resent as {output.plain(new_id)}" if new_id else "resent"
        return {"id": task_id, "status": "sent", "redriven_as": new_id}, text

    return for_each(target, task_ids, resend)


def _no_failed_tasks(target: Target) -> str:
    return f"No task has failed on {target.name} in the last week."


def _row(task: dict[str, Any]) -> tuple[str, ...]:
    error = f"{task['error']['kind']}: {task['error']['message']}"
    resent_at = task.get("redriven_at")
    if resent_at:
        error = f"(resent {output.time_and_age(resent_at)}, not started) {error}"
    return task["id"], task["task_name"], output.time_and_age(task["failed_at"]), error
