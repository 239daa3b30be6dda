"""Normalize phone numbers, as people write them, to E.164."""

from collections.abc import Callable

from job_runners.errors import DoNotRetry


def normalizer(country: str) -> Callable[[str], str | None]:
    """Return a function that converts a written number to E.164 (+12125550123).

    It returns None for text that isn't a valid number. `country` (two letters) is the country of
    numbers without a country code. Raises DoNotRetry if there is no such country.
    """
    # Imported here because the import takes 20 ms. The API imports every job's module for its
    # payload, but never calls this function.
    import phonenumbers

    if country not in phonenumbers.SUPPORTED_REGIONS:
        raise DoNotRetry(
            f"country {country!r} has no phone numbers; use a two-letter code such as US or GB"
        )

    def normalize(written: str) -> str | None:
        try:
            number = phonenumbers.parse(written, country)
        except phonenumbers.NumberParseException:
            return None
        if not phonenumbers.is_valid_number(number):
            return None
        return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)

    return normalize
