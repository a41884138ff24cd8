"""A party: a name with the address lines below it, read from the lines of one block of a page."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pipeline.data import Box
from pipeline.engines.ocr.labels import label_key
from pipeline.engines.ocr.page import PageLayout
from pipeline.engines.ocr.parties.headings import Heading
from pipeline.engines.ocr.parties.lines import (
    LineKind,
    continues_name,
    ends_address,
    ends_with_place,
    has_legal_form,
    is_city,
    is_place,
    is_salutation,
    is_street_or_city,
    line_kind,
)

SEPARATORS = re.compile(r"\s+[-–—•·|]+\s+|\s*[•·|]\s*")
"""What stands between name, street and town where they are on one line."""

PHRASE_GAP = 1.5
"""Widest gap between words of one line of a block, in heights of the words."""

_TO_SOMEBODY = re.compile(r"(?i)^\s*(?:att(?:n|ention)?|c/o|z\.?\s?hd)\b\.?\s*:\s*")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a block and what it is."""

    text: str
    box: Box
    kind: LineKind


@dataclass(frozen=True, slots=True)
class Party:
    """A name with its address as they stand at one place of the page."""

    name: str
    """Empty where an address stands alone."""
    address: str
    """On one line, as printed; empty where a name stands alone."""
    box: Box
    heading: Heading | None = None
    numbers: int = 0
    """Lines with registration or tax numbers, phone or web addresses that stand with it."""
    addressed: bool = False
    """Whether a salutation stands before the name, or a sender's line above the address."""
    size: float = 0.0
    """Height of the name's line in pixels."""


class Mentions:
    """What the whole page says about a name: how often it stands there, and in which internet domains."""

    def __init__(self, page: PageLayout) -> None:
        self._keys = "\n".join(label_key(run.text) for run in page.runs)
        self._parts = Counter(label_key(part) for run in page.runs for part in SEPARATORS.split(run.text))
        text = "\n".join(run.text for run in page.runs)
        domains = re.findall(r"(?i)(?:@|www\.|https?://)([\w-]+(?:\.[\w-]+)*)\.\w{2,}", text)
        self._domains = [key for domain in domains for part in domain.split(".") if len(key := label_key(part)) > 3]

    def others(self, name: str) -> int:
        """How often the name stands on the page besides its own line."""
        return max(0, self._keys.count(label_key(name)) - 1) if name else 0

    def lines(self, name: str) -> int:
        """How many lines, or parts of lines that dots or bars separate, say the name and nothing else."""
        return self._parts[label_key(name)]

    def in_domain(self, name: str) -> bool:
        """Whether a web or mail address on the page is made of the name's words."""
        key = label_key(name)
        words = [label_key(word) for word in re.findall(r"[^\W\d_]{6,}", name)]
        return any(
            key.startswith(part) or (len(part) > 6 and part in key) or any(word in part for word in words)
            for part in self._domains
        )


def line_of(text: str, box: Box, kind: LineKind | None = None) -> Line:
    """A line with its kind, which its text tells unless a key beside it did."""
    bare = _TO_SOMEBODY.sub("", text).strip()
    if kind is None:
        kind = LineKind.OTHER if re.fullmatch(r"\([^()]*\)?", bare) else line_kind(bare)
    return Line(bare, box, kind)


def with_context(lines: Sequence[Line]) -> list[Line]:
    """The lines with those made addresses that only their neighbours show to be so."""
    kinds = [line.kind for line in lines]
    for i in reversed(range(1, len(lines) - 1)):
        if kinds[i] is LineKind.WEAK_ADDRESS and kinds[i + 1] is LineKind.ADDRESS:
            kinds[i] = LineKind.ADDRESS
    for i in range(1, len(lines)):
        if kinds[i - 1] is LineKind.ADDRESS and kinds[i] in {LineKind.WEAK_ADDRESS, LineKind.NAME}:
            between = i + 1 < len(lines) and kinds[i + 1] is LineKind.ADDRESS
            if _continues_address(lines[:i], kinds, lines[i].text, between=between):
                kinds[i] = LineKind.ADDRESS
    return [replace(line, kind=kind) for line, kind in zip(lines, kinds, strict=True)]


def _continues_address(before: Sequence[Line], kinds: Sequence[LineKind], text: str, *, between: bool) -> bool:
    """Whether a line that could be anything goes on with the address that stands above it.

    Args:
        between: the line below is an address line as well.
    """
    previous = before[-1].text.rstrip()
    if ends_address(previous) or has_legal_form(text):
        return False
    if between or is_place(text) or previous.endswith(","):
        return True
    return not any(is_city(line.text) and not re.search(r"\d{4,5}\W*$", line.text) for line in _tail(before, kinds))


def _tail(lines: Sequence[Line], kinds: Sequence[LineKind]) -> Iterator[Line]:
    """The address lines at the end of `lines`, last first."""
    for i in reversed(range(len(lines))):
        if kinds[i] is not LineKind.ADDRESS:
            return
        yield lines[i]


def address_groups(lines: Sequence[Line]) -> list[tuple[int, int]]:
    """Where addresses stand: (first, after last) of each group of address lines that holds proof of one."""
    groups: list[tuple[int, int]] = []
    for i, line in enumerate(lines):
        if line.kind is not LineKind.ADDRESS:
            continue
        if groups and groups[-1][1] == i and not (_is_complete(lines[i - 1].text) and not is_place(line.text)):
            groups[-1] = (groups[-1][0], i + 1)
        else:
            groups.append((i, i + 1))
    return [(a, b) for a, b in groups if any(is_street_or_city(line.text) or "," in line.text for line in lines[a:b])]


def _is_complete(text: str) -> bool:
    """Whether a line closes an address: a town and its state, with no comma to go on."""
    return is_city(text) and ends_with_place(text) and not text.rstrip().endswith(",")


def joined_address(lines: Sequence[Line]) -> str:
    """Address lines on one line."""
    return " ".join(line.text for line in lines)


def names_in(lines: Sequence[Line]) -> list[Line]:
    """The names among lines, those printed over several lines joined; a logo's short form of another is left out."""
    names: list[Line] = []
    adjacent = False
    for line in lines:
        unfinished = adjacent and _is_unfinished(names[-1].text)
        if not unfinished and line.kind not in {LineKind.NAME, LineKind.WEAK_ADDRESS}:
            adjacent = False
            continue
        if unfinished or (adjacent and continues_name(line.text)):
            names[-1] = replace(names[-1], text=f"{names[-1].text} {line.text}")
        else:
            names.append(line)
        adjacent = True
    keys = [label_key(name.text) for name in names]
    return [name for name, key in zip(names, keys, strict=True) if not any(key in k and key != k for k in keys)]


def _is_unfinished(name: str) -> bool:
    return name.count("(") > name.count(")") or is_salutation(name)
