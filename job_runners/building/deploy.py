"""Deploy the app's own stack, if the project has an own.template.yaml, and then the Job Runners
stack ("our stack").

This is the last step of `job-runners deploy`. Usage, after `sam build`: python -m
job_runners.building.deploy --region REGION [--sam PATH] [--config-env NAME] [--check]
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from job_runners.building.app_folder import CONFIG, BuildProblem, find_app_folder, read_workers
from job_runners.building.sam import sam_environment, tools_folder
from job_runners.building.samconfig import (
    BUILD_PARAMETERS,
    DEFAULT,
    OUR_STACK_NAME,
    SAMCONFIG,
    SamConfig,
    config_env_option,
    overrides_option,
)
from job_runners.building.template_file import parameter_names
from job_runners.errors import JobRunnersError
from job_runners.places import ROOT

# Lambda's limit for the unzipped code of a function and its layers, in bytes.
MAX_SIZE = 250 * 1024 * 1024
WARNING_SHARE = 0.8  # code larger than this share of MAX_SIZE gets a warning
_MB = 1024 * 1024
_LISTED_PARTS = 3  # how many of the largest files and folders a message lists
_CONFIG = "own.samconfig.toml"


@dataclass(frozen=True)
class Deploy:
    """Deploys the app's stack and then our stack, both to one environment."""

    sam: Path
    region: str
    config: Path = SAMCONFIG
    built: Path = ROOT / ".aws-sam" / "build" / "template.yaml"  # our built template
    app_folder: Path = ROOT / ".aws-sam" / "app"  # where sam builds the app's template
    environment: str = DEFAULT  # sam reads the tables of this environment in `config`

    def check_environment(self) -> None:
        """Check that samconfig.toml sets what a deploy to the environment needs.

        The build always reads the parameters of the default environment, so the environment must
        set the same values for them. Raises BuildProblem.
        """
        if self.environment == DEFAULT:
            return
        config = SamConfig(self.config)
        table = f"[{self.environment}.global.parameters]"
        if not config.stack_name(self.environment):
            raise BuildProblem(
                f"{self.config} has no table {table} with a stack_name. Copy "
                f"[{DEFAULT}.global.parameters] and [{DEFAULT}.deploy.parameters] into this table, "
                "and change what differs."
            )
        build_values, values = config.values(), config.values(self.environment)
        for name in BUILD_PARAMETERS:
            if build_values.get(name) != values.get(name):
                raise BuildProblem(
                    f"{self.config} sets {name}={build_values.get(name)} for the build, and "
                    f"{name}={values.get(name)} in {table}. Set the same value in both."
                )

    def run(self, app_template: Path | None) -> None:
        """Deploy the stack of `app_template`, if there is one, and then the Job Runners stack.

        Raises CalledProcessError if sam fails, after sam has printed the reason. Raises
        BuildProblem, for example if the code is too large.
        """
        for function in self.built.parent.glob("*Function"):
            if warning := check_size(function):
                _say(warning)
                break  # all functions have the same code
        self._warn_of_removed_classes()
        parameters = self._deploy_app(app_template) if app_template else []
        arguments = ["--template-file", str(self.built), "--config-file", str(self.config)]
        arguments += config_env_option(self.environment)
        self._run(["deploy", *arguments, *overrides_option(parameters)])
        if endpoint_url := os.environ.get("AWS_ENDPOINT_URL"):
            _say(f"Deployed to the AWS at {endpoint_url} (AWS_ENDPOINT_URL), not to your account")

    def _warn_of_removed_classes(self) -> None:
        """Warn if this deploy deletes worker classes, each of which has its own Lambda function."""
        name = SamConfig(self.config).stack_name(self.environment)
        try:
            (stack,) = self._cloudformation().describe_stacks(StackName=name)["Stacks"]
        except (BotoCoreError, ClientError):  # the stack is new, or sam will explain the error
            return
        deployed_classes = stack_outputs(stack).get("WorkerClasses", "").split(",")
        workers = read_workers(ROOT / CONFIG)
        removed = [name for name in deployed_classes if name and name not in workers]
        if removed:
            _say(
                f"This deploy deletes the worker classes {', '.join(removed)}. Tasks that still "
                "wait for their functions in Lambda are lost, and the timer sends jobs again. To "
                "lose none, first deploy with no work in these classes, and remove them 6 hours "
                "later"
            )

    def _deploy_app(self, template: Path) -> list[str]:
        """Deploy the app's stack, and return the parameters for our stack.

        These are samconfig.toml's parameters and the outputs of the app's stack that our template
        has parameters for. If there are no such outputs, the list is empty, and sam itself reads
        the parameters from samconfig.toml.
        """
        config = SamConfig(self.config)
        app = AppStack(template, config.stack_name(self.environment), self.environment)
        _say(f"Deploying {template} as {app.name} first")
        outputs = app.deploy(self._run, self._cloudformation(), self.app_folder, ["--resolve-s3"])
        configured = config.values(self.environment)
        for name in sorted(configured.keys() & outputs.keys()):
            value, unused_value = configured[name], outputs[name]
            _say(f"Using {name}={value} from samconfig.toml, not {unused_value} from {app.name}")
        new_parameters = outputs_for_our_template(outputs, self.built, configured)
        if not new_parameters:
            return []
        parameters = config.overrides(self.environment)
        for name, value in new_parameters.items():
            _say(f"Using {name}={value} from {app.name}")
            parameters.append(f'{name}="{value}"')
        return parameters

    def _cloudformation(self) -> Any:
        return boto3.Session(region_name=self.region).client("cloudformation")

    def _run(self, arguments: Sequence[str]) -> None:
        subprocess.run(
            [str(self.sam), *arguments, "--region", self.region],
            cwd=ROOT,
            env=sam_environment(self.sam.absolute().parent),
            check=True,
        )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def app_template() -> Path | None:
    """Return the app's template, or None if there is none. Raises UnusableAppFolder."""
    folder = find_app_folder()
    return folder.template if folder and folder.template.is_file() else None


def check_size(tree: Path) -> str | None:
    """Return a warning if the code is near the limit, or None if it isn't. Raises BuildProblem."""
    # The size of each file and folder directly in the tree, with all that a folder contains.
    sizes = {
        entry.name: sum(
            file.stat().st_size for file in (entry, *entry.rglob("*")) if file.is_file()
        )
        for entry in tree.iterdir()
    }
    size = sum(sizes.values())
    if size < WARNING_SHARE * MAX_SIZE:
        return None
    largest = sorted(sizes, key=lambda name: sizes[name], reverse=True)[:_LISTED_PARTS]
    parts = ", ".join(f"{name} {sizes[name] // _MB} MB" for name in largest)
    text = (
        f"The code of each function has {size // _MB} MB. Lambda's limit is {MAX_SIZE // _MB} MB. "
        f"The largest parts: {parts}. Every function contains all packages in your requirements, "
        "so remove those that your code doesn't need"
    )
    if size > MAX_SIZE:
        raise BuildProblem(text)
    return text


Sam = Callable[[Sequence[str]], None]  # runs sam with these arguments, or raises


@dataclass(frozen=True)
class AppStack:
    """The app's own stack, which is deployed from its template before our stack.

    `our_name` is the name of our stack, which runs the app's code.
    """

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

        `artifacts` are the options that tell sam where to upload the build. sam also reads
        own.samconfig.toml next to the template. It reads the tables of our environment there, or
        the default tables if there are none for our environment.
        """
        file = self.template.with_name(_CONFIG)
        config = SamConfig(file)
        environment = self.environment if self.environment in config.environments() else DEFAULT
        options = ["--config-file", str(file)] if config.content else []
        options += config_env_option(environment)
        sam(["build", "--template-file", str(self.template), "--build-dir", str(folder), *options])
        # The deploy takes the same options as the build, and these.
        options += ["--template-file", str(folder / "template.yaml"), "--stack-name", self.name]
        options += [*artifacts, "--s3-prefix", self.name, "--capabilities", "CAPABILITY_NAMED_IAM"]
        options += ["--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar"]
        if OUR_STACK_NAME in parameter_names(self.template):
            # This option replaces all parameters in own.samconfig.toml, so repeat them here.
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


def main() -> int:
    """Deploy. Return 0, sam's exit code if it fails, or 1 if the app's folder can't be used."""
    parser = argparse.ArgumentParser(
        prog="python -m job_runners.building.deploy", description=__doc__
    )
    parser.add_argument("--region", required=True)
    parser.add_argument("--sam", type=Path, default=tools_folder() / "sam")
    parser.add_argument("--config-env", default=DEFAULT, metavar="NAME")
    parser.add_argument("--check", action="store_true", help="only check samconfig.toml")
    options = parser.parse_args()
    deploy = Deploy(options.sam, options.region, environment=options.config_env)
    try:
        deploy.check_environment()
        if not options.check:
            deploy.run(app_template())
    except subprocess.CalledProcessError as error:
        return error.returncode
    except JobRunnersError as error:
        _say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
