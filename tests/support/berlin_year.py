"""A year of Berlin, whose clock changes twice in it, for tests that step through it.

`make test` steps through three days of it, of which the second has a change.
"""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from job_runners import clock
from sizes import by_size

ZONE = ZoneInfo("Europe/Berlin")
SPRING, AUTUMN = date(2027, 3, 28), date(2027, 10, 31)  # 02:00 to 03:00, 03:00 to 02:00
DAYS = by_size(3, 365)
FIRST_DAY = date(2027, 1, 1) if DAYS == 365 else SPRING - timedelta(days=1)
YEAR = [FIRST_DAY + timedelta(days=number) for number in range(DAYS)]


def _ms(moment: datetime) -> int:
    return int(moment.timestamp()) * clock.SECOND


BEGINS = _ms(datetime.combine(FIRST_DAY, time(), UTC))
ENDS = BEGINS + DAYS * clock.DAY


def local(day: date, hour: int, minute: int, fold: int = 0) -> int:
    """Return when the clocks of the zone show this time, for the first or the second time."""
    return _ms(datetime(day.year, day.month, day.day, hour, minute, tzinfo=ZONE, fold=fold))
