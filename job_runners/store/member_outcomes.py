"""The outcomes of a group's members.

This module imports nothing, because the API needs these names in processes that read no group.
"""

OPEN = "open"  # the member has not ended, or isn't dispatched yet
EXISTING = "existing"  # an existing job with the same unique key does the member's work
OUTCOMES = (OPEN, "succeeded", "failed", "canceled", EXISTING)
