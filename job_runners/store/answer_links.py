"""The links with which people and other systems answer a job, see `RunningJob.signal_url`.

Each is found by its token, which is random: a caller that has the token may answer. An item of the
coordination table maps the token to the job's work and to the name of the signal. A step of the job
has the URL, so that each invocation gets the same one. One transaction writes both.
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
STEP = "link "  # the prefix of the name of the step that stores a link's URL


class AnswerLink(CoordinationItem):
    """A question to a person or another system, and the signal that its answer becomes."""

    erasure = "with its job, by caller_transitions.delete_records"

    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True, default="link")
    job = UnicodeAttribute()  # its created_key
    work_id = UnicodeAttribute()  # the work to which the answer belongs
    name = UnicodeAttribute()  # the name of the signal
    text = UnicodeAttribute()
    choices = JSONAttribute()  # a list of texts; if it is empty, the answer is any JSON value
    until = Integer()  # when the link stops taking an answer, in milliseconds since 1970
    expires_at = Integer()  # in seconds, for TTL

    @property
    def path(self) -> str:
        """Return the path of the API under which a caller answers."""
        return f"/answers/{self.pk.partition('#')[2]}"


def new(job: JobRequest, name: str, text: str, choices: Sequence[str], until: int) -> AnswerLink:
    """Return a link with a random token, to be stored."""
    return AnswerLink(
        _partition(_token(job, name)),
        job=job.created_key,
        work_id=job.work_id,
        name=name,
        text=text,
        choices=list(choices),
        until=until,
        # As long as steps, and so longer than the job may wait for the answer.
        expires_at=(clock.now() + steps.LIFETIME) // clock.SECOND,
    )


def _token(_job: JobRequest, _name: str) -> str:
    """Return a new token of 128 random bits. Replays derive it from the job and the name."""
    return secrets.token_hex(16)


def find(token: str) -> AnswerLink | None:
    """Return the link with this token, or None."""
    if not _TOKEN.fullmatch(token):
        return None
    try:
        found = AnswerLink.get(_partition(token), "link", consistent_read=True)
    except AnswerLink.DoesNotExist:
        return None
    return found if found.expires_at * clock.SECOND > clock.now() else None


def of_job(job: JobRequest, name: str) -> AnswerLink | None:
    """Return the link that a job has made for a signal, or None."""
    step = steps.find(job, f"{STEP}{name}")
    return find(_token_in(step)) if step else None


def delete(job: JobRequest) -> int:
    """Delete all links of a job, including those of its work with earlier payloads.

    Return their number.
    """
    found = steps.with_prefix_in_all_work(job, STEP)
    return AnswerLink.delete_partitions(_partition(_token_in(step)) for step in found)


def _token_in(step: steps.Step) -> str:
    """Return the token in the URL that a step has stored."""
    url: str = step.result
    return url.rpartition("/")[2]


def _partition(token: str) -> str:
    return f"link#{token}"
