"""make deploy with a stack of the organisation's own."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest

from emulated_aws.emulator import tool
from following import follow
from job_runners.building.deploy import Deploy
from job_runners.building.samconfig import Target as Machine
from job_runners.cli.app_config import AppConfig
from job_runners.cli.doctor.check import Verdict
from job_runners.cli.doctor.checks import examine
from job_runners.cli.doctor.deployed import Deployed
from job_runners.cli.stack import Stack
from job_runners.cli.target import Target
from job_runners.local.run_folder import credentials
from local_stack import Enforcing
from role_probes import AsRole, Probe, role_names
from stack_clients import session, stack_api

pytestmark = [pytest.mark.e2e, pytest.mark.more]

NAME = "ours"
APP = """
Parameters:
  JobsStackName: {Type: String}
Resources:
  Letters:
    Type: AWS::S3::Bucket
  Greeting:
    Type: AWS::SSM::Parameter
    Properties: {Name: !Sub '/${JobsStackName}/app/GREETING', Type: String, Value: Hello}
  WorkerPolicy:
    Type: AWS::IAM::ManagedPolicy
    Properties:
      PolicyDocument:
        Version: '2012-10-17'
        Statement:
          - {Effect: Allow, Action: s3:GetObject, Resource: !Sub '${Letters.Arn}/*'}
Outputs:
  WorkerPolicyArn: {Value: !Ref WorkerPolicy}
  LettersBucket: {Value: !Ref Letters}
"""
CONFIG = """
version = 0.1
[default.global.parameters]
stack_name = "{name}"
parameter_overrides = {overrides}
[default.deploy.parameters]
capabilities = "CAPABILITY_IAM"
resolve_s3 = true
confirm_changeset = false
"""


@pytest.fixture(scope="module")
def stack(enforcing: Enforcing, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Deploy what a shared stack is built from once more, beside it, as make deploy does."""
    folder = tmp_path_factory.mktemp("organisation")
    (folder / "app").mkdir()
    (folder / "app" / "own.template.yaml").write_text(APP)
    overrides = [
        *Machine.this_machine().parameter_overrides,
        "DeletionProtection=false",
        f"AwsEndpointUrl={enforcing.stack.endpoint_url}",
    ]
    (folder / "samconfig.toml").write_text(CONFIG.format(name=NAME, overrides=overrides))
    variables = {
        **credentials(enforcing.stack).variables,
        "AWS_ENDPOINT_URL": enforcing.stack.endpoint_url,
        "SAM_CLI_TELEMETRY": "0",
        "SAM_CLI_POLL_DELAY": "0.3",
        "__SAM_CLI_APP_DIR": str(folder / "sam"),
    }
    built = enforcing.tree.parent / "template.yaml"
    config = folder / "samconfig.toml"
    deploy = Deploy(tool("sam"), enforcing.stack.region, config, built, folder / "built")
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in variables.items():
            patch.setenv(variable, value)
        deploy.run(folder / "app" / "own.template.yaml")
    cloudformation = enforcing.client("cloudformation")
    (found,) = cloudformation.describe_stacks(StackName=NAME)["Stacks"]
    outputs = {each["OutputKey"]: each["OutputValue"] for each in found["Outputs"]}
    yield replace(
        Stack.from_outputs(NAME, enforcing.stack.region, outputs, enforcing.stack.endpoint_url),
        aws_access_key_id=enforcing.stack.aws_access_key_id,
        aws_secret_access_key=enforcing.stack.aws_secret_access_key,
    )
    cloudformation.delete_stack(StackName=NAME)  # or its timer would tick beside other tests


def test_the_worker_alone_may_do_what_the_organisations_policy_says(stack: Stack) -> None:
    aws = session(stack)
    cloudformation = aws.client("cloudformation", endpoint_url=stack.endpoint_url)
    resource = cloudformation.describe_stack_resource(
        StackName=f"{NAME}-app", LogicalResourceId="Letters"
    )
    letters = resource["StackResourceDetail"]["PhysicalResourceId"]
    s3 = aws.client("s3", endpoint_url=stack.endpoint_url)
    s3.put_object(Bucket=letters, Key="may.txt", Body=b"Dear Ada")
    for name, role in role_names(stack).items():
        client = AsRole(stack, role).client("s3")
        read = Probe("read", name, partial(client.get_object, Bucket=letters, Key="may.txt"))
        assert read.denied == (name != "WorkerFunctionRole")
        write = Probe("write", name, partial(client.put_object, Bucket=letters, Key="x", Body=b""))
        assert write.denied


def test_the_stack_has_tables_of_its_own_and_does_its_work(stack: Stack) -> None:
    dynamodb = session(stack).client("dynamodb", endpoint_url=stack.endpoint_url)
    tables = [each for each in dynamodb.list_tables()["TableNames"] if each.startswith(f"{NAME}-")]
    assert sorted(tables) == sorted([stack.table_name, stack.coordination_table_name])
    api = stack_api(stack)
    assert api.get("/").status == 200  # the page
    payload = {"url": "https://hooks.example.com", "body": {}, "secret": "acme/none"}
    webhook = {"job_type": "post_webhook", "organization_id": "acme", "payload": payload}
    ended = follow(api, api.post("/jobs", webhook).json["id"], patience=30)
    assert "webhook-secrets/" in ended["error"]["message"]  # the worker looked for it


def test_doctor_finds_it_as_it_should_be(stack: Stack) -> None:
    target = Target()
    target.__dict__["stack"] = stack
    found = [each for each in examine(Deployed(target)) if each.verdict is Verdict.WRONG]
    assert found == []


def test_settings_are_kept_beside_those_that_the_organisations_stack_made(stack: Stack) -> None:
    config = AppConfig(session(stack).client("ssm", endpoint_url=stack.endpoint_url), NAME)
    config.set("API_KEY", "s3cret", secret=True)
    key, greeting = config.all()
    assert (key["name"], key["type"], key["value"]) == ("API_KEY", "secret", None)
    assert (greeting["name"], greeting["value"]) == ("GREETING", "Hello")
    config.delete("API_KEY")
    assert [each["name"] for each in config.all()] == ["GREETING"]
