"""The organisation's own stack: what app/template.yaml makes, and what ours is given of it.

It is deployed before ours, because ours is given what it outputs: an output that is named like a
parameter of our template is that parameter's value, such as WorkerPolicyArn.
"""

import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

# A parameter that an organisation's template may have: the name of the stack its work runs in.
OUR_STACK_NAME = "JobsStackName"

Sam = Callable[[Sequence[str]], None]  # runs sam with these arguments, or raises


class _Loader(yaml.SafeLoader):  # type: ignore[misc] # yaml has no types
    """Reads a template for its names: what CloudFormation's functions stand for is left out."""


_Loader.add_multi_constructor("!", lambda _loader, _tag, _node: None)


@dataclass(frozen=True)
class AppStack:
    """A template of the organisation's, beside the stack of ours that its work runs in."""

    template: Path
    our_name: str

    @property
    def name(self) -> str:
        """What it is deployed as."""
        return f"{self.our_name}-app"

    def deploy(
        self, sam: Sam, cloudformation: Any, folder: Path, artefacts: Sequence[str]
    ) -> dict[str, str]:
        """Build it into `folder` and deploy it; return its outputs.

        `artefacts` are sam's options for where what is built goes. What a samconfig.toml beside the
        template says, sam follows.
        """
        config = self.template.with_name("samconfig.toml")
        given = ["--config-file", str(config)] if config.exists() else []
        sam(["build", "--template-file", str(self.template), "--build-dir", str(folder), *given])
        given += ["--template-file", str(folder / "template.yaml"), "--stack-name", self.name]
        given += [*artefacts, "--s3-prefix", self.name, "--capabilities", "CAPABILITY_NAMED_IAM"]
        given += ["--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar"]
        if OUR_STACK_NAME in parameters(self.template):
            said = overrides(tomllib.loads(config.read_text())) if config.exists() else []
            given += option([f"{OUR_STACK_NAME}={self.our_name}", *said])
        sam(["deploy", *given])
        (stack,) = cloudformation.describe_stacks(StackName=self.name)["Stacks"]
        return {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}


def handed_over(
    outputs: Mapping[str, str], our_template: Path, said: Collection[str]
) -> dict[str, str]:
    """Return the outputs that are parameters of our template, but for those `said` elsewhere."""
    known = parameters(our_template)
    return {
        name: value
        for name, value in sorted(outputs.items())
        if name in known and name not in said and value  # sam takes no empty value
    }


def parameters(template: Path) -> set[str]:
    """Return the names of a template's parameters."""
    read: Any = yaml.load(template.read_text(), _Loader)  # noqa: S506 - it is a SafeLoader
    return set(read.get("Parameters") or {})


def overrides(config: Mapping[str, Any]) -> list[str]:
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


def option(given: Sequence[str]) -> list[str]:
    """Return sam's option for parameters. It replaces what the configuration file says of them."""
    return ["--parameter-overrides", *given] if given else []
