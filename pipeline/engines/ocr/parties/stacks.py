"""Parties without a heading: letterheads, address windows, footers, the heads of receipts.

A *stack* is runs of one column, each close below the one before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from pipeline.engines.ocr.labels import label_key
from pipeline.engines.ocr.page import PageLayout, Run, column_overlap, part_of, union
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
    PHRASE_GAP,
    SEPARATORS,
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

MAX_GAP = 2.0
"""No gap in a stack is wider than this, in line heights."""

WINDOW_BOTTOM = 0.4
"""Share of the page's height above which an address window stands."""

WINDOW_GAP = 5.0
"""White space between the sender's line and the recipient below it, in line heights: three blank lines."""

LARGER = 1.3
"""How much larger the type of a letterhead is than that of the same name in the sender's line."""

_PROOFS = frozenset({LineKind.ADDRESS, LineKind.NUMBER, LineKind.CONTACT})
"""Kinds of which one proves that a line's parts say different things."""

NAME_REACH = 6
"""Lines above an address among which its name is looked for: name, trade name, two numbers, a slogan."""


def stacked_parties(page: PageLayout, runs: Sequence[Run]) -> Iterator[Party]:
    """The parties that the stacks of `runs` hold, top to bottom.

    Args:
        runs: those of the page that belong to no heading, row by row.
    """
    mentions = Mentions(page)
    higher: list[Line] = []
    senders: list[Run] = []
    for stack in _cut_below_senders(page, stacks(_phrases(runs), page.line_height_px)):
        lines = [part for run in stack for part in _parts(page, run)]
        in_window = any(_is_below(stack[0], sender, page.line_height_px) for sender in senders)
        for party in list(_addressed(page, mentions, lines, higher)) or _nameplate(page, mentions, lines):
            yield replace(party, addressed=party.addressed or (in_window and is_city(party.address)))
        higher += lines
        senders += [stack[-1]] if _is_sender_line(page, stack[-1]) else []


def _cut_below_senders(page: PageLayout, found: Sequence[list[Run]]) -> Iterator[list[Run]]:
    """The stacks with each that goes on below a sender's line with another name and town cut there."""
    for stack in found:
        cut = next((i for i, run in enumerate(stack[:-1], 1) if _is_sender_line(page, run)), 0)
        if cut and line_kind(stack[cut].text) is LineKind.NAME and any(is_city(run.text) for run in stack[cut:]):
            yield stack[:cut]
            yield stack[cut:]
        else:
            yield stack


def _is_sender_line(page: PageLayout, run: Run) -> bool:
    """Whether a line is the one above an address window: all of an address, or the name of the letterhead again.

    Source: DIN 5008, Rücksendeangabe; other countries' envelopes have the same window.
    """
    if run.box.y0 > WINDOW_BOTTOM * page.height_px:
        return False
    if is_city(run.text) and len(re.findall(r"[•·|,–—-]", run.text)) and not re.match(r"\W*\w{0,2}-?\d{4,}", run.text):
        return True
    key = label_key(run.text)
    larger = (other for other in page.runs if other.height_px > LARGER * run.height_px)
    return line_kind(run.text) is LineKind.NAME and any(key in label_key(other.text) for other in larger)


def _is_below(first: Run, sender: Run, unit: float) -> bool:
    """Whether a stack begins in the window below a sender's line: close, and at its margin."""
    return -unit <= first.box.y0 - sender.box.y1 <= WINDOW_GAP * unit and abs(first.box.x0 - sender.box.x0) <= 2 * unit


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
    head = lines[: min(title, NAME_REACH)]
    party = _named(page, mentions, head, [])
    at_top = lines[0].box.y0 < page.height_px / 3
    reachable = any(line.kind is LineKind.CONTACT for line in head) or (party.numbers and is_business(party.name))
    shown = has_legal_form(party.name) or (at_top and (reachable or mentions.lines(party.name) > 1))
    return [party] if party.name and shown else []


def _one_name(page: PageLayout, lines: Sequence[Line]) -> Sequence[Line]:
    """The lines with the first two joined where they are one name over two lines.

    They are set in one type: larger than the page's, or flush left with a legal form in the second.
    """
    if len(lines) < 2 or any(line.kind is not LineKind.NAME for line in lines[:2]) or has_legal_form(lines[0].text):
        return lines
    (first, a), (second, b) = ((line.text, line.box) for line in lines[:2])
    height = b.y1 - b.y0
    ended = has_legal_form(second) and abs(a.x0 - b.x0) <= height / 2
    large = min(height, a.y1 - a.y0) > LARGER * page.line_height_px
    apart = abs(a.y1 - a.y0 - height) > height / 4 or b.y0 - a.y1 > height or label_key(first) in label_key(second)
    if apart or not (ended or large):
        return lines
    return [replace(lines[0], text=f"{first} {second}"), *lines[2:]]


def _parts(page: PageLayout, run: Run) -> list[Line]:
    """A run as lines: name, street and town may stand on one, between dots, bars, dashes or commas.

    A line in large type at the top is a name even where a street's name is part of it: "Garage de la Gare".
    """
    at_top = run.box.y0 < page.height_px / 4 and run.height_px > LARGER * page.line_height_px
    if at_top and not any(map(str.isdigit, run.text)) and line_kind(run.text) is LineKind.ADDRESS:
        return [line_of(run.text, run.box, LineKind.NAME)]
    separators = list(SEPARATORS.finditer(run.text))
    if len(separators) < 2 and has_legal_form(run.text.split(",")[0]):
        separators = list(re.finditer(r",", run.text))
    ends = [(0, 0), *(match.span() for match in separators), (len(run.text), 0)]
    parts = [(run.text[start:end].strip(), part_of(run, start, end)) for (_, start), (end, _) in pairwise(ends)]
    lines = [line_of(text, box) for text, box in parts if text]
    told = any(line.kind in _PROOFS for line in lines)
    return lines if told and len(lines) > 1 else [line_of(run.text, run.box)]


def _named(page: PageLayout, mentions: Mentions, above: Sequence[Line], below: Sequence[Line]) -> Party:
    """A party without its address: the best name of the lines above, and its numbers above and below."""
    above = _one_name(page, above)
    names = names_in(above)
    if not any(has_legal_form(name.text) or is_business(name.text) for name in names):
        names += [line for line in below if has_legal_form(line.text) and has_registration(line.text)]
    best = max(names, key=lambda name: _name_score(name, names, page, mentions), default=None)
    around = [*above, *below]
    size = best.box.y1 - best.box.y0 if best else 0.0
    spoken_to = size <= LARGER * page.line_height_px and any(speaks_to_person(name.text) for name in names)
    return Party(
        name=name_without_number(best.text) if best else "",
        address="",
        size=size,
        box=union([line.box for line in above or below]) if around else page.rows[0][0].box,
        numbers=sum(line.kind in {LineKind.NUMBER, LineKind.CONTACT} or has_registration(line.text) for line in around),
        addressed=spoken_to or any(addresses_somebody(a.text) for a in above),
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
