"""Lists that go on over pages: what stands between the items of two pages and is none itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.merging.alike import key_of, words_of
from pipeline.merging.leaves import holds_amount, role_of
from pipeline.schema import Printed, Role
from pipeline.values import find_currencies

if TYPE_CHECKING:
    from pydantic import BaseModel

    from pipeline.data import Json

EDGE_ITEMS = 2
"""At a page's beginning and end, among which sums carried over stand."""

NOTHING: tuple[object, ...] = (None, "", [], {})

LEAST_SUMMED = 2
"""Items whose sum is no coincidence."""

_CARRIED = re.compile(
    r"(?:^|\b)(?:"
    r"ubertrag|uebertrag|zwischensumme|seitensumme|seitenubertrag"
    r"|carried (?:forward|over)|brought (?:forward|over)|carry ?(?:forward|over)|balance forward|page total|sub ?total"
    r"|a reporter|report (?:de la )?page|report precedent|total reporte|sous ?total"
    r"|te transporteren|subtotaal|suma y sigue|suma anterior|a riportare|subtotale|a transportar|transporte da pagina"
    r")(?:\b|$)"
)
"""What a sum carried over a page break is called, in words without accents, case and punctuation."""

_PERHAPS_CARRIED = re.compile(
    r"\b(?:vortrag|transport|transporteren|riporto|report|summe|gesamt|total|totaal|totale|suma|somme|sum)\b"
)
"""What it is called too, as are lectures, removals and loads of earth: only where the amount is the sum."""


class PageItem(NamedTuple):
    """An item of a list and where it stands."""

    page_number: int
    place: int
    """From 0, in its page's list."""
    value: Any
    rest: PageItem | None = None
    """Its other half, on the next page."""


class _Columns(NamedTuple):
    """Fields of a list's items."""

    texts: tuple[str, ...]
    amounts: tuple[str, ...]
    line_total: str | None
    labels: frozenset[str]
    """What the columns are headed with."""


def continued(pages: Sequence[Sequence[PageItem]], item: type[BaseModel] | None) -> list[PageItem]:
    """Return the items of a list that goes on over pages, without repeated headings and sums carried over.

    An item that a page break cuts, its text before and its amounts behind, is put together again.

    Args:
        pages: the items of each page, in page order.
        item: their model; None for lists of plain values, which stay as they are.
    """
    if item is None or len(pages) == 1:
        return [one for page in pages for one in page]
    kept = _Kept(_columns(item))
    for number, page in enumerate(pages):
        for place, one in enumerate(page):
            is_top = number > 0 and place < EDGE_ITEMS
            is_end = number < len(pages) - 1 and place >= len(page) - EDGE_ITEMS
            if number > 0 and kept.is_heading(one):
                continue
            if (is_top or is_end) and kept.is_carried(one):
                continue
            if not (is_top and place == 0 and kept.completes_last(one)):
                kept.add(one)
    return kept.items


class _Kept:
    """The items so far."""

    def __init__(self, columns: _Columns) -> None:
        self.items: list[PageItem] = []
        self._columns = columns
        self._sum = Decimal(0)
        self._num_summed = 0

    def add(self, one: PageItem) -> None:
        """Append an item."""
        self.items.append(one)
        if self._columns.line_total and (amount := _get(one.value, self._columns.line_total)) is not None:
            self._sum += amount
            self._num_summed += 1

    def is_heading(self, one: PageItem) -> bool:
        """Tell whether it is the heading of the table, read as an item: nothing but names of columns."""
        said = list(_said(one.value).values())
        return bool(said) and all(isinstance(one, str) and key_of(one) in self._columns.labels for one in said)

    def is_carried(self, one: PageItem) -> bool:
        """Tell whether it is the sum of those before: by its name, or by its amount without an article's name."""
        total = _get(one.value, self._columns.line_total or "")
        if total is None or len(list(_amounts(one.value, self._columns))) > 1:
            return False
        words = [" ".join(words_of(text)) for text in _texts(one.value, self._columns)]
        if any(map(_CARRIED.search, words)):
            return True
        is_sum = self._num_summed >= LEAST_SUMMED and self._sum == total
        return is_sum and all(_PERHAPS_CARRIED.search(text) or _is_mark(text) for text in words)

    def completes_last(self, one: PageItem) -> bool:
        """Add it to the last item if that is a text without amounts and this one amounts without a text."""
        if not self.items or self.items[-1].page_number == one.page_number:
            return False
        last, columns = self.items[-1], self._columns
        halves = (last.value, _texts), (last.value, _amounts), (one.value, _texts), (one.value, _amounts)
        if [any(True for _ in found(value, columns)) for value, found in halves] != [True, False, False, True]:
            return False
        said = _said(one.value)
        if any(last.value.get(name, value) not in (value, *NOTHING) for name, value in said.items()):
            return False
        self.items.pop()
        self.add(last._replace(value={**last.value, **said}, rest=one))
        return True


@lru_cache(maxsize=64)
def _columns(item: type[BaseModel]) -> _Columns:
    fields = item.model_fields
    amounts = tuple(name for name, field in fields.items() if holds_amount(field))
    totals = [name for name in amounts if role_of(fields[name]) is Role.LINE_TOTAL]
    printed = (meta for field in fields.values() for meta in field.metadata if isinstance(meta, Printed))
    labels = frozenset(key_of(label) for meta in printed for label in meta.labels)
    texts = tuple(name for name in fields if name not in amounts)
    return _Columns(texts, amounts, totals[0] if totals else None, labels)


def _texts(value: Any, columns: _Columns) -> Iterator[str]:
    yield from (text for name in columns.texts if isinstance(text := _get(value, name), str) and text)


def _amounts(value: Any, columns: _Columns) -> Iterator[Any]:
    yield from (amount for name in columns.amounts if (amount := _get(value, name)) is not None)


def _is_mark(words: str) -> bool:
    """Tell whether a text beside an amount names nothing: "=", "EUR"."""
    return not re.search(r"[^\W\d_]", words) or bool(find_currencies(words.upper()))


def _said(value: Any) -> Json:
    return {name: said for name, said in value.items() if said not in NOTHING} if isinstance(value, dict) else {}


def _get(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None
