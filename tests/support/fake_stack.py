"""What a healthy stack is made of, as AWS tells it."""

from typing import Any

from job_runners.cli.doctor.alarms import ADVICE, CANARY_ALARM

ACCOUNT = "123456789012"
REGION = "us-east-1"
STACK = "job-runners"
WORKER_ALIAS = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:worker:live"
FAILURES_ARN = f"arn:aws:sqs:{REGION}:{ACCOUNT}:failures"
QUEUES = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}"

OUTPUTS = {
    "ApiId": "abc",
    "ApiUrl": f"https://abc.execute-api.{REGION}.amazonaws.com",
    "JobsTableName": "jobs",
    "CoordinationTableName": "coordination",
    "BucketName": "bucket",
    "WorkerFunctionArn": WORKER_ALIAS,
    "TimerFunctionName": "timer",
    "FailuresFunctionName": "failures",
    "FailuresQueueUrl": f"{QUEUES}/failures",
    "DelayQueueUrl": f"{QUEUES}/delay",
}
RESOURCES = {
    "HttpApi": ("AWS::ApiGatewayV2::Api", "abc"),
    "ApiFunction": ("AWS::Lambda::Function", "api"),
    "WorkerFunction": ("AWS::Lambda::Function", "worker"),
    "TimerFunction": ("AWS::Lambda::Function", "timer"),
    "FailuresFunction": ("AWS::Lambda::Function", "failures"),
    "JobsTable": ("AWS::DynamoDB::Table", "jobs"),
    "CoordinationTable": ("AWS::DynamoDB::Table", "coordination"),
    "TimerFunctionEveryMinute": ("AWS::Events::Rule", "every-minute"),
    "ApiLogGroup": ("AWS::Logs::LogGroup", "log-api"),
    "WorkerLogGroup": ("AWS::Logs::LogGroup", "log-worker"),
    "TimerLogGroup": ("AWS::Logs::LogGroup", "log-timer"),
    "FailuresLogGroup": ("AWS::Logs::LogGroup", "log-failures"),
    "AccessLogGroup": ("AWS::Logs::LogGroup", "log-access"),
    **{
        name: ("AWS::CloudWatch::Alarm", f"alarm-{name}") for name in ADVICE if name != CANARY_ALARM
    },
}


def variables() -> dict[str, str]:
    """Return what a function of the stack has in its environment."""
    return {
        "JOB_RUNNER": "lambda-async",
        "JOBS_TABLE_NAME": "jobs",
        "COORDINATION_TABLE_NAME": "coordination",
        "BUCKET_NAME": "bucket",
        "DELAY_QUEUE_URL": f"{QUEUES}/delay",
        "ACCESS_MODE": "iam",
        "RETENTION_DAYS": "30",
    }


def function(name: str) -> dict[str, Any]:
    """Return the configuration of one."""
    sends = {} if name == "worker" else {"WORKER_LAMBDA_FUNCTION_NAME": WORKER_ALIAS}
    return {
        "FunctionName": name,
        "Timeout": 60,
        "Version": "7" if name == "worker" else "$LATEST",
        "Runtime": "python3.13",
        "Architectures": ["arm64"],
        "CodeSha256": "a" * 44,
        "Environment": {"Variables": variables() | sends},
    }


def alarm(name: str) -> dict[str, Any]:
    """Return a quiet one, that tells somebody."""
    return {
        "AlarmName": name,
        "AlarmDescription": f"What {name} is about.",
        "StateValue": "OK",
        "ActionsEnabled": True,
        "AlarmActions": [f"arn:aws:sns:{REGION}:{ACCOUNT}:alarms"],
    }
