"""What the examples share: they install this version's wheel, and their templates are in order."""

import subprocess

from example_apps import EXAMPLES
from job_runners import __version__
from job_runners.places import ROOT


def test_an_example_requires_the_wheel_that_make_wheel_builds() -> None:
    lines = (EXAMPLES / "second_lambda" / "requirements.txt").read_text().splitlines()
    [wheel] = [each for each in lines if each.startswith("./")]
    assert wheel.startswith(f"./job_runners-{__version__}-py3-none-any.whl")


def test_the_templates_of_the_examples_are_in_order() -> None:
    templates = [*EXAMPLES.glob("*/template.yaml"), *EXAMPLES.glob("operations/*.yaml")]
    linted = subprocess.run(
        [ROOT / ".venv-aws/bin/cfn-lint", *templates],
        capture_output=True,
        text=True,
        check=False,
    )
    assert linted.returncode == 0, linted.stdout
