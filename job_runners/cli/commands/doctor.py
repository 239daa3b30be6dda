"""jobs doctor: check a stack and suggest fixes."""

from typing import TYPE_CHECKING

import click

from job_runners.cli import output
from job_runners.cli.options import command as jobs_command
from job_runners.cli.problem import Exit
from job_runners.cli.target import Target

if TYPE_CHECKING:
    from job_runners.cli.doctor.check import Finding

_COLORS = {"ok": "green", "wrong": "red", "advice": "yellow", "unknown": "bright_black"}


@jobs_command()
def command(target: Target) -> Exit:
    """Check a stack's settings and state. Read-only. Exits with 1 if a check fails. Advice and
    unknown results don't count."""
    from job_runners.cli.doctor.check import Verdict
    from job_runners.cli.doctor.checks import examine
    from job_runners.cli.doctor.deployed import Deployed

    findings: list[Finding] = []
    for finding in examine(Deployed(target)):
        findings.append(finding)
        if not target.json:
            print_finding(finding)
    wrong = sum(each.verdict is Verdict.WRONG for each in findings)
    if target.json:
        output.print_json(
            {
                "stack": target.stack.name,
                "healthy": not wrong,
                "findings": [each.as_json() for each in findings],
            }
        )
    else:
        _print_summary(target, wrong, sum(each.verdict is Verdict.UNKNOWN for each in findings))
    return Exit.REFUSED if wrong else Exit.DONE


def print_finding(finding: "Finding") -> None:
    """Print a finding, and below it how to fix it."""
    verdict = click.style(f"{finding.verdict:<7}", fg=_COLORS[finding.verdict])
    click.echo(f"{verdict}  {finding.check:<20} {output.plain(finding.what)}")
    if finding.fix:
        click.echo(f"{'':<30}{click.style('fix: ', dim=True)}{output.plain(finding.fix)}")


def _print_summary(target: Target, wrong: int, unknown: int) -> None:
    problems = "1 problem" if wrong == 1 else f"{wrong or 'No'} problems"
    rest = f" {unknown} could not be checked." if unknown else ""
    click.echo(f"\n{problems} found with {target.name}.{rest}")
