"""The promises of template.yaml that only AWS keeps, and that no local run could show broken."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from expanded_template import ROOT, Template, expanded, of_type, references

SENDERS = ("ApiFunction", "TimerFunction", "FailuresFunction")
LINKS_OF_A_CHAIN = ("WorkerFunction", "TimerFunction", "FailuresFunction")
FUNCTION = "AWS::Lambda::Function"
ALIAS = {"Ref": "WorkerFunctionAliaslive"}


@pytest.fixture(scope="module")
def template() -> Template:
    """Expanded as it is deployed when nothing is said."""
    return expanded()


def properties(template: Template, name: str) -> dict[str, Any]:
    """What a resource is made with."""
    found: dict[str, Any] = template["Resources"][name]["Properties"]
    return found


def statements(template: Template) -> Iterator[dict[str, Any]]:
    """Every statement of every policy that a function has of its own."""
    for role in of_type(template, "AWS::IAM::Role").values():
        for policy in role["Properties"].get("Policies", []):
            yield from policy["PolicyDocument"]["Statement"]
    for policy in of_type(template, "AWS::IAM::Policy").values():
        yield from policy["Properties"]["PolicyDocument"]["Statement"]


def actions(statement: dict[str, Any]) -> list[str]:
    """The actions of a statement, which may be written as one."""
    listed = statement["Action"]
    return [listed] if isinstance(listed, str) else listed


# --- what CloudFormation and sam local need ---------------------------------------------------


def test_the_api_is_the_first_resource_for_sam_local() -> None:
    text = (ROOT / "template.yaml").read_text()
    resources = text[text.index("\nResources:") :]
    first = re.search(r"^  (\w+):", resources, re.MULTILINE)
    assert first is not None
    assert first[1] == "HttpApi"


@pytest.mark.parametrize("issuer", ["", "https://issuer.example"])
def test_no_resource_refers_back_to_itself(issuer: str) -> None:
    resources = expanded(JwtIssuer=issuer)["Resources"]
    waiting = {
        name: {*references(each), *_depends_on(each)} & resources.keys()
        for name, each in resources.items()
    }
    while free := {name for name, needs in waiting.items() if not needs}:
        waiting = {name: needs - free for name, needs in waiting.items() if name not in free}
    assert waiting == {}


def _depends_on(resource: dict[str, Any]) -> list[str]:
    named = resource.get("DependsOn", [])
    return [named] if isinstance(named, str) else named


def test_every_reference_names_something(template: Template) -> None:
    known = {*template["Resources"], *template["Parameters"]}
    used = references(template["Resources"]) | references(template["Outputs"])
    assert {name for name in used if not name.startswith("AWS::")} <= known


# --- who may call -----------------------------------------------------------------------------


def test_callers_sign_with_iam_unless_an_issuer_is_given(template: Template) -> None:
    routes = of_type(template, "AWS::ApiGatewayV2::Route")
    shown = {
        name: (each.get("Condition"), each["Properties"]["AuthorizationType"])
        for name, each in routes.items()
    }
    assert shown == {
        "IamRoute": ("UseIam", "AWS_IAM"),
        "JwtRoute": ("UseJwt", "JWT"),
        "HealthRoute": (None, "NONE"),
    }
    assert properties(template, "HealthRoute")["RouteKey"] == "GET /health"
    assert template["Conditions"]["UseIam"] == {"Fn::Equals": [{"Ref": "JwtIssuer"}, ""]}
    assert template["Conditions"]["UseJwt"] == {
        "Fn::Not": [{"Fn::Equals": [{"Ref": "JwtIssuer"}, ""]}]
    }


def test_the_api_reads_its_access_mode_from_the_same_condition(template: Template) -> None:
    environment = properties(template, "ApiFunction")["Environment"]["Variables"]
    assert environment["ACCESS_MODE"] == {"Fn::If": ["UseJwt", "jwt", "iam"]}


def test_the_api_keeps_access_logs(template: Template) -> None:
    assert "AccessLogSettings" in properties(template, "HttpApiStage")


# --- one authority retries --------------------------------------------------------------------


def test_lambda_never_retries_the_worker_and_records_what_failed(template: Template) -> None:
    (config,) = (
        each["Properties"]
        for each in of_type(template, "AWS::Lambda::EventInvokeConfig").values()
        if each["Properties"]["FunctionName"] == {"Ref": "WorkerFunction"}
    )
    assert config["Qualifier"] == "live"
    assert config["MaximumRetryAttempts"] == 0
    destination = config["DestinationConfig"]["OnFailure"]["Destination"]
    assert references(destination) == {"FailuresQueue"}


def test_the_worker_may_write_to_its_destination(template: Template) -> None:
    allowed = properties(template, "WorkerFunctionRole")["Policies"]
    queues = [
        references(statement["Resource"])
        for policy in allowed
        for statement in policy["PolicyDocument"]["Statement"]
        if "sqs:SendMessage" in actions(statement)
    ]
    assert {"FailuresQueue"} in queues


@pytest.mark.parametrize("name", SENDERS)
def test_every_sender_is_given_the_alias_and_may_invoke_only_it(
    template: Template, name: str
) -> None:
    environment = properties(template, name)["Environment"]["Variables"]
    assert environment["WORKER_LAMBDA_FUNCTION_NAME"] == ALIAS
    invoked = [
        statement["Resource"]
        for policy in properties(template, f"{name}Role")["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
        if "lambda:InvokeFunction" in actions(statement)
    ]
    assert invoked == [ALIAS]


def test_the_worker_may_invoke_its_own_alias(template: Template) -> None:
    policy = properties(template, "WorkerSendsToItself")
    assert policy["Roles"] == [{"Ref": "WorkerFunctionRole"}]
    assert [each["Resource"] for each in policy["PolicyDocument"]["Statement"]] == [ALIAS]


@pytest.mark.parametrize("name", LINKS_OF_A_CHAIN)
def test_lambda_does_not_cut_a_chain_of_legs(template: Template, name: str) -> None:
    assert properties(template, name)["RecursiveLoop"] == "Allow"


def test_a_changed_parameter_publishes_a_version_for_the_alias(template: Template) -> None:
    (version,) = of_type(template, "AWS::Lambda::Version").values()
    read = references(properties(template, "WorkerFunction")) & template["Parameters"].keys()
    # The first belongs to the function itself, the others mean nothing to the worker.
    of_others = {"WorkerReservedConcurrency", "JwtOrganizationClaim", "AwsEndpointUrl"}
    assert references(version["Properties"]["Description"]) == read - of_others


# --- queues -----------------------------------------------------------------------------------


def test_a_queue_hides_a_message_for_six_times_its_readers_timeout(template: Template) -> None:
    sources = of_type(template, "AWS::Lambda::EventSourceMapping").values()
    assert len(sources) == 2
    for source in sources:
        (queue,) = references(source["Properties"]["EventSourceArn"])
        (function,) = references(source["Properties"]["FunctionName"])
        visibility = properties(template, queue)["VisibilityTimeout"]
        assert visibility >= 6 * properties(template, function)["Timeout"]
        assert source["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


@pytest.mark.parametrize("queue", ["FailuresQueue", "DelayQueue"])
def test_what_a_reader_can_not_take_is_kept_apart_and_alarms(
    template: Template, queue: str
) -> None:
    redrive = properties(template, queue)["RedrivePolicy"]["deadLetterTargetArn"]
    (dead_letters,) = references(redrive)
    watched = references(list(of_type(template, "AWS::CloudWatch::Alarm").values()))
    assert dead_letters in watched


def test_every_queue_is_encrypted_and_keeps_its_messages_for_two_weeks(
    template: Template,
) -> None:
    for queue in of_type(template, "AWS::SQS::Queue").values():
        assert queue["Properties"]["SqsManagedSseEnabled"] is True
        assert queue["Properties"]["MessageRetentionPeriod"] == 14 * 24 * 3600


# --- tables and bucket ------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["JobsTable", "CoordinationTable", "ContactsTable"])
def test_tables_are_billed_by_use_encrypted_restorable_and_protected(
    template: Template, table: str
) -> None:
    made = properties(template, table)
    assert made["BillingMode"] == "PAY_PER_REQUEST"
    assert made["SSESpecification"] == {"SSEEnabled": True}
    assert made["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert made["DeletionProtectionEnabled"] == {"Ref": "DeletionProtection"}
    assert template["Resources"][table]["DeletionPolicy"] == "RetainExceptOnCreate"


@pytest.mark.parametrize("table", ["JobsTable", "CoordinationTable"])
def test_rows_expire_by_the_field_that_the_store_writes(template: Template, table: str) -> None:
    ttl = properties(template, table)["TimeToLiveSpecification"]
    assert ttl == {"AttributeName": "expires_at", "Enabled": True}


@pytest.mark.parametrize(
    ("table", "keys", "indexes"),
    [
        (
            "JobsTable",
            "id:S",
            {
                "by_organization": "organization_id:S created_key:S",
                "due": "due_shard:S due_at:N",
                "failed": "failed_organization:S failed_key:S",
            },
        ),
        ("CoordinationTable", "pk:S sk:S", {"due": "due_shard:S due_at:N"}),
        ("ContactsTable", "organization_campaign:S cell:S", {}),
    ],
)
def test_tables_have_the_keys_that_the_code_uses(
    template: Template, table: str, keys: str, indexes: dict[str, str]
) -> None:
    made = properties(template, table)
    types = {each["AttributeName"]: each["AttributeType"] for each in made["AttributeDefinitions"]}

    def shown(schema: list[dict[str, str]]) -> str:
        assert [each["KeyType"] for each in schema] == ["HASH", "RANGE"][: len(schema)]
        names = [each["AttributeName"] for each in schema]
        return " ".join(f"{name}:{types[name]}" for name in names)

    assert shown(made["KeySchema"]) == keys
    listed = made.get("GlobalSecondaryIndexes", [])
    assert {each["IndexName"]: shown(each["KeySchema"]) for each in listed} == indexes
    assert all(each["Projection"] == {"ProjectionType": "KEYS_ONLY"} for each in listed)


def test_objects_outlive_every_row_that_points_at_them(template: Template) -> None:
    rules = properties(template, "Bucket")["LifecycleConfiguration"]["Rules"]
    days = {each["Prefix"]: each["ExpirationInDays"] for each in rules if "Prefix" in each}
    kept = template["Parameters"]["RetentionDays"]["MaxValue"]
    waits = 31  # days at most, before a job starts
    assert days.keys() == {"work/", "payloads/", "results/"}
    assert days["work/"] > waits + kept
    assert days["payloads/"] > waits + kept
    assert days["results/"] > kept


def test_abandoned_uploads_are_removed(template: Template) -> None:
    rules = properties(template, "Bucket")["LifecycleConfiguration"]["Rules"]
    (rule,) = (each for each in rules if "AbortIncompleteMultipartUpload" in each)
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    assert rule["Status"] == "Enabled"
    assert "Prefix" not in rule  # of the whole bucket


def test_the_bucket_is_private_encrypted_and_refuses_plain_http(template: Template) -> None:
    made = properties(template, "Bucket")
    assert all(made["PublicAccessBlockConfiguration"].values())
    assert len(made["PublicAccessBlockConfiguration"]) == 4
    (rule,) = made["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    (statement,) = properties(template, "BucketPolicy")["PolicyDocument"]["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Principal"] == "*"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


# --- permissions ------------------------------------------------------------------------------


def test_no_policy_has_a_wildcard_action_scans_or_purges(template: Template) -> None:
    allowed = {action for statement in statements(template) for action in actions(statement)}
    assert len(allowed) > 10
    assert not [action for action in allowed if "*" in action]
    assert "dynamodb:Scan" not in allowed
    assert "sqs:PurgeQueue" not in allowed


def test_only_texts_to_phone_numbers_are_allowed_on_every_resource(template: Template) -> None:
    everything = [each for each in statements(template) if each["Resource"] == "*"]
    assert [(each["Effect"], actions(each)) for each in everything] == [("Allow", ["sns:Publish"])]


def test_functions_get_no_managed_policies_but_for_logs_and_traces(template: Template) -> None:
    managed = {
        arn.split("/")[-1]
        for role in of_type(template, "AWS::IAM::Role").values()
        for arn in _texts(role["Properties"]["ManagedPolicyArns"])
    }
    assert managed == {"AWSLambdaBasicExecutionRole", "AWSXrayWriteOnlyAccess"}


def _texts(value: Any) -> list[str]:
    return [each if isinstance(each, str) else each["Fn::Sub"] for each in value]


# --- functions and alarms ---------------------------------------------------------------------


def test_every_function_runs_what_was_built_and_keeps_its_log(template: Template) -> None:
    functions = of_type(template, FUNCTION)
    assert functions.keys() == {*SENDERS, "WorkerFunction"}
    for function in functions.values():
        assert function["Properties"]["Architectures"] == [{"Ref": "Architecture"}]
        assert function["Properties"]["Runtime"] == {"Ref": "PythonRuntime"}
        (log_group,) = references(function["Properties"]["LoggingConfig"])
        assert properties(template, log_group)["RetentionInDays"] > 0


def test_concurrency_is_reserved_only_when_asked_for(template: Template) -> None:
    reserved = properties(template, "WorkerFunction")["ReservedConcurrentExecutions"]
    assert reserved["Fn::If"][0] == "ReserveConcurrency"
    assert reserved["Fn::If"][2] == {"Ref": "AWS::NoValue"}


def test_a_timer_that_stops_running_alarms(template: Template) -> None:
    alarm = properties(template, "TimerSilentAlarm")
    assert references(alarm["Dimensions"]) == {"TimerFunction"}
    assert (alarm["MetricName"], alarm["ComparisonOperator"]) == (
        "Invocations",
        "LessThanThreshold",
    )
    assert alarm["TreatMissingData"] == "breaching"


def test_the_timer_runs_every_minute(template: Template) -> None:
    (rule,) = of_type(template, "AWS::Events::Rule").values()
    assert rule["Properties"]["ScheduleExpression"] == "rate(1 minute)"
    assert references(rule["Properties"]["Targets"]) == {"TimerFunction"}
