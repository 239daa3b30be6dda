"""A definition more in a table that somebody has written: nothing else changes."""

import pytest

from job_runners.building.new_job import add_definition, literal_keys

DEFINITION = '"new": Job("acme.new:new"),'
IMPORT = "from job_runners.work import Job\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("JOBS = {}\n", "JOBS = {\n    DEFINITION\n}\n"),
        (
            "JOBS: dict[str, Job] = {}\nx = 1\n",
            "JOBS: dict[str, Job] = {\n    DEFINITION\n}\nx = 1\n",
        ),
        ("JOBS = {\n    'a': A,\n}\n", "JOBS = {\n    DEFINITION\n    'a': A,\n}\n"),
        ("JOBS = {\n    'a': A\n}\n", "JOBS = {\n    DEFINITION\n    'a': A\n}\n"),
        ("JOBS = {'a': A}\n", "JOBS = {\n    DEFINITION\n    'a': A}\n"),
        ("É = 1\nJOBS = {'a': A}\n", "É = 1\nJOBS = {\n    DEFINITION\n    'a': A}\n"),
        (
            "JOBS = {  # é\n    'a': A  # the first\n    # and no more\n}  # end\n",
            "JOBS = {  # é\n    DEFINITION\n    'a': A  # the first\n    # and no more\n}  # end\n",
        ),
        ("JOBS = {\n    **OTHERS,\n}\n", "JOBS = {\n    DEFINITION\n    **OTHERS,\n}\n"),
    ],
)
def test_it_goes_to_the_beginning_of_the_table(before: str, after: str) -> None:
    assert add_definition(IMPORT + before, DEFINITION) == IMPORT + after.replace(
        "DEFINITION", DEFINITION
    )


@pytest.mark.parametrize(
    "source",
    [
        "JOBS = {}\n",  # Job is not imported
        "from job_runners.work import Job as J\nJOBS = {}\n",
        IMPORT + "JOBS = dict(a=A)\n",
        IMPORT + "JOBS = {}\nJOBS |= OTHERS\n",
        IMPORT + 'EXAMPLE = """\nJOBS = {}\n"""\nTABLE = {}\n',
        IMPORT + "JOBS = {name: A for name in NAMES}\n",
        IMPORT + "TASKS = {}\n",
        IMPORT + "JOBS = {\n",
    ],
)
def test_what_can_not_be_changed_safely_is_not(source: str) -> None:
    assert add_definition(source, DEFINITION) is None


@pytest.mark.parametrize(
    ("imports", "is_changed"),
    [
        ("from job_runners.work import Job, Retry\n", True),
        ("from job_runners.work import Job\n", False),
        ("from job_runners.work import Retry\n", False),
        ("from job_runners.work import Job, Retry as Again\n", False),
    ],
)
def test_all_that_the_entry_names_has_to_be_imported(imports: str, is_changed: bool) -> None:
    definition = '"new": Job("acme.new:new", retry=Retry(max_attempts=3)),'
    assert (add_definition(imports + "JOBS = {}\n", definition) is not None) is is_changed


def test_the_names_of_a_table_are_read() -> None:
    assert literal_keys("JOBS = {'a': A, B: C, **D}\n") == {"a"}
    assert literal_keys("JOBS = {\n") == set()
