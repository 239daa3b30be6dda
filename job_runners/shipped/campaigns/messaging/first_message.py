"""Send a contact's first message, and record its outcome on the contact's assignment."""

from typing import Any

from job_runners.aws.errors import AWS_ERRORS
from job_runners.errors import RetryAfter
from job_runners.shipped.campaigns.assignment import MessageStatus
from job_runners.shipped.campaigns.errors import SmsOutcomeUnknown, TextRefused
from job_runners.shipped.campaigns.messaging import sms
from job_runners.shipped.campaigns.messaging.send_claim import SendClaim


def send(claim: SendClaim, cell: str, text: str, *, next_payload: Any | None = None) -> None:
    """Send the text of a contact that `claim` has marked, and record the outcome.

    Raises the errors of `sms.send`. After RetryAfter nothing was sent, and the mark was removed. If
    it can't be removed, the error gets `next_payload`.
    """
    try:
        sms.send(cell, text)
    except RetryAfter as refused:
        try:
            claim.end(MessageStatus.NEEDS_MESSAGE)
        except AWS_ERRORS:
            refused.payload = next_payload
        raise
    except TextRefused:
        claim.end(MessageStatus.REFUSED)
        raise
    except SmsOutcomeUnknown:
        claim.end(MessageStatus.UNKNOWN)
        raise
    claim.end(MessageStatus.SENT)
