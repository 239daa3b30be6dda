"""make deploy: the organisation's stack first, then ours with what that outputs."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.client import BaseClient

from job_runners.building import deploy
from job_runners.building.app_folder import BuildProblem
from job_runners.building.deploy import (
    Deploy,
    app_template,
    main,
)
from job_runners.building.template_file import parameter_names
from job_runners.places import ROOT

REGION = "us-east-1"
POLICY = "arn:aws:iam::123456789012:policy/letters"
APP = "Resources: {}\nOutputs: {}\n"
CONFIG = """
[default.global.parameters]
stack_name = "ours"
parameter_overrides = ["Architecture=arm64", "PythonRuntime=python3.13"{more}]
"""
FAKE_SAM = """#!{python}
import json, pathlib, sys
here = pathlib.Path(__file__).parent
with (here / "calls").open("a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
sys.exit(int((here / "code").read_text()) if sys.argv[1] == "deploy" else 0)
"""


class World:
    """A sam that records what it is asked, and an account with what an app's stack outputs."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch
        self.folder = folder
        self.app = folder / "app" / "own.template.yaml"
        self.app.parent.mkdir()
        self.app.write_text(APP)
        sam = folder / "sam"
        sam.write_text(FAKE_SAM.format(python=sys.executable))
        sam.chmod(0o755)
        (folder / "code").write_text("0")
        self.config = folder / "samconfig.toml"
        self.says()
        self.deployed = {"WorkerClasses": ""}  # the outputs of our own stack
        self.outputs()
        self.deploy = Deploy(
            sam, REGION, self.config, ROOT / "template.yaml", folder / "build" / "app"
        )

    def says(self, *more: str) -> None:
        """Have samconfig.toml give these parameters too."""
        self.config.write_text(CONFIG.format(more="".join(f", {each!r}" for each in more)))

    def outputs(self, **given: str) -> None:
        """Have the app's stack output these."""
        outputs = [{"OutputKey": name, "OutputValue": value} for name, value in given.items()]

        def call(_: BaseClient, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
            assert operation == "DescribeStacks"
            if asked == {"StackName": "ours"}:
                own = [{"OutputKey": key, "OutputValue": it} for key, it in self.deployed.items()]
                return {"Stacks": [{"Outputs": own}]}
            assert asked == {"StackName": "ours-app"}
            return {"Stacks": [{"Outputs": outputs} if outputs else {}]}

        self._patch.setattr(BaseClient, "_make_api_call", call)

    @property
    def calls(self) -> list[list[str]]:
        """What sam was asked, in order."""
        file = self.folder / "calls"
        return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Return one where nothing is deployed."""
    return World(tmp_path, monkeypatch)


def overrides(call: list[str]) -> list[str]:
    """Return the parameters that a call gives on its command line."""
    if "--parameter-overrides" not in call:
        return []
    return call[call.index("--parameter-overrides") + 1 : call.index("--region")]


def test_without_a_template_of_the_organisation_ours_alone_is_deployed(world: World) -> None:
    world.deploy.run(None)
    (call,) = world.calls
    assert (call[0], call[-2:]) == ("deploy", ["--region", REGION])
    assert str(world.config) in call
    assert overrides(call) == []  # those of samconfig.toml, which sam reads


def test_a_deploy_warns_before_it_deletes_worker_classes(
    world: World, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deploy, "ROOT", world.folder)
    (world.folder / "app.toml").write_text("[workers.tiny]\n")
    world.deployed["WorkerClasses"] = "large,tiny"
    world.deploy.run(None)
    assert "This deploy deletes the worker classes large. Tasks" in capfd.readouterr().err
    world.deployed["WorkerClasses"] = "tiny"
    world.deploy.run(None)
    assert "deletes" not in capfd.readouterr().err


def test_the_organisations_stack_is_first_and_its_outputs_are_our_parameters(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    world.outputs(WorkerPolicyArn=POLICY, JobRunner="acme.runner", BucketName="letters")
    world.deploy.run(world.app)
    build, app, ours = world.calls
    assert build[0] == "build"
    assert str(world.app) in build
    assert app[app.index("--stack-name") + 1] == "ours-app"
    assert overrides(app) == []
    assert overrides(ours) == [
        "Architecture=arm64",
        "PythonRuntime=python3.13",
        'JobRunner="acme.runner"',
        f'WorkerPolicyArn="{POLICY}"',
    ]
    assert f"Using WorkerPolicyArn={POLICY} from ours-app" in capfd.readouterr().err


def test_what_samconfig_says_comes_before_what_the_stack_outputs(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    world.says('JobRunner="other.runner"')
    world.outputs(JobRunner="acme.runner")
    world.deploy.run(world.app)
    assert overrides(world.calls[-1]) == []
    assert "Using JobRunner=other.runner from samconfig.toml" in capfd.readouterr().err


def test_a_stack_that_outputs_nothing_hands_nothing_over(world: World) -> None:
    world.outputs()
    world.deploy.run(world.app)
    assert overrides(world.calls[-1]) == []


def test_a_template_that_asks_is_told_whose_it_is(world: World) -> None:
    world.app.write_text(f"Parameters:\n  JobsStackName: {{Type: String}}\n{APP}")
    world.app.with_name("own.samconfig.toml").write_text(
        '[default.deploy.parameters]\nparameter_overrides = "Size=small Colour=\\"dark red\\""\n'
    )
    world.outputs()
    world.deploy.run(world.app)
    _, app, _ = world.calls
    assert overrides(app) == ["JobsStackName=ours", "Size=small", 'Colour="dark red"']
    assert str(world.app.with_name("own.samconfig.toml")) in app


def test_ours_is_not_deployed_when_the_organisations_fails(world: World) -> None:
    (world.folder / "code").write_text("3")
    with pytest.raises(subprocess.CalledProcessError) as failed:
        world.deploy.run(world.app)
    assert failed.value.returncode == 3
    assert [call[0] for call in world.calls] == ["build", "deploy"]


def test_the_parameters_of_a_template_are_read_whatever_functions_it_has() -> None:
    found = parameter_names(ROOT / "template.yaml")
    assert {"WorkerPolicyArn", "JobRunner", "Architecture"} <= found


def test_the_template_is_that_of_the_project(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    package = world.app.parent / "acme"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.setenv("JOBS_PROJECT", str(world.app.parent))
    assert app_template() == world.app
    world.app.unlink()
    assert app_template() is None
    monkeypatch.setenv("JOBS_PROJECT", "")
    assert app_template() is None


def test_a_folder_that_can_not_be_used_deploys_nothing_and_is_said(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JOBS_PROJECT", str(world.folder / "none"))
    monkeypatch.setattr(sys, "argv", ["deploy", "--region", REGION, "--sam", str(world.deploy.sam)])
    assert main() == 1
    assert (
        f"The project can't be used: {world.folder}/none does not exist" in capsys.readouterr().err
    )
    assert not (world.folder / "calls").exists()


@pytest.mark.parametrize("megabytes", [199, 204, 251])
def test_code_that_lambda_hardly_takes_or_not_at_all_is_said_before_it_is_deployed(
    world: World, capfd: pytest.CaptureFixture[str], megabytes: int
) -> None:
    built = world.folder / "built"
    package = built / "ApiFunction" / "pandas"
    package.mkdir(parents=True)
    with (package / "large.so").open("wb") as file:
        file.truncate(megabytes * 1024 * 1024)  # which takes no room on the disk
    (built / "ApiFunction" / "small.py").write_text("")
    deploy = replace(world.deploy, built=built / "template.yaml")
    if megabytes > 250:
        with pytest.raises(BuildProblem, match=r"has 251 MB\. Lambda's limit is 250 MB"):
            deploy.run(None)
        assert not (world.folder / "calls").exists()
        return
    deploy.run(None)
    said = capfd.readouterr().err
    assert ("has 204 MB. Lambda's limit is 250 MB. The largest parts: pandas 204 MB" in said) == (
        megabytes > 200
    )


PRODUCTION = """
[production.global.parameters]
stack_name = "ours"
parameter_overrides = ["Architecture={architecture}", "PythonRuntime=python3.13", "LogLevel=DEBUG"]
"""


def test_an_environment_is_deployed_with_its_own_parameters(world: World) -> None:
    with world.config.open("a") as config:
        config.write(PRODUCTION.format(architecture="arm64"))
    own = world.app.with_name("own.samconfig.toml")
    own.write_text("[production.deploy.parameters]\n[default.deploy.parameters]\n")
    world.outputs(WorkerPolicyArn=POLICY)
    deploy = replace(world.deploy, environment="production")
    deploy.check_environment()
    deploy.run(world.app)
    for call in world.calls:
        assert call[call.index("--config-env") + 1] == "production"
    assert overrides(world.calls[-1])[2:] == ["LogLevel=DEBUG", f'WorkerPolicyArn="{POLICY}"']

    own.write_text("[default.deploy.parameters]\n")
    deploy.run(world.app)
    assert ["--config-env" in call for call in world.calls[-3:]] == [False, False, True]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("", "has no table [production.global.parameters] with a stack_name. Copy [default."),
        (PRODUCTION.format(architecture="x86_64"), "Architecture=x86_64 in [production.global"),
    ],
    ids=["unknown", "built for another architecture"],
)
def test_an_environment_that_can_not_be_deployed_is_refused_before_the_build(
    world: World, written: str, said: str
) -> None:
    with world.config.open("a") as config:
        config.write(written)
    with pytest.raises(BuildProblem) as refused:
        replace(world.deploy, environment="production").check_environment()
    assert said in str(refused.value)


def test_the_check_of_an_environment_deploys_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--region", REGION, "--sam", str(world.deploy.sam), "--check", "--config-env"]
    monkeypatch.setattr(sys, "argv", ["deploy", *given, "nowhere"])
    assert main() == 1
    assert "has no table [nowhere.global.parameters]" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["deploy", *given, "default"])
    assert main() == 0
    assert not (world.folder / "calls").exists()
