"""Describe the target of a build: an architecture and a Python, on AWS or on this machine."""

import platform
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from job_runners.errors import JobRunnersError
from job_runners.places import ROOT

__all__ = ["ROOT", "Target", "this_python"]

_MACHINES = {"arm64": "aarch64", "x86_64": "x86_64"}
# The minor version of glibc 2 on Lambda. Wheels for the same or a lower version run there.
_AMAZON_LINUX_2023 = 34  # Python 3.12 and later
_MANYLINUX2014 = 17  # for Amazon Linux 2 (Python 3.11), which has 26: the nearest that uv knows


class UnusableTarget(JobRunnersError):
    """samconfig.toml doesn't name a target, or this environment can't build for it."""


@dataclass(frozen=True)
class Target:
    """The target of a build. Its first two fields are values of the template's parameters."""

    architecture: str  # arm64 or x86_64
    python_runtime: str  # python3.11 to python3.14
    native: bool = False  # True for this machine and this interpreter, on any operating system

    @staticmethod
    def this_machine() -> "Target":
        """Return the target for this machine and interpreter, which the local AWS uses."""
        machine = platform.machine().lower()
        architecture = "arm64" if machine in {"arm64", "aarch64"} else "x86_64"
        return Target(architecture, f"python{this_python()}", native=True)

    @staticmethod
    def from_samconfig(path: Path = ROOT / "samconfig.toml") -> "Target":
        """Return the target of `sam deploy`, from the configuration file that it also reads.

        Raises UnusableTarget if the file doesn't say it.
        """
        try:
            config = tomllib.loads(path.read_text(encoding="utf-8"))
            overrides = config["default"]["global"]["parameters"]["parameter_overrides"]
        except FileNotFoundError:
            raise UnusableTarget(f"{path} doesn't exist, so nothing names a target") from None
        except tomllib.TOMLDecodeError as error:
            raise UnusableTarget(f"{path} is not TOML: {error}") from None
        except KeyError:
            overrides = []
        given = dict(each.partition("=")[::2] for each in overrides)
        missing = [name for name in ("Architecture", "PythonRuntime") if not given.get(name)]
        if missing:
            raise UnusableTarget(
                f"{path} doesn't set {' and '.join(missing)}, which a build needs. In "
                "[default.global.parameters], set parameter_overrides = "
                f'["Architecture=arm64", "PythonRuntime=python{this_python()}"]'
            )
        return Target(given["Architecture"], given["PythonRuntime"])

    def check_python(self) -> None:
        """Raise UnusableTarget if this Python can't make bytecode for the target."""
        if self.python != this_python():
            raise UnusableTarget(
                f"Functions run on Python {self.python} (PythonRuntime in samconfig.toml), but "
                f"this environment has Python {this_python()}, whose bytecode they can't use. Make "
                f"the environment with Python {self.python}, or set "
                f"PythonRuntime=python{this_python()}"
            )

    @property
    def described(self) -> str:
        """The target in words."""
        where = "this machine" if self.native else f"Lambda on {self.architecture}"
        return f"{where}, Python {self.python}"

    @property
    def parameter_overrides(self) -> list[str]:
        """The target as arguments of sam's --parameter-overrides."""
        return [f"Architecture={self.architecture}", f"PythonRuntime={self.python_runtime}"]

    @property
    def python(self) -> str:
        """The version of Python, such as 3.13."""
        return self.python_runtime.removeprefix("python")

    @property
    def markers(self) -> dict[str, str]:
        """What the target differs in from this machine, for the markers of requirements."""
        if self.native:
            return {}
        return {
            "sys_platform": "linux",
            "platform_system": "Linux",
            "platform_machine": _MACHINES[self.architecture],
        }

    @property
    def uv_platform(self) -> str:
        """The newest platform of wheels that run on Lambda. uv adds the older ones by itself."""
        newest = _MANYLINUX2014 if self.python == "3.11" else _AMAZON_LINUX_2023
        return f"{_MACHINES[self.architecture]}-manylinux_2_{newest}"


def this_python() -> str:
    """Return the version of the running interpreter, such as 3.13."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"
