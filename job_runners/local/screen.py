"""Show a local run in the terminal: its steps, and what to try next."""

import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console

from job_runners.building.app_folder import find_app_folder
from job_runners.building.code_size import CodeTooLarge, check_size
from job_runners.building.table_entry import entries
from job_runners.cli.stack import Stack
from job_runners.local.kept import ABOUT_KEPT_DATA, Kept
from job_runners.places import COMMAND

_REMOVES = f"removes all its data. To keep the data, start with `{COMMAND} run --keep`."

console = Console(highlight=False, soft_wrap=True)


class Steps:
    """The steps of a run. Each is shown with its time once the next one begins."""

    def __init__(self) -> None:
        self._step = ""
        self._began = 0.0
        self._status = console.status("")

    def begin(self, step: str) -> None:
        """Show that a step has begun."""
        self.end()
        self._step, self._began = step, time.monotonic()
        self._status.update(step)
        self._status.start()

    def end(self) -> None:
        """Show that the last step has ended."""
        self._status.stop()
        if self._step:
            seconds = time.monotonic() - self._began
            console.print(f"  {self._step} [dim]({seconds:.1f} s)[/dim]")
        self._step = ""


def show_size(tree: Path) -> None:
    """Warn if the code is so large that AWS may refuse it."""
    try:
        warning = check_size(tree)
    except CodeTooLarge as error:  # AWS would refuse the code, but the local AWS accepts it
        warning = str(error)
    if warning:
        console.print(f"  {warning}", style="yellow", markup=False)


def show_kept(kept: Kept) -> None:
    """Show what is kept, and what a killed run has lost."""
    console.print(f"  {ABOUT_KEPT_DATA}", markup=False)
    if kept.lost_since:
        console.print(
            f"  The last run was killed. Its changes since {kept.lost_since} are lost, except "
            "for files in the bucket.",
            style="yellow",
            markup=False,
        )


def suggest(
    stack: Stack,
    dashboard: str,
    addresses: Sequence[str],
    *,
    keeps: bool,
) -> None:
    """Suggest what to try while the stack is up.

    `keeps` says whether the data is kept.
    """
    port = urlsplit(stack.endpoint_url).port
    containers = "".join(f", for containers at http://{each}:{port}" for each in addresses)
    lines = f"""
  Dashboard    {dashboard} (signs your browser's requests; only for this machine)
  API          {stack.api_url}
  AWS          {stack.endpoint_url}{containers}; takes only signed requests
  Credentials  .local/env.sh, new in each run; after `. .local/env.sh` AWS clients use this AWS
  All details  .local/stack.json
  Your code    reloads when you save; mistakes are shown here

Try, in another terminal
{_first_steps()}
  {COMMAND} doctor

After `. .local/env.sh` in that terminal, also try
  {_curl("execute-api")} \\
    '{stack.api_url}/jobs?organization_id=default'

Ctrl-C stops it and {"keeps its data." if keeps else _REMOVES}"""
    console.print(lines, markup=False)


def _first_steps() -> str:
    """Return commands for the app's first job, or for creating one."""
    app = find_app_folder()
    names = [name for package in app.sources.values() for name in _jobs_of(package)] if app else []
    if not names:
        return f"""\
  {COMMAND} new NAME    writes a job of your own, which is loaded at once
  {COMMAND} types"""
    return f"""\
  {COMMAND} types {names[0]}    shows its fields, and how to dispatch it
  {COMMAND} logs ID"""


def _jobs_of(package: Path) -> list[str]:
    return sorted(entries((package / "__init__.py").read_text(encoding="utf-8")))


def _curl(service: str) -> str:
    """Return a curl command that signs with the credentials of env.sh."""
    user = '"$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY"'
    return f"curl -s --aws-sigv4 aws:amz:us-east-1:{service} --user {user}"
