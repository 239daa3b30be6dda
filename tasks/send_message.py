"""Texts one person, through SNS."""

from pydantic import BaseModel, ConfigDict, Field

from campaigns.messaging import sms


class SendMessage(BaseModel):
    """Says whom to text, and what."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"cell": "+12125550123", "text": "Polls close at 8."}]},
    )

    cell: sms.Cell = Field(
        description="The phone number in E.164, as contacts have it.", examples=["+12125550123"]
    )
    text: sms.Text = Field(
        description="The message. Longer than 160 characters (70 with any outside GSM 03.38), it "
        "is sent, and billed, in parts.",
        examples=["Polls close at 8."],
    )


def send_message(payload: SendMessage) -> None:
    """Hand the message to SNS, at most once as far as we can tell.

    A person should not get a text twice, so it is tried again only when SNS surely did not take
    it. When nobody knows, the message is given up. Lambda itself may, rarely, deliver a task twice:
    where that must not happen, mark what was sent, as send_first_message does.
    """
    sms.send(payload.cell, payload.text)
