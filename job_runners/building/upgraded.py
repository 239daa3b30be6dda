"""Adapt a project to the version that an upgrade has installed.

Usage: python -m job_runners.building.upgraded --from-version 0.3.0 [--from-pin REQUIREMENT]. It
compares the template, updates the lock, and prints what changed. You can repeat it.
"""

import argparse
import shlex
import sys
import textwrap
import tomllib
from collections.abc import Callable
from urllib.parse import unquote, urldefrag

from job_runners import __version__
from job_runners.building import ejected, tool_requirements
from job_runners.building.app_folder import UnusableAppFolder, find_app_folder
from job_runners.building.app_requirements import install, lock_again
from job_runners.building.app_stack import overrides, parameters
from job_runners.building.changes import changes_since, is_newer
from job_runners.building.pinned import PROJECT
from job_runners.building.sam_folder import template
from job_runners.errors import JobRunnersError
from job_runners.places import COMMAND, LOCAL_AWS_PARENT, ROOT

_RUN = LOCAL_AWS_PARENT / ".local"  # exists while the project's local AWS starts or is up
_OWN_PARAMETERS = frozenset({"Architecture", "PythonRuntime"})  # a build reads these too


def main() -> int:
    """Take the steps. Return 1 if one of them needs a person."""
    arguments = argparse.ArgumentParser(prog="python -m job_runners.building.upgraded")
    arguments.add_argument("--from-version", required=True)
    arguments.add_argument("--from-pin", help="if the upgrade has changed it")
    given = arguments.parse_args()
    is_other = given.from_version != __version__
    before = f"before: {given.from_version}" if is_other else "as before"
    print(f"Installed Job Runners {__version__} ({before})")
    print(f"  {'pyproject.toml':18} pins this version")
    steps = [
        _step("template.yaml", _compare_template),
        _step("requirements.lock", _lock),
        _step("tools.lock", _lock_tools),
        _step("samconfig.toml", _check_parameters),
    ]
    _print_changes(given.from_version)
    print("\nNext")
    if not all(steps):
        print(f"  Fix what is listed above, then run {COMMAND} upgrade again, without arguments.")
    if _RUN.exists() and is_other:
        print(f"  Stop {COMMAND} run, which still has the version before, and start it again.")
        print("  Without --keep, that removes its data.")
    unless = "" if is_other else ", unless this version is deployed already"
    print(f"  Run {COMMAND} test, then deploy as usual{unless}.")
    if given.from_pin and is_other:
        command = f"{COMMAND} upgrade {shlex.quote(_wanted(given.from_pin))}"
        print(f"  To return to {given.from_version}, run {command}")
    return 0 if all(steps) else 1


def _step(name: str, step: Callable[[], str]) -> bool:
    """Take a step, print its outcome, and return whether it succeeded."""
    try:
        text, succeeded = step(), True
    except JobRunnersError as error:
        text, succeeded = str(error), False
    if text:
        print(f"  {name:18} {text}")
    return succeeded


def _compare_template() -> str:
    return ejected.check() or ""


def _lock() -> str:
    app = find_app_folder()
    if app is None or not app.lock.exists():
        return ""
    changed = lock_again(app)
    install(app)
    return "updated, and its packages are installed" if changed else "is up to date"


def _lock_tools() -> str:
    if not tool_requirements.LOCK.exists():
        return ""
    tool_requirements.lock_tools()
    return "updated"


def _check_parameters() -> str:
    config = tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8"))
    named = {each.partition("=")[0] for each in overrides(config)}
    unknown = sorted(named - parameters(template()) - _OWN_PARAMETERS)
    if not unknown:
        return ""
    raise UnusableAppFolder(
        f"sets {', '.join(unknown)}, which the template of this version doesn't have. Remove it: "
        "Job Runners never changes this file"
    )


def _print_changes(before: str) -> None:
    if is_newer(before):
        print(
            "\nThis version is older. Its workers leave jobs that they don't understand to a newer "
            "version."
        )
        return
    changes = changes_since(before)
    if not changes or before == __version__:
        return
    print("\nChanges that need your attention")
    for version, text in changes:
        print(
            textwrap.fill(
                f"{version}: {text}",
                96,
                initial_indent="  ",
                subsequent_indent="    ",
                break_on_hyphens=False,  # a command such as job-runners stays on one line
            )
        )


def _wanted(requirement: str) -> str:
    """Return the argument of `job-runners upgrade` for a requirement."""
    _, at, address = requirement.partition("@ ")
    if not at:
        return requirement.rpartition("==")[2].strip()
    url = urldefrag(address).url
    path = url.removeprefix("file://").removeprefix(PROJECT)
    return unquote(path) if url.endswith(".whl") else url


if __name__ == "__main__":
    sys.exit(main())
