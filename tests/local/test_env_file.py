"""What sam local and shells are told of a running local AWS."""

from dataclasses import replace

from fake_stack import OUTPUTS
from job_runners.cli.stack import Stack
from job_runners.local.env_file import variables

STACK = Stack.from_outputs("ours", "us-east-1", OUTPUTS, "http://127.0.0.1:4566")


def test_functions_find_what_the_stack_has() -> None:
    found = variables(STACK)
    assert (found["TEXTING_CAMPAIGN"], found["CONTACTS_TABLE_NAME"]) == ("true", "contacts")
    assert found["APP_SETTINGS_PATH"] == "/ours/app"


def test_of_a_stack_without_the_campaign_they_are_told_that() -> None:
    outputs = {name: value for name, value in OUTPUTS.items() if name != "ContactsTableName"}
    stack = Stack.from_outputs("ours", "us-east-1", outputs, "http://127.0.0.1:4566")
    assert stack == replace(STACK, contacts_table_name="")
    found = variables(stack)
    assert (found["TEXTING_CAMPAIGN"], found["CONTACTS_TABLE_NAME"]) == ("false", "")
