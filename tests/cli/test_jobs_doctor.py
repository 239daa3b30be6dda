"""job-runners doctor: a healthy stack, and one broken in each way that it knows."""

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from bench import Bench
from doctor_findings import findings
from fake_account import Account
from fake_stack import WORKER_ALIAS
from job_runners import caches, clock
from job_runners.cli.doctor import pauses as doctor_of_pauses
from job_runners.cli.doctor import schedules as doctor_of_schedules
from job_runners.cli.stack import Stack
from job_runners.engine.lines import pausing
from job_runners.engine.registry.registry import registry
from job_runners.engine.schedules import declared_schedules, schedules
from job_runners.errors import PayloadTooLarge
from job_runners.store import schedule_marks
from job_runners.store.pauses import Kind
from job_runners.testing.plain_clients import full_client
from job_runners.work import Recurring
from jobs_command import jobs

Break = Callable[[Account], Any]


def everywhere(name: str, value: str) -> Break:
    """Return a deploy sets a variable of all functions."""

    def change(account: Account) -> None:
        for each in account.functions.values():
            each["Environment"]["Variables"][name] = value

    return change


def test_a_stack_that_is_too_young_to_have_ticked_is_not_called_wrong(account: Account) -> None:
    account.logs = {"log-timer": []}
    account.created_at = time.time() - 40
    (finding,) = findings()
    assert (finding["check"], finding["verdict"]) == ("timer", "unknown")
    assert "The stack is 4" in finding["what"]  # 40 seconds, or a little more on a busy machine
    assert "Run job-runners doctor again" in finding["fix"]
    account.created_at -= 300
    (finding,) = findings(code=1)
    assert (finding["check"], finding["verdict"]) == ("timer", "wrong")


def test_a_healthy_stack_has_nothing_wrong(account: Account) -> None:
    done = jobs("doctor")
    assert done.exit_code == 0, done.output
    assert "No problems found with stack job-runners" in done.stdout
    assert findings() == []


def test_with_legacy_it_looks_at_the_api_function_for_what_it_asks_of_a_worker(
    account: Account,
) -> None:
    api = WORKER_ALIAS.replace("worker", "api")
    everywhere("JOB_RUNNER", "legacy")(account)
    everywhere("WORKER_LAMBDA_FUNCTION_NAME", api)(account)
    account.outputs["WorkerFunctionArn"] = api
    account.event_configs["api:live"] = account.event_configs.pop("worker:live")
    account.recursion["api"], account.reserved = account.recursion.pop("worker"), None
    assert findings() == []
    account.recursion["api"] = "Terminate"
    del account.event_configs["api:live"]
    found = findings(code=1)
    assert {each["check"] for each in found} == {
        *("async retries", "failure destination", "recursion"),
    }
    assert all("api" in each["fix"] for each in found)


BROKEN: dict[str, tuple[str, str, Break]] = {
    "Lambda retries by itself": (
        "async retries",
        "--qualifier live --maximum-retry-attempts 0",
        lambda it: it.event_configs["worker:live"].update(MaximumRetryAttempts=2),
    ),
    "the timer has no config at all": (
        "async retries",
        "--maximum-retry-attempts 0",
        lambda it: it.event_configs.pop("timer"),
    ),
    "Lambda retries the timer": (
        "async retries",
        "--function-name timer",
        lambda it: it.event_configs["timer"].update(MaximumRetryAttempts=1),
    ),
    "failures go nowhere": (
        "failure destination",
        "OnFailure",
        lambda it: it.event_configs["worker:live"].pop("DestinationConfig"),
    ),
    "failures go elsewhere": (
        "failure destination",
        ":failures",
        lambda it: it.event_configs["worker:live"].update(
            DestinationConfig={"OnFailure": {"Destination": "arn:aws:sqs:x:y:other"}}
        ),
    ),
    "Lambda cuts recursion": (
        "recursion",
        "put-function-recursion-config --function-name failures",
        lambda it: it.recursion.update(failures="Terminate"),
    ),
    "an alarm is gone": (
        "alarms",
        "job-runners deploy",
        lambda it: it.alarms.pop("alarm-TimerSilentAlarm"),
    ),
    "an alarm is firing": (
        "alarms",
        "aws logs tail log-failures",
        lambda it: it.alarms["alarm-FailuresAlarm"].update(StateValue="ALARM"),
    ),
    "an alarm is not in the stack": (
        "alarms",
        "job-runners deploy",
        lambda it: it.resources.pop("ApiErrorsAlarm"),
    ),
    "an alarm is switched off": (
        "alarms",
        "enable-alarm-actions",
        lambda it: it.alarms["alarm-FailuresAlarm"].update(ActionsEnabled=False),
    ),
    "the schedule is off": (
        "timer",
        "enable-rule --name every-minute",
        lambda it: setattr(it, "rule", "DISABLED"),
    ),
    "the timer has stopped": (
        "timer",
        "aws logs tail log-timer",
        lambda it: it.logs.update({"log-timer": [(time.time() - 900, '{"message": "tick"}')]}),
    ),
    "the timer only fails": (
        "timer",
        "aws logs tail log-timer",
        lambda it: it.logs.update({"log-timer": [(time.time(), '{"message": "no tick"}')]}),
    ),
    "there are dead letters": (
        "dead letters",
        "job-runners failures redrive",
        lambda it: it.queues["delay-dead"].update(ApproximateNumberOfMessages="3"),
    ),
    "a queue keeps no dead letters": (
        "dead letters",
        "job-runners deploy",
        lambda it: it.queues["failures"].pop("RedrivePolicy"),
    ),
    "one function has other code": (
        "code",
        "job-runners deploy",
        lambda it: it.functions["failures"].update(CodeSha256="b" * 44),
    ),
    "one function has another runtime": (
        "code",
        "job-runners deploy",
        lambda it: it.functions["api"].update(Runtime="python3.11"),
    ),
    "the alias is behind": (
        "code",
        "roll back",
        lambda it: it.functions["worker"].update(CodeSha256="c" * 44),
    ),
    "something was never deployed": (
        "timer",
        "job-runners deploy",
        lambda it: it.resources.pop("TimerLogGroup"),
    ),
}


@pytest.mark.parametrize(("check", "fix", "change"), BROKEN.values(), ids=BROKEN)
def test_what_is_wrong_is_found_and_how_to_fix_it_is_said(
    account: Account, check: str, fix: str, change: Break
) -> None:
    change(account)
    found = findings(code=1)
    assert {each["check"] for each in found} == {check}
    assert {each["verdict"] for each in found} == {"wrong"}
    assert any(fix in each["fix"] for each in found), found


@pytest.mark.parametrize(
    ("check", "change"),
    [
        ("reservation", lambda it: setattr(it, "reserved", None)),
        ("drift", lambda it: setattr(it, "drift", "DRIFTED")),
        ("alarms", lambda it: [each.pop("AlarmActions") for each in it.alarms.values()]),
    ],
)
def test_what_could_be_safer_is_advice_and_not_a_failure(
    account: Account, check: str, change: Break
) -> None:
    change(account)
    assert {(each["check"], each["verdict"]) for each in findings()} == {(check, "advice")}


def test_manual_changes_that_nobody_looked_for_are_not_called_none(account: Account) -> None:
    account.drift = "NOT_CHECKED"
    (finding,) = findings()
    assert (finding["check"], finding["verdict"]) == ("drift", "unknown")
    assert "aws cloudformation detect-stack-drift --stack-name" in finding["fix"]


Declare = Callable[[dict[str, Recurring]], None]


def hourly(organization_id: str) -> Recurring:
    return Recurring("sample_once", every=3600, organization_id=organization_id)


@pytest.fixture
def declare(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Declare:
    """Deploy code that declares these schedules: a tick of its timer brings them in."""

    def deploy(declared: dict[str, Recurring]) -> None:
        with monkeypatch.context() as here:
            here.setattr("sample_work.RECURRING", declared, raising=False)
            registry.cache_clear()
            bench.advance(1)
            caches.forget_all()
            declared_schedules.sync(schedule_marks.marks())

    return deploy


def schedules_stored(request: pytest.FixtureRequest) -> Account:
    """Return a healthy account with the schedules that were stored so far. It comes after the
    calls on moto: from here on boto3 is the account's."""
    stored = full_client("dynamodb").scan(TableName="coordination", ConsistentRead=True)["Items"]
    account: Account = request.getfixturevalue("account")
    account.logs = {"log-timer": [(clock.now() / clock.SECOND, '{"message": "tick"}')]}
    account.items = stored
    return account


def test_a_schedule_of_the_code_that_another_one_hides_is_advice(
    declare: Declare, request: pytest.FixtureRequest
) -> None:
    for name in ("nightly", "weekly"):
        schedules.put("acme", name, hourly("acme"))
    for name in ("nightly", "sync", "gone"):
        schedules.put("umbrella", name, hourly("umbrella"))
    declared = {"nightly": hourly("acme"), "sync": hourly("acme"), "gone": hourly("umbrella")}
    declare(declared | {"weekly": hourly("acme")})
    declare(declared)
    schedules.delete("umbrella", "gone")  # the declared one comes with a later tick
    account = schedules_stored(request)
    (found,) = findings()
    assert (found["check"], found["verdict"]) == ("schedules", "advice")
    assert "The schedule nightly of acme, declared in code, isn't active" in found["what"]
    assert "job-runners schedules delete nightly --organization acme" in found["fix"]
    account.items = []
    assert findings() == []
    words = "not authorized to perform dynamodb:Query"
    account.refusals["Query"] = ("AccessDeniedException", words)
    seen = [(each["check"], each["verdict"]) for each in findings()]
    assert seen == [(check, "unknown") for check in ("starts", "schedules", "pauses")]


@pytest.mark.parametrize(("days", "is_advice"), [(0.9, False), (2.1, True)])
def test_pauses_that_may_be_forgotten_are_advice(
    bench: Bench,
    declare: Declare,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    days: float,
    is_advice: bool,
) -> None:
    passed = SimpleNamespace(time=lambda: clock.now() / clock.SECOND)
    monkeypatch.setattr(doctor_of_pauses, "time", passed)
    declare({name: hourly("acme") for name in ("nightly", "sync")})
    schedules.pause("acme", "nightly")
    pausing.pause(Kind.JOB_TYPE, "sample_once")
    pausing.pause(Kind.QUEUE, "default")
    bench.advance(days * 86_400)
    pausing.pause(Kind.JOB_TYPE, "sample_again")
    schedules_stored(request)
    found = findings()
    assert {each["verdict"] for each in found} == ({"advice"} if is_advice else set())
    assert [each["fix"].partition(": ")[2] for each in found] == [
        "job-runners schedules resume nightly --organization acme",
        "job-runners resume sample_once",
        "job-runners resume --queue default",
    ] * is_advice
    assert all("paused for 2 days" in each["what"] for each in found)


@pytest.mark.parametrize(
    ("deployed", "deleted", "is_wrong"),
    [(660, None, True), (540, None, False), (1200, 660, True), (1200, 540, False)],
)
def test_a_schedule_of_the_code_that_could_not_be_stored_is_wrong(
    bench: Bench,
    declare: Declare,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    deployed: int,
    deleted: int | None,
    is_wrong: bool,
) -> None:
    """Ten minutes after its deploy, or after its organisation has deleted its own of that name."""

    def refuse(organization_id: str, definition: object) -> None:
        if organization_id == "acme":
            raise PayloadTooLarge("the payload", 2, 1, "Make it smaller")

    monkeypatch.setattr(declared_schedules, "check", refuse)
    passed = SimpleNamespace(time=lambda: clock.now() / clock.SECOND)
    monkeypatch.setattr(doctor_of_schedules, "time", passed)
    if deleted is not None:
        schedules.put("acme", "nightly", hourly("acme"))
    declare({"nightly": hourly("acme"), "sync": hourly("umbrella")})
    if deleted is not None:
        bench.advance(deployed - deleted)
        schedules.delete("acme", "nightly")
    bench.advance(deployed if deleted is None else deleted)
    schedules_stored(request)
    found = findings(code=int(is_wrong))
    wrong = [("schedules", "wrong")] if is_wrong else []
    assert [(each["check"], each["verdict"]) for each in found] == wrong
    for each in found:
        assert "The schedule nightly of acme, declared in code, isn't active" in each["what"]
        assert "aws logs tail log-timer" in each["fix"]


def test_a_canary_is_no_interrupted_deploy(account: Account) -> None:
    account.functions["worker"] = account.functions["worker"] | {"CodeSha256": "b" * 44}
    (found,) = findings(code=1)  # the alias is behind
    account.canary = {"8": 0.1}
    (found,) = findings()
    assert (found["check"], found["verdict"]) == ("code", "unknown")
    assert "version 8 gets 10%" in found["what"]


def test_what_you_may_not_read_is_not_called_healthy(account: Account) -> None:
    words = "not authorized to perform cloudwatch:DescribeAlarms"
    account.refusals["DescribeAlarms"] = ("AccessDenied", words)
    (found,) = findings()
    assert (found["check"], found["verdict"]) == ("alarms", "unknown")
    assert words in found["what"]
    assert "1 could not be checked" in jobs("doctor").stdout


def test_what_only_aws_can_show_is_one_line_on_the_local_aws(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stack, "is_local", True)
    shown = jobs("doctor").stdout
    assert "unknown" not in shown
    assert "\n7 checks need a stack on AWS: async retries, failure destination, " in shown
    assert shown.endswith("No problems found with the local AWS.\n")
    assert len(findings()) == 7


def test_what_was_deleted_manually_is_wrong(account: Account) -> None:
    account.refusals["DescribeRule"] = ("ResourceNotFoundException", "no such rule")
    (found,) = findings(code=1)
    assert (found["check"], found["verdict"]) == ("timer", "wrong")
