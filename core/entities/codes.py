"""ISO code lists, read from Babel's copy of the Unicode locale data."""

from __future__ import annotations

from babel import Locale

_english = Locale("en")

# Region codes of two letters; ZZ and the like are placeholders, QO, EU, EZ, UN, XA, XB are no countries.
_NO_COUNTRIES = {"ZZ", "QO", "EU", "EZ", "UN", "XA", "XB"}

COUNTRY_NAMES: dict[str, str] = {
    str(code): str(name)
    for code, name in _english.territories.items()
    if len(code) == 2 and code.isalpha() and code not in _NO_COUNTRIES
}
COUNTRY_CODES = frozenset(COUNTRY_NAMES)
CURRENCY_CODES = frozenset(code for code in map(str, _english.currencies) if len(code) == 3)
