"""Text every assigned contact of a campaign for the first time, at the rate of the queue."""

import logging
from collections import Counter
from collections.abc import Iterator
from itertools import islice, pairwise
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import BaseModel, ConfigDict, Field

from campaign import first_message
from campaign.contacts import (
    CampaignId,
    Contact,
    MessageStatus,
    assignments,
    contacts,
    organization_campaign,
)
from campaign.errors import SmsOutcomeUnknown, TextRefused
from campaign.first_message import FIELDS, SendClaim, Template, filled
from campaign.sms import LONGEST, Cell, Sms
from job_runners.work import Member, RetryAfter, RunningJob

_log = logging.getLogger(__name__)

# Messages per turn. The rate of the queue of the turns' jobs counts those of all campaigns.
PER_TURN = 20
_UNASSIGNED = "unassigned"  # the status of a contact without a texter
_TURN = "send_first_messages_turn"  # the job that sends the messages of a turn
_REPORT = "send_message"


class SendFirstMessages(BaseModel):
    """The text for the contacts of a campaign."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"campaign": "spring", "text": "Hi {first_name}, polls close at 8."}]
        },
    )

    campaign: CampaignId
    text: Template = Field(
        description="The message. {first_name}, {last_name}, {zip} and {external_id} are replaced "
        "by the values of each contact.",
        examples=["Hi {first_name}, polls close at 8."],
    )
    report_to: Cell | None = Field(
        default=None,
        description="A phone number in E.164 format. It gets a text when all messages have an "
        "outcome.",
        examples=["+12125550199"],
    )


def send_first_messages(job: RunningJob, payload: SendFirstMessages) -> dict[str, Any]:
    """Text each contact that has a texter and no first message yet.

    The contacts are texted in turns, and a job sends the messages of each. The rate of these jobs'
    queue sets the speed. When all of them have ended, this job reports how many messages were sent.
    No contact gets two messages, even if a job is interrupted. The contact's message_status has the
    outcome.
    """
    campaign = organization_campaign(job.organization_id, payload.campaign)
    ends = job.step("turns", lambda: _ends_of_turns(campaign))
    results = job.gather("turns", _turns(payload, ends))
    too_long = sum(turn.value or 0 for turn in results)
    counts = _count(campaign)
    assigned = counts.total() - counts[_UNASSIGNED]
    job.message = f"{counts[MessageStatus.SENT]:,} of {assigned:,} contacts texted"
    if payload.report_to is not None:
        report = {"cell": payload.report_to, "text": f"First messages: {job.message}."}
        job.step("report", lambda: job.dispatch_task(_REPORT, report))
    return {**counts, "too_long": too_long}


def _ends_of_turns(campaign: str) -> list[str]:
    """Return the last contact of each turn."""
    to_text = (
        cell for cell, found in assignments(campaign) if found is not None and found.needs_message
    )
    return [turn[-1] for turn in iter(lambda: list(islice(to_text, PER_TURN)), [])]


def _count(campaign: str) -> Counter[str]:
    """Return how many contacts have each status of their first message."""
    counts: Counter[str] = Counter(dict.fromkeys([*MessageStatus, _UNASSIGNED], 0))
    for _, found in assignments(campaign):
        counts[_UNASSIGNED if found is None else found.message_status] += 1
    return counts


def _turns(payload: SendFirstMessages, ends: list[str]) -> Iterator[Member]:
    same = {"campaign": payload.campaign, "text": payload.text}
    for after, last in pairwise([None, *ends]):
        yield Member(_TURN, {**same, "after": after, "last": last})


class SendFirstMessagesTurn(BaseModel):
    """Some contacts of a campaign. The job send_first_messages creates these payloads."""

    model_config = ConfigDict(extra="forbid")

    campaign: CampaignId
    text: Template
    after: str | None  # the last contact of the turn before
    last: str


def send_first_messages_turn(job: RunningJob, payload: SendFirstMessagesTurn) -> int:
    """Text the contacts of the turn that still need it. Return how many texts were too long."""
    return _Turn(job, payload).run()


class _Turn:
    """One turn, new or resumed."""

    def __init__(self, job: RunningJob, payload: SendFirstMessagesTurn) -> None:
        self._job = job
        self._payload = payload
        self._sms = Sms()
        self._campaign = organization_campaign(job.organization_id, payload.campaign)
        cursor = job.cursor or {"after": payload.after, "too_long": 0, "marks": {}}
        self._after: str | None = cursor["after"]
        self._too_long: int = cursor["too_long"]
        # By phone number: the marks of attempts that sent nothing, and may have set them.
        self._marks: dict[str, list[str]] = cursor["marks"]

    def run(self) -> int:
        """Text the contacts, and return how many texts were too long."""
        for contact, found in contacts(self._campaign, self._after, self._payload.last):
            if found is not None and (found.needs_message or contact.cell in self._marks):
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
        except (BotoCoreError, ClientError):
            self._keep_mark(claim, contact.cell)
            raise
        if not may_send:
            return
        try:
            first_message.send(self._sms, claim, contact.cell, text)
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
