"""job-runners eject: give the project its own template."""

import click

from job_runners import __version__
from job_runners.cli import options, project_tools
from job_runners.cli.output import print_json
from job_runners.cli.target import Target


@options.command()
def command(target: Target) -> None:
    """Copy the template into the project, so that you can change it.

    First see whether a parameter of the template is enough. After an upgrade, builds show how
    to compare your copy with the new template.
    """
    project_tools.require_project()
    from job_runners.building.ejected import eject

    files = eject()
    if target.json:
        print_json({"files": list(map(str, files)), "version": __version__})
        return
    click.echo(
        f"Wrote template.yaml, of Job Runners {__version__}. Change it, and commit it.\n"
        "Keep its first line: after an upgrade, builds compare it with the new template."
    )
