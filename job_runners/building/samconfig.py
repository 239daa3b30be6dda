"""Read samconfig.toml: the target of a build, and the parameters of the template.

The target is the architecture and the version of Python that run the code.
"""

import platform
import re
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from job_runners.building.app_folder import CONFIG, BuildProblem, read_workers
from job_runners.places import ROOT

BUILD_PARAMETERS = (
    "Architecture",
    "PythonRuntime",
)  # a build reads them, and no template needs them
SAMCONFIG = ROOT / "samconfig.toml"
# The app's template may have this parameter. Its value is the name of our stack.
OUR_STACK_NAME = "JobsStackName"
DEFAULT = "default"  # the environment of a samconfig.toml that sam reads without --config-env
_OVERRIDE = re.compile(r'\S+?=(?:"[^"]*"|\S*)')  # one NAME=VALUE of a string with several
_MACHINES = {"arm64": "aarch64", "x86_64": "x86_64"}
# A wheel's platform names the minor version of glibc 2 that the wheel needs. Lambda's operating
# systems have these versions.
_AMAZON_LINUX_2023 = 34  # for Python 3.12 and later
_AMAZON_LINUX_2 = 17  # for Python 3.11. It has 26, but uv supports no platform from 18 to 26
# The environment variables in which functions get the template's parameters.
_VARIABLES = {
    "RetentionDays": "RETENTION_DAYS",
    "MaxUnfinishedJobs": "MAX_UNFINISHED_JOBS",
    "LogPayloads": "LOG_PAYLOADS",
    "KeepTaskPayloads": "KEEP_TASK_PAYLOADS",
    "LogLevel": "POWERTOOLS_LOG_LEVEL",
}
# Parameters that the local stack also needs, but tests and builds don't.
_ONLY_FOR_STACKS = ("JobRunner", "WorkerTimeout", "WebhookSubscriptions")


class SamConfig:
    """The content of a samconfig.toml. A file that doesn't exist sets nothing."""

    def __init__(self, file: Path = SAMCONFIG) -> None:
        """Read the file. Raises BuildProblem if it isn't TOML."""
        try:
            text = file.read_text(encoding="utf-8") if file.exists() else ""
            self.content: dict[str, Any] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise BuildProblem(f"{file} is not TOML: {error}") from None

    def environments(self) -> list[str]:
        """Return the names of the environments."""
        return [name for name, tables in self.content.items() if isinstance(tables, dict)]

    def parameters(self, environment: str, command: str) -> dict[str, Any]:
        """Return what an environment sets for a command of sam, or for "global"."""
        tables = self.content.get(environment, {}).get(command, {})
        parameters: dict[str, Any] = tables.get("parameters", {})
        return parameters

    def stack_name(self, environment: str = DEFAULT) -> str:
        """Return the name of the stack, or "" if it isn't set."""
        return str(self.parameters(environment, "global").get("stack_name", ""))

    def overrides(self, environment: str = DEFAULT) -> list[str]:
        """Return the parameters of the template for a deploy, each as NAME=VALUE."""
        all_overrides: list[str] = []
        for command in ("global", "deploy"):
            match self.parameters(environment, command).get("parameter_overrides", []):
                case str(text):
                    all_overrides += _OVERRIDE.findall(text)
                case dict(pairs):
                    all_overrides += [f"{name}={value}" for name, value in pairs.items()]
                case items:
                    all_overrides += items
        return all_overrides

    def values(self, environment: str = DEFAULT) -> dict[str, str]:
        """Return the same parameters as a dictionary, whose values have no quotes."""
        pairs = (override.partition("=") for override in self.overrides(environment))
        return {name: value.strip('"') for name, _, value in pairs}


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
    def from_samconfig(path: Path = SAMCONFIG) -> "Target":
        """Return the target of `sam deploy`, which reads the same configuration file.

        Raises BuildProblem if the file doesn't set it.
        """
        if not path.exists():
            raise BuildProblem(f"{path} doesn't exist, so nothing names a target")
        values = SamConfig(path).values()
        missing = [name for name in BUILD_PARAMETERS if not values.get(name)]
        if missing:
            raise BuildProblem(
                f"{path} doesn't set {' and '.join(missing)}, which a build needs. In "
                "[default.global.parameters], set parameter_overrides = "
                f'["Architecture=arm64", "PythonRuntime=python{this_python()}"]'
            )
        return Target(values["Architecture"], values["PythonRuntime"])

    def check_python(self) -> None:
        """Raise BuildProblem if this Python can't compile bytecode for the target."""
        if self.python != this_python():
            raise BuildProblem(
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


def work_parameters() -> dict[str, str]:
    """Return the parameters in samconfig.toml, by their names in the template."""
    values = SamConfig(ROOT / "samconfig.toml").values()
    names = (*_VARIABLES, *_ONLY_FOR_STACKS)
    # sam accepts no empty values
    return {name: value for name, value in values.items() if name in names and value}


def work_variables() -> dict[str, str]:
    """Return the functions' environment variables for these parameters and the worker classes.

    Raises UnusableAppFolder if app.toml can't be used.
    """
    variables = {"WORKER_CLASSES": ",".join(read_workers(ROOT / CONFIG))}
    for name, value in work_parameters().items():
        if name in _VARIABLES:
            variables[_VARIABLES[name]] = value
    return variables


def config_env_option(environment: str) -> list[str]:
    """Return sam's option for an environment of its configuration file."""
    return [] if environment == DEFAULT else ["--config-env", environment]


def overrides_option(parameters: Sequence[str]) -> list[str]:
    """Return sam's option for parameters. It replaces those of the configuration file."""
    return ["--parameter-overrides", *parameters] if parameters else []
