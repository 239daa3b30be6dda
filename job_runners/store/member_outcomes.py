"""The outcomes of a group's members.

They have their own module, because the API needs these names even in processes that read no group.
"""

OPEN = "open"  # the member has not ended, or isn't dispatched yet
EXISTING = "existing"  # another job does the work of this unique member
OUTCOMES = (OPEN, "succeeded", "failed", "canceled", EXISTING)
