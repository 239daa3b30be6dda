"""A stack of 0.2.0 becomes that of a project, which goes to the next version and back, while jobs
run and wait."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app_of_0_2 import FILES, checkout_of_0_2
from deployed_versions import DeployedVersions
from job_runners import __version__, clock
from job_runners.cli.stack import Stack
from job_runners.local.deploy import STACK_NAME
from job_runners.local.emulator import emulator
from job_runners.local.emulator_fixes import restore_settings
from job_runners.settings import APP_PACKAGES_FILE
from local_stack import Local, roomy_home
from newcomers import NEXT, Newcomer, new_newcomer

# It starts a local AWS of its own: next to the one that most tests share, and not next to a third.
# Each deploy builds for AWS, four times.
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.more,
    pytest.mark.xdist_group("local AWS, enforcing"),
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def versions() -> Iterator[DeployedVersions]:
    """Yield a local AWS with a stack of 0.2.0."""
    work = {name: text for name, text in FILES.items() if name.startswith("acme/")}
    with roomy_home() as home, emulator(home) as running:
        found = DeployedVersions(running, home)
        found.deploy_release("0.2.0", {APP_PACKAGES_FILE: "acme\n", **work})
        yield found


@pytest.fixture(scope="module")
def project(
    wheel: Path, versions: DeployedVersions, tmp_path_factory: pytest.TempPathFactory
) -> Newcomer:
    """Adopt the app of 0.2.0 in the environment of the wheel, with an AWS to deploy to."""
    folder = tmp_path_factory.mktemp("newcomer")
    checkout = checkout_of_0_2(folder / "checkout", STACK_NAME)
    newcomer = new_newcomer(wheel, folder)
    newcomer.jobs("adopt", str(checkout / "app"), "lists")
    person = newcomer.inside("lists")
    config = person.folder / "samconfig.toml"
    ours = f'"DeletionProtection=false", "AwsEndpointUrl={versions.running.endpoint_url}"'
    text = config.read_text()
    config.write_text(text.replace('"WorkerTimeout=600",', f'"WorkerTimeout=600", {ours},'))
    aws = {
        **versions.running.credentials.variables,
        "AWS_ENDPOINT_URL": versions.running.endpoint_url,
        "AWS_REGION": "us-east-1",
        "SAM_CLI_POLL_DELAY": "0.3",
        "__SAM_CLI_APP_DIR": str(folder / "sam"),
    }
    return replace(person, variables=aws)


def deploy(project: Newcomer, versions: DeployedVersions) -> None:
    project.jobs("deploy", timeout=600)
    cloudformation = versions.client("cloudformation")
    (found,) = cloudformation.describe_stacks(StackName=STACK_NAME)["Stacks"]
    outputs = {each["OutputKey"]: each["OutputValue"] for each in found["Outputs"]}
    stack = replace(
        Stack.from_outputs(STACK_NAME, "us-east-1", outputs, versions.running.endpoint_url),
        aws_access_key_id=versions.local.stack.aws_access_key_id,
        aws_secret_access_key=versions.local.stack.aws_secret_access_key,
    )
    assert stack.table_name == versions.local.stack.table_name  # it is the same stack
    restore_settings(stack)
    versions.local = Local(stack, versions.local.tree)


def in_flight(versions: DeployedVersions, go: Path) -> tuple[str, str]:
    """Return a job that runs until the file is there, and one that waits for an hour."""
    running = versions.dispatch("letter", {"wait_for": str(go)})
    versions.wait_until(running, "running")
    return running, versions.dispatch("letter", delay=3600)


def by(versions: DeployedVersions, job_id: str) -> str:
    return str(versions.ended(job_id)["result"]["by"])


def check_deploy(
    project: Newcomer, versions: DeployedVersions, go: Path, old: str, new: str, wanted: Path | None
) -> None:
    """Deploy while jobs run and wait: the running job ends on the version that it began on."""
    running, scheduled = in_flight(versions, go)
    if wanted:
        project.jobs("upgrade", str(wanted))
    deploy(project, versions)
    go.touch()
    assert by(versions, running) == old
    versions.as_if_earlier(scheduled, clock.HOUR)
    assert by(versions, scheduled) == new


def test_a_stack_of_0_2_0_becomes_that_of_the_adopted_project(
    versions: DeployedVersions, project: Newcomer, tmp_path: Path
) -> None:
    check_deploy(project, versions, tmp_path / "go", "old", __version__, None)
    done = project.jobs("dispatch", "count", "--watch", "--stack", STACK_NAME)
    assert "succeeded" in done


def test_it_goes_to_the_next_version(
    versions: DeployedVersions, project: Newcomer, next_wheel: Path, tmp_path: Path
) -> None:
    check_deploy(project, versions, tmp_path / "go", __version__, NEXT, next_wheel)


def test_it_goes_back(
    versions: DeployedVersions, project: Newcomer, wheel: Path, tmp_path: Path
) -> None:
    check_deploy(project, versions, tmp_path / "go", NEXT, __version__, wheel)
