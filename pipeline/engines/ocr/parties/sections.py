"""Parties below or beside a heading: "Bill to:" over a block of lines, or over a table of keys and values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline.engines.ocr.labels import label_key
from pipeline.engines.ocr.page import PageLayout, Run, column_overlap, union
from pipeline.engines.ocr.parties.headings import Heading
from pipeline.engines.ocr.parties.lines import LineKind, has_legal_form, name_without_number, speaks_to_person
from pipeline.engines.ocr.parties.party import (
    PHRASE_GAP,
    Line,
    Party,
    address_groups,
    joined_address,
    line_of,
    names_in,
    with_context,
)

SECTION_GAP = 3.5
"""White space, in line heights, that ends a section; keys with empty values are up to 3 apart."""

SECTION_ROWS = 30

LEAST_WITH_NAME = 2
"""An address of more lines than this below a heading has the name as its first one."""

_NAME_KEYS = frozenset(
    "name nom naam nome nombre firma company bedrijf societe raisonsociale ragionesociale razonsocial "
    "denominazione".split()
)
_ADDRESS_KEYS = frozenset("anschrift adresse address adres direccion indirizzo endereco strasse street".split())


@dataclass(frozen=True, slots=True)
class _Entry:
    """A value of a section with the key beside it: "" where there is none, None where it is not yet known."""

    key: str | None
    run: Run


def headed_parties(
    page: PageLayout, headings: Mapping[Run, tuple[Heading, str]]
) -> Iterator[tuple[Party, Sequence[Run]]]:
    """Each heading's party with the runs it is made of.

    Args:
        headings: the page's headings with their kind and the text after their colon.
    """
    for heading, (kind, inline) in headings.items():
        if _is_key(page, heading, inline):
            continue
        begun = " ".join([inline, *near_text(page, heading)]) if inline else ""
        entries = list(_entries(page, heading, inline, headings))
        lines = [line_of(begun, heading.box)] if begun else []
        keyed = _keyed_lines(entries, page.line_height_px)
        party = _first_party([*lines, *keyed.values()], kind)
        if party is not None:
            yield party, [run for run in keyed if run.box.y0 < party.box.y1 + page.line_height_px]


def near_text(page: PageLayout, run: Run) -> Iterator[str]:
    """What stands right of a run no farther than words of one line do in wide type."""
    edge = run.box.x1
    for other in page.right_of(run):
        if other.box.x0 - edge > PHRASE_GAP * run.height_px:
            return
        edge = other.box.x1
        yield other.text


def _is_key(page: PageLayout, heading: Run, inline: str) -> bool:
    """Whether a number beside a heading shows it to be the key of that number: "Kunde   20881"."""
    beside = inline or next((run.text for run in page.right_of(heading)), "")
    return any(map(str.isdigit, beside)) and not re.search(r"[^\W\d_]{3}", beside)


def _first_party(lines: Sequence[Line], heading: Heading) -> Party | None:
    """The first name of a section with the first address below it."""
    lines = with_context(lines)
    groups = address_groups(lines)
    start, end = groups[0] if groups else (len(lines), len(lines))
    names = [name.text for name in names_in(lines[:start]) if name.kind is LineKind.NAME]
    if not names and end - start > LEAST_WITH_NAME:
        # "Condominio Via Saragozza 88": what stands first below a heading is the name, whatever it looks like.
        names, start = [lines[start].text], start + 1
    if not names:
        return None
    name, *others = names
    if others and has_legal_form(others[0]) and not has_legal_form(name) and not speaks_to_person(name):
        name = f"{name} {others[0]}"
    box = union([line.box for line in lines[:end]])
    return Party(name_without_number(name), joined_address(lines[start:end]), box, heading)


def _entries(
    page: PageLayout, heading: Run, inline: str, headings: Mapping[Run, tuple[Heading, str]]
) -> Iterator[_Entry]:
    """The values that stand in a heading's column, down to the next heading or a wide gap."""
    unit = page.line_height_px
    beside = page.right_of(heading)[:1]
    column = heading
    if beside and not inline and heading.text.rstrip().endswith((":", "：")) and _is_empty_below(page, heading):
        column = beside[0]
        yield _Entry("", column)
    right = min((run.box.x0 for run in page.right_of(column)), default=float("inf"))
    bottom = column.box.y1
    for row in page.rows[heading.row + 1 : heading.row + SECTION_ROWS]:
        inside = [
            run
            for run in row
            if column.box.x0 - 2 * unit <= run.box.x0 < right - unit / 2 or column_overlap(run.box, column.box) > 0
        ]
        if not inside:
            continue
        met_heading = any(run in headings and column_overlap(run.box, column.box) > 0 for run in inside)
        if met_heading or inside[0].box.y0 - bottom > SECTION_GAP * unit:
            return
        entry = _entry(inside, column, unit)
        bottom = max(bottom, entry.run.box.y1)
        yield entry


def _is_empty_below(page: PageLayout, heading: Run) -> bool:
    return next(page.below(heading, max_gap=1), None) is None


def _entry(inside: Sequence[Run], column: Run, unit: float) -> _Entry:
    first, *rest = inside
    under = first.box.x0 <= max(column.box.x0 + 4 * unit, column.box.x1)
    if under and rest and (first.text.rstrip().endswith(":") or rest[0].text.startswith(":")):
        return _Entry(label_key(first.text), rest[0])
    return _Entry("" if under else None, first)


def _keyed_lines(entries: Sequence[_Entry], unit: float) -> dict[Run, Line]:
    """The lines of a section with the kind that their key tells; a value without a key shares the nearest one's."""
    columns = [entry.run.box.x0 for entry in entries if entry.key]
    lines = {}
    for i, entry in enumerate(entries):
        key = entry.key
        if key is None:
            if not any(abs(entry.run.box.x0 - x) <= unit for x in columns):
                continue
            key = _nearest_key(entries, i)
        lines[entry.run] = line_of(entry.run.text.lstrip(": "), entry.run.box, _kind_of_key(key))
    return lines


def _nearest_key(entries: Sequence[_Entry], i: int) -> str:
    """The key of the neighbour that a value stands closer to; the upper one when both are as close."""
    near = [
        (abs(entries[j].run.box.y0 - entries[i].run.box.y0), entries[j].key)
        for j in (i - 1, i + 1)
        if 0 <= j < len(entries) and entries[j].key
    ]
    return str(min(near, key=lambda pair: pair[0])[1]) if near else "-"


def _kind_of_key(key: str) -> LineKind | None:
    if key in _NAME_KEYS:
        return LineKind.NAME
    if key in _ADDRESS_KEYS:
        return LineKind.ADDRESS
    return LineKind.NUMBER if key else None
