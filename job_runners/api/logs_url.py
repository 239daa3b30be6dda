"""Build the link to a job's log in CloudWatch Logs Insights."""

import re

from job_runners import clock
from job_runners.settings import settings
from job_runners.store.job_request import JobRequest

_QUERY = "fields @timestamp, level, message, @message | filter job_id = '{id}' | sort @timestamp"
_CONSOLES = {"cn": "console.amazonaws.cn", "us-gov": "console.amazonaws-us-gov.com"}


def logs_url(row: JobRequest) -> str | None:
    """Return the address of the job's log in the AWS console, or None if the console has no such
    page."""
    group, region = settings().worker_log_group, settings().region
    if group is None or region is None or settings().has_local_aws:  # local AWS has no console
        return None
    # One more hour includes the lines of a late duplicate delivery, which may arrive after the
    # job's end.
    end = (row.finished_at or clock.now()) + clock.HOUR
    detail = (
        f"~(end~'{_escaped(clock.iso(end))}~start~'{_escaped(clock.iso(row.created_at))}"
        f"~timeType~'ABSOLUTE~tz~'UTC~editorString~'{_escaped(_QUERY.format(id=row.id))}"
        f"~source~(~'{_escaped(group)}))"
    )
    page = f"cloudwatch/home?region={region}#logsV2:logs-insights$3FqueryDetail$3D{detail}"
    return f"https://{_console(region)}/{page}"


def _escaped(text: str) -> str:
    """Return text escaped as in the console's addresses."""
    return re.sub(r"[^A-Za-z0-9_.-]", lambda each: f"*{ord(each[0]):02x}", text)


def _console(region: str) -> str:
    for beginning, host in _CONSOLES.items():
        if region.startswith(f"{beginning}-"):
            return host
    return f"{region}.console.aws.amazon.com"
