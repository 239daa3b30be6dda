"""Pin the requirements of the app's code, and install them for its tests.

Usage: python -m job_runners.building.app_requirements lock|update|install

`lock` resolves the app's requirements.txt together with our own requirements. It writes the
versions and hashes of the additional packages to requirements.lock in the same folder. `update`
does this only if the lock is outdated, and keeps its versions where possible. `install` installs
these packages into this environment, or removes them if the app's folder is gone.
"""

import argparse
import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

from job_runners.building import installed
from job_runners.building.app_folder import AppFolder, UnusableAppFolder, find_app_folder
from job_runners.building.install_problems import described
from job_runners.building.target import Target, this_python
from job_runners.errors import JobRunnersError
from job_runners.places import COMMAND, DATA, IS_CHECKOUT, ROOT

OUR_LOCK = DATA / "requirements" / "runtime.txt"
_OUR_ENVIRONMENT = DATA / "requirements" / "dev.txt"  # only a checkout has it
_UV = (sys.executable, "-m", "uv", "pip")
# The first line of each lock, before its digest. Changing this text makes all locks outdated.
_MADE_FROM = "# Made from requirements.txt and the lock of Job Runners, of contents "


def lock(app: AppFolder, target: Target, *, keep: bool = False) -> None:
    """Write the app's lock. It can be installed for the target and on any other machine.

    `keep` keeps the versions in the existing lock where possible. Raises UnusableAppFolder, which
    describes the conflict, if the requirements can't be resolved.
    """
    with tempfile.TemporaryDirectory() as scratch:
        # First choose versions that have wheels for the target. Then resolve for any machine, with
        # the same versions.
        resolved, made = Path(scratch) / "resolved.txt", Path(scratch) / "made.txt"
        if keep and app.lock.exists():
            resolved.write_text(app.lock.read_text())  # uv prefers the versions in its output file
        on_target = ["--python-platform", target.uv_platform, "--python-version", target.python]
        _compile(app, target, [*on_target, "--output-file", str(resolved)])
        options = ["--universal", "--python-version", _lowest(target.python, this_python())]
        options += ["--constraint", str(resolved), "--generate-hashes"]
        options += [word for name in _our_names() for word in ("--no-emit-package", name)]
        _compile(app, target, [*options, "--output-file", str(made)])
        text = f"{_MADE_FROM}{_digest(app)}\n{made.read_text()}"
    app.lock.write_text(text)


def lock_again(app: AppFolder) -> bool:
    """Update the app's lock if it is outdated, and return whether it was. Keep its versions."""
    try:
        locked(app)
    except UnusableAppFolder:
        lock(app, Target.from_samconfig(), keep=True)
        return True
    return False


def locked(app: AppFolder | None) -> Path | None:
    """Return the path of the app's lock, or None if the app has no requirements.

    Raises UnusableAppFolder if the lock is missing or was made from other requirements.
    """
    if app is None or not _has_requirements(app):
        return None
    if not app.lock.exists():
        raise UnusableAppFolder(f"{app.lock} is missing. To create it, run {COMMAND} lock")
    first, _, _ = app.lock.read_text().partition("\n")
    if first != f"{_MADE_FROM}{_digest(app)}":
        raise UnusableAppFolder(
            f"{app.lock} is outdated: {app.requirements.name} or the requirements of Job Runners "
            f"have changed since it was made. To update it, run {COMMAND} lock"
        )
    return app.lock


def install(app: AppFolder | None, environment: Path = Path(sys.prefix)) -> None:
    """Install the packages of the app's lock next to our own, and remove all others.

    Raises UnusableAppFolder if the lock is missing or outdated, or can't be installed.
    """
    app_lock = locked(app)
    stamp = environment / "app-requirements"  # a copy of the app's lock that is installed
    text = app_lock.read_text() if app_lock else ""
    if text == (stamp.read_text() if stamp.exists() else ""):
        return
    stamp.unlink(missing_ok=True)
    python = ["--python", str(environment / "bin" / "python"), "--require-hashes"]
    if IS_CHECKOUT:  # the environment of a project has more than our packages
        problem = "The requirements of Job Runners can't be installed"
        _run_uv(["sync", *python, str(_OUR_ENVIRONMENT)], problem)
    if app_lock:
        print(f"Installing the packages in {app_lock.name}", file=sys.stderr)
        options = ["--no-deps", "--requirement", str(app_lock)]
        _run_uv(["install", *python, *options], f"{app_lock} can't be installed on this machine")
        stamp.write_text(text)


def _has_requirements(app: AppFolder) -> bool:
    """Return whether requirements.txt exists and has more than comments."""
    if not app.requirements.exists():
        return False
    lines = app.requirements.read_text(encoding="utf-8").splitlines()
    return any(line.strip() and not line.strip().startswith("#") for line in lines)


def _compile(app: AppFolder, target: Target, options: list[str]) -> None:
    # Run uv in the app's folder, so that references to other files are relative and the lock has no
    # path of this machine.
    arguments = ["compile", app.requirements.name, "--constraint", str(OUR_LOCK), *options]
    arguments += ["--only-binary", ":all:", "--no-header", "--no-annotate"]
    arguments += ["--no-emit-index-url", "--no-emit-find-links"]
    problem = (
        f"{app.requirements} can't be resolved together with the requirements of Job Runners, "
        f"which are in {OUR_LOCK}"
    )
    _run_uv(arguments, problem, target.described, folder=app.path)


def _run_uv(
    arguments: list[str], problem: str, platform: str = "this machine", folder: Path = ROOT
) -> None:
    command = [*_UV, arguments[0], "--quiet", "--native-tls", *arguments[1:]]
    done = subprocess.run(command, cwd=folder, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise UnusableAppFolder(f"{problem}:\n{described(done.stderr, platform)}")


def _our_names() -> list[str]:
    lines = OUR_LOCK.read_text().splitlines()
    return [line.partition("==")[0] for line in lines if "==" in line and line[0].isalnum()]


def _digest(app: AppFolder) -> str:
    digest = hashlib.sha256(app.requirements.read_bytes())
    digest.update(OUR_LOCK.read_bytes())
    return digest.hexdigest()[:16]


def _lowest(*versions: str) -> str:
    return min(versions, key=lambda version: tuple(map(int, version.split("."))))


def main() -> int:
    """Run the command line, and return the exit code."""
    arguments = argparse.ArgumentParser(prog="python -m job_runners.building.app_requirements")
    arguments.add_argument("what", choices=["lock", "update", "install"])
    given = arguments.parse_args()
    try:
        app = find_app_folder()
        if given.what == "install":
            install(app)
        elif given.what == "update":
            if app is not None:
                lock_again(app)
        elif app is not None and _has_requirements(app):
            installed.check()  # each version has a lock of its own
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
