"""jobs redrive: dead letters and failed tasks, sent again."""

import click

from job_runners.cli import output
from job_runners.cli.for_each_job import confirm, for_each
from job_runners.cli.options import command as jobs_command
from job_runners.cli.problem import Exit
from job_runners.cli.target import Target


@jobs_command()
@click.argument("task_ids", nargs=-1)
@click.option("--tasks", is_flag=True, help="All failed tasks whose payload is kept.")
@click.option("--yes", is_flag=True, help="With --tasks: don't ask.")
def command(target: Target, task_ids: tuple[str, ...], tasks: bool, yes: bool) -> Exit:
    """Send again what could not be done. Fix first what kept it from it, or it comes back.

    Without arguments, dead letters: failure records that could not be settled, delayed messages
    that could not be sent. With the ids of failed tasks, or --tasks, those: see
    `jobs tasks`. The stack has to keep their payloads (KeepTaskPayloads).

    \b
    jobs redrive
    jobs redrive 019ab2c4d1e07a5c3f10b8e2d4967f53
    jobs redrive --tasks
    """
    if tasks and task_ids:
        raise click.UsageError("Which ones? Give their ids, or --tasks")
    if task_ids:
        return _send(target, task_ids)
    if tasks:
        return _send_all(target, yes=yes)
    _redrive_dead_letters(target)
    return Exit.DONE


def _redrive_dead_letters(target: Target) -> None:
    from job_runners.cli.dead_letters import redrive

    queues = {"failures": target.stack.failures_queue_url, "delayed": target.stack.delay_queue_url}
    moved = {name: redrive(target.client("sqs"), url) for name, url in queues.items()}
    if target.json:
        output.print_json(moved)
        return
    for name, count in moved.items():
        letters = "1 dead letter" if count == 1 else f"{count} dead letters"
        click.echo(f"{name}: {letters} sent again")


def _send_all(target: Target, *, yes: bool) -> Exit:
    """Send every failed task again whose payload is kept; say how many others there are."""
    failed = list(target.api.failed_tasks())
    kept = [each["id"] for each in failed if each["payload"] is not None]
    if not failed:
        click.echo(f"No task has failed on {target.name} in the last week.", err=True)
    if others := len(failed) - len(kept):
        click.echo(
            f"{_count(others)} can't be sent again: what they were given was not kept "
            "(KeepTaskPayloads).",
            err=True,
        )
    if kept:
        confirm(f"Send {_count(len(kept))} again, on {target.name}?", yes=yes)
    code = _send(target, kept)
    return Exit.REFUSED if others else code


def _send(target: Target, task_ids: tuple[str, ...] | list[str]) -> Exit:
    def send(start: str) -> tuple[dict[str, object], str]:
        task_id = target.api.find_task(start)
        new_id = target.api.redrive_task(task_id)
        text = "sent again" + (f" as {new_id}" if new_id else "")
        return {"id": task_id, "status": "sent", "redriven_as": new_id}, text

    return for_each(target, task_ids, send)


def _count(number: int) -> str:
    return "1 failed task" if number == 1 else f"{number} failed tasks"
