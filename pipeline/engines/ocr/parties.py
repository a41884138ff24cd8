"""Who issued a page's document and to whom: names and postal addresses, found by form and place.

A *party* is a name with the address lines below it. Parties are collected from three places:
below or beside a heading ("Bill to:"), in stacks of lines (letterhead, address window,
footer), and in single lines that hold a whole letterhead ("ACME Ltd - 1 Road - 12345 Town").
Each is then scored as issuer and as recipient.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pipeline.data import Box
from pipeline.engines.ocr.labels import label_key
from pipeline.engines.ocr.page import PageLayout, Run, column_overlap, union
from pipeline.engines.ocr.party_lines import (
    Heading,
    LineKind,
    continues_name,
    ends_address,
    has_legal_form,
    has_registration,
    is_business,
    is_city,
    is_place,
    is_salutation,
    is_street_or_city,
    line_kind,
    name_without_number,
    party_heading,
    speaks_to_person,
)
from pipeline.engines.ocr.specs import FieldSpec
from pipeline.schema import Role

SPACING_CHANGE = 0.6
"""A gap wider than the one above by this, in line heights, ends a stack of lines; a blank line adds 1.0."""

MAX_GAP = 2.0
"""No gap in a stack of lines is wider than this, in line heights."""

NAME_REACH = 6
"""Lines above an address among which its name is looked for: name, trade name, two numbers, a slogan."""

PARTY_ROLES = (Role.ISSUER_NAME, Role.ISSUER_ADDRESS, Role.RECIPIENT_NAME, Role.RECIPIENT_ADDRESS)


class _Mentions:
    """What the whole page says about a name: how often it stands there, and in which internet domains."""

    def __init__(self, page: PageLayout) -> None:
        text = "\n".join(run.text for run in page.runs)
        self._keys = "\n".join(label_key(run.text) for run in page.runs)
        domains = re.findall(r"(?i)(?:@|www\.|https?://)([\w-]+(?:\.[\w-]+)*)\.\w{2,}", text)
        self._domains = [key for domain in domains for part in domain.split(".") if len(key := label_key(part)) > 3]

    def others(self, name: str) -> int:
        """How often the name stands on the page besides its own line."""
        return max(0, self._keys.count(label_key(name)) - 1) if name else 0

    def in_domain(self, name: str) -> bool:
        """Whether a web or mail address on the page is made of the name's words."""
        key = label_key(name)
        return any(key.startswith(part) or (len(part) > 6 and part in key) for part in self._domains)


@dataclass(frozen=True, slots=True)
class _Line:
    text: str
    box: Box
    kind: LineKind


@dataclass(frozen=True, slots=True)
class Party:
    """A name with its address as they stand at one place of the page."""

    name: str
    address: str
    box: Box
    heading: Heading | None = None
    numbers: int = 0
    """Lines with registration or tax numbers, phone or web addresses that stand with it."""
    addressed: bool = False
    """Whether a salutation stands before the name."""


def find_parties(page: PageLayout, specs: Sequence[FieldSpec]) -> dict[str, str]:
    """The values of the fields whose role is a party's name or address; fields without a value are left out."""
    wanted = {spec.role: spec for spec in specs if spec.role in PARTY_ROLES}
    if not wanted:
        return {}
    labels = {role: spec.labels for role, spec in wanted.items()}
    found = _collect(page, labels.get(Role.ISSUER_NAME, ()), labels.get(Role.RECIPIENT_NAME, ()))
    two_sided = Role.RECIPIENT_NAME in wanted or Role.RECIPIENT_ADDRESS in wanted
    issuer, recipient = _choose(found, page, two_sided=two_sided)
    values = {
        Role.ISSUER_NAME: issuer and issuer.name,
        Role.ISSUER_ADDRESS: issuer and issuer.address,
        Role.RECIPIENT_NAME: recipient and recipient.name,
        Role.RECIPIENT_ADDRESS: recipient and recipient.address,
    }
    return {spec.name: value for role, spec in wanted.items() if (value := values[role])}


def _collect(page: PageLayout, issuer_labels: tuple[str, ...], recipient_labels: tuple[str, ...]) -> list[Party]:
    """All parties of the page, those below headings first."""
    headings = {
        run: found for run in page.runs if (found := party_heading(run.text, issuer_labels, recipient_labels))
    }
    taken: set[Run] = set(headings)
    parties = []
    for heading, (kind, inline) in headings.items():
        lines, used = _section(page, heading, inline, headings)
        party = _headed_party(lines, kind)
        if party is not None:
            parties.append(party)
            taken.update(used)
    mentions = _Mentions(page)
    above: list[_Line] = []
    for stack in stacks([run for run in page.runs if run not in taken], page.line_height_px):
        lines = [_line(run.text, run.box) for run in stack]
        parties.extend(_stacked_parties(page, mentions, lines, _lines_above(above, lines[0], page.line_height_px)))
        above = [*above, *lines]
    return parties


def _lines_above(others: Sequence[_Line], first: _Line, unit: float) -> list[_Line]:
    """The lines of other stacks that a stack's name may stand in: above it in its column, not far."""
    return [
        line
        for line in others
        if 0 < first.box.y0 - line.box.y1 + unit < (NAME_REACH + 1) * unit and column_overlap(line.box, first.box) > 0
    ]


def _choose(parties: Sequence[Party], page: PageLayout, *, two_sided: bool) -> tuple[Party | None, Party | None]:
    """The issuer and the recipient among the parties of a page; None where nobody qualifies.

    An issuer whose name stands apart from its address gets the nearest address that is nobody's.
    """
    mentions = _Mentions(page)
    issuers = [(_issuer_score(party, page, mentions), party) for party in parties]
    recipients = [(_recipient_score(party, page), party) for party in parties if two_sided or party.heading]
    pairs = [
        (a + b, issuer, recipient)
        for a, issuer in [*issuers, (0.0, None)]
        for b, recipient in [*recipients, (0.0, None)]
        if a >= 0 and b >= 0 and not _same(issuer, recipient)
    ]
    _, issuer, recipient = max(pairs, key=lambda pair: pair[0])
    if issuer is not None and not issuer.address:
        others = [party for score, party in issuers if score >= 0 and party.address and party is not recipient]
        nearest = min(others, key=lambda party: abs(party.box.y0 - issuer.box.y1), default=None)
        issuer = replace(issuer, address=nearest.address) if nearest else issuer
    return issuer, recipient


def _same(a: Party | None, b: Party | None) -> bool:
    return a is not None and b is not None and (a is b or label_key(a.name) == label_key(b.name))


def _issuer_score(party: Party, page: PageLayout, mentions: _Mentions) -> float:
    """How much speaks for a party as the issuer; negative when it cannot be."""
    if party.heading in (Heading.RECIPIENT, Heading.OTHER) or party.addressed:
        return -1.0
    if not party.name:
        return 0.1 * min(party.numbers, 2) - 0.1
    high = 1 - party.box.y0 / page.height_px
    return (
        8.0 * (party.heading is Heading.ISSUER)
        + 3.5 * mentions.in_domain(party.name)
        + 3.0 * has_legal_form(party.name)
        + 0.5 * is_business(party.name)
        + 1.0 * bool(party.address)
        + min(party.numbers, 2) * 0.75
        + 0.5 * min(mentions.others(party.name), 2)
        + 2.0 * high
    )


def _recipient_score(party: Party, page: PageLayout) -> float:
    """How much speaks for a party as the recipient; negative when it cannot be."""
    if party.heading in (Heading.ISSUER, Heading.OTHER) or not party.name:
        return -1.0
    if party.heading is Heading.RECIPIENT:
        return 8.0 + (1 - party.box.y0 / page.height_px)
    in_window = bool(party.address) and party.box.y0 < 0.45 * page.height_px
    return (1.5 if in_window else -1.0) + 3.0 * party.addressed - 0.75 * min(party.numbers, 2)


def stacks(runs: Sequence[Run], line_height_px: float) -> list[list[Run]]:
    """Runs grouped into stacks: each below the one before, in its column, with no wide gap between."""
    found: list[list[Run]] = []
    for run in runs:
        above = [stack for stack in found if _stands_below(run, stack, line_height_px)]
        if above:
            min(above, key=lambda stack: abs(stack[-1].box.x0 - run.box.x0)).append(run)
        else:
            found.append([run])
    return found


def _stands_below(run: Run, stack: Sequence[Run], line_height_px: float) -> bool:
    last = stack[-1]
    usual = max(0.0, last.box.y0 - stack[-2].box.y1) if len(stack) > 1 else 0.0
    unit = max(line_height_px, min(run.height_px, last.height_px))
    widest = min(usual + SPACING_CHANGE * unit, MAX_GAP * unit)
    a, b = run.box, last.box
    apart = min(abs(a.x0 - b.x0), abs(a.x1 - b.x1), abs(run.center_x - last.center_x))
    return (
        run.row > last.row
        and a.y0 - b.y1 <= widest
        and column_overlap(a, b) > 0
        and apart <= 3 * line_height_px
    )


def _line(text: str, box: Box, kind: LineKind | None = None) -> _Line:
    bare = re.sub(r"(?i)^\s*(?:att(?:n|ention)?|c/o|z\.?\s?hd)\b\.?\s*:\s*", "", text).strip()
    if kind is None:
        kind = LineKind.OTHER if re.fullmatch(r"\([^()]*\)?", bare) else line_kind(bare)
    return _Line(bare, box, kind)


def _with_context(lines: Sequence[_Line]) -> list[_Line]:
    """The lines with those made addresses that only their neighbours show to be so."""
    kinds = [line.kind for line in lines]
    for i in reversed(range(len(lines) - 1)):
        if kinds[i] is LineKind.WEAK_ADDRESS and kinds[i + 1] is LineKind.ADDRESS and i > 0:
            kinds[i] = LineKind.ADDRESS
    for i in range(1, len(lines)):
        if kinds[i - 1] is LineKind.ADDRESS and kinds[i] in (LineKind.WEAK_ADDRESS, LineKind.NAME):
            last = i + 1 == len(lines) or kinds[i + 1] is not LineKind.ADDRESS
            if _continues_address(lines[:i], kinds, lines[i], last=last):
                kinds[i] = LineKind.ADDRESS
    return [replace(line, kind=kind) for line, kind in zip(lines, kinds, strict=True)]


def _continues_address(before: Sequence[_Line], kinds: Sequence[LineKind], line: _Line, *, last: bool) -> bool:
    """Whether a line that could be anything goes on with the address that stands above it."""
    previous = before[-1].text.rstrip()
    if ends_address(previous) or has_legal_form(line.text):
        return False
    group = []
    for i in reversed(range(len(before))):
        if kinds[i] is not LineKind.ADDRESS:
            break
        group.append(before[i].text)
    has_city = any(is_city(text) and not re.search(r"\d{4,5}\W*$", text) for text in group)
    return not last or is_place(line.text) or previous.endswith(",") or not has_city


def _stacked_parties(
    page: PageLayout, mentions: _Mentions, lines: Sequence[_Line], higher: Sequence[_Line]
) -> Iterator[Party]:
    """The parties of one stack: each group of address lines with the best name above it."""
    letterheads = [party for line in lines for party in _letterhead_line(line)]
    yield from letterheads
    lines = _with_context(lines)
    end_of_last = 0
    for start, end in _address_groups(lines):
        above = lines[max(end_of_last, start - NAME_REACH) : start] or [*higher]
        title = max((i for i, line in enumerate(above) if line.kind is LineKind.TITLE and i), default=-1)
        end_of_last = end
        yield _party(page, mentions, above[title + 1 :], lines[start:end], lines[end : end + 4])
    if not letterheads and end_of_last == 0:
        yield from _nameplate(page, mentions, lines)


def _nameplate(page: PageLayout, mentions: _Mentions, lines: Sequence[_Line]) -> Iterator[Party]:
    """The party of a stack without an address: a company's name over its numbers or the document's title."""
    title = next((i for i, line in enumerate(lines) if i and line.kind is LineKind.TITLE), len(lines))
    party = _party(page, mentions, _one_name(lines[: min(title, NAME_REACH)]), [], [])
    at_top = lines[0].box.y0 < page.height_px / 3
    if has_legal_form(party.name) or (at_top and party.numbers and is_business(party.name)):
        yield party


def _one_name(lines: Sequence[_Line]) -> Sequence[_Line]:
    """The lines with the first two joined where they are one name set flush left in one type."""
    if len(lines) < 2 or not has_legal_form(lines[1].text) or has_legal_form(lines[0].text):
        return lines
    a, b = lines[0].box, lines[1].box
    height = b.y1 - b.y0
    if abs(a.x0 - b.x0) > height / 2 or abs(a.y1 - a.y0 - height) > height / 4:
        return lines
    return [replace(lines[0], text=f"{lines[0].text} {lines[1].text}"), *lines[2:]]


def _address_groups(lines: Sequence[_Line]) -> list[tuple[int, int]]:
    groups: list[tuple[int, int]] = []
    for i, line in enumerate(lines):
        if line.kind is not LineKind.ADDRESS:
            continue
        if groups and groups[-1][1] == i:
            groups[-1] = (groups[-1][0], i + 1)
        else:
            groups.append((i, i + 1))
    return [(a, b) for a, b in groups if any(is_street_or_city(line.text) or "," in line.text for line in lines[a:b])]


def _letterhead_line(line: _Line) -> Iterator[Party]:
    """The party that one line holds: name, street and town between dashes, bars or commas."""
    parts = [part.strip() for part in re.split(r"\s+[-–—•·|]+\s+|\s*[•·|]\s*", line.text)]
    if len(parts) < 3 and has_legal_form(line.text.split(",")[0]):
        parts = [part.strip() for part in line.text.split(",")]
    if len(parts) < 3 or not any(is_city(part) for part in parts[1:]):
        return
    if line_kind(parts[0]) is LineKind.NAME:
        yield Party(name_without_number(parts[0]), ", ".join(parts[1:]), line.box, numbers=1)


def _party(
    page: PageLayout, mentions: _Mentions, above: Sequence[_Line], address: Sequence[_Line], below: Sequence[_Line]
) -> Party:
    names = _names(above)
    best = max(names, key=lambda name: _name_score(name, names, page, mentions), default=None)
    numbers = 0
    for line in [*above, *below]:
        numbers += line.kind in (LineKind.NUMBER, LineKind.CONTACT) or has_registration(line.text)
    box = union([line.box for line in [*above, *address]])
    return Party(
        name_without_number(best.text) if best else "",
        " ".join(line.text for line in address),
        box,
        numbers=numbers,
        addressed=any(speaks_to_person(line.text) for line in names),
    )


def _names(lines: Sequence[_Line]) -> list[_Line]:
    """The names among lines, those printed over several lines joined."""
    names: list[_Line] = []
    open_name = False
    for line in lines:
        if line.kind in (LineKind.NAME, LineKind.WEAK_ADDRESS) or (open_name and _is_open(names[-1].text)):
            if open_name and (_is_open(names[-1].text) or continues_name(line.text)):
                names[-1] = replace(names[-1], text=f"{names[-1].text} {line.text}")
            else:
                names.append(line)
            open_name = True
        else:
            open_name = False
    keys = [label_key(name.text) for name in names]
    return [name for name, key in zip(names, keys, strict=True) if not any(key in k and key != k for k in keys)]


def _is_open(name: str) -> bool:
    """Whether a name cannot end here."""
    return name.count("(") > name.count(")") or is_salutation(name)


def _name_score(name: _Line, names: Sequence[_Line], page: PageLayout, mentions: _Mentions) -> float:
    height = (name.box.y1 - name.box.y0) / page.line_height_px
    return (
        3.0 * has_legal_form(name.text)
        + 1.0 * has_registration(name.text)
        + 1.5 * is_business(name.text)
        + min(height, 1.5) / 1.5
        - 1.0 * (name.kind is LineKind.WEAK_ADDRESS)
        + 0.5 * (mentions.others(name.text) > 0)
        - 0.25 * names.index(name)
    )


def _first_name(lines: Sequence[_Line]) -> str:
    """The name at the head of a block that holds one party only: its first line, up to the legal form."""
    names = [name for name in _names(lines) if name.kind is LineKind.NAME]
    if not names:
        return ""
    first = names[0].text
    if len(names) > 1 and has_legal_form(names[1].text) and not has_legal_form(first) and not speaks_to_person(first):
        first = f"{first} {names[1].text}"
    return name_without_number(first)


def _headed_party(lines: Sequence[_Line], heading: Heading) -> Party | None:
    """The party that the lines below a heading name: its first name, its first address."""
    lines = _with_context(lines)
    groups = _address_groups(lines)
    start, end = groups[0] if groups else (len(lines), len(lines))
    name = _first_name(lines[:start])
    if not name:
        return None
    address = " ".join(line.text for line in lines[start:end])
    return Party(name, address, union([line.box for line in lines[:end]]), heading)


_NAME_KEYS = frozenset("name nom naam nome nombre firma company bedrijf societe raisonsociale ragionesociale razonsocial denominazione".split())
_ADDRESS_KEYS = frozenset("anschrift adresse address adres direccion indirizzo endereco strasse street".split())


def _section(
    page: PageLayout, heading: Run, inline: str, headings: dict[Run, tuple[Heading, str]]
) -> tuple[list[_Line], list[Run]]:
    """The lines that stand below a heading, or beside the keys below it, and the runs they are made of."""
    unit = page.line_height_px
    right = min((run.box.x0 for run in page.right_of(heading)), default=float("inf"))
    entries: list[tuple[str | None, Run]] = []
    bottom = heading.box.y1
    for row in page.rows[heading.row + 1 : heading.row + 30]:
        inside = [run for run in row if heading.box.x0 - 2 * unit <= run.box.x0 < right - unit / 2]
        if not inside:
            continue
        if any(run in headings and column_overlap(run.box, heading.box) > 0 for run in inside):
            break
        if inside[0].box.y0 - bottom > 3.5 * unit:
            break
        entry = _entry(inside, heading, unit)
        if entry is not None:
            entries.append(entry)
            bottom = max(bottom, entry[1].box.y1)
    lines = [_line(inline, heading.box)] if inline else []
    keyed = _keyed_lines(entries, unit)
    boxes = {line.box for line in keyed}
    return lines + keyed, [run for _, run in entries if run.box in boxes]


def _entry(inside: Sequence[Run], heading: Run, unit: float) -> tuple[str | None, Run] | None:
    """The key and value of a row of a section; key "" where the value stands under the heading itself."""
    first, *rest = inside
    main = first.box.x0 <= max(heading.box.x0 + 4 * unit, heading.box.x1)
    if main and rest and (first.text.rstrip().endswith(":") or rest[0].text.startswith(":")):
        return label_key(first.text), rest[0]
    return ("", first) if main else (None, first)


def _keyed_lines(entries: Sequence[tuple[str | None, Run]], unit: float) -> list[_Line]:
    """Lines of a section with the kind that their key tells; a value without a key shares the nearest one's."""
    columns = [run.box.x0 for key, run in entries if key]
    lines = []
    for i, (key, run) in enumerate(entries):
        if key is None:
            if not any(abs(run.box.x0 - x) <= unit for x in columns):
                continue
            key = _nearest_key(entries, i)
        lines.append(_line(run.text.lstrip(": "), run.box, _kind_by_key(key)))
    return lines


def _nearest_key(entries: Sequence[tuple[str | None, Run]], i: int) -> str:
    near = []
    for j in (i - 1, i + 1):
        if 0 <= j < len(entries) and entries[j][0]:
            a, b = sorted((entries[i][1].box, entries[j][1].box), key=lambda box: box.y0)
            near.append((b.y0 - a.y1, str(entries[j][0])))
    return min(near, default=(0, "-"), key=lambda pair: pair[0])[1]


def _kind_by_key(key: str) -> LineKind | None:
    if key in _NAME_KEYS:
        return LineKind.NAME
    if key in _ADDRESS_KEYS:
        return LineKind.ADDRESS
    return LineKind.NUMBER if key else None
