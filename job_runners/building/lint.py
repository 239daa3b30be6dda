"""Check the templates of a build with cfn-lint, which is in the environment of sam."""

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from job_runners.building.environments import tools_folder
from job_runners.errors import JobRunnersError
from job_runners.places import BUILD_CACHE


class BadTemplate(JobRunnersError):
    """cfn-lint found an error in a template. The message has its output."""


def lint(template: Path) -> None:
    """Raise BadTemplate if CloudFormation would refuse the template.

    Linting takes seconds, so a template that has passed isn't linted again until it changes.
    """
    folder = tools_folder()
    digest = hashlib.sha256(f"{folder}\0".encode() + template.read_bytes()).hexdigest()[:16]
    passed = BUILD_CACHE / f"linted-{digest}"
    if passed.exists():
        return
    words = [str(folder / "cfn-lint"), "--non-zero-exit-code", "error", "--format", "parseable"]
    words += ["--template", str(template)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        problems = list(_errors(done.stdout)) or [done.stderr.strip()]
        raise BadTemplate(
            "\n".join([f"{template} has errors:", *problems])
            + "\nTo ignore a rule, name it under Metadata, cfn-lint, config, ignore_checks."
        )
    BUILD_CACHE.mkdir(parents=True, exist_ok=True)
    passed.touch()


def _errors(output: str) -> Iterator[str]:
    """Yield the errors, and no warnings. A line has the file, four positions, the rule and text."""
    for problem in output.splitlines():
        file, line, *_, rule, text = [*problem.split(":", 6), "", ""][:7]
        if rule.startswith("E"):
            yield f"  {file}:{line}: {text.strip()} ({rule})"
