"""The promises of template.yaml about data and permissions that only AWS keeps."""

import pytest

from expanded_template import Template, actions, deployed, of_type, properties, statements


@pytest.fixture(scope="module")
def template() -> Template:
    """Return the template as it is deployed when nothing is said."""
    return deployed()


# --- tables and bucket ------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["JobsTable", "CoordinationTable"])
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
                "unfinished": "unfinished_organization:S created_key:S",
            },
        ),
        ("CoordinationTable", "pk:S sk:S", {"due": "due_shard:S due_at:N"}),
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
    uploads = template["Parameters"]["UploadDays"]
    assert days.pop("uploads/") == {"Ref": "UploadDays"}
    assert uploads["Default"] >= uploads["MinValue"] > 2 * 31  # scheduled, then paused
    kept = template["Parameters"]["RetentionDays"]["MaxValue"]
    waits = 150 + 31  # days at most: to start and in its function, and then under a pause
    assert days.keys() == {"partial/", "payloads/", "results/"}
    assert days["partial/"] > waits + kept
    assert days["payloads/"] > waits + kept
    assert days["results/"] > waits + kept


def test_abandoned_uploads_are_removed(template: Template) -> None:
    rules = properties(template, "Bucket")["LifecycleConfiguration"]["Rules"]
    (rule,) = (each for each in rules if "AbortIncompleteMultipartUpload" in each)
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    assert rule["Status"] == "Enabled"
    assert "Prefix" not in rule  # of the whole bucket


def test_what_is_deleted_or_written_over_can_be_restored_and_then_is_gone(
    template: Template,
) -> None:
    bucket = properties(template, "Bucket")
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    rules = bucket["LifecycleConfiguration"]["Rules"]
    (rule,) = (each for each in rules if "NoncurrentVersionExpiration" in each)
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": {"Ref": "DeletedFileDays"}}
    assert rule["ExpiredObjectDeleteMarker"] is True
    assert rule["Status"] == "Enabled"
    assert "Prefix" not in rule  # of the whole bucket
    assert "ExpirationInDays" not in rule  # S3 refuses it beside the marker's
    assert template["Parameters"]["DeletedFileDays"]["MinValue"] == 1


def test_no_function_may_remove_what_can_be_restored(template: Template) -> None:
    allowed = {action for statement in statements(template) for action in actions(statement)}
    assert "s3:DeleteObject" in allowed
    assert not [each for each in allowed if each.startswith("s3:") and "Version" in each]


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


def test_every_statement_names_its_resources(template: Template) -> None:
    assert not [each for each in statements(template) if each["Resource"] == "*"]


def test_functions_get_no_managed_policies_but_for_logs_and_traces() -> None:
    for role in of_type(deployed(), "AWS::IAM::Role"):
        assert managed(deployed(), role) == {
            "AWSLambdaBasicExecutionRole",
            "AWSXrayWriteOnlyAccess",
        }


def managed(template: Template, role: str) -> set[str]:
    """Return the names of the managed policies that a role has."""
    arns = properties(template, role)["ManagedPolicyArns"]
    texts = [each if isinstance(each, str) else each.get("Fn::Sub", str(each)) for each in arns]
    return {text.split("/")[-1] for text in texts}
