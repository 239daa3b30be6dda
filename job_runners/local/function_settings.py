"""The functions' environment, timeout and memory, and the stack's routes, outputs and resources.

template.yaml sets all of this on AWS, but only CloudFormation can resolve it. So this module
repeats it for the local AWS. tests/build/test_local_settings.py compares it with the expanded
template.
"""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from job_runners.building.app_config import Workers
from job_runners.cli.local_aws import REGION
from job_runners.cli.stack import Stack
from job_runners.fake_dynamodb.behind_moto import ACCOUNT
from job_runners.local.function_process import FUNCTIONS
from job_runners.places import DATA

API_ID = "local"
STAGE = f"/_aws/execute-api/{API_ID}/$default"
TABLE, COORDINATION_TABLE, BUCKET = "jobs", "coordination", "bucket"
DELAY, FAILURES = "delay", "failures"
DEAD_LETTERS = {DELAY: "delay-dead-letters", FAILURES: "failures-dead-letters"}
VISIBILITY_SECONDS = 360  # of the queues DELAY and FAILURES

# The routes that anyone may call.
OPEN_ROUTES = (
    "GET /",
    "GET /health",
    "GET /assets/{proxy+}",
    "GET /answers/{token}",
    "POST /answers/{token}",
)
IAM_ROUTE, JWT_ROUTE = "ANY /{proxy+}", "$default"

# The defaults of the template's parameters. They are found with a regular expression, because
# parsing the template would take most of the time of a start.
_SECTION = re.search(r"^Parameters:\n(.*?)^\w", (DATA / "template.yaml").read_text(), re.M | re.S)
PARAMETERS: dict[str, str] = dict(
    re.findall(
        r"^  (\w+):\n(?:    .*\n)*?    Default: *'?([^'#\n]*?)'?(?: #.*)?$",
        _SECTION[1] if _SECTION else "",
        re.MULTILINE,
    )
)


@dataclass(frozen=True)
class FunctionSettings:
    """The settings of one local stack and its functions."""

    name: str  # of the stack
    port: int  # on the loopback address
    parameters: Mapping[str, str] = field(default_factory=dict)  # of the template, if set
    workers: Workers = field(default_factory=dict)  # the worker classes in app.toml

    @property
    def endpoint_url(self) -> str:
        """The URL for every AWS client."""
        return f"http://127.0.0.1:{self.port}"

    def parameter(self, name: str) -> str:
        """Return the value of a parameter of the template."""
        return self.parameters.get(name) or PARAMETERS[name]

    @property
    def is_legacy(self) -> bool:
        """Whether the API function runs all jobs and tasks."""
        return self.parameter("JobRunner") == "legacy"

    @property
    def work_function(self) -> str:
        """The function that runs jobs and tasks."""
        return "api" if self.is_legacy else "worker"

    @property
    def class_functions(self) -> dict[str, str]:
        """The worker class of each class's function."""
        return {f"worker-{class_name}": class_name for class_name in self.workers}

    @property
    def functions(self) -> tuple[str, ...]:
        """All functions of the stack."""
        return (*FUNCTIONS, *self.class_functions)

    def arn(self, function: str) -> str:
        """Return the ARN of a function, or of its alias if it has one."""
        arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{self.physical_name(function)}"
        return f"{arn}:live" if function in ("api", "worker", *self.class_functions) else arn

    def physical_name(self, function: str) -> str:
        """Return the name that a function has in Lambda."""
        return f"{self.name}-{function}"

    def log_group(self, function: str) -> str:
        """Return the name of a function's log group."""
        return f"/{self.name}/{'worker' if function in self.class_functions else function}"

    def queue_url(self, name: str) -> str:
        """Return the URL of a queue."""
        return f"{self.endpoint_url}/{ACCOUNT}/{name}"

    def timeout(self, function: str) -> int:
        """Return the seconds that an invocation may take."""
        timeout = self._class_setting(function, "timeout")
        if timeout is not None:
            return timeout
        if function == "worker" or function in self.class_functions:
            return int(self.parameter("WorkerTimeout"))
        return 29 if function == "api" else 60

    def memory(self, function: str) -> int:
        """Return the megabytes of a function's memory."""
        memory = self._class_setting(function, "memory")
        if memory is not None:
            return memory
        if function in ("worker", self.work_function, *self.class_functions):
            return int(self.parameter("WorkerMemory"))
        return 1024

    def _class_setting(self, function: str, setting: str) -> int | None:
        """Return a setting that app.toml has for the worker class of a function, or None."""
        class_name = self.class_functions.get(function)
        return self.workers[class_name].get(setting) if class_name else None

    def protected_route(self) -> tuple[str, str]:
        """Return the key and the authorization type of the route that isn't open."""
        if self.parameter("JwtIssuer"):
            return JWT_ROUTE, "JWT"
        return IAM_ROUTE, "AWS_IAM"

    def environment(self, function: str) -> dict[str, str]:
        """Return the environment variables that the template gives a function."""
        legacy = "true" if self.is_legacy else ""
        queue = self.parameter("WorkQueueName")
        variables = {} if function == "worker" else self._worker_variables(function)
        if function == "api":
            variables |= {
                "ACCESS_MODE": "jwt" if self.parameter("JwtIssuer") else "iam",
                "JWT_ORGANIZATION_CLAIM": self.parameter("JwtOrganizationClaim"),
                "JWT_ROLES_CLAIM": self.parameter("JwtRolesClaim"),
                "TEAM_NAME": self.parameter("TeamName"),
                "WORKER_LOG_GROUP_NAME": self.log_group(self.work_function),
            }
        if self.workers:
            variables |= {
                "WORKER_CLASSES": ",".join(self.workers),
                "WORKER_CLASS_PREFIX": self.physical_name("worker-"),
            }
        if function in self.class_functions:
            variables["WORKER_CLASS"] = self.class_functions[function]
        traces = self.parameter("Traces") != "false"
        return variables | {
            "JOB_RUNNER": self.parameter("JobRunner"),
            "JOBS_TABLE_NAME": TABLE,
            "COORDINATION_TABLE_NAME": COORDINATION_TABLE,
            "BUCKET_NAME": BUCKET,
            "DELAY_QUEUE_URL": self.queue_url(DELAY),
            "EVENT_BUS_NAME": self.parameter("EventBusName"),
            "OUTCOME_TOPIC_ARN": self.parameter("OutcomeTopicArn"),
            "WEBHOOK_SUBSCRIPTIONS": self.parameter("WebhookSubscriptions"),
            "PUBLIC_URL": self.parameter("PublicUrl") or self.endpoint_url + STAGE,
            "WORK_QUEUE_URL": self.queue_url(queue) if queue else "",
            "RETENTION_DAYS": self.parameter("RetentionDays"),
            "MAX_UNFINISHED_JOBS": self.parameter("MaxUnfinishedJobs"),
            "LOG_PAYLOADS": self.parameter("LogPayloads"),
            "KEEP_TASK_PAYLOADS": self.parameter("KeepTaskPayloads"),
            "WEBHOOK_SECRETS_PATH": f"/{self.name}/webhook-secrets",
            "APP_SETTINGS_PATH": f"/{self.name}/app",
            "POWERTOOLS_SERVICE_NAME": self.name,
            "POWERTOOLS_METRICS_NAMESPACE": "JobRunners",
            "POWERTOOLS_LOG_LEVEL": self.parameter("LogLevel"),
            "TRACES": "true" if traces else "false",
            **({"OTEL_SERVICE_NAME": self.name} if traces else {}),
            "PYDANTIC_DISABLE_PLUGINS": "true",
            "API_RUNS_WORK": legacy,
            "JOBS_SYNC": legacy,
            "TASKS_SYNC": legacy,
            "JOBS_SAME_PROCESS": "",
            "JOB_TIMEOUT_SECONDS": "",
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ENDPOINT_URL_LAMBDA": "",
        }

    def _worker_variables(self, function: str) -> dict[str, str]:
        """Return the variable with the function to which another function sends jobs and tasks."""
        if function == "api" and self.is_legacy:
            return {}
        worker = "worker" if function in self.class_functions else self.work_function
        return {"WORKER_LAMBDA_FUNCTION_NAME": self.arn(worker)}

    def lambda_environment(self, function: str) -> dict[str, str]:
        """Return the variables that Lambda itself sets."""
        return {
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_LAMBDA_FUNCTION_NAME": self.physical_name(function),
            "AWS_LAMBDA_FUNCTION_VERSION": "1",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self.memory(function)),
            "AWS_LAMBDA_LOG_GROUP_NAME": self.log_group(function),
        }

    def stack(self, access_key: str, secret: str, own_outputs: Mapping[str, str]) -> Stack:
        """Return the stack's addresses and names."""
        return replace(
            Stack.from_outputs(self.name, REGION, self.outputs(), self.endpoint_url),
            aws_access_key_id=access_key,
            aws_secret_access_key=secret,
            own_outputs=own_outputs,
        )

    def outputs(self) -> dict[str, str]:
        """Return the template's outputs."""
        return {
            "ApiId": API_ID,
            "ApiUrl": self.endpoint_url + STAGE,
            "JobsTableName": TABLE,
            "CoordinationTableName": COORDINATION_TABLE,
            "BucketName": BUCKET,
            "WorkerFunctionArn": self.arn(self.work_function),
            "TimerFunctionName": self.physical_name("timer"),
            "FailuresFunctionName": self.physical_name("failures"),
            "FailuresQueueUrl": self.queue_url(FAILURES),
            "FailuresDeadLetterQueueUrl": self.queue_url(DEAD_LETTERS[FAILURES]),
            "DelayQueueUrl": self.queue_url(DELAY),
            **{f"{name.title()}LogGroupName": self.log_group(name) for name in FUNCTIONS},
            "AccessLogGroupName": self.log_group("access"),
            **({"WorkerClasses": ",".join(self.workers)} if self.workers else {}),
        }

    def resources(self) -> dict[str, tuple[str, str]]:
        """Return the type and the physical id of each resource, by its name in the template."""
        log_groups = {
            f"{name.title()}LogGroup": ("AWS::Logs::LogGroup", self.log_group(name))
            for name in FUNCTIONS
        }
        prefixes = {name: name.title() for name in FUNCTIONS}  # of the names in the template
        for name, class_name in self.class_functions.items():
            prefixes[name] = f"{class_name.title()}Worker"
        functions = {
            f"{prefix}Function": ("AWS::Lambda::Function", self.physical_name(name))
            for name, prefix in prefixes.items()
        }
        return {
            **log_groups,
            **functions,
            "HttpApi": ("AWS::ApiGatewayV2::Api", API_ID),
            "JobsTable": ("AWS::DynamoDB::Table", TABLE),
            "CoordinationTable": ("AWS::DynamoDB::Table", COORDINATION_TABLE),
            "Bucket": ("AWS::S3::Bucket", BUCKET),
            "DelayQueue": ("AWS::SQS::Queue", self.queue_url(DELAY)),
            "FailuresQueue": ("AWS::SQS::Queue", self.queue_url(FAILURES)),
            "DelayQueueSource": ("AWS::Lambda::EventSourceMapping", _uuid(DELAY)),
            "FailuresQueueSource": ("AWS::Lambda::EventSourceMapping", _uuid(FAILURES)),
        }


def _uuid(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, name))
