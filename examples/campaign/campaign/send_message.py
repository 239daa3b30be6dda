"""Text one person through SNS."""

from pydantic import BaseModel, ConfigDict, Field

from campaign.sms import Cell, Sms, Text


class SendMessage(BaseModel):
    """A phone number and the text for it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"cell": "+12125550123", "text": "Polls close at 8."}]},
    )

    cell: Cell = Field(description="The phone number in E.164 format.", examples=["+12125550123"])
    text: Text = Field(
        description="The message. If it has more than 160 characters (70 with any outside GSM "
        "03.38), it is sent and billed in parts.",
        examples=["Polls close at 8."],
    )


def send_message(payload: SendMessage) -> None:
    """Send the message through SNS.

    A person shouldn't get a text twice. So the task tries again only if SNS certainly did not
    accept the message, and gives up if the outcome is unknown. Rarely, Lambda itself delivers a
    task twice.
    If a second text must never be sent, mark each sent text as send_first_messages does.
    """
    Sms().send(payload.cell, payload.text)
