"""The reference of the command, from its help."""

from collections.abc import Iterator

import click

from job_runners.cli.app import COMMANDS, jobs

_WIDTH = 96


def page() -> str:
    """Return the page's Markdown."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    root = click.Context(
        jobs, info_name="job-runners", max_content_width=_WIDTH, terminal_width=_WIDTH
    )
    yield f"## job-runners\n\n```text\n{jobs.get_help(root)}\n```\n"
    for names in COMMANDS.values():
        for name in names:
            command = jobs.get_command(root, name)
            assert command is not None
            yield from _command(command, name, root)


def _command(command: click.Command, name: str, parent: click.Context) -> Iterator[str]:
    context = click.Context(
        command, info_name=name, parent=parent, max_content_width=_WIDTH, terminal_width=_WIDTH
    )
    level = "##" if parent.parent is None else "###"
    yield f"{level} {context.command_path}\n\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            inner = command.get_command(context, each)
            assert inner is not None
            yield from _command(inner, each, context)
