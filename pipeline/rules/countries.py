"""The rule that a currency fits its country."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.rules.rule import Finding, Rule, Values, value_at

ANYWHERE = frozenset({"EUR", "USD"})
"""Invoices are made out in these all over the world."""

SUBDIVIDED = frozenset({"AUD", "BRL", "CAD", "CHF", "INR", "MXN"})
"""Their countries write states and cantons as two letters behind a town, as others write a country: "Saskatoon, SK"."""

_REGIONS = frozenset({"northern ireland", "south wales"})
"""Ends of addresses of which the last word names another country."""

_CURRENCIES = """
AED AE; ALL AL; AUD AU; AZN AZ; BAM BA; BHD BH; BRL BR; BYN BY; CAD CA; CHF CH LI; CLP CL; CNY CN; CZK CZ; DKK DK FO GL;
DOP DO; EGP EG; GBP GB UK GI; GEL GE; GTQ GT; HKD HK; HUF HU; IDR ID; ILS IL PS; INR IN; IQD IQ; ISK IS; JOD JO IL PS;
JPY JP; KRW KR; KWD KW; KZT KZ; LBP LB; MDL MD; MKD MK; MUR MU; MXN MX; MYR MY; NOK NO; NZD NZ; OMR OM; PHP PH; PKR PK;
PLN PL; QAR QA; RON RO; RSD RS; RUB RU; SAR SA; SEK SE; SGD SG; THB TH; TND TN; TRY TR; TWD TW; UAH UA; VND VN; XCD LC;
ZAR ZA; BGN BG;
EUR AD AT BE BG CY DE EE ES FI FR GR EL HR IE IT LT LU LV MC ME MT NL PT SI SK SM VA XK MQ GP RE; USD US PR SV TL EC PA
"""
"""Currency, and where it is legal tender: ISO 3166 codes, "EL" as Greece stands in VAT numbers; source: ISO 4217 list
one (2025). Bulgaria has the euro since 2026 and printed levs before."""

_NAMES = """
AT Austria Österreich; BE Belgium Belgique België; CH Switzerland Schweiz Suisse Svizzera; CZ Czechia Česko; DE
Germany Deutschland Allemagne; DK Denmark Danmark; ES Spain España; FI Finland Suomi; FR France Frankreich; GB
England Scotland Wales UK; HU Hungary Magyarország; IE Ireland; IN India; IT Italy Italia; JP Japan; LU
Luxembourg Luxemburg; MY Malaysia; NL Netherlands Nederland; NO Norway Norge; PL Poland Polska; PT Portugal; RO
Romania România; SE Sweden Sverige; SG Singapore; SK Slovakia Slovensko; US USA; AU Australia; CA Canada; NZ
Zealand; ZA Africa; BR Brazil Brasil; MX Mexico México; TR Turkey Türkiye; GR Greece
"""
"""Countries by the last word of their names, as addresses end."""


def currency_fits_country(
    currency: str = "currency", *, by: Sequence[str] = ("iban",), name: str = "currency_fits_country"
) -> Rule:
    """Make the rule that a currency is that of the seller's country, or one of those used everywhere.

    Args:
        by: fields that tell the country: an IBAN or VAT id by its first letters, an address by its last word, a country
            code. Those say nothing that are empty or of a country that is not known; one that fits is enough.
    """

    def check(record: Values) -> Iterator[Finding]:
        code = value_at(record, currency)
        countries = {field: country for field in by if (country := _country(value_at(record, field), code))}
        known = {field: _used_in(country) for field, country in countries.items() if _used_in(country)}
        if not code or not known:
            return
        if any(code in own for own in known.values()):
            yield Finding((currency,))
        elif code not in ANYWHERE:
            places = ", ".join(f"{field} is of {countries[field]}" for field in known)
            yield Finding((currency, *known), f"{currency} is {code}, but {places}.")

    return Rule(name, (currency, *by), check)


def _country(value: Any, currency: Any) -> str | None:
    """Country of an identifier that begins with its code, of an address, or of a code alone; None when not known."""
    if not isinstance(value, str):
        return None
    bare = re.sub(r"[\s.-]", "", value)
    if re.fullmatch(r"[A-Z]{2}[A-Z0-9]{4,32}", bare) and 2 * sum(map(str.isdigit, bare)) > len(bare):
        return bare[:2]
    code = re.search(r"(^|,)\s*([A-Z]{2})\W*$", value)
    if code:
        return None if code[1] and currency in SUBDIVIDED else code[2]
    words = re.findall(r"[^\W\d_]+", value)
    return _by_name(words[-1]) if words and " ".join(words[-2:]).casefold() not in _REGIONS else None


def _by_name(word: str) -> str | None:
    entries = (entry.split() for entry in _NAMES.split(";"))
    return next((entry[0] for entry in entries if word.casefold() in map(str.casefold, entry[1:])), None)


def _used_in(country: str) -> frozenset[str]:
    entries = (entry.split() for entry in _CURRENCIES.split(";"))
    return frozenset(entry[0] for entry in entries if country in entry[1:])
