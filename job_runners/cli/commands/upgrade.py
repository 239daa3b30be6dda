"""job-runners upgrade: change the project's version of Job Runners."""

import click

from job_runners.cli import options, project_tools
from job_runners.cli.target import Target


@options.command()
@click.argument("version", required=False)
def command(target: Target, version: str | None) -> None:  # noqa: ARG001
    """Change the project's version of Job Runners, up or down.

    VERSION is the path or address of a wheel, or a version in your package index. Pins it in
    pyproject.toml, installs it, updates requirements.lock, and merges your own template. Without
    VERSION, installs the pinned wheel, or the index's newest version if a version is pinned. Also
    continues an upgrade that was interrupted.

    \b
    job-runners upgrade ../job_runners-0.4.0-py3-none-any.whl
    job-runners upgrade 0.4.0
    """
    project_tools.require_project()
    words = [version] if version else []
    project_tools.become("job_runners.building.upgrade", *words)
