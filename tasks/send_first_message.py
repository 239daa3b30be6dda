"""Texts a contact for the first time, once however often the task is delivered."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from contacts.assignment import MessageStatus
from contacts.contact import organization_campaign
from contacts.first_message import Mark
from errors import RetryAfter, TextInDoubt, TextRefused
from texting import sms

_Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class SendFirstMessage(BaseModel):
    """Whom to text for whom, and what. The job send_first_messages writes these."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "organization_id": "acme",
                    "campaign_id": "spring-canvass",
                    "cell": "+12125550123",
                    "texter": "ada",
                    "text": "Hi Ann, polls close at 8.",
                }
            ]
        },
    )

    organization_id: Annotated[_Name, StringConstraints(pattern="^[^#]*$")]
    campaign_id: _Name
    cell: sms.Cell
    texter: _Name = Field(description="Whose contact it is. If it no longer is, nothing is sent.")
    text: sms.Text


def send_first_message(payload: SendFirstMessage) -> None:
    """Mark the contact, send the text, record what came of it.

    Who finds the mark sends nothing. It is taken back only when SNS surely did not take the message
    and may take it later: then another attempt may send it. A worker that is killed in between
    leaves the contact at `sending`, and nobody texts it again.
    """
    campaign = organization_campaign(payload.organization_id, payload.campaign_id)
    mark = Mark(campaign, payload.cell)
    if not mark.set(payload.texter):
        return
    try:
        sms.send(payload.cell, payload.text)
    except RetryAfter:
        mark.end(MessageStatus.NEEDS_MESSAGE)
        raise
    except TextRefused:
        mark.end(MessageStatus.REFUSED)
        raise
    except TextInDoubt:
        mark.end(MessageStatus.UNKNOWN)
        raise
    mark.end(MessageStatus.SENT)
