"""What a user of a clean clone is promised. No refactoring may break or change it.

The tests use only public names: commands, files, handlers in the template, variables, HTTP, and the
modules that the author of a job or a runner imports.
"""

import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from job_runners import Client
from job_runners.client.signing import Bearer
from local_stack import Deployed, roomy_home
from runtime_emulator import RuntimeEmulator, runtime_emulator
from stack_clients import StackApi

pytestmark = pytest.mark.e2e

CHECKOUT = Path(__file__).parents[2]
STACK = "contract"
APP_STACK = f"{STACK}-app"  # the one that `job-runners deploy` would make for the campaign
PATIENCE = 60  # seconds
BUILT = ".aws-sam/build"
TOP_LEVEL = {"handlers", "runners", "template.yaml", "tests", "events", "Makefile"}
LIBRARIES = {"aws-lambda-powertools", "boto3", "pynamodb", "moto"}
# The words in the names of sample events that the functions refuse.
REFUSED = "unknown|wrong|bad|body|_no_|two_keys|too_large|finished|_not_|malformed"
# Their order matters: the others use the job of the first, as events/README.md says.
ONE_JOB = "post_job_idempotent", "cancel_job_finished", "retry_job_finished", "delete_job"


# --- a clean clone, with a job and a task added to the built-in ones --------------------------

GREET = """import os
from pydantic import BaseModel

class Greet(BaseModel):
    name: str

def greet({parameters}payload: Greet):
    print(f"Greeted {{payload.name}}")
    function = os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "no function")
    return {{"greeting": f"Hello, {{payload.name}}", "function": function}}
"""


def add_built_in(clone: Path, kind: str, parameters: str) -> None:
    """Add the job or task `greet`: its file, a name in the enum, and a function in the map."""
    folder = clone / "job_runners" / "shipped" / f"{kind}s"
    (folder / "greet.py").write_text(GREET.format(parameters=parameters))
    names, table = folder / "names.py", folder / "table.py"
    names.write_text(f'{names.read_text()}    GREET = "greet"\n')
    entry = f'{kind.title()}s.GREET: {kind.title()}("job_runners.shipped.{kind}s.greet:greet"),'
    begin = rf"(?m)^({kind.upper()}S: .*= \{{)$"
    table.write_text(re.sub(begin, rf"\1\n    {entry}", table.read_text()))


def own_work(folder: Path) -> dict[str, str]:
    """Return the variables with which commands in the clone use a project."""
    return {"PROJECT": str(folder), "JOBS_PROJECT": str(folder)}


@dataclass(frozen=True)
class Clone:
    """The clone, and the local AWS that its commands reach."""

    folder: Path
    aws: Mapping[str, str]  # the variables with which a process reaches the local AWS

    def run(self, *command: str, fails: bool = False, **variables: str) -> str:
        """Run a command in the clone, and return its output."""
        path = f"{CHECKOUT / '.venv-aws' / 'bin'}{os.pathsep}{os.environ['PATH']}"
        sam = {"SAM_CLI_TELEMETRY": "0", "__SAM_CLI_APP_DIR": str(self.folder / ".sam")}
        env = {**sam, **self.aws, "HOME": os.environ["HOME"], "PATH": path, **variables}
        done = subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True)
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    def build(self, artifacts: Path, own: Path, *, fails: bool = False) -> str:
        """Run the target that `sam build` calls, with an organization's own folder."""
        target = "build-ApiFunction", f"ARTIFACTS_DIR={artifacts}"
        return self.run("make", *target, fails=fails, **own_work(own))

    def client(self, service: str) -> Any:
        """Return a client of the local AWS."""
        key, secret = self.aws["AWS_ACCESS_KEY_ID"], self.aws["AWS_SECRET_ACCESS_KEY"]
        make: Callable[..., Any] = boto3.Session(
            key, secret, region_name=self.aws["AWS_REGION"]
        ).client
        return make(service, endpoint_url=self.aws["AWS_ENDPOINT_URL"])

    def resource(self, name: str) -> str:
        """Return the physical id of a resource of the deployed stack."""
        describe = self.client("cloudformation").describe_stack_resource
        found = describe(StackName=STACK, LogicalResourceId=name)
        return str(found["StackResourceDetail"]["PhysicalResourceId"])


def make_clone(folder: Path, deployed: Deployed) -> Clone:
    """Copy all files that git tracks, or would, and prepare the clone as its user does."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.check_output(listing, cwd=CHECKOUT, text=True).rstrip("\0").split("\0")
    for name in listed:
        if os.path.lexists(CHECKOUT / name):  # and isn't deleted
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, folder / name, follow_symlinks=False)
    # Use the checkout's environment and cache, because both take a minute to make.
    (folder / ".venv").mkdir()
    for entry in (CHECKOUT / ".venv").iterdir():
        (folder / ".venv" / entry.name).symlink_to(entry)
    stamp = folder / ".venv" / "made-from"  # names the folder of its environment
    text = stamp.read_text()
    stamp.unlink()
    stamp.write_text(re.sub(r"\A(\d+ \d+) .*", rf"\1 {folder}", text))
    (CHECKOUT / ".build").mkdir(exist_ok=True)
    (folder / ".build").symlink_to(CHECKOUT / ".build")
    (folder / ".sam").mkdir()
    checked = {"lastVersionCheck": time.time()}  # otherwise SAM asks PyPI for its newest version
    (folder / ".sam" / "metadata.json").write_text(json.dumps(checked))
    add_built_in(folder, "job", "job, ")
    add_built_in(folder, "task", "")
    variables = {
        "AWS_ACCESS_KEY_ID": deployed.stack.aws_access_key_id,
        "AWS_SECRET_ACCESS_KEY": deployed.stack.aws_secret_access_key,
        "AWS_ENDPOINT_URL": deployed.stack.endpoint_url,
        "AWS_REGION": deployed.stack.region,
        "AWS_DEFAULT_REGION": deployed.stack.region,
    }
    overrides = [
        f"Architecture={platform.machine().replace('aarch64', 'arm64')}",
        f"PythonRuntime=python3.{sys.version_info.minor}",
        f"AwsEndpointUrl={deployed.stack.endpoint_url}",
        "DeletionProtection=false",
    ]
    config = (folder / "samconfig.toml").read_text()
    for key, value in {"stack_name": STACK, "parameter_overrides": overrides}.items():
        config = re.sub(rf"(?m)^{key} = .*$", f"{key} = {json.dumps(value)}", config)
    (folder / "samconfig.toml").write_text(config)
    return Clone(folder, variables)


@pytest.fixture(scope="module")
def clone(deployed: Deployed) -> Iterator[Clone]:
    """Yield the clone after SAM's plain commands."""
    with roomy_home() as home:
        clone = make_clone(home.resolve() / "clone", deployed)
        clone.run("sam", "build")
        clone.run("sam", "deploy", SAM_CLI_POLL_DELAY="0.3")
        yield clone
        # Otherwise its timer would run next to other tests.
        clone.client("cloudformation").delete_stack(StackName=STACK)


@pytest.fixture
def contacts_table(clone: Clone) -> Iterator[None]:
    """Deploy the campaign's own stack for the clone's.

    `sam deploy` alone makes no contacts table. The campaign's jobs need one.
    """
    cloudformation = clone.client("cloudformation")
    cloudformation.create_stack(
        StackName=APP_STACK,
        TemplateBody=(clone.folder / "examples/campaign/own.template.yaml").read_text(),
        Parameters=[{"ParameterKey": "JobsStackName", "ParameterValue": STACK}],
        Capabilities=["CAPABILITY_IAM"],
    )
    waiter = cloudformation.get_waiter("stack_create_complete")
    waiter.wait(StackName=APP_STACK, WaiterConfig={"Delay": 1, "MaxAttempts": PATIENCE})
    yield
    cloudformation.delete_stack(StackName=APP_STACK)


# --- functions without a container, as `sam local invoke` runs them ----------------------------


class Functions:
    """Functions of a built tree, each in a process of its own under SAM's emulator of Lambda."""

    def __init__(self, clone: Clone, tree: Path, logs: Path, variables: Mapping[str, str]) -> None:
        self._template = (clone.folder / BUILT / "template.yaml").read_text()
        self._events = clone.folder / "events"
        self._tree = tree
        self._logs = logs
        self.variables = {**self._settings(clone), **variables}
        self._running: dict[str, tuple[RuntimeEmulator, ExitStack]] = {}

    def _settings(self, clone: Clone) -> dict[str, str]:
        """Return the variables of events/env.json, with the names that the stack has.

        The jobs read the settings of this stack, not of the one that env.json names.
        """
        given: dict[str, str] = json.loads((self._events / "env.json").read_text())["Parameters"]
        for name, value in given.items():
            assert re.search(rf"(?m)^ +{name}:", self._template)  # otherwise SAM ignores it
            if f"\n  {value}:\n" in self._template:
                given[name] = clone.resource(value)
            elif value.startswith("http://host.docker.internal"):
                given[name] = clone.aws["AWS_ENDPOINT_URL"]
        return given | {"APP_SETTINGS_PATH": f"/{STACK}/app"} | dict(clone.aws)

    def invoke(self, name: str, event: object) -> Any:
        """Return the response of a function, such as `api`, to an event."""
        if name not in self._running:
            _, _, resource = self._template.partition(f"\n  {name.title()}Function:\n")
            handler = re.findall(r"(?m)^      Handler: (\S+)$", resource)[0]
            stop, log = ExitStack(), self._logs / f"{name}.log"
            emulator = runtime_emulator(handler, self._tree, self.variables, log)
            self._running[name] = stop.enter_context(emulator), stop
        return self._running[name][0].invoke(event)

    def stop(self) -> None:
        """Stop all at the same time, because each takes seconds."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda running: running[1].close(), self._running.values()))

    def request(self, method: str, path: str, body: object = None) -> Any:
        """Return the response's body to a request of an HTTP API, which must be accepted."""
        event = json.loads((self._events / "api_list_jobs.json").read_text())
        event |= {"rawPath": path, "rawQueryString": "", "queryStringParameters": {}}
        event["requestContext"]["http"] |= {"method": method, "path": path}
        event["headers"]["content-type"] = "application/json"
        answer = self.invoke("api", event | {"body": json.dumps(body)})
        assert answer["statusCode"] in {200, 202}, answer
        return json.loads(answer["body"])

    def dispatch(self, job_type: str, payload: Mapping[str, str]) -> str:
        """Return the id of a new job."""
        job = {"job_type": job_type, "organization_id": "acme", "payload": payload}
        return str(self.request("POST", "/jobs", job)["id"])

    def dispatch_task(self, task_name: str, payload: Mapping[str, str]) -> None:
        self.request("POST", "/tasks", {"task_name": task_name, "payload": payload})

    def status(self, job_id: str) -> str:
        return str(self.request("GET", f"/jobs/{job_id}")["status"])

    def result(self, job_id: str) -> Any:
        """Return a job's result as soon as it has succeeded."""
        deadline = time.monotonic() + PATIENCE
        while (status := self.status(job_id)) != "succeeded":
            assert status in {"queued", "running"}
            assert time.monotonic() < deadline
            time.sleep(0.1)
        return self.request("GET", f"/jobs/{job_id}")["result"]

    def wrong_answer(self, name: str) -> object:
        """Return the response to a sample event, unless it is the one that its name promises."""
        event = json.loads((self._events / f"{name}.json").read_text())
        function, refused = name.partition("_")[0], bool(re.search(REFUSED, name))
        answer = self.invoke(function, event)
        if function != "api":
            failed = bool(answer and (answer.get("errorType") or answer["batchItemFailures"]))
            return None if failed == refused else answer
        status, body = answer.get("statusCode", 500), answer.get("body", "")
        if refused:
            is_problem = answer["headers"]["Content-Type"] == "application/problem+json"
            return None if is_problem and 400 <= status < 500 else answer
        if status == 202 and event["rawPath"] == "/jobs":
            job_status = self.status(json.loads(body)["id"])
            return None if job_status in {"succeeded", "scheduled"} else f"{body}: {job_status}"
        return None if 200 <= status < 300 else answer


Start = Callable[..., Functions]


@pytest.fixture
def start(clone: Clone, tmp_path: Path) -> Iterator[Start]:
    """Yield a function that starts a tree's functions, which log to tmp_path."""
    with ExitStack() as stops:

        def start(tree: Path = clone.folder / BUILT / "ApiFunction", **variables: str) -> Functions:
            functions = Functions(clone, tree, tmp_path, variables)
            stops.callback(functions.stop)
            return functions

        yield start


# --- the promises ------------------------------------------------------------------------------


def test_the_libraries_and_the_top_level_are_the_agreed_ones() -> None:
    assert {name for name in TOP_LEVEL if not (CHECKOUT / name).exists()} == set()
    locks = "".join(path.read_text() for path in (CHECKOUT / "requirements").glob("*.txt"))
    assert {name for name in LIBRARIES if not re.search(rf"(?m)^{name}(\[|==)", locks)} == set()


def test_sam_deploys_a_clone_that_runs_a_job_and_a_task_through_api_gateway(
    clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in clone.aws.items():
        monkeypatch.setenv(name, value)
    (stack,) = clone.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    (url,) = (o["OutputValue"] for o in stack["Outputs"] if o["OutputKey"] == "ApiUrl")
    assert StackApi(url, Bearer("")).get("/jobs", signed=False).status == 403
    client = Client(stack=STACK)
    result = client.wait(client.dispatch("greet", {"name": "Ada"}), timeout=PATIENCE).get_result()
    assert result == {"greeting": "Hello, Ada", "function": clone.resource("WorkerFunction")}
    client.dispatch_task("greet", {"name": "Grace"})
    logs, group = clone.client("logs"), clone.resource("WorkerLogGroup")
    deadline = time.monotonic() + PATIENCE
    while not logs.filter_log_events(logGroupName=group, filterPattern="Grace")["events"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.usefixtures("contacts_table")
def test_each_sample_event_gets_its_answer_as_sam_local_invoke_runs_it(
    clone: Clone, start: Start
) -> None:
    events = clone.folder / "events"
    contacts = (events / "contacts.csv").read_bytes()
    s3, bucket = clone.client("s3"), clone.resource("Bucket")
    s3.put_object(Bucket=bucket, Key="uploads/default/few.csv", Body=contacts)
    in_order = [f"api_{name}" for name in ONE_JOB]
    in_order += sorted({path.stem for path in events.glob("*.json")} - {*in_order, "env"})
    functions = start()
    answers = {name: functions.wrong_answer(name) for name in in_order}
    assert {name: answer for name, answer in answers.items() if answer is not None} == {}


def test_the_legacy_runner_leaves_jobs_to_its_worker_process(
    clone: Clone, start: Start, tmp_path: Path
) -> None:
    functions = start(JOB_RUNNER="legacy", JOBS_SAME_PROCESS="false", TASKS_SYNC="true")
    job_id = functions.dispatch("greet", {"name": "Ada"})
    assert functions.status(job_id) == "queued"
    command = clone.folder / ".venv/bin/python", "-m", "job_runners.runners.legacy"
    worker = subprocess.Popen(command, cwd=clone.folder, env=functions.variables)
    try:
        assert functions.result(job_id)["function"] == "no function"
    finally:
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(PATIENCE) == 0
    functions.dispatch_task("greet", {"name": "Grace"})
    assert "Greeted Grace" in (tmp_path / "api.log").read_text()


# --- an organization's own folder --------------------------------------------------------------

PACKAGE = """from pydantic import BaseModel
from job_runners.work import Job

class Welcome(BaseModel):
    name: str

def welcome(job, payload: Welcome):
    from acme import runner
    return {{"welcome": payload.name, "dispatched": runner.dispatched}}

JOBS = {{"{job_type}": Job(welcome)}}
"""
RUNNER = """from job_runners.runners import legacy
from job_runners.runners.legacy import dispatch_task, fully_configured
dispatched = []

def dispatch_job(job_data):
    dispatched.append(job_data.job_type)
    return legacy.dispatch_job(job_data)
"""
# The example's runner, without the functions that a runner doesn't have to export.
EXPORTS = "from sqs_runner.runner import dispatch_job, dispatch_task, fully_configured\n"


def write_package(folder: Path, job_type: str) -> None:
    """Write an organization's package."""
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(PACKAGE.format(job_type=job_type))
    (folder / "runner.py").write_text(RUNNER)


@pytest.fixture(scope="module")
def own(clone: Clone, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the tree that a build makes with an organization's own packages."""
    folder = tmp_path_factory.mktemp("own")
    shutil.copytree(clone.folder / "examples" / "sqs_runner", folder, dirs_exist_ok=True)
    (folder / "sqs_runner" / "exports.py").write_text(EXPORTS)
    write_package(folder / "acme", "welcome")
    tree = clone.folder.parent / "own"
    clone.build(tree, folder)
    return tree


def test_a_runner_needs_three_exports_to_run_work_through_a_queue(
    clone: Clone, own: Path, start: Start, tmp_path: Path
) -> None:
    sqs = clone.client("sqs")
    queue = sqs.create_queue(QueueName=f"{STACK}-work")["QueueUrl"]
    functions = start(own, JOB_RUNNER="sqs_runner.exports", WORK_QUEUE_URL=queue)
    job_id = functions.dispatch("greet", {"name": "Ada"})
    functions.dispatch_task("greet", {"name": "Grace"})
    for _ in range(2):
        (message,) = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=20)["Messages"]
        assert functions.invoke("worker", json.loads(message["Body"])) is None
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    assert functions.result(job_id)["greeting"] == "Hello, Ada"
    assert "Greeted Grace" in (tmp_path / "worker.log").read_text()


def test_an_organization_has_its_own_job_and_runner_in_its_package(own: Path, start: Start) -> None:
    functions = start(own, JOB_RUNNER="acme.runner")
    job_id = functions.dispatch("welcome", {"name": "Ada"})
    assert functions.result(job_id) == {"welcome": "Ada", "dispatched": ["welcome"]}


def test_a_build_refuses_a_package_or_a_job_with_one_of_our_names(
    clone: Clone, tmp_path: Path
) -> None:
    taken = "the job 'post_webhook' is defined twice", "the name handlers is taken"
    for package, said in zip(("acme", "handlers"), taken, strict=True):
        write_package(tmp_path / package / package, "post_webhook")
        assert said in clone.build(tmp_path / "tree", tmp_path / package, fails=True)
