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
        skipped = [each for each in findings if _needs_aws(target, each)]
        if skipped:
            names = ", ".join(each.check for each in skipped)
            click.echo(f"\n{len(skipped)} checks need a stack on AWS: {names}.")
        unknown = sum(each.verdict is Verdict.UNKNOWN for each in findings)
        _print_summary(target, wrong, unknown - len(skipped))
    return Exit.REFUSED if wrong else Exit.DONE


def _needs_aws(target: Target, finding: "Finding") -> bool:
    """Return whether a check was skipped because the stack is local, which is no problem of it."""
    from job_runners.cli.doctor.checks import CHECKS

    return target.stack.is_local and any(
        each.name == finding.check and each.not_local_because for each in CHECKS
    )


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
