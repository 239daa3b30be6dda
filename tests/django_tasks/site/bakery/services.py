"""A module without tasks, which no payload may call."""

from bakery.models import Mark


def drop_everything(*args: object) -> None:
    """Leave a mark that shows it was called."""
    Mark.objects.create(text="dropped everything")
