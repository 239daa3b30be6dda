"""make deploy's last step: deploys the organisation's own stack, if it has a template, then ours.

Usage: python -m tools.deploy --region REGION --sam PATH, once `sam build` is done.

The organisation's stack comes first, because ours is given what it outputs: an output that is named
like a parameter of our template is that parameter's value, such as WorkerPolicyArn.
"""

import argparse
import os
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import yaml

from tools.build import ROOT

SUFFIX = "-app"  # of the name of the organisation's stack
# What an organisation's template may ask for, to be told the name of the stack its work runs in.
STACK_NAME_PARAMETER = "JobsStackName"


class _Loader(yaml.SafeLoader):  # type: ignore[misc] # yaml has no types
    """Reads a template for its names: what CloudFormation's functions stand for is left out."""


_Loader.add_multi_constructor("!", lambda _loader, _tag, _node: None)


@dataclass(frozen=True)
class Deploy:
    """How to deploy. `built` and `app_built` are where `sam build` leaves templates."""

    sam: Path
    region: str
    config: Path = ROOT / "samconfig.toml"
    built: Path = ROOT / ".aws-sam" / "build" / "template.yaml"
    app_built: Path = ROOT / ".aws-sam" / "app"

    def run(self, app_template: Path | None) -> None:
        """Deploy the stack of this template, if there is one, then ours.

        Raises CalledProcessError when sam fails, which has said why.
        """
        config = tomllib.loads(self.config.read_text())
        given: list[str] = []
        if app_template is not None:
            name: str = config["default"]["global"]["parameters"]["stack_name"]
            outputs = self._deploy_app(app_template, name)
            own = _overrides(config)
            handed_over = _handed_over(outputs, parameters(self.built), own, name + SUFFIX)
            given = own + handed_over if handed_over else []
        arguments = ["--template-file", str(self.built), "--config-file", str(self.config)]
        self._sam("deploy", *arguments, *_option(given))

    def _deploy_app(self, template: Path, name: str) -> dict[str, str]:
        """Build and deploy the organisation's stack; return its outputs."""
        own_config = template.with_name("samconfig.toml")
        config = ["--config-file", str(own_config)] if own_config.exists() else []
        asked = [STACK_NAME_PARAMETER] if STACK_NAME_PARAMETER in parameters(template) else []
        given = [f"{each}={name}" for each in asked]
        if given and config:
            given += _overrides(tomllib.loads(own_config.read_text()))
        _say(f"Deploying {template} as {name}{SUFFIX}, which comes first")
        self._sam("build", "--template-file", template, "--build-dir", self.app_built, *config)
        built = ["--template-file", str(self.app_built / "template.yaml")]
        built += ["--stack-name", name + SUFFIX]
        options = ["--resolve-s3", "--no-confirm-changeset", "--no-fail-on-empty-changeset"]
        options += ["--s3-prefix", name + SUFFIX, "--capabilities", "CAPABILITY_NAMED_IAM"]
        self._sam("deploy", *built, *options, *config, *_option(given))
        client = boto3.Session(region_name=self.region).client("cloudformation")
        (stack,) = client.describe_stacks(StackName=name + SUFFIX)["Stacks"]
        return {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}

    def _sam(self, command: str, *arguments: str | Path) -> None:
        words = [str(self.sam), command, "--region", self.region, *map(str, arguments)]
        # What an organisation's functions are built with is where sam is.
        path = f"{self.sam.absolute().parent}{os.pathsep}{os.environ['PATH']}"
        subprocess.run(words, cwd=ROOT, env={**os.environ, "PATH": path}, check=True)


def parameters(template: Path) -> set[str]:
    """Return the names of a template's parameters."""
    read: Any = yaml.load(template.read_text(), _Loader)  # noqa: S506 - it is a SafeLoader
    return set(read.get("Parameters") or {})


def _overrides(config: Mapping[str, Any]) -> list[str]:
    """Return the parameters that a samconfig gives a deploy, as sam's option takes them."""
    found: list[str] = []
    for section in ("global", "deploy"):
        own = config.get("default", {}).get(section, {}).get("parameters", {})
        match own.get("parameter_overrides", []):
            case str(text):
                found += text.split()
            case dict(pairs):
                found += [f"{name}={value}" for name, value in pairs.items()]
            case listed:
                found += listed
    return found


def _handed_over(
    outputs: Mapping[str, str], known: set[str], own: Sequence[str], stack: str
) -> list[str]:
    """Return the outputs that are parameters of our template and that samconfig does not give."""
    said = dict(each.partition("=")[::2] for each in own)
    found: list[str] = []
    for name in sorted(known & outputs.keys()):
        if name in said:
            _say(f"{name} is {said[name]}, as samconfig.toml says; {stack} has {outputs[name]}")
        elif outputs[name]:  # sam takes no empty value
            _say(f"{name} is {outputs[name]}, of {stack}")
            found.append(f'{name}="{outputs[name]}"')
    return found


def _option(given: Sequence[str]) -> list[str]:
    """Return sam's option for parameters. It replaces what the configuration file says of them."""
    return ["--parameter-overrides", *given] if given else []


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Deploy; return what sam returned, or 0."""
    arguments = argparse.ArgumentParser(prog="python -m tools.deploy", description=__doc__)
    arguments.add_argument("--region", required=True)
    arguments.add_argument("--sam", type=Path, required=True)
    given = arguments.parse_args()
    try:
        Deploy(given.sam, given.region).run(_app_template())
    except subprocess.CalledProcessError as failed:
        return failed.returncode
    return 0


def _app_template() -> Path | None:
    found = ROOT / "app" / "template.yaml"
    return found if found.exists() else None


if __name__ == "__main__":
    sys.exit(main())
