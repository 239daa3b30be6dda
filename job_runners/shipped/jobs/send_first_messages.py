"""Text every assigned contact of a campaign for the first time, at the rate of the queue."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from job_runners.shipped.campaigns import contact_queries
from job_runners.shipped.campaigns.assignment import Assignment, MessageStatus
from job_runners.shipped.campaigns.bucket_keys import campaign_of
from job_runners.shipped.campaigns.contact import Contact, organization_campaign
from job_runners.shipped.campaigns.messaging.sms import LONGEST
from job_runners.shipped.campaigns.messaging.template import FIELDS, Template, filled
from job_runners.work import RunningJob

# Messages per turn: after these, the job lets the next job of its queue run. The queue's rate
# counts the turns of all campaigns together.
PER_TURN = 20
_TASK = "send_first_message"  # only the name, because jobs and tasks don't import each other


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


def send_first_messages(job: RunningJob, payload: SendFirstMessages) -> dict[str, Any]:
    """Dispatch a task for each contact that has a texter and no first message yet.

    The job yields after a few messages, so the rate of its queue sets its speed. An interrupted job
    dispatches some tasks again, but the task sends each contact only one message. A contact that
    already has its message then counts as texted earlier. The contact's message_status has the
    outcome.
    """
    return _FirstMessages(job, payload).run()


class _FirstMessages:
    """One pass over the contacts, new or resumed."""

    def __init__(self, job: RunningJob, payload: SendFirstMessages) -> None:
        self._job = job
        self._payload = payload
        self._campaign_id = campaign_of(job)
        self._campaign = organization_campaign(job.organization_id, self._campaign_id)
        # Saved cursors call the number of messages to send "due".
        cursor = job.cursor or {"last": None, "due": self._count_to_send(), "counts": {}}
        self._last: str | None = cursor["last"]
        self._to_send: int = cursor["due"]
        self._counts: dict[str, int] = {
            "dispatched": 0,
            "earlier": 0,
            "unassigned": 0,
            "too_long": 0,
        }
        self._counts |= cursor["counts"]
        self._sent_this_turn = 0

    def run(self) -> dict[str, Any]:
        """Dispatch the remaining tasks, and return the job's result."""
        for contact, assignment in contact_queries.contacts(self._campaign, self._last):
            self._counts[self._dispatch(contact, assignment)] += 1
            self._last = contact.cell
            self._checkpoint()
        return self._counts

    def _count_to_send(self) -> int:
        return sum(
            _needs_message(found) for _, found in contact_queries.assignments(self._campaign)
        )

    def _dispatch(self, contact: Contact, assignment: Assignment | None) -> str:
        """Dispatch the contact's task if it needs one, and return the count to increase."""
        if assignment is None:
            return "unassigned"
        if not _needs_message(assignment):
            return "earlier"
        text = filled(self._payload.text, {name: getattr(contact, name) for name in FIELDS})
        if len(text) > LONGEST:
            return "too_long"
        self._count_message()
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

    def _count_message(self) -> None:
        """Count one more message of this turn. If the turn is full, yield first."""
        if self._sent_this_turn == PER_TURN:
            self._sent_this_turn = 0
            self._job.next_turn(self._cursor(), progress=self._progress(), message=self._message())
        self._sent_this_turn += 1

    def _checkpoint(self) -> None:
        self._job.checkpoint(self._cursor(), progress=self._progress(), message=self._message())

    def _cursor(self) -> dict[str, Any]:
        return {"last": self._last, "due": self._to_send, "counts": self._counts}

    def _progress(self) -> float:
        done = self._counts["dispatched"] + self._counts["too_long"]
        return min(100.0, 100.0 * done / max(1, self._to_send))

    def _message(self) -> str:
        return f"{self._counts['dispatched']:,} of {self._to_send:,} messages dispatched"


def _needs_message(assignment: Assignment | None) -> bool:
    return assignment is not None and assignment.message_status is MessageStatus.NEEDS_MESSAGE
