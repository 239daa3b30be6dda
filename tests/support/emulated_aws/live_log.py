"""Write each line that a function logs to its log group at once.

Only ministack's process uses this module. ministack itself would write the lines of an invocation
to the log group when the invocation ends.
"""

import threading
import time
import uuid
from typing import Any

from ministack.services import cloudwatch_logs, lambda_svc


class _Invocation(threading.local):
    written = ""  # lines of the current thread's invocation that are in the log already


_invocation = _Invocation()


def mark_written(lines: str) -> None:
    """Remember these lines of this thread's latest invocation, so that none is written twice."""
    _invocation.written = lines


def write_no_line_twice() -> None:
    """Make ministack write only its own lines about an invocation, such as an error's traceback."""
    emit = lambda_svc._emit_lambda_logs

    def emit_other_lines(
        function: dict[str, Any], request_id: str, lines: str, *rest: Any, **named: Any
    ) -> None:
        others = lines.removeprefix(_invocation.written).lstrip("\n")
        _invocation.written = ""
        emit(function, request_id, others, *rest, **named)

    lambda_svc._emit_lambda_logs = emit_other_lines


class LiveLog:
    """The log of one process of a function: a stream of its log group, as on AWS.

    Use it in a thread of its own, which has ministack's default account and region.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        group = (config.get("LoggingConfig") or {}).get("LogGroup")
        self._group = group or f"/aws/lambda/{config['FunctionName']}"
        version = config.get("Version", "$LATEST")
        self._stream = f"{time.strftime('%Y/%m/%d')}/[{version}]{uuid.uuid4().hex}"

    def write(self, text: str) -> None:
        """Write a line that the process printed."""
        now = int(time.time() * 1000)
        event = {"timestamp": now, "message": text, "ingestionTime": now}
        cloudwatch_logs._append_log_events(self._found_stream(), [event])

    def _found_stream(self) -> dict[str, Any]:
        """Return ministack's record of the stream. Create it and its group if needed."""
        names = {"logGroupName": self._group, "logStreamName": self._stream}
        group = cloudwatch_logs._log_groups.get(self._group)
        if group is None or self._stream not in group["streams"]:
            cloudwatch_logs._create_log_group(names)  # these do nothing if it exists
            cloudwatch_logs._create_log_stream(names)
            group = cloudwatch_logs._log_groups[self._group]
        stream: dict[str, Any] = group["streams"][self._stream]
        return stream
