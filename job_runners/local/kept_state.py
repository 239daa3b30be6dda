"""Save and load the data that `run --keep` keeps: tables, files, parameters, queues and logs.

The data is one file of JSON lines, and a folder with the contents of the files in S3. Each content
is named by its ETag, which is S3's hash of it. While anything changes, the data is saved every few
seconds, and once more at the end. Each save replaces the whole file of JSON lines.
"""

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from moto.dynamodb.models.utilities import dynamo_json_dump

from job_runners.fake_dynamodb import behind_moto, boundary
from job_runners.local.function_pools import failure_record
from job_runners.local.function_settings import FAILURES
from job_runners.local.options import LocalProblem
from job_runners.local.run_folder import KEPT_STATE
from job_runners.local.services import Services, backend, call_moto, put
from job_runners.places import COMMAND

_FORMAT = 1
_SAVE_SECONDS = 10.0
_MAX_LOG_LINES = 5_000  # of each log group
_FILES = "files"  # the folder with the contents of files

ABOUT_KEPT_DATA = (
    "Jobs, tables, files, parameters, queues and logs are kept, every 10 seconds and at Ctrl-C. A "
    "running job is interrupted, as if its worker had ended. The data is plain text, including the "
    f"secrets of `{COMMAND} config set`. Only you can read the folder. To delete it, remove "
    ".local.kept/."
)

Line = dict[str, Any]


class KeptState:
    """Loads the data that the last run kept, and saves the data of this run."""

    def __init__(self, folder: Path, say: Callable[[str], None], services: Services) -> None:
        """Read the last run's data, or move it aside if that fails. `say` shows messages.

        Raises LocalProblem if the data can be neither read nor moved.
        """
        self._folder, self._say, self._services = folder, say, services
        self._is_changed = False  # since the last save
        self._has_failed = False  # whether the last save failed
        self._lines: list[Line] = []
        try:
            if folder.exists() and any(folder.iterdir()):
                self._lines = self._read()
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._move_aside(error)

    def _move_aside(self, error: Exception) -> None:
        new_folder = self._folder.with_name(f"{self._folder.name}.unreadable-{int(time.time())}")
        message = f"The kept data can't be read: {error}."
        try:
            self._folder.rename(new_folder)
        except OSError as rename_error:
            raise LocalProblem(
                f"{message} It can't be moved to {new_folder} either: {rename_error.strerror}."
            ) from None
        self._say(f"{message} It is in {new_folder} now, and this run starts empty.")

    def _read(self) -> list[Line]:
        with (self._folder / KEPT_STATE).open(encoding="utf-8") as file:
            first, *lines = [boundary.call_of(line.encode()) for line in file]
        if first.get("format") != _FORMAT or lines[-1:] != [{"kind": "end"}]:
            raise ValueError("it is of another version of Job Runners")
        for line in lines:
            if line["kind"] == "file" and not self._file(line["etag"]).exists():
                raise ValueError(f"the content of {line['name']} is missing")
        return lines

    def _file(self, etag: str) -> Path:
        return self._folder / _FILES / etag

    # --- loading ----------------------------------------------------------------------------------

    def load(self) -> None:
        """Add the kept data to the services, and send waiting events to their functions again.

        If a job was running, write a failure record about it, as Lambda does when a worker ends.
        """
        failed_count = 0
        for line in self._lines:
            try:
                self._load_line(line)
            except Exception:  # noqa: BLE001 - one line must not prevent a start
                failed_count += 1
        if failed_count:
            self._say(f"{failed_count} rows, files or messages of the kept data can't be used.")
        self._lines.clear()

    def _load_line(self, line: Line) -> None:
        work_function = self._services.settings.work_function
        match line["kind"]:
            case "item":
                database = behind_moto.database()
                table = database.find_table(line["table"])
                database.store(table, table.key_of(line["item"]), line["item"])
            case "file":
                content = self._file(line["etag"]).read_bytes()
                key = backend("s3").put_object(
                    line["bucket"], line["name"], content, etag=line["etag"]
                )
                key.set_metadata(line["metadata"])
                key._version_id = line["version"]
            case "parameter":
                if not backend("ssm")._parameters.get(line["call"]["Name"]):
                    headers = {"x-amz-target": "AmazonSSM.PutParameter", "host": ""}
                    call_moto("ssm", "POST", "/", headers, json.dumps(line["call"]).encode())
            case "message":
                sqs = backend("sqs")
                if line["queue"] not in sqs.queues:
                    sqs.create_queue(line["queue"], None)
                message = sqs.send_message(line["queue"], line["body"])
                message.visible_at = line["visible_at"]
            case "log":
                self._services.logs.write(line["group"], [line["text"]], line["time"])
            case "waiting":
                # A function is missing if its worker class was removed.
                exists = line["function"] in self._services.functions.names
                function = line["function"] if exists else work_function
                self._services.functions.send(function, line["event"])
            case "running" if line["function"].startswith(work_function):
                text = "The local AWS was stopped while the job ran"
                reply = {"errorType": "Runtime.ExitError", "errorMessage": text}
                put(FAILURES, failure_record(line["event"], reply))

    # --- saving -----------------------------------------------------------------------------------

    def note_change(self) -> None:
        """Remember that something has changed since the last save."""
        self._is_changed = True

    async def save_regularly(self) -> None:
        """Save changes every few seconds, until canceled."""
        pause = _SAVE_SECONDS
        while True:
            await asyncio.sleep(pause)
            if self._is_changed:
                started_at = time.monotonic()
                self._is_changed = False
                # The items and files in this list don't change, so a thread can write them.
                lines = [*_lines_of(self._services)]
                await asyncio.shield(asyncio.to_thread(self._write, lines))
                # A long save slows down everything else, so save large data less often.
                pause = max(_SAVE_SECONDS, 20 * (time.monotonic() - started_at))

    def save(self) -> None:
        """Save everything, at the end of the run."""
        self._write([*_lines_of(self._services)])

    def _write(self, lines: list[Line]) -> None:
        """Write the data. If the disk is full, say so once, and leave the old data in place."""
        try:
            self._write_all(lines)
            self._has_failed = False
        except OSError as error:
            self._is_changed = True
            if not self._has_failed:
                self._say(
                    f"The data can't be kept in {self._folder}: {error.strerror}. What was kept "
                    "before stays as it was, and this run tries again."
                )
            self._has_failed = True

    def _write_all(self, lines: list[Line]) -> None:
        (self._folder / _FILES).mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.chmod(0o700)  # it has personal data
        new_state = self._folder / f"{KEPT_STATE}.new"
        new_state.unlink(missing_ok=True)
        new_state.touch(mode=0o600)
        etags = set()
        with new_state.open("w", encoding="utf-8") as output:
            first = {"format": _FORMAT, "port": self._services.settings.port}
            for line in (first, *lines, {"kind": "end"}):
                if line.get("kind") == "file":
                    etags.add(line["etag"])
                    self._write_file(line["etag"], line.pop("key"))
                output.write(dynamo_json_dump(line) + "\n")
            output.flush()
            os.fsync(output.fileno())
        new_state.replace(self._folder / KEPT_STATE)
        for path in (self._folder / _FILES).iterdir():
            if path.name not in etags:
                path.unlink()

    def _write_file(self, etag: str, key: Any) -> None:
        """Write the content of moto's object, unless its file exists."""
        if not self._file(etag).exists():
            new_file = self._file(f"{etag}.new")
            new_file.write_bytes(key.value)
            new_file.replace(self._file(etag))


def _lines_of(services: Services) -> Iterator[Line]:
    yield from _lines_of_rows_and_files()
    for name, versions in backend("ssm")._parameters.items():
        if versions:
            new = versions[-1]
            call = {"Name": name, "Type": new.parameter_type, "Value": new.decrypt(new.value)}
            yield {"kind": "parameter", "call": call | {"Description": new.description}}
    for name, queue in backend("sqs").queues.items():
        for message in queue._messages:
            fields = {"body": message.body, "visible_at": message.visible_at}
            yield {"kind": "message", "queue": name, **fields}
    for group, lines in services.logs.lines.items():
        # The last _MAX_LOG_LINES lines of the group.
        for _, time_ms, text in islice(lines, max(0, len(lines) - _MAX_LOG_LINES), None):
            yield {"kind": "log", "group": group, "time": time_ms, "text": text}
    # An unfinished event is waiting or running.
    for state, function, event in services.functions.unfinished():
        yield {"kind": state, "function": function, "event": event}


def _lines_of_rows_and_files() -> Iterator[Line]:
    database = behind_moto.database()
    for name in behind_moto.table_names():
        for item in database.find_table(name).items.values():
            yield {"kind": "item", "table": name, "item": item.attributes}
    for bucket in backend("s3").buckets.values():
        for _, key in bucket.keys.items():
            if hasattr(key, "value"):  # a delete marker has none
                names = {"bucket": bucket.name, "name": key.name, "etag": key.etag.strip('"')}
                attributes = {"version": key.version_id, "metadata": dict(key.metadata)}
                yield {"kind": "file", "key": key, **names, **attributes}
