"""Phone numbers as people write them, made into the one form that networks dial."""

from collections.abc import Callable

from errors import DoNotRetry


def normaliser(country: str) -> Callable[[str], str | None]:
    """Return a function from a number as written to E.164 (+12125550123), or None if it is not one.

    `country` (two letters) is where numbers without a country code are dialled from. Raises
    DoNotRetry if there is no such country.
    """
    # Takes 20 ms to import: the API, which imports every job for its payload, never needs it.
    import phonenumbers

    if country not in phonenumbers.SUPPORTED_REGIONS:
        raise DoNotRetry(
            f"country {country!r} has no phone numbers; use a two-letter code such as US or GB"
        )

    def normalise(written: str) -> str | None:
        try:
            number = phonenumbers.parse(written, country)
        except phonenumbers.NumberParseException:
            return None
        if not phonenumbers.is_valid_number(number):
            return None
        return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)

    return normalise
