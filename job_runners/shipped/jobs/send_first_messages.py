"""Text every assigned contact of a campaign for the first time, at the rate of the queue."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice, pairwise
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from job_runners.shipped.campaigns import contact_queries
from job_runners.shipped.campaigns.assignment import MessageStatus, needs_message
from job_runners.shipped.campaigns.bucket_keys import campaign_of
from job_runners.shipped.campaigns.contact import organization_campaign
from job_runners.shipped.campaigns.messaging.sms import Cell
from job_runners.shipped.campaigns.messaging.template import Template
from job_runners.work import Member, RunningJob

# Messages per turn. The rate of the queue of the turns' jobs counts those of all campaigns.
PER_TURN = 20
_UNASSIGNED = "unassigned"  # the status of a contact without a texter
_TURN = "send_first_messages_turn"  # the job that sends the messages of a turn
_REPORT = "send_message"  # only the name, because jobs and tasks don't import each other


class SendFirstMessages(BaseModel):
    """The text for the contacts of the job's campaign."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"text": "Hi {first_name}, polls close at 8."}]},
    )

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
    campaign = organization_campaign(job.organization_id, campaign_of(job))
    ends = job.step("turns", lambda: _ends_of_turns(campaign))
    results = job.gather("turns", _turns(payload.text, ends))
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
        cell for cell, found in contact_queries.assignments(campaign) if needs_message(found)
    )
    return [turn[-1] for turn in iter(lambda: list(islice(to_text, PER_TURN)), [])]


def _count(campaign: str) -> Counter[str]:
    """Return how many contacts have each status of their first message."""
    counts: Counter[str] = Counter(dict.fromkeys([*MessageStatus, _UNASSIGNED], 0))
    for _, found in contact_queries.assignments(campaign):
        counts[_UNASSIGNED if found is None else found.message_status] += 1
    return counts


def _turns(text: str, ends: list[str]) -> Iterator[Member]:
    for after, last in pairwise([None, *ends]):
        yield Member(_TURN, {"text": text, "after": after, "last": last})
