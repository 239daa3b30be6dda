"""Which phone numbers may be texted, by country and by type: a text to some costs its sender a
fortune, and part of it goes to whoever has asked for it."""

from functools import cache

from errors import InvalidSetting
from settings import settings

# Country codes that belong to no country: satellite networks, and networks that span countries.
_SATELLITE = "satellite"
_NO_COUNTRY = "001"  # as phonenumbers has it


def why_not_allowed(cell: str) -> str | None:
    """Return what speaks against texting this number (E.164), in words that follow "the number";
    None if nothing does. The words hold no part of the number but its country.

    The country and type are as the numbering plans that this version knows have them.
    """
    # Takes 20 ms to import: the API, which imports every task for its payload, never needs it.
    import phonenumbers

    number = phonenumbers.parse(cell, None)
    if phonenumbers.region_code_for_country_code(number.country_code or 0) == _NO_COUNTRY:
        # Among them are free and premium numbers too, which may be texted no more than the rest.
        if _SATELLITE in settings().text_number_types:
            return None
        return f"belongs to no country, and TEXT_NUMBER_TYPES does not list {_SATELLITE}"
    kind = phonenumbers.PhoneNumberType.to_string(phonenumbers.number_type(number)).lower()
    if kind not in settings().text_number_types:
        return f"is of the type {kind}, which TEXT_NUMBER_TYPES does not list"
    countries = _countries()
    country = phonenumbers.region_code_for_number(number)
    if countries and country not in countries:
        return f"is of {country or 'an unknown country'}, which TEXT_COUNTRIES does not list"
    return None


@cache
def _checked(countries: tuple[str, ...]) -> frozenset[str]:
    import phonenumbers

    for country in countries:
        if country not in phonenumbers.SUPPORTED_REGIONS:
            raise InvalidSetting("TEXT_COUNTRIES", country, "two-letter codes such as US, GB")
    return frozenset(countries)


def _countries() -> frozenset[str]:
    return _checked(settings().text_countries)
