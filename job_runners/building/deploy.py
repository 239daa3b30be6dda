"""Deploy the app's own stack, if the app has a template, and then ours.

This is the last step of make deploy. Usage, after `sam build`: python -m
job_runners.building.deploy --region REGION [--sam PATH]. The template is app/template.yaml, or
template.yaml in the folder that APP names.
"""

import argparse
import os
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import boto3

from job_runners.building.app_folder import UnusableAppFolder, find_app_folder
from job_runners.building.app_stack import AppStack, handed_over, overrides, overrides_option
from job_runners.building.build import ROOT
from job_runners.building.code_size import CodeTooLarge, check_size
from job_runners.building.environments import tools_folder


@dataclass(frozen=True)
class Deploy:
    """The files of a deploy: `built` is our built template, and `app_folder` the app's build."""

    sam: Path
    region: str
    config: Path = ROOT / "samconfig.toml"
    built: Path = ROOT / ".aws-sam" / "build" / "template.yaml"
    app_folder: Path = ROOT / ".aws-sam" / "app"

    def run(self, app_template: Path | None) -> None:
        """Deploy the stack of `app_template`, if there is one, and then the Job Runners stack.

        Raises CalledProcessError if sam fails (sam has printed the reason), and CodeTooLarge.
        """
        for function in self.built.parent.glob("*Function"):
            if warning := check_size(function):
                _say(warning)
                break  # all functions have the same code
        given = self._deploy_app(app_template) if app_template else []
        arguments = ["--template-file", str(self.built), "--config-file", str(self.config)]
        self._run(["deploy", *arguments, *overrides_option(given)])
        if endpoint_url := os.environ.get("AWS_ENDPOINT_URL"):
            _say(f"Deployed to the AWS at {endpoint_url} (AWS_ENDPOINT_URL), not to your account")

    def _deploy_app(self, template: Path) -> list[str]:
        """Deploy the app's stack, and return the parameters for our stack.

        If our stack uses none of its outputs, the list is empty. sam then takes the parameters from
        samconfig.toml.
        """
        config = tomllib.loads(self.config.read_text())
        app = AppStack(template, config["default"]["global"]["parameters"]["stack_name"])
        _say(f"Deploying {template} as {app.name} first")
        cloudformation = boto3.Session(region_name=self.region).client("cloudformation")
        outputs = app.deploy(self._run, cloudformation, self.app_folder, ["--resolve-s3"])
        own = overrides(config)
        configured = dict(each.partition("=")[::2] for each in own)
        for name in sorted(configured.keys() & outputs.keys()):
            used, other = configured[name], outputs[name]
            _say(f"Using {name}={used} from samconfig.toml, not {other} from {app.name}")
        found = handed_over(outputs, self.built, configured)
        for name, value in found.items():
            _say(f"Using {name}={value} from {app.name}")
        return own + [f'{name}="{value}"' for name, value in found.items()] if found else []

    def _run(self, arguments: Sequence[str]) -> None:
        # The tools that build the app's own functions are in sam's folder.
        path = f"{self.sam.absolute().parent}{os.pathsep}{os.environ['PATH']}"
        subprocess.run(
            [str(self.sam), *arguments, "--region", self.region],
            cwd=ROOT,
            env={"SAM_CLI_TELEMETRY": "0", **os.environ, "PATH": path},
            check=True,
        )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def app_template() -> Path | None:
    """Return the app's template, or None if there is none. Raises UnusableAppFolder."""
    folder = find_app_folder()
    return folder.template if folder and folder.template.is_file() else None


def main() -> int:
    """Deploy. Return 0, sam's exit code if it fails, or 1 if the app's folder can't be used."""
    arguments = argparse.ArgumentParser(
        prog="python -m job_runners.building.deploy", description=__doc__
    )
    arguments.add_argument("--region", required=True)
    arguments.add_argument("--sam", type=Path, default=tools_folder() / "sam")
    given = arguments.parse_args()
    try:
        Deploy(given.sam, given.region).run(app_template())
    except subprocess.CalledProcessError as failed:
        return failed.returncode
    except (CodeTooLarge, UnusableAppFolder) as error:
        _say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
