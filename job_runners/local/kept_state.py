"""Save and load the data that `run --keep` keeps: tables, files, parameters, queues and logs.

The data is one file of JSON lines, and a folder with the contents of files, which are named by
their hashes. While anything changes, the data is saved every few seconds, and once more at the end.
Each save replaces the whole file of JSON lines.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from moto.dynamodb.models.utilities import dynamo_json_dump

from job_runners.fake_dynamodb import behind_moto, boundary
from job_runners.local.function_pools import Functions, failure_record
from job_runners.local.function_settings import FAILURES
from job_runners.local.run_folder import KEPT_STATE
from job_runners.local.services import Services, backend, call_moto, put
from job_runners.places import COMMAND

_FORMAT = 1
_SAVE_SECONDS = 10.0
_MAX_LOG_LINES = 5_000  # of each log group
_FILES = "files"  # the folder with the contents of files
_CHANGED = "changed-since"  # exists while changes aren't saved, with the time of the first one

ABOUT_KEPT_DATA = (
    "Jobs, tables, files, parameters, queues and logs are kept, every 10 seconds and at Ctrl-C. A "
    "running job is interrupted, as if its worker had ended. The data is plain text, including the "
    f"secrets of `{COMMAND} config set`. Only you can read the folder. To delete it, remove "
    ".local.kept/."
)

Line = dict[str, Any]


class _File(NamedTuple):
    """An object in a bucket."""

    bucket: str
    key: Any  # moto's object, with the content

    def line(self, digest: str) -> Line:
        key = self.key
        return {
            "kind": "file",
            "bucket": self.bucket,
            "name": key.name,
            "digest": digest,
            "etag": key.etag.strip('"'),
            "version": key.version_id,
            "metadata": dict(key.metadata),
        }


class _Snapshot(NamedTuple):
    """The data at one moment. It doesn't change, so a thread can write it."""

    tables: dict[str, list[Any]]
    files: list[_File]
    other_lines: list[Line]


class KeptState:
    """The folder of the kept data."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        """Read the last run's data, or move the folder away if that fails. `say` shows messages."""
        self._folder, self._say = folder, say
        self._digests: dict[str, str] = {}  # the hashes of files, by their ETags
        self._is_changed = False  # since the last save
        self._has_failed = False  # whether the last save failed, or no save is possible
        self._lines: list[Line] = []
        try:
            if folder.exists() and any(folder.iterdir()):
                self._lines = self._read()
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._move_aside(error)
        if (folder / _CHANGED).exists():
            since = datetime.fromtimestamp((folder / _CHANGED).stat().st_mtime).astimezone()
            say(
                "The last run was killed. Its changes since "
                f"{since.isoformat(sep=' ', timespec='seconds')} may be lost."
            )

    def _read(self) -> list[Line]:
        with (self._folder / KEPT_STATE).open(encoding="utf-8") as file:
            first, *lines = [boundary.call_of(line.encode()) for line in file]
        if first.get("format") != _FORMAT or lines[-1:] != [{"kind": "end"}]:
            raise ValueError("it is of another version of Job Runners")
        for line in lines:
            if line["kind"] == "file" and not self._file(line["digest"]).exists():
                raise ValueError(f"the content of {line['name']} is missing")
        return lines

    def _file(self, digest: str) -> Path:
        return self._folder / _FILES / digest

    def _move_aside(self, error: Exception) -> None:
        new_folder = self._folder.with_name(f"{self._folder.name}.unreadable-{int(time.time())}")
        try:
            self._folder.rename(new_folder)
            result = f"It is in {new_folder} now, and this run starts empty."
        except OSError as rename_error:
            result = f"It can't be moved away ({rename_error.strerror}), so this run keeps nothing."
            self._has_failed = True
        self._say(f"The kept data can't be read: {error}. {result}")

    # --- loading ----------------------------------------------------------------------------------

    def load(self, services: Services, functions: Functions, work_function: str) -> None:
        """Add the kept data to the services, and send the unfinished events again.

        `work_function` is the function that runs jobs and tasks.
        """
        failed_count = 0
        for line in self._lines:
            try:
                self._load_line(line, services, functions, work_function)
            except Exception:  # noqa: BLE001 - kept data must never prevent a start
                failed_count += 1
        if failed_count:
            self._say(f"{failed_count} rows, files or messages of the kept data can't be used.")
        self._lines.clear()

    def _load_line(
        self, line: Line, services: Services, functions: Functions, work_function: str
    ) -> None:
        match line["kind"]:
            case "item":
                database = behind_moto.database()
                table = database.find_table(line["table"])
                database.store(table, table.key_of(line["item"]), line["item"])
            case "file":
                content = self._file(line["digest"]).read_bytes()
                key = backend("s3").put_object(
                    line["bucket"], line["name"], content, etag=line["etag"]
                )
                key.set_metadata(line["metadata"])
                key._version_id = line["version"]
                self._digests[key.etag] = line["digest"]
            case "parameter":
                if not backend("ssm")._parameters.get(line["name"]):
                    _put_parameter(line)
            case "message":
                sqs = backend("sqs")
                if line["queue"] not in sqs.queues:
                    sqs.create_queue(line["queue"], None)
                message = sqs.send_message(line["queue"], line["body"])
                message.visible_at = line["visible_at"]
            case "log":
                services.logs.write(line["group"], [line["text"]], line["time"])
            case "waiting":
                # A function is missing if its worker class was removed.
                exists = line["function"] in functions.names
                functions.send(line["function"] if exists else work_function, line["event"])
            case "running" if line["function"].startswith(work_function):
                text = "The local AWS was stopped while the job ran"
                reply = {"errorType": "Runtime.ExitError", "errorMessage": text}
                put(FAILURES, failure_record(line["event"], reply))

    # --- saving -----------------------------------------------------------------------------------

    def note_change(self) -> None:
        """Remember that something has changed since the last save."""
        if not self._is_changed and not self._has_failed:
            self._is_changed = True
            with contextlib.suppress(OSError):
                self._folder.mkdir(mode=0o700, exist_ok=True)  # it has personal data
                (self._folder / _CHANGED).touch()

    async def save_regularly(self, services: Services, functions: Functions, port: int) -> None:
        """Save changes every few seconds, until canceled."""
        pause = _SAVE_SECONDS
        while True:
            await asyncio.sleep(pause)
            if self._is_changed:
                started_at = time.monotonic()
                self._is_changed = False
                snapshot = _take_snapshot(services, functions)
                await asyncio.shield(asyncio.to_thread(self._write, snapshot, port))
                # A long save slows down everything else, so save large data less often.
                pause = max(_SAVE_SECONDS, 20 * (time.monotonic() - started_at))

    def save(self, services: Services, functions: Functions, port: int) -> None:
        """Save everything, at the end of the run."""
        self._is_changed = False
        self._write(_take_snapshot(services, functions), port)

    def _write(self, snapshot: _Snapshot, port: int) -> None:
        """Write the data. If the disk is full, say so once, and leave the old data in place."""
        try:
            self._write_all(snapshot, port)
        except OSError as error:
            self._is_changed = True
            if not self._has_failed:
                self._say(
                    f"The data can't be kept in {self._folder}: {error.strerror}. What was kept "
                    "before stays as it was, and this run tries again."
                )
            self._has_failed = True
            return
        self._has_failed = False
        if not self._is_changed:
            (self._folder / _CHANGED).unlink(missing_ok=True)

    def _write_all(self, snapshot: _Snapshot, port: int) -> None:
        (self._folder / _FILES).mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        file_lines = [file.line(self._write_file(file.key)) for file in snapshot.files]
        new_state = self._folder / f"{KEPT_STATE}.new"
        new_state.unlink(missing_ok=True)
        new_state.touch(mode=0o600)
        with new_state.open("w", encoding="utf-8") as output:
            output.write(json.dumps({"format": _FORMAT, "port": port}) + "\n")
            for name, items in snapshot.tables.items():
                for item in items:
                    line = {"kind": "item", "table": name, "item": item.attributes}
                    output.write(dynamo_json_dump(line) + "\n")
            for line in (*file_lines, *snapshot.other_lines, {"kind": "end"}):
                output.write(json.dumps(line) + "\n")
            output.flush()
            os.fsync(output.fileno())
        new_state.replace(self._folder / KEPT_STATE)
        digests = {line["digest"] for line in file_lines}
        for path in (self._folder / _FILES).iterdir():
            if path.name not in digests:
                path.unlink()

    def _write_file(self, key: Any) -> str:
        """Write the content of an object, unless its file exists. Return its hash."""
        digest = self._digests.get(key.etag)
        if digest is None or not self._file(digest).exists():
            content = key.value
            digest = hashlib.sha256(content).hexdigest()
            self._digests[key.etag] = digest
            new_file = self._file(f"{digest}.new")
            new_file.write_bytes(content)
            new_file.replace(self._file(digest))
        return digest


def _put_parameter(line: Line) -> None:
    call = {name.title(): line[name] for name in ("name", "description", "value", "type")}
    headers = {"x-amz-target": "AmazonSSM.PutParameter", "host": ""}
    status, _, body = call_moto("ssm", "POST", "/", headers, json.dumps(call).encode())
    if status != 200:
        raise ValueError(body)


def _take_snapshot(services: Services, functions: Functions) -> _Snapshot:
    database = behind_moto.database()
    tables = {
        name: list(database.find_table(name).items.values()) for name in behind_moto.table_names()
    }
    files = [
        _File(bucket.name, key)
        for bucket in backend("s3").buckets.values()
        for _, key in bucket.keys.items()
        if hasattr(key, "value")  # a delete marker has none
    ]
    return _Snapshot(tables, files, [*_other_lines(services, functions)])


def _other_lines(services: Services, functions: Functions) -> Iterator[Line]:
    for name, versions in list(backend("ssm")._parameters.items()):
        if versions:
            newest = versions[-1]
            value = newest.decrypt(newest.value)
            fields = {"type": newest.parameter_type, "description": newest.description}
            yield {"kind": "parameter", "name": name, "value": value, **fields}
    for name, queue in backend("sqs").queues.items():
        for message in queue._messages:
            fields = {"body": message.body, "visible_at": message.visible_at}
            yield {"kind": "message", "queue": name, **fields}
    for group, lines in services.logs.lines.items():
        for _, time_ms, text in islice(lines, max(0, len(lines) - _MAX_LOG_LINES), None):
            yield {"kind": "log", "group": group, "time": time_ms, "text": text}
    for state, function, event in functions.unfinished():  # the state is waiting or running
        yield {"kind": state, "function": function, "event": event}
