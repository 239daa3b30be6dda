"""Decide which phone numbers may be texted, by country and type.

Texts to some numbers are very expensive for the sender, and part of the price goes to the person
who requested the text.
"""

from functools import cache

from job_runners.errors import InvalidSetting
from job_runners.settings import settings

# Some country codes belong to no country: satellite networks, and networks that span countries.
_SATELLITE = "satellite"
_NO_COUNTRY = "001"  # the code in phonenumbers


def why_not_allowed(cell: str) -> str | None:
    """Return why this number (E.164) must not be texted, or None if it may be texted.

    The returned words follow "the number", and reveal only its country and type. Both come from
    the numbering plans in the installed version of phonenumbers.
    """
    # Imported here because the import takes 20 ms. The API imports every task's module for its
    # payload, but never calls this function.
    import phonenumbers

    number = phonenumbers.parse(cell, None)
    if phonenumbers.region_code_for_country_code(number.country_code or 0) == _NO_COUNTRY:
        # These codes include toll-free and premium numbers, which follow the same rule.
        if _SATELLITE in settings().text_number_types:
            return None
        return f"belongs to no country, and TEXT_NUMBER_TYPES does not list {_SATELLITE}"
    kind = phonenumbers.PhoneNumberType.to_string(phonenumbers.number_type(number)).lower()
    if kind not in settings().text_number_types:
        return f"is of type {kind}, which TEXT_NUMBER_TYPES does not list"
    countries = _countries()
    country = phonenumbers.region_code_for_number(number)
    if countries and country not in countries:
        return f"is from {country or 'an unknown country'}, which TEXT_COUNTRIES does not list"
    return None


@cache
def _checked_countries(countries: tuple[str, ...]) -> frozenset[str]:
    import phonenumbers

    for country in countries:
        if country not in phonenumbers.SUPPORTED_REGIONS:
            raise InvalidSetting("TEXT_COUNTRIES", country, "two-letter codes such as US, GB")
    return frozenset(countries)


def _countries() -> frozenset[str]:
    return _checked_countries(settings().text_countries)
