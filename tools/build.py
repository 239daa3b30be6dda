"""Builds the one tree that every function runs: our sources, pinned dependencies, bytecode.

`sam build` calls this through the Makefile: python -m tools.build FOLDER
"""

import argparse
import compileall
import hashlib
import platform
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from py_compile import PycInvalidationMode

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".build"
LOCK = ROOT / "requirements" / "runtime.txt"

# What ships. Everything else (tests, events, local, docs) stays out of the zip.
SHIPPED = (
    "api",
    "aws",
    "campaigns",
    "dashboard",
    "handlers",
    "jobs",
    "runners",
    "store",
    "tasks",
    "webhooks",
    "work",
    "clock.py",
    "errors.py",
    "names.py",
    "settings.py",
)

# The services that we call. botocore describes 400 more, in most of its 30 MB.
SERVICES = frozenset({"dynamodb", "lambda", "logs", "s3", "sns", "sqs", "ssm", "sts"})

# Wheels for Amazon Linux 2 (Python 3.11) run on Amazon Linux 2023 (3.12 and later) as well.
WHEEL_PLATFORMS = {"arm64": "manylinux2014_aarch64", "x86_64": "manylinux2014_x86_64"}


@dataclass(frozen=True)
class Target:
    """What the tree is built for: values of the template's parameters of the same names."""

    architecture: str  # arm64 or x86_64
    python_runtime: str  # python3.11 to python3.14
    native: bool = False  # for this machine, whatever its system, with this interpreter

    @staticmethod
    def this_machine() -> "Target":
        """Return the machine and the interpreter that are running now, for the local AWS."""
        machine = platform.machine().lower()
        architecture = "arm64" if machine in {"arm64", "aarch64"} else "x86_64"
        return Target(architecture, f"python{_this_minor()}", native=True)

    @staticmethod
    def from_samconfig(path: Path = ROOT / "samconfig.toml") -> "Target":
        """Return what `sam deploy` will deploy to, from the file that it reads too."""
        config = tomllib.loads(path.read_text())
        overrides = config["default"]["global"]["parameters"]["parameter_overrides"]
        given = dict(each.split("=", 1) for each in overrides)
        return Target(given["Architecture"], given["PythonRuntime"])

    @property
    def parameter_overrides(self) -> list[str]:
        """The same as arguments of sam's --parameter-overrides."""
        return [f"Architecture={self.architecture}", f"PythonRuntime={self.python_runtime}"]


def build(target: Target, folder: Path) -> None:
    """Fill `folder` with the tree that functions run on `target`."""
    shutil.copytree(_dependencies(target), folder, dirs_exist_ok=True)
    for name in SHIPPED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / name)
        _compile(target, folder, folder / name)


def _dependencies(target: Target) -> Path:
    """Return a folder of the pinned dependencies, pruned and compiled, kept for the next build."""
    recipe = hashlib.sha256(LOCK.read_bytes() + Path(__file__).read_bytes())
    recipe.update(f"{target} {sys.version}".encode())
    kept = CACHE / f"{target.architecture}-{target.python_runtime}-{recipe.hexdigest()[:16]}"
    if not kept.exists():
        CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            made = Path(scratch) / "tree"
            _install(target, made)
            _prune(made)
            _compile(target, made, made)
            _keep(made, kept)
    return kept


def _keep(made: Path, kept: Path) -> None:
    """At once, so that an interrupted build leaves nothing half-made. Of two builds at the same
    time one is first, and both are alike."""
    try:
        made.rename(kept)
    except OSError:
        if not kept.is_dir():
            raise


def _install(target: Target, folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--require-hashes", "--no-compile", "--only-binary=:all:"]
    command += ["--requirement", str(LOCK), "--target", str(folder)]
    if not target.native:
        command += ["--platform", WHEEL_PLATFORMS[target.architecture], "--implementation", "cp"]
        command += ["--python-version", target.python_runtime.removeprefix("python")]
    subprocess.run(command, check=True)


def _prune(folder: Path) -> None:
    shutil.rmtree(folder / "bin", ignore_errors=True)  # console scripts
    for service in (folder / "botocore" / "data").iterdir():
        if service.is_dir() and service.name not in SERVICES:
            shutil.rmtree(service)


def _compile(target: Target, tree: Path, path: Path) -> None:
    """Ship bytecode: Lambda can't write any, and imports take 2 to 3 times as long without.

    Unchecked, because zipping changes the times that a checked file compares. Another minor
    version's bytecode would be ignored, so then there is none.
    """
    if target.python_runtime != f"python{_this_minor()}":
        return
    compile_path = compileall.compile_dir if path.is_dir() else compileall.compile_file
    compiled = compile_path(
        path,
        quiet=1,
        stripdir=str(tree),  # or each build of the same sources would differ
        prependdir="/var/task",
        invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
    )
    if not compiled:
        sys.exit(f"{path} does not compile")


def _this_minor() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def main() -> None:
    """Build for samconfig's target, or for this machine."""
    arguments = argparse.ArgumentParser(prog="python -m tools.build", description=__doc__)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--for", dest="target", choices=["samconfig", "machine"])
    given = arguments.parse_args()
    machine = given.target == "machine"
    build(Target.this_machine() if machine else Target.from_samconfig(), given.folder)


if __name__ == "__main__":
    main()
