"""The data that `run --keep` keeps for the next run: tables, files, parameters, queues and logs.

The data is one file of JSON lines, which is replaced as a whole, and a folder of files that are
named by their hashes. The file is written every few seconds while anything changes, and at the end.
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
_SECONDS = 10.0
_MOST_LINES = 5_000  # of each log group
_FILES, _CHANGED = "files", "changed-since"

ABOUT_KEPT_DATA = (
    "Jobs, tables, files, parameters, queues and logs are kept, every 10 seconds and at Ctrl-C. A "
    "running job is interrupted, as if its worker had ended. The data is plain text, including the "
    f"secrets of `{COMMAND} config set`. Only you can read the folder. To delete it, remove "
    ".local.kept/."
)

Line = dict[str, Any]


class _File(NamedTuple):
    """An object in a bucket, whose content moto has."""

    bucket: str
    key: Any

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
    """Everything as it was at one moment. Nothing in it changes."""

    tables: dict[str, list[Any]]
    files: list[_File]
    lines: list[Line]  # everything else


class KeptState:
    """The folder of the kept data."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        """Read what the last run kept. If it can't be read, put it aside. Say so with `say`."""
        self._folder, self._say = folder, say
        self._digests: dict[str, str] = {}  # of the files' contents, by their ETags
        self._is_changed = self._has_failed = False
        self._lines: list[Line] = []
        try:
            if folder.exists() and any(folder.iterdir()):
                self._lines = self._read()
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._put_aside(error)
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
        for each in lines:
            if each["kind"] == "file" and not self._file(each["digest"]).exists():
                raise ValueError(f"the content of {each['name']} is missing")
        return lines

    def _file(self, digest: str) -> Path:
        return self._folder / _FILES / digest

    def _put_aside(self, error: Exception) -> None:
        aside = self._folder.with_name(f"{self._folder.name}.unreadable-{int(time.time())}")
        try:
            self._folder.rename(aside)
            where = f"It is in {aside} now, and this run starts empty."
        except OSError as failed:
            where = f"It can't be moved away ({failed.strerror}), so this run keeps nothing."
            self._has_failed = True
        self._say(f"The kept data can't be read: {error}. {where}")

    # --- loading ----------------------------------------------------------------------------------

    def load(self, services: Services, functions: Functions, runs_work: str) -> None:
        """Add the kept data to the services, and continue the events that waited or ran."""
        refused = 0
        for line in self._lines:
            try:
                self._load_line(line, services, functions, runs_work)
            except Exception:  # noqa: BLE001 - kept data must never prevent a start
                refused += 1
        if refused:
            self._say(f"{refused} rows, files or messages of the kept data can't be used.")
        self._lines.clear()

    def _load_line(
        self, line: Line, services: Services, functions: Functions, runs_work: str
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
                known = line["function"] in functions.names  # not if its worker class was removed
                functions.send(line["function"] if known else runs_work, line["event"])
            case "running" if line["function"].startswith(runs_work):
                text = "The local AWS was stopped while the job ran"
                reply = {"errorType": "Runtime.ExitError", "errorMessage": text}
                put(FAILURES, failure_record(line["event"], reply))

    # --- saving -----------------------------------------------------------------------------------

    def note_change(self) -> None:
        """Remember that something has changed since the last save."""
        if not self._is_changed and not self._has_failed:
            self._is_changed = True
            with contextlib.suppress(OSError):
                self._folder.mkdir(mode=0o700, exist_ok=True)  # it holds people's data
                (self._folder / _CHANGED).touch()

    async def save_regularly(self, services: Services, functions: Functions, port: int) -> None:
        """Save changes every few seconds, until canceled."""
        pause = _SECONDS
        while True:
            await asyncio.sleep(pause)
            if self._is_changed:
                began = time.monotonic()
                self._is_changed = False
                snapshot = _snapshot(services, functions)
                await asyncio.shield(asyncio.to_thread(self._write, snapshot, port))
                # Much data takes long, and slows down everything else.
                pause = max(_SECONDS, 20 * (time.monotonic() - began))

    def save(self, services: Services, functions: Functions, port: int) -> None:
        """Save everything, at the end of the run."""
        self._is_changed = False
        self._write(_snapshot(services, functions), port)

    def _write(self, snapshot: _Snapshot, port: int) -> None:
        """Write the data. If the disk is full, say so once, and keep the data before."""
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
        files = [each.line(self._write_file(each.key)) for each in snapshot.files]
        new = self._folder / f"{KEPT_STATE}.new"
        new.unlink(missing_ok=True)
        new.touch(mode=0o600)
        with new.open("w", encoding="utf-8") as file:
            file.write(json.dumps({"format": _FORMAT, "port": port}) + "\n")
            for name, items in snapshot.tables.items():
                for item in items:
                    line = {"kind": "item", "table": name, "item": item.attributes}
                    file.write(dynamo_json_dump(line) + "\n")
            for line in (*files, *snapshot.lines, {"kind": "end"}):
                file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._folder / KEPT_STATE)
        used = {each["digest"] for each in files}
        for path in (self._folder / _FILES).iterdir():
            if path.name not in used:
                path.unlink()

    def _write_file(self, key: Any) -> str:
        """Write the content of an object, unless it is there. Return its hash."""
        digest = self._digests.get(key.etag)
        if digest is None or not self._file(digest).exists():
            content = key.value
            digest = self._digests[key.etag] = hashlib.sha256(content).hexdigest()
            new = self._file(f"{digest}.new")
            new.write_bytes(content)
            new.replace(self._file(digest))
        return digest


def _put_parameter(line: Line) -> None:
    call = {name.title(): line[name] for name in ("name", "description", "value", "type")}
    headers = {"x-amz-target": "AmazonSSM.PutParameter", "host": ""}
    status, _, answer = call_moto("ssm", "POST", "/", headers, json.dumps(call).encode())
    if status != 200:
        raise ValueError(answer)


def _snapshot(services: Services, functions: Functions) -> _Snapshot:
    state = behind_moto.database()
    tables = {
        name: list(state.find_table(name).items.values()) for name in behind_moto.table_names()
    }
    files = [
        _File(bucket.name, key)
        for bucket in backend("s3").buckets.values()
        for _, key in bucket.keys.items()
        if hasattr(key, "value")  # and no delete marker
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
        for each in queue._messages:
            fields = {"body": each.body, "visible_at": each.visible_at}
            yield {"kind": "message", "queue": name, **fields}
    for group, lines in services.logs.lines.items():
        for _, moment, text in islice(lines, max(0, len(lines) - _MOST_LINES), None):
            yield {"kind": "log", "group": group, "time": moment, "text": text}
    for state, function, event in functions.unfinished():
        yield {"kind": state, "function": function, "event": event}
