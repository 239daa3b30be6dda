"""make run deploys the organisation's template too: first, and ours is given what it outputs."""

import re
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from emulated_aws import deploy as emulated_deploy
from emulated_aws.deploy import STACK_NAME
from fake_stack import OUTPUTS
from job_runners.building import samconfig as parameters
from job_runners.local.run_folder import Credentials
from job_runners.places import ROOT

APP_OUTPUTS = {"WorkerPolicyArn": "arn:of:the:app", "JobRunner": "acme.runner", "Other": "x"}
NO_BUCKET = SimpleNamespace(create_bucket=lambda **_: None, put_object=lambda **_: None)
NO_CLIENT = SimpleNamespace(client=lambda *_, **__: NO_BUCKET)


class Stacks:
    """CloudFormation: what has been deployed, by name."""

    def describe_stacks(self, StackName: str) -> dict[str, Any]:  # noqa: N803
        """As boto3 has it."""
        outputs = APP_OUTPUTS if StackName == f"{STACK_NAME}-app" else OUTPUTS
        listed = [{"OutputKey": name, "OutputValue": value} for name, value in outputs.items()]
        return {"Stacks": [{"Outputs": listed}]}


def deployed(
    folder: Path, patch: pytest.MonkeyPatch, template: Path | None, **parameters: str
) -> list[list[str]]:
    """Return what sam is asked for."""
    calls: list[list[str]] = []

    def sam(arguments: Sequence[str], *_: Any, **__: Any) -> None:
        calls.append(list(arguments))

    patch.setattr(emulated_deploy, "_sam", sam)
    patch.setattr(emulated_deploy, "_cloudformation", lambda _: Stacks())
    patch.setattr(emulated_deploy, "session", lambda _: NO_CLIENT)
    emulator: Any = SimpleNamespace(credentials=Credentials("a", "b"), endpoint_url="http://local")
    built = folder / "build"
    built.mkdir()
    (built / "template.yaml").write_text((ROOT / "template.yaml").read_text())
    emulated_deploy.deploy(emulator, folder, built, parameters, template)
    return calls


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """Return one of an organisation."""
    file = tmp_path / "app" / "template.yaml"
    file.parent.mkdir()
    file.write_text("Resources: {}\n")
    return file


def test_without_a_template_ours_alone_is_deployed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ours,) = deployed(tmp_path, monkeypatch, None)
    assert STACK_NAME in ours
    assert not [each for each in ours if each.startswith("WorkerPolicyArn=")]


def test_all_functions_run_the_one_tree_that_is_built_and_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ours,) = deployed(tmp_path, monkeypatch, None)
    packaged = Path(ours[ours.index("--template") + 1]).read_text()
    places = re.findall(r"CodeUri: (.*)", packaged)
    assert places
    assert all(re.fullmatch(r"s3://deploys/[0-9a-f]{64}\.zip", place) for place in places)


def test_the_organisations_stack_is_first_and_ours_is_given_its_outputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, template: Path
) -> None:
    build, app, ours = deployed(tmp_path, monkeypatch, template)
    assert (build[0], app[0], ours[0]) == ("build", "deploy", "deploy")
    assert f"{STACK_NAME}-app" in app
    assert {"WorkerPolicyArn=arn:of:the:app", "JobRunner=acme.runner"} <= set(ours)
    assert "Other=x" not in ours


def test_what_a_run_asks_for_comes_before_what_the_stack_outputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, template: Path
) -> None:
    *_, ours = deployed(tmp_path, monkeypatch, template, JobRunner="lambda-async")
    assert [each for each in ours if each.startswith("JobRunner=")] == ["JobRunner=lambda-async"]


def test_what_samconfig_says_of_the_work_holds_on_the_local_aws_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = ["Architecture=arm64", "RetentionDays=7", "AlarmTopicArn=arn"]
    said += ["WorkerTimeout=30"]
    (tmp_path / "samconfig.toml").write_text(
        f"[default.global.parameters]\nparameter_overrides = {said}"
    )
    monkeypatch.setattr(parameters, "ROOT", tmp_path)
    followed = {"RetentionDays": "7", "WorkerTimeout": "30"}
    assert parameters.work_parameters() == followed


def test_a_build_that_fails_is_told_in_its_own_words() -> None:
    said = (
        "Building codeuri\n\nError: CustomMakeBuilder:MakeBuild - Make Failed: app/a.py:3: wrong\n"
    )
    told = emulated_deploy._why_not_built(f"{said}make[1]: *** [Makefile:116: build] Error 1")
    assert told == "The functions can't be built.\napp/a.py:3: wrong"
    assert emulated_deploy._why_not_built("Building codeuri\nError: no disk space") is None
