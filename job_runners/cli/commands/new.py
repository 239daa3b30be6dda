"""job-runners new: create a job from a template."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from job_runners.cli import options, project_tools
from job_runners.cli.output import print_json
from job_runners.cli.target import Target
from job_runners.places import COMMAND, relative_path

if TYPE_CHECKING:
    from job_runners.building.new_job import NewJob


@options.command()
@click.argument("name")
@click.option(
    "--package", metavar="NAME", help="Package to write to, if the folder has more than one."
)
def command(target: Target, name: str, package: str | None) -> None:
    """Create a working job with a test. NAME uses lowercase letters, digits and _.

    Writes to the project. Changes nothing that exists, except for one new line in the job table.

    \b
    job-runners new sync_list
    job-runners new sync_list --package acme_work
    """
    project_tools.require_project()
    from job_runners.building.new_job import new_job

    new_files = new_job(name, package)
    if target.json:
        files = list(map(str, new_files.files))
        print_json(
            {"files": files, "table": str(new_files.table), "definition": new_files.definition}
        )
    else:
        click.echo(_next_steps(name, new_files))


def _next_steps(name: str, new_files: "NewJob") -> str:
    lines = [f"Wrote  {relative_path(path)}" for path in new_files.files]
    if new_files.definition:
        lines += [
            "",
            f"Add this line to JOBS in {relative_path(new_files.table)}. The command can't add it,",
            "because the file doesn't import Job and Retry, or builds JOBS in its own way:",
            f"    {new_files.definition}",
        ]
    from job_runners.building.app_folder import how_to_add, requirements_file

    requirements = requirements_file(new_files.table.parents[1])
    how_to_add_package = how_to_add("a package", Path(relative_path(requirements)))
    run = f"{COMMAND} run"
    return "\n".join(
        [
            *lines,
            "",
            f"Test it           {COMMAND} test",
            f"Run it            {run:22} starts a local AWS until Ctrl-C",
            "                  In another terminal:",
            f'                  {COMMAND} dispatch {name} items:=\'["ada", "grace"]\' --watch',
            how_to_add_package,
        ]
    )
