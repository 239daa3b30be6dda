"""Deploys examples beside a stack on the local AWS: their own templates, with the code that
`sam build` would pack, but copied from this environment and not downloaded."""

import io
import zipfile
from collections.abc import Iterator, Mapping
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from example_apps import EXAMPLES
from job_runners.cli.stack import Stack
from job_runners.places import ROOT
from stack_clients import session

_BUCKET = "examples"


def deploy_example(stack: Stack, name: str, parameters: Mapping[str, str]) -> str:
    """Deploy examples/NAME as a stack of its own; return its function's name."""
    s3 = session(stack).client("s3", endpoint_url=stack.endpoint_url)
    s3.create_bucket(Bucket=_BUCKET)
    s3.put_object(Bucket=_BUCKET, Key=name, Body=_package(EXAMPLES / name))
    template = (EXAMPLES / name / "template.yaml").read_text()
    assert template.count("CodeUri: .\n") == 1
    cloudformation = session(stack).client("cloudformation", endpoint_url=stack.endpoint_url)
    stack_name = name.replace("_", "-")
    cloudformation.create_stack(
        StackName=stack_name,
        TemplateBody=template.replace("CodeUri: .\n", f"CodeUri: s3://{_BUCKET}/{name}\n"),
        Parameters=[
            {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
        ],
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    waiter = cloudformation.get_waiter("stack_create_complete")
    waiter.wait(StackName=stack_name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    (made,) = cloudformation.describe_stacks(StackName=stack_name)["Stacks"]
    outputs = {each["OutputKey"]: each["OutputValue"] for each in made["Outputs"]}
    return outputs["FunctionName"]


def _package(example: Path) -> bytes:
    """Return a zip of an example's modules, the client, and what its requirements.txt names."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for module in example.glob("*.py"):
            archive.write(module, module.name)
        for module in (ROOT / "job_runners").rglob("*.py"):
            archive.write(module, module.relative_to(ROOT))
        lines = (example / "requirements.txt").read_text().splitlines()
        names = {each for each in lines if not each.startswith(("#", "./"))}
        for needed in _with_what_they_need(names):
            for file in distribution(needed).files or ():
                if file.suffix != ".pyc" and ".." not in file.parts:
                    archive.write(str(file.locate()), str(file))
    return packed.getvalue()


def _with_what_they_need(names: set[str]) -> Iterator[str]:
    found: set[str] = set()
    while names:
        name = names.pop()
        found.add(name)
        yield name
        for line in distribution(name).requires or ():
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                names |= {canonicalize_name(needed.name)} - found
