"""Show a local run in the terminal: its steps, the progress of the import, and the outcome."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table

from job_runners.building.app_folder import find_app_folder
from job_runners.building.code_size import CodeTooLarge, check_size
from job_runners.building.table_entry import entries
from job_runners.cli.stack import Stack
from job_runners.local.demo import CAMPAIGN, ORGANIZATION, Imported
from job_runners.local.kept import ABOUT_KEPT_DATA, Kept
from job_runners.local.run_checks import Check
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


class ImportBar:
    """The progress bar of a job, updated with each view of it."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bar = progress.add_task("queued", total=100, message="")

    def show(self, job: dict[str, Any]) -> None:
        """Move the bar to the progress in this view of the job."""
        done = 100 if job["status"] == "succeeded" else job["progress"]
        message = escape(job.get("result_message") or "")
        self._progress.update(self._bar, description=job["status"], completed=done, message=message)


@contextmanager
def import_bar() -> Iterator[ImportBar]:
    """Yield a live progress bar."""
    columns = (
        TextColumn("  {task.description:<9}"),
        BarColumn(bar_width=16),
        TaskProgressColumn(),
        TextColumn("{task.fields[message]}"),
    )
    with Progress(*columns, console=console) as progress:
        yield ImportBar(progress)


def show_outcome(imported: Imported, checks: list[Check]) -> None:
    """Show the counts of the jobs next to the expected ones."""
    table = Table("", "counted", "expected", box=None, padding=(0, 3, 0, 2))
    for check in checks:
        table.add_row(check.what, str(check.counted), str(check.expected))
    console.print(table)
    wrong = imported.differences or [str(check) for check in checks if not check.right]
    for difference in wrong:
        console.print(f"  wrong: {difference.strip()}", style="red", markup=False)
    if not wrong:
        console.print(f"  [green]All {len(checks)} counts are correct[/green]")


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
    imported: str | None,
    dashboard: str,
    addresses: Sequence[str],
    *,
    keeps: bool,
) -> None:
    """Suggest what to try while the stack is up.

    `imported` is the id of the job that imported the demonstration's contacts, if there was one.
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
{_after_demonstration(imported) if imported else _first_steps()}
  {COMMAND} doctor

After `. .local/env.sh` in that terminal, also try
{_import_commands(stack) if stack.has_texting_campaign else ""}\
  {_curl("execute-api")} \\
    '{stack.api_url}/jobs?organization_id={ORGANIZATION}'

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


def _import_commands(stack: Stack) -> str:
    key = f"uploads/{ORGANIZATION}/FILE.csv"
    return f"""\
  {_curl("s3")} -T FILE.csv \\
    {stack.endpoint_url}/{stack.bucket_name}/{key}
  {COMMAND} dispatch import_contacts --campaign mine --watch key={key}
"""


def _after_demonstration(imported: str) -> str:
    return f"""\
  {COMMAND} list
  {COMMAND} show {imported[:8]}
  {COMMAND} dispatch export_contacts --campaign {CAMPAIGN} --watch"""


def _curl(service: str) -> str:
    """Return a curl command that signs with the credentials of env.sh."""
    user = '"$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY"'
    return f"curl -s --aws-sigv4 aws:amz:us-east-1:{service} --user {user}"
