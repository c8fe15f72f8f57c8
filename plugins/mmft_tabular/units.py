"""Currencies and units of measurement that numbers may come with."""

from __future__ import annotations

import re
import unicodedata

PERCENT = "%"

_CODES = frozenset(
    re.findall(
        "[A-Z]{3}",
        "AED ARS AUD BGN BRL CAD CHF CLP CNY COP CZK DKK EGP EUR GBP HKD HUF IDR ILS INR JPY KES "
        "KRW MAD MXN MYR NGN NOK NZD PEN PHP PKR PLN RON RUB SAR SEK SGD THB TRY TWD UAH USD VND "
        "ZAR",
    )
)
"""Currencies by ISO 4217; those with a symbol are known by it."""

_CURRENCIES = frozenset(re.findall(r"\S+", "kr kr. Kr Kč zł Ft lei лв руб руб. Rs Rs. Fr. R$ S/"))
"""How people abbreviate other currencies."""

_UNITS = frozenset(
    re.findall(
        r"\S+",
        "kg g mg µg μg t lb lbs oz m km cm mm µm μm nm mi ft in yd m² km² cm² ft² m³ cm³ ha l L "
        "ml mL cl dl s ms µs μs min h hrs °C °F ° ℃ ℉ Hz kHz MHz GHz V mV kV mA W kW MW kWh MWh "
        "kJ kcal cal Pa hPa kPa bar mbar psi km/h m/s mph kn rpm mg/dl mg/L g/l mmol/l mmHg bpm "
        "dB kB KB MB GB TB MiB GiB px pt ppm ‰",
    )
)
"""Units of measurement. Letters that may multiply a number, such as k and M, are none, nor are
those that tell house numbers apart."""


def is_unit(text: str) -> bool:
    """Whether a text is a percent sign, a currency, or a unit of measurement."""
    if text == PERCENT or text in _CODES | _CURRENCIES | _UNITS:
        return True
    letters, symbol = text[:-1], text[-1]  # "€", "US$".
    return unicodedata.category(symbol) == "Sc" and (not letters or letters.isupper())


def goes_before(unit: str) -> bool:
    """Whether a unit may stand before its number: m12 is a name."""
    return unit not in _UNITS
