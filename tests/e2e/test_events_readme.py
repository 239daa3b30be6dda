"""The steps of events/README.md, as they are written there, with a Docker that starts nothing.

SAM's own code reads the commands, samconfig.toml and the files, and asks for a container. What the
container would be given is then run under SAM's Runtime Interface Emulator, which is in its image.
The functions are those of the real template, and reach `job-runners run`, as the page says.
"""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from emulated_aws.emulator import stop_group
from fake_docker import FakeDocker, fake_docker
from following import upload_few
from job_runners.building.samconfig import Target
from job_runners.local import run_folder
from job_runners.local.run_folder import credentials
from job_runners.places import ROOT
from local_stack import BRIDGE, Deployed, Local
from runtime_emulator import runtime_emulator

README = (ROOT / "events" / "README.md").read_text()
COMMANDS = re.findall(r"^ *(\.venv-aws/bin/sam local (?:.*\\\n)*.*)$", README, re.MULTILINE)
PATIENCE = 200  # seconds


@dataclass(frozen=True)
class Checkout:
    """A folder like a checkout whose `make run` is up and whose `make build` is done."""

    folder: Path
    docker: FakeDocker
    local: Local
    built: Path  # what a function runs

    def start(self, command: str) -> subprocess.Popen[str]:
        """Run a line of the README, after the line that takes the credentials."""
        mine = {"AWS_ACCESS_KEY_ID": "mine", "AWS_SECRET_ACCESS_KEY": "mine", "AWS_REGION": "eu-x"}
        return subprocess.Popen(
            ["sh", "-c", f". .local/env.sh\nexec {command}"],
            cwd=self.folder,
            env={**os.environ, **mine, "DOCKER_HOST": self.docker.host, "SAM_CLI_TELEMETRY": "0"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def container(self, command: str) -> dict[str, Any]:
        """Return what such a command asks Docker for."""
        process = self.start(command)
        said, _ = process.communicate(timeout=PATIENCE)
        assert self.docker.created, said
        return self.docker.created[-1]


@pytest.fixture
def checkout(local: Local, deployed: Deployed, tmp_path: Path) -> Iterator[Checkout]:
    """One made of this checkout's files, with what `make build` makes and `job-runners run`."""
    for name in ("events", ".venv-aws"):
        (tmp_path / name).symlink_to(ROOT / name)
    config = (ROOT / "samconfig.toml").read_text()
    mine = Target.this_machine()
    for what, value in (("Architecture", mine.architecture), ("PythonRuntime", "python3.13")):
        config = re.sub(rf"{what}=[\w.]+", f"{what}={value}", config)
    (tmp_path / "samconfig.toml").write_text(config)
    (tmp_path / ".local").mkdir()
    run_folder._save_env_files(local.stack, tmp_path / ".local")
    (tmp_path / ".aws-sam").mkdir()
    (tmp_path / ".aws-sam" / "build").symlink_to(deployed.tree.parent)
    with fake_docker() as docker:
        yield Checkout(tmp_path, docker, local, deployed.tree)


def variables(container: dict[str, Any]) -> dict[str, str]:
    """Return the environment that a container is given."""
    return dict(each.split("=", 1) for each in container["Env"])


def check(container: dict[str, Any], local: Local) -> None:
    """Check that it reaches the local AWS, and is let in."""
    assert container["HostConfig"]["ExtraHosts"] == ["host.docker.internal:host-gateway"]
    assert container["Image"].endswith(Target.this_machine().architecture)
    given = variables(container)
    wanted = run_folder.env_variables(local.stack) | credentials(local.stack).variables
    assert {name: given.get(name) for name in wanted} == wanted
    assert given["AWS_REGION"] == given["AWS_DEFAULT_REGION"] == local.stack.region


def test_the_commands_are_found() -> None:
    kinds = [" ".join(shlex.split(each)[1:3]) for each in COMMANDS]
    assert kinds == ["local invoke", "local start-api", "local invoke"]


@pytest.mark.e2e
@pytest.mark.parametrize("command", [each for each in COMMANDS if " invoke " in each])
def test_a_function_is_invoked_where_it_reaches_the_local_aws(
    checkout: Checkout, command: str
) -> None:
    check(checkout.container(command), checkout.local)


@pytest.mark.e2e
def test_the_api_is_started_where_it_reaches_the_local_aws(checkout: Checkout) -> None:
    (command,) = (each for each in COMMANDS if "start-api" in each)
    port = _free_port()  # the README's may be taken here
    process = checkout.start(f"{command} --port {port}")
    try:
        deadline = time.monotonic() + PATIENCE
        while not checkout.docker.created and time.monotonic() < deadline:
            subprocess.run(
                ["curl", "-s", "--max-time", "10", f"http://127.0.0.1:{port}/job-types"],
                check=False,
                capture_output=True,
            )
            time.sleep(0.2)
        assert process.poll() is None
        check(checkout.docker.created[-1], checkout.local)
    finally:
        stop_group(process.pid)
        process.communicate()


@pytest.mark.e2e
@pytest.mark.skipif(not BRIDGE, reason="containers reach loopback here")
def test_what_the_container_is_given_imports_a_file_and_its_url_works_here(
    checkout: Checkout, tmp_path: Path
) -> None:
    upload_few(checkout.local.stack)
    container = checkout.container(COMMANDS[0])
    there = {  # a container's /etc/hosts would say so
        name: value.replace("host.docker.internal", BRIDGE[0])
        for name, value in variables(container).items()
        if not name.startswith(("AWS_LAMBDA_", "AWS_SAM_"))
    }
    (handler,) = re.findall(r"AWS_LAMBDA_FUNCTION_HANDLER=(.*)", "\n".join(container["Env"]))
    began = time.monotonic()
    with runtime_emulator(handler, checkout.built, there, tmp_path / "log") as function:
        for name in ("import", "assign", "first_messages", "export"):
            event = json.loads((ROOT / f"events/api_post_job_{name}.json").read_text())
            accepted = function.invoke(event)
            assert accepted["statusCode"] == 202, accepted
            job_id = json.loads(accepted["body"])["id"]
            job = checkout.local.api.get(f"/jobs/{job_id}").json
            assert job["status"] == "succeeded", job
        shown = function.invoke(_get_job(job_id))
    assert time.monotonic() - began < 29 * 4
    url = json.loads(shown["body"])["result"]["url"]
    assert BRIDGE[0] in url
    said = _curl_of_the_readme(url)
    assert said.startswith("\ufefffirst_name") or "first_name" in said.splitlines()[0], said


def _get_job(job_id: str) -> dict[str, Any]:
    event = json.loads((ROOT / "events/api_get_job_unknown.json").read_text())
    unknown = event["rawPath"].rsplit("/", 1)[1]
    found: dict[str, Any] = json.loads(json.dumps(event).replace(unknown, job_id))
    return found


def _curl_of_the_readme(url: str) -> str:
    (line,) = re.findall(r"^ *(curl --connect-to .*)'URL'$", README, re.MULTILINE)
    done = subprocess.run(
        [*shlex.split(line), "-s", url], capture_output=True, text=True, check=True
    )
    return done.stdout


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_what_make_build_is_told_on_an_x86_machine_is_what_it_reads() -> None:
    assert "make\n   build BUILD_FOR=machine" in README or "make build BUILD_FOR=machine" in README
    make = shutil.which("make")
    assert make
    shown = subprocess.run(
        [make, "--dry-run", "build-ApiFunction", "BUILD_FOR=machine", "ARTIFACTS_DIR=x"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "--for machine" in shown


_ROUTES = """
from samcli.lib.providers.api_provider import ApiProvider
from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider

stacks, _ = SamLocalStackProvider.get_stacks(template_file="template.yaml")
for route in ApiProvider(stacks).api.routes:
    print("route", route.path, route.function_name)
"""


def test_sam_local_start_api_finds_the_function_behind_each_route() -> None:
    """It knows an alias in few forms, and calls nothing where it does not."""
    shown = subprocess.run(
        [ROOT / ".venv-aws/bin/python", "-c", _ROUTES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    found = {tuple(line.split()[1:]) for line in shown.stdout.splitlines() if "route" in line}
    # It ignores conditions, and so also finds the route for tokens, $default.
    paths = ("/", "/health", "/assets/{proxy+}", "/answers/{token}", "/{proxy+}", "$default")
    assert found == {(path, "ApiFunction") for path in paths}, shown.stderr
