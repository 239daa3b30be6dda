"""The refund of the page about waits on the local AWS: a link, a deploy, and a killed worker."""

import json
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from deployed_versions import DeployedVersions
from job_runners.places import ROOT
from worker_killer import workers

# It starts a local AWS of its own, after the tests that share one.
pytestmark = [pytest.mark.e2e, pytest.mark.more, pytest.mark.xdist_group("local AWS")]

SOURCE = (ROOT / "tests/support/waits_project/shop/__init__.py").read_text()
REFUND = {"order": "A7", "cents": 5, "customer": "ada@example.com", "approver": "grace@example.com"}
# Each request is a line in a file. The first worker that pays back is killed before its answer.
SERVICES = """

import json, os, pathlib, time

class Files(Services):
    def mail(self, to, text):
        self.add("mail", to, text, "")

    def pay_back(self, order, cents, key):
        is_first = not pathlib.Path({file!r} + ".paid").exists()
        pathlib.Path({file!r} + ".paid").touch()
        self.add("pay back", order, str(os.getpid()), key)
        time.sleep(60 if is_first else 0)

    def add(self, *fields):
        with open({file!r}, "a") as file:
            file.write(json.dumps(fields) + "\\n")

services = Files()
"""


def test_a_refund_is_paid_back_after_a_deploy_and_a_killed_worker(
    versions: DeployedVersions, tmp_path: Path
) -> None:
    file = tmp_path / "requests"
    work = SOURCE + SERVICES.format(file=str(file))
    versions.deploy("before", {"acme/__init__.py": work})
    job_id = versions.dispatch("refund", REFUND)
    versions.reach(job_id, "waiting")
    versions.deploy("after", {"acme/__init__.py": work.replace("Refund {cents}", "Pay {cents}")})
    [(_, approver, text, _)] = requests(file)
    assert (approver, text.split(" http")[0]) == (
        "grace@example.com",
        "Refund 5 cents for order A7?",
    )
    link = text.split()[-1]
    choices = ("approve", "reject", "approve")
    assert [answer(link, choice) for choice in choices] == [200, 409, 200]
    pid = int(once(lambda: [each for each in requests(file) if each[0] == "pay back"])[0][2])
    assert pid in workers(versions.tree)
    os.kill(pid, signal.SIGKILL)
    versions.reach(job_id, "retryable")
    versions.make_due(job_id)
    versions.tick()
    job = versions.reach(job_id)
    assert (job["status"], job["result"], job["attempt"]) == ("succeeded", "refunded", 2), job
    done = [(what, key.removeprefix(job_id)) for what, _, _, key in requests(file)]
    paid = ("pay back", "/pay back")  # twice, under one key
    assert done == [("mail", ""), paid, paid, ("mail", "")]


def requests(file: Path) -> list[list[str]]:
    """Return the requests that the services got, in order."""
    return [json.loads(line) for line in file.read_text().splitlines()]


def once(find: Callable[[], list[list[str]]]) -> list[list[str]]:
    """Wait until there are results. Return them."""
    until = time.monotonic() + 60
    while not (found := find()):
        assert time.monotonic() < until
        time.sleep(0.1)
    return found


def answer(link: str, choice: str) -> int:
    """Press a button of the link's page. Return the status."""
    request = urllib.request.Request(
        link,
        json.dumps({"choice": choice}).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return int(response.status)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code
