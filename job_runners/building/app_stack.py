"""Deploy the app's own stack (own.template.yaml), and pass its outputs to our stack.

An app can have a CloudFormation stack next to the Job Runners stack ("our stack"), for example for
the workers' permissions. It is deployed first. If our template has a parameter with the name of an
output, such as WorkerPolicyArn, the output becomes the parameter's value.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from job_runners.building.app_folder import UnusableAppFolder
from job_runners.building.samconfig import DEFAULT, SamConfig, config_env_option, overrides_option
from job_runners.building.template_file import parameter_names, section_names

# The app's template may have this parameter. Its value is the name of our stack.
OUR_STACK_NAME = "JobsStackName"
_CONFIG = "own.samconfig.toml"
_POLICY = "WorkerPolicyArn"  # the names of the parameters for workers' policies end in this

Sam = Callable[[Sequence[str]], None]  # runs sam with these arguments, or raises


@dataclass(frozen=True)
class AppStack:
    """The app's template, and the name of the Job Runners stack that runs the app's code."""

    template: Path
    our_name: str
    environment: str = DEFAULT  # of our samconfig.toml

    @property
    def name(self) -> str:
        """The name of the app's stack."""
        return f"{self.our_name}-app"

    def deploy(
        self, sam: Sam, cloudformation: Any, folder: Path, artifacts: Sequence[str]
    ) -> dict[str, str]:
        """Build the template into `folder`, deploy it, and return the stack's outputs.

        `artifacts` are sam's options for where to upload the build. sam also reads
        own.samconfig.toml next to the template: our environment's tables, or the default ones if
        it has none for our environment.
        """
        file = self.template.with_name(_CONFIG)
        config = SamConfig(file)
        environment = self.environment if self.environment in config.environments() else DEFAULT
        options = ["--config-file", str(file)] if config.content else []
        options += config_env_option(environment)
        sam(["build", "--template-file", str(self.template), "--build-dir", str(folder), *options])
        options += ["--template-file", str(folder / "template.yaml"), "--stack-name", self.name]
        options += [*artifacts, "--s3-prefix", self.name, "--capabilities", "CAPABILITY_NAMED_IAM"]
        options += ["--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar"]
        if OUR_STACK_NAME in parameter_names(self.template):
            # The option replaces the file's parameters, so it must repeat them.
            our_parameter = f"{OUR_STACK_NAME}={self.our_name}"
            options += overrides_option([our_parameter, *config.overrides(environment)])
        sam(["deploy", *options])
        (stack,) = cloudformation.describe_stacks(StackName=self.name)["Stacks"]
        return stack_outputs(stack)


def stack_outputs(stack: Mapping[str, Any]) -> dict[str, str]:
    """Return a stack's outputs by name. `stack` is as CloudFormation describes it."""
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def outputs_for_our_template(
    outputs: Mapping[str, str], our_template: Path, already_set: Collection[str]
) -> dict[str, str]:
    """Return the outputs that are parameters of our template, except those in `already_set`."""
    names = parameter_names(our_template) - set(already_set)
    # sam accepts no empty values
    return {name: value for name, value in sorted(outputs.items()) if name in names and value}


def check_policies(template: Path, our_template: Path) -> None:
    """Raise UnusableAppFolder if an output seems to be a worker's policy under a wrong name.

    The worker would lack the policy's permissions.
    """
    outputs = section_names(template, "Outputs")
    policies = {name for name in parameter_names(our_template) if name.endswith(_POLICY)}
    unused = {name.casefold(): name for name in policies - outputs}
    for output in sorted(outputs - policies):
        similar = get_close_matches(output.casefold(), unused, n=1, cutoff=0.9)
        if similar:
            hint = f"Did you mean {unused[similar[0]]}?"
        elif output.casefold().endswith(_POLICY.casefold()):
            hint = f"Use {', '.join(sorted(policies))}"
        else:
            continue
        raise UnusableAppFolder(
            f"{template}: the output {output} is the policy of no worker. {hint}"
        )
