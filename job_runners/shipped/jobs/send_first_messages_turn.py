"""Send the first messages of a turn: some contacts of the job send_first_messages."""

import logging
from typing import Any

from pydantic import BaseModel, ConfigDict

from job_runners.aws.errors import AWS_ERRORS
from job_runners.errors import DoNotRetry, RetryAfter
from job_runners.shipped.campaigns import contact_queries
from job_runners.shipped.campaigns.assignment import needs_message
from job_runners.shipped.campaigns.bucket_keys import campaign_of
from job_runners.shipped.campaigns.contact import Contact, organization_campaign
from job_runners.shipped.campaigns.errors import SmsOutcomeUnknown, TextRefused
from job_runners.shipped.campaigns.messaging import first_message
from job_runners.shipped.campaigns.messaging.send_claim import SendClaim
from job_runners.shipped.campaigns.messaging.sms import LONGEST
from job_runners.shipped.campaigns.messaging.template import FIELDS, Template, filled
from job_runners.shipped.jobs.names import Jobs
from job_runners.store import queries
from job_runners.work import RunningJob

_log = logging.getLogger(__name__)


class SendFirstMessagesTurn(BaseModel):
    """Some contacts of a campaign. The job send_first_messages creates these payloads."""

    model_config = ConfigDict(extra="forbid")

    text: Template
    after: str | None  # the last contact of the turn before
    last: str


def send_first_messages_turn(job: RunningJob, payload: SendFirstMessagesTurn) -> int:
    """Text the contacts of the turn that still need it. Return how many texts were too long.

    If the job send_first_messages was canceled, text no contact.
    """
    sender = queries.read(job.parent_id) if job.parent_id else None
    if sender is None or sender.status.finished or sender.cancel_requested:
        return 0
    if sender.job_type != Jobs.SEND_FIRST_MESSAGES:
        raise DoNotRetry(f"Only {Jobs.SEND_FIRST_MESSAGES} may dispatch this job.")
    return _Turn(job, payload).run()


class _Turn:
    """One turn, new or resumed."""

    def __init__(self, job: RunningJob, payload: SendFirstMessagesTurn) -> None:
        self._job = job
        self._payload = payload
        self._campaign = organization_campaign(job.organization_id, campaign_of(job))
        cursor = job.cursor or {"after": payload.after, "too_long": 0, "marks": {}}
        self._after: str | None = cursor["after"]
        self._too_long: int = cursor["too_long"]
        # By phone number: the marks of attempts that sent nothing, and may have set them.
        self._marks: dict[str, list[str]] = cursor["marks"]

    def run(self) -> int:
        """Text the contacts, and return how many texts were too long."""
        contacts = contact_queries.contacts(self._campaign, self._after, self._payload.last)
        for contact, found in contacts:
            if found is not None and (needs_message(found) or contact.cell in self._marks):
                self._text(contact, found.texter)
            self._after, self._marks = contact.cell, {}
            self._job.checkpoint(self._cursor())
        return self._too_long

    def _text(self, contact: Contact, texter: str) -> None:
        text = filled(self._payload.text, {name: getattr(contact, name) for name in FIELDS})
        if len(text) > LONGEST:
            self._too_long += 1
            return
        claim = SendClaim(self._campaign, contact.cell)
        try:
            may_send = claim.set(texter, self._marks.get(contact.cell, []))
        except AWS_ERRORS:
            self._keep_mark(claim, contact.cell)
            raise
        if not may_send:
            return
        try:
            first_message.send(claim, contact.cell, text)
        except RetryAfter:
            self._keep_mark(claim, contact.cell)
            raise
        except (TextRefused, SmsOutcomeUnknown) as error:
            _log.warning("%s", error)

    def _keep_mark(self, claim: SendClaim, cell: str) -> None:
        """Let the next attempt replace a mark that may be set although nothing was sent."""
        self._marks = {cell: [*self._marks.get(cell, []), claim.id]}
        self._job.checkpoint(self._cursor())

    def _cursor(self) -> dict[str, Any]:
        return {"after": self._after, "too_long": self._too_long, "marks": self._marks}
