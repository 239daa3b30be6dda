"""Deploy the app's own stack (own.template.yaml), and pass its outputs to our stack.

The app's stack is deployed first, because our stack uses its outputs. If our template has a
parameter with an output's name, such as WorkerPolicyArn, the output becomes its value.
"""

import re
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from job_runners.building.app_config import UnusableAppFolder
from job_runners.building.template_file import names_in, parameters

# The app's template may have this parameter. Its value is the name of our stack.
OUR_STACK_NAME = "JobsStackName"
_CONFIG = "own.samconfig.toml"
_POLICY = "WorkerPolicyArn"  # the end of the names of parameters with the policy of a worker
_OVERRIDE = re.compile(r'\S+?=(?:"[^"]*"|\S*)')  # in a text of several
DEFAULT = "default"  # the environment of a samconfig.toml that sam reads without --config-env

Sam = Callable[[Sequence[str]], None]  # runs sam with these arguments, or raises


@dataclass(frozen=True)
class AppStack:
    """The app's template, and the name of the Job Runners stack that runs the app's code."""

    template: Path
    our_name: str
    environment: str = DEFAULT  # of our samconfig.toml

    @property
    def name(self) -> str:
        """The name of its stack."""
        return f"{self.our_name}-app"

    def deploy(
        self, sam: Sam, cloudformation: Any, folder: Path, artifacts: Sequence[str]
    ) -> dict[str, str]:
        """Build the template into `folder`, deploy it, and return the stack's outputs.

        `artifacts` are sam's options for where to upload the build. sam also reads
        own.samconfig.toml next to the template. If that file lacks our environment, its default one
        applies.
        """
        config = self.template.with_name(_CONFIG)
        read = tomllib.loads(config.read_text()) if config.exists() else {}
        environment = self.environment if self.environment in read else DEFAULT
        given = ["--config-file", str(config)] if read else []
        given += config_env_option(environment)
        sam(["build", "--template-file", str(self.template), "--build-dir", str(folder), *given])
        given += ["--template-file", str(folder / "template.yaml"), "--stack-name", self.name]
        given += [*artifacts, "--s3-prefix", self.name, "--capabilities", "CAPABILITY_NAMED_IAM"]
        given += ["--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar"]
        if OUR_STACK_NAME in parameters(self.template):
            already_set = overrides(read, environment)
            given += overrides_option([f"{OUR_STACK_NAME}={self.our_name}", *already_set])
        sam(["deploy", *given])
        (stack,) = cloudformation.describe_stacks(StackName=self.name)["Stacks"]
        return {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}


def handed_over(
    outputs: Mapping[str, str], our_template: Path, already_set: Collection[str]
) -> dict[str, str]:
    """Return the outputs that are parameters of our template, except those in `already_set`."""
    known = parameters(our_template)
    return {
        name: value
        for name, value in sorted(outputs.items())
        if name in known and name not in already_set and value  # sam takes no empty value
    }


def check_policies(template: Path, our_template: Path) -> None:
    """Raise UnusableAppFolder if an output of the app's template was meant to be the policy of a
    worker, and isn't: then the worker would lack its permissions."""
    outputs = names_in(template, "Outputs")
    known = {each for each in parameters(our_template) if each.endswith(_POLICY)}
    free = {each.casefold(): each for each in known - outputs}
    for name in sorted(outputs - known):
        near = get_close_matches(name.casefold(), free, n=1, cutoff=0.9)
        if near or name.casefold().endswith(_POLICY.casefold()):
            hint = f"Did you mean {free[near[0]]}?" if near else f"Use {', '.join(sorted(known))}"
            raise UnusableAppFolder(
                f"{template}: the output {name} is the policy of no worker. {hint}"
            )


def overrides(config: Mapping[str, Any], environment: str = DEFAULT) -> list[str]:
    """Return the parameters that a samconfig sets for a deploy, each as NAME=VALUE."""
    found: list[str] = []
    for section in ("global", "deploy"):
        own = config.get(environment, {}).get(section, {}).get("parameters", {})
        match own.get("parameter_overrides", []):
            case str(text):
                found += _OVERRIDE.findall(text)
            case dict(pairs):
                found += [f"{name}={value}" for name, value in pairs.items()]
            case listed:
                found += listed
    return found


def override_values(config: Mapping[str, Any], environment: str = DEFAULT) -> dict[str, str]:
    """Return the values for a deploy to an environment, by name and without quotes."""
    pairs = (each.partition("=") for each in overrides(config, environment))
    return {name: value.strip('"') for name, _, value in pairs}


def config_env_option(environment: str) -> list[str]:
    """Return sam's option for an environment of its configuration file."""
    return [] if environment == DEFAULT else ["--config-env", environment]


def overrides_option(given: Sequence[str]) -> list[str]:
    """Return sam's option for parameters, which overrides those of the configuration file."""
    return ["--parameter-overrides", *given] if given else []
