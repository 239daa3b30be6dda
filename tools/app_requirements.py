"""Pins what an organisation's own work needs, and has it in the environment that tests run in.

Usage: python -m tools.app_requirements lock|install

`requirements.txt` says it loosely. `lock` resolves it together with our own requirements and writes
`requirements.lock` beside it: versions and hashes of what it needs beside ours. `install` puts that
into this environment, or takes it out when there is no such folder any more.
"""

import argparse
import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

from errors import JobRunnersError
from tools.app_folder import AppFolder, UnusableAppFolder, find_app_folder
from tools.target import ROOT, Target, this_python

OUR_LOCK = ROOT / "requirements" / "runtime.txt"
_OUR_ENVIRONMENT = ROOT / "requirements" / "dev.txt"
_UV = (sys.executable, "-m", "uv", "pip")
_MADE_FROM = "# Made by make lock from requirements.txt and Job Runners' own lock, of contents "


def lock(app: AppFolder, target: Target) -> None:
    """Write the app's lock, for the target and for this machine; raises UnusableAppFolder with the
    conflict, if there is one."""
    with tempfile.TemporaryDirectory() as scratch:
        # First for the target, whose wheels must exist; then for any machine, with those versions.
        resolved, made = Path(scratch) / "resolved.txt", Path(scratch) / "made.txt"
        on_target = ["--python-platform", target.uv_platform, "--python-version", target.python]
        _compile(app, [*on_target, "--output-file", str(resolved)])
        options = ["--universal", "--python-version", _lower(target.python, this_python())]
        options += ["--constraint", str(resolved), "--generate-hashes"]
        options += [word for name in _our_names() for word in ("--no-emit-package", name)]
        _compile(app, [*options, "--output-file", str(made)])
        text = f"{_MADE_FROM}{_digest(app)}\n{made.read_text()}"
    app.lock.write_text(text)


def locked(app: AppFolder | None) -> Path | None:
    """Return the app's lock, None if it needs nothing beside ours; raises UnusableAppFolder if
    there is no lock of today's requirements."""
    if app is None or not _needs_anything(app):
        return None
    if not app.lock.exists():
        raise UnusableAppFolder(f"{app.lock} is missing. Write it: run make lock")
    first, _, _ = app.lock.read_text().partition("\n")
    if first != f"{_MADE_FROM}{_digest(app)}":
        raise UnusableAppFolder(
            f"{app.lock} was made from other requirements: {app.requirements.name} or Job Runners' "
            "own have changed since. Make it again: run make lock"
        )
    return app.lock


def install(app: AppFolder | None, environment: Path = Path(sys.prefix)) -> None:
    """Have in this environment what the app's lock has beside our own, and no more.

    Raises UnusableAppFolder if the lock is missing or outdated, or can't be installed.
    """
    wanted = locked(app)
    stamp = environment / "app-requirements"
    text = wanted.read_text() if wanted else ""
    if text == (stamp.read_text() if stamp.exists() else ""):
        return
    stamp.unlink(missing_ok=True)
    python = ["--python", str(environment / "bin" / "python"), "--require-hashes"]
    _run_uv(["sync", *python, str(_OUR_ENVIRONMENT)], "our own requirements can't be installed")
    if wanted:
        options = ["--no-deps", "--requirement", str(wanted)]
        _run_uv(["install", *python, *options], f"{wanted} can't be installed on this machine")
        stamp.write_text(text)


def _needs_anything(app: AppFolder) -> bool:
    """Return whether requirements.txt is there, and has more than comments."""
    if not app.requirements.exists():
        return False
    lines = app.requirements.read_text(encoding="utf-8").splitlines()
    return any(line.strip() and not line.strip().startswith("#") for line in lines)


def _compile(app: AppFolder, options: list[str]) -> None:
    # In its folder: what it says of other files there is relative, and so is no machine's path.
    arguments = ["compile", app.requirements.name, "--constraint", str(OUR_LOCK), *options]
    arguments += ["--only-binary", ":all:", "--no-header", "--no-annotate"]
    arguments += ["--no-emit-index-url", "--no-emit-find-links"]
    problem = (
        f"{app.requirements} can't be resolved together with what Job Runners needs, which is in "
        f"{OUR_LOCK}"
    )
    _run_uv(arguments, problem, folder=app.path)


def _run_uv(arguments: list[str], problem: str, folder: Path = ROOT) -> None:
    command = [*_UV, arguments[0], "--quiet", *arguments[1:]]
    done = subprocess.run(command, cwd=folder, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise UnusableAppFolder(f"{problem}:\n{done.stderr.strip()}")


def _our_names() -> list[str]:
    lines = OUR_LOCK.read_text().splitlines()
    return [line.partition("==")[0] for line in lines if "==" in line and line[0].isalnum()]


def _digest(app: AppFolder) -> str:
    made_of = hashlib.sha256(app.requirements.read_bytes())
    made_of.update(OUR_LOCK.read_bytes())
    return made_of.hexdigest()[:16]


def _lower(*versions: str) -> str:
    return min(versions, key=lambda version: tuple(map(int, version.split("."))))


def main() -> int:
    """Do as the command line says; return the exit code."""
    arguments = argparse.ArgumentParser(prog="python -m tools.app_requirements")
    arguments.add_argument("what", choices=["lock", "install"])
    given = arguments.parse_args()
    try:
        app = find_app_folder()
        if given.what == "install":
            install(app)
        elif app is not None and _needs_anything(app):
            lock(app, Target.from_samconfig())
            print(f"Wrote {app.lock}")
        elif app is not None:
            print(f"{app.requirements} names no package, so there is nothing to pin")
    except JobRunnersError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
