"""The document's date and its due date among all dates of a page."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import replace

from pipeline.engines.ocr.candidates import Candidate, Claims, labelled
from pipeline.engines.ocr.lexicon import Clue
from pipeline.engines.ocr.page import PageLayout
from pipeline.schema import Role
from pipeline.values import DateOrder, find_dates

BESIDE_NUMBER = 0.9
"""A date in the run or row of the document's number dates the document: "Invoice no. 17 of 3 May 2018"."""

UNLABELLED = 0.3
"""A date that no label explains; the first on the page is the likeliest."""

SENTENCE_WORDS = 7
"""A line with so many words is a sentence, and a date in it is what the sentence is about."""

PRINTED = 0.1
"""The date of printing, where there is no other: tills print at once."""


_WORD = re.compile(r"[^\W\d_]{2,}")


def page_date_order(page: PageLayout, preferred: DateOrder) -> DateOrder:
    """The order in which the page prints dates.

    A page prints all its dates alike: when some can only be read in the other order (12/28/2017)
    and none only in the preferred one, the other order holds for all.
    """
    other = DateOrder.MONTH_FIRST if preferred is DateOrder.DAY_FIRST else DateOrder.DAY_FIRST
    decided = [order for run in page.runs for order in _decided_orders(run.text)]
    return other if other in decided and preferred not in decided else preferred


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
    explained = {(c.run, c.value) for c in [*named(Clue.OTHER_DATE), *named(Role.DUE_DATE), *printed]}
    numbered = {claim.run.row: claim.quality for claim in claims.of(Role.DOCUMENT_NUMBER)}
    for run in page.runs:
        for found in find_dates(run.text, order):
            if (run, found.value) not in explained and len(_WORD.findall(run.text)) < SENTENCE_WORDS:
                yield Candidate(found.value, max(UNLABELLED, BESIDE_NUMBER * numbered.get(run.row, 0)), run)
    yield from (replace(candidate, score=PRINTED) for candidate in printed)


def due_date(claims: Claims, order: DateOrder) -> dt.date | None:
    """The day by which to pay, as printed; terms such as "30 days" are not turned into a day."""
    found = labelled(claims, Role.DUE_DATE, lambda zone: find_dates(zone.text, order))
    return found[0].value if found else None
