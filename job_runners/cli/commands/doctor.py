"""job-runners doctor: check a stack and suggest fixes."""

from typing import TYPE_CHECKING

import click

from job_runners.cli import options, output
from job_runners.cli.problem import Exit
from job_runners.cli.target import Target

if TYPE_CHECKING:
    from job_runners.cli.doctor.check import Finding

_COLORS = {"ok": "green", "wrong": "red", "advice": "yellow", "unknown": "bright_black"}


@options.command()
def command(target: Target) -> Exit:
    """Check a stack's settings and state. Read-only. Exits with 1 if a check fails. Advice and
    unknown results don't count."""
    from job_runners.cli.doctor.check import Verdict
    from job_runners.cli.doctor.checks import examine
    from job_runners.cli.doctor.deployed import Deployed

    findings: list[Finding] = []
    for finding in examine(Deployed(target)):
        findings.append(finding)
        if not target.json and not _needs_aws(target, finding):
            print_finding(finding)
    problem_count = sum(finding.verdict is Verdict.WRONG for finding in findings)
    if target.json:
        output.print_json(
            {
                "stack": target.stack.name,
                "healthy": not problem_count,
                "findings": [finding.as_json() for finding in findings],
            }
        )
    else:
        skipped = [finding.check for finding in findings if _needs_aws(target, finding)]
        if skipped:
            names = ", ".join(skipped)
            click.echo(f"\n{len(skipped)} checks need a stack on AWS: {names}.")
        unknown_count = sum(finding.verdict is Verdict.UNKNOWN for finding in findings)
        _print_summary(target, problem_count, unknown_count - len(skipped))
    return Exit.REFUSED if problem_count else Exit.DONE


def _needs_aws(target: Target, finding: "Finding") -> bool:
    """Return whether the check was skipped because the stack is on the local AWS."""
    from job_runners.cli.doctor.checks import CHECKS

    return target.stack.is_local and any(
        check.name == finding.check and check.not_local_because for check in CHECKS
    )


def print_finding(finding: "Finding") -> None:
    """Print a finding, and below it how to fix it."""
    verdict = click.style(f"{finding.verdict:<7}", fg=_COLORS[finding.verdict])
    click.echo(f"{verdict}  {finding.check:<20} {output.plain(finding.what)}")
    if finding.fix:
        click.echo(f"{'':<30}{click.style('fix: ', dim=True)}{output.plain(finding.fix)}")


def _print_summary(target: Target, problem_count: int, unknown_count: int) -> None:
    problems = "1 problem" if problem_count == 1 else f"{problem_count or 'No'} problems"
    rest = f" {unknown_count} could not be checked." if unknown_count else ""
    click.echo(f"\n{problems} found with {target.name}.{rest}")
