"""`job-runners doctor` on a stack with a worker class: it checks the class like the worker."""

from copy import deepcopy
from typing import Any

import pytest

from doctor_findings import findings
from fake_account import Account
from fake_stack import FAILURES_ARN, WORKER_ALIAS, alarm, function

LARGE = "stack-worker-large"


@pytest.fixture
def classes(account: Account) -> Account:
    """Return the account, whose stack has the worker class large."""
    account.resources["LargeWorkerFunction"] = ("AWS::Lambda::Function", LARGE)
    account.resources["LargeWorkerThrottlesAlarm"] = ("AWS::CloudWatch::Alarm", "large-throttles")
    account.alarms["large-throttles"] = alarm("large-throttles")
    for configuration in account.functions.values():
        configuration["Environment"]["Variables"]["WORKER_CLASSES"] = "large"
    own = function("worker") | {"FunctionName": LARGE}
    own["Environment"] = deepcopy(own["Environment"])
    own["Environment"]["Variables"] |= {
        "WORKER_CLASSES": "large",
        "WORKER_CLASS": "large",
        "WORKER_LAMBDA_FUNCTION_NAME": WORKER_ALIAS,
    }
    account.functions |= {LARGE: own, f"{LARGE}:live": own}
    account.event_configs[f"{LARGE}:live"] = {
        "MaximumRetryAttempts": 0,
        "DestinationConfig": {"OnFailure": {"Destination": FAILURES_ARN}},
    }
    account.recursion[LARGE] = "Allow"
    return account


def test_a_healthy_class_is_no_finding(classes: Account) -> None:
    assert findings() == []


def retried(account: Account) -> None:
    account.event_configs[f"{LARGE}:live"]["MaximumRetryAttempts"] = 2


def without_destination(account: Account) -> None:
    account.event_configs[f"{LARGE}:live"]["DestinationConfig"] = {}


def cut(account: Account) -> None:
    account.recursion[LARGE] = "Terminate"


def old_code(account: Account) -> None:
    account.functions[LARGE] = account.functions[LARGE] | {"CodeSha256": "b" * 44}


@pytest.mark.parametrize(
    ("change", "check", "said"),
    [
        (retried, "async retries", f"{LARGE}:live 2 times"),
        (without_destination, "failure destination", "sent to nowhere"),
        (cut, "recursion", f"stop {LARGE}"),
        (old_code, "code", "The alias live of LargeWorkerFunction runs version 7"),
    ],
)
def test_what_is_wrong_with_a_class_is_found(
    change: Any, check: str, said: str, classes: Account
) -> None:
    change(classes)
    found = [each for each in findings(code=1) if each["check"] == check]
    assert any(said in each["what"] for each in found), found


def test_advice_for_a_class_names_its_own_setting(classes: Account) -> None:
    classes.alarms["large-throttles"]["StateValue"] = "ALARM"
    classes.reserved = None
    found = findings(code=1)
    fixes = [each["fix"] for each in found if each["check"] == "alarms"]
    assert any("Raise concurrency of the worker class in app.toml" in each for each in fixes), found
    named = [each["what"].split()[0] for each in found if each["check"] == "reservation"]
    assert named == ["worker", LARGE]


@pytest.mark.parametrize("name", ["api", "worker", LARGE, "timer", "failures"])
def test_a_stopped_function_is_found(name: str, classes: Account) -> None:
    """Such as by the button Throttle of Lambda's console, or by the runbook."""
    classes.stopped.add(name)
    (found,) = findings(code=1)
    assert (found["check"], found["verdict"]) == ("reservation", "wrong")
    assert found["what"].startswith(f"{name} is stopped: its reserved concurrency is 0")
    assert f"delete-function-concurrency --function-name {name}." in found["fix"]


def test_with_legacy_classes_are_idle_and_not_checked(classes: Account) -> None:
    classes.outputs["WorkerFunctionArn"] = WORKER_ALIAS.replace("worker", "api")
    classes.recursion["api"] = "Allow"
    retried(classes)
    classes.stopped.add(LARGE)
    assert not [each for each in findings(code=1) if LARGE in each["what"]]
