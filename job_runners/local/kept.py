"""The data that `job-runners run --keep` keeps for the next run: tables, files, queues, the stack.

ministack saves its state when it is stopped properly, and loads it when it starts. It saves files
in the bucket immediately.
"""

import contextlib
import json
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from job_runners.cli.stack import Stack
from job_runners.local.credentials import session
from job_runners.local.problem import LocalProblem
from job_runners.places import COMMAND

ABOUT_KEPT_DATA = (
    "Ctrl-C keeps jobs, tables, files, queues and logs. It interrupts a running job, as if its "
    "worker had ended, and an unfinished task is lost. If a run is killed, its changes are lost. "
    f"The data is plain text, including the secrets of `{COMMAND} config set`. Only you can read "
    f"the folder. To delete it, remove .local.kept/."
)


@dataclass(frozen=True)
class Kept:
    """The folder of the kept data."""

    folder: Path

    @property
    def is_empty(self) -> bool:
        """Whether no run has left anything in it."""
        return not (self.folder / "state").exists()

    @property
    def settings(self) -> dict[str, str]:
        """The settings that make ministack save and load its state."""
        return {
            "PERSIST_STATE": "1",
            "STATE_DIR": str(self.folder / "state"),
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(self.folder / "s3"),
        }

    def port(self, free: Callable[[], int]) -> int:
        """Return the port that the data was created with, because the URLs of queues contain it.

        Without data, take the port that `free` returns. Raises LocalProblem if another program uses
        the port now.
        """
        file = self.folder / "port"
        if not file.exists():
            self.folder.mkdir(mode=0o700, exist_ok=True)  # it holds people's data
            file.write_text(str(free()))
        port = int(file.read_text())
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as a server does
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                raise LocalProblem(
                    f"The data in {self.folder} needs port {port}, but another program uses it. "
                    f"Stop that program, or start without --keep."
                ) from None
        return port

    @property
    def lost_since(self) -> str | None:
        """The time since which changes are lost because a run was killed, or None."""
        with contextlib.suppress(FileNotFoundError):
            return self._mark.read_text()
        return None

    def begin(self) -> None:
        """Mark the data as in use until `end` is called. If the run is killed before that,
        `lost_since` is the time of this mark."""
        if not self._mark.exists():
            now = datetime.now(UTC).astimezone()
            self._mark.write_text(now.isoformat(sep=" ", timespec="seconds"))

    def end(self) -> None:
        """Record that everything is saved."""
        self._mark.unlink(missing_ok=True)

    @property
    def _mark(self) -> Path:
        return self.folder / "in-use-since"


def report_interrupted(stack: Stack) -> None:
    """Report each job that was running when the last run ended, which also ended its worker.

    The report is a record in the failures queue, as on AWS after a worker was killed.
    """
    dynamodb = session(stack).client("dynamodb", endpoint_url=stack.endpoint_url or None)
    sqs = session(stack).client("sqs", endpoint_url=stack.endpoint_url or None)
    pages = dynamodb.get_paginator("scan").paginate(
        TableName=stack.table_name,
        FilterExpression="#status = :running AND attribute_exists(send_id)",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={":running": {"S": "running"}},
    )
    for row in (item for page in pages for item in page["Items"]):
        record = _killed_record(row["id"]["S"], row["job_type"]["S"], row["send_id"]["S"])
        sqs.send_message(QueueUrl=stack.failures_queue_url, MessageBody=json.dumps(record))


def _killed_record(job_id: str, job_type: str, send_id: str) -> dict[str, Any]:
    message = {"v": 1, "kind": "job", "id": job_id, "job_type": job_type, "send_id": send_id}
    text = "The local AWS was stopped while the job ran"
    return {
        "version": "1.0",
        "requestContext": {"condition": "RetriesExhausted", "approximateInvokeCount": 1},
        "requestPayload": message,
        "responsePayload": {"errorType": "Runtime.ExitError", "errorMessage": text},
    }
