"""Build the real template, and deploy it to the emulator with sam, as you would to AWS."""

import hashlib
import io
import json
import os
import re
import sys
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from emulated_aws.emulator import Emulator, start_group, stop_group, tool, tool_environment
from job_runners.building.deploy import AppStack, outputs_for_our_template
from job_runners.building.sam_folder import write_sam_folder
from job_runners.building.samconfig import Target
from job_runners.cli.local_aws import REGION
from job_runners.cli.stack import Stack
from job_runners.cli.target import configured_name
from job_runners.local.options import LocalProblem
from job_runners.local.run_folder import Credentials
from job_runners.places import ROOT
from stack_clients import session

# The same name as on AWS, so that a product calls both stacks with the same code.
STACK_NAME = configured_name() or "job-runners"
_DEPLOYS_BUCKET = "deploys"
_BUILT_FUNCTION = "ApiFunction"  # the only function that is built; all functions run its code
BUILT = Path("build", _BUILT_FUNCTION)  # the built code, relative to the folder of a run
_CODE = re.compile(r"^( *CodeUri: ).*$", re.MULTILINE)


def build(emulator: Emulator, home: Path, template: Path | None = None) -> Path:
    """Build the functions for this machine. Return the folder of the built template, in `home`.

    `template` is that of a project with a folder for sam. By default it is ours.

    All functions run the same code, so it is built, zipped and stored only once. sam would do this
    again for each function, which would take most of the time of a local deploy.
    """
    built = home / "build"
    arguments = [
        "build",
        _BUILT_FUNCTION,
        "--template",
        str(template or write_sam_folder() / "template.yaml"),
        "--build-in-source",
    ]
    arguments += ["--build-dir", str(built), "--parameter-overrides"]
    arguments += Target.this_machine().parameter_overrides
    _sam(arguments, home, "build", emulator.credentials)
    written = built / "template.yaml"
    written.write_text(_with_code(written, _BUILT_FUNCTION))
    return built


def _with_code(template: Path, location: str) -> str:
    """Return the template with `location` as the code of every function."""
    return _CODE.sub(rf"\g<1>{location}", template.read_text())


def _store(s3: Any, tree: Path) -> str:
    """Put a zip of the tree into the bucket. Return its key, which is a hash of the zip."""
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        for path in sorted(path for path in tree.rglob("*") if path.is_file()):
            # Entries get no modification time, so that equal trees give equal zips.
            entry = zipfile.ZipInfo(str(path.relative_to(tree)))
            entry.external_attr = path.stat().st_mode << 16
            archive.writestr(entry, path.read_bytes())
    key = f"{hashlib.sha256(zipped.getbuffer()).hexdigest()}.zip"
    s3.put_object(Bucket=_DEPLOYS_BUCKET, Key=key, Body=zipped.getvalue())
    return key


def deploy(
    emulator: Emulator,
    home: Path,
    built: Path,
    parameters: Mapping[str, str],
    app_template: Path | None = None,
) -> Stack:
    """Deploy the build. `parameters` override the template's.

    If the app has a template, its own stack is deployed first, as in `job-runners deploy`.
    """
    s3 = session(emulator.credentials).client("s3", endpoint_url=emulator.endpoint_url)
    s3.create_bucket(Bucket=_DEPLOYS_BUCKET)
    own: dict[str, str] = {}
    if app_template is not None:
        own = _deploy_app(emulator, home, app_template)
        taken = outputs_for_our_template(own, built / "template.yaml", parameters)
        parameters = {**taken, **parameters}
    given = {"DeletionProtection": "false", "AwsEndpointUrl": emulator.endpoint_url, **parameters}
    overrides = [f"{name}={value}" for name, value in given.items()]
    packaged = built / "packaged.yaml"
    code = f"s3://{_DEPLOYS_BUCKET}/{_store(s3, built / _BUILT_FUNCTION)}"
    packaged.write_text(_with_code(built / "template.yaml", code))
    arguments = ["deploy", "--template", str(packaged), "--stack-name", STACK_NAME]
    arguments += ["--s3-bucket", _DEPLOYS_BUCKET, "--capabilities", "CAPABILITY_IAM"]
    arguments += ["--no-confirm-changeset", "--no-progressbar"]
    # A test may deploy the same template twice.
    arguments += ["--no-fail-on-empty-changeset", "--parameter-overrides"]
    arguments += [*Target.this_machine().parameter_overrides, *overrides]
    endpoint = {"AWS_ENDPOINT_URL": emulator.endpoint_url}
    _sam(arguments, home, "deploy", emulator.credentials, **endpoint)
    return replace(stack_of(emulator, STACK_NAME), own_outputs=own)


def stack_of(emulator: Emulator, name: str) -> Stack:
    """Return a stack that is deployed."""
    (stack,) = _cloudformation(emulator).describe_stacks(StackName=name)["Stacks"]
    outputs = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
    return replace(
        Stack.from_outputs(name, REGION, outputs, emulator.endpoint_url),
        aws_access_key_id=emulator.credentials.access_key_id,
        aws_secret_access_key=emulator.credentials.secret_access_key,
    )


def _deploy_app(emulator: Emulator, home: Path, template: Path) -> dict[str, str]:
    """Deploy the app's own stack, and return its outputs."""

    def sam(arguments: Sequence[str]) -> None:
        endpoint = {"AWS_ENDPOINT_URL": emulator.endpoint_url}
        _sam(arguments, home, f"app-{arguments[0]}", emulator.credentials, **endpoint)

    app = AppStack(template, STACK_NAME)
    artifacts = ["--s3-bucket", _DEPLOYS_BUCKET, "--region", REGION]
    return app.deploy(sam, _cloudformation(emulator), home / "app-build", artifacts)


def _cloudformation(emulator: Emulator) -> Any:
    aws = session(emulator.credentials)
    return aws.client("cloudformation", endpoint_url=emulator.endpoint_url)


def _sam(
    arguments: Sequence[str], home: Path, step: str, credentials: Credentials, **more: str
) -> None:
    """Run sam with its output in a log. If it fails, raise LocalProblem with the end of the log."""
    # sam would ask the package index for its newest version, for 5 seconds without a network.
    checked = home / "sam" / "metadata.json"
    checked.parent.mkdir(exist_ok=True)
    checked.write_text(json.dumps({"lastVersionCheck": time.time()}))
    environment = tool_environment(home, credentials) | more
    environment |= {
        "BUILD_FOR": "machine",  # read by the Makefile, which sam build calls
        "SAM_CLI_TELEMETRY": "0",
        "JOBS_PYTHON": sys.executable,
        "SAM_CLI_POLL_DELAY": "0.3",
        "__SAM_CLI_APP_DIR": str(home / "sam"),
        "PATH": f"{tool('sam').parent}{os.pathsep}{environment['PATH']}",
    }
    log = home / f"sam-{step}.log"
    with log.open("wb") as output:
        process = start_group([str(tool("sam")), *arguments], environment, ROOT, output)
        try:
            code = process.wait()
        finally:
            stop_group(process.pid, process)
    if code != 0:
        text = log.read_text(errors="replace").strip()
        raise LocalProblem(
            _why_not_built(text) or f"sam {step} failed. Its last output:\n{text[-3000:]}"
        )


def _why_not_built(text: str) -> str | None:
    """Return the reason that our build gave for failing, without the output of sam and make."""
    _, _, reason = text.partition("Make Failed: ")
    lines = [line for line in reason.splitlines() if not line.startswith("make")]
    return "\n".join(["The functions can't be built.", *lines]) if lines else None
