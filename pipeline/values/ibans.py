"""Printed IBANs to their plain form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from pipeline.values.found import Found

_IBAN_LENGTHS = """
AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ES24
FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32
LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24
RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30
"""
"""Country and length, from the IBAN registry (ISO 13616, SWIFT, release 99)."""

_IBAN_START = re.compile(r"(?<![A-Za-z0-9])([A-Z]{2})\s?\d\s?\d(?=[\s\-.]?[A-Z0-9])")


@cache
def _iban_lengths() -> dict[str, int]:
    return {entry[:2]: int(entry[2:]) for entry in _IBAN_LENGTHS.split()}


def parse_iban(text: str) -> str:
    """Return the IBAN without spaces; its length and check digits are verified.

    Raises:
        ValueError: none that is valid, or more than one.
    """
    codes = {found.value for found in find_ibans(text.upper())}
    if len(codes) != 1:
        raise ValueError(f"{text!r} is not an IBAN")
    return codes.pop()


def find_ibans(text: str) -> list[Found[str]]:
    """Valid IBANs in `text`, with or without spaces, dots or dashes between their groups."""
    return list(_ibans(text))


def _ibans(text: str) -> Iterator[Found[str]]:
    for match in _IBAN_START.finditer(text):
        length = _iban_lengths().get(match[1])
        if length is None:
            continue
        code = re.match(rf"[A-Z0-9](?:[\s\-.]?[A-Z0-9]){{{length - 1}}}(?![A-Z0-9])", text[match.start() :])
        value = re.sub(r"[^A-Z0-9]", "", code[0]) if code else ""
        if code and _check_digits_fit(value):
            yield Found(value, match.start(), match.start() + code.end())


def _check_digits_fit(iban: str) -> bool:
    """ISO 7064 mod 97-10, letters counting as 10 to 35."""
    return int("".join(str(int(char, 36)) for char in iban[4:] + iban[:4])) % 97 == 1
