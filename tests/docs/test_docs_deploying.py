"""The pages about deploying, compared with the template and the build."""

import re
import tomllib
from pathlib import Path
from string import Template
from typing import Any

import pytest
import yaml

from expanded_template import actions, expanded, expanded_from
from job_runners.building.deploy import Deploy
from job_runners.building.samconfig import SamConfig, Target
from job_runners.building.template_file import parameter_names
from job_runners.cli.app import COMMANDS
from job_runners.places import ROOT
from operator_files import policy

PAGE = (ROOT / "docs/operate/deploying.md").read_text()
CI = (ROOT / "docs/operate/ci.md").read_text()
OBSERVING = (ROOT / "docs/operate/observing.md").read_text()


def test_the_page_tells_how_many_ways_a_canary_has() -> None:
    ways = expanded()["Parameters"]["WorkerCanary"]["AllowedValues"]
    assert len(ways) - 1 == 8
    assert "lists all eight patterns" in PAGE
    for way in re.findall(r"`((?:Canary|Linear)\w+)`", PAGE):
        assert way in ways


def test_the_page_counts_the_resources_of_a_stack() -> None:
    resources = [each["Type"] for each in expanded()["Resources"].values()]
    kinds = {
        "Lambda functions": "Lambda::Function",
        "HTTP API": "ApiGatewayV2::Api",
        "DynamoDB tables": "DynamoDB::Table",
        "S3 bucket": "S3::Bucket",
        "SQS queues": "SQS::Queue",
        "log groups": "Logs::LogGroup",
        "alarms": "CloudWatch::Alarm",
        "CloudWatch dashboard": "CloudWatch::Dashboard",
    }
    section = PAGE.partition("## What a stack contains\n")[2].partition("\n## ")[0]
    shown = dict(re.findall(r"^\| (.+?) \| (\d+) \|", section, re.MULTILINE))
    assert shown == {name: str(resources.count(f"AWS::{kind}")) for name, kind in kinds.items()}


def test_the_page_names_the_python_that_a_deploy_from_a_checkout_needs() -> None:
    version = re.escape(Target.from_samconfig().python)
    said = rf"Python (?:[^.]* )?{version}"
    assert re.search(said, " ".join(PAGE.split()))


def test_the_deploying_policy_covers_the_services_of_the_template() -> None:
    allowed = {one for each in policy("deploying.yaml", "DeployPolicy") for one in actions(each)}
    covered = {each.partition(":")[0] for each in allowed}
    types = {each["Type"].split("::")[1] for each in expanded()["Resources"].values()}
    named = {"ApiGatewayV2": "apigateway"}
    assert {named.get(each, each.lower()) for each in types} <= covered
    assert "iam:PassRole" in allowed


@pytest.mark.parametrize("environment", ["production", "preview"])
def test_the_table_of_an_environment_is_complete(environment: str, tmp_path: Path) -> None:
    generated = (ROOT / "job_runners/building/project/samconfig.toml.in").read_text()
    generated = generated.replace("$python", "3.13").replace("$name", "acme-words")
    tables = "\n".join(re.findall(r"```toml\n(\[.*?)```", PAGE, re.DOTALL))
    config = tmp_path / "samconfig.toml"
    config.write_text(f"{generated}\n{tables}")
    Deploy(Path("sam"), "us-east-1", config, environment=environment).check_environment()
    read = tomllib.loads(config.read_text())
    default, shown = read["default"], read[environment]["global"]["parameters"]
    needed = default["global"]["parameters"] | default["deploy"]["parameters"]
    assert needed.keys() - shown.keys() == {"confirm_changeset"}  # false is sam's default
    given = SamConfig(config).overrides(environment)
    assert set(SamConfig(config).overrides()) <= set(given)
    assert {each.partition("=")[0] for each in given} <= parameter_names(ROOT / "template.yaml")


def test_terraform_gets_what_the_template_takes_and_needs() -> None:
    (code,) = re.findall(r"```terraform\n(.*?)```", CI, re.DOTALL)
    given = set(re.findall(r"^    (\w+) += ", code, re.MULTILINE))
    assert len(given) == 4
    assert given <= parameter_names(ROOT / "template.yaml")
    assert "CAPABILITY_AUTO_EXPAND" in code
    text = (ROOT / "template.yaml").read_text()
    assert "\nTransform: AWS::Serverless" in text
    assert len(text) > 51_200  # so it can't be a template_body
    outputs = re.findall(
        r'outputs\["(\w+)"\]', CI + (ROOT / "docs/operate/observing.md").read_text()
    )
    assert outputs
    assert set(outputs) <= expanded()["Outputs"].keys()


def test_the_lines_of_the_page_give_every_role_the_path(tmp_path: Path) -> None:
    section = CI.partition("prefix or a path\n")[2]
    (shown,) = re.findall(r"```yaml\n(.*?)```", section.partition("\n## ")[0], re.DOTALL)
    role_path, path = (
        re.sub(r" *#.*", "", each) for each in re.findall(r"\n( +\w*Path: .*)", shown)
    )
    text = (ROOT / "template.yaml").read_text()
    for above, line in (("\nGlobals:\n  Function:\n", role_path), (_ROLE, path)):
        assert text.count(above) == 1
        text = text.replace(above, f"{above}{line}\n")
    template = tmp_path / "template.yaml"
    template.write_text(text)
    roles = [
        each for each in expanded_from(template)["Resources"].values() if "Role" in each["Type"]
    ]
    assert len(roles) == 4
    assert {each["Properties"]["Path"] for each in roles} == {"/acme/"}


_ROLE = "\n  WorkerFunctionRole:\n    Type: AWS::IAM::Role\n    Properties:\n"


# In a script and in a new shell, `jobs` is a command of the shell.
FOR_ANY_SHELL = ("deploying", "ci", "incidents")


@pytest.mark.parametrize("page", FOR_ANY_SHELL)
def test_drills_and_checks_call_the_command_by_the_name_that_every_shell_knows(page: str) -> None:
    text = (ROOT / f"docs/operate/{page}.md").read_text()
    code = re.findall(r"```sh\n(.*?)```", text, re.DOTALL) + re.findall(r"^    .*", text, re.M)
    assert any("job-runners " in each for each in code)
    assert [each for each in code if re.search(r"(^|[\s;(])jobs [a-z]", _commands(each))] == []


def test_whoever_is_paged_can_copy_each_command_into_any_shell() -> None:
    text = (ROOT / "docs/operate/incidents.md").read_text()
    assert "`job-runners doctor`" in text
    assert "`jobs " not in text


def _commands(code: str) -> str:
    return re.sub(r"#.*", "", code)


def test_no_page_calls_jobs_in_a_loop_or_through_xargs() -> None:
    calls = re.compile(r"(\bdo|\bxargs( -\S+)*|\$\() *jobs ")
    pages = [path for path in (ROOT / "docs").rglob("*.md") if calls.search(path.read_text())]
    assert pages == []


def test_no_block_of_a_page_calls_the_command_by_both_names() -> None:
    names = [name for commands in COMMANDS.values() for name in commands]
    short = re.compile(rf"(?<!\S)`?jobs ({'|'.join(names)})\b")
    mixed = [
        block
        for path in [*(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
        for block in re.findall(r"```sh\n(.*?)```", path.read_text(), re.DOTALL)
        if re.search(r"job-runners (?!shell)[a-z]", block) and short.search(block)
    ]
    assert mixed == []


# --- the workflow that job-runners init --github writes -------------------------------------------


def _workflow(name: str) -> dict[str, Any]:
    text = (ROOT / f"job_runners/building/project/{name}.yml.in").read_text()
    found: dict[str, Any] = yaml.load(Template(text).substitute(python="3.13"), yaml.BaseLoader)
    return found


def _is_part(shown: Any, whole: Any) -> bool:
    """Return whether everything that is shown is in the whole file. A … stands for any text."""
    match shown:
        case dict():
            return all(_is_part(value, whole.get(name)) for name, value in shown.items())
        case list():
            return all(any(_is_part(each, other) for other in whole) for each in shown)
    return isinstance(whole, str) and whole.startswith(shown.removesuffix("…"))


def test_the_page_shows_and_changes_the_workflow_of_a_project() -> None:
    blocks = re.findall(r"```yaml\n((?:on|jobs|  product):\n.*?)```", CI, re.DOTALL)
    main, on_merge, product, environments = (yaml.load(each, yaml.BaseLoader) for each in blocks)
    deploy, tests = _workflow("deploy"), _workflow("test")
    assert _is_part(main, deploy)
    assert main["on"] == deploy["on"]
    assert main["jobs"].keys() == deploy["jobs"].keys()
    assert on_merge["on"].keys() == deploy["on"].keys()
    assert on_merge["on"]["push"] == tests["on"]["push"]  # which the page removes there
    assert deploy["concurrency"] == {"group": "deploy", "cancel-in-progress": "false"}
    assert product["product"]["needs"] in deploy["jobs"]
    actions = [each for each in product["product"]["steps"] if "uses" in each]
    assert len(actions) == 2
    assert _is_part([each["uses"] for each in actions], _uses(deploy))
    changed = environments["jobs"]
    assert [each["needs"] for each in changed.values()] == ["test", "staging"]
    for job in changed.values():
        (step,) = job["steps"]
        command, _, name = step["run"].partition(" --config-env ")
        assert name == job["environment"]
        assert {"run": command} in deploy["jobs"]["deploy"]["steps"]


def _uses(workflow: dict[str, Any]) -> list[str]:
    return [each["uses"] for each in workflow["jobs"]["deploy"]["steps"] if "uses" in each]
