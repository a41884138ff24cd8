"""Finding printed labels: tolerant of case, accents, spacing, punctuation and a misread letter."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from rapidfuzz import process
from rapidfuzz.distance import OSA

SHORTEST_FORGIVING, LETTERS_PER_ERROR = 8, 7
"""One misread letter is forgiven from eight on and for each seven of a label; short words have too many neighbours."""

SHORTEST_HEAD, SHORTEST_MODIFIER = 8, 4
"""Letters of a label that may end a compound, and of what stands before it: a "Mietrechnung" is a bill, a "Berechnung"
is not."""

LONGEST_PREFIX = 4
"""Letters before the dash or slash of an identifier."""

_IDENTIFIER_TAIL = re.compile(r"[-/]\d")
_WORD = re.compile(r"\d+|[^\W\d_]+")
_GLUED = re.compile(r"(?<=[a-zß-ÿ])(?=[A-Z])")
"""Where OCR lost the space before a capital: "InvoiceNo", "TotalRM"."""


@dataclass(frozen=True, slots=True)
class LabelMatch:
    """Where a label stands in a text."""

    owners: tuple[str, ...]
    """Whose label it is, in the terms of the index."""
    start: int
    end: int
    """text[start:end] is the label as printed; a value in the same run starts at `end`."""
    length: int
    """Letters of the label's key: longer labels say more."""
    exact: bool
    """False when letters had to be forgiven."""


class LabelIndex:
    """The labels of many owners, looked up in one pass over a text.

    A label matches as whole words; spaces and punctuation between its words do not matter, but
    an underscore beside it, or a dash and a digit behind a short one, makes it part of an identifier.
    So does a German or Dutch compound that ends in a label, "Rechnungsgesamtbetrag".
    Where matches overlap, the longest wins, so "Total tax" is never taken for "Total".
    """

    def __init__(self, labels: Mapping[str, Sequence[str]]) -> None:
        owners: dict[str, list[str]] = {}
        for owner, texts in labels.items():
            for key in {label_key(text) for text in texts} - {""}:
                owners.setdefault(key, []).append(owner)
        self._owners = {key: tuple(names) for key, names in owners.items()}
        self._longest = max(map(len, owners), default=0)
        self._forgiving: dict[int, list[str]] = {}
        for key in owners:
            if len(key) >= SHORTEST_FORGIVING:
                self._forgiving.setdefault(len(key), []).append(key)

    def find(self, text: str) -> list[LabelMatch]:
        """All labels in `text`, left to right, not overlapping.

        The words up to the first digit or colon may also be one label with misread letters,
        where exact ones explain less than half of them.
        """
        chosen: list[LabelMatch] = []
        matches = sorted(self._whole_words(text), key=lambda m: (-m.length, m.start))
        head = re.match(r"[^\d:_]*", text)[0].rstrip()  # type: ignore[index]
        if 2 * sum(m.length for m in matches if m.end <= len(head)) < len(label_key(head)):
            matches = [*self._misread(head), *matches]
        for match in matches:
            if all(match.end <= other.start or other.end <= match.start for other in chosen):
                chosen.append(match)
        return sorted(chosen, key=lambda m: m.start)

    def _whole_words(self, text: str) -> Iterator[LabelMatch]:
        words = list(_words(text))
        for first, (head, start, last) in enumerate(words):
            if len(head) >= SHORTEST_MODIFIER + SHORTEST_HEAD and head not in self._owners:
                yield from self._compound(head, start, last)
            key = ""
            for word, _, end in words[first:]:
                key += word
                if len(key) > self._longest:
                    break
                if key in self._owners and not _part_of_identifier(text, start, end):
                    yield LabelMatch(self._owners[key], start, end, len(key), exact=True)

    def _compound(self, word: str, start: int, end: int) -> Iterator[LabelMatch]:
        for cut in range(SHORTEST_MODIFIER, len(word) - SHORTEST_HEAD + 1):
            if owners := self._owners.get(word[cut:]):
                yield LabelMatch(owners, max(start, end - len(word) + cut), end, len(word) - cut, exact=False)
                return

    def _misread(self, head: str) -> list[LabelMatch]:
        """The label that `head` is with letters forgiven, if any."""
        key = label_key(head)
        if not SHORTEST_FORGIVING - 1 <= len(key) <= self._longest + 2:
            return []
        errors = len(key) // LETTERS_PER_ERROR
        lengths = range(len(key) - errors, len(key) + errors + 1)
        near = [label for length in lengths for label in self._forgiving.get(length, ())]
        best = process.extractOne(key, near, scorer=OSA.distance, score_cutoff=errors)
        if best is None or best[1] > len(best[0]) // LETTERS_PER_ERROR:
            return []
        return [LabelMatch(self._owners[best[0]], 0, len(head), len(best[0]), exact=False)]


@lru_cache(maxsize=8192)
def label_key(text: str) -> str:
    """Letters and digits only, casefolded, without accents: what is compared of labels.

    "Invoice No.:" and "INVOICE  NO" have the same key, and so has "InvoiceNo" as OCR reads it.
    """
    return "".join(_fold(char) for char in text)


@cache
def _index(labels: tuple[str, ...]) -> LabelIndex:
    return LabelIndex({"": labels})


def _part_of_identifier(text: str, start: int, end: int) -> bool:
    """Whether the words are the head of "PO-1234" or stand in "KA02_R1"."""
    joined = end - start <= LONGEST_PREFIX and _IDENTIFIER_TAIL.match(text, end) is not None
    return joined or "_" in {text[start - 1 : start], text[end : end + 1]}


def _words(text: str) -> Iterator[tuple[str, int, int]]:
    """(key, start, end) of each word; digits and letters are words of their own."""
    for match in _WORD.finditer(text):
        word = match[0]
        if word[1:].islower() or not word.isalpha() or word.isupper():
            yield label_key(word), match.start(), match.end()
            continue
        starts = [match.start(), *(cut.start() for cut in _GLUED.finditer(text, match.start(), match.end()))]
        for start, end in zip(starts, [*starts[1:], match.end()], strict=True):
            yield label_key(text[start:end]), start, end


@cache
def _fold(char: str) -> str:
    """One character as it enters a key; empty for punctuation and accents."""
    plain = unicodedata.normalize("NFKD", char.casefold())
    return "".join(c for c in plain if c.isalnum())
