"""job-runners eject: give the project its own template."""

import click

from job_runners import __version__
from job_runners.cli import options, project_tools
from job_runners.cli.output import print_json
from job_runners.cli.target import Target


@options.command()
def command(target: Target) -> None:
    """Copy the template into the project, so that you can change it. If the project has its own
    template already, show how the installed template differs from it.

    First see whether a parameter of the template is enough. After an upgrade, call this command
    again, and copy the changes that you need.
    """
    project_tools.require_project()
    from job_runners.building.sam_folder import PROJECT_TEMPLATE, eject

    difference = eject()
    if target.json:
        files = [] if difference is not None else [str(PROJECT_TEMPLATE)]
        print_json({"files": files, "version": __version__, "difference": difference})
    elif difference is not None:
        click.echo(difference or "Your template is the installed one.", nl=not difference)
    else:
        click.echo(
            f"Wrote template.yaml, of Job Runners {__version__}. Change it, and commit it.\n"
            "Keep its first line: after an upgrade, builds compare it with the new template."
        )
