"""The outcomes of a member of a group. They have their own module, because the API shows the names
of outcomes also in processes that read no group."""

OPEN = "open"  # a member that has not ended, or isn't dispatched yet
EXISTING = "existing"  # a unique member for which another job does the same work
OUTCOMES = (OPEN, "succeeded", "failed", "canceled", EXISTING)
