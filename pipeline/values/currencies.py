"""Printed currencies to ISO 4217 codes."""

from __future__ import annotations

import re

from pipeline.values.found import Found

_CODES = frozenset(
    """
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF
    CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD
    HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD
    MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN
    PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY
    TTD TWD TZS UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWG
    """.split()
)
"""ISO 4217 codes of currencies in circulation (list one, 2025)."""

_SYMBOLS = {
    "€": "EUR", "euro": "EUR", "euros": "EUR", "£": "GBP", "us$": "USD", "$": "USD", "usd$": "USD",
    "a$": "AUD", "c$": "CAD", "ca$": "CAD", "hk$": "HKD", "nz$": "NZD", "s$": "SGD", "nt$": "TWD", "r$": "BRL",
    "¥": "JPY", "₹": "INR", "rs": "INR", "rm": "MYR", "rp": "IDR", "₺": "TRY", "₽": "RUB", "₩": "KRW",
    "₫": "VND", "₱": "PHP", "฿": "THB", "₪": "ILS", "₴": "UAH", "zł": "PLN", "kč": "CZK", "sfr": "CHF",
    "us dollar": "USD", "us dollars": "USD", "pounds sterling": "GBP", "swiss francs": "CHF", "ringgit": "MYR",
}  # fmt: skip
"""Symbols and what they most often stand for; "kr" is left out, as three countries print it, and "Fr", as France is."""

_SIGNS = "|".join(re.escape(sign) for sign in sorted(_SYMBOLS, key=len, reverse=True))
_CURRENCY_IN_TEXT = re.compile(
    rf"(?<![^\W\d_$])(?:(?P<code>[A-Z]{{3}})|(?P<sign>(?i:{_SIGNS}))\.?)(?![^\W\d_])|(?P<symbol>[€£₹₺₽₩₫₱฿₪₴])"
)


def parse_currency(text: str) -> str:
    """Return the ISO 4217 code of a code or symbol; an amount beside it is ignored.

    Rules: "$" is USD, "¥" JPY, "RM" MYR and "Rs" INR; a symbol that says the country
    ("HK$") means that country's. "kr" says too little to be read.

    Raises:
        ValueError: none, or more than one.
    """
    codes = {found.value for found in find_currencies(text.upper() if len(text.strip()) == 3 else text)}
    if len(codes) != 1:
        raise ValueError(f"{text!r} is not a currency")
    return codes.pop()


def find_currencies(text: str) -> list[Found[str]]:
    """Codes in upper case and symbols that stand in `text` as words of their own or beside digits.

    Words that look like codes ("ALL", "TOP") are found too: ask only where a currency is expected.
    """
    found = []
    for match in _CURRENCY_IN_TEXT.finditer(text):
        code = match["code"]
        if code and code not in _CODES:
            continue
        value = code or _SYMBOLS[(match["sign"] or match["symbol"]).lower()]
        found.append(Found(value, match.start(), match.end()))
    return found
