"""Show webhooks to callers, with the names of their secrets but not the secrets themselves."""

from job_runners.api.access import visible_author
from job_runners.api.json_schema import AUTHOR, TEXT, TIME, Field, Fields
from job_runners.store.webhooks import ENDS, Webhook

_TEXTS_OR_NULL = {"type": ["array", "null"], "items": TEXT}

WEBHOOK: Fields[Webhook] = {
    "name": Field(TEXT),
    "url": Field(TEXT),
    "secret": Field(TEXT, about="The name of the signing secret"),
    "statuses": Field(
        {**_TEXTS_OR_NULL, "items": {**TEXT, "enum": list(ENDS)}},
        about="The ends that it gets. Null means all",
    ),
    "job_types": Field(_TEXTS_OR_NULL, about="The job types whose ends it gets. Null means all"),
    "updated_at": Field(TIME),
    "updated_by": Field(AUTHOR, lambda webhook: visible_author(webhook.updated_by)),
}
