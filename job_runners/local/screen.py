"""Show where a local run is, and what to try next."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from rich.console import Console

from job_runners.cli.stack import Stack
from job_runners.places import COMMAND

_REMOVES = f"removes all its data. To keep the data, start with `{COMMAND} run --keep`."
_MOST_NAMES = 5  # of jobs, and of tasks

console = Console(highlight=False, soft_wrap=True)


def suggest(
    stack: Stack,
    dashboard: str,
    addresses: Sequence[str],
    found: Mapping[str, Sequence[str]],
    *,
    keeps: bool,
) -> None:
    """Show where the stack is, and suggest what to try.

    `found` has the names of the project's `jobs` and `tasks`. `keeps` says whether the data is
    kept.
    """
    port = urlsplit(stack.endpoint_url).port
    containers = "".join(f", for containers at http://{each}:{port}" for each in addresses)
    lines = f"""
  Dashboard    {dashboard} (signs your browser's requests; only for this machine)
  API          {stack.api_url}
  AWS          {stack.endpoint_url}{containers}; takes only signed requests
  Credentials  .local/env.sh, new in each run; after `. .local/env.sh` AWS clients use this AWS
  All details  .local/stack.json
  Your code    {_names(found)}; reloads when you save; mistakes are shown here
  Not here     IAM and the template: `{COMMAND} build` checks the template, a deploy uses both

Try, in another terminal
{_first_steps(found)}
  {COMMAND} doctor

After `. .local/env.sh` in that terminal, also try
  {_curl("execute-api")} \\
    '{stack.api_url}/jobs?organization_id=default'

Ctrl-C stops it and {"keeps its data." if keeps else _REMOVES}"""
    console.print(lines, markup=False)


def _names(found: Mapping[str, Sequence[str]]) -> str:
    """Return the first names of the jobs and tasks, and the number of the others."""
    parts = []
    for kind in ("jobs", "tasks"):
        names = found[kind]
        if names:
            more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
            parts.append(f"{kind} {', '.join(names[:_MOST_NAMES])}{more}")
    return "; ".join(parts) or "has no jobs yet"


def _first_steps(found: Mapping[str, Sequence[str]]) -> str:
    """Return commands for the first job, or for creating one."""
    if not found["jobs"]:
        return f"""\
  {COMMAND} new NAME    writes a job of your own, which is loaded at once
  {COMMAND} types"""
    return f"""\
  {COMMAND} types {found["jobs"][0]}    shows its fields, and how to dispatch it
  {COMMAND} logs ID"""


def _curl(service: str) -> str:
    """Return a curl command that signs with the credentials of env.sh."""
    user = '"$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY"'
    return f"curl -s --aws-sigv4 aws:amz:us-east-1:{service} --user {user}"
