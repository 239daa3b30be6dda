"""What the template makes, and leaves out, for each choice that its parameters offer."""

import re
from typing import Any

import pytest

from expanded_template import (
    Template,
    actions,
    allowed,
    deployed,
    expanded,
    of_type,
    properties,
    references,
    statements,
)

FUNCTIONS = ("ApiFunction", "WorkerFunction", "TimerFunction", "FailuresFunction")
ROLE = "WorkerFunctionRole"
LAYER = "arn:aws:lambda:eu-west-1:123456789012:layer:otel-python:7"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:outcomes"
SUBNETS, GROUPS = "subnet-0a1b2c3d,subnet-4e5f6a7b", "sg-0a1b2c3d"
CHOICES: dict[str, dict[str, str]] = {
    "as it is": {},
    "a policy": {"WorkerPolicyArn": "arn:aws:iam::123456789012:policy/ours"},
    "a queue": {"WorkQueueName": "ours-work", "JobRunner": "sqs_runner.runner"},
    "a VPC": {"WorkerSubnetIds": SUBNETS, "WorkerSecurityGroupIds": GROUPS},
    "a canary": {"WorkerCanary": "Canary10Percent5Minutes"},
    "traces": {"Traces": LAYER},
    "legacy": {"JobRunner": "legacy"},
    "outcomes": {"EventBusName": "outcomes", "OutcomeTopicArn": TOPIC},
    "a domain": {"PublicUrl": "https://jobs.example.com"},
    "tokens": {"JwtIssuer": "https://issuer.example", "JwtAudience": "jobs"},
}


@pytest.mark.parametrize("given", CHOICES.values(), ids=CHOICES)
def test_all_that_is_referred_to_is_made(given: dict[str, str]) -> None:
    template = deployed(**given)
    known = {*template["Resources"], *template["Parameters"]}
    used = references(template["Resources"]) | references(template["Outputs"])
    assert {name for name in used if not name.startswith("AWS::")} <= known


def variables(template: Template, function: str) -> dict[str, Any]:
    """Return what a function has in its environment."""
    found: dict[str, Any] = properties(template, function)["Environment"]["Variables"]
    return found


# --- a runner of one's own ------------------------------------------------------------------------


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_is_given_the_runner(function: str) -> None:
    assert variables(deployed(), function)["JOB_RUNNER"] == {"Ref": "JobRunner"}


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("lambda-async", True),
        ("acme.runner", True),
        ("acme_2.sqs.runner", True),
        ("legacy", True),  # see test_template_legacy.py
        ("legacy_worker", False),
        ("lambda_async", False),
        ("acme", False),
        ("acme.", False),
        ("", False),
    ],
)
def test_a_runner_is_one_that_ships_or_a_module_of_a_package(name: str, fits: bool) -> None:
    pattern = deployed()["Parameters"]["JobRunner"]["AllowedPattern"]
    assert bool(re.fullmatch(pattern, name)) == fits


def test_a_queue_of_ones_own_delivers_to_the_worker_and_every_function_can_find_it() -> None:
    assert "WorkQueueSource" not in deployed()["Resources"]
    template = deployed(WorkQueueName="ours-work")
    source = properties(template, "WorkQueueSource")
    assert source["FunctionName"] == {"Ref": "WorkerFunctionAliaslive"}  # its retries are none
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert source["BatchSize"] == 1
    assert source["ScalingConfig"] == {"MaximumConcurrency": {"Ref": "WorkQueueConcurrency"}}
    for function in FUNCTIONS:
        assert variables(deployed(), function)["WORK_QUEUE_URL"] == ""
        url = variables(template, function)["WORK_QUEUE_URL"]["Fn::Sub"]
        assert url.endswith("/${AWS::AccountId}/${WorkQueueName}")


# --- traces ---------------------------------------------------------------------------------------

TRACED = {"AWS_LAMBDA_EXEC_WRAPPER", "OTEL_SERVICE_NAME"}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_has_no_layer_and_no_settings_of_traces_unless_they_are_asked_for(
    function: str,
) -> None:
    assert variables(deployed(), function)["TRACES"] == "false"
    assert not TRACED & variables(deployed(), function).keys()
    assert not properties(deployed(), function).get("Layers")
    template = deployed(Traces=LAYER)
    assert properties(template, function)["Layers"] == [{"Ref": "Traces"}]
    given = variables(template, function)
    assert (given["TRACES"], given["AWS_LAMBDA_EXEC_WRAPPER"], given["OTEL_SERVICE_NAME"]) == (
        *("true", "/opt/otel-instrument", {"Ref": "AWS::StackName"}),
    )
    template = deployed(Traces="true")  # the SDK is in one's own requirements
    assert not properties(template, function).get("Layers")
    assert variables(template, function)["TRACES"] == "true"
    assert TRACED & variables(template, function).keys() == {"OTEL_SERVICE_NAME"}


@pytest.mark.parametrize(
    ("traces", "fits"),
    [
        ("false", True),
        ("true", True),
        (LAYER, True),
        (LAYER.rpartition(":")[0], False),  # of no version
        ("otel-python", False),
        ("", False),
    ],
)
def test_traces_are_off_or_on_or_a_layer_with_its_version(traces: str, fits: bool) -> None:
    pattern = deployed()["Parameters"]["Traces"]["AllowedPattern"]
    assert bool(re.fullmatch(pattern, traces)) == fits


# --- what the worker may do, and where it runs ----------------------------------------------------


def managed(template: Template) -> list[str]:
    return [str(each) for each in properties(template, ROLE)["ManagedPolicyArns"]]


def test_the_workers_role_alone_has_the_policy_that_is_given() -> None:
    given = "arn:aws:iam::123456789012:policy/ours"
    template = deployed(WorkerPolicyArn=given)
    more = [each for each in managed(template) if each not in managed(deployed())]
    assert more == [str({"Ref": "WorkerPolicyArn"})]
    others = [name for name in of_type(template, "AWS::IAM::Role") if name != ROLE]
    assert len(others) == 3
    for role in others:
        assert "WorkerPolicyArn" not in references(properties(template, role))


def test_every_role_of_a_function_has_the_boundary_that_is_given() -> None:
    given = {"PermissionsBoundary": "arn:aws:iam::123456789012:policy/boundary"}
    for template, boundary in (
        (deployed(**given), {"Ref": "PermissionsBoundary"}),
        (deployed(), None),
    ):
        roles = of_type(template, "AWS::IAM::Role").values()
        assert [each["Properties"].get("PermissionsBoundary") for each in roles] == [boundary] * 4


def test_the_worker_runs_in_a_vpc_only_if_it_is_given_one() -> None:
    assert "VpcConfig" not in properties(deployed(), "WorkerFunction")
    template = deployed(WorkerSubnetIds=SUBNETS, WorkerSecurityGroupIds=GROUPS)
    config = properties(template, "WorkerFunction")["VpcConfig"]
    assert config == {
        "SubnetIds": {"Fn::Split": [",", {"Ref": "WorkerSubnetIds"}]},
        "SecurityGroupIds": {"Fn::Split": [",", {"Ref": "WorkerSecurityGroupIds"}]},
    }
    (more,) = [each for each in managed(template) if each not in managed(deployed())]
    assert "AWSLambdaVPCAccessExecutionRole" in more
    others = set(of_type(template, "AWS::Lambda::Function")) - {"WorkerFunction"}
    assert not [each for each in others if "VpcConfig" in properties(template, each)]


def test_subnets_and_security_groups_are_given_together() -> None:
    rules = expanded()["Rules"]
    pairs = {
        (*references(rule["RuleCondition"]), *references(rule["Assertions"][0]["Assert"]))
        for rule in rules.values()
    }
    assert ("WorkerSubnetIds", "WorkerSecurityGroupIds") in pairs
    assert ("WorkerSecurityGroupIds", "WorkerSubnetIds") in pairs


def test_only_the_worker_reads_the_settings_of_your_work_and_no_others() -> None:
    readers = {
        (function, resource)
        for function in FUNCTIONS
        for action, resource in allowed(deployed(), function)
        if action == "ssm:GetParametersByPath"
    }
    ((function, resource),) = readers
    assert function == "WorkerFunction"
    for each in FUNCTIONS:
        path = variables(deployed(), each)["APP_SETTINGS_PATH"]["Fn::Sub"]
        assert resource.endswith(f":parameter{path}")


# --- how a new version gets its work --------------------------------------------------------------


def test_a_new_version_gets_all_work_at_once_unless_a_canary_is_asked_for() -> None:
    template = deployed()
    assert "UpdatePolicy" not in template["Resources"]["WorkerFunctionAliaslive"]
    assert not [each for each in template["Resources"].values() if "CodeDeploy" in each["Type"]]
    assert "WorkerErrorsAlarm" not in template["Resources"]


@pytest.mark.parametrize("way", ["Canary10Percent5Minutes", "Linear10PercentEvery1Minute"])
def test_with_a_canary_codedeploy_moves_the_alias_and_goes_back_if_the_new_version_fails(
    way: str,
) -> None:
    assert way in deployed()["Parameters"]["WorkerCanary"]["AllowedValues"]
    template = deployed(WorkerCanary=way)
    policy = template["Resources"]["WorkerFunctionAliaslive"]["UpdatePolicy"]
    group = policy["CodeDeployLambdaAliasUpdate"]["DeploymentGroupName"]["Ref"]
    config = properties(template, group)
    assert config["DeploymentConfigName"]["Fn::Sub"][1] == {"ConfigName": way}
    assert config["AlarmConfiguration"]["Alarms"] == [{"Name": {"Ref": "WorkerErrorsAlarm"}}]
    assert "DEPLOYMENT_STOP_ON_ALARM" in config["AutoRollbackConfiguration"]["Events"]


@pytest.mark.parametrize("function", ["ApiFunction", "TimerFunction", "FailuresFunction"])
def test_what_sends_to_the_worker_changes_only_after_its_alias_has_moved(function: str) -> None:
    """CloudFormation waits for CodeDeploy at the alias: so nobody sends yet what only the new
    version of the worker knows."""
    template = deployed(WorkerCanary="Canary10Percent5Minutes")
    assert "WorkerFunctionAliaslive" in references(properties(template, function))
    assert "UpdatePolicy" in template["Resources"]["WorkerFunctionAliaslive"]


def test_the_canarys_alarm_hears_of_the_new_version_alone() -> None:
    template = deployed(WorkerCanary="Canary10Percent5Minutes")
    alarm = properties(template, "WorkerErrorsAlarm")
    of = {each["Name"]: each["Value"] for each in alarm["Dimensions"]}
    version = version_of(template, "WorkerFunction")
    assert of["ExecutedVersion"] == {"Fn::GetAtt": [version, "Version"]}
    assert of["Resource"] == {"Fn::Sub": "${WorkerFunction}:live"}
    assert (alarm["MetricName"], alarm["Threshold"]) == ("Errors", 0)


# --- a version for each change --------------------------------------------------------------------


def version_of(template: Template, function: str) -> str:
    """Return the logical id of a function's version."""
    (found,) = [
        name
        for name, each in of_type(template, "AWS::Lambda::Version").items()
        if each["Properties"]["FunctionName"] == {"Ref": function}
    ]
    return found


def described(function: str, **given: str) -> str:
    """Return the description that a version of a function gets."""
    template = expanded()
    version = template["Resources"][version_of(template, function)]
    text, made = version["Properties"]["Description"]["Fn::Sub"]
    values = {name: str(each.get("Default", "")) for name, each in template["Parameters"].items()}
    values |= given
    for name, each in made.items():
        match each:
            case {"Fn::Join": [glue, {"Fn::Split": [separator, of]}]}:
                values[name] = glue.join(values[of["Ref"]].split(separator))
            case {"Fn::If": ["UseJwt", yes, no]}:
                values[name] = yes if values["JwtIssuer"] else no
            case {"Fn::If": ["UseLegacy", {"Fn::Sub": more}, ""]}:
                values[name] = more if values["JobRunner"] == "legacy" else ""
    filled = re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], str(text))
    return re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], filled)


@pytest.mark.parametrize(
    ("function", "some"),
    [
        ("WorkerFunction", {"JobRunner", "WorkerSubnetIds"}),
        ("ApiFunction", {"JobRunner", "JwtIssuer", "JwtRolesClaim"}),
    ],
)
def test_each_parameter_that_a_function_reads_changes_its_versions_description(
    function: str, some: set[str]
) -> None:
    template = expanded()
    of_it = properties(template, function)
    read = references(of_it) | {
        name
        for condition in _conditions(of_it)
        for name in references(template["Conditions"][condition])
    }
    # The first belongs to the function itself, the second means nothing on AWS.
    read &= template["Parameters"].keys() - {"WorkerReservedConcurrency", "AwsEndpointUrl"}
    if function == "ApiFunction":
        # Unless JobRunner is legacy: see test_template_legacy.py.
        read -= {"WorkerMemory", "WorkerEphemeralStorage"}
    assert some | {"SnapStart"} <= read
    for name in template["Parameters"]:
        changed = described(function, **{name: "other"}) != described(function)
        assert changed == (name in read), name


def _conditions(value: Any) -> set[str]:
    match value:
        case {"Fn::If": [str(name), *branches]}:
            return {name} | _conditions(branches)
        case dict():
            return set().union(*map(_conditions, value.values()))
        case list():
            return set().union(*map(_conditions, value))
    return set()


@pytest.mark.parametrize("size", ["WorkerMemory", "WorkerEphemeralStorage"])
def test_the_size_of_work_changes_the_apis_description_if_it_does_the_work(size: str) -> None:
    for runner, does in (("legacy", True), ("lambda-async", False)):
        found = {
            described("ApiFunction", **{"JobRunner": runner, size: each})
            for each in ("512", "2048")
        }
        assert (len(found) == 2) == does


@pytest.mark.parametrize("function", ["WorkerFunction", "ApiFunction"])
def test_a_description_has_room_for_what_a_stack_is_given(function: str) -> None:
    """Lambda takes 256 characters, and a deploy with more is refused."""
    long = "0" * 17
    given = {
        "WorkerMemory": "10240",
        "WorkerEphemeralStorage": "10240",
        "LogPayloads": "false",
        "JobRunner": "organisation.runner",
        "WorkerSubnetIds": ",".join([f"subnet-{long}"] * 3),
        "WorkerSecurityGroupIds": f"sg-{long}",
        "JwtIssuer": "https://login.example.com/",
        "JwtOrganizationClaim": "https://example.com/organization_id",
        "JwtRolesClaim": "https://example.com/roles",
        "PublicUrl": "https://jobs.example.com",
        "TeamName": "Acme Support" if function == "ApiFunction" else "",
        "OutcomeTopicArn": "arn:aws:sns:eu-west-1:123456789012:job-ends",
    }
    assert len(described(function, **given)) <= 256


# --- starts ---------------------------------------------------------------------------------------


def test_the_api_is_called_by_its_alias_alone() -> None:
    template = expanded()
    integration = template["Resources"]["HttpApiIntegration"]
    assert integration["Properties"]["IntegrationUri"] == {"Fn::Sub": "${ApiFunction.Arn}:live"}
    permission = properties(template, "HttpApiPermission")
    assert permission["FunctionName"] == {"Ref": "ApiFunctionAliaslive"}
    # The alias is there, and may be called, before the API sends its first request to it.
    assert integration["DependsOn"] == "HttpApiPermission"


@pytest.mark.parametrize("function", ["ApiFunction", "WorkerFunction"])
def test_api_and_worker_start_from_snapshots_if_they_shall(function: str) -> None:
    usual, asked = deployed(), deployed(SnapStart="true")
    assert properties(usual, function)["SnapStart"] == {"ApplyOn": "None"}
    assert properties(asked, function)["SnapStart"] == {"ApplyOn": "PublishedVersions"}


@pytest.mark.parametrize("name", ["Api", "Worker"])
def test_processes_are_provisioned_at_the_alias_if_they_shall_be(name: str) -> None:
    alias, parameter = f"{name}FunctionAliaslive", f"{name}ProvisionedConcurrency"
    assert "ProvisionedConcurrencyConfig" not in properties(deployed(), alias)
    asked = deployed(**{parameter: "3"})
    assert properties(asked, alias)["ProvisionedConcurrencyConfig"] == {
        "ProvisionedConcurrentExecutions": {"Ref": parameter}
    }


def test_what_lambda_does_not_take_together_is_refused_before_a_deploy() -> None:
    rule = expanded()["Rules"]["SnapshotsOrProvisionedProcesses"]
    assert rule["RuleCondition"] == {"Fn::Equals": [{"Ref": "SnapStart"}, "true"]}
    refused = [each["Assert"] for each in rule["Assertions"]]
    assert refused == [
        {"Fn::Equals": [{"Ref": "ApiProvisionedConcurrency"}, ""]},
        {"Fn::Equals": [{"Ref": "WorkerProvisionedConcurrency"}, ""]},
        {"Fn::Not": [{"Fn::Equals": [{"Ref": "PythonRuntime"}, "python3.11"]}]},
        {"Fn::Equals": [{"Ref": "WorkerEphemeralStorage"}, "512"]},
    ]


# --- the ends of jobs, told to others -------------------------------------------------------------


def added(**given: str) -> set[tuple[str, str]]:
    """Return the permissions that a choice adds to the worker's."""
    return allowed(deployed(**given), "WorkerFunction") - allowed(deployed(), "WorkerFunction")


@pytest.mark.parametrize(
    ("given", "actions_added"),
    [
        ({"EventBusName": "outcomes"}, {"events:PutEvents"}),
        ({"OutcomeTopicArn": TOPIC}, {"sns:Publish"}),
    ],
)
def test_an_output_lets_the_worker_alone_write_to_it(
    given: dict[str, str], actions_added: set[str]
) -> None:
    assert {action for action, _ in added(**given)} == actions_added
    for function in ("ApiFunction", "TimerFunction", "FailuresFunction"):
        assert allowed(deployed(**given), function) <= allowed(deployed(), function)


def test_with_a_topic_the_worker_may_publish_to_it_and_no_other() -> None:
    template = deployed(OutcomeTopicArn=TOPIC)
    (found,) = [each for each in statements(template) if "sns:Publish" in actions(each)]
    assert (found["Effect"], found["Resource"]) == ("Allow", {"Ref": "OutcomeTopicArn"})


@pytest.mark.parametrize("name", ["EventBusName", "OutcomeTopicArn"])
def test_every_function_knows_the_outputs(name: str) -> None:
    variable = {"EventBusName": "EVENT_BUS_NAME", "OutcomeTopicArn": "OUTCOME_TOPIC_ARN"}[name]
    for function in FUNCTIONS:
        assert variables(deployed(), function)[variable] == {"Ref": name}


# --- the address of the API -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, "https://${HttpApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}"),
        ({"AwsEndpointUrl": "http://x"}, "${AwsEndpointUrl}/_aws/execute-api/${HttpApi}/$default"),
        ({"PublicUrl": "https://jobs.example.com"}, None),
    ],
)
def test_every_function_knows_where_jobs_are_answered(
    given: dict[str, str], url: str | None
) -> None:
    expected = {"Ref": "PublicUrl"} if url is None else {"Fn::Sub": url}
    for function in FUNCTIONS:
        assert variables(deployed(**given), function)["PUBLIC_URL"] == expected


@pytest.mark.parametrize(
    ("url", "fits"),
    [
        ("", True),
        ("https://jobs.example.com", True),
        ("https://jobs.example.com:8443", True),
        ("http://jobs.example.com", False),
        ("https://jobs.example.com/", False),
        ("https://jobs.example.com/base", False),  # which the API's routes don't have
        ("jobs.example.com", False),
    ],
)
def test_the_address_of_the_api_is_that_of_a_domain(url: str, fits: bool) -> None:
    pattern = deployed()["Parameters"]["PublicUrl"]["AllowedPattern"]
    assert bool(re.fullmatch(pattern, url)) == fits
