"""Check a build's templates with cfn-lint, which is in sam's virtual environment."""

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
    marker = BUILD_CACHE / f"linted-{digest}"
    if marker.exists():
        return
    command = [str(folder / "cfn-lint"), "--non-zero-exit-code", "error", "--format", "parseable"]
    command += ["--template", str(template)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode != 0:
        problems = list(_errors(process.stdout)) or [process.stderr.strip()]
        raise BadTemplate(
            "\n".join([f"{template} has errors:", *problems])
            + "\nTo ignore a rule, name it under Metadata, cfn-lint, config, ignore_checks."
        )
    BUILD_CACHE.mkdir(parents=True, exist_ok=True)
    marker.touch()


def _errors(output: str) -> Iterator[str]:
    """Yield the errors in cfn-lint's output, and none of its warnings."""
    for problem in output.splitlines():
        fields = problem.split(":", 6)
        if len(fields) < 6:
            continue
        file, line, _column, _end_line, _end_column, rule = fields[:6]
        text = fields[6] if len(fields) == 7 else ""
        if rule.startswith("E"):
            yield f"  {file}:{line}: {text.strip()} ({rule})"
