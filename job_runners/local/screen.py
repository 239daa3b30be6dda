"""Show the addresses of a local run, and commands to try next."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from rich.console import Console

from job_runners.cli.stack import Stack
from job_runners.places import COMMAND

_REMOVAL_NOTE = f"removes all its data. To keep the data, start with `{COMMAND} run --keep`."
_MAX_NAMES = 5  # of jobs, and of tasks

console = Console(highlight=False, soft_wrap=True)


def suggest(
    stack: Stack,
    dashboard: str,
    addresses: Sequence[str],
    names: Mapping[str, Sequence[str]],
    *,
    keeps: bool,
) -> None:
    """Show the stack's addresses, and commands to try.

    `dashboard` is its URL. `names` has the names of the project's `jobs` and `tasks`. `keeps` says
    whether the data is kept after the end.
    """
    port = urlsplit(stack.endpoint_url).port
    containers = "".join(f", for containers at http://{address}:{port}" for address in addresses)
    lines = f"""
  Dashboard    {dashboard} (signs your browser's requests; only for this machine)
  API          {stack.api_url}
  AWS          {stack.endpoint_url}{containers}; takes only signed requests
  Credentials  .local/env.sh, new in each run; after `. .local/env.sh` AWS clients use this AWS
  All details  .local/stack.json
  Your code    {_list_names(names)}; reloads when you save; mistakes are shown here
  Not here     IAM and the template: `{COMMAND} build` checks the template, a deploy uses both

Try, in another terminal
{_first_steps(names)}
  {COMMAND} doctor

After `. .local/env.sh` in that terminal, also try
  {_curl("execute-api")} \\
    '{stack.api_url}/jobs?organization_id=default'

Ctrl-C stops it and {"keeps its data." if keeps else _REMOVAL_NOTE}"""
    console.print(lines, markup=False)


def _list_names(names: Mapping[str, Sequence[str]]) -> str:
    """Return the first names of the jobs and tasks, and the number of the others."""
    parts = []
    for kind in ("jobs", "tasks"):
        if names[kind]:
            part = f"{kind} {', '.join(names[kind][:_MAX_NAMES])}"
            if len(names[kind]) > _MAX_NAMES:
                part += f" and {len(names[kind]) - _MAX_NAMES} more"
            parts.append(part)
    return "; ".join(parts) or "has no jobs yet"


def _first_steps(names: Mapping[str, Sequence[str]]) -> str:
    """Return commands for the first job, or for creating one."""
    if not names["jobs"]:
        return f"""\
  {COMMAND} new NAME    writes a job of your own, which is loaded at once
  {COMMAND} types"""
    return f"""\
  {COMMAND} types {names["jobs"][0]}    shows its fields, and how to dispatch it
  {COMMAND} logs ID"""


def _curl(service: str) -> str:
    """Return a curl command that signs with the credentials of env.sh."""
    user = '"$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY"'
    return f"curl -s --aws-sigv4 aws:amz:us-east-1:{service} --user {user}"
