"""Keys that queues have been used with, as starts of jobs note them."""

from job_runners.store import used_keys


def note(queue_name: str, key: str, *organizations: str) -> None:
    """List a key with its queue, and with the organizations whose jobs have used it."""
    used_keys.UsedKey(f"keys#{queue_name}", key, expires_at=2**40).save()
    for each in organizations:
        used_keys.UsedKey(f"keys_of#{each}", f"{queue_name}#{key}", expires_at=2**40).save()
