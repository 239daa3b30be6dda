"""Has every assigned contact of a campaign texted for the first time, at the rate of its queue."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from campaigns import contact_queries
from campaigns.assigning.assignment import Assignment, MessageStatus
from campaigns.bucket_keys import campaign_of
from campaigns.contact import Contact, organization_campaign
from campaigns.messaging.sms import LONGEST
from campaigns.messaging.template import FIELDS, Template, filled
from work import RunningJob

# Messages of a turn: the queue's rate counts turns, of all campaigns together.
PER_TURN = 20
_TASK = "send_first_message"  # by name, as any caller would: jobs and tasks don't import each other


class SendFirstMessages(BaseModel):
    """Says what to text. The campaign is the job's own."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"text": "Hi {first_name}, polls close at 8."}]},
    )

    text: Template = Field(
        description="The message. {first_name}, {last_name}, {zip} and {external_id} stand for "
        "what each contact has there.",
        examples=["Hi {first_name}, polls close at 8."],
    )


def send_first_messages(job: RunningJob, payload: SendFirstMessages) -> dict[str, Any]:
    """Dispatch a task for each contact that has a texter and no first message yet.

    It goes on in turns of a few messages, as fast as its queue lets it.
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
        self._last: str | None = cursor["last"]
        self._to_send: int = cursor["due"]
        self._counts: dict[str, int] = {
            "dispatched": 0,
            "earlier": 0,
            "unassigned": 0,
            "too_long": 0,
        }
        self._counts |= cursor["counts"]
        self._this_turn = 0

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
        self._take_turn()
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

    def _take_turn(self) -> None:
        """Go on with one more message, in the next turn if this one has had its share."""
        if self._this_turn == PER_TURN:
            self._this_turn = 0
            self._job.next_turn(self._cursor(), progress=self._progress(), message=self._message())
        self._this_turn += 1

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
