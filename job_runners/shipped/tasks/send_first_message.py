"""Text a contact for the first time, and only once even if the task is delivered several times."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from job_runners.aws.errors import AWS_ERRORS
from job_runners.shipped.campaigns.contact import organization_campaign
from job_runners.shipped.campaigns.messaging import first_message, sms
from job_runners.shipped.campaigns.messaging.send_claim import SendClaim
from job_runners.work import Retry, RetryAfter

_BACKOFF = Retry(base=2.0)  # while the contacts table can't be reached
_Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class SendFirstMessage(BaseModel):
    """A contact, its texter and the text."""

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
    texter: _Name = Field(
        description="The contact's texter. If the contact now has another texter, nothing is sent."
    )
    text: sms.Text
    marks: list[_Name] = Field(
        default_factory=list,
        max_length=100,
        description="Leave this out. The task sets it for its own next attempt.",
    )


def send_first_message(payload: SendFirstMessage) -> None:
    """Mark the contact, send the text, and record the outcome.

    If a delivery finds the mark of another delivery, it sends nothing. The mark is removed only if
    SNS certainly did not accept the message and may accept it later. Then another attempt may send
    it. If a worker is killed in between, the contact stays at `sending`, and it isn't texted again.

    An attempt that sent nothing may not know whether it has set its mark. So it passes the mark's
    id to the next attempt, which may replace that mark. It must not replace any other mark, because
    Lambda may deliver one attempt twice, and the other delivery may be sending.
    """
    campaign = organization_campaign(payload.organization_id, payload.campaign_id)
    claim = SendClaim(campaign, payload.cell)
    next_payload = payload.model_copy(update={"marks": [*payload.marks, claim.id]}).model_dump(
        mode="json"
    )
    try:
        may_send = claim.set(payload.texter, payload.marks)
    except AWS_ERRORS as error:
        wait = _BACKOFF.delay(len(payload.marks) + 1)
        raise RetryAfter(wait, "the contact could not be marked", payload=next_payload) from error
    if may_send:
        first_message.send(claim, payload.cell, payload.text, next_payload=next_payload)
