"""python -m cli: the `jobs` command."""

from cli.app import jobs

jobs(prog_name="jobs")
