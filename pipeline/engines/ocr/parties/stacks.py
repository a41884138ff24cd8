"""Parties without a heading: letterheads, address windows, footers, the heads of receipts.

A *stack* is runs of one column, each close below the one before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from pipeline.engines.ocr.page import PageLayout, Run, column_overlap, union
from pipeline.engines.ocr.parties.lines import (
    LineKind,
    addresses_somebody,
    has_legal_form,
    has_registration,
    is_business,
    is_city,
    line_kind,
    name_without_number,
    speaks_to_person,
)
from pipeline.engines.ocr.parties.party import (
    Line,
    Mentions,
    Party,
    address_groups,
    joined_address,
    line_of,
    names_in,
    with_context,
)

SPACING_CHANGE = 0.6
"""A gap wider than the one above by this, in line heights, ends a stack; a blank line adds 1.0."""

PHRASE_GAP = 1.5
"""Widest gap between words of one line of a stack, in heights of the words."""

MAX_GAP = 2.0
"""No gap in a stack is wider than this, in line heights."""

NAME_REACH = 6
"""Lines above an address among which its name is looked for: name, trade name, two numbers, a slogan."""

_SEPARATORS = re.compile(r"\s+[-–—•·|]+\s+|\s*[•·|]\s*")


def stacked_parties(page: PageLayout, runs: Sequence[Run]) -> Iterator[Party]:
    """The parties that the stacks of `runs` hold, top to bottom.

    Args:
        runs: those of the page that belong to no heading, row by row.
    """
    mentions = Mentions(page)
    higher: list[Line] = []
    for stack in stacks(_phrases(runs), page.line_height_px):
        lines = [line_of(run.text, run.box) for run in stack]
        letterheads = [party for line in lines for party in _letterhead_line(line)]
        parties = list(_addressed(page, mentions, lines, higher)) or letterheads or _nameplate(page, mentions, lines)
        yield from letterheads if parties is not letterheads else ()
        yield from parties
        higher += lines


def _phrases(runs: Sequence[Run]) -> list[Run]:
    """The runs with near neighbours of one row joined: names and addresses are set wider than cells of a table."""
    phrases: list[Run] = []
    for run in runs:
        last = phrases[-1] if phrases else None
        widest = PHRASE_GAP * min(run.height_px, last.height_px) if last else 0.0
        if last and last.row == run.row and 0 <= run.box.x0 - last.box.x1 <= widest:
            phrases[-1] = replace(last, text=f"{last.text} {run.text}", box=union([last.box, run.box]))
        else:
            phrases.append(run)
    return phrases


def stacks(runs: Sequence[Run], line_height_px: float) -> list[list[Run]]:
    """Runs grouped into stacks, in the order of their first runs."""
    found: list[list[Run]] = []
    growing: list[list[Run]] = []
    for run in runs:
        growing = [stack for stack in growing if run.box.y0 - stack[-1].box.y1 < 2 * MAX_GAP * line_height_px]
        above = [stack for stack in growing if _stands_below(run, stack, line_height_px)]
        if above:
            min(above, key=lambda stack: abs(stack[-1].box.x0 - run.box.x0)).append(run)
        else:
            found.append([run])
            growing.append(found[-1])
    return found


def _stands_below(run: Run, stack: Sequence[Run], line_height_px: float) -> bool:
    """Whether a run goes on with a stack: in its column and with no wider gap than its lines have."""
    last, a, b = stack[-1], run.box, stack[-1].box
    if run.row <= last.row or column_overlap(a, b) <= 0:
        return False
    usual = max(0.0, b.y0 - stack[-2].box.y1) if len(stack) > 1 else 0.0
    unit = max(line_height_px, min(run.height_px, last.height_px))
    apart = min(abs(a.x0 - b.x0), abs(a.x1 - b.x1), abs(run.center_x - last.center_x))
    return a.y0 - b.y1 <= min(usual + SPACING_CHANGE * unit, MAX_GAP * unit) and apart <= 3 * line_height_px


def _addressed(page: PageLayout, mentions: Mentions, lines: Sequence[Line], higher: Sequence[Line]) -> Iterator[Party]:
    """A party for each address of a stack, with the best name above it.

    Args:
        higher: the lines of stacks above, which serve where the stack has none.
    """
    lines = with_context(lines)
    end_of_last = 0
    for start, end in address_groups(lines):
        above = lines[max(end_of_last, start - NAME_REACH) : start] or _in_reach(page, higher, lines[0])
        title = max((i for i, line in enumerate(above) if line.kind is LineKind.TITLE and i), default=-1)
        end_of_last = end
        party = _named(page, mentions, above[title + 1 :], lines[end : end + NAME_REACH])
        box = union([party.box, *(line.box for line in lines[start:end])])
        yield replace(party, address=joined_address(lines[start:end]), box=box)


def _in_reach(page: PageLayout, higher: Sequence[Line], first: Line) -> list[Line]:
    """The lines of other stacks that a stack's name may stand in: above it in its column, not far."""
    reach = (NAME_REACH + 1) * page.line_height_px
    return [
        line
        for line in higher
        if -page.line_height_px < first.box.y0 - line.box.y1 < reach and column_overlap(line.box, first.box) > 0
    ]


def _nameplate(page: PageLayout, mentions: Mentions, lines: Sequence[Line]) -> list[Party]:
    """The party of a stack without an address: a company's name, or any name over its phone number at the top."""
    title = next((i for i, line in enumerate(lines) if i and line.kind is LineKind.TITLE), len(lines))
    head = _one_name(lines[: min(title, NAME_REACH)])
    party = _named(page, mentions, head, [])
    at_top = lines[0].box.y0 < page.height_px / 3
    reachable = any(line.kind is LineKind.CONTACT for line in head) or (party.numbers and is_business(party.name))
    return [party] if party.name and (has_legal_form(party.name) or (at_top and reachable)) else []


def _one_name(lines: Sequence[Line]) -> Sequence[Line]:
    """The lines with the first two joined where they are one name set flush left in one type."""
    if len(lines) < 2 or not has_legal_form(lines[1].text) or has_legal_form(lines[0].text):
        return lines
    a, b = lines[0].box, lines[1].box
    height = b.y1 - b.y0
    if abs(a.x0 - b.x0) > height / 2 or abs(a.y1 - a.y0 - height) > height / 4:
        return lines
    return [replace(lines[0], text=f"{lines[0].text} {lines[1].text}"), *lines[2:]]


def _letterhead_line(line: Line) -> Iterator[Party]:
    """The party that one line holds: name, street and town between dashes, bars or commas."""
    parts = [part.strip() for part in _SEPARATORS.split(line.text)]
    if len(parts) < 3 and has_legal_form(line.text.split(",")[0]):
        parts = [part.strip() for part in line.text.split(",")]
    if len(parts) >= 3 and any(map(is_city, parts[1:])) and line_kind(parts[0]) is LineKind.NAME:
        yield Party(name_without_number(parts[0]), ", ".join(parts[1:]), line.box, numbers=1)


def _named(page: PageLayout, mentions: Mentions, above: Sequence[Line], below: Sequence[Line]) -> Party:
    """A party without its address: the best name of the lines above, and its numbers above and below."""
    names = names_in(above)
    if not any(has_legal_form(name.text) or is_business(name.text) for name in names):
        names += [line for line in below if has_legal_form(line.text) and has_registration(line.text)]
    best = max(names, key=lambda name: _name_score(name, names, page, mentions), default=None)
    around = [*above, *below]
    return Party(
        name=name_without_number(best.text) if best else "",
        address="",
        box=union([line.box for line in above or below]) if around else page.rows[0][0].box,
        numbers=sum(line.kind in {LineKind.NUMBER, LineKind.CONTACT} or has_registration(line.text) for line in around),
        addressed=any(speaks_to_person(name.text) for name in names) or any(addresses_somebody(a.text) for a in above),
    )


def _name_score(name: Line, names: Sequence[Line], page: PageLayout, mentions: Mentions) -> float:
    """How much speaks for a line as the name of its party; the first line of several as good ones wins."""
    height = (name.box.y1 - name.box.y0) / max(page.line_height_px, 1.0)
    return (
        3.0 * has_legal_form(name.text)
        + 1.0 * has_registration(name.text)
        + 1.5 * is_business(name.text)
        + min(height, 1.5) / 1.5
        - 1.0 * (name.kind is LineKind.WEAK_ADDRESS)
        + 0.5 * (mentions.others(name.text) > 0)
        - 0.25 * names.index(name)
    )
