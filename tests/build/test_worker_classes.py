"""Worker classes: their declaration in app.toml, and their functions in the template."""

import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from app_folders import write_app
from expanded_template import (
    Template,
    actions,
    allowed,
    deployed_from,
    expanded_from,
    of_type,
    properties,
    references,
)
from in_project import jobs, python
from job_runners.building.app_folder import CLASS_SETTINGS, UnusableAppFolder, read_workers
from job_runners.building.deploy import outputs_for_our_template
from job_runners.building.sam_folder import write_sam_folder
from job_runners.building.worker_classes import _PROPERTIES, add_worker_functions
from job_runners.places import CODE, ROOT

TEXT = (CODE / "template.yaml").read_text()
LARGE = {"memory": 4096, "timeout": 1800, "storage": 4096, "concurrency": 5}
TWO: dict[str, dict[str, int]] = {"large": LARGE, "tiny": {}}
EIGHT: dict[str, dict[str, int]] = {f"class{n}{'x' * 10}": LARGE for n in range(8)}
WITH_LARGE = "[workers.large]\nmemory = 4096\n"
JOB = """
from job_runners.work import Job
JOBS = {
    'report': Job('acme.lists:read_list', %s),
}
"""
WORK = """
from pydantic import BaseModel
class ReadList(BaseModel):
    text: str
def read_list(job, payload: ReadList):
    return [payload.text]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rendered")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a new project with a worker class, and a job of that class."""
    done = jobs(tmp_path, "init", "acme")
    assert done.returncode == 0, done.stderr
    files = {"acme/__init__.py": JOB % "worker='large'", "acme/lists.py": WORK}
    write_app(tmp_path / "acme", files)
    (tmp_path / "acme" / "app.toml").write_text(WITH_LARGE)
    return tmp_path / "acme"


def with_classes(folder: Path, workers: dict[str, dict[str, int]], **given: str) -> Template:
    """Return the template with these classes as CloudFormation makes it."""
    return deployed_from(written(folder, json.dumps(workers)), **given)


@cache
def written(folder: Path, workers: str) -> Path:
    path = folder / f"{abs(hash(workers))}.json"
    path.write_text(add_worker_functions(TEXT, json.loads(workers)))
    return path


# --- the declaration ------------------------------------------------------------------------------


def test_classes_are_read_in_their_order(tmp_path: Path) -> None:
    text = 'services = ["ses"]\n[workers.large]\nmemory = 4096\n[workers.tiny]\n'
    app = write_app(tmp_path, {"app.toml": text})
    assert list(app.workers.items()) == [("large", {"memory": 4096}), ("tiny", {})]
    assert app.services == {"ses"}


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("[workers.Large]", 1, "'Large' can't be the name of a worker class"),
        ("\n[workers.default]", 2, "'default' can't be the name"),
        (f"[workers.{'x' * 17}]", 1, "up to 16 lower-case letters"),
        ("[workers.large]\n\nmemory = 128", 3, "memory is 128. It must be a whole number from 256"),
        ("[workers.large]\ntimeout = 1801", 2, "from 5 to 1800"),
        ("[workers.a]\nmemory = 512\n[workers.b]\nmemory = 9", 4, "memory is 9"),
        ("[workers.large]\nstorage = '4 GB'", 2, "storage is '4 GB'"),
        ("[workers.large]\nconcurrency = true", 2, "concurrency is True"),
        ("[workers.large]\nmemori = 512", 2, "no setting memori. Did you mean memory?"),
        ("[workers.large]\ncolor = 1", 2, "Use memory, timeout, storage, concurrency"),
        ("[workers.large]\n# memory\ntimeout = 60\nmemory = 9", 4, "memory is 9"),
        ("[workers.large]\nconcurrency = 0", 2, "With 0, Lambda would run no work of the class"),
        ("[workers.large]\nservices = []", 2, "no setting services. Move it above the first table"),
        ("services = []\n[worker.large]", 2, "setting worker. Did you mean [workers.large]?"),
        ("[worker]\nmemory = 512", 1, "setting worker. Did you mean [workers.NAME]?"),
        ("[large]\nmemory = 512", 1, "setting large. Did you mean [workers.large]?"),
        ("\nservice = ['ses']", 2, "setting service. Did you mean services?"),
        ("[workers.large]\n[ tool.ruff ]", 2, "setting tool. Use services and [workers.NAME]"),
        ("[workers]\nlarge = 1", 2, "large must be a table: [workers.large]"),
        ("[workers]\nlarge.memory = 9", 2, "memory is 9"),
        (
            "".join(f"[workers.c{n}]\n" for n in range(9)),
            9,
            "c8 is one worker class too many. At most 8 are possible, and 9 are declared",
        ),
    ],
)
def test_a_mistake_in_a_class_is_refused_with_its_line(
    text: str, line: int, said: str, tmp_path: Path
) -> None:
    with pytest.raises(UnusableAppFolder) as refused:
        write_app(tmp_path, {"app.toml": text})
    assert str(refused.value).startswith(f"{tmp_path / 'app.toml'}:{line}: ")
    assert said in str(refused.value)


def test_workers_must_be_tables(tmp_path: Path) -> None:
    with pytest.raises(UnusableAppFolder, match=r"must be tables, such as \[workers.large\]"):
        write_app(tmp_path, {"app.toml": "workers = 3"})


def test_a_class_has_the_limits_of_the_template() -> None:
    declared = expanded_from(CODE / "template.yaml")["Parameters"]
    for setting, (_, name) in _PROPERTIES.items():
        if name is None:
            continue
        limits = (declared[name]["MinValue"], declared[name]["MaxValue"])
        assert CLASS_SETTINGS[setting] == limits


@pytest.mark.parametrize(
    ("given", "said"),
    [("worker='larg'", "has no [workers.larg]. Did you mean large?"), ("worker='x'", "Declare it")],
)
def test_a_build_refuses_work_of_an_undeclared_class(given: str, said: str, project: Path) -> None:
    (project / "acme" / "__init__.py").write_text(JOB % given)
    done = python(project, "-m", "job_runners.building.build", project=project)
    assert done.returncode == 1
    assert "JOBS: 'report' (acme/__init__.py, line 4): app.toml " in done.stderr
    assert said in done.stderr


def test_a_test_of_the_project_refuses_an_undeclared_class(project: Path) -> None:
    (project / "acme" / "__init__.py").write_text(JOB % "worker='larg'")
    test = project / "tests" / "test_own.py"
    test.parent.mkdir(exist_ok=True)
    test.write_text("def test_nothing(job_runner):\n    pass\n")
    words = ("-m", "pytest", "-q", "-p", "job_runners.testing.plugin", str(test))
    done = python(project, *words, project=project)
    assert "Did you mean large?" in done.stdout
    test.write_text(
        "def test_it(job_runner):\n"
        "    assert job_runner.run('report', {'text': 'a'}).result == ['a']\n"
    )
    (project / "acme" / "__init__.py").write_text(JOB % "worker='large'")
    done = python(project, *words, project=project)
    assert "1 passed" in done.stdout, done.stdout


def test_the_name_of_a_class_and_of_the_stack_must_fit_lambda(project: Path) -> None:
    config = project / "samconfig.toml"
    config.write_text(config.read_text().replace('"acme"', f'"{"a" * 52}"'))
    done = jobs(project, "build", project=project)
    assert done.returncode == 1
    assert f"{project / 'app.toml'}:1: the function of this worker class would be" in done.stderr
    assert "has 65 characters. Lambda allows 64. Shorten" in done.stderr


# --- the folder that sam reads --------------------------------------------------------------------


def test_a_project_without_classes_gets_the_template_unchanged(project: Path) -> None:
    (project / "app.toml").unlink()
    code = "from job_runners.building.sam_folder import write_sam_folder\nwrite_sam_folder()"
    assert python(project, "-c", code, project=project).stderr == ""
    assert (project / ".jobs" / "template.yaml").read_text() == TEXT
    assert add_worker_functions(TEXT, {}) == TEXT


def test_an_ejected_template_gets_the_classes_too(project: Path) -> None:
    assert jobs(project, "eject", project=project).returncode == 0
    own = project / "template.yaml"
    own.write_text(own.read_text().replace("Handler: handlers.worker.handler", "Handler: my.own"))
    code = "from job_runners.building.sam_folder import write_sam_folder\nwrite_sam_folder()"
    assert python(project, "-c", code, project=project).stderr == ""
    made = json.loads((project / ".jobs" / "template.yaml").read_text())
    assert made["Resources"]["LargeWorkerFunction"]["Properties"]["Handler"] == "my.own"
    assert "LargeWorkerFunction" not in own.read_text()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  WorkerFunction:", "  MyFunction:", "lacks WorkerFunction,"),
        ("  WorkerFunctionRole:", "  MyRole:", "lacks WorkerFunctionRole,"),
        ("  TimerFunction:", "  MyTimer:", "lacks TimerFunction,"),
        (
            "Alias: live\n      AutoPublishAliasAll",
            "Alias: my\n      AutoPublishAliasAll",
            "lacks Auto",
        ),
        (
            "Sid: SendToWorker",
            "Sid: Send",
            "lacks the statement SendToWorker in the policies of ApiFunction,",
        ),
        ("Outputs:", "  LargeWorkerFunction: {}\nOutputs:", "has LargeWorkerFunction, which a"),
        ("Outputs:", "Outputs: [", " is not YAML: did not find expected ',' or ']'"),
    ],
)
def test_an_ejected_template_without_a_needed_part_is_refused_once(
    old: str, new: str, said: str, project: Path
) -> None:
    assert jobs(project, "eject", project=project).returncode == 0
    own = project / "template.yaml"
    text = own.read_text()
    assert old in text
    own.write_text(re.sub(f"(?<=\n){old}" if old[0] == " " else old, new, text, count=1))
    done = jobs(project, "build", project=project)
    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_ejected_template_may_lack_what_no_class_needs(project: Path) -> None:
    assert jobs(project, "eject", project=project).returncode == 0
    own = project / "template.yaml"
    text = own.read_text()
    for old in ("WorkerThrottlesAlarm", "MetricsDashboardPage", "WorkerPutsEvents"):
        text, count = re.subn(rf"\n  {old}:\n.*?(?=\n\n|\n  \w+:\n)", "", text, flags=re.DOTALL)
        assert count == 1
    assert text.count("\n      Policies:\n") > 2
    own.write_text(text.replace("\n      Policies:\n", "\n      Policies:\n        - Mine\n"))
    code = "from job_runners.building.sam_folder import write_sam_folder\nwrite_sam_folder()"
    assert python(project, "-c", code, project=project).stderr == ""
    made = json.loads((project / ".jobs" / "template.yaml").read_text())["Resources"]
    assert {"LargeWorkerFunction", "LargeWorkerRecursionAlarm"} <= made.keys()
    assert "LargeWorkerThrottlesAlarm" not in made


def test_a_plain_sam_build_in_a_checkout_refuses_classes(project: Path) -> None:
    words = ["-m", "job_runners.building.build", str(project / "built"), "--for", "machine"]

    def built(**variables: str) -> str:
        done = subprocess.run(
            [sys.executable, *words],
            env={**os.environ, "JOBS_PROJECT": str(project), **variables},
            cwd=CODE,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode == 0) == (project / "built").exists()
        return done.stderr

    refused = "declares the worker classes large, which the template of this sam build lacks. Run"
    assert f"{project / 'app.toml'} {refused} make build instead" in built()
    assert refused in built(WORKER_CLASSES="tiny")
    assert not (project / "built").exists()
    assert built(WORKER_CLASSES="large") == ""
    (line,) = (
        each
        for each in (CODE / "Makefile").read_text().splitlines()
        if each.startswith("\t@template=")
    )
    assert "job_runners.building.sam_folder" in line  # which writes the template with classes
    done = subprocess.run(
        [sys.executable, "-m", "job_runners.building.sam_folder"],
        env={**os.environ, "JOBS_PROJECT": str(project)},
        cwd=CODE,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{project / '.jobs' / 'template.yaml'}\n"
    assert "export WORKER_CLASSES := large\n" in (project / ".jobs" / "Makefile").read_text()


# --- the template ---------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [TWO, EIGHT], ids=["two", "eight"])
@pytest.mark.parametrize("canary", ["false", "Canary10Percent5Minutes"])
def test_no_resource_refers_back_to_itself_and_every_reference_names_something(
    workers: dict[str, dict[str, int]], canary: str, folder: Path
) -> None:
    template = expanded_from(written(folder, json.dumps(workers)), WorkerCanary=canary)
    resources = template["Resources"]
    waiting = {
        name: (references(each) | _depends_on(each)) & resources.keys()
        for name, each in resources.items()
    }
    while free := {name for name, needs in waiting.items() if not needs}:
        waiting = {name: needs - free for name, needs in waiting.items() if name not in free}
    assert waiting == {}
    known = {*resources, *template["Parameters"]}
    used = references(resources) | references(template["Outputs"])
    assert {name for name in used if not name.startswith("AWS::")} <= known


def _depends_on(resource: dict[str, Any]) -> set[str]:
    named = resource.get("DependsOn", [])
    return {named} if isinstance(named, str) else set(named)


@pytest.mark.parametrize("workers", [TWO, EIGHT], ids=["two", "eight"])
def test_the_template_with_classes_passes_the_linter(
    workers: dict[str, dict[str, int]], folder: Path
) -> None:
    command = [str(ROOT / ".venv-aws/bin/cfn-lint"), "--non-zero-exit-code", "error"]
    path = written(folder, json.dumps(workers))
    done = subprocess.run(
        [*command, "--template", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_eight_classes_stay_far_below_the_limits_of_aws(folder: Path) -> None:
    template = with_classes(folder, EIGHT)
    assert len(template["Resources"]) <= 250  # of 500
    for name, role in of_type(template, "AWS::IAM::Role").items():
        apart = [
            each["Properties"]
            for each in of_type(template, "AWS::IAM::Policy").values()
            if {"Ref": name} in each["Properties"]["Roles"]
        ]
        policies = [*role["Properties"].get("Policies", []), *apart]
        documents = [json.dumps(each["PolicyDocument"], separators=(",", ":")) for each in policies]
        assert sum(map(len, documents)) < 9000, name  # of 10,240
    for function in of_type(template, "AWS::Lambda::Function").values():
        assert len(json.dumps(function["Properties"].get("Environment", {}))) < 3500  # of 4,096
        assert len(function["Properties"].get("Description", "")) <= 256


def test_a_class_has_its_own_settings_and_inherits_the_others(folder: Path) -> None:
    template = with_classes(
        folder,
        TWO,
        WorkerMemory="2048",
        WorkerReservedConcurrency="9",
        WorkerProvisionedConcurrency="2",
        WorkerPolicyArn="arn:aws:iam::123456789012:policy/mine",
        TinyWorkerPolicyArn="arn:aws:iam::123456789012:policy/tiny",
    )
    worker, large, tiny = (
        properties(template, f"{name}WorkerFunction") for name in ("", "Large", "Tiny")
    )
    assert (large["MemorySize"], large["Timeout"]) == (4096, 1800)
    assert large["EphemeralStorage"] == {"Size": 4096}
    assert large["ReservedConcurrentExecutions"] == 5
    assert "ReservedConcurrentExecutions" not in tiny
    for name in ("MemorySize", "Timeout", "EphemeralStorage", "Handler", "LoggingConfig"):
        assert tiny[name] == worker[name]
    aliases = of_type(template, "AWS::Lambda::Alias")
    assert "ProvisionedConcurrencyConfig" in aliases["WorkerFunctionAliaslive"]["Properties"]
    assert (
        "ProvisionedConcurrencyConfig" not in aliases["LargeWorkerFunctionAliaslive"]["Properties"]
    )
    assert large["FunctionName"] == {"Fn::Sub": "${AWS::StackName}-worker-large"}
    assert "FunctionName" not in worker  # a name would replace the function
    variables = large["Environment"]["Variables"]
    assert variables["WORKER_CLASS"] == "large"
    assert variables["WORKER_LAMBDA_FUNCTION_NAME"] == {"Ref": "WorkerFunctionAliaslive"}
    for each in (worker, large, properties(template, "ApiFunction")):
        assert each["Environment"]["Variables"]["WORKER_CLASSES"] == "large,tiny"
        prefix = each["Environment"]["Variables"]["WORKER_CLASS_PREFIX"]
        assert prefix == {"Fn::Sub": "${AWS::StackName}-worker-"}
    own = {"Ref": "TinyWorkerPolicyArn"}
    assert own in properties(template, "TinyWorkerFunctionRole")["ManagedPolicyArns"]
    managed = properties(template, "LargeWorkerFunctionRole")["ManagedPolicyArns"]
    assert all("Ref" not in each for each in managed)  # neither the worker's nor another's


def test_the_stack_of_the_project_hands_over_the_policy_of_a_class(folder: Path) -> None:
    policy = {"LargeWorkerPolicyArn": "arn:aws:iam::123456789012:policy/render"}
    outputs = policy | {"HugeWorkerPolicyArn": "arn:aws:iam::123456789012:policy/huge"}
    assert outputs_for_our_template(outputs, written(folder, json.dumps(TWO)), ()) == policy


def test_lambda_treats_a_class_like_the_worker(folder: Path) -> None:
    template = with_classes(folder, TWO)
    for part in ("RecursiveLoop", "SnapStart"):
        worker = properties(template, "WorkerFunction")[part]
        assert properties(template, "TinyWorkerFunction")[part] == worker
    configs = of_type(template, "AWS::Lambda::EventInvokeConfig")
    worker, large = (
        configs[f"{each}WorkerFunctionEventInvokeConfig"]["Properties"] for each in ("", "Large")
    )
    assert large | {"FunctionName": 0, "Qualifier": 0} == worker | {
        "FunctionName": 0,
        "Qualifier": 0,
    }
    assert large["MaximumRetryAttempts"] == 0


def test_a_class_with_much_storage_does_without_snapshots(folder: Path) -> None:
    template = with_classes(folder, TWO, SnapStart="true")
    assert properties(template, "WorkerFunction")["SnapStart"]["ApplyOn"] == "PublishedVersions"
    assert properties(template, "TinyWorkerFunction")["SnapStart"]["ApplyOn"] == "PublishedVersions"
    assert properties(template, "LargeWorkerFunction")["SnapStart"]["ApplyOn"] == "None"


@pytest.mark.parametrize("changed", ["memory", "timeout", "storage", "concurrency"])
def test_a_changed_size_publishes_a_version(changed: str, folder: Path) -> None:
    smaller = {"large": LARGE | {changed: LARGE[changed] + 1}}
    found = [version_of(with_classes(folder, each)) for each in ({"large": LARGE}, smaller)]
    assert found[0][0] != found[1][0]


def test_a_version_is_described_by_the_values_that_its_function_reads(folder: Path) -> None:
    """Lambda publishes no version of an unchanged function."""
    one = {"large": LARGE}
    _, before = version_of(with_classes(folder, one))
    for name in ("WorkerMemory", "WorkerTimeout", "WorkerEphemeralStorage", "SnapStart"):
        assert f"${{{name}}}" not in json.dumps(before)
    _, tiny = version_of(with_classes(folder, {"large": {}}))
    assert "${WorkerMemory}" in json.dumps(tiny)


def version_of(template: Template) -> tuple[str, Any]:
    """Return the logical id and the description of the version of the class large."""
    versions = of_type(template, "AWS::Lambda::Version")
    (name,) = (each for each in versions if each.startswith("Large"))
    return name, versions[name]["Properties"]["Description"]


@pytest.mark.parametrize("legacy", ["lambda-async", "legacy"])
def test_every_sender_may_invoke_every_worker_and_nothing_else(legacy: str, folder: Path) -> None:
    template = with_classes(folder, TWO, JobRunner=legacy)
    aliases = [f"{each}WorkerFunctionAliaslive" for each in ("", "Large", "Tiny")]
    for sender in ("WorkerFunction", "LargeWorkerFunction", "TinyWorkerFunction"):
        assert invoked_by(template, sender) == set(aliases)
    if legacy == "lambda-async":
        for sender in ("ApiFunction", "FailuresFunction"):
            assert invoked_by(template, sender) == set(aliases)
        assert invoked_by(template, "TimerFunction") == {*aliases, "TimerFunction"}


def invoked_by(template: Template, function: str) -> set[str]:
    return {name for action, name in allowed(template, function) if "Invoke" in action}


def test_a_class_may_do_what_the_worker_may(folder: Path) -> None:
    given = {"EventBusName": "bus", "OutcomeTopicArn": "arn:aws:sns:us-east-1:123456789012:ends"}
    template = with_classes(folder, TWO, **given)
    assert allowed(template, "LargeWorkerFunction") == allowed(template, "WorkerFunction")
    statements = properties(template, "LargeWorkerFunctionRole")["Policies"][0]["PolicyDocument"]
    assert any("dynamodb:GetItem" in actions(each) for each in statements["Statement"])


def test_alarms_the_dashboard_and_the_outputs_cover_each_class(folder: Path) -> None:
    template = with_classes(folder, TWO, WorkerCanary="Canary10Percent5Minutes")
    for alarm in ("Throttles", "Recursion", "Errors"):
        dimensions = properties(template, f"LargeWorker{alarm}Alarm")["Dimensions"]
        assert {"Name": "FunctionName", "Value": {"Ref": "LargeWorkerFunction"}} in dimensions
    legacy = with_classes(folder, TWO, JobRunner="legacy")
    (dimension,) = properties(legacy, "LargeWorkerThrottlesAlarm")["Dimensions"]
    assert dimension["Value"] == {"Ref": "LargeWorkerFunction"}
    body, _ = properties(template, "MetricsDashboardPage")["DashboardBody"]["Fn::Sub"]
    text = body.replace("${!", "${")
    for metric in ("ConcurrentExecutions", "Throttles", "Errors", "AsyncEventAge"):
        assert f'"AWS/Lambda", "{metric}", "FunctionName", "${{TinyWorkerFunction}}"' in text
    assert "throttled (large)" in text
    json.loads(text)
    assert template["Outputs"]["WorkerClasses"] == {"Value": "large,tiny"}


def test_nothing_of_the_default_worker_refers_to_a_class(folder: Path) -> None:
    """Otherwise adding a class would make a circular reference."""
    template = with_classes(folder, TWO)
    for name in ("WorkerFunction", "WorkerFunctionRole"):
        assert not [each for each in references(template["Resources"][name]) if "Large" in each]


def test_classes_are_part_of_the_project_in_this_checkout(tmp_path: Path) -> None:
    assert read_workers(tmp_path / "app.toml") == {}
    assert write_sam_folder() == ROOT  # the tests have no project
    assert write_app(tmp_path).workers == {}
