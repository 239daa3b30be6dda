"""The HTTP requests that the pages of the docs show, with the status of each answer, sent."""

import re

from api_events import call
from shown_code import blocks


def answer_requests(page: str) -> int:
    """Send the requests of a page, and compare their statuses. Return the number of requests.

    `{id}` stands for the job that the last accepted dispatch has made.
    """
    shown = [block for block in blocks(page, "http") if "   # " in block]
    requests = [each for block in shown for each in re.split(r"\n(?=[A-Z]+ )", block.strip())]
    job_id = ""
    for text in requests:
        line, *rest = text.strip().splitlines()
        found = re.fullmatch(r"(\w+) (\S+)   # (\d+).*", line)
        assert found, line
        method, path, status = found.groups()
        headers = dict(each.split(": ", 1) for each in rest if not each.startswith("{"))
        raw = "".join(each for each in rest if each.startswith("{"))
        answer = call(method, path.replace("{id}", job_id), raw=raw, headers=headers)
        assert answer.status == int(status), (line, answer.text)
        assert ("the same job" in line) == ("idempotent-replayed" in answer.headers)
        if path == "/jobs" and answer.status == 202:
            job_id = answer.json["id"]
    return len(requests)
