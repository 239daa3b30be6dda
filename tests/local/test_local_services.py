"""Parts of the local AWS that a run rarely shows: its logs, and the project's own template."""

from pathlib import Path
from typing import Any

import pytest

from job_runners.local import job_stream, services
from job_runners.local.function_settings import AppTemplate, FunctionSettings
from job_runners.local.options import LocalProblem
from job_runners.local.services import MAX_LINES, LogGroups

SETTINGS = FunctionSettings("local-tests", 4566)


# --- logs -------------------------------------------------------------------------------------


def messages(logs: LogGroups, **call: Any) -> list[str]:
    """Return the lines that a search finds, page after page."""
    found: list[str] = []
    token: dict[str, str] = {}
    while True:
        page = logs.filter({"logGroupName": "group", **call, **token})
        assert page is not None
        found += [each["message"] for each in page["events"]]
        if "nextToken" not in page:
            return found
        token = {"nextToken": page["nextToken"]}


def test_a_search_finds_lines_by_time_text_and_page() -> None:
    logs = LogGroups(["group"])
    for moment in range(10):
        logs.write("group", [f'{{"job_id": "job {moment}"}}'], moment)
    assert messages(logs, filterPattern='"job 3"') == ['{"job_id": "job 3"}']
    assert messages(logs, filterPattern="job_id 4") == ['{"job_id": "job 4"}']
    assert len(messages(logs, limit=3)) == 10
    assert len(messages(logs, startTime=2, endTime=5)) == 3
    assert logs.filter({"logGroupName": "another"}) is None


def test_a_page_has_at_most_some_megabytes() -> None:
    logs = LogGroups(["group"])
    logs.write("group", ["x" * 1_000_000] * 12)
    page = logs.filter({"logGroupName": "group"})
    assert page is not None
    assert 1 <= len(page["events"]) < 12
    assert len(messages(logs)) == 12


def test_the_oldest_lines_are_dropped() -> None:
    logs = LogGroups(["group"])
    logs.write("group", map(str, range(MAX_LINES + 5)))
    found = messages(logs)
    assert (found[0], len(found)) == ("5", MAX_LINES)


# --- the project's own template ---------------------------------------------------------------


def own(tmp_path: Path, text: str) -> AppTemplate:
    """Return a template of a project."""
    path = tmp_path / "own.template.yaml"
    path.write_text(text)
    return AppTemplate(path, SETTINGS)


@pytest.mark.usefixtures("aws")
def test_the_functions_of_a_template_are_resolved(tmp_path: Path) -> None:
    (tmp_path / "own.samconfig.toml").write_text(
        '[default.deploy.parameters]\nparameter_overrides = ["Color=blue"]\n'
    )
    template = own(
        tmp_path,
        """
Parameters:
  Color: {Type: String, Default: red}
  Size: {Type: String, Default: large}
Conditions:
  IsBlue: !Equals [!Ref Color, blue]
  IsRed: !Or [!Not [!Condition IsBlue], !And [!Condition IsBlue, !Equals [!Ref Size, small]]]
Resources:
  Bus: {Type: AWS::Events::EventBus, Properties: {Name: !Sub '${AWS::StackName}-bus'}}
  Files: {Type: AWS::S3::Bucket}
  Work: {Type: AWS::SQS::Queue}
  Ends: {Type: AWS::SNS::Topic}
  Small: {Type: AWS::SQS::Queue, Condition: IsBlue}
  Role: {Type: AWS::IAM::Role}
  Cluster: {Type: AWS::ECS::Cluster}
  Red: {Type: AWS::SQS::Queue, Condition: IsRed}
  Odd: {Type: AWS::SQS::Queue, Condition: IsOdd}
Outputs:
  EventBusName: {Value: !Ref Bus}
  OutcomeTopicArn: {Value: !Ref Ends}
  Unknown: {Value: !ImportValue elsewhere}
  Red: {Condition: IsRed, Value: red}
  Wrong: {Value: !Select [7, !Split [',', 'a,b']]}
  Second: {Value: !Select [1, !Split [',', 'a,b']]}
  Role: {Value: !GetAtt Role.Arn}
  Words: {Value: !Join ['-', [!Ref Color, !Ref Size]]}
  Choice: {Value: !If [IsBlue, !Ref Files, !Ref Work]}
  Url: {Value: !Ref Work}
  Arn: {Value: !GetAtt Work.Arn}
  Text: {Value: !Sub ['${Files}/${Key}', {Key: !GetAtt Work.QueueName}]}
""",
    )
    work = "local-tests-app-Work"
    assert template.outputs() == {
        "EventBusName": "local-tests-app-bus",
        "OutcomeTopicArn": "arn:aws:sns:us-east-1:123456789012:local-tests-app-Ends",
        "Words": "blue-large",
        "Choice": "local-tests-app-files",
        "Second": "b",
        "Url": f"http://127.0.0.1:4566/123456789012/{work}",
        "Arn": f"arn:aws:sqs:us-east-1:123456789012:{work}",
        "Text": f"local-tests-app-files/{work}",
    }
    assert template.missing == ["Cluster (AWS::ECS::Cluster)", "Odd (IsOdd)"]
    sqs = services.backend("sqs")
    assert {work, "local-tests-app-Small"} == set(sqs.queues)
    settings = template.add_outputs()
    assert settings.parameter("EventBusName") == "local-tests-app-bus"
    given = FunctionSettings("local-tests", 4566, {"EventBusName": "mine"})
    template._settings = given
    assert template.add_outputs().parameter("EventBusName") == "mine"


@pytest.mark.parametrize("text", ["", "[", "Resources:", "a: b"])
def test_a_template_that_can_t_be_read_is_said(tmp_path: Path, text: str) -> None:
    with pytest.raises(LocalProblem, match=r"own\.template\.yaml can't be read as a template"):
        own(tmp_path, text)


# --- the first screen -------------------------------------------------------------------------


def test_without_a_job_the_first_screen_says_how_to_write_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stack = SETTINGS.stack("key", "secret", {})
    job_stream.suggest(stack, "http://page", {"jobs": [], "tasks": []}, listen=None, keeps=False)
    shown = capsys.readouterr().out
    assert "has no jobs yet" in shown
    assert "job-runners new NAME" in shown
    names = {"jobs": ["read_list"], "tasks": []}
    job_stream.suggest(stack, "http://page", names, listen=None, keeps=True)
    shown = capsys.readouterr().out
    assert "job-runners types read_list" in shown
    assert "job-runners new NAME" not in shown
