"""The outputs of own.template.yaml that set the policies of workers: a misspelt one is refused."""

from pathlib import Path

import pytest

from in_project import jobs
from job_runners.building.sam_folder import check_policies

OUTPUT = "Outputs:\n  %s:\n    Value: !Ref Policy\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a new project with the worker classes large and tiny."""
    assert jobs(tmp_path, "init", "acme").returncode == 0
    (tmp_path / "acme" / "app.toml").write_text("[workers.large]\n[workers.tiny]\n")
    return tmp_path / "acme"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("LargWorkerPolicyArn", "Did you mean LargeWorkerPolicyArn?"),
        ("largeWorkerPolicyARN", "Did you mean LargeWorkerPolicyArn?"),
        ("LargeWorkerPolicy", "Did you mean LargeWorkerPolicyArn?"),
        ("TinyWorkersPolicyArn", "Did you mean TinyWorkerPolicyArn?"),
        ("WorkerPolicyARN", "Did you mean WorkerPolicyArn?"),
        ("HugeWorkerPolicyArn", "Use LargeWorkerPolicyArn, TinyWorkerPolicyArn, WorkerPolicyArn"),
    ],
)
def test_an_output_for_no_worker_is_refused_with_the_name_meant(
    name: str, hint: str, project: Path
) -> None:
    own = project / "own.template.yaml"
    own.write_text(OUTPUT % name)
    done = jobs(project, "build", project=project)
    assert done.returncode == 1
    assert done.stderr == f"{own}: the output {name} is the policy of no worker. {hint}\n"


@pytest.mark.parametrize(
    "names",
    [["LargeWorkerPolicyArn", "LargeWorkerPolicy"], ["WorkerPolicyArn"], ["QueuePolicyArn"]],
)
def test_other_outputs_pass(names: list[str], tmp_path: Path) -> None:
    own, ours = tmp_path / "own.template.yaml", tmp_path / "template.yaml"
    own.write_text("Outputs:\n" + "".join(f"  {each}: {{Value: x}}\n" for each in names))
    ours.write_text("Parameters: {LargeWorkerPolicyArn: {}, WorkerPolicyArn: {}}")
    check_policies(own, ours)


def test_a_template_that_is_not_yaml_is_refused_with_its_line(project: Path) -> None:
    own = project / "own.template.yaml"
    own.write_text("Outputs: {\n")
    done = jobs(project, "build", project=project)
    assert done.stderr.startswith(f"{own}:2 is not YAML: ")
    assert len(done.stderr.splitlines()) == 1
