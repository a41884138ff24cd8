"""Finding printed labels: tolerant of case, accents, spacing, punctuation and a misread letter."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from rapidfuzz.distance import OSA

LETTERS_PER_ERROR = 6
"""One misread letter is forgiven for each six of a label, so short labels must match exactly."""


@dataclass(frozen=True, slots=True)
class LabelMatch:
    """Where a label stands in a text."""

    label: str
    start: int
    end: int
    """text[start:end] is the label as printed; a value in the same run starts at `end`."""
    exact: bool
    """False when letters had to be forgiven."""


def label_key(text: str) -> str:
    """Letters and digits only, casefolded, without accents: what is compared of labels.

    "Invoice No.:" and "INVOICE  NO" have the same key, and so has "InvoiceNo" as OCR reads it.
    """
    return _keyed(text)[0]


def find_label(text: str, labels: Sequence[str]) -> LabelMatch | None:
    """The longest of `labels` that stands in `text` as whole words, or None.

    A label that is not there exactly may be found at the start of the text with a letter
    misread, see LETTERS_PER_ERROR. Of equally long ones, the leftmost wins.
    """
    key, origin = _keyed(text)
    if not key:
        return None
    for label in _longest_first(tuple(labels)):
        at = _whole_words(text, key, origin, label_key(label))
        if at is not None:
            return LabelMatch(label, *at, exact=True)
    return _misread(text, key, origin, labels)


def is_label(text: str, labels: Sequence[str]) -> bool:
    """Whether `text` is nothing but one of `labels`, punctuation aside."""
    match = find_label(text, labels)
    return match is not None and not label_key(text[: match.start] + text[match.end :])


@cache
def _longest_first(labels: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted((label for label in labels if label_key(label)), key=lambda label: -len(label_key(label))))


@cache
def _fold(char: str) -> str:
    """One character as it enters a key; empty for punctuation and accents."""
    plain = unicodedata.normalize("NFKD", char.casefold())
    return "".join(c for c in plain if c.isalnum())


def _keyed(text: str) -> tuple[str, list[int]]:
    """The key and, for each of its characters, the index in `text` it comes from."""
    pairs = [(folded, index) for index, char in enumerate(text) for folded in _fold(char)]
    return "".join(folded for folded, _ in pairs), [index for _, index in pairs]


def _whole_words(text: str, key: str, origin: list[int], wanted: str) -> tuple[int, int] | None:
    """The span in `text` of `wanted` where it begins and ends at a word's border."""
    at = key.find(wanted)
    while at >= 0:
        start, end = origin[at], origin[at + len(wanted) - 1] + 1
        if not text[start - 1 : start].isalpha() and not text[end : end + 1].isalpha():
            return start, end
        at = key.find(wanted, at + 1)
    return None


def _misread(text: str, key: str, origin: list[int], labels: Sequence[str]) -> LabelMatch | None:
    for label in _longest_first(tuple(labels)):
        wanted = label_key(label)
        allowed = len(wanted) // LETTERS_PER_ERROR
        if not allowed or len(key) < len(wanted) - allowed:
            continue
        end = origin[min(len(wanted), len(key)) - 1] + 1
        if text[end : end + 1].isalpha():
            continue
        if OSA.distance(key[: len(wanted)], wanted, score_cutoff=allowed) <= allowed:
            return LabelMatch(label, origin[0], end, exact=False)
    return None
