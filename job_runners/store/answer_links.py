"""The links under which people and other systems answer a job's question.

`RunningJob.signal_url` creates such a link. Its URL contains a random token, and any caller with
the token may answer. An item of the coordination table maps the token to the job, and to the signal
that the answer becomes. A step of the job stores the URL, so that all of the job's invocations get
the same one. One transaction writes the item and the step.
"""

import re
import secrets
from collections.abc import Sequence

from pynamodb.attributes import JSONAttribute, UnicodeAttribute

from job_runners import clock
from job_runners.store import steps
from job_runners.store.job_request import JobRequest
from job_runners.store.table import CoordinationItem, Integer

_TOKEN = re.compile(r"[0-9a-f]{32}")
STEP_PREFIX = "link "  # begins the name of a step that stores a link's URL


class AnswerLink(CoordinationItem):
    """A question to a person or another system, and the signal that the answer becomes."""

    how_erased = "with its job, by caller_transitions.delete_records"

    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True, default="link")
    job = UnicodeAttribute()  # the `created_key` of the job that asks
    work_id = UnicodeAttribute()  # the job's `work_id` when it made the link
    name = UnicodeAttribute()  # the name of the signal
    text = UnicodeAttribute()  # the question
    choices = JSONAttribute()  # a list of texts; if it is empty, the answer is any JSON value
    until = Integer()  # when the link stops accepting an answer, in milliseconds since 1970
    expires_at = Integer()  # in seconds, for TTL

    @property
    def path(self) -> str:
        """Return the path in the API under which a caller answers."""
        return f"/answers/{self.pk.partition('#')[2]}"


def new(job: JobRequest, name: str, text: str, choices: Sequence[str], until: int) -> AnswerLink:
    """Return a new link with a random token. The caller must store it."""
    return AnswerLink(
        _partition(_token(job, name)),
        job=job.created_key,
        work_id=job.work_id,
        name=name,
        text=text,
        choices=list(choices),
        until=until,
        # This is longer than any job can wait for an answer.
        expires_at=clock.expiry(steps.LIFETIME),
    )


def _token(_job: JobRequest, _name: str) -> str:
    """Return a token with 128 random bits. Tests replace this function by a predictable one."""
    return secrets.token_hex(16)


def find(token: str) -> AnswerLink | None:
    """Return the link with this token, or None."""
    if not _TOKEN.fullmatch(token):
        return None
    link = AnswerLink.find(_partition(token), "link")
    if link is None or link.expires_at * clock.SECOND <= clock.now():
        return None
    return link


def of_job(job: JobRequest, name: str) -> AnswerLink | None:
    """Return the link that a job has created for a signal, or None."""
    step = steps.find(job, f"{STEP_PREFIX}{name}")
    return find(_token_in(step)) if step else None


def delete(job: JobRequest) -> int:
    """Delete all links of a job, even from before it started over. Return their number."""
    link_steps = steps.with_prefix_in_all_work(job, STEP_PREFIX)
    return AnswerLink.delete_partitions(_partition(_token_in(step)) for step in link_steps)


def _token_in(step: steps.Step) -> str:
    """Return the token in the URL that a step has stored."""
    url: str = step.result
    return url.rpartition("/")[2]


def _partition(token: str) -> str:
    return f"link#{token}"
