"""Has every assigned contact of a campaign texted for the first time, at a pace SNS can follow."""

import time
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from campaigns import contact_queries
from campaigns.assigning.assignment import Assignment, MessageStatus
from campaigns.bucket_keys import campaign_of
from campaigns.contact import Contact, organization_campaign
from campaigns.messaging.sms import LONGEST
from campaigns.messaging.template import FIELDS, Template, filled
from work import RunningJob

_TASK = "send_first_message"  # by name, as any caller would: jobs and tasks don't import each other


class SendFirstMessages(BaseModel):
    """Says what to text, and how fast. The campaign is the job's own."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"text": "Hi {first_name}, polls close at 8."}]},
    )

    text: Template = Field(
        description="The message. {first_name}, {last_name}, {zip} and {external_id} stand for "
        "what each contact has there.",
        examples=["Hi {first_name}, polls close at 8."],
    )
    per_second: int = Field(
        default=20,
        ge=1,
        le=50,
        description="Messages a second. SNS takes 20 of an account that asked for no more.",
    )


def send_first_messages(job: RunningJob, payload: SendFirstMessages) -> dict[str, Any]:
    """Dispatch a task for each contact that has a texter and no first message yet.

    An interrupted job dispatches some again: the task sends each contact one message all the same,
    and a contact that has its message by then counts as texted earlier. The contact's
    message_status says what came of it.
    """
    return _FirstMessages(job, payload).run()


class _FirstMessages:
    """One round over the contacts, begun or resumed."""

    def __init__(self, job: RunningJob, payload: SendFirstMessages) -> None:
        self._job = job
        self._payload = payload
        self._campaign_id = campaign_of(job)
        self._campaign = organization_campaign(job.organization_id, self._campaign_id)
        cursor = job.cursor or {"last": None, "due": self._due(), "counts": {}}
        self._last, self._to_send = cursor["last"], cursor["due"]
        self._counts = {"dispatched": 0, "earlier": 0, "unassigned": 0, "too_long": 0}
        self._counts |= cursor["counts"]
        self._next_at = 0.0

    def run(self) -> dict[str, Any]:
        """Dispatch what is left to dispatch; return the job's result."""
        for contact, assignment in contact_queries.contacts(self._campaign, self._last):
            self._counts[self._dispatch(contact, assignment)] += 1
            self._last = contact.cell
            self._checkpoint()
        return self._counts

    def _due(self) -> int:
        return sum(
            _needs_message(found) for _, found in contact_queries.assignments(self._campaign)
        )

    def _dispatch(self, contact: Contact, assignment: Assignment | None) -> str:
        """Have the contact texted, or not; return what to count it as."""
        if assignment is None:
            return "unassigned"
        if not _needs_message(assignment):
            return "earlier"
        text = filled(self._payload.text, {name: getattr(contact, name) for name in FIELDS})
        if len(text) > LONGEST:
            return "too_long"
        self._wait_for_turn()
        self._job.dispatch_task(
            _TASK,
            {
                "organization_id": self._job.organization_id,
                "campaign_id": self._campaign_id,
                "cell": contact.cell,
                "texter": assignment.texter,
                "text": text,
            },
        )
        return "dispatched"

    def _wait_for_turn(self) -> None:
        now = time.monotonic()
        time.sleep(max(0.0, self._next_at - now))
        self._next_at = max(self._next_at, now) + 1 / self._payload.per_second

    def _checkpoint(self) -> None:
        cursor = {"last": self._last, "due": self._to_send, "counts": self._counts}
        done = self._counts["dispatched"] + self._counts["too_long"]
        self._job.checkpoint(
            cursor,
            progress=min(100.0, 100 * done / max(1, self._to_send)),
            message=f"{self._counts['dispatched']:,} of {self._to_send:,} messages dispatched",
        )


def _needs_message(assignment: Assignment | None) -> bool:
    return assignment is not None and assignment.message_status is MessageStatus.NEEDS_MESSAGE
