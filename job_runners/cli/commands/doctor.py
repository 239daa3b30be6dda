"""job-runners doctor: check a stack and suggest fixes."""

from typing import TYPE_CHECKING

import click

from job_runners.cli import options, output
from job_runners.cli.problem import Exit
from job_runners.cli.target import Target

if TYPE_CHECKING:
    from job_runners.cli.doctor.check import Finding

_COLORS = {"ok": "green", "wrong": "red", "advice": "yellow"}  # other verdicts are gray


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
        if not target.json and finding.verdict is not Verdict.SKIPPED:
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
        skipped = [each.check for each in findings if each.verdict is Verdict.SKIPPED]
        if skipped:
            click.echo(f"\n{len(skipped)} checks need a stack on AWS: {', '.join(skipped)}.")
        unknown_count = sum(finding.verdict is Verdict.UNKNOWN for finding in findings)
        _print_summary(target, problem_count, unknown_count)
    return Exit.REFUSED if problem_count else Exit.DONE


def print_finding(finding: "Finding") -> None:
    """Print a finding, and how to fix it on a second line."""
    verdict = click.style(f"{finding.verdict:<7}", fg=_COLORS.get(finding.verdict, "bright_black"))
    click.echo(f"{verdict}  {finding.check:<20} {output.plain(finding.what)}")
    if finding.fix:
        click.echo(f"{'':<30}{click.style('fix: ', dim=True)}{output.plain(finding.fix)}")


def _print_summary(target: Target, problem_count: int, unknown_count: int) -> None:
    problems = output.count(problem_count, "problem") if problem_count else "No problems"
    unchecked = f" {unknown_count} could not be checked." if unknown_count else ""
    click.echo(f"\n{problems} found with {target.name}.{unchecked}")
