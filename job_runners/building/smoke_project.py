"""Write the project that `job-runners smoke` deploys to test an AWS account.

It uses the target, the permissions boundary and the code bucket of the samconfig.toml in the
project or checkout where the command runs.
"""

import os
import re
import shutil
from pathlib import Path

from job_runners.building.new_job import fill_template
from job_runners.building.samconfig import SAMCONFIG, SamConfig, Target
from job_runners.building.smoke_work import MEMORY_MB, TIMEOUT
from job_runners.settings import BUILD_ID_FILE

TAG = "job-runners-smoke"  # the stack's. `job-runners smoke --remove` removes only tagged stacks
_WORK = Path(__file__).with_name("smoke_work.py")


def write(folder: Path, stack: str, samconfig: Path = SAMCONFIG) -> None:
    """Write the project into an existing folder. `stack` is its stack's name.

    Raises BuildProblem.
    """
    target = Target.from_samconfig(samconfig)
    config = SamConfig(samconfig)
    parameters = [*target.parameter_overrides, "DeletionProtection=false"]
    if boundary := config.values().get("PermissionsBoundary"):
        parameters.append(f"PermissionsBoundary={boundary}")
    bucket = config.parameters("default", "deploy").get("s3_bucket")
    if url := os.environ.get("AWS_ENDPOINT_URL"):  # an emulator, which the functions call too
        parameters.append(f"AwsEndpointUrl={url}")
    text = fill_template("samconfig.toml.in", {"name": stack, "python": target.python})
    listing = ", ".join(f'"{parameter}"' for parameter in parameters)
    text = re.sub(r"(?<=parameter_overrides = \[).*(?=\])", lambda _: listing, text)
    text = text.replace("confirm_changeset", f'tags = "{TAG}=true"\nconfirm_changeset')
    if bucket:
        text = text.replace("resolve_s3 = true", f's3_bucket = "{bucket}"')
    (folder / "samconfig.toml").write_text(text)
    (folder / "app.toml").write_text(
        f"[workers.small]\nmemory = {MEMORY_MB}\ntimeout = {TIMEOUT}\n"
    )
    package = folder / "smoke_work"
    package.mkdir()
    shutil.copyfile(_WORK, package / "__init__.py")


def build_id(folder: Path) -> str:
    """Return the id of the project's build, which is the same for all of its functions."""
    file = next((folder / ".aws-sam" / "build").glob(f"*Function/{BUILD_ID_FILE}"))
    return file.read_text(encoding="ascii").strip()
