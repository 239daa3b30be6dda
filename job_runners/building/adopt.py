"""Create a project from an app folder for version 0.2.

Usage: python -m job_runners.building.adopt APP FOLDER [--checkout PATH] [--github]. The folder APP
and the checkout stay as they are. It prints JSON about what it did.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from job_runners.building.app_folder import UnusableAppFolder, read_app_folder
from job_runners.building.new_project import (
    WORKFLOWS,
    check_empty,
    project_facts,
    write_file,
)
from job_runners.building.old_names import Rewritten
from job_runners.building.old_settings import rewritten_samconfig
from job_runners.places import CODE, COMMAND, PROJECT_VARIABLE

_LEFT_OUT = (".git", ".venv", "venv", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache")
# The files of the app's own stack. In a project, Job Runners' own files have the original names.
_RENAMED = {"template.yaml": "own.template.yaml", "samconfig.toml": "own.samconfig.toml"}
_CONFIG_SUFFIXES = frozenset({".toml", ".ini", ".cfg", ".yml", ".yaml", ".sh"})
_PLUGIN = re.compile(r"(?<![\w.])testing\.plugin\b")
# Hashes of the templates of 0.1.0 and 0.2.0.
_RELEASED = frozenset(
    {
        "39ec0b84716e1f5ff9da80848fc86f116828f3ef4ee0ac4acac3d983d559b346",
        "dfbfe150007144b6d437b6cbea5ba6fc8c1b782bdcac5ce5504cb405a8cf5b06",
    }
)


def adopt(app: Path, folder: Path, checkout: Path, *, github: bool) -> dict[str, Any]:
    """Write the project, and describe it. Raises UnusableAppFolder before it writes anything."""
    packages = read_app_folder(app).packages if app.is_dir() else ()
    if not packages:
        raise UnusableAppFolder(f"{app} doesn't exist. Pass the folder with your packages")
    samconfig = checkout / "samconfig.toml"
    if not samconfig.is_file():
        raise UnusableAppFolder(
            f"{samconfig} doesn't exist. It names your stack. Without the name, you would deploy a "
            "second, empty stack. Pass the checkout of Job Runners 0.2 with --checkout"
        )
    check_empty(folder)
    if folder.resolve().is_relative_to(app):
        raise UnusableAppFolder(f"{folder} is in {app}. Choose a folder outside of it")
    config = rewritten_samconfig(samconfig.read_text(encoding="utf-8"), samconfig)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".adopting-") as scratch:
        made = Path(scratch)
        _copy(app, made)
        to_change = [each for file in sorted(made.rglob("*")) for each in _rewrite(file, made)]
        (made / "samconfig.toml").write_text(config, encoding="utf-8")
        to_change += _complete(made, project_facts(folder, packages), github=github)
        for entry in sorted(made.iterdir()):
            shutil.move(entry, folder / entry.name)
    return {
        "project": str(folder),
        "packages": packages,
        "stack": tomllib.loads(config)["default"]["global"]["parameters"]["stack_name"],
        "doubts": to_change + _template_changes(checkout),
        "lock": _lock(folder),
    }


def _copy(app: Path, made: Path) -> None:
    left_out = shutil.ignore_patterns(*_LEFT_OUT)
    shutil.copytree(app, made, dirs_exist_ok=True, ignore=left_out, symlinks=True)
    for name, new in _RENAMED.items():
        if (made / name).exists():
            (made / name).rename(made / new)


def _rewrite(file: Path, made: Path) -> list[str]:
    """Rewrite a file, and return the places in it that a person must change."""
    try:
        text = file.read_text(encoding="utf-8") if file.is_file() and not file.is_symlink() else ""
    except UnicodeDecodeError:
        return []
    name, to_change, new = file.relative_to(made), [], text
    if file.suffix == ".py":
        try:
            rewritten = Rewritten(text)
        except SyntaxError as error:
            return [f"{name}:{error.lineno}: not rewritten, because it isn't valid Python"]
        new = rewritten.text
        to_change = [f"{name}:{line}: {change}" for line, change in rewritten.to_change]
    elif file.suffix in _CONFIG_SUFFIXES or file.name == "Makefile":
        new = _PLUGIN.sub("job_runners.testing.plugin", text)
    if new != text:
        file.write_text(new, encoding="utf-8")
    return to_change


def _complete(made: Path, facts: dict[str, str], *, github: bool) -> list[str]:
    """Write the project's own files. Keep files that exist, but add missing lines to .gitignore.

    Return the places that a person must change.
    """
    to_change = []
    if (made / "pyproject.toml").exists():
        to_change.append(f'pyproject.toml:1: add "{facts["requirement"]}" to the dependencies')
    else:
        write_file(made / "pyproject.toml", "pyproject.toml.in", facts)
    ignored = made / ".gitignore"
    before = ignored.read_text(encoding="utf-8") if ignored.exists() else ""
    write_file(ignored, "gitignore.in", facts)
    lines = [each for each in ignored.read_text().splitlines() if each not in before.splitlines()]
    ignored.write_text("\n".join([*before.splitlines(), *lines, ""]), encoding="utf-8")
    for path, source in WORKFLOWS.items() if github else ():
        if (made / path).exists():
            to_change.append(f"{path}:1: this file exists, so the workflow wasn't written")
        else:
            write_file(made / path, source, facts)
    return to_change


def _template_changes(checkout: Path) -> list[str]:
    template = checkout / "template.yaml"
    if not template.exists() or hashlib.sha256(template.read_bytes()).hexdigest() in _RELEASED:
        return []
    return [
        f"{template}:1: this template isn't that of a release. If you have changed it, run "
        f"{COMMAND} eject in the project, and make the same changes there"
    ]


def _lock(folder: Path) -> str | None:
    """Update requirements.lock for this version, and return why this failed, if it did."""
    if not (folder / "requirements.lock").exists():
        return None
    paths = filter(None, [str(CODE), os.environ.get("PYTHONPATH", "")])
    given = {name: value for name, value in os.environ.items() if name != "APP"}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "job_runners.building.app_requirements", "update"],
        env=given | {PROJECT_VARIABLE: str(folder.resolve()), "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr.strip() if done.returncode else None


def main() -> int:
    """Adopt the folder that the command line names, and return the exit code."""
    arguments = argparse.ArgumentParser(prog="python -m job_runners.building.adopt")
    arguments.add_argument("app", type=Path)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--checkout", type=Path)
    arguments.add_argument("--github", action="store_true")
    given = arguments.parse_args()
    app = given.app.resolve()
    try:
        done = adopt(app, given.folder, given.checkout or app.parent, github=given.github)
    except UnusableAppFolder as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(done))
    return 0


if __name__ == "__main__":
    sys.exit(main())
