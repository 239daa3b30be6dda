"""jobs shell: print the code that sets up a shell."""

import shlex
import sys
from pathlib import Path

import click

from job_runners.cli.options import command as jobs_command
from job_runners.cli.target import Target
from job_runners.places import CODE, COMMAND_VARIABLE

# A shell has a command `jobs` of its own. Without arguments, with a one-letter option or with a
# %number, `jobs` still calls that command. Otherwise, messages repeat the name `jobs`.
_FUNCTION = """\
jobs() {{
  case "${{1-}}" in
    ''|%*|-[!-]*) builtin jobs "$@" ;;
    *) {name}=jobs {launcher} "$@" ;;
  esac
}}
"""
_FISH = """\
function jobs
  if test (count $argv) -eq 0; or string match -qr '^(%|-[^-]|[0-9])' -- $argv[1]
    builtin jobs $argv
  else
    env {name}=jobs {launcher} $argv
  end
end
"""

# click's completion scripts call `jobs` by name, which would run the shell's own command. These
# replacements make the scripts call the launcher by its path.
_REPLACEMENTS = {
    "bash_complete $1": "bash_complete {launcher}",
    "zsh_complete jobs": "zsh_complete {launcher}",
    "(( ! $+commands[jobs] )) && return 1": "",
    "(commandline -t) jobs": "(commandline -t) {launcher}",
}


@jobs_command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(target: Target, shell: str) -> None:  # noqa: ARG001 - every command has a target
    """Set up jobs and its completion in your shell. Your shell's own jobs command keeps working.

    \b
    bash, in ~/.bashrc    eval "$(bin/jobs shell bash)"
    zsh, in ~/.zshrc      eval "$(bin/jobs shell zsh)"
    fish, in config.fish  bin/jobs shell fish | source

    Write the path of this checkout before bin/jobs. If you installed the wheel, use job-runners
    instead. In scripts, call bin/jobs or job-runners.
    """
    from click.shell_completion import get_completion_class

    from job_runners.cli.app import jobs

    launcher = _quoted(_launcher(), shell)
    click.echo(
        (_FISH if shell == "fish" else _FUNCTION).format(launcher=launcher, name=COMMAND_VARIABLE)
    )
    completion = get_completion_class(shell)
    source = completion(jobs, {}, "jobs", "_JOBS_COMPLETE").source() if completion else ""
    for by_name, by_path in _REPLACEMENTS.items():
        source = source.replace(by_name, by_path.format(launcher=launcher))
    click.echo(source)


def _quoted(path: str, shell: str) -> str:
    """Return a path quoted as one word for a shell."""
    if shell != "fish":
        return shlex.quote(path)
    return "'" + path.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _launcher() -> str:
    """Return the path of the script that starts `jobs`: the checkout's or the installed one."""
    in_checkout = CODE / "bin" / "jobs"
    return str(in_checkout if in_checkout.exists() else Path(sys.argv[0]).absolute())
