"""The document's date and its due date among all dates of a page."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import replace

from pipeline.engines.ocr.candidates import INLINE, Candidate, Claim, Claims, Zone, labelled
from pipeline.engines.ocr.lexicon import Clue
from pipeline.engines.ocr.page import SAME_COLUMN_OVERLAP, PageLayout, Run, column_overlap
from pipeline.engines.ocr.readers import read_number
from pipeline.schema import Role
from pipeline.values import DateOrder, Found, find_dates

BESIDE_NUMBER = 0.9
"""A date in the run or row of the document's number dates the document: "Invoice no. 17 of 3 May 2018"."""

UNLABELLED = 0.3
"""A date that no label explains; the first on the page is the likeliest."""

SENTENCE_WORDS = 7
"""A line with so many words is a sentence, and a date in it is what the sentence is about."""

PRINTED = 0.1
"""The date of printing, where there is no other: tills print at once."""


_WORD = re.compile(r"[^\W\d_]{2,}")


_ZIP = re.compile(r"[A-Za-z.],? (?P<state>[A-Z]{2}) (?P<first>\d)\d{4}(?:-\d{4})?(?!\d)")
_STATES = (
    "CT MA ME NH NJ RI VT", "NY PA", "DC MD NC SC VA WV", "AL FL GA MS TN", "IN KY MI OH",
    "IA MN MT ND SD WI", "IL KS MO NE", "AR LA OK TX", "AZ CO NM NV UT WY", "AK CA HI OR WA",
)  # fmt: skip
"""States of the USA by the first digit of their ZIP codes (USPS); without DE and ID, which stand for other things."""

_PAYING = re.compile(
    r"\b(?:pay|paid|due|settle|remit|transfer|collect|direct debit|zahl|bezahl|überweis|begleich|ausgleich|fällig"
    r"|abgebucht|abbuch|buch|eingezogen|einzieh|einzug|paye|paie|régl|règl|virement|virer|prélev|échéance|betal|betaa|vold"
    r"|over te maken|overma|incass|geïncass|afgeschr|pag|abon[ao]|venc|vto|cargo|domicili|scad|versa|bonific|addebit"
    r"|saldo|liquid|débito)",
    re.IGNORECASE,
)
_DONE = re.compile(
    r"\b(?:paid|received|bezahlt|beglichen|erhalten|pay[ée]e?|réglée?|acquittée?|betaald|voldaan|pagad[oa]|cobrad[oa]"
    r"|pagat[oa]|saldat[oa]|recebid[oa]|pag[oa])\b",
    re.IGNORECASE,
)
_UNTIL = re.compile(
    r"\b(?:by|before|until|till|no later than|latest|bis(?: zum| spätestens(?: zum| am)?)?"
    r"|spätestens(?: am| zum)?|fällig|vor(?: dem)?|avant(?: le)?"
    r"|au plus tard(?: le)?|jusqu'au|v[oó]+r|uiterlijk(?: op)?|tot|antes del?(?: día)?"
    r"|hasta(?: el)?(?: día)?|entro(?: e non oltre)?(?: il)?|até(?: ao)?(?: dia)?)\W{0,3}$",
    re.IGNORECASE,
)
_ON = re.compile(r"\b(?:on|on or after|am|zum|le|op|per|el|día|il|em|dia)\W{0,3}$", re.IGNORECASE)
"""How words about paying begin, the words that say it is done, and those right before the day by which or on which
to pay, in seven languages."""


def page_date_order(page: PageLayout, preferred: DateOrder) -> DateOrder:
    """The order in which the page prints dates.

    A page prints all its dates alike: when some can only be read in the other order (12/28/2017)
    and none only in the preferred one, the other order holds for all. Where no date decides, an
    American address does.
    """
    decided = {order for run in page.runs for order in _decided_orders(run.text)}
    if not decided and any(_is_american(run.text) for run in page.runs):
        return DateOrder.MONTH_FIRST
    return decided.pop() if len(decided) == 1 else preferred


def _is_american(text: str) -> bool:
    return any(match["state"] in _STATES[int(match["first"])].split() for match in _ZIP.finditer(text))


def _decided_orders(text: str) -> list[DateOrder]:
    """The orders of the numeric dates in a text of which one number is above 12."""
    firsts = [re.match(r"(\d\d?)\D+(\d\d?)\D", text[found.start :]) for found in find_dates(text)]
    pairs = [(int(match[1]), int(match[2])) for match in firsts if match]
    return [DateOrder.DAY_FIRST if a > 12 else DateOrder.MONTH_FIRST for a, b in pairs if 12 < max(a, b) <= 31]


def document_date(page: PageLayout, claims: Claims, order: DateOrder) -> dt.date | None:
    """The day the document was made out, never one labelled as due, delivery or order date."""
    found = labelled(claims, Role.DOCUMENT_DATE, lambda zone: find_dates(zone.text, order))
    best = max([*found, *_unlabelled(page, claims, order)], key=lambda c: c.score, default=None)
    return best.value if best else None


def _unlabelled(page: PageLayout, claims: Claims, order: DateOrder) -> Iterator[Candidate[dt.date]]:
    """The page's dates that no label explains otherwise, earlier ones first; last the date of printing."""

    def named(owner: str) -> list[Candidate[dt.date]]:
        return labelled(claims, owner, lambda zone: find_dates(zone.text, order), per_label=2)

    printed = named(Clue.PRINT_DATE)
    numbers = labelled(claims, Clue.OTHER_NUMBER, lambda zone: _inline_dates(zone, order), per_label=2)
    explained = {(c.run, c.value) for c in [*named(Clue.OTHER_DATE), *named(Role.DUE_DATE), *printed, *numbers]}
    numbered = {claim.run.row: claim for claim in claims.of(Role.DOCUMENT_NUMBER)}
    for run in page.runs:
        if len(_WORD.findall(run.text)) >= SENTENCE_WORDS:
            continue
        claim = numbered.get(run.row)
        for found in find_dates(run.text, order):
            if (run, found.value) not in explained and not _is_number(claim, run, found):
                yield Candidate(found.value, max(UNLABELLED, BESIDE_NUMBER * claim.quality if claim else 0), run)
    yield from (replace(candidate, score=PRINTED) for candidate in printed)


def _inline_dates(zone: Zone, order: DateOrder) -> list[Found[dt.date]]:
    """What looks like a date in the run of a number's label: a sort code, an account."""
    return find_dates(zone.text, order) if zone.weight == INLINE else []


def _is_number(claim: Claim | None, run: Run, found: Found[dt.date]) -> bool:
    """Whether a date is part of the document's number: "No. SR 2023-09-04"."""
    if claim is None or claim.run != run:
        return False
    number = next(iter(read_number(run.text[claim.end :])), None)
    return number is not None and claim.end + number.start < found.end and found.start < claim.end + number.end


def due_date(page: PageLayout, claims: Claims, order: DateOrder) -> dt.date | None:
    """The day by which to pay, as printed; terms such as "30 days" are not turned into a day.

    In a sentence the last day counts: earlier ones are those of discounts.
    """
    found = labelled(claims, Role.DUE_DATE, lambda zone: find_dates(zone.text, order))
    if found:
        return found[0].value
    days = (day for run in page.runs for day in _days_to_pay(_above(page, run), run.text, order))
    return max(days, default=None)


def _above(page: PageLayout, run: Run) -> str:
    """The line above a run, whose sentence may go on in it."""
    above = page.rows[run.row - 1] if run.row else ()
    return next((other.text for other in above if column_overlap(run.box, other.box) > SAME_COLUMN_OVERLAP), "")


def _days_to_pay(above: str, text: str, order: DateOrder) -> Iterator[dt.date]:
    """The days in a line by which to pay; on which, unless the sentence says that it was done."""
    for found in find_dates(text, order):
        before = f"{above} {text[: found.start]}"
        if not _PAYING.search(f"{before} {text[found.end :]}"):
            continue
        if _UNTIL.search(before) or (_ON.search(before) and not _DONE.search(before)):
            yield found.value
