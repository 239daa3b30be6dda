"""Run the whole campaign on the local AWS, and check every count: import, assign, text, export.

Run it in the folder that has `.local` while a local AWS is up: `python demo.py`. If none is up, it
starts one, and stops it at the end. The exit code is 1 if a count is wrong.
"""

import csv
import io
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from job_runners import Client, JobRunnersError
from sample import Expected, write_sample

CAMPAIGN = "spring-canvass"
TEXTERS = ("ada", "grace", "linus")
FIRST_EACH = 4  # contacts of each texter that are texted first
FIRST = FIRST_EACH * len(TEXTERS)
TEXT = "Hi {first_name}, polls close at 8."

_LOCAL = Path(".local")
_STACK = _LOCAL / "stack.json"  # exists while the local AWS is up
_START_SECONDS = 120
_JOB_SECONDS = 900


class Demo:
    """The campaign's jobs, one after another, and whether all counts so far are right."""

    def __init__(self, client: Client, stack: dict[str, str]) -> None:
        self.is_right = True
        self._client = client
        self._stack = stack

    def run(self) -> None:
        """Run every job, and check its counts. Raises RuntimeError if a job doesn't succeed."""
        with tempfile.TemporaryDirectory() as folder:
            sample = Path(folder) / "contacts.csv"
            expected = write_sample(sample)
            key = self._client.upload(sample)
        self._import(key, expected)
        contacts = expected.imported
        self._assign("first", {"max_contacts": FIRST_EACH}, kept=0, contacts=FIRST)
        self._text()
        self._assign("then", {}, kept=FIRST, contacts=contacts)
        self._export(contacts)

    def _import(self, key: str, expected: Expected) -> None:
        began = monotonic()
        result = self._result("import_contacts", key=key)
        seconds = monotonic() - began
        rejected = expected.invalid + expected.repeated
        self._check("imported", result["imported"], expected.imported)
        self._check("  invalid", result["invalid"], expected.invalid)
        self._check("  repeated", result["repeated"], expected.repeated)
        self._check("  rejected rows", (result["rejected"] or {}).get("rows", 0), rejected)
        print(f"  {result['rows']:,} rows in {seconds:.1f} seconds")

    def _assign(self, when: str, limit: dict[str, int], *, kept: int, contacts: int) -> None:
        """Assign contacts. `limit` is added to the request of each texter. Afterwards, the texters
        should have `contacts` contacts in total. They had `kept` of them before."""
        result = self._result("assign_texters", texters=[{"id": each, **limit} for each in TEXTERS])
        each = {name: sum(counts.values()) for name, counts in result["texters"].items()}
        self._check(f"{when} assigned", result["assigned"], contacts - kept)
        self._check("  kept from before", result["kept"], kept)
        self._check(f"  {', '.join(TEXTERS)}", _values(each), _values(_shares(contacts)))

    def _text(self) -> None:
        before = self._texts()
        result = self._result("send_first_messages", text=TEXT)
        times = Counter((self._texts() - before).values())
        self._check("messages sent", result["sent"], FIRST)
        self._check("  people texted once", times[1], FIRST)
        self._check("  texted more than once", times.total() - times[1], 0)

    def _export(self, contacts: int) -> None:
        url = self._result("export_contacts")["url"]
        with urllib.request.urlopen(url, timeout=60) as response:
            rows = list(csv.DictReader(io.StringIO(response.read().decode(), newline="")))
        texters = Counter(row["texter"] for row in rows)
        statuses = Counter(row["message_status"] for row in rows)
        self._check("rows exported", len(rows), contacts)
        self._check(f"  {', '.join(TEXTERS)}", _values(texters), _values(_shares(contacts)))
        self._check("  sent", statuses["sent"], FIRST)
        self._check("  needs_message", statuses["needs_message"], contacts - FIRST)

    def _result(self, job_type: str, **payload: Any) -> Any:
        print(job_type, flush=True)
        job = self._client.dispatch(job_type, {"campaign": CAMPAIGN, **payload})
        return self._client.wait(job, _JOB_SECONDS).get_result()

    def _check(self, name: str, found: Any, expected: Any) -> None:
        is_right = found == expected
        self.is_right &= is_right
        print(f"{name:<26} {found!s:>18}{'' if is_right else f'   expected {expected}'}")

    def _texts(self) -> Counter[str]:
        """Count the texts that the local AWS was asked to send, by phone number."""
        url = f"{self._stack['endpoint_url']}/_local/sms-messages"
        request = AWSRequest("GET", url)
        credentials: Any = boto3.Session().get_credentials()
        SigV4Auth(credentials, "execute-api", self._stack["region"]).add_auth(request)
        signed = urllib.request.Request(url, headers=dict(request.headers.items()))
        with urllib.request.urlopen(signed, timeout=60) as response:
            texts = json.load(response)["sms_messages"]
        return Counter({number: len(records) for number, records in texts.items()})


def _shares(contacts: int) -> dict[str, int]:
    """Return each texter's number of contacts in an even split. The first ones get the
    remainder."""
    each, over = divmod(contacts, len(TEXTERS))
    return {texter: each + (index < over) for index, texter in enumerate(TEXTERS)}


def _values(counts: dict[str, int]) -> str:
    return ", ".join(str(count) for _, count in sorted(counts.items()))


@contextmanager
def _local_aws() -> Iterator[None]:
    """Use the local AWS that is up, or start one for this block."""
    if _STACK.exists():
        yield
        return
    print("Starting a local AWS", flush=True)
    run = subprocess.Popen([sys.executable, "-m", "job_runners.cli", "run", "--quiet"])
    try:
        until = monotonic() + _START_SECONDS
        while not _STACK.exists() or not (_LOCAL / "env.sh").exists():
            if run.poll() is not None or monotonic() > until:
                raise RuntimeError("The local AWS did not start.")
            sleep(0.5)
        yield
    finally:
        if run.poll() is None:
            run.send_signal(signal.SIGINT)
        run.wait()


def _use_local_aws() -> None:
    """Do what `. .local/env.sh` does in a shell."""
    os.environ.pop("AWS_PROFILE", None)
    os.environ.pop("AWS_SESSION_TOKEN", None)
    for line in (_LOCAL / "env.sh").read_text().splitlines():
        if line.startswith("export "):
            name, _, value = shlex.split(line)[1].partition("=")
            os.environ[name] = value


def main() -> int:
    """Run the demonstration. Return the exit code."""
    try:
        with _local_aws():
            _use_local_aws()
            demo = Demo(Client(), json.loads(_STACK.read_text()))
            demo.run()
    except (JobRunnersError, RuntimeError) as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0 if demo.is_right else 1


if __name__ == "__main__":
    sys.exit(main())
