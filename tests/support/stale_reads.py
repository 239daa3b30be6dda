"""Reads that aren't consistent miss what was written in the last second, in all tests that use AWS.

So a test fails if code reads what it has just written without ConsistentRead. Lists and other views
may lag behind: before a test looks at one, it calls `catch_up`, or it has the mark `views`. Indexes
don't lag here: in histories, they do.
"""

from job_runners import clock
from job_runners.fake_dynamodb.behind_moto import database
from job_runners.fake_dynamodb.database import Consistency
from job_runners.fake_dynamodb.stale import RecentWrites
from job_runners.fake_dynamodb.tables import Overlay, Table

_MOST = 50  # writes that a read may miss


def miss_recent_writes() -> None:
    """Let reads miss recent writes from now on."""
    recent = RecentWrites(
        database(), max_writes=_MOST, max_age=clock.SECOND, now=lambda: clock.now()
    )
    _current[:] = [recent]

    def view(table: Table, consistency: Consistency) -> Overlay:
        return recent.overlay(table) if consistency is Consistency.EVENTUAL else {}

    database().view = view


def catch_up() -> None:
    """Let reads see everything that was written so far, as they do a second later."""
    for recent in _current:
        recent.forget()


_current: list[RecentWrites] = []  # that of the test that runs now
