"""A year of Berlin, whose clock changes twice in it, for tests that step through it."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from job_runners import clock

ZONE = ZoneInfo("Europe/Berlin")
YEAR = [date(2027, 1, 1) + timedelta(days=number) for number in range(365)]
SPRING, AUTUMN = date(2027, 3, 28), date(2027, 10, 31)  # 02:00 to 03:00, 03:00 to 02:00


def _ms(moment: datetime) -> int:
    return int(moment.timestamp()) * clock.SECOND


BEGINS, ENDS = _ms(datetime(2027, 1, 1, tzinfo=UTC)), _ms(datetime(2028, 1, 1, tzinfo=UTC))


def local(day: date, hour: int, minute: int, fold: int = 0) -> int:
    """Return when the clocks of the zone show this time, for the first or the second time."""
    return _ms(datetime(day.year, day.month, day.day, hour, minute, tzinfo=ZONE, fold=fold))
