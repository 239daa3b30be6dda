"""Which numbers may be texted: at the send, at the import, and by which settings."""

from contextlib import suppress

import pytest

from contacts_table import HEADER, cells, rows_of, run
from fake_sns import answering_sns
from job_runners.errors import InvalidSetting
from job_runners.shipped.campaigns.errors import TextRefused
from job_runners.shipped.tasks.send_message import SendMessage, send_message
from job_runners.testing.aws import forget

US, UK = "+12125550123", "+447400123456"
US_PREMIUM, UK_PREMIUM = "+19002345678", "+449098790123"
IRIDIUM, INMARSAT, NETWORK = "+881612345678", "+870773111632", "+882161234567"
COSTLY = (US_PREMIUM, UK_PREMIUM, IRIDIUM, INMARSAT, NETWORK, "+979123456789")


def is_texted(cell: str) -> bool:
    sns = answering_sns()
    with suppress(TextRefused):
        send_message(SendMessage(cell=cell, text="Hello"))
    return len(sns.sent) == 1


@pytest.mark.parametrize("cell", COSTLY)
def test_premium_and_satellite_numbers_are_not_texted_by_default(cell: str) -> None:
    assert not is_texted(cell)
    with pytest.raises(TextRefused, match=r"the number (is of type|belongs to no)") as refused:
        send_message(SendMessage(cell=cell, text="Hello"))
    assert cell[4:] not in str(refused.value)


@pytest.mark.parametrize("cell", [US, UK, "+33612345678", "+8613812345678", "+12125550000"])
def test_others_are_whatever_their_country(cell: str) -> None:
    assert is_texted(cell)


def test_countries_are_limited_by_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXT_COUNTRIES", "US, FR")
    forget()
    assert is_texted(US)
    assert is_texted("+33612345678")
    assert not is_texted(UK)
    assert not is_texted("+16045550123")  # Canada has +1 too
    assert not is_texted(US_PREMIUM)


def test_types_are_limited_or_let_in_by_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXT_NUMBER_TYPES", "mobile,satellite")
    forget()
    assert is_texted(UK)
    assert is_texted(IRIDIUM)
    assert not is_texted("+442079460000")  # a landline


@pytest.mark.parametrize(
    ("name", "value"),
    [("TEXT_COUNTRIES", "US,Britain"), ("TEXT_NUMBER_TYPES", "mobile,landline")],
)
def test_a_setting_that_can_not_be_used_is_named(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    forget()
    with pytest.raises(InvalidSetting, match=name):
        is_texted(US)


@pytest.mark.usefixtures("aws")
def test_a_row_with_such_a_number_is_rejected_and_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TEXT_COUNTRIES", "US")
    forget()
    numbers = [US, US_PREMIUM, IRIDIUM, UK]
    result = run(HEADER + "".join(f"A,B,{number}\n" for number in numbers))
    assert (result["imported"], result["invalid"]) == (1, 3)
    assert cells() == [US]
    assert [row[1] for row in rows_of(result["rejected"]["file"])[1:]] == [
        "has a number that is of type premium_rate, which TEXT_NUMBER_TYPES does not list",
        "has a number that belongs to no country, and TEXT_NUMBER_TYPES does not list satellite",
        "has a number that is from GB, which TEXT_COUNTRIES does not list",
    ]
