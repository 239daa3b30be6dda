"""Which request the work at hand goes back to: one id from the HTTP call to the last attempt."""

from contextvars import ContextVar

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
