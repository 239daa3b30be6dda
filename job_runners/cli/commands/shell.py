"""jobs shell: what a shell needs, printed for it to run."""

import shlex
import sys
from pathlib import Path

import click

from job_runners.cli.local_aws import ROOT
from job_runners.cli.options import command as jobs_command
from job_runners.cli.target import Target

# `jobs` alone, with an option of one letter or with a job's %number is the shell's own command.
_FUNCTION = """\
jobs() {{
  case "${{1-}}" in
    ''|%*|-[!-]*) builtin jobs "$@" ;;
    *) {launcher} "$@" ;;
  esac
}}
"""
_FISH = """\
function jobs
  if test (count $argv) -eq 0; or string match -qr '^(%|-[^-]|[0-9])' -- $argv[1]
    builtin jobs $argv
  else
    {launcher} $argv
  end
end
"""

# click's scripts call the command by its name: by that they would reach the shell's own.
_CALLS = {
    "bash_complete $1": "bash_complete {launcher}",
    "zsh_complete jobs": "zsh_complete {launcher}",
    "(( ! $+commands[jobs] )) && return 1": "",
    "(commandline -t) jobs": "(commandline -t) {launcher}",
}


@jobs_command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(target: Target, shell: str) -> None:  # noqa: ARG001 - as every command
    """Make `jobs` work at your prompt, with completion. Every shell has a command of this name of
    its own, for what runs in the background; that one keeps working.

    \b
    bash, in ~/.bashrc    eval "$(bin/jobs shell bash)"
    zsh, in ~/.zshrc      eval "$(bin/jobs shell zsh)"
    fish, in config.fish  bin/jobs shell fish | source

    with the path of this checkout before bin/jobs, or job-runners instead of it where the wheel is
    installed. Scripts call bin/jobs, or job-runners.
    """
    from click.shell_completion import get_completion_class

    from job_runners.cli.app import jobs

    launcher = _quoted(_launcher(), shell)
    click.echo((_FISH if shell == "fish" else _FUNCTION).format(launcher=launcher))
    completion = get_completion_class(shell)
    source = completion(jobs, {}, "jobs", "_JOBS_COMPLETE").source() if completion else ""
    for by_name, by_path in _CALLS.items():
        source = source.replace(by_name, by_path.format(launcher=launcher))
    click.echo(source)


def _quoted(path: str, shell: str) -> str:
    """Return a path as one word of a shell, whatever characters it has."""
    if shell != "fish":
        return shlex.quote(path)
    return "'" + path.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _launcher() -> str:
    """Return what starts the command: that of this checkout, or that which was installed."""
    of_checkout = ROOT / "bin" / "jobs"
    return str(of_checkout if of_checkout.exists() else Path(sys.argv[0]).absolute())
