"""Describe a build's target: the architecture and the version of Python that run the code."""

import platform
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from job_runners.errors import JobRunnersError
from job_runners.places import ROOT

__all__ = ["ROOT", "Target", "this_python"]

_MACHINES = {"arm64": "aarch64", "x86_64": "x86_64"}
# A wheel's platform names the minor version of glibc 2 that the wheel needs. Lambda's operating
# systems have these versions.
_AMAZON_LINUX_2023 = 34  # for Python 3.12 and later
_AMAZON_LINUX_2 = 17  # for Python 3.11. It has 26, but uv supports no platform from 18 to 26


class UnusableTarget(JobRunnersError):
    """samconfig.toml doesn't name a target, or this environment can't build for it."""


@dataclass(frozen=True)
class Target:
    """The target of a build."""

    # The first two are values of the template's parameters.
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
        """Return the target of `sam deploy`, which reads the same configuration file.

        Raises UnusableTarget if the file doesn't set it.
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
        values = {}
        for override in overrides:
            name, _, value = override.partition("=")
            values[name] = value
        missing = [name for name in ("Architecture", "PythonRuntime") if not values.get(name)]
        if missing:
            raise UnusableTarget(
                f"{path} doesn't set {' and '.join(missing)}, which a build needs. In "
                "[default.global.parameters], set parameter_overrides = "
                f'["Architecture=arm64", "PythonRuntime=python{this_python()}"]'
            )
        return Target(values["Architecture"], values["PythonRuntime"])

    def check_python(self) -> None:
        """Raise UnusableTarget if this Python can't compile bytecode for the target."""
        if self.python != this_python():
            raise UnusableTarget(
                f"Functions run on Python {self.python} (PythonRuntime in samconfig.toml), but "
                f"this environment has Python {this_python()}, whose bytecode they can't use. Make "
                f"the environment with Python {self.python}, or set "
                f"PythonRuntime=python{this_python()}"
            )

    @property
    def description(self) -> str:
        """The target in words, for messages."""
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
        """The environment markers (PEP 508) that may differ between the target and this machine."""
        if self.native:
            return {}
        return {
            "sys_platform": "linux",
            "platform_system": "Linux",
            "platform_machine": _MACHINES[self.architecture],
        }

    @property
    def uv_platform(self) -> str:
        """The platform of wheels for uv. uv also installs wheels for older platforms."""
        glibc = _AMAZON_LINUX_2 if self.python == "3.11" else _AMAZON_LINUX_2023
        return f"{_MACHINES[self.architecture]}-manylinux_2_{glibc}"


def this_python() -> str:
    """Return the version of the running interpreter, such as 3.13."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"
