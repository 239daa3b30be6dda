"""A deployed project goes to the next version of Job Runners and back, while jobs run and wait."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from deployed_versions import DeployedVersions
from emulated_aws.emulator import emulator
from emulated_aws.emulator_fixes import restore_settings
from job_runners import __version__, clock
from job_runners.building.target import Target
from job_runners.cli.stack import Stack
from local_stack import Local, roomy_home
from newcomers import NEXT, Newcomer, new_newcomer
from stack_clients import session

# It starts a local AWS of its own: next to the one that most tests share, and not next to a third.
# Each deploy builds for AWS, three times.
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.more,
    pytest.mark.xdist_group("local AWS, enforcing"),
    pytest.mark.timeout(900),
]

STACK_NAME = "lists"
WORK = """
import time
from pathlib import Path

from job_runners import __version__
from job_runners.work import Job, RunningJob
from pydantic import BaseModel

class Letter(BaseModel):
    wait_for: str = ""

def letter(job: RunningJob, payload: Letter) -> dict[str, str]:
    while payload.wait_for and not Path(payload.wait_for).exists():
        time.sleep(0.02)
    return {"by": __version__}

JOBS = {"letter": Job(letter)}
"""


@pytest.fixture(scope="module")
def versions() -> Iterator[DeployedVersions]:
    """Yield a local AWS without a stack."""
    with roomy_home() as home, emulator(home) as running:
        yield DeployedVersions(running, home)


@pytest.fixture(scope="module")
def project(
    wheel: Path, versions: DeployedVersions, tmp_path_factory: pytest.TempPathFactory
) -> Newcomer:
    """Deploy a new project from the environment of the wheel."""
    folder = tmp_path_factory.mktemp("newcomer")
    newcomer = new_newcomer(wheel, folder)
    newcomer.jobs("init", STACK_NAME)
    person = newcomer.inside(STACK_NAME)
    (person.folder / STACK_NAME / "__init__.py").write_text(WORK)
    config = person.folder / "samconfig.toml"
    ours = f'"DeletionProtection=false", "AwsEndpointUrl={versions.running.endpoint_url}"'
    architecture = f"Architecture={Target.this_machine().architecture}"
    text = config.read_text().replace("Architecture=arm64", architecture)
    config.write_text(text.replace("overrides = [", f"overrides = [{ours}, "))
    assert ours in config.read_text()
    aws = {
        **versions.running.credentials.variables,
        "AWS_ENDPOINT_URL": versions.running.endpoint_url,
        "AWS_REGION": "us-east-1",
        "SAM_CLI_POLL_DELAY": "0.3",
        "__SAM_CLI_APP_DIR": str(folder / "sam"),
    }
    project = replace(person, variables=aws)
    deploy(project, versions)
    return project


def deploy(project: Newcomer, versions: DeployedVersions) -> None:
    project.jobs("deploy", timeout=600)
    running = versions.running
    aws = session(running.credentials)
    cloudformation = aws.client("cloudformation", endpoint_url=running.endpoint_url)
    (found,) = cloudformation.describe_stacks(StackName=STACK_NAME)["Stacks"]
    outputs = {each["OutputKey"]: each["OutputValue"] for each in found["Outputs"]}
    stack = replace(
        Stack.from_outputs(STACK_NAME, "us-east-1", outputs, running.endpoint_url),
        aws_access_key_id=running.credentials.access_key_id,
        aws_secret_access_key=running.credentials.secret_access_key,
    )
    restore_settings(stack)
    versions.local = Local(stack, project.folder)


def in_flight(versions: DeployedVersions, go: Path) -> tuple[str, str]:
    """Return a job that runs until the file is there, and one that waits for an hour."""
    running = versions.dispatch("letter", {"wait_for": str(go)})
    versions.wait_until(running, "running")
    return running, versions.dispatch("letter", delay=3600)


def by(versions: DeployedVersions, job_id: str) -> str:
    return str(versions.ended(job_id)["result"]["by"])


def check_deploy(
    project: Newcomer, versions: DeployedVersions, go: Path, wanted: Path, old: str, new: str
) -> None:
    """Deploy while jobs run and wait: the running job ends on the version that it began on."""
    running, scheduled = in_flight(versions, go)
    table = versions.local.stack.table_name
    project.add_wheel(wanted)
    deploy(project, versions)
    assert versions.local.stack.table_name == table  # it is the same stack
    go.touch()
    assert by(versions, running) == old
    versions.as_if_earlier(scheduled, clock.HOUR)
    assert by(versions, scheduled) == new


def test_it_goes_to_the_next_version(
    versions: DeployedVersions, project: Newcomer, next_wheel: Path, tmp_path: Path
) -> None:
    done = project.jobs("dispatch", "letter", "--watch", "--stack", STACK_NAME)
    assert "succeeded" in done
    check_deploy(project, versions, tmp_path / "go", next_wheel, __version__, NEXT)


def test_it_goes_back(
    versions: DeployedVersions, project: Newcomer, wheel: Path, tmp_path: Path
) -> None:
    check_deploy(project, versions, tmp_path / "go", wheel, NEXT, __version__)
